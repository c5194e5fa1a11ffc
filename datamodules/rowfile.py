"""Rows of equal size in a file, each read where it lies when it is asked for.

Not a memory map: what a map has looked at counts as the process's own memory, as much of it as the data set is large,
and every fault reads more than the row. One ``pread`` a row leaves both to the system's page cache.
"""

import os
import weakref
from pathlib import Path
from typing import Any

import numpy as np

_MANY = 1 << 14  # bytes of a row from which it is worth announcing what will be read


class RowFile:
    """Rows of shape ``shape`` from byte ``offset`` of a file; a copy, never a view.

    ``file[rows]`` takes an index, indices (M,) or a boolean mask (N,), as an array does in its first dimension.
    """

    def __init__(self, path: Path, offset: int, rows: int, shape: tuple[int, ...], dtype: Any) -> None:
        self.shape = (rows, *shape)
        self.dtype = np.dtype(dtype)
        self._offset = offset
        self._size = int(np.prod(shape)) * self.dtype.itemsize
        self._file = os.open(path, os.O_RDONLY)
        weakref.finalize(self, os.close, self._file)
        if os.fstat(self._file).st_size < offset + rows * self._size:
            raise EOFError(f"{path} ends before its last row")

    @classmethod
    def npy(cls, path: Path) -> "RowFile":
        """The rows of an array that ``np.save`` left."""
        array = np.load(path, mmap_mode="r")
        return cls(path, array.offset, len(array), array.shape[1:], array.dtype)

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows: Any) -> np.ndarray:
        rows = np.asarray(rows)
        if rows.dtype == bool:
            rows = np.flatnonzero(rows)
        out = np.empty((rows.size, *self.shape[1:]), self.dtype)
        self.read(np.where(rows < 0, rows + len(self), rows).reshape(-1), out)
        return out.reshape(rows.shape + self.shape[1:])

    def read(self, rows: np.ndarray, out: np.ndarray, places: np.ndarray | None = None) -> None:
        """Write rows (M,), 0 or greater, to the first M places of ``out``, or to ``places`` (M,) of it.

        Raises:
            IndexError: there is no such row.
        """
        if len(rows) and not 0 <= rows.min() <= rows.max() < len(self):
            raise IndexError(f"rows {rows.min()} to {rows.max()} of {len(self)}")
        starts = (self._offset + rows.astype(np.int64) * self._size).tolist()
        if self._size >= _MANY:  # so that a disk sees all of a batch at once, not one row after another
            for start in starts:
                os.posix_fadvise(self._file, start, self._size, os.POSIX_FADV_WILLNEED)
        view = out.reshape(-1).view(np.uint8).data
        for place, start in zip(range(len(rows)) if places is None else places.tolist(), starts, strict=True):
            os.preadv(self._file, [view[place * self._size : (place + 1) * self._size]], start)
