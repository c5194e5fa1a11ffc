"""Rows of the record table in the making, with what OpenFace's CSVs say of them."""

from collections.abc import Iterable
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from datamodules.preparation.openface import OpenFaceTable, has_aus, is_openface, read_openface
from datamodules.records import Records
from facegan.config import UserError
from facegan.faces import N_AUS, N_LANDMARKS

UNUSED_TABLE = "a CSV is not used, its pictures stay: "
UNUSED_AUS = "AU intensities that are no numbers, unknown there; rows:"


class Table:
    """One OpenFace CSV with its rows by frame."""

    def __init__(self, path: Path, min_confidence: float) -> None:
        self.path = path
        self.rows: OpenFaceTable = read_openface(path, min_confidence).one_face_a_frame()
        self.row_of = {frame - 1: row for row, frame in enumerate(self.rows.frame.tolist())}
        self.frames = max(self.row_of, default=-1) + 1


class Tables:
    """Finds the OpenFace CSVs of one folder; damaged ones are noted once and passed over.

    Args:
        root: of the raw data; CSVs of a folder below it may also lie in the folder above.
        folder: of the pictures.
        min_confidence: below it a face counts as not tracked.
        left_out: gets what is damaged.
        beside: the same folder in a tree of CSVs apart (``data.au_root``); what lies with the pictures then
            counts no more.
    """

    def __init__(
        self,
        root: Path,
        folder: Path,
        min_confidence: float,
        left_out: list[tuple[str, str]],
        beside: Path | None = None,
    ) -> None:
        self._min_confidence, self._left_out = min_confidence, left_out
        inside = [folder, folder / "processed"]
        outside = [] if folder == root else [folder.parent, folder.parent / "processed", root / "processed"]
        if beside is not None:
            inside, outside = [beside], [beside.parent]
        self._by_file = self._listed(inside)
        self._by_folder = self._listed(inside + outside, only=folder.absolute().name)

    def alone(self, there: Iterable[str]) -> list[Path]:
        """OpenFace's CSVs of single files whose picture or video is not ``there`` (stems), nor the folder's own."""
        known = {*there, *(path.stem for path in self._by_folder.values())}
        return [path for stem, path in self._by_file.items() if stem not in known and is_openface(path)]

    @staticmethod
    def _listed(folders: list[Path], only: str | None = None) -> dict[str, Path]:
        found: dict[str, Path] = {}
        for folder in folders:
            if only is not None:
                candidates = [folder / f"{only}.csv"]
            else:
                candidates = sorted(folder.glob("*.csv"))
            for path in candidates:
                if path.name != "labels.csv" and path.is_file():
                    found.setdefault(path.stem, path)
        return found

    def of_file(self, name: Path | str) -> Table | None:
        """The CSV of one picture or video."""
        return self._read(self._by_file.get(Path(name).stem)) if self._by_file else None

    @cached_property
    def of_folder(self) -> Table | None:
        """The CSV of all pictures of the folder."""
        return self._read(next(iter(self._by_folder.values()), None))

    def _read(self, path: Path | None) -> Table | None:
        if path is None:
            return None
        try:
            table = Table(path, self._min_confidence)
            unknown = int((table.rows.valid & ~np.isfinite(table.rows.au).all(1)).sum())
            if unknown and has_aus(path):
                self._left_out.append((str(path), f"{UNUSED_AUS} {unknown:,} of {len(table.rows):,}"))
            return table
        except UserError as error:
            self._left_out.append((str(path), UNUSED_TABLE + str(error).replace(f"{path} ", "")))
            return None


class Rows:
    """Rows of the record table in the making."""

    def __init__(self, root: str) -> None:
        self._root = root
        self.paths: list[str] = []
        self._columns: dict[str, list[Any]] = {
            name: [] for name in ("frame", "identity", "expression", "sequence", "part", "view")
        }
        self._labelled: list[tuple[int, Table, int]] = []

    def add(
        self,
        path: Path | str,
        frame: int,
        identity: str,
        sequence: str,
        expression: int,
        part: str = "",
        view: str = "",
    ) -> None:
        """One more picture; ``path`` is below the root, ``frame`` its place in the sequence from 0."""
        self.paths.append(path if isinstance(path, str) else path.as_posix())
        values = (frame, identity, expression, sequence, part, view)
        for column, value in zip(self._columns.values(), values, strict=True):
            column.append(value)

    def label(self, table: Table | None, frame: int) -> bool:
        """Give the last row what a CSV says of a frame; False where it has no such row."""
        if table is None or frame not in table.row_of:
            return False
        self._labelled.append((len(self.paths) - 1, table, table.row_of[frame]))
        return True

    def label_picture(self, tables: Tables, name: Path | str, frame: int) -> bool:
        """Give the last row what the picture's own CSV says, or its frame in that of its folder."""
        return self.label(tables.of_file(name), 0) or self.label(tables.of_folder, frame)

    def records(self) -> Records:
        """The table; labels that no CSV gives are unknown."""
        n = len(self.paths)
        columns: dict[str, Any] = {
            "au": np.full((n, N_AUS), np.nan, np.float32), "pose": np.full((n, 3), np.nan, np.float32),
            "confidence": np.full(n, np.nan, np.float32),
        }  # fmt: skip
        if any(np.isfinite(table.rows.landmarks[row, 0, 0]) for _, table, row in self._labelled):
            columns["landmarks"] = np.full((n, N_LANDMARKS, 2), np.nan, np.float32)
        for place, table, row in self._labelled:
            for name, values in columns.items():
                values[place] = getattr(table.rows, name)[row]
        return Records.build({"root": [self._root] * n, "path": self.paths, **self._columns, **columns})
