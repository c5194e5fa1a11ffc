"""TER-GAN's encoders, decoder and discriminators (3.1, 4.1; else docs/tergan.md T1-T4, T8, T13)."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from facegan.nets.blocks import group_norm, init_normal, instance_norm


def halvings(size: int, times: int) -> list[int]:
    """Sides of a picture halved so often, rounded up: 75 -> [75, 38, 19, 10, 5, 3] (T1)."""
    sizes = [size]
    for _ in range(times):
        sizes.append(-(-sizes[-1] // 2))
    return sizes


class Encoder(nn.Module):
    """G_es or G_et: picture (B, 3, S, S) in [-1, 1] -> code (B, code).

    Five blocks of conv 3x3, InstanceNorm, LeakyReLU 0.2 and down-sampling, then one linear layer (4.1; T2, T3).

    Args:
        size: S.
        code: 30 for the expression, 50 for the identity (4.1).
        widths: channels of the blocks.
        down: "avg" or "max" pooling, or "stride": the conv itself takes every second place (T2).
        tanh: bounds the code to -1..1 (T4).
        norm: "instance" (T3), or "layer", over all channels together, which leaves skin tone in the code.
    """

    def __init__(
        self, size: int, code: int, widths: Sequence[int], down: str, tanh: bool, norm: str = "instance"
    ) -> None:
        super().__init__()
        stride = 2 if down == "stride" else 1
        self.blocks = nn.ModuleList(
            nn.Sequential(
                nn.Conv2d(a, b, 3, stride, 1),
                instance_norm(b) if norm == "instance" else nn.GroupNorm(1, b),
                nn.LeakyReLU(0.2),
            )
            for a, b in pairwise([3, *widths])
        )
        self.pool = {
            "avg": nn.AvgPool2d(2, ceil_mode=True), "max": nn.MaxPool2d(2, ceil_mode=True), "stride": nn.Identity(),
        }[down]  # fmt: skip
        last = halvings(size, len(widths))[-1]
        self.fc = nn.Linear(widths[-1] * last * last, code)
        self.tanh = tanh
        init_normal(self)

    def features(self, images: Tensor) -> list[Tensor]:
        """The activations of all conv layers, before they are pooled: h_1 ... h_5 of eq. 8 and 9."""
        maps = []
        x = images
        for block in self.blocks:
            x = block(x)
            maps.append(x)
            x = self.pool(x)
        return maps

    def forward(self, images: Tensor) -> Tensor:
        """Codes (B, code)."""
        code = self.fc(self.pool(self.features(images)[-1]).flatten(1))
        return torch.tanh(code) if self.tanh else code


class Decoder(nn.Module):
    """G_de: f(x) (B, codes), the two codes side by side -> picture (B, 3, S, S) in [-1, 1].

    A linear layer to the encoder's last map, then as many blocks of nearest up-sampling to the encoder's own
    sizes and conv 3x3 (4.1; T1, T3, T4).
    """

    def __init__(self, size: int, codes: int, widths: Sequence[int]) -> None:
        super().__init__()
        channels = [*reversed(widths), 3]
        self.sizes = halvings(size, len(widths))[::-1]
        self.seed = nn.Linear(codes, channels[0] * self.sizes[0] ** 2)
        self.convs = nn.ModuleList(nn.Conv2d(a, b, 3, padding=1) for a, b in pairwise(channels))
        for layer in (self.seed, *self.convs):
            # without norms, N(0, 0.02) would all but silence a decoder narrower than the paper's
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
            nn.init.zeros_(layer.bias)

    def forward(self, code: Tensor) -> Tensor:
        """Pictures in [-1, 1]."""
        first = self.sizes[0]
        x = F.relu(self.seed(code)).view(len(code), -1, first, first)
        for k, (conv, size) in enumerate(zip(self.convs, self.sizes[1:], strict=True)):
            x = conv(F.interpolate(x, size=(size, size)))
            x = torch.tanh(x) if k + 1 == len(self.convs) else F.relu(x)
        return x


class Discriminator(nn.Module):
    """D = [D^e, D^i]: picture (B, 3, S, S) -> logits of the expressions and "fake", logits of the people.

    Four convs of stride 2 and a linear layer are shared, then each branch has three linear layers (4.1).

    Args:
        size: S.
        expressions: N_e, without the fake class.
        identities: N_i.
        widths: channels of the convs.
        shared: width of the shared linear layer; the branches have a half and a quarter of it.
        norm: "batch" (ExprGAN's, T13), or "group": free of batch statistics, so that two ranks equal one process.
    """

    def __init__(
        self, size: int, expressions: int, identities: int, widths: Sequence[int], shared: int, norm: str
    ) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for a, b in pairwise([3, *widths]):
            layers += [
                nn.Conv2d(a, b, 5, 2, 2),
                nn.BatchNorm2d(b) if norm == "batch" else group_norm(b),
                nn.ReLU(),
            ]
        last = halvings(size, len(widths))[-1]
        self.trunk = nn.Sequential(
            *layers, nn.Flatten(), nn.Linear(widths[-1] * last * last, shared), nn.LeakyReLU(0.2)
        )
        self.expression = _branch(shared, expressions + 1)
        self.identity = _branch(shared, identities)
        init_normal(self)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Logits (B, N_e + 1), the fake one last, and (B, N_i)."""
        seen = self.trunk(images)
        return self.expression(seen), self.identity(seen)


def _branch(width: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Linear(width, width // 2), nn.LeakyReLU(0.2), nn.Linear(width // 2, width // 4), nn.LeakyReLU(0.2),
        nn.Linear(width // 4, outputs),
    )  # fmt: skip


class CodeDiscriminator(nn.Module):
    """D_es or D_et: code (B, code) -> logit (B,), high for the code of a real picture (4.1: 32-16-1; T7, T8).

    The gradient that it sends back is reversed: it learns to tell, the encoder to leave nothing to tell (3.1.4).
    """

    def __init__(self, code: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(code, 32), nn.ReLU(), nn.Linear(32, 16), nn.ReLU(), nn.Linear(16, 1)
        )

    def forward(self, code: Tensor, reversal: float = 1.0) -> Tensor:
        """Logits; the code gets its gradient times ``-reversal``."""
        return self.layers(reverse_gradient(code, reversal))[:, 0]


def reverse_gradient(x: Tensor, strength: float = 1.0) -> Tensor:
    """The same values; backward, the gradient times ``-strength`` (Ganin et al. 2016)."""
    return _Reversal.apply(x, strength)


class _Reversal(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, strength: float) -> Tensor:
        ctx.strength = strength
        return x.view_as(x)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        return -ctx.strength * gradients[0], None
