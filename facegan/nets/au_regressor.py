"""A small convolutional net that reads an aligned face: the network of the judges of AUs and of expressions."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from facegan.faces import N_AUS
from facegan.precision import full

SIZE = 128
POSE_SIDES = (1.0, -1.0, -1.0)
"""Of a mirrored head the pitch is the same, yaw and roll are turned round."""


def _conv(inputs: int, outputs: int, stride: int = 1, kernel: int = 3) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(inplace=True),
    )


class _Residual(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.body = nn.Sequential(_conv(channels, channels), _conv(channels, channels))

    def forward(self, x: Tensor) -> Tensor:
        return x + self.body(x)


class AURegressor(nn.Module):
    """Four stride-2 convolutions to 8x8, then a head that keeps the place: on aligned faces an AU has one.

    48 M multiply-accumulates and 0.9 M parameters with the default channels, most of them at 16x16 and 8x8,
    so that it trains on two CPU cores in minutes. Its answer is linear: the judge cuts it to 0..5.

    Args:
        channels: of the maps at 64, 32, 16 and 8 pixels.
        outputs: 17 AUs, or the logits of classes that have no side either.
        sides: of outputs that have one, what each is multiplied by when the picture is mirrored.
    """

    def __init__(
        self,
        channels: Sequence[int] = (16, 32, 64, 128),
        outputs: int = N_AUS,
        sides: Sequence[float] | None = None,
    ) -> None:
        super().__init__()
        sides = [1.0] * outputs if sides is None else list(sides)
        self.register_buffer("sides", torch.tensor(sides), persistent=False)
        c64, c32, c16, c8 = channels
        self.trunk = nn.Sequential(
            _conv(3, c64, 2, kernel=5),
            _conv(c64, c32, 2),
            _conv(c32, c16, 2),
            _conv(c16, c16),
            _conv(c16, c8, 2),
            _Residual(c8),
        )
        self.head = nn.Sequential(
            nn.Conv2d(c8, 32, 1),
            nn.ReLU(),
            nn.Flatten(),
            nn.Linear(32 * 8 * 8, 256),
            nn.ReLU(),
            nn.Linear(256, len(sides)),
        )

    sides: Tensor

    def forward(self, images: Tensor) -> Tensor:
        """RGB (B, 3, 128, 128) in [-1, 1] -> AU intensities (B, 17), not cut to 0..5, or what else it was made for.

        Out of training, the mean over a picture and its mirror image: an AU's intensity has no side.
        """
        if self.training:
            return self.head(self.trunk(images))
        both = torch.cat([images, images.flip(-1)])
        straight, mirrored = self.head(self.trunk(both)).view(2, len(images), -1)
        return (straight + self.sides * mirrored) / 2

    def features(self, images: Tensor) -> Tensor:
        """The last conv map (B, C, 8, 8)."""
        return self.trunk(images)


def to_size(images: Tensor, size: int = SIZE) -> Tensor:
    """Pictures (B, 3, S, S) at the network's size, bilinear with antialiasing."""
    if images.shape[-2:] == (size, size):
        return images
    # nothing resizes bfloat16 on a CPU
    return F.interpolate(full(images), (size, size), mode="bilinear", antialias=True, align_corners=False)


@torch.no_grad()
def augment(images: Tensor, generator: torch.Generator) -> Tensor:
    """What keeps the judge honest on generated pictures: it must not read AUs from fine texture.

    Every picture is moved (2.5 % of its width, 2 degrees, 3 % in size), lit differently (brightness,
    contrast, tint) and given noise; a third of the batch is blurred and a third taken at half resolution.

    Args:
        images: RGB (B, 3, S, S) in [-1, 1]; drawn for from ``generator``, which lives on their device.
    """
    # of what is drawn, some would come in half precision
    with torch.autocast(images.device.type, enabled=False):
        return _augmented(images, generator)


def _augmented(images: Tensor, generator: torch.Generator) -> Tensor:
    b, device = len(images), images.device

    def uniform(low: float, high: float, *shape: int) -> Tensor:
        return torch.empty(b, *shape, device=device).uniform_(low, high, generator=generator)

    angle, scale = uniform(-0.035, 0.035), uniform(0.97, 1.03)
    shift = uniform(-0.05, 0.05, 2)  # of half a width
    cos, sin = scale * angle.cos(), scale * angle.sin()
    matrix = torch.stack(
        [torch.stack([cos, -sin, shift[:, 0]], 1), torch.stack([sin, cos, shift[:, 1]], 1)], 1
    )
    grid = F.affine_grid(matrix, list(images.shape), align_corners=False)
    images = F.grid_sample(images, grid, padding_mode="border", align_corners=False)

    third = (b + 2) // 3
    order = torch.randperm(b, device=device, generator=generator)
    blurred, halved = order[:third], order[third : 2 * third]
    sigma = float(torch.empty((), device=device).uniform_(0.5, 1.5, generator=generator))
    taps = torch.exp(-0.5 * (torch.arange(-3, 4, device=device) / sigma) ** 2)
    taps = (taps / taps.sum()).to(images.dtype).repeat(3, 1)
    soft = F.conv2d(F.pad(images[blurred], (3, 3, 3, 3), "replicate"), taps[:, None, None, :], groups=3)
    images[blurred] = F.conv2d(soft, taps[:, None, :, None], groups=3)
    half = F.avg_pool2d(images[halved], 2)
    images[halved] = F.interpolate(half, images.shape[-2:], mode="bilinear", align_corners=False)

    gain = uniform(0.8, 1.2, 1, 1, 1) * uniform(0.95, 1.05, 3, 1, 1)
    noise = torch.empty_like(images).normal_(generator=generator) * uniform(0, 0.06, 1, 1, 1)
    return (images * gain + uniform(-0.15, 0.15, 1, 1, 1) + noise).clamp_(-1, 1)
