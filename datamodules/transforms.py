"""Augmentation of whole batches, drawn from (seed, epoch, index) by the data set.

Only this module knows albumentations.
"""

import os

import numpy as np
import torch

from facegan.faces import LANDMARK_MIRROR, mirror_pose


def mirror(images: torch.Tensor, landmarks: np.ndarray, pose: np.ndarray, which: np.ndarray) -> None:
    """Mirror some faces of a batch left to right, in place.

    Pictures (B, S, S, 3) are reversed, landmarks (B, 68, 2) change sides and numbers, pose (B, 3) changes
    the signs of yaw and roll; AUs stay, for OpenFace does not tell left from right. ``which`` is (B,) bool.
    """
    if not which.any():
        return
    rows = torch.from_numpy(np.flatnonzero(which))
    images[rows] = images[rows].flip(2)
    mirrored = landmarks[which][:, LANDMARK_MIRROR]
    mirrored[..., 0] = images.shape[2] - 1 - mirrored[..., 0]
    landmarks[which] = mirrored
    pose[which] = mirror_pose(pose[which])


class ColourJitter:
    """Brightness, contrast and saturation of each picture times a factor in [1 - strength, 1 + strength]."""

    def __init__(self, strength: float) -> None:
        os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")  # else its import asks the network for news
        import albumentations

        limits = (max(0.0, 1 - strength), 1 + strength)
        self._jitter = albumentations.Compose(
            [
                albumentations.ColorJitter(
                    brightness=limits, contrast=limits, saturation=limits, hue=(0, 0), p=1
                )
            ]
        )

    def __call__(self, images: torch.Tensor, draws: np.ndarray) -> None:
        """Change pictures (B, S, S, 3) uint8 in place; ``draws`` (B,) in [0, 1) decides how."""
        for image, draw in zip(images.numpy(), draws.tolist(), strict=True):
            self._jitter.set_random_seed(int(draw * 2**32))
            image[:] = self._jitter(image=image)["image"]
