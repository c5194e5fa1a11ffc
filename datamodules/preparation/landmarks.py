"""The 68 landmarks of the largest face in a picture: dlib, face-alignment, or what OpenFace's CSV says.

All three are called alike, ``finder(image, known)``; their name and library version are part of a
prepared store's key, for a crop depends on them.
"""

import importlib.util
from collections.abc import Callable, Sequence
from contextlib import suppress
from importlib import metadata
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from datamodules.preparation.pictures import UnreadablePicture
from facegan.config import UserError
from facegan.faces import N_LANDMARKS

LandmarkFinder = Callable[[np.ndarray, np.ndarray], np.ndarray]
"""(picture (H, W, 3) uint8, CSV's landmarks (68, 2) or NaN) -> landmarks (68, 2) float32 in its pixels.

Raises UnreadablePicture, with the reason, where there is no face."""

_LIBRARIES = {"dlib": ("dlib-bin", "dlib"), "face_alignment": ("face-alignment",), "openface": ()}
_MAX_SIDE = 1024  # detectors see larger photographs shrunk to this


def finder_version(method: str) -> str:
    """Method and library version, as in "dlib 20.0.1"; part of a store's key.

    Raises:
        UserError: an unknown method.
    """
    if method not in _LIBRARIES:
        raise UserError(f"data.landmarks={method} is unknown; choose one of {', '.join(_LIBRARIES)}")
    for distribution in _LIBRARIES[method]:
        try:
            return f"{method} {metadata.version(distribution)}"
        except metadata.PackageNotFoundError:
            continue
    return method


def landmark_finder(method: str, device: str | None = None) -> LandmarkFinder:
    """The finder of a method; loads its models.

    Args:
        device: of face-alignment; None: a GPU where there is one.

    Raises:
        UserError: an unknown method, or a library or its weights are missing.
    """
    finder_version(method)
    if method == "dlib":
        return DlibLandmarks()
    if method == "face_alignment":
        return FaceAlignmentLandmarks(device)
    return known_landmarks


def known_landmarks(image: np.ndarray, known: np.ndarray) -> np.ndarray:
    """The landmarks of OpenFace's CSV, as they are."""
    if not np.isfinite(known).all():
        raise UnreadablePicture("no landmarks in an OpenFace CSV")
    return known


def dlib_models() -> tuple[Any, Path]:
    """The dlib module and the folder of its published models.

    Raises:
        UserError: one of the two packages is not installed.
    """
    models = importlib.util.find_spec("face_recognition_models")  # its import needs pkg_resources: only look
    try:
        import dlib
    except ImportError:
        models = None
    if models is None or not models.submodule_search_locations:
        raise UserError(
            "faces by dlib: looked for the packages dlib-bin (or dlib, which is compiled) and face_recognition_models, "
            "which are not installed. Type: pip install dlib-bin face_recognition_models; to train, "
            "data.landmarks=openface or face_alignment needs none"
        )
    return dlib, Path(models.submodule_search_locations[0]) / "models"


class DlibLandmarks:
    """dlib's frontal detector and 68-point predictor; of several faces the largest."""

    def __init__(self) -> None:
        dlib, models = dlib_models()
        self._detector = dlib.get_frontal_face_detector()
        self._predictor = dlib.shape_predictor(str(models / "shape_predictor_68_face_landmarks.dat"))
        self._rectangle = dlib.rectangle

    def __call__(self, image: np.ndarray, known: np.ndarray) -> np.ndarray:
        """See ``LandmarkFinder``."""
        image = np.ascontiguousarray(image)
        if min(image.shape[:2]) < 16:
            raise UnreadablePicture("picture too small for a face")
        scale = min(1.0, _MAX_SIDE / max(image.shape[:2]))
        small = (
            cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA) if scale < 1 else image
        )
        # Doubling the picture finds faces below 80 pixels, at four times the cost: only where it is needed.
        boxes = self._detector(small, 0) or (self._detector(small, 1) if max(small.shape) <= 640 else ())
        if not boxes:
            raise UnreadablePicture("no face found by dlib")
        box = max(boxes, key=lambda b: b.area())
        left, top, right, bottom = (
            round(v / scale) for v in (box.left(), box.top(), box.right(), box.bottom())
        )
        shape = self._predictor(image, self._rectangle(left, top, right, bottom))
        return np.array([(p.x, p.y) for p in shape.parts()], np.float32)


class FaceAlignmentLandmarks:
    """The face-alignment library's 2-D network (Bulat & Tzimiropoulos 2017); fetches weights at first use."""

    def __init__(self, device: str | None = None) -> None:
        try:
            import face_alignment
            import torch
        except ImportError:
            raise UserError(
                "data.landmarks=face_alignment needs face-alignment: pip install face-alignment"
            ) from None
        try:
            self._network: Any = face_alignment.FaceAlignment(
                face_alignment.LandmarksType.TWO_D,
                device=device or ("cuda" if torch.cuda.is_available() else "cpu"),
                flip_input=False,
            )
        except OSError as error:  # URLError is one
            raise UserError(
                f"face-alignment could not fetch its weights ({error}): run once where there is a network, "
                "copy its torch hub cache here, or choose data.landmarks=dlib"
            ) from None

    def __call__(self, image: np.ndarray, known: np.ndarray) -> np.ndarray:
        """See ``LandmarkFinder``."""
        (found,) = self.several([image])
        if isinstance(found, UnreadablePicture):
            raise found
        return found

    def several(self, images: Sequence[np.ndarray]) -> list[np.ndarray | UnreadablePicture]:
        """Landmarks of pictures (H, W, 3) of any sizes, or why there are none; both networks see them in batches."""
        boxes = self._boxes([_enlarged(image) for image in images])
        there = [k for k, box in enumerate(boxes) if box is not None]
        faces = self._landmarks([images[k] for k in there], [boxes[k] for k in there])  # type: ignore[misc]
        found: list[np.ndarray | UnreadablePicture] = [
            UnreadablePicture("no face found by face-alignment") for _ in images
        ]
        for k, face in zip(there, faces, strict=True):
            found[k] = face
        return found

    def _boxes(self, images: Sequence[np.ndarray]) -> list[np.ndarray | None]:
        """The largest face (left, top, right, bottom, …) of each; pictures of one size are looked through together."""
        import torch

        largest: list[np.ndarray | None] = [None] * len(images)
        for shape in dict.fromkeys(image.shape for image in images):
            group = [k for k, image in enumerate(images) if image.shape == shape]
            batch = torch.from_numpy(np.stack([images[k] for k in group]).transpose(0, 3, 1, 2))
            for k, boxes in zip(group, self._network.face_detector.detect_from_batch(batch), strict=True):
                if len(boxes):
                    largest[k] = max(boxes, key=lambda box: (box[2] - box[0]) * (box[3] - box[1]))
        return largest

    def _landmarks(self, images: Sequence[np.ndarray], boxes: Sequence[np.ndarray]) -> list[np.ndarray]:
        """One face of each picture.

        The library takes many faces at once, but of one picture: so they are put side by side, with as much black
        between them as it would see beyond a picture's edge.
        """
        if not images:
            return []
        gap = int(max(box[2] - box[0] + box[3] - box[1] for box in boxes)) + 2
        lefts = np.cumsum([gap, *(image.shape[1] + gap for image in images[:-1])])
        strip = np.zeros(
            (max(len(i) for i in images) + 2 * gap, lefts[-1] + images[-1].shape[1] + gap, 3), np.uint8
        )
        for image, left in zip(images, lefts, strict=True):
            strip[gap : gap + len(image), left : left + image.shape[1]] = image
        moves = np.stack([lefts, np.full(len(lefts), gap)], 1)
        moved = [
            np.concatenate([box[:4] + np.tile(move, 2), box[4:]])
            for box, move in zip(boxes, moves, strict=True)
        ]
        faces = self._network.get_landmarks_from_image(strip, detected_faces=moved)
        return [
            (np.asarray(face)[:N_LANDMARKS] - move).astype(np.float32)
            for face, move in zip(faces, moves, strict=True)
        ]


_MEAN_COLOUR = (123, 117, 104)
"""Of the detector's training: what it takes for nothing at all."""


def _enlarged(image: np.ndarray, step: int = 64) -> np.ndarray:
    """The picture with a lower and right edge to the next multiple of ``step``, so that many are of one size."""
    height, width = image.shape[:2]
    edges = ((0, -height % step), (0, -width % step))
    return np.stack(
        [np.pad(image[..., k], edges, constant_values=colour) for k, colour in enumerate(_MEAN_COLOUR)],
        axis=2,
    )


AT_ONCE = 16
"""Pictures whose faces are looked for together, where the finder can do that."""


def find_several(
    finder: LandmarkFinder, images: Sequence[np.ndarray], known: Sequence[np.ndarray]
) -> list[np.ndarray | UnreadablePicture]:
    """Landmarks (68, 2) of some pictures, or the reason why a picture has none.

    Together where the finder can do that; one after another where that is too much for the device.
    """
    if isinstance(finder, FaceAlignmentLandmarks) and len(images) > 1:
        with suppress(*STRANGE):  # memory, or one picture among them
            return finder.several(images)
    return [_one(finder, image, csv) for image, csv in zip(images, known, strict=True)]


def _one(finder: LandmarkFinder, image: np.ndarray, known: np.ndarray) -> np.ndarray | UnreadablePicture:
    try:
        return finder(image, known)
    except UnreadablePicture as error:
        return error
    # One strange picture must not stop a job of days.
    except STRANGE as error:
        return strange(error)


STRANGE = (cv2.error, ValueError, ArithmeticError, RuntimeError, MemoryError)
"""What libraries raise at strange pictures."""


def strange(error: BaseException) -> UnreadablePicture:
    """The reason that such an error is."""
    return UnreadablePicture(" ".join(f"{type(error).__name__}: {error}".split())[:100])
