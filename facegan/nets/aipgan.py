"""AIP-GAN's encoders, heads and decoder (3.1, 4.2; what the paper leaves open: docs/aipgan.md A1-A4, A10-A15)."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from facegan.nets.attention import ExpressionAttention, SqueezeExcite
from facegan.nets.bilinear import CompactBilinear
from facegan.nets.blocks import init_normal, instance_norm

CEB_BLOCKS = (1, 3, 5, 6)
"""Of the decoder's blocks, those with a cross-encoder bilinear module (4.2)."""


def level_sizes(size: int, levels: int, pooled: int) -> list[int]:
    """Sides of a picture and of the encoders' maps: halved after the first ``pooled`` blocks, rounded up (A1).

    96 -> [96, 48, 24, 12, 6, 3, 3, 3].

    Raises:
        ValueError: the last maps would be single pixels, which InstanceNorm makes nothing of.
    """
    sizes = [size]
    for level in range(levels):
        sizes.append(-(-sizes[-1] // 2) if level < pooled else sizes[-1])
    if sizes[-1] < 2:
        raise ValueError(
            f"data.image_size={size} is too small for {pooled} halvings; take {2**pooled + 1} or more, "
            "or a smaller method.pool_blocks"
        )
    return sizes


def _blocks(widths: Sequence[int]) -> nn.ModuleList:
    """Conv 3x3 of stride 1, InstanceNorm, LeakyReLU 0.2 (4.2)."""
    return nn.ModuleList(
        nn.Sequential(nn.Conv2d(a, b, 3, 1, 1), instance_norm(b), nn.LeakyReLU(0.2))
        for a, b in pairwise([3, *widths])
    )


@dataclass
class ExpressionFeatures:
    """What the expression encoder makes of pictures."""

    code: Tensor
    """e (B, 30)."""
    maps: list[Tensor]
    """F_e of each level (B, C_l, S_l, S_l)."""
    logits: list[Tensor]
    """Of P, of each level (B, 6)."""
    attention: list[Tensor]
    """alpha of each level (B, 1, S_l, S_l) in 0..1."""


class ExpressionEncoder(nn.Module):
    """G_es: pictures (B, 3, S, S) in [-1, 1] -> ``ExpressionFeatures``.

    Args:
        size: S.
        code: 30 (4.2).
        widths: channels of the blocks; seven in the paper.
        pooled: blocks that halve the map.
        expressions: of the attention.
        merge, norm, residual: of the attention (A7, A11).
    """

    def __init__(
        self, size: int, code: int, widths: Sequence[int], pooled: int, expressions: int, merge: str, norm: str,
        residual: bool,
    ) -> None:  # fmt: skip
        super().__init__()
        self.blocks = _blocks(widths)
        self.attention = nn.ModuleList(
            ExpressionAttention(c, expressions, merge, norm, residual) for c in widths
        )
        self.pooled = pooled
        self.fc = nn.Linear(widths[-1] * level_sizes(size, len(widths), pooled)[-1] ** 2, code)
        init_normal(self.blocks)

    def forward(self, images: Tensor) -> ExpressionFeatures:
        """Codes, and what each level attends to."""
        x, maps, logits, attention = images, [], [], []
        for level, (block, attend) in enumerate(zip(self.blocks, self.attention, strict=True)):
            x = block(x)
            x, p, alpha = attend(F.avg_pool2d(x, 2, ceil_mode=True) if level < self.pooled else x)
            maps.append(x)
            logits.append(p)
            attention.append(alpha)
        return ExpressionFeatures(self.fc(x.flatten(1)), maps, logits, attention)


class IdentityEncoder(nn.Module):
    """G_et: pictures (B, 3, S, S) in [-1, 1] -> h (B, 50) and the attended maps of each level.

    Args:
        size: S.
        code: 50 (4.2).
        widths, pooled: as of the expression encoder.
        merge: of scSE.
    """

    def __init__(self, size: int, code: int, widths: Sequence[int], pooled: int, merge: str) -> None:
        super().__init__()
        self.blocks = _blocks(widths)
        self.attention = nn.ModuleList(SqueezeExcite(c, merge) for c in widths)
        self.pooled = pooled
        self.fc = nn.Linear(widths[-1] * level_sizes(size, len(widths), pooled)[-1] ** 2, code)
        init_normal(self.blocks)

    def forward(self, images: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Codes and maps."""
        x, maps = images, []
        for level, (block, attend) in enumerate(zip(self.blocks, self.attention, strict=True)):
            x = block(x)
            x = attend(F.avg_pool2d(x, 2, ceil_mode=True) if level < self.pooled else x)
            maps.append(x)
        return self.fc(x.flatten(1)), maps


class PictureHead(nn.Module):
    """Code (B, code) -> picture (B, channels, S, S), by an MLP with one hidden layer (3.1; A15).

    It makes the landmark image Z from e (one channel, about 0..1) and the identity map H from h (three, -1..1).
    """

    def __init__(self, code: int, size: int, channels: int, hidden: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(code, hidden), nn.ReLU(), nn.Linear(hidden, channels * size * size)
        )
        self.shape = (channels, size, size)

    def forward(self, code: Tensor) -> Tensor:
        """The picture; of three channels, bounded to -1..1."""
        picture = self.layers(code).unflatten(1, self.shape)
        return torch.tanh(picture) if self.shape[0] == 3 else picture


class CrossEncoderBilinear(nn.Module):
    """CEB: F_e and F_i of one level beside the decoder's map, joined by compact bilinear pooling (3.1; A12).

    Args:
        channels: of F_e and of F_i.
        decoder: channels of the decoder's map.
        out: d of the pooling.
        kind: "cbp", "mcb3": the decoder's map is a third factor, or "concat": no pooling (the ablation).
        seed: of the sketches.
    """

    def __init__(self, channels: int, decoder: int, out: int, kind: str, seed: int) -> None:
        super().__init__()
        self.kind = kind
        self.out = decoder + (2 * channels if kind == "concat" else out)
        if kind != "concat":
            inputs = [channels, channels] + ([decoder] if kind == "mcb3" else [])
            self.pooling = CompactBilinear(inputs, out, seed)

    def forward(self, x: Tensor, expression: Tensor, identity: Tensor) -> Tensor:
        """(B, out, H, W): the decoder's map with what the encoders add."""
        if self.kind == "concat":
            return torch.cat([x, expression, identity], 1)
        inputs = [expression, identity] + ([x] if self.kind == "mcb3" else [])
        return torch.cat([x, self.pooling(*inputs)], 1)


class Decoder(nn.Module):
    """G_de: e, h and the encoders' maps -> picture (B, 3, S, S) in [-1, 1].

    As many blocks as the encoders have, with their widths backwards: [CEB,] conv 3x3, InstanceNorm, ReLU and nearest
    up-sampling to the encoders' sizes; block k reads level 8 - k (A2). A conv makes the picture (A4).

    Args:
        size: S.
        codes: of e and h together.
        widths, pooled: of the encoders.
        bilinear: d of the CEB modules.
        ceb: their kind.
    """

    def __init__(
        self, size: int, codes: int, widths: Sequence[int], pooled: int, bilinear: int, ceb: str
    ) -> None:
        super().__init__()
        self.sizes = level_sizes(size, len(widths), pooled)[::-1]
        backwards = list(reversed(widths))
        self.seed = nn.Linear(codes, backwards[0] * self.sizes[0] ** 2)
        self.ceb = nn.ModuleDict()
        self.blocks = nn.ModuleList()
        for k, (inside, out) in enumerate(pairwise([backwards[0], *backwards]), 1):
            if k in CEB_BLOCKS:
                self.ceb[str(k)] = CrossEncoderBilinear(backwards[k - 1], inside, bilinear, ceb, seed=k)
                inside = self.ceb[str(k)].out  # type: ignore[assignment]
            self.blocks.append(nn.Sequential(nn.Conv2d(inside, out, 3, 1, 1), instance_norm(out), nn.ReLU()))
        self.picture = nn.Conv2d(backwards[-1], 3, 3, 1, 1)
        init_normal(self.blocks)

    def forward(self, code: Tensor, expression: list[Tensor], identity: list[Tensor]) -> Tensor:
        """Pictures from codes (B, e and h side by side) and the maps of all levels."""
        side = self.sizes[0]
        x = F.relu(self.seed(code)).view(len(code), -1, side, side)
        for k, (block, size) in enumerate(zip(self.blocks, self.sizes[1:], strict=True), 1):
            if str(k) in self.ceb:
                x = self.ceb[str(k)](x, expression[-k], identity[-k])
            x = block(x)
            if size != x.shape[-1]:
                x = F.interpolate(x, size=(size, size))
        return torch.tanh(self.picture(x))
