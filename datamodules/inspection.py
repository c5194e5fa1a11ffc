"""A look at raw data: what is there, what was left out and why, and a sheet of samples with their landmarks."""

import os
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from datamodules.preparation.landmarks import landmark_finder
from datamodules.preparation.pictures import (
    UnreadablePicture,
    frame_size_and_count,
    is_picture,
    look,
    read_frames,
    read_picture,
)
from datamodules.records import Found, Records
from datamodules.splits import PARTS, Split
from facegan.config import UserError
from facegan.faces import EXPRESSIONS

_LOOKED_AT = 300  # files that are read
_WEIGHED = 200_000  # files that are looked at for being empty
_SIDE = 160  # pixels of a sample in the sheet
_TEXT = 16

Finder = Callable[[np.ndarray, np.ndarray], np.ndarray]


def table(found: Found, split: Split) -> str:
    """What was found, as lines of text: people and pictures by part and expression, codes, sizes, what was left out."""
    records = found.records
    identity, expression = records.codes("identity"), records.numbers("expression")
    parts = {name: getattr(split, name) for name in PARTS}
    parts["unused"] = np.setdiff1d(np.arange(len(records)), np.concatenate(list(parts.values())))
    lines = [found.summary(), "", f"{'':14}{'people':>9}{'pictures':>11}"]
    lines += [
        f"{name:14}{len(np.unique(identity[rows])):>9,}{len(rows):>11,}"
        for name, rows in parts.items()
        if len(rows)
    ]
    lines.append("")
    for code in np.unique(expression):
        rows = expression == code
        name = EXPRESSIONS[code] if code >= 0 else "no expression"
        lines.append(f"{name:14}{len(np.unique(identity[rows])):>9,}{rows.sum():>11,}")
    for about, counts in found.codes.items():
        words = ", ".join(f"{word} {count:,}" for word, count in sorted(counts.items()))
        lines.append(f"{about} in the raw data: {words}")
    lines.append(_sizes(records))
    lines += [f"  {path}: {reason}" for path, reason in found.left_out[:5]]
    if len(found.left_out) > 5:
        lines.append(f"  … and {len(found.left_out) - 5:,} more left out")
    return "\n".join(lines)


def _spread(records: Records, count: int) -> list[int]:
    """At most ``count`` rows, evenly spread over the table."""
    return np.unique(np.linspace(0, len(records) - 1, count).astype(int)).tolist()


def _sizes(records: Records) -> str:
    """Width x height of some files, read whole, and how many of all are empty."""
    sizes: Counter[str] = Counter()
    damaged: list[str] = []
    rows = _spread(records, _LOOKED_AT)
    for path in dict.fromkeys(records.path(row) for row in rows):
        try:
            if is_picture(Path(path)):
                with Image.open(path) as image:
                    width, height = image.size
                    image.load()  # a copy that was cut short is seen only now
            else:
                (height, width), _ = frame_size_and_count(path)
        except (OSError, SyntaxError, UnreadablePicture):
            sizes["unreadable"] += 1
            damaged.append(path)
        else:
            sizes[f"{width} x {height}"] += 1
    most = ", ".join(f"{size} ({count:,})" for size, count in sizes.most_common(6))
    more = f" and {len(sizes) - 6} others" if len(sizes) > 6 else ""
    lines = [f"sizes of {sizes.total():,} files: {most}{more}"]
    if damaged:
        lines.append(f"unreadable, as {', '.join(damaged[:3])}")
    empty = [path for path in dict.fromkeys(map(records.path, _spread(records, _WEIGHED))) if _is_empty(path)]
    if empty:
        lines.append(f"{len(empty):,} files are empty, as {', '.join(empty[:3])}")
    return "\n".join(lines)


def _is_empty(path: str) -> bool:
    try:
        return os.path.getsize(path) == 0
    except OSError:
        return False


def sheet(records: Records, landmarks: str = "dlib", count: int = 24, columns: int = 8) -> np.ndarray:
    """Samples of a table with their 68 landmarks, RGB uint8; a picture without a face says why.

    Landmarks of OpenFace's CSVs are green; where there are none, those that the finder ``landmarks`` finds are
    yellow.
    """
    rows = _spread(records, count)
    finder = None
    if not np.isfinite(records.landmarks[rows]).all() and landmarks != "openface":
        try:
            finder = landmark_finder(landmarks)
        except UserError:
            finder = None  # the sheet then shows pictures without landmarks
    views, names = records.names("view"), records.names("identity")
    codes, people = records.codes("view"), records.codes("identity")
    expression = records.numbers("expression")
    cells = []
    for row in rows:
        word = EXPRESSIONS[expression[row]] if expression[row] >= 0 else ""
        try:
            image = look(_read(records, row), views[codes[row]])
            cell, note = _drawn(image, records.landmarks[row], finder)
        except UnreadablePicture as error:
            cell, note = np.full((_SIDE, _SIDE, 3), 225, np.uint8), str(error)
        cells.append(np.vstack([cell, *(_line(text) for text in (names[people[row]], note or word))]))
    blank = np.full_like(cells[0], 255)
    cells += [blank] * (-len(cells) % columns)
    return np.vstack([np.hstack(cells[k : k + columns]) for k in range(0, len(cells), columns)])


def _read(records: Records, row: int) -> np.ndarray:
    path = records.path(row)
    if is_picture(Path(path)):
        return read_picture(path)
    for _, image in read_frames(path, records.numbers("frame")[row : row + 1]):
        return image
    raise UnreadablePicture("video ends before this frame")


def _drawn(image: np.ndarray, known: np.ndarray, finder: Finder | None) -> tuple[np.ndarray, str]:
    """The picture in a square with its landmarks, and what is wrong with it."""
    points, colour, note = known, (0, 220, 0), ""
    if not np.isfinite(points).all() and finder is not None:
        colour = (255, 220, 0)
        try:
            points = finder(image, known)
        except UnreadablePicture as error:
            note = str(error)
    scale = _SIDE / max(image.shape[:2])
    height, width = (max(1, round(side * scale)) for side in image.shape[:2])
    cell = np.full((_SIDE, _SIDE, 3), 255, np.uint8)
    cell[:height, :width] = cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)
    if np.isfinite(points).all():
        for x, y in points * scale:
            cv2.circle(cell, (round(float(x)), round(float(y))), 1, colour, -1, cv2.LINE_AA)
    return cell, note


def _line(text: str) -> np.ndarray:
    strip = np.full((_TEXT, _SIDE, 3), 255, np.uint8)
    # OpenCV's letters are ASCII
    plain = text.encode("ascii", "replace").decode()[:26]
    return cv2.putText(
        strip, plain, (2, _TEXT - 4), cv2.FONT_HERSHEY_SIMPLEX, 0.36, (0, 0, 0), 1, cv2.LINE_AA
    )
