"""The files of generated people: pictures, and the truth about them as OpenFace would have written it."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import av
import cv2
import numpy as np

from datamodules.generated.render import Picture
from facegan.config import UserError
from facegan.faces import AU_NAMES, N_LANDMARKS

# The tool prints a presence for one AU that has no intensity.
_PRESENCES = tuple(sorted([*AU_NAMES, "AU28"]))
_BLOCK = (
    *(f"pose_{kind}{axis}" for kind in "TR" for axis in "xyz"),
    *(f"{axis}_{k}" for axis in "xy" for k in range(N_LANDMARKS)),
    *(f"{name}_r" for name in AU_NAMES),
    *(f"{name}_c" for name in _PRESENCES),
)
SEQUENCE_HEADER = ("frame", "face_id", "timestamp", "confidence", "success", *_BLOCK)
IMAGE_HEADER = ("face", "confidence", *_BLOCK)


def _numbers(picture: Picture) -> list[str]:
    """The common block of both kinds of CSV, with the precisions that the tool prints."""
    return [
        *(f"{v:.1f}" for v in picture.translation.tolist()),
        *(f"{v:.3f}" for v in picture.pose.tolist()),
        *(f"{v:.1f}" for v in picture.landmarks.T.ravel().tolist()),
        *(f"{v:.2f}" for v in picture.au.tolist()),
        *(
            "1.0" if name != "AU28" and picture.au[AU_NAMES.index(name)] >= 1 else "0.0"
            for name in _PRESENCES
        ),
    ]


def sequence_csv(pictures: Sequence[Picture], frames_per_second: float = 30.0) -> str:
    """The text that OpenFace's FeatureExtraction would have written for the pictures of one folder."""
    rows = [", ".join(SEQUENCE_HEADER)]
    for k, picture in enumerate(pictures):
        start = [str(k + 1), "0", f"{k / frames_per_second:.3f}", "0.98", "1"]
        rows.append(", ".join([*start, *_numbers(picture)]))
    return "\n".join(rows) + "\n"


def image_csv(picture: Picture) -> str:
    """The text that OpenFace's FaceLandmarkImg would have written for one picture."""
    return ", ".join(IMAGE_HEADER) + "\n" + ", ".join(["0", "0.980", *_numbers(picture)]) + "\n"


def save_picture(path: Path, image: np.ndarray, quality: int = 95) -> None:
    """Write RGB uint8 (H, W, 3) by the name's ending (jpg or png)."""
    jpeg = [cv2.IMWRITE_JPEG_QUALITY, quality] if path.suffix in (".jpg", ".jpeg") else []
    done, data = cv2.imencode(path.suffix, cv2.cvtColor(image, cv2.COLOR_RGB2BGR), jpeg)
    if not done:
        raise UserError(f"cannot write pictures of the kind {path.suffix!r} ({path}); use jpg or png")
    path.write_bytes(data.tobytes())


def folder_csv(folder: Path, pictures: Mapping[str, Picture]) -> None:
    """What FeatureExtraction -fdir says of a folder's pictures by file name, in ``processed`` beside it.

    The tool takes them in the order of their names, as strings: 102.jpg before 12.jpg.
    """
    table = folder.parent / "processed" / f"{folder.name}.csv"
    table.parent.mkdir(exist_ok=True)
    in_order = [pictures[name] for name in sorted(pictures)]
    table.write_text(sequence_csv(in_order, frames_per_second=25.0))


def save_clip(path: Path, frames: Sequence[np.ndarray], rate: int = 25) -> None:
    """Write RGB uint8 frames (H, W, 3) of one size as a film of MPEG-4."""
    height, width = frames[0].shape[:2]
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=rate)
        stream.width, stream.height, stream.bit_rate = width, height, 6_000_000
        for image in frames:
            container.mux(
                stream.encode(av.VideoFrame.from_ndarray(np.ascontiguousarray(image), format="rgb24"))
            )
        container.mux(stream.encode())
