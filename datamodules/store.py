"""Prepared faces on disk: memory-mapped arrays, one copy a batch.

A store is a folder with ``faces-00000.npy …`` (uint8 (n, S, S, 3)), ``landmarks.npy`` (float32 (N, 68, 2),
pixels of the crop), ``records.arrow`` (the record table, pose as in the crop), ``left_out.csv`` and
``store.json`` (how it was made). It appears under its name only when it is complete.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch

from datamodules.records import Records
from facegan.config import UserError

FORMAT = 1


class Store:
    """An open store. Opening maps files and reads no picture; pickling hands over the path only."""

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self.meta = read_meta(self.path)
        self.image_size: int = self.meta["image_size"]
        self.records = Records.open(self.path / "records.arrow")
        self.landmarks: np.ndarray = _map(self.path / "landmarks.npy")
        self._shards = [_map(self.path / name) for name in self.meta["shards"]]
        self._maps: dict[str, np.ndarray] = {}
        self._starts = np.cumsum([0, *(len(shard) for shard in self._shards)])
        if self._starts[-1] != len(self.records):
            raise UserError(
                f"the store {self.path} is damaged ({self._starts[-1]} faces, {len(self.records)} records); "
                "delete it and prepare again"
            )

    def identity_maps(self, appearance: str) -> np.ndarray:
        """(N, S, S, 3) uint8, where preparation was asked for them (``preparation.identity_maps``).

        Raises:
            UserError: it was not.
        """
        if appearance not in self._maps:
            path = self.path / maps_file(appearance)
            if not path.exists():
                raise UserError(f"there is no {path}; prepare again with data.identity_maps={appearance}")
            self._maps[appearance] = _map(path)
        return self._maps[appearance]

    def __reduce__(self) -> tuple[type["Store"], tuple[Path]]:
        return Store, (self.path,)

    def __len__(self) -> int:
        return len(self.records)

    def images(self, rows: np.ndarray) -> torch.Tensor:
        """Faces (B, S, S, 3) uint8 of rows (B,), in their order; one gather from each shard touched."""
        out = torch.empty((len(rows), self.image_size, self.image_size, 3), dtype=torch.uint8)
        view = out.numpy()
        if len(self._shards) == 1:
            np.take(self._shards[0], rows, axis=0, out=view, mode="clip")
            return out
        shard_of = np.searchsorted(self._starts, rows, side="right") - 1
        for shard in np.unique(shard_of):
            here = shard_of == shard
            view[here] = self._shards[shard][rows[here] - self._starts[shard]]
        return out


def maps_file(appearance: str) -> str:
    """Name of the file of identity maps of one appearance."""
    return f"identity_maps-{appearance}.npy"


def _map(path: Path) -> np.ndarray:
    # As a plain array: indexing np.memmap itself costs microseconds more each time.
    return np.asarray(np.load(path, mmap_mode="r"))


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
