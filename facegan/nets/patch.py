"""The multi-scale patch discriminator of pix2pixHD (Wang et al. 2018), which AIP-GAN takes over (3.2)."""

from itertools import pairwise

from torch import Tensor, nn
from torch.nn import functional as F

from facegan.nets.blocks import init_normal


class PatchDiscriminator(nn.Module):
    """Picture (B, 3, S, S) -> a score for each patch (B, 1, s, s); 15x15 of them at 96 pixels.

    Convs 4x4 with padding 2, InstanceNorm without offsets, LeakyReLU 0.2 (docs/aipgan.md A20).

    Args:
        width: channels of the first conv.
        layers: convs of stride 2.
    """

    def __init__(self, width: int = 64, layers: int = 3) -> None:
        super().__init__()
        widths = [min(width << k, width * 8) for k in range(layers + 1)]
        parts: list[nn.Module] = [nn.Conv2d(3, widths[0], 4, 2, 2), nn.LeakyReLU(0.2)]
        for k, (a, b) in enumerate(pairwise(widths), 1):
            parts += [
                nn.Conv2d(a, b, 4, 2 if k < layers else 1, 2),
                nn.GroupNorm(b, b, affine=False),
                nn.LeakyReLU(0.2),
            ]
        self.layers = nn.Sequential(*parts, nn.Conv2d(widths[-1], 1, 4, 1, 2))
        init_normal(self)

    def forward(self, images: Tensor) -> Tensor:
        """Scores."""
        return self.layers(images)


class MultiScaleDiscriminator(nn.Module):
    """Picture (B, 3, S, S) -> score maps of ``scales`` patch discriminators, each at half the size of the last."""

    def __init__(self, width: int = 64, layers: int = 3, scales: int = 2) -> None:
        super().__init__()
        self.scales = nn.ModuleList(PatchDiscriminator(width, layers) for _ in range(scales))

    def forward(self, images: Tensor) -> list[Tensor]:
        """Score maps, the finest first."""
        maps = []
        for discriminator in self.scales:
            maps.append(discriminator(images))
            images = F.avg_pool2d(images, 3, 2, 1, count_include_pad=False)
        return maps
