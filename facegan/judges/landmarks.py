"""Expression from where dlib finds the 68 landmarks."""

import importlib.util
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from facegan import faces
from facegan.config import UserError
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


def dlib_models() -> tuple[Any, Path]:
    """The dlib module and the folder of its published models.

    Raises:
        UserError: the extra ``dlib`` is not installed.
    """
    models = importlib.util.find_spec("face_recognition_models")  # its import needs pkg_resources: only look
    try:
        import dlib
    except ImportError:
        models = None
    if models is None or not models.submodule_search_locations:
        raise UserError(
            "landmarks and face recognition with dlib: looked for the packages dlib-bin and "
            "face_recognition_models, which are not installed. Type: pip install 'facegan[dlib]'"
        )
    return dlib, Path(models.submodule_search_locations[0]) / "models"


class FaceFinder:
    """The 68 landmarks by dlib: its frontal detector, then its shape predictor. No face found means NaN.

    Small pictures are enlarged to ``side`` pixels and given a border, since the detector was trained on whole
    heads of 80 pixels and more; where it still finds nothing it looks once more at twice the size.
    """

    side = 256
    border = 64

    def __init__(self) -> None:
        dlib, models = dlib_models()
        self.dlib = dlib
        self.detector = dlib.get_frontal_face_detector()
        self.predictor = dlib.shape_predictor(str(models / "shape_predictor_68_face_landmarks.dat"))
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
