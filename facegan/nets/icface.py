"""ICface's generator and discriminators (3.1), as the authors released them (docs/icface.md I1-I3)."""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from facegan.nets.blocks import init_normal, instance_norm

ATTRIBUTES = 20
"""Pitch, yaw, roll and 17 AUs, each in 0..1 (4)."""


PAIRED_MAPS = 128
"""Of the released discriminator's last conv, at any width."""


class Generator(nn.Module):
    """G_N or G_A: picture (B, 3, S, S) in [-1, 1] and attributes (B, 20) in 0..1 -> picture.

    The attributes are repeated over the picture (3.1). Two convs of stride 2, residual blocks, two deconvs.

    Args:
        width: channels of the first conv; 128 as released.
        blocks: residual blocks.
        norm: "batch" as released, or "instance": then padded with zeros, for a constant plane of attributes under
            InstanceNorm and reflection would be no information at all (I2).
        dropout: in the residual blocks, in training.
    """

    def __init__(self, width: int = 128, blocks: int = 6, norm: str = "batch", dropout: float = 0.5) -> None:
        super().__init__()
        normal: Callable[[int], nn.Module] = nn.BatchNorm2d if norm == "batch" else instance_norm
        self.reflecting = norm == "batch"
        pad = nn.ReflectionPad2d if self.reflecting else nn.ZeroPad2d
        a, b, c = width, 2 * width, 4 * width
        layers: list[nn.Module] = [
            pad(3), nn.Conv2d(3 + ATTRIBUTES, a, 7, bias=False), normal(a), nn.ReLU(),
            nn.Conv2d(a, b, 3, 2, 1, bias=False), normal(b), nn.ReLU(),
            nn.Conv2d(b, c, 3, 2, 1, bias=False), normal(c), nn.ReLU(),
        ]  # fmt: skip
        layers += [_Residual(c, normal, pad, dropout) for _ in range(blocks)]
        layers += [
            nn.ConvTranspose2d(c, b, 3, 2, 1, 1, bias=False), normal(b), nn.ReLU(),
            nn.ConvTranspose2d(b, a, 3, 2, 1, 1, bias=False), normal(a), nn.ReLU(),
            pad(3), nn.Conv2d(a, 3, 7), nn.Tanh(),
        ]  # fmt: skip
        self.layers = nn.Sequential(*layers)
        init_normal(self)

    def forward(self, images: Tensor, attributes: Tensor) -> Tensor:
        """Pictures in [-1, 1]."""
        x, attributes = images.contiguous(memory_format=torch.channels_last), attributes.to(images.dtype)
        # under reflection what a constant plane adds is the same at every pixel: exact, and much cheaper
        if self.reflecting:
            pad, conv = self.layers[0], self.layers[1]
            weight: Tensor = conv.weight  # type: ignore[assignment]
            constant = F.linear(attributes, weight[:, 3:].sum((2, 3)))
            return self.layers[2:](F.conv2d(pad(x), weight[:, :3]) + constant[:, :, None, None])
        planes = attributes[:, :, None, None].expand(-1, -1, *images.shape[2:])
        return self.layers(torch.cat([x, planes], 1).contiguous(memory_format=torch.channels_last))


class _Residual(nn.Module):
    def __init__(
        self, channels: int, normal: Callable[[int], nn.Module], pad: type[nn.Module], dropout: float
    ) -> None:
        super().__init__()
        self.body = nn.Sequential(
            pad(1), nn.Conv2d(channels, channels, 3, bias=False), normal(channels), nn.ReLU(), nn.Dropout(dropout),
            pad(1), nn.Conv2d(channels, channels, 3, bias=False), normal(channels),
        )  # fmt: skip

    def forward(self, x: Tensor) -> Tensor:
        return x + self.body(x)


class Discriminator(nn.Module):
    """D: picture (B, 3, S, S) -> realness logits of patches (B, 1, s, s) and attributes (B, 20) in 0..1: C_1 and C_2.

    Args:
        size: S.
        preset: "patch": CycleGAN's trunk, as the text says, or "released": pairs of 3x3 convs (I3).
        width: channels of the first convs: 64 of "patch"; 256 of "released" as published, where 64 will do.
    """

    def __init__(self, size: int, preset: str = "patch", width: int = 64) -> None:
        super().__init__()
        if preset == "patch":
            self.trunk, channels, side = _patch_trunk(width), 8 * width, size // 8 - 1
        else:
            self.trunk, channels, side = _paired_trunk(width), PAIRED_MAPS, -(-size // 16)
        if side < 3:
            raise ValueError(
                f"data.image_size={size} is too small for ICface's discriminator; take 48 or more"
            )
        self.realness = nn.Conv2d(channels, 1, 4, 1, 1)
        self.attributes = nn.Conv2d(channels, ATTRIBUTES, side)
        # of 115,200 normed inputs at 128 pixels: were it a sum, one step could saturate the sigmoids for good
        self.share = side**-2 if preset == "patch" else 1.0
        init_normal(self)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """C_1's logits, and C_2's attributes."""
        seen = self.trunk(images)
        return self.realness(seen), (self.share * self.attributes(seen)).flatten(1).sigmoid()


def _patch_trunk(width: int) -> nn.Sequential:
    layers: list[nn.Module] = [nn.Conv2d(3, width, 4, 2, 1), nn.LeakyReLU(0.2)]
    for k, stride in enumerate((2, 2, 1)):
        a, b = width << k, width << (k + 1)
        # without offsets InstanceNorm's conv needs no bias either
        layers += [
            nn.Conv2d(a, b, 4, stride, 1, bias=False),
            nn.GroupNorm(b, b, affine=False),
            nn.LeakyReLU(0.2),
        ]
    return nn.Sequential(*layers)


def _paired_trunk(width: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    channels = 3
    for out in (width, 2 * width, 4 * width):
        layers += [nn.Conv2d(channels, out, 3, 1, 1), nn.Conv2d(out, out, 3, 2, 1), nn.ReLU()]
        channels = out
    wide = 8 * width
    layers += [
        nn.Conv2d(channels, wide, 3, 1, 1), nn.ReLU(), nn.Conv2d(wide, wide, 3, 1, 1),
        nn.Conv2d(wide, PAIRED_MAPS, 3, 2, 1),
    ]  # fmt: skip
    return nn.Sequential(*layers)
