"""Augmentation of whole batches, drawn from (seed, epoch, index) by the data set.

Only this module knows albumentations.
"""

import os
from collections.abc import Sequence

import cv2
import numpy as np
import torch

from datamodules.preparation.alignment import transform_points, transform_pose
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


class Crops:
    """A smaller square of each face: its middle, or one of five (middle and corners), turned a little.

    Source: TER-GAN 4.1, five crops of 75 x 75 and rotations by -6, -3, 3 and 6 degrees; drawn anew each time where
    the paper multiplies its pictures (docs/tergan.md T15).

    Args:
        size: side of the faces as they are stored.
        crop: side of the square, at most ``size``.
        angles: degrees to choose from, clockwise as one sees the picture.
    """

    def __init__(self, size: int, crop: int, angles: Sequence[float] = (0.0,)) -> None:
        low, high, middle = 0.0, float(size - crop), float((size - crop) // 2)
        self.crop, self._angles = crop, np.radians(angles)
        self._corners = np.array([[middle, middle], [low, low], [high, low], [low, high], [high, high]])

    def middle(self, images: torch.Tensor, landmarks: np.ndarray) -> tuple[torch.Tensor, np.ndarray]:
        """The middle (B, C, C, 3) of pictures (B, S, S, 3), and the landmarks (B, 68, 2) there."""
        start = int(self._corners[0, 0])
        inside = slice(start, start + self.crop)
        return images[:, inside, inside].contiguous(), landmarks - np.float32(start)

    def draw(
        self, images: torch.Tensor, landmarks: np.ndarray, pose: np.ndarray, draws: np.ndarray
    ) -> tuple[torch.Tensor, np.ndarray, np.ndarray]:
        """One of the crops of each picture: pictures, landmarks (B, 68, 2) and pose (B, 3) of it.

        ``draws`` (B, 2) in [0, 1) choose the place and the angle.
        """
        places = self._corners[(draws[:, 0] * len(self._corners)).astype(int)]
        angles = self._angles[(draws[:, 1] * len(self._angles)).astype(int)]
        out = torch.empty((len(images), self.crop, self.crop, 3), dtype=torch.uint8)
        landmarks, pose = landmarks.copy(), pose.copy()
        centre = (self.crop - 1) / 2
        for k, (face, place, angle) in enumerate(zip(images.numpy(), places, angles, strict=True)):
            turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
            matrix = np.column_stack([turn, centre - turn @ (place + centre)])
            size = (self.crop, self.crop)
            out[k] = torch.from_numpy(cv2.warpAffine(face, matrix, size, borderMode=cv2.BORDER_REPLICATE))
            landmarks[k] = transform_points(landmarks[k], matrix)
            pose[k] = transform_pose(pose[k], matrix)
        return out, landmarks, pose


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
