"""Prepared faces on disk: files of rows, of which a batch reads its own.

A store is a folder with ``faces-00000.npy …`` (uint8 (n, S, S, 3)), ``landmarks.npy`` (float32 (N, 68, 2),
pixels of the crop), ``records.arrow`` (the record table, pose as in the crop), ``left_out.csv`` (each picture and
why), ``report.json`` (how many, and why) and ``store.json`` (how it was made). It appears under its name only when
it is complete.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch

from datamodules.records import Records
from datamodules.rowfile import RowFile
from facegan.config import UserError
from facegan.faces import N_AUS

FORMAT = 1


class Store:
    """An open store. Opening reads no picture; pickling hands over the path only.

    ``landmarks``, ``au`` and ``pose`` are read row by row: ``store.au[rows]``; ``records`` has all rows at once.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self.meta = read_meta(self.path)
        self.image_size: int = self.meta["image_size"]
        self.records = Records.open(self.path / "records.arrow")
        try:
            self.landmarks = RowFile.npy(self.path / "landmarks.npy")
            self.au, self.pose = (self._column(name, width) for name, width in (("au", N_AUS), ("pose", 3)))
            self._shards = [RowFile.npy(self.path / name) for name in self.meta["shards"]]
        except (OSError, ValueError, EOFError) as error:
            raise UserError(
                f"the store {self.path} is damaged ({error}); delete it and prepare again"
            ) from None
        self._maps: dict[str, RowFile] = {}
        self._starts = np.cumsum([0, *(len(shard) for shard in self._shards)])
        if self._starts[-1] != len(self.records):
            raise UserError(
                f"the store {self.path} is damaged ({self._starts[-1]} faces, {len(self.records)} records); "
                "delete it and prepare again"
            )

    def _column(self, name: str, width: int) -> RowFile:
        path = self.path / "records.arrow"
        return RowFile(path, Records.offset(path, name), len(self.records), (width,), np.float32)

    def identity_maps(self, appearance: str) -> RowFile:
        """(N, S, S, 3) uint8, where preparation was asked for them (``preparation.identity_maps``).

        Raises:
            UserError: it was not.
        """
        if appearance not in self._maps:
            path = self.path / maps_file(appearance)
            if not path.exists():
                raise UserError(f"there is no {path}; prepare again with data.identity_maps={appearance}")
            self._maps[appearance] = RowFile.npy(path)
        return self._maps[appearance]

    def __reduce__(self) -> tuple[type["Store"], tuple[Path]]:
        return Store, (self.path,)

    def __len__(self) -> int:
        return len(self.records)

    def images(self, rows: np.ndarray) -> torch.Tensor:
        """Faces (B, S, S, 3) uint8 of rows (B,), in their order."""
        out = torch.empty((len(rows), self.image_size, self.image_size, 3), dtype=torch.uint8)
        view = out.numpy()
        shard_of = np.searchsorted(self._starts, rows, side="right") - 1
        for shard in np.unique(shard_of):
            here = np.flatnonzero(shard_of == shard)
            self._shards[shard].read(rows[here] - self._starts[shard], view, here)
        return out


def maps_file(appearance: str) -> str:
    """Name of the file of identity maps of one appearance."""
    return f"identity_maps-{appearance}.npy"


def read_meta(path: Path) -> dict[str, Any]:
    """What ``store.json`` says.

    Raises:
        UserError: there is no store, or one of another format.
    """
    try:
        meta: dict[str, Any] = json.loads((path / "store.json").read_text())
    except FileNotFoundError:
        raise UserError(f"no prepared store at {path}: facegan prepare makes one from the raw data") from None
    except (json.JSONDecodeError, OSError) as error:
        raise UserError(f"the store {path} is damaged ({error}); delete it and prepare again") from None
    if meta.get("format") != FORMAT:
        raise UserError(
            f"the store {path} has another format ({meta.get('format')}); delete it and prepare again"
        )
    return meta
