"""Pictures of networks as pictures for the eye and for OpenCV."""

import cv2
import numpy as np
import torch
from torch import Tensor


def to_uint8(images: Tensor) -> np.ndarray:
    """(B, 3, H, W) in [-1, 1] -> RGB uint8 (B, H, W, 3)."""
    pixels = ((images.detach().float().clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8)
    return np.ascontiguousarray(pixels.permute(0, 2, 3, 1).cpu().numpy())


def enlarged(picture: np.ndarray, side: int) -> tuple[np.ndarray, float]:
    """The picture with its shorter side at least ``side`` pixels, and the factor.

    Pixel edges stay in place, so a point p goes to ``(p + 0.5) * factor - 0.5``.
    """
    scale = max(1.0, side / min(picture.shape[:2]))
    if scale == 1:
        return picture, scale
    return cv2.resize(picture, None, fx=scale, fy=scale, interpolation=cv2.INTER_CUBIC), scale
