"""Expression from where dlib finds the 68 landmarks."""

from functools import cache, cached_property
from typing import Any

import cv2
import numpy as np
import torch
from torch import Tensor

from datamodules.generated.head import load_head
from datamodules.preparation.landmarks import dlib_models
from facegan import faces
from facegan.pixels import enlarged, to_uint8

GEOMETRY = ("mouth opening", "corner spread", "brow height", "eye opening")


def geometry(landmarks: np.ndarray) -> np.ndarray:
    """Four measures of a face's expression from its landmarks, in units of the distance between the eyes.

    Mouth opening: gap of the inner lips, mean of three places. Corner spread: distance of the mouth's
    corners. Brow height: mean distance of a brow from its eye. Eye opening: gap of the lids, mean of four
    places. An eye's place is the middle of its corners, so that a blink does not move it.

    Args:
        landmarks: (..., 68, 2) in pixels; NaN gives NaN.

    Returns:
        (..., 4) in the order of ``GEOMETRY``.
    """

    def point(*numbers: int) -> np.ndarray:
        return landmarks[..., list(numbers), :].mean(-2)

    def distance(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        return np.linalg.norm(a - b, axis=-1)

    def gaps(*pairs: tuple[int, int]) -> np.ndarray:
        return np.mean([distance(point(a), point(b)) for a, b in pairs], axis=0)

    right, left = point(36, 39), point(42, 45)
    brows = landmarks[..., faces.BROW_RIGHT, :].mean(-2), landmarks[..., faces.BROW_LEFT, :].mean(-2)
    measures = [
        gaps((61, 67), (62, 66), (63, 65)),
        gaps((48, 54)),
        (distance(brows[0], right) + distance(brows[1], left)) / 2,
        gaps((37, 41), (38, 40), (43, 47), (44, 46)),
    ]
    return np.stack(measures, -1) / distance(right, left)[..., None]


@cache
def _detector_and_predictor() -> tuple[Any, Any]:
    """Read once in a process: it takes a second and a hundred megabytes."""
    dlib, models = dlib_models()
    predictor = dlib.shape_predictor(str(models / "shape_predictor_68_face_landmarks.dat"))
    return dlib.get_frontal_face_detector(), predictor


class FaceFinder:
    """The 68 landmarks by dlib: its frontal detector, then its shape predictor. No face found means NaN.

    Small pictures are enlarged to ``side`` pixels and given a border, since the detector was trained on whole
    heads of 80 pixels and more; where it still finds nothing it looks once more at twice the size.
    """

    side = 256
    border = 64

    def __init__(self) -> None:
        dlib, _ = dlib_models()
        self.dlib = dlib
        self.detector, self.predictor = _detector_and_predictor()
        self.description = f"dlib {dlib.__version__} frontal detector and 68-landmark predictor"

    def __call__(self, images: Tensor) -> Tensor:
        """(B, 3, S, S) in [-1, 1] -> landmarks (B, 68, 2) in their pixels, NaN where there is no face."""
        found = [self._landmarks(picture) for picture in to_uint8(images)]
        return torch.from_numpy(np.stack(found)) if found else torch.zeros(0, faces.N_LANDMARKS, 2)

    def _landmarks(self, picture: np.ndarray) -> np.ndarray:
        large, scale = enlarged(picture, self.side)
        framed = np.pad(large, ((self.border,) * 2, (self.border,) * 2, (0, 0)), "edge")
        boxes = self.detector(framed, 0) or self.detector(framed, 1)
        if not boxes:
            return np.full((faces.N_LANDMARKS, 2), np.nan, np.float32)
        shape = self.predictor(framed, max(boxes, key=lambda box: box.area()))
        points = np.array([(p.x, p.y) for p in shape.parts()], np.float32)
        return (points - self.border + 0.5) / scale - 0.5


class LandmarkGeometry:
    """Expression from the landmarks that dlib finds: texture that fools a CNN does not move them (E4).

    Raises:
        UserError: the extra ``dlib`` is not installed.
    """

    def __init__(self, finder: FaceFinder | None = None) -> None:
        self.finder = finder or FaceFinder()
        self.description = f"landmark geometry by {self.finder.description}"

    def __call__(self, images: Tensor, landmarks: Tensor | None = None) -> Tensor:
        """(B, 3, S, S) in [-1, 1] -> (B, 4) in the order of ``GEOMETRY``; NaN rows where there is no face.

        Args:
            landmarks: (B, 68, 2), if the finder has been asked already.
        """
        landmarks = self.finder(images) if landmarks is None else landmarks
        return torch.from_numpy(geometry(landmarks.double().numpy())).float()


RIGID = (27, 28, 29, 30, 31, 32, 33, 34, 35, 36, 39, 42, 45)
"""Landmarks that no AU moves far: the nose, and the corners of the eyes."""


class HeadPose:
    """Angles of the head from where dlib finds nose and eyes, by the mean shape of the embedded head.

    The camera is taken to be far away (a focal length of eight pictures): a crop does not tell where it stood.

    Raises:
        UserError: the extra ``dlib`` is not installed.
    """

    far = 8.0

    def __init__(self, finder: FaceFinder | None = None) -> None:
        self.finder = finder or FaceFinder()
        self.description = f"head pose from {len(RIGID)} landmarks by {self.finder.description}"

    @cached_property
    def _shape(self) -> np.ndarray:
        head = load_head("procedural")
        # from x left, y up, z front to x right, y down, z away
        return head.vertices[head.landmarks[list(RIGID)]].astype(np.float64) * [1, -1, -1]

    def __call__(self, images: Tensor, landmarks: Tensor | None = None) -> Tensor:
        """(B, 3, S, S) in [-1, 1] -> pitch, yaw, roll (B, 3) in radians; NaN rows where there is no face.

        Args:
            landmarks: (B, 68, 2), if the finder has been asked already.
        """
        landmarks = self.finder(images) if landmarks is None else landmarks
        side = images.shape[-1]
        camera = np.array([[self.far * side, 0, side / 2], [0, self.far * side, side / 2], [0, 0, 1]])
        angles = np.full((len(landmarks), 3), np.nan, np.float32)
        for row, points in enumerate(landmarks.double().numpy()[:, list(RIGID)]):
            if np.isfinite(points).all():
                _, turn, _ = cv2.solvePnP(
                    self._shape, np.ascontiguousarray(points), camera, None, flags=cv2.SOLVEPNP_SQPNP
                )
                angles[row] = _angles(cv2.Rodrigues(turn)[0])
        return torch.from_numpy(angles)


def _angles(turn: np.ndarray) -> tuple[float, float, float]:
    """Pitch, yaw, roll of Rx(pitch) Ry(yaw) Rz(roll), as in OpenFace."""
    pitch = np.arctan2(-turn[1, 2], turn[2, 2])
    yaw = np.arcsin(np.clip(turn[0, 2], -1, 1))
    roll = np.arctan2(-turn[0, 1], turn[0, 0])
    return float(pitch), float(yaw), float(roll)
