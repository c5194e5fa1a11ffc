"""From a picture to a face crop and back: 2 x 3 matrices, cropping, pasting.

A matrix maps pixels of the picture to pixels of the crop; pixel centres have whole-number coordinates.
Preparation and editing use the same functions, so an edited face comes from the crop it was trained on.
"""

import cv2
import numpy as np

from facegan.config import UserError
from facegan.faces import EYE_LEFT, EYE_RIGHT, MOUTH_OUTER

ALIGNMENTS = ("similarity", "box")

# Where the similarity crop puts the eyes' centres and the middle of the mouth's corners, as shares of its
# side: the whole face from hairline to chin, with room for a dropped jaw.
TEMPLATE = np.array([[0.34, 0.385], [0.66, 0.385], [0.50, 0.72]])
BOX_SCALE = 1.6  # ICface: the face's box enlarged 1.6 times


def similarity_matrix(landmarks: np.ndarray, size: int) -> np.ndarray:
    """Matrix (2, 3) float64 that puts eyes and mouth nearest to ``TEMPLATE`` by rotation, scale and shift.

    ``landmarks`` are (68, 2) pixels of the picture; ``size`` is the crop's side in pixels. Least squares
    in closed form: with points as complex numbers, a similarity is z -> a z + b.
    """
    corners = landmarks[[MOUTH_OUTER.start, MOUTH_OUTER.start + 6]]
    points = np.stack([group.mean(axis=0) for group in (landmarks[EYE_RIGHT], landmarks[EYE_LEFT], corners)])
    source = points.astype(np.float64) @ np.array([1, 1j])
    target = (TEMPLATE * size - 0.5) @ np.array([1, 1j])
    centred = source - source.mean()
    a = np.vdot(centred, target - target.mean()) / np.vdot(centred, centred)
    b = target.mean() - a * source.mean()
    return np.array([[a.real, -a.imag, b.real], [a.imag, a.real, b.imag]])


def box_matrix(landmarks: np.ndarray, size: int) -> np.ndarray:
    """Matrix (2, 3) float64 of a square box around the landmarks, enlarged 1.6 times, not rotated."""
    low, high = landmarks.min(axis=0).astype(np.float64), landmarks.max(axis=0).astype(np.float64)
    side = BOX_SCALE * (high - low).max()
    scale = size / side
    shift = size / 2 - 0.5 - scale * (low + high) / 2
    return np.array([[scale, 0, shift[0]], [0, scale, shift[1]]])


def alignment_matrix(landmarks: np.ndarray, size: int, align: str) -> np.ndarray:
    """The matrix of one of ``ALIGNMENTS``; raises UserError for another word."""
    if align == "similarity":
        return similarity_matrix(landmarks, size)
    if align == "box":
        return box_matrix(landmarks, size)
    raise UserError(f"data.align={align} is unknown; choose one of {', '.join(ALIGNMENTS)}")


def roll_of(matrix: np.ndarray) -> float:
    """Radians by which a matrix turns the picture, in the sense of ``pose`` roll."""
    return float(np.arctan2(matrix[1, 0], matrix[0, 0]))


def transform_points(points: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """Points (..., 2) of the picture as points of the crop."""
    return points @ matrix[:, :2].T + matrix[:, 2]


def transform_pose(pose: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """Pose (3,) of the crop: the roll that the alignment took out is taken off."""
    return pose + np.array([0, 0, roll_of(matrix)], pose.dtype)


def crop(image: np.ndarray, matrix: np.ndarray, size: int) -> np.ndarray:
    """Cut the crop (size, size, 3) uint8 out of a picture (H, W, 3) uint8; edge pixels go on beyond its edge.

    Strong shrinking averages pixels first, so that large photographs do not alias.
    """
    matrix = matrix.copy()
    reduction = int(1 / np.hypot(matrix[0, 0], matrix[1, 0]))
    if reduction > 1:
        image, offset = _region(image, matrix, size, reduction)
        width, height = image.shape[1] // reduction, image.shape[0] // reduction
        image = cv2.resize(
            image[: height * reduction, : width * reduction], (width, height), interpolation=cv2.INTER_AREA
        )
        # Pixel x of the reduced region is centred at offset + reduction * x + (reduction - 1) / 2.
        matrix[:, 2] += matrix[:, :2] @ (offset + (reduction - 1) / 2)
        matrix[:, :2] *= reduction
    return cv2.warpAffine(
        image, matrix, (size, size), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
    )


def _region(image: np.ndarray, matrix: np.ndarray, size: int, margin: int) -> tuple[np.ndarray, np.ndarray]:
    corners = np.array([[0, 0], [size, 0], [0, size], [size, size]], float)
    points = transform_points(corners, cv2.invertAffineTransform(matrix))
    limit = np.array([image.shape[1], image.shape[0]])
    low = np.clip(np.floor(points.min(axis=0)).astype(int) - 2 * margin, 0, np.maximum(limit - 2 * margin, 0))
    high = np.clip(
        np.ceil(points.max(axis=0)).astype(int) + 2 * margin, np.minimum(low + 2 * margin, limit), limit
    )
    return image[low[1] : high[1], low[0] : high[0]], low


def paste(full: np.ndarray, face: np.ndarray, matrix: np.ndarray, feather: float = 0.15) -> np.ndarray:
    """Put an edited crop back: the picture (H, W, 3) uint8 with ``face`` (S, S, 3) uint8 in its place.

    The crop fades into the picture over ``feather`` (a share of its side) at its edge.
    """
    size = face.shape[0]
    ramp = np.clip((np.minimum(np.arange(size), np.arange(size)[::-1]) + 0.5) / (feather * size), 0, 1)
    ramp = ramp * ramp * (3 - 2 * ramp)
    mask = np.outer(ramp, ramp).astype(np.float32)
    height, width = full.shape[:2]
    flags = cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP
    back = cv2.warpAffine(face, matrix, (width, height), flags=flags, borderMode=cv2.BORDER_REPLICATE)
    linear = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    weight = cv2.warpAffine(mask, matrix, (width, height), flags=linear)[..., None]
    return np.rint(full * (1 - weight) + back * weight).astype(np.uint8)
