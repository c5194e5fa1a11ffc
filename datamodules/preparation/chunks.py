"""The units of work of a preparation: some pictures in, their crops in two files out."""

import os
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from itertools import islice
from pathlib import Path

import numpy as np

from datamodules.preparation.alignment import alignment_matrix, crop, transform_points, transform_pose
from datamodules.preparation.landmarks import AT_ONCE, STRANGE, find_several, landmark_finder, strange
from datamodules.preparation.pictures import UnreadablePicture, is_video, look, read_frames, read_picture
from datamodules.records import Records
from facegan.config import PrepareConfig, UserError, disk_trouble
from facegan.faces import N_LANDMARKS

CHUNK, LEAST, PARTS = 512, 32, 16
"""Pictures in a chunk: as many as make PARTS chunks, but not more than CHUNK and not fewer than LEAST."""

_MIN_FACE = 4  # pixels; less is no face but noise

finder_of = cache(landmark_finder)  # models are loaded once a process


@dataclass
class Chunks:
    """All the work of a preparation; ``chunks(i)`` does the i-th chunk."""

    records: Records
    config: PrepareConfig
    folder: Path

    def __post_init__(self) -> None:
        self.rows = chunk_rows(self.records)

    def __len__(self) -> int:
        return len(self.rows)

    def is_done(self, number: int) -> bool:
        """Whether a chunk is finished."""
        return self.path(number).exists()

    def path(self, number: int, ending: str = ".npz") -> Path:
        """File of a chunk: ``.npy`` holds its crops, ``.npz``, which is written last, all else."""
        return self.folder / f"{number:06d}{ending}"

    def __call__(self, number: int) -> int:
        """Prepare the pictures of a chunk and write its two files; returns how many pictures it has."""
        rows, size = self.rows[number], self.config.image_size
        records = self.records.select(rows)
        finder, known = finder_of(self.config.landmarks), records.landmarks
        faces = np.empty((len(rows), size, size, 3), np.uint8)
        points, pose = np.empty((len(rows), N_LANDMARKS, 2), np.float32), records.pose.copy()
        reasons: dict[int, str] = {}
        views = [records.names("view")[code] for code in records.codes("view")]
        pictures = _pictures(records)
        while some := list(islice(pictures, AT_ONCE)):
            seen = {row: look(image, views[row]) for row, image in some if isinstance(image, np.ndarray)}
            found = find_several(finder, list(seen.values()), [known[row] for row in seen])
            for row, reason in some:
                if isinstance(reason, UnreadablePicture):
                    reasons[row] = str(reason)
            for (row, image), landmarks in zip(seen.items(), found, strict=True):
                try:
                    if isinstance(landmarks, UnreadablePicture):
                        raise landmarks
                    if np.ptp(landmarks, axis=0).min() < _MIN_FACE:
                        raise UnreadablePicture("face too small")
                    matrix = alignment_matrix(landmarks, size, self.config.align)
                    faces[row] = crop(image, matrix, size)
                    points[row] = transform_points(landmarks, matrix)
                    pose[row] = transform_pose(pose[row], matrix)
                except UnreadablePicture as error:
                    reasons[row] = str(error)
                except STRANGE as error:
                    reasons[row] = str(strange(error))
        left = np.array(sorted(reasons), np.int64)
        kept = np.setdiff1d(np.arange(len(rows)), left)
        with replacing(self.path(number, ".npy")) as temporary, open(temporary, "wb") as file:
            np.save(file, faces[kept])
        with replacing(self.path(number)) as temporary, open(temporary, "wb") as file:
            np.savez(
                file,
                rows=rows[kept], landmarks=points[kept], pose=pose[kept],
                left=rows[left], reasons=np.array([reasons[row] for row in left.tolist()], dtype=str),
            )  # fmt: skip
        return len(rows)


class replacing:
    """``with replacing(path) as temporary``: what is written there takes the path's place at the end.

    Raises:
        UserError: the disk is full or cannot be written to.
    """

    def __init__(self, path: Path) -> None:
        self._path, self._temporary = path, path.with_name(f".{os.getpid()}-{path.name}")

    def __enter__(self) -> Path:
        return self._temporary

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        if kind is None:
            self._temporary.replace(self._path)
            return
        with suppress(OSError):
            self._temporary.unlink(missing_ok=True)
        if isinstance(error, OSError) and not isinstance(error, FileNotFoundError):
            raise UserError(
                f"cannot write {self._path}: {disk_trouble(error)} another place (FACEGAN_DATA), and run the same "
                "command again"
            ) from None


def allocated(path: Path, shape: tuple[int, ...], dtype: type[np.generic] = np.uint8) -> np.memmap:
    """A new memory-mapped array (``.npy``) with its room on the disk.

    Without it a full disk would kill the process by SIGBUS at the first write, with no word.
    """
    array = np.lib.format.open_memmap(path, "w+", dtype, shape)
    if hasattr(os, "posix_fallocate"):
        with open(path, "r+b") as file:
            os.posix_fallocate(file.fileno(), 0, max(1, path.stat().st_size))
    return array


def chunk_size(pictures: int) -> int:
    """Pictures in one chunk; the same on every machine, so that cluster jobs agree."""
    return min(CHUNK, max(LEAST, pictures // PARTS))


def chunk_rows(records: Records) -> list[np.ndarray]:
    """Rows of each chunk: pictures in order, then each video's frames in order."""
    paths = records.table.column("path").to_pylist()
    videos: dict[str, list[int]] = {}
    pictures = []
    for row, path in enumerate(paths):
        if path == "." or is_video(Path(path)):
            videos.setdefault(records.path(row), []).append(row)
        else:
            pictures.append(row)
    frames = records.numbers("frame")
    runs = [np.array(pictures, np.int64), *(np.array(rows, np.int64) for rows in videos.values())]
    runs[1:] = [rows[np.argsort(frames[rows], kind="stable")] for rows in runs[1:]]
    size = chunk_size(len(records))
    return [rows[start : start + size] for rows in runs for start in range(0, len(rows), size)]


def _pictures(records: Records) -> Iterator[tuple[int, np.ndarray | UnreadablePicture]]:
    """(row, picture, or the reason why there is none) for all rows of one chunk."""
    if not is_video(Path(records.path(0))):
        for row in range(len(records)):
            try:
                yield row, read_picture(records.path(row))
            except UnreadablePicture as error:
                yield row, error
        return
    frames = records.numbers("frame")
    row = 0
    reason = UnreadablePicture("video ends before this frame")
    try:
        for frame, image in read_frames(records.path(0), np.unique(frames)):
            while row < len(records) and frames[row] == frame:
                yield row, image
                row += 1
    except UnreadablePicture as error:
        reason = error
    for rest in range(row, len(records)):
        yield rest, reason
