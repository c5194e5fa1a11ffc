"""Landmarks read off a landmark image: a shape model of the training people is laid over its dots (AIP-GAN's Z)."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

BLURS = (4.0, 1.5, 0.0)
"""Standard deviations in pixels by which both pictures are blurred, coarse to fine, for dots that lie far off."""

SHARPNESS = 8
"""Of the norm over the dots that stands for their largest: where two meet it is 9 % too bright, and has a gradient."""


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

        What is laid over them is drawn as ``datamodules.preparation.identity_maps.landmark_images`` draws: the
        largest of the dots counts, for those of eyes and lips lie a pixel or two apart. It is as bright as fits best,
        for what a network is not sure of it draws faintly. The coefficients are held within three deviations or so by
        a weak prior.
        """
        images = images[:, 0].float().clamp(0, 1)
        place = torch.arange(images.shape[-1], dtype=torch.float32)
        shape = torch.zeros(len(images), len(self.modes))
        for blur in BLURS:
            smear = _smear(place, blur)
            wanted = smear @ images @ smear.T
            shape = shape.detach().requires_grad_(True)
            optimizer = torch.optim.Adam([shape], lr=0.15)
            for _ in range(steps):
                drawn = smear @ _dots(self._points(shape), place) @ smear.T
                bright = (drawn * wanted).sum((1, 2)) / drawn.square().sum((1, 2))
                far = bright.detach()[:, None, None] * drawn - wanted
                loss = far.square().sum((1, 2)) + 1e-2 * shape.square().sum(1)
                optimizer.zero_grad()
                loss.sum().backward()
                optimizer.step()
        return self._points(shape).detach()

    def _points(self, shape: Tensor) -> Tensor:
        """Landmarks (B, 68, 2) of coefficients (B, K)."""
        return self.mean + torch.einsum("bk,kpc->bpc", shape, self.modes)


def _dots(points: Tensor, place: Tensor) -> Tensor:
    """Pictures (B, S, S) in 0..1 of Gaussian dots of sigma 1 at ``points`` (B, 68, 2); the largest counts."""
    across = torch.exp(-SHARPNESS / 2 * (place - points[..., :1]) ** 2)
    down = torch.exp(-SHARPNESS / 2 * (place - points[..., 1:]) ** 2)
    return (torch.einsum("bpy,bpx->byx", down, across) + 1e-30) ** (1 / SHARPNESS)


def _smear(place: Tensor, blur: float) -> Tensor:
    """A matrix (S, S) that blurs columns by a Gaussian; of 0 it leaves them as they are."""
    if blur == 0:
        return torch.eye(len(place))
    kernel = torch.exp(-((place - place[:, None]) ** 2) / (2 * blur**2))
    return kernel / (blur * (2 * torch.pi) ** 0.5)


def error(read: Tensor, true: Tensor) -> Tensor:
    """Mean distance (B,) of landmarks (B, 68, 2) in units of the distance between the eyes."""
    eyes = true[:, 36:42].mean(1), true[:, 42:48].mean(1)
    return (read - true).norm(dim=2).mean(1) / (eyes[0] - eyes[1]).norm(dim=1)
