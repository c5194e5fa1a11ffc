"""The table of faces: one row a picture, whatever data set it comes from.

A data module finds raw pictures and says what it knows of each as a row of ``Records``; preparation
keeps the rows whose face was found. The table lives in Arrow memory: opened from a store it is a memory
map, so millions of rows open in milliseconds and are shared between processes.
"""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from facegan.faces import EXPRESSIONS, N_AUS, N_LANDMARKS, UNKNOWN_EXPRESSION

_EVERYBODY = b"everybody"  # in the schema's metadata: people by root, as JSON
_NAMES = pa.dictionary(pa.int32(), pa.string())
_PER_FACE = {"au": N_AUS, "pose": 3, "landmarks": 2 * N_LANDMARKS}

SCHEMA = pa.schema(
    [
        ("root", _NAMES),  # folder that the path is below, or a single video
        ("path", pa.large_string()),  # picture or video, relative to the root; "." where that is a video
        ("frame", pa.int32()),  # place in the sequence from 0; of a video: which frame
        ("identity", _NAMES),
        ("expression", pa.int8()),  # index in faces.EXPRESSIONS, -1 unknown
        ("au", pa.list_(pa.float32(), N_AUS)),  # 0..5, NaN unknown
        ("pose", pa.list_(pa.float32(), 3)),  # radians, NaN unknown
        ("camera", pa.int16()),  # degrees, -1 unknown
        ("gaze", _NAMES),  # frontal | left | right | "" unknown
        ("sequence", _NAMES),  # pictures of one sequence follow one another in time
        ("confidence", pa.float32()),  # of the tracker, NaN unknown
        ("view", _NAMES),  # how to look at the raw picture, see pictures.VIEWS; "" as it is
        ("part", _NAMES),  # of the data set's own partition: train | val | test | "" none
        ("landmarks", pa.list_(pa.float32(), 2 * N_LANDMARKS)),  # pixels of the picture; only of raw data
    ]
)

_SYNONYMS = {
    "angry": "anger", "disgusted": "disgust", "fearful": "fear", "happy": "happiness", "sad": "sadness",
    "surprised": "surprise", "contemptuous": "contempt",
}  # fmt: skip


def expression_index(name: str) -> int:
    """Index in ``faces.EXPRESSIONS`` of a name, adjective or noun, in any case; -1 for other words."""
    word = name.strip().lower()
    word = _SYNONYMS.get(word, word)
    return EXPRESSIONS.index(word) if word in EXPRESSIONS else UNKNOWN_EXPRESSION


class Records:
    """A table with the columns of ``SCHEMA``; numeric columns come out as numpy views without a copy.

    Name columns (root, identity, gaze, sequence, view, part) are stored once a name: ``codes(column)`` gives the
    index (N,) of each row in ``names(column)``.
    """

    def __init__(self, table: pa.Table) -> None:
        self.table = table

    @classmethod
    def build(cls, columns: Mapping[str, Any]) -> "Records":
        """Records from columns of equal length; columns left out are unknown. Needs path and identity.

        ``au``, ``pose`` and ``landmarks`` are arrays (N, 17), (N, 3) and (N, 68, 2). Without ``landmarks``
        the table has no such column: it would be most of its size.
        """
        n = len(columns["path"])
        defaults: dict[str, Any] = {
            "root": "", "frame": 0, "expression": UNKNOWN_EXPRESSION, "camera": -1, "gaze": "",
            "sequence": "", "confidence": np.nan, "view": "", "part": "",
        }  # fmt: skip
        arrays = []
        for schema in SCHEMA:
            values = columns.get(schema.name)
            if schema.name == "landmarks" and values is None:
                continue
            if schema.name in _PER_FACE:
                width = _PER_FACE[schema.name]
                flat = np.full(n * width, np.nan, np.float32)
                if values is not None:
                    flat[:] = np.asarray(values, np.float32).reshape(-1)
                arrays.append(pa.FixedSizeListArray.from_arrays(pa.array(flat), width))
                continue
            if values is None:
                values = [defaults[schema.name]] * n
            if schema.type == _NAMES:
                arrays.append(pa.array(list(values), pa.string()).dictionary_encode())
            else:
                arrays.append(pa.array(values, schema.type))
        return cls(pa.Table.from_arrays(arrays, schema=pa.schema(list(SCHEMA)[: len(arrays)])))

    @classmethod
    def concatenate(cls, parts: Sequence["Records"]) -> "Records":
        """The rows of several tables, in order."""
        if any(part.has_landmarks for part in parts):
            parts = [part if part.has_landmarks else part.replace(landmarks=part.landmarks) for part in parts]
        return cls(pa.concat_tables([part.table for part in parts]).unify_dictionaries().combine_chunks())

    @classmethod
    def open(cls, path: Path) -> "Records":
        """A table that ``write`` left, as a memory map."""
        with pa.memory_map(str(path)) as source:
            return cls(pa.ipc.open_file(source).read_all())

    @staticmethod
    def offset(path: Path, name: str) -> int:
        """Byte of a file that ``write`` left at which the numbers of ``au`` or ``pose`` begin, row by row."""
        with pa.memory_map(str(path)) as source:
            start = source.read_buffer().address
            source.seek(0)
            column = pa.ipc.open_file(source).read_all().column(name)
            return int(column.chunk(0).flatten().buffers()[1].address - start) if len(column) else 0

    def write(self, path: Path) -> None:
        """Uncompressed Arrow IPC in one batch, so that ``open`` can map it."""
        table = self.table.unify_dictionaries().combine_chunks()
        with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, table.schema) as writer:
            writer.write_table(table)

    def __len__(self) -> int:
        return int(self.table.num_rows)

    def __getstate__(self) -> dict[str, Any]:
        return {"table": self.table}

    def select(self, rows: np.ndarray) -> "Records":
        """The rows of a boolean mask (N,) or of indices (M,), in that order."""
        rows = np.asarray(rows)
        if rows.dtype == bool:
            rows = np.flatnonzero(rows)
        # take() of a large_string column is 64-bit safe, and one chunk keeps the views free of copies.
        return Records(self.table.take(pa.array(rows.astype(np.int64))).combine_chunks())

    def replace(self, **columns: np.ndarray) -> "Records":
        """The same rows with other ``au``, ``pose`` or ``landmarks``."""
        table = self.table
        for name, values in columns.items():
            flat = pa.array(np.ascontiguousarray(values, np.float32).reshape(-1))
            array = pa.FixedSizeListArray.from_arrays(flat, _PER_FACE[name])
            if name in table.column_names:
                table = table.set_column(SCHEMA.get_field_index(name), SCHEMA.field(name), array)
            else:
                table = table.append_column(SCHEMA.field(name), array)
        return Records(table)

    def without_landmarks(self) -> "Records":
        """The same rows without the landmarks of the raw pictures."""
        return Records(self.table.drop_columns(["landmarks"])) if self.has_landmarks else self

    @property
    def has_landmarks(self) -> bool:
        """Whether there is a column of landmarks."""
        return "landmarks" in self.table.column_names

    def _chunk(self, name: str) -> Any:
        column = self.table.column(name)
        return column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()

    def _matrix(self, name: str) -> np.ndarray:
        if not len(self):
            return np.zeros((0, _PER_FACE[name]), np.float32)
        return self._chunk(name).flatten().to_numpy(zero_copy_only=True).reshape(len(self), -1)

    def numbers(self, name: str) -> np.ndarray:
        """A numeric column (N,)."""
        return self._chunk(name).to_numpy(zero_copy_only=False)

    def codes(self, name: str) -> np.ndarray:
        """Index (N,) int32 of each row's name in ``names(name)``."""
        column = self._chunk(name)
        if isinstance(column, pa.ChunkedArray):  # no rows: Arrow keeps no chunk
            return np.zeros(0, np.int32)
        return column.indices.to_numpy(zero_copy_only=False)

    def names(self, name: str) -> list[str]:
        """The names of a name column, each once; after ``select`` some may have no row."""
        column = self._chunk(name)
        return [] if isinstance(column, pa.ChunkedArray) else column.dictionary.to_pylist()

    @cached_property
    def au(self) -> np.ndarray:
        """(N, 17) float32, 0..5, NaN unknown."""
        return self._matrix("au")

    @cached_property
    def pose(self) -> np.ndarray:
        """(N, 3) float32 radians pitch, yaw, roll with OpenFace's signs, NaN unknown."""
        return self._matrix("pose")

    @cached_property
    def landmarks(self) -> np.ndarray:
        """(N, 68, 2) float32 pixels of the raw picture, NaN unknown."""
        if not self.has_landmarks:
            return np.broadcast_to(np.float32(np.nan), (len(self), N_LANDMARKS, 2))
        return self._matrix("landmarks").reshape(-1, N_LANDMARKS, 2)

    @cached_property
    def has_au(self) -> np.ndarray:
        """(N,) bool: all 17 AUs are known."""
        return np.isfinite(self.au).all(axis=1)

    def path(self, row: int) -> str:
        """Path of a row's picture or video, with its root."""
        root = self.table.column("root")[row].as_py()
        return str(Path(root) / self.table.column("path")[row].as_py())

    def everybody(self, root: str | None = None) -> list[str]:
        """Sorted names of the people of the raw data, or of one of its roots; what splits are drawn from.

        In a store these are also the people of whom no face was found: else a split would depend on the finder.
        """
        noted = (self.table.schema.metadata or {}).get(_EVERYBODY)
        by_root = json.loads(noted) if noted else self._people_by_root()
        return sorted({name for place, names in by_root.items() if root in (None, place) for name in names})

    def remembering_everybody(self) -> "Records":
        """The same rows; whatever is selected of them, ``everybody`` gives the people that are here now."""
        noted = {_EVERYBODY: json.dumps(self._people_by_root())}
        return Records(self.table.replace_schema_metadata(noted))

    def _people_by_root(self) -> dict[str, list[str]]:
        roots, people = self.names("root"), self.names("identity")
        seen = np.zeros((len(roots), len(people)), bool)
        seen[self.codes("root"), self.codes("identity")] = True
        return {
            root: [people[code] for code in np.flatnonzero(row)]
            for root, row in zip(roots, seen, strict=True)
        }

    def people(self) -> list[str]:
        """Sorted names of the identities that have a row."""
        names = self.names("identity")
        return sorted(names[code] for code in np.unique(self.codes("identity")))


@dataclass
class Found:
    """What a data module found in the raw data, and what it left out.

    ``left_out`` holds (path, reason); ``notes`` are sentences for the user; ``codes`` counts the data set's own
    words, by what they are about, in all that was found, whatever the options choose of it.
    """

    records: Records
    left_out: list[tuple[str, str]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    codes: dict[str, Counter[str]] = field(default_factory=dict)
    generated: str | None = None  # name of the head, where there are generated faces

    def summary(self) -> str:
        """What was found, in a few lines: pictures, people, labels, and the reasons for leaving out."""
        records = self.records
        expressions = Counter(records.numbers("expression").tolist())
        known = [f"{EXPRESSIONS[i]} {n:,}" for i, n in sorted(expressions.items()) if i >= 0]
        lines = [
            f"{len(records):,} pictures of {len(records.people()):,} people"
            + (f", generated faces ({self.generated})" if self.generated else ""),
            f"AU intensities: {int(records.has_au.sum()):,}; "
            f"landmarks: {int(np.isfinite(records.landmarks[:, 0, 0]).sum()):,}",
            "expressions: " + (", ".join(known) if known else "not labelled"),
        ]
        for reason, n in Counter(reason for _, reason in self.left_out).most_common():
            lines.append(f"left out {n:,}: {reason}")
        return "\n".join(lines + self.notes)
