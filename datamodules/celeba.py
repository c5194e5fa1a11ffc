"""CelebA, the CelebFaces attributes data set.

Data sheet
    What        202,599 pictures of 10,177 people, aligned by the eyes: 178 x 218.
    Layout      ``img_align_celeba/000001.jpg`` and lists beside it, or as the authors' drive has it (``Img``, ``Anno``,
                ``Eval``), or as Kaggle does (the folder doubled, lists with commas, nobody's identity). Pictures
                of the png package are found too: all lists say ``.jpg``.
    Labels      five landmarks a picture, 40 attributes, a person; no expressions and no AUs. The lists of the person
                and of the partition have no header, the others a count and their columns' names. Boxes
                (``list_bbox_celeba``) are of the pictures before alignment, one of them empty: not read.
    Split       the official partition (162,770 / 19,867 / 19,962), person-disjoint; where the list is missing, by the
                pictures' numbers, as it was made.
    Frontal     AIP-GAN tests on "frontal images selected from CelebA" and does not say how: ``data.frontal=0.1`` keeps
                pictures whose nose and mouth lie within 0.1 of the eyes' distance from the middle between the eyes
                (measured along the line of the eyes): a head that is turned by less than about ten degrees.
    Defects     identities are noisy; attributes too, Mouth_Slightly_Open in about every fifth picture.
    Licence     non-commercial research.
    Access      The Chinese University of Hong Kong: http://mmlab.ie.cuhk.edu.hk/projects/CelebA.html
    Cite        Liu et al., "Deep learning face attributes in the wild", 2015.
"""

import os
import re
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from datamodules.base import FaceDataModule
from datamodules.config import DataConfig
from datamodules.discovery import generated_by, not_here, walk
from datamodules.records import Found, Records
from datamodules.rows import Rows, Tables
from datamodules.splits import PARTS, Split, by_part
from facegan.config import UserError, check
from facegan.faces import UNKNOWN_EXPRESSION

ACCESS = (
    "CelebA is given for non-commercial research by The Chinese University of Hong Kong: "
    "http://mmlab.ie.cuhk.edu.hk/projects/CelebA.html"
)
_ENDS = (162_770, 182_637)  # last training and last validation picture
_PICTURE = re.compile(r"^(?P<number>\d{6})\.(?:jpe?g|png)$", re.IGNORECASE)
_LISTS = {
    "identity": ("identity_CelebA", 1),
    "points": ("list_landmarks_align_celeba", 10),
    "parts": ("list_eval_partition", 1),
}
"""Name and number of columns of each list that is read."""


@dataclass
class CelebAConfig(DataConfig):
    """Aligned pictures with the official partition."""

    name: str = "celeba"
    needs_au: bool = False
    # greatest asymmetry, in eye distances; None: all pictures. AIP-GAN 4.1 (cross test)
    frontal: float | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.frontal is not None:
            check("data.frontal", self.frontal, above=0)


class CelebA(FaceDataModule):
    """CelebA; see the module's data sheet."""

    config: CelebAConfig
    raw_options = ("min_confidence", "frontal")

    def find(self) -> Found:
        """All aligned pictures with their people; frontal ones only where that is asked.

        Raises:
            UserError: the root is missing or holds no such picture, or a list is needed that is not there.
        """
        config, root = self.config, self.roots()[0]
        folder, lists = _look_through(root)
        if folder is None:
            raise UserError(not_here("CelebA", "celeba", root, "img_align_celeba/000001.jpg", ACCESS))
        pictures = _pictures(folder)
        people, points, parts = (_read(lists.get(name), columns) for name, (_, columns) in _LISTS.items())
        left_out: list[tuple[str, str]] = []
        notes = [] if people else ["no identity_CelebA.txt: every picture counts as a person of its own"]
        if not parts:
            notes.append("no list_eval_partition.txt: parts by the pictures' numbers, as that list has them")
        absent = len(people.keys() - pictures.keys())
        if absent:
            notes.append(f"{absent:,} pictures are listed in identity_CelebA.txt, but not there")
        if config.frontal is not None and not points:
            raise UserError(
                f"data.frontal={config.frontal} needs list_landmarks_align_celeba.txt, which is nowhere below "
                f"{root.absolute()}; add it, or leave data.frontal out"
            )
        rows = Rows(str(root.absolute()))
        codes = {"part": Counter(_part(number, parts) or "none" for number in pictures)}
        table = Tables(folder, folder, config.min_confidence, left_out, self.beside(folder))
        turned = 0
        for number, path in sorted(pictures.items()):
            if people and number not in people:
                left_out.append((str(path), "not in identity_CelebA.txt"))
            elif config.frontal is not None and number not in points:
                left_out.append((str(path), "not in list_landmarks_align_celeba.txt"))
            elif config.frontal is not None and not asymmetry(np.array(points[number])) <= config.frontal:
                turned += 1
            else:
                person = f"{people[number][0]:05d}" if people else path.stem
                rows.add(path.relative_to(root), 0, person, person, UNKNOWN_EXPRESSION, _part(number, parts))
                rows.label(table.of_file(path), 0)
        if turned:
            notes.append(
                f"{turned:,} pictures are passed over: more than data.frontal={config.frontal} from frontal"
            )
        if not rows.paths:
            raise UserError(f"none of {len(pictures):,} pictures in {folder} is left.\n" + "\n".join(notes))
        records = rows.records()
        return Found(records, left_out, notes, codes, generated_by(records))

    def split(self, records: Records) -> Split:
        """The official partition; pictures that its list does not name are not used."""
        return by_part(records)


def asymmetry(points: np.ndarray) -> float:
    """How far a head is turned: of nose and mouth, the larger distance from the middle between the eyes.

    Args:
        points: (10,) x and y of left eye, right eye, nose, left and right corner of the mouth, as listed.

    Returns:
        In eye distances, along the line of the eyes; infinity where the eyes are one point.
    """
    left, right, nose, *mouth = points.reshape(5, 2).astype(np.float64)
    across = right - left
    length = across @ across
    if not length:
        return float("inf")
    middle = (left + right) / 2
    return max(float(abs((point - middle) @ across) / length) for point in (nose, (mouth[0] + mouth[1]) / 2))


def _part(number: int, parts: dict[int, tuple[int, ...]]) -> str:
    code = parts.get(number, (-1,))[0] if parts else sum(number > end for end in _ENDS)
    return PARTS[code] if code in range(len(PARTS)) else ""


def _look_through(root: Path) -> tuple[Path | None, dict[str, Path]]:
    """The folder of aligned pictures and the lists by their name in ``_LISTS``; the first of each."""
    pictures: Path | None = None
    lists: dict[str, Path] = {}
    for place, _, files in walk(root):
        for name, (stem, _) in _LISTS.items():
            for ending in (".txt", ".csv"):
                if stem + ending in files:
                    lists.setdefault(name, place / (stem + ending))
        inside = (root.absolute().name, *place.relative_to(root).parts)
        aligned = any(part.startswith("img_align_celeba") for part in inside)
        if pictures is None and aligned and any(_PICTURE.match(file) for file in files):
            pictures = place
    return pictures, lists


def _pictures(folder: Path) -> dict[int, Path]:
    with os.scandir(folder) as entries:
        named = sorted(entry.name for entry in entries)
    return {int(match["number"]): folder / name for name in named if (match := _PICTURE.match(name))}


def _read(path: Path | None, columns: int) -> dict[int, tuple[int, ...]]:
    """A list's numbers by picture; counts, headers and broken lines name no picture, or have too few numbers."""
    table: dict[int, tuple[int, ...]] = {}
    if path is None:
        return table
    with path.open() as lines:
        for line in lines:
            name, *values = line.replace(",", " ").split() or [""]
            match = _PICTURE.match(name)
            if match and len(values) == columns:
                try:
                    table[int(match["number"])] = tuple(int(value) for value in values)
                except ValueError:
                    continue
    return table
