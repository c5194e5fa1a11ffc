"""Compact bilinear pooling (Gao et al. 2016; Fukui et al. 2016): all products of two features in a few numbers."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from facegan.precision import full

EPS = 1e-6


class CountSketch(nn.Module):
    """Random projection (..., C) -> (..., d): each channel is added, with a sign, to one of d places.

    The places and signs are drawn once and saved with the weights. Inner products of sketches estimate inner
    products of what was sketched (Charikar et al. 2002).

    Args:
        channels: C.
        out: d.
        generator: draws places and signs.
    """

    def __init__(self, channels: int, out: int, generator: torch.Generator) -> None:
        super().__init__()
        self.out = out
        self.register_buffer("place", torch.randint(out, (channels,), generator=generator))
        self.register_buffer("sign", torch.randint(2, (channels,), generator=generator) * 2.0 - 1)

    place: Tensor
    sign: Tensor

    def forward(self, x: Tensor) -> Tensor:
        """The sketch (..., d), in the precision of ``x``."""
        return x.new_zeros(*x.shape[:-1], self.out).index_add(-1, self.place, x * self.sign.to(x.dtype))


class CompactBilinear(nn.Module):
    """Maps (B, C_k, H, W), two or more -> (B, d, H, W): at each place the sketch of their outer product.

    A sketch of an outer product is the circular convolution of the sketches, so a product of their spectra. Then
    signed square root and L2 norm over the channels, as in the cited work; in single precision under autocast.

    Args:
        channels: C_k of each input.
        out: d; the paper gives none (docs/aipgan.md A12).
        seed: of the places and signs.
    """

    def __init__(self, channels: list[int], out: int = 512, seed: int = 0) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(seed)
        self.sketches = nn.ModuleList(CountSketch(c, out, generator) for c in channels)
        self.out = out

    def pooled(self, *maps: Tensor) -> Tensor:
        """The sketch alone (B, H, W, d), before the square root and the norm."""
        spectrum: Tensor | None = None
        with torch.autocast(maps[0].device.type, enabled=False):
            for sketch, x in zip(self.sketches, maps, strict=True):
                own = torch.fft.rfft(sketch(full(x).permute(0, 2, 3, 1)))
                spectrum = own if spectrum is None else spectrum * own
            return torch.fft.irfft(spectrum, n=self.out)

    def forward(self, *maps: Tensor) -> Tensor:
        """Pooled features, of length 1 at each place."""
        y = self.pooled(*maps)
        # sign(y) sqrt|y| with a bounded slope at 0, and no step there
        root = y / (torch.sqrt(y.abs() + EPS) + EPS**0.5)
        return F.normalize(root, dim=-1).permute(0, 3, 1, 2).to(maps[0].dtype)
