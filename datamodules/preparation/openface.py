"""OpenFace CSVs in every form that its tools write.

FeatureExtraction (video or folder of frames: ``frame, face_id, timestamp, confidence, success, …``),
FaceLandmarkVidMulti (several rows a frame) and FaceLandmarkImg (one file a picture, one row a face:
``face, confidence, …``). Columns are found by their stripped, case-sensitive names, so the blank after
the comma, missing blocks, a fork's extra columns and the old 1.x order all read the same.
"""

import csv
import re
from dataclasses import dataclass, fields, replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv

from facegan.config import UserError
from facegan.faces import AU_COLUMNS, N_AUS, N_LANDMARKS

_POSE = ("pose_Rx", "pose_Ry", "pose_Rz")
_LANDMARKS = tuple(f"{axis}_{i}" for axis in "xy" for i in range(N_LANDMARKS))
_SINGLE = ("frame", "face", "face_id", "confidence", "success")
_BLOCKS = {
    "au": ("AU intensities (AU01_r … AU45_r)", "-aus", AU_COLUMNS),
    "pose": ("head pose (pose_Rx, pose_Ry, pose_Rz)", "-pose", _POSE),
    "landmarks": ("landmarks (x_0 … y_67)", "-2Dfp", _LANDMARKS),
}
_NOT_NUMBERS = [
    blank + text for blank in ("", " ") for text in ("nan", "-nan", "NaN", "-nan(ind)", "nan(ind)", "")
]

MIN_CONFIDENCE = 0.7
"""Below this the author of OpenFace treats a face as failed (datasets without ``success``)."""


@dataclass
class OpenFaceTable:
    """One CSV as arrays of N rows; what the file does not have, or has of a failed frame, is NaN."""

    path: Path
    frame: np.ndarray  # (N,) int from 1; 1 everywhere in a single picture's file
    face: np.ndarray  # (N,) int
    confidence: np.ndarray  # (N,) 0..1
    valid: np.ndarray  # (N,) bool: tracked, and sure enough
    au: np.ndarray  # (N, 17) 0..5
    pose: np.ndarray  # (N, 3) radians
    landmarks: np.ndarray  # (N, 68, 2) pixels

    def __len__(self) -> int:
        return len(self.frame)

    def require(self, *blocks: str) -> "OpenFaceTable":
        """This table, if it has the blocks ("au", "pose", "landmarks").

        Raises:
            UserError: a block, or a column of it, is missing; the message names the columns and OpenFace's flag.
        """
        for block in blocks:
            what, flag, names = _BLOCKS[block]
            values = getattr(self, block)[self.valid].swapaxes(1, -1).reshape(-1, len(names))
            lost = [name for name, none in zip(names, np.isnan(values).all(0), strict=True) if none]
            if lost and len(values):
                lacks = f"has no {what}" if len(lost) == len(names) else f"lacks {', '.join(lost)}"
                raise UserError(
                    f"{self.path} {lacks}; run OpenFace again with {flag}, or with no flag at all"
                )
        return self

    def one_face_a_frame(self) -> "OpenFaceTable":
        """The rows of the largest face in each frame (of the surest, where there are no landmarks)."""
        with np.errstate(invalid="ignore"):
            extent = self.landmarks.max(axis=1) - self.landmarks.min(axis=1)
        area = np.nan_to_num(extent.prod(axis=1), nan=-1.0)
        order = np.lexsort((-np.nan_to_num(self.confidence), -area, ~self.valid, self.frame))
        first = np.r_[True, np.diff(self.frame[order]) != 0][: len(self)]
        return self.rows(order[first])

    def rows(self, rows: np.ndarray) -> "OpenFaceTable":
        """Some of the rows, in the order given."""
        arrays = {f.name: getattr(self, f.name)[rows] for f in fields(self) if f.name != "path"}
        return replace(self, **arrays)


def is_openface(path: Path) -> bool:
    """Whether a CSV's header is one of OpenFace's (a labels table is not)."""
    try:
        with open(path, newline="", encoding="utf-8-sig") as file:
            names = {name.strip() for name in next(csv.reader(file), [])}
    except (OSError, UnicodeDecodeError, csv.Error):
        return False
    return "confidence" in names and bool(names & {"frame", "face"})


def has_aus(path: Path) -> bool:
    """Whether a CSV of OpenFace has columns of AU intensities."""
    with open(path, newline="", encoding="utf-8-sig") as file:
        return set(AU_COLUMNS) <= {name.strip() for name in next(csv.reader(file), [])}


def read_openface(path: Path, min_confidence: float = MIN_CONFIDENCE) -> OpenFaceTable:
    """Read one CSV of OpenFace 1.x or 2.x; a header without rows gives a table of length 0.

    Rows with ``success`` 0 or a confidence below ``min_confidence`` keep their place but lose their
    numbers: OpenFace writes unreliable values there.

    Raises:
        UserError: the file is missing, is not a CSV of OpenFace, or has rows but none of its header's length.
    """
    path = Path(path)
    try:
        with open(path, newline="", encoding="utf-8-sig") as file:
            header = [name.strip() for name in next(csv.reader(file), [])]
    except OSError as error:
        raise UserError(
            f"cannot read the OpenFace CSV {path}: {error.strerror} (looked for {path.absolute()}). facegan openface "
            "runs OpenFace, or prints the command"
        ) from None
    except UnicodeDecodeError:
        raise UserError(f"{path} is not a text file, so not a CSV of OpenFace") from None
    if "confidence" not in header or not {"frame", "face"} & set(header):
        seen = ", ".join(header[:4]) or "nothing"
        raise UserError(
            f"{path} is not a CSV of OpenFace: looked for frame (or face) and confidence, found {seen} …"
        )

    wanted = [name for name in (*_SINGLE, *_POSE, *_LANDMARKS, *AU_COLUMNS) if name in header]
    cut: list[str] = []

    def pass_over(row: pa.csv.InvalidRow) -> str:  # a line cut off by a full disk
        cut.append(f"{row.actual_columns} columns for {row.expected_columns} in its header")
        return "skip"

    # A fork repeats column names; Arrow wants each wanted name once, the others are never looked at.
    unique = [name if name not in header[:i] else f"{name}.{i}" for i, name in enumerate(header)]
    try:
        table = pa.csv.read_csv(
            path,
            pa.csv.ReadOptions(column_names=unique, skip_rows=1, use_threads=False),
            pa.csv.ParseOptions(invalid_row_handler=pass_over),
            pa.csv.ConvertOptions(
                include_columns=wanted,
                column_types=dict.fromkeys(wanted, pa.float64()),
                null_values=_NOT_NUMBERS,
            ),
        )
    except pa.ArrowInvalid as error:
        # Arrow counts columns; a user knows their names
        said = re.sub(r"CSV column #(\d+)", lambda place: f"column {header[int(place[1])]}", str(error))
        raise UserError(f"{path} cannot be read as a CSV of OpenFace: {said}") from None
    n = table.num_rows
    if cut and not n:
        raise UserError(f"{path} has no whole row: {cut[0]}")
    columns = {name: table.column(name).to_numpy() for name in wanted}
    missing = np.full(n, np.nan)

    confidence = columns["confidence"]
    frame = columns.get("frame", np.ones(n))
    valid = (confidence >= min_confidence) & (columns.get("success", np.ones(n)) > 0) & np.isfinite(frame)

    def block(names: tuple[str, ...]) -> np.ndarray:
        values = np.stack([columns.get(name, missing) for name in names], axis=1).astype(np.float32)
        values[~valid] = np.nan
        return values

    landmarks = block(_LANDMARKS).reshape(n, 2, N_LANDMARKS).transpose(0, 2, 1)
    face = columns.get("face_id", columns.get("face", np.zeros(n)))
    return OpenFaceTable(
        path=path,
        frame=np.nan_to_num(frame, nan=-1).astype(np.int64),
        face=np.nan_to_num(face).astype(np.int64),
        confidence=confidence.astype(np.float32),
        valid=valid,
        au=block(AU_COLUMNS).reshape(n, N_AUS),
        pose=block(_POSE),
        landmarks=landmarks,
    )
