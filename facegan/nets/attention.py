"""AIP-GAN's attention: scSE (Roy et al. 2018), and the expression attention that is taught by labels (3.1)."""

import torch
from torch import Tensor, nn

from facegan.precision import full

EPS = 1e-6


class SqueezeExcite(nn.Module):
    """Concurrent spatial and channel squeeze and excitation: map (B, C, H, W) -> the same, attended.

    Args:
        channels: C.
        merge: "sum" of the two branches (the cited block), or their larger value, "max" (docs/aipgan.md A11).
        reduction: C over the width of the channel branch's middle.
    """

    def __init__(self, channels: int, merge: str = "sum", reduction: int = 2) -> None:
        super().__init__()
        middle = max(1, channels // reduction)
        self.channel = nn.Sequential(nn.Linear(channels, middle), nn.ReLU(), nn.Linear(middle, channels))
        self.spatial = nn.Conv2d(channels, 1, 1)
        self.merge = merge

    def forward(self, x: Tensor) -> Tensor:
        """Weighted by channel and by place."""
        by_channel = x * torch.sigmoid(self.channel(x.mean((2, 3))))[:, :, None, None]
        by_place = x * torch.sigmoid(self.spatial(x))
        return by_channel + by_place if self.merge == "sum" else torch.maximum(by_channel, by_place)


class ExpressionAttention(nn.Module):
    """Where a face shows its expression: F (B, C, H, W) -> F * alpha, and what the expression seems to be.

    scSE, a 1x1 conv to one map Q_i an expression, their means as logits of P, and alpha = norm(sum_i P_i Q_i) (3.1).

    Args:
        channels: C.
        expressions: S, six in the paper.
        merge: of scSE.
        norm: of alpha over each picture: "minmax" to 0..1, or "sigmoid" (docs/aipgan.md A7).
        residual: F * (1 + alpha) instead (A7).
    """

    def __init__(
        self,
        channels: int,
        expressions: int,
        merge: str = "sum",
        norm: str = "minmax",
        residual: bool = False,
    ) -> None:
        super().__init__()
        self.attend = SqueezeExcite(channels, merge)
        self.maps = nn.Conv2d(channels, expressions, 1)
        self.norm = norm
        self.residual = residual

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """F_e (B, C, H, W), logits of P (B, S), and alpha (B, 1, H, W) in 0..1."""
        maps = full(self.maps(self.attend(x)))
        logits = maps.mean((2, 3))
        alpha = (logits.softmax(1)[:, :, None, None] * maps).sum(1, keepdim=True)
        alpha = torch.sigmoid(alpha) if self.norm == "sigmoid" else _minmax(alpha)
        return x * (1 + alpha if self.residual else alpha).to(x.dtype), logits, alpha


def _minmax(alpha: Tensor) -> Tensor:
    low, high = alpha.amin((2, 3), keepdim=True), alpha.amax((2, 3), keepdim=True)
    return (alpha - low) / (high - low + EPS)
