"""Augmentation of whole batches, drawn from (seed, epoch, index) by the data set."""

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
