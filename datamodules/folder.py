"""Any pictures, or videos, with what OpenFace says of them.

Below a root, pictures lie at any depth. The first folder below the root is the person; pictures right in
the root are of one person, named after the root, and a video there is a person of its own, named after the
file. A table ``<root>/labels.csv`` (columns ``image``, and ``identity`` or ``expression`` or both; image =
path below the root, or file name) overrules that. OpenFace's CSVs are found in three places:

* one a picture, ``<stem>.csv`` beside it or in ``processed/`` (FaceLandmarkImg);
* one a folder of frames, ``<folder>.csv`` beside the folder, inside it, or in ``processed/`` there
  (FeatureExtraction -fdir): row k is the k-th picture in the order of names;
* one a video, ``<stem>.csv`` beside it or in ``processed/`` (FeatureExtraction -f).

A picture can only be missing some of this, never be wrong because of it: without a CSV its AUs are unknown.
"""

import csv
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from datamodules.base import FaceDataModule
from datamodules.config import DataConfig
from datamodules.discovery import SIGNS, generated_by, looks_like, walk
from datamodules.preparation.openface import is_openface
from datamodules.preparation.pictures import UnreadablePicture, count_frames, is_picture, is_video
from datamodules.records import Found, Records, expression_index
from datamodules.rows import Rows, Tables
from datamodules.splits import Split, by_person, by_time, draw_people, join
from facegan.config import UserError, check, check_ranges


@dataclass
class FolderConfig(DataConfig):
    """Pictures of one's own; see the module's text for the layout."""

    name: str = "folder"
    roots: list[str] = field(default_factory=list)  # several folders or videos together, beside root
    test_roots: list[str] = field(default_factory=list)  # folders of test people only
    # people | time | auto: by time where one person has more than a picture, else by person
    split: str = "auto"
    test_fraction: float = 0.1  # of the people of a root, at least one unless 0; none with test_roots
    val_fraction: float = 0.05  # of the people of a root

    def __post_init__(self) -> None:
        super().__post_init__()
        check("data.split", self.split, ("people", "time", "auto"))
        check_ranges("data", self, test_fraction=(0, 1), val_fraction=(0, 1))


class Folder(FaceDataModule):
    """Pictures and videos of any folders, see the module's text."""

    config: FolderConfig
    raw_options = ("min_confidence",)

    def roots(self) -> list[Path]:
        """All folders (or single videos) that are read, those of test people last."""
        config = self.config
        mine = [Path(root).absolute() for root in ([config.root] if config.root else []) + config.roots]
        mine = mine or super().roots()
        return mine + [Path(root).absolute() for root in config.test_roots]

    def find(self) -> Found:
        """Pictures, people, expressions and AUs of all roots.

        Raises:
            UserError: a root is missing, or holds no picture and no video.
        """
        parts = [find_folder(root, self.config.min_confidence, self.au_root()) for root in self.roots()]
        records = Records.concatenate([part.records for part in parts])
        return Found(
            records,
            [item for part in parts for item in part.left_out],
            [note for part in parts for note in part.notes],
            generated=generated_by(records),
        )

    def split(self, records: Records) -> Split:
        """Each root on its own, by time or by person; test roots are for the test as a whole."""
        config = self.config
        if config.split not in ("people", "time", "auto"):
            raise UserError(f"data.split={config.split} is unknown; choose people, time or auto")
        names, codes = records.names("root"), records.codes("root")
        tested = {_root_name(Path(root)) for root in config.test_roots}
        none = np.zeros(0, np.int64)
        splits = []
        for code, name in enumerate(names):
            rows = np.flatnonzero(codes == code)
            people = records.everybody(name)
            several = np.unique(records.codes("identity")[rows], return_counts=True)[1] > 1
            if name in tested:
                splits.append(Split(none, none, rows))
            elif config.split == "time" or (config.split == "auto" and several.sum() == 1):
                splits.append(by_time(records, rows))
            else:
                val = round(config.val_fraction * len(people))
                test = (
                    0 if tested or not config.test_fraction
                    else max(1, round(config.test_fraction * len(people)))
                )  # fmt: skip
                splits.append(by_person(records, rows, draw_people(people, val, test, config.seed)))
        return join(splits)


def _root_name(root: Path) -> str:
    return str(root.absolute())


def find_folder(root: Path, min_confidence: float, au_root: Path | None = None) -> Found:
    """Everything in one root, which may also be a single video.

    Raises:
        UserError: the root is missing, or holds no picture and no video.
    """
    if not root.exists():
        raise UserError(
            f"looked for a folder of pictures (or a video) at {root.absolute()}: there is none. Set "
            f"data.root, or try generated faces first: facegan generate folder --root {root}"
        )
    base = root if root.is_dir() else root.parent
    rows = Rows(_root_name(root))
    labels = _read_labels(base) if root.is_dir() else {}

    def add(path: Path, frame: int, identity: str, sequence: str) -> None:
        label = labels.get(path.as_posix()) or labels.get(path.name) or {}
        expression = expression_index(label.get("expression") or "")
        rows.add(path, frame, label.get("identity") or identity, sequence, expression)

    left_out: list[tuple[str, str]] = []
    notes: list[str] = []
    alone: list[Path] = []
    for folder, files in _walk(root):
        beside = au_root / folder.relative_to(base) if au_root else None
        tables = Tables(base, folder, min_confidence, left_out, beside)
        below = folder.relative_to(base).parts
        pictures = [path for path in files if is_picture(path)]
        alone += tables.alone(path.stem for path in files if is_picture(path) or is_video(path))
        if pictures:
            whole = tables.of_folder
            if whole is not None and whole.frames != len(pictures):
                notes.append(f"{whole.path}: {whole.frames} frames for {len(pictures)} pictures")
            place = {path: k for k, path in enumerate(pictures)}
            for frame, path in enumerate(sorted(pictures, key=_natural)):
                identity = below[0] if below else base.absolute().name
                add(path.relative_to(base), frame, identity, "/".join(below))
                rows.label_picture(tables, path, place[path])
        for path in files:
            if not is_video(path):
                continue
            table = tables.of_file(path)
            try:
                frames = table.frames if table else count_frames(path)
            except UnreadablePicture as error:
                left_out.append((str(path), str(error)))
                continue
            identity = below[0] if below else path.stem
            for frame in range(frames):
                add(path.relative_to(root), frame, identity, path.relative_to(base).as_posix())
                rows.label(table, frame)
    if not rows.paths:
        raise UserError(
            f"{root.absolute()} holds no picture (.jpg, .png, .bmp, .webp, .tif) and no video (.mp4, .avi); "
            "set data.root to a folder that does"
        )
    records = rows.records()
    if alone:
        notes.append(f"{len(alone):,} CSVs have no picture (as {alone[0].relative_to(base)})")
    if labels:
        there = set(records.table.column("path").to_pylist())
        names = {path.rpartition("/")[2] for path in there}
        if absent := [path for path in labels if path not in there and path not in names]:
            notes.append(f"{len(absent):,} rows of labels.csv have no picture (as {absent[0]})")
    if root.is_dir() and (other := looks_like(root)):
        notes.append(f"{root} looks like {SIGNS[other][0]}: data.name={other} knows its people and labels")
    return Found(records, left_out, notes)


def _walk(root: Path) -> Iterator[tuple[Path, list[Path]]]:
    """Folders with their files in the order of names, OpenFace's order of frames."""
    if root.is_file():
        yield root.parent, [root]
        return
    for place, folders, files in walk(root):
        # OpenFace's own output
        folders[:] = [folder for folder in folders if not folder.endswith("_aligned")]
        yield place, [place / file for file in files]


def _natural(path: Path) -> list[tuple[int, str]]:
    """Sort key that puts frame 10 after frame 9."""
    return [(int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"(\d+)", path.name)]


def _read_labels(root: Path) -> dict[str, dict[str, str]]:
    """Rows of ``labels.csv`` by picture: path below the root, or file name."""
    path = root / "labels.csv"
    if not path.exists() or is_openface(path):
        return {}
    with open(path, newline="", encoding="utf-8-sig") as file:
        table = csv.DictReader(file, skipinitialspace=True)
        names = [name.strip() for name in table.fieldnames or []]
        if "image" not in names or not {"identity", "expression"} & set(names):
            raise UserError(
                f"{path} needs a column image, and identity or expression or both; it has: {', '.join(names)}"
            )
        table.fieldnames = names
        return {row["image"].strip().replace("\\", "/"): row for row in table if row.get("image")}
