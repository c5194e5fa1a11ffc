"""Small blocks that several networks share."""

import math

from torch import Tensor, nn
from torch.nn import functional as F


def init_normal(module: nn.Module, std: float = 0.02) -> None:
    """Draw conv weights from N(0, 0.02), as the public GAN codes of this field do; biases become 0."""
    for part in module.modules():
        if isinstance(part, nn.Conv2d | nn.ConvTranspose2d):
            nn.init.normal_(part.weight, 0.0, std)
            if part.bias is not None:
                nn.init.zeros_(part.bias)


def doublings(size: int, start: int) -> int:
    """How often ``start`` doubles to ``size``.

    Raises:
        ValueError: ``size`` is not ``start`` times a power of two.
    """
    n = round(math.log2(size / start)) if size >= start else -1
    if n < 0 or start << n != size:
        raise ValueError(
            f"data.image_size={size} is not {start} times a power of two (32, 64, 128, 256, ...)"
        )
    return n


class ResidualUp(nn.Module):
    """Up-sampling residual block (B, in, s, s) -> (B, out, 2s, 2s): nearest x2, two 3x3 convs with
    InstanceNorm, a 1x1 conv as the shortcut, PReLU (EGGAN 4.1; docs/eggan.md E7 for what the paper leaves open).
    """

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, out_channels, 3, padding=1, bias=False)
        self.norm1 = instance_norm(out_channels)
        self.act1 = nn.PReLU(out_channels)
        self.conv2 = nn.Conv2d(out_channels, out_channels, 3, padding=1, bias=False)
        self.norm2 = instance_norm(out_channels)
        self.shortcut = nn.Conv2d(in_channels, out_channels, 1)
        self.act2 = nn.PReLU(out_channels)

    def forward(self, x: Tensor) -> Tensor:
        """Double the height and the width."""
        residual = self.act1(self.norm1(upsampled_conv(x, self.conv1.weight)))
        # a 1x1 conv and nearest up-sampling commute: the small map is four times cheaper
        shortcut = F.interpolate(self.shortcut(x), scale_factor=2.0)
        return self.act2(self.norm2(self.conv2(residual)) + shortcut)


def upsampled_conv(x: Tensor, weight: Tensor) -> Tensor:
    """A 3x3 conv with padding 1 over ``x`` enlarged twice (nearest), at four products a pixel instead of nine.

    Of the nine taps, those that fall on copies of one pixel are summed first, which makes the whole a 4x4 transposed
    conv of stride 2: the same numbers up to rounding, in a third to two thirds of the time.

    Args:
        x: (B, in, s, s). weight: (out, in, 3, 3), as of ``nn.Conv2d``.

    Returns:
        (B, out, 2s, 2s).
    """
    taps = F.pad(weight.flip(2, 3), (1, 1, 1, 1))
    taps = taps[:, :, 1:, 1:] + taps[:, :, :-1, 1:] + taps[:, :, 1:, :-1] + taps[:, :, :-1, :-1]
    return F.conv_transpose2d(x, taps.transpose(0, 1), stride=2, padding=1)


def instance_norm(channels: int) -> nn.GroupNorm:
    """InstanceNorm with scale and offset, as one group a channel: the same numbers, but the kernel keeps
    ``channels_last`` tensors as they are (nn.InstanceNorm2d copies them to the plain order and back).
    """
    return nn.GroupNorm(channels, channels)


def group_norm(channels: int) -> nn.GroupNorm:
    """GroupNorm with groups of 8 or more channels, at most 32 groups; free of batch statistics, so
    that two ranks of 4 pictures equal one of 8.
    """
    return nn.GroupNorm(math.gcd(32, max(1, channels // 8), channels), channels)
