"""EGGAN's encoder, generator and two discriminators, in the paper's and in the released code's form.

The paper gives channels for E and D_z, counts for G and D_img; the rest is docs/eggan.md E5-E10 and, for
sizes other than 128, E21: at S = 2^k pixels E has k - 2 convs, G k - 1 blocks, D_img k - 1 convs.
"""

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from facegan.nets.blocks import ResidualUp, doublings, init_normal, instance_norm


class Encoder(nn.Module):
    """E: picture (B, 3, S, S) in [-1, 1] -> latent code (B, latent), no output activation (docs/eggan.md E6).

    Convs of kernel 4, stride 2, down to a 4x4 map, then one linear layer (EGGAN 4.1).

    Args:
        norm: "instance" (the released code's, E9), or "layer", over all channels together: it leaves the
            ratios of the channels, and with them skin tone, in the code, and learns in fewer steps.
    """

    def __init__(self, size: int, latent: int, widths: Sequence[int], norm: str = "instance") -> None:
        super().__init__()
        channels = [3, *_take(widths, doublings(size, 4), "encoder_widths")]
        layers: list[nn.Module] = []
        for i, (a, b) in enumerate(pairwise(channels)):
            layers.append(nn.Conv2d(a, b, 4, 2, 1))
            if i < len(channels) - 2:
                layers += [instance_norm(b) if norm == "instance" else nn.GroupNorm(1, b), nn.PReLU(b)]
        self.convs = nn.Sequential(*layers)
        self.fc = nn.Linear(channels[-1] * 16, latent)
        init_normal(self)

    def forward(self, images: Tensor) -> Tensor:
        """Latent codes (B, latent)."""
        return self.fc(self.convs(images).flatten(1))


class Generator(nn.Module):
    """G: code (B, latent) and AUs (B, 17) 0..5 -> picture (B, 3, S, S) in [-1, 1].

    A linear layer to a 2x2 seed, then up-sampling residual blocks (EGGAN 4.1; docs/eggan.md E7). Code and AUs
    enter together at the seed, before any InstanceNorm could remove a constant condition.
    """

    def __init__(
        self, size: int, latent: int, aus: int, widths: Sequence[int], au_scale: float = 1.0
    ) -> None:
        super().__init__()
        channels = _take(widths, doublings(size, 2), "generator_widths")
        channels = [channels[0], *channels]
        self.au_scale = au_scale
        self.seed = nn.Linear(latent + aus, channels[0] * 4)
        self.blocks = nn.Sequential(*(ResidualUp(a, b) for a, b in pairwise(channels)))
        self.to_rgb = nn.Conv2d(channels[-1], 3, 3, padding=1)
        init_normal(self)

    def forward(self, code: Tensor, au: Tensor) -> Tensor:
        """Pictures in [-1, 1]."""
        seed = self.seed(torch.cat([code, au * self.au_scale], 1))
        return torch.tanh(self.to_rgb(self.blocks(seed.view(len(seed), -1, 2, 2))))


class ImageDiscriminator(nn.Module):
    """D_img: picture (B, 3, S, S) -> score map (B, 1, 2, 2); no normalisation, as the penalty is per picture.

    Stride-2 convs of kernel 4 with LeakyReLU 0.01, then a 3x3 conv (docs/eggan.md E8).
    """

    def __init__(self, size: int, widths: Sequence[int]) -> None:
        super().__init__()
        channels = [3, *_take(widths, doublings(size, 2), "critic_widths")]
        layers: list[nn.Module] = []
        for a, b in pairwise(channels):
            layers += [nn.Conv2d(a, b, 4, 2, 1), nn.LeakyReLU(0.01)]
        self.trunk = nn.Sequential(*layers)
        self.score = nn.Conv2d(channels[-1], 1, 3, padding=1, bias=False)
        init_normal(self)

    def forward(self, images: Tensor) -> Tensor:
        """Unbounded scores, high for real."""
        return self.score(self.trunk(images))


class LatentDiscriminator(nn.Module):
    """D_z: code (B, latent) -> logit (B, 1), high for the prior (EGGAN 4.1; PReLU, no norm: docs/eggan.md E10)."""

    def __init__(self, latent: int, widths: Sequence[int]) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for a, b in zip([latent, *widths], widths, strict=False):
            layers += [nn.Linear(a, b), nn.PReLU()]
        self.layers = nn.Sequential(*layers, nn.Linear(widths[-1], 1))

    def forward(self, code: Tensor) -> Tensor:
        """Logits (B, 1)."""
        return self.layers(code)


class ReleasedEncoder(nn.Module):
    """E of the authors' later code: 4x4 stride-2 convs 128..2048, average pooling, FC, sigmoid."""

    def __init__(self, size: int, latent: int, widths: Sequence[int] = (128, 256, 512, 1024, 2048)) -> None:
        super().__init__()
        channels = [3, *_take(widths, doublings(size, 4), "widths of the released encoder")]
        layers: list[nn.Module] = []
        for i, (a, b) in enumerate(pairwise(channels)):
            layers.append(nn.Conv2d(a, b, 4, 2, 1))
            if i < len(channels) - 2:
                layers += [nn.InstanceNorm2d(b), nn.PReLU()]
        self.convs = nn.Sequential(*layers)
        self.fc = nn.Linear(channels[-1], latent)
        init_normal(self)

    def forward(self, images: Tensor) -> Tensor:
        """Latent codes (B, latent) in (0, 1)."""
        return torch.sigmoid(self.fc(self.convs(images).mean((2, 3))))


class ReleasedGenerator(nn.Module):
    """G of the authors' later code: from 1x1 by transposed convs, 2048..64, no residual links."""

    def __init__(
        self, size: int, latent: int, aus: int, widths: Sequence[int] = (2048, 1024, 512, 256, 128, 64)
    ) -> None:
        super().__init__()
        channels = [latent + aus, *_take(widths, doublings(size, 4) + 1, "widths of the released generator")]
        layers: list[nn.Module] = []
        for i, (a, b) in enumerate(pairwise(channels)):
            up = nn.ConvTranspose2d(a, b, 4, 2 if i else 1, 1 if i else 0)
            layers += [up, nn.InstanceNorm2d(b), nn.PReLU()]
            layers += [nn.ConvTranspose2d(b, b, 3, 1, 1), nn.InstanceNorm2d(b), nn.PReLU()]
        self.layers = nn.Sequential(*layers, nn.Conv2d(channels[-1], 3, 1))
        init_normal(self)

    def forward(self, code: Tensor, au: Tensor) -> Tensor:
        """Pictures in [-1, 1]."""
        return torch.tanh(self.layers(torch.cat([code, au], 1)[:, :, None, None]))


class ReleasedDiscriminator(nn.Module):
    """D_img of the authors' later code: 4x4 stride-2 convs 128..2048 with PReLU, then a 4x4 conv to a scalar."""

    def __init__(self, size: int, widths: Sequence[int] = (128, 256, 512, 1024, 2048)) -> None:
        super().__init__()
        channels = [3, *_take(widths, doublings(size, 4), "widths of the released discriminator")]
        layers: list[nn.Module] = []
        for a, b in pairwise(channels):
            layers += [nn.Conv2d(a, b, 4, 2, 1), nn.PReLU()]
        self.layers = nn.Sequential(*layers, nn.Conv2d(channels[-1], 1, 4))
        init_normal(self)

    def forward(self, images: Tensor) -> Tensor:
        """Unbounded scores (B, 1, 1, 1)."""
        return self.layers(images)


def _take(widths: Sequence[int], n: int, name: str) -> list[int]:
    """The first ``n`` widths; a larger picture than the widths allow is the user's mistake."""
    if len(widths) < n:
        raise ValueError(f"method.{name} has {len(widths)} entries, this data.image_size needs {n}")
    return list(widths[:n])


def shift_blur_noise(images: Tensor, draws: Tensor, strength: float) -> Tensor:
    """A random shift, blur and noise for each picture: what C_exp, C_id and D_img look through (docs/eggan.md E4).

    A classifier that never sees two pixels the same way twice is not fooled by fine texture. The same
    draws go to real and generated pictures.

    Args:
        images: (B, 3, S, S) in [-1, 1].
        draws: (B, 4) uniform in [0, 1): shift x, shift y, blur, noise.
        strength: 1 shifts by up to S / 16 pixels, blends up to all of a 3x3 blur in, and adds noise of up to 0.1.
    """
    wide = torch.promote_types(images.dtype, torch.float32)
    images, draws = images.to(wide), draws.to(wide)
    with torch.autocast(images.device.type, enabled=False):  # grid_sample and lerp want one type
        size = images.shape[-1]
        shift = (draws[:, :2] * 2 - 1) * strength / 8  # in grid units, where the picture is 2 wide
        shift = torch.round(shift * size / 2) * 2 / size  # whole pixels: no hidden blur
        centres = (2 * torch.arange(size, device=images.device, dtype=wide) + 1) / size - 1
        still = torch.stack(torch.meshgrid(centres, centres, indexing="xy"), -1)
        grid = still + shift.view(-1, 1, 1, 2)
        moved = F.grid_sample(images, grid, padding_mode="border", align_corners=False)
        blurred = F.avg_pool2d(F.pad(moved, (1, 1, 1, 1), mode="replicate"), 3, 1)
        mixed = torch.lerp(moved, blurred, (draws[:, 2] * strength).clamp(max=1).view(-1, 1, 1, 1))
        noise = _hash_noise(images.shape, draws[:, 3], images.device).to(wide)
        return mixed + noise * (0.1 * strength * draws[:, 3].view(-1, 1, 1, 1))


def _hash_noise(shape: torch.Size, seeds: Tensor, device: torch.device) -> Tensor:
    """Noise of mean 0 and deviation 1 from each picture's own draw: equal however the batch is split."""
    pixels = torch.arange(shape[1] * shape[2] * shape[3], device=device, dtype=torch.float32)
    phase = torch.sin(pixels * 12.9898 + seeds.float().view(-1, 1) * 78.233) * 43758.5453
    return ((phase - phase.floor()) - 0.5).view(shape) * 12**0.5
