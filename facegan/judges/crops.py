"""Pictures as judges know them, where a method works on another crop."""

import numpy as np
import torch
from torch import Tensor

from datamodules.preparation.alignment import crop, similarity_matrix, transform_points
from facegan.nets.au_regressor import SIZE
from facegan.pixels import to_uint8


def as_judged(images: Tensor, landmarks: Tensor, align: str) -> tuple[Tensor, Tensor]:
    """Pictures (B, 3, S, S) in [-1, 1] and their landmarks (B, 68, 2), in the crop that judges have learnt.

    Judges of AUs, expressions and identity are trained on similarity crops: of a box, in which the face is smaller and
    tilted, they would read nothing. Where no face is found the picture is enlarged as it is.

    Args:
        landmarks: pixels of the pictures as they come; NaN rows where there is no face.
        align: crop of the pictures as they come (``data.align``).

    Returns:
        Both as they are if they come in that crop; else of max(S, 128) pixels.
    """
    if align == "similarity":
        return images, landmarks
    size = max(SIZE, images.shape[-1])
    cut, moved = [], landmarks.clone()
    factor = size / images.shape[-1]
    whole = np.array([[factor, 0, (factor - 1) / 2], [0, factor, (factor - 1) / 2]])
    for row, (picture, points) in enumerate(zip(to_uint8(images), landmarks.double().numpy(), strict=True)):
        found = np.isfinite(points).all()
        matrix = similarity_matrix(points, size) if found else whole
        cut.append(crop(picture, matrix, size))
        if found:
            moved[row] = torch.from_numpy(transform_points(points, matrix)).to(landmarks)
    return torch.from_numpy(np.stack(cut)).permute(0, 3, 1, 2).float() / 127.5 - 1, moved
