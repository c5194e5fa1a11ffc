"""RaFD, the Radboud Faces Database.

Data sheet
    What        8 expressions x 3 gaze directions x 5 cameras of 67 people (39 Caucasian adults, 18 Moroccan
                men, 10 Caucasian children): 8,040 portraits, 681 x 1024.
    Layout      flat: ``Rafd090_01_Caucasian_female_angry_frontal.jpg`` = camera angle, person, group, sex,
                expression, gaze. Found at any depth below the root, so the site's download baskets can stay
                as they are. ``Kid`` stands in the place of the group. Ids run to 73 with gaps.
    Labels      no AUs: run OpenFace (FaceLandmarkImg) on the pictures; its CSVs are found beside them, in
                ``processed/``, or below ``data.au_root``.
    Split       none official. EGGAN: 58 people to train on, 9 to test (from its 1,392 training pictures:
                frontal camera, all gazes); the test people hold at least one of each group.
    Licence     scientific use only, for each researcher individually, at an accredited university.
    Access      Radboud University, Behavioural Science Institute, Nijmegen: https://rafd.socsci.ru.nl
    Cite        Langner et al., "Presentation and validation of the Radboud Faces Database", 2010.
"""

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from datamodules.base import FaceDataModule
from datamodules.config import DataConfig
from datamodules.discovery import generated_by, not_here, walk
from datamodules.preparation.openface import read_openface
from datamodules.records import Found, Records, expression_index
from datamodules.rows import UNUSED_TABLE
from datamodules.splits import Split, by_person, draw_people
from facegan.config import UserError, check_ranges
from facegan.faces import N_AUS, N_LANDMARKS

ACCESS = "RaFD is given to researchers for scientific use by Radboud University, Nijmegen: https://rafd.socsci.ru.nl"
NAME = re.compile(
    r"^Rafd(?P<camera>000|045|090|135|180)_(?P<id>\d\d)_(?P<group>Caucasian|Moroccan|Kid)_(?P<sex>female|male)_"
    r"(?P<emotion>angry|contemptuous|disgusted|fearful|happy|neutral|sad|surprised)_"
    r"(?P<gaze>frontal|left|right)\.(?i:jpe?g)$"
)


@dataclass
class RaFDConfig(DataConfig):
    """RaFD as in EGGAN 4.1: frontal camera, all gazes, 58 / 9 people."""

    name: str = "rafd"
    cameras: list[int] = field(default_factory=lambda: [90])  # of 0, 45, 90, 135, 180; EGGAN: 1,392 = 58 x 24
    gazes: list[str] = field(default_factory=lambda: ["frontal", "left", "right"])
    emotions: list[str] = field(default_factory=list)  # empty: all eight
    kids: bool = True
    test_people: int = 9  # EGGAN 4.2: 1,392 training pictures of 58 people
    val_people: int = 0  # the paper holds nobody out

    def __post_init__(self) -> None:
        super().__post_init__()
        check_ranges("data", self, test_people=(0, None), val_people=(0, None))


class RaFD(FaceDataModule):
    """The Radboud Faces Database; see the module's data sheet."""

    config: RaFDConfig
    raw_options = ("min_confidence", "cameras", "gazes", "emotions", "kids")

    def find(self) -> Found:
        """All pictures with a name of RaFD's form, by person, camera, expression and gaze.

        Raises:
            UserError: the root is missing, holds no such picture, or none is left by the options.
        """
        config = self.config
        root = self.roots()[0]
        wanted = {expression_index(name) for name in config.emotions}
        if -1 in wanted:
            raise UserError(
                f"data.emotions={config.emotions}: one of them is no expression of RaFD, such as angry"
            )
        pictures, tables, others = _look_through(root)
        if not pictures:
            example = "Rafd090_01_Caucasian_female_angry_frontal.jpg"
            elsewhere = "Or train on generated people of another layout: facegan train eggan_generated"
            raise UserError(not_here("RaFD", "rafd", root, example, ACCESS) + f"\n{elsewhere}")
        if config.au_root:
            tables = _look_through(Path(config.au_root))[1]
        rows: list[dict[str, Any]] = []
        about = ("camera", "group", "sex", "emotion", "gaze")
        codes = {name: Counter(match[name] for match in pictures.values()) for name in about}
        for path, match in sorted(pictures.items()):
            row = match.groupdict() | {"path": path, "camera": int(match["camera"])}
            row["expression"] = expression_index(match["emotion"])
            if (
                row["camera"] in config.cameras
                and row["gaze"] in config.gazes
                and (not wanted or row["expression"] in wanted)
                and (config.kids or row["group"] != "Kid")
            ):
                rows.append(row)
        if not rows:
            raise UserError(
                f"none of RaFD's {len(pictures):,} pictures below {root.absolute()} fits "
                f"data.cameras={config.cameras}, data.gazes={config.gazes}, data.emotions={config.emotions}, "
                f"data.kids={config.kids}"
            )
        notes = [f"{others:,} files without a name of RaFD's form were passed over"] if others else []
        notes += self._missing(rows, pictures, tables)
        left_out: list[tuple[str, str]] = []
        labels = _labels([row["path"] for row in rows], tables, config.min_confidence, left_out)
        records = Records.build(
            {
                "root": [str(root.absolute())] * len(rows),
                "path": [row["path"].relative_to(root).as_posix() for row in rows],
                "identity": [_person(row) for row in rows],
                "sequence": [_person(row) for row in rows],
                **{name: [row[name] for row in rows] for name in ("expression", "camera", "gaze")},
                **labels,
            }
        )
        return Found(records, left_out, notes, codes, generated_by(records))

    def _missing(
        self, rows: list[dict[str, Any]], pictures: Mapping[Path, re.Match[str]], tables: Mapping[str, Path]
    ) -> list[str]:
        """Sentences on what a whole RaFD would have."""
        config = self.config
        counts = Counter(_person(row) for row in rows)
        whole = len(config.cameras) * len(config.gazes) * (len(config.emotions) or 8)
        short = sorted(name for name, count in counts.items() if count < whole)
        notes = []
        if (people := 67 if config.kids else 57) > len(counts):
            notes.append(f"{len(counts)} of RaFD's {people} people are here")
        if short:
            lost = sum(whole - counts[name] for name in short)
            notes.append(
                f"{lost:,} pictures of {len(short)} people are missing (as of {', '.join(short[:3])})"
            )
        there = {path.stem for path in pictures}
        alone = [stem for stem in tables if NAME.match(f"{stem}.jpg") and stem not in there]
        return notes + ([f"{len(alone):,} CSVs have no picture (as {alone[0]}.csv)"] if alone else [])

    def split(self, records: Records) -> Split:
        """By person; the test people hold at least one of each group, sexes apart for adults."""
        people = records.everybody()
        groups = {name: "Kid" if "Kid" in name else name.split("_", 1)[1] for name in people}
        config = self.config
        parts = draw_people(people, config.val_people, config.test_people, config.seed, groups)
        return by_person(records, np.arange(len(records)), parts)


def _person(row: dict[str, Any]) -> str:
    return f"{row['id']}_{row['group']}_{row['sex']}"


def _look_through(root: Path) -> tuple[dict[Path, re.Match[str]], dict[str, Path], int]:
    """Pictures with a name of RaFD's form, CSVs by stem, and how many other files there are."""
    pictures: dict[Path, re.Match[str]] = {}
    tables: dict[str, Path] = {}
    seen: set[str] = set()
    others = 0
    for place, files in _folders(root):
        for file in files:
            if file.lower().endswith(".csv"):
                tables.setdefault(file[:-4], place / file)
                continue
            match = NAME.match(file)
            # OpenFace puts its own drawing of each picture, with the same name, into processed/.
            if match and place.name != "processed" and file.lower() not in seen:
                seen.add(file.lower())
                pictures[place / file] = match
            else:
                others += file != "GENERATED.json"
    return pictures, tables, others


def _folders(root: Path) -> Iterator[tuple[Path, list[str]]]:
    """Folders below a root with their files; what OpenFace put into ``processed`` after the folder's own."""
    for place, folders, files in walk(root):
        yield place, files
        if (processed := place / "processed").is_dir() and processed.name not in folders:
            yield processed, sorted(path.name for path in processed.iterdir())


def _labels(
    pictures: list[Path], tables: dict[str, Path], min_confidence: float, left_out: list[tuple[str, str]]
) -> dict[str, np.ndarray]:
    """AUs, pose, landmarks and confidence of each picture's largest face, NaN where there is no CSV."""
    n = len(pictures)
    columns = {
        "au": np.full((n, N_AUS), np.nan, np.float32),
        "pose": np.full((n, 3), np.nan, np.float32),
        "confidence": np.full(n, np.nan, np.float32),
        "landmarks": np.full((n, N_LANDMARKS, 2), np.nan, np.float32),
    }
    for row, path in enumerate(pictures):
        if path.stem not in tables:
            continue
        try:
            table = read_openface(tables[path.stem], min_confidence).one_face_a_frame()
        except UserError as error:
            csv = tables[path.stem]
            left_out.append((str(csv), UNUSED_TABLE + str(error).replace(f"{csv} ", "")))
            continue
        if len(table):
            for name, values in columns.items():
                values[row] = getattr(table, name)[0]
    if np.isnan(columns["landmarks"]).all():
        del columns["landmarks"]
    return columns
