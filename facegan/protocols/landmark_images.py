"""Landmarks read off a landmark image: a shape model of the training people is laid over its dots (AIP-GAN's Z)."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

BLURS = (4.0, 2.0, 1.0)
"""Standard deviations in pixels of the dots that are compared, coarse to fine, so that far ones find their place."""


@dataclass(frozen=True)
class ShapeModel:
    """Mean (68, 2) of landmarks in pixels, and the directions (K, 68, 2) in which they vary, a deviation long."""

    mean: Tensor
    modes: Tensor

    @classmethod
    def of(cls, landmarks: np.ndarray, modes: int = 24) -> "ShapeModel":
        """Principal components of landmarks (N, 68, 2)."""
        flat = torch.from_numpy(np.asarray(landmarks, np.float32)).flatten(1)
        mean = flat.mean(0)
        _, spread, directions = torch.linalg.svd(flat - mean, full_matrices=False)
        kept = (directions * spread[:, None] / max(1, len(flat) - 1) ** 0.5)[:modes]
        return cls(mean.view(68, 2), kept.view(-1, 68, 2))

    def read(self, images: Tensor, steps: int = 60) -> Tensor:
        """Landmarks (B, 68, 2) of landmark images (B, 1, S, S) in about 0..1, by least squares.

        The coefficients are held within three deviations or so by a weak prior.
        """
        side = images.shape[-1]
        place = torch.arange(side, dtype=torch.float32)
        shape = torch.zeros(len(images), len(self.modes))
        for blur in BLURS:
            wanted = _blurred(images.float().clamp(0, 1), blur)
            shape = shape.detach().requires_grad_(True)
            optimizer = torch.optim.Adam([shape], lr=0.15)
            for _ in range(steps):
                points = self.mean + torch.einsum("bk,kpc->bpc", shape, self.modes)
                drawn = _dots(points, place, (1 + blur**2) ** 0.5)
                loss = (drawn - wanted).square().sum((1, 2)) + 1e-3 * shape.square().sum(1)
                optimizer.zero_grad()
                loss.sum().backward()
                optimizer.step()
        return (self.mean + torch.einsum("bk,kpc->bpc", shape, self.modes)).detach()


def _dots(points: Tensor, place: Tensor, sigma: float) -> Tensor:
    """Sums (B, S, S) of Gaussian dots of unit mass at ``points`` (B, 68, 2)."""
    across = torch.exp(-((place - points[..., :1]) ** 2) / (2 * sigma**2))
    down = torch.exp(-((place - points[..., 1:]) ** 2) / (2 * sigma**2))
    return torch.einsum("bpy,bpx->byx", down, across) / (2 * torch.pi * sigma**2)


def _blurred(images: Tensor, sigma: float) -> Tensor:
    """Landmark images (B, S, S), whose dots of sigma 1 become ones of unit mass, blurred."""
    reach = int(3 * sigma) + 1
    place = torch.arange(-reach, reach + 1, dtype=torch.float32)
    kernel = torch.exp(-(place**2) / (2 * sigma**2))
    kernel = kernel / kernel.sum()
    x = F.conv2d(images, kernel.view(1, 1, 1, -1), padding=(0, reach))
    return F.conv2d(x, kernel.view(1, 1, -1, 1), padding=(reach, 0))[:, 0] / (2 * torch.pi)


def error(read: Tensor, true: Tensor) -> Tensor:
    """Mean distance (B,) of landmarks (B, 68, 2) in units of the distance between the eyes."""
    eyes = true[:, 36:42].mean(1), true[:, 42:48].mean(1)
    return (read - true).norm(dim=2).mean(1) / (eyes[0] - eyes[1]).norm(dim=1)
