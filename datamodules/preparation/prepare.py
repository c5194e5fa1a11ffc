"""Raw pictures to a prepared store: find landmarks, align, crop, write.

The work is cut into chunks. A finished chunk is a pair of files in ``<store>.partial`` and is never done
again, so the job can be killed and started again, or be split over cluster jobs; whoever finds all chunks
finished puts the store together.
"""

import csv
import fcntl
import hashlib
import json
import os
import shutil
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import cv2
import joblib
import numpy as np
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from datamodules.preparation.alignment import alignment_matrix, crop, transform_points, transform_pose
from datamodules.preparation.landmarks import finder_version, landmark_finder
from datamodules.preparation.pictures import UnreadablePicture, is_video, read_frames, read_picture
from datamodules.records import Found, Records
from datamodules.store import FORMAT, Store
from facegan.config import PrepareConfig, UserError

CHUNK = 512  # pictures in one unit of work
SHARD = 65_536  # faces in one file of the store: 3.2 GB at 128 x 128


@dataclass
class Prepared:
    """What a preparation did: ``store`` is None while other cluster jobs still work on their chunks."""

    store: Store | None
    kept: int
    left_out: Counter[str]  # reason -> pictures
    chunks_left: int = 0

    def summary(self) -> str:
        """Pictures prepared and left out, with the reasons."""
        lines = [f"prepared {self.kept:,} faces, left out {sum(self.left_out.values()):,}"]
        lines += [f"  {count:,}: {reason}" for reason, count in self.left_out.most_common()]
        if self.store is None:
            lines.append(f"{self.chunks_left:,} chunks are left to the other jobs")
        else:
            lines.append(f"store: {self.store.path}")
        return "\n".join(lines)


def prepare(
    found: Found,
    config: PrepareConfig,
    out: Path,
    *,
    meta: dict[str, Any] | None = None,
    workers: int | None = None,
    shard: tuple[int, int] = (1, 1),
    progress: bool = True,
) -> Prepared:
    """Prepare all records into the store ``out``, in parallel.

    Args:
        found: the raw pictures; what was left out already goes into the store's report too.
        config: size, landmarks and alignment of the crops.
        out: folder of the store; one that is there is replaced when the new one is complete.
        meta: what else ``store.json`` should say.
        workers: processes; None: one a core (face-alignment: one in all, it has threads of its own).
        shard: (i, n) does the i-th of n shares, counted from 1; run all n, at once or one after another.
        progress: show a progress bar.

    Raises:
        UserError: no record at all, no face in any picture, or a landmark library is missing.
    """
    number, of = shard
    if not 1 <= number <= of:
        raise UserError(f"--shard {number}/{of}: write i/n with i from 1 to n")
    if not len(found.records):
        raise UserError(f"there is nothing to prepare.\n{found.summary()}")
    version = finder_version(config.landmarks)
    landmark_finder(config.landmarks)  # a missing library is one clear error here, not one in each worker
    partial = out.with_name(out.name + ".partial")
    plan = _plan(found.records, config, version, meta or {})
    if (out / "store.json").exists() and Store(out).meta["plan"] == plan:
        store = Store(out)
        return Prepared(store, len(store), Counter(_left_out(out)))
    chunks = _chunks(found.records)
    _open_partial(partial, plan)

    mine = [i for i in range(number - 1, len(chunks), of) if not _is_done(partial, i)]
    if workers is None:
        workers = 1 if config.landmarks == "face_alignment" else len(os.sched_getaffinity(0))
    jobs = (
        joblib.delayed(_do_chunk)(found.records.select(chunks[i]), chunks[i], config, partial, i)
        for i in mine
    )
    share = range(number - 1, len(chunks), of)
    total = sum(len(chunks[i]) for i in share)
    columns = (TextColumn("preparing"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, disable=not progress, console=Console(stderr=True)) as bar:
        task = bar.add_task("", total=total, completed=total - sum(len(chunks[i]) for i in mine))
        parallel = joblib.Parallel(n_jobs=min(workers, max(1, len(mine))), return_as="generator_unordered")
        for done in parallel(jobs):
            bar.advance(task, done)

    kept, reasons = 0, Counter(reason for _, reason in found.left_out)
    for i in (i for i in range(len(chunks)) if _is_done(partial, i)):
        with np.load(partial / f"{i:06d}.npz") as chunk:
            kept += len(chunk["rows"])
            reasons.update(chunk["reasons"].tolist())
    waiting = sum(not _is_done(partial, i) for i in range(len(chunks)))
    if waiting:
        return Prepared(None, kept, reasons, waiting)
    if not kept:
        shutil.rmtree(partial)
        most = "; ".join(f"{count:,}: {reason}" for reason, count in reasons.most_common(3))
        raise UserError(
            f"no face could be prepared from {len(found.records):,} pictures ({most}); "
            "try another data.landmarks (dlib, face_alignment, openface)"
        )
    about = {
        "format": FORMAT, "image_size": config.image_size, "landmarks": version, "align": config.align,
        "generated": found.generated, "plan": plan, **(meta or {}),
    }  # fmt: skip
    _assemble(found, partial, len(chunks), out, about)
    return Prepared(Store(out), kept, reasons)


def _chunks(records: Records) -> list[np.ndarray]:
    """Rows of each chunk: runs of at most CHUNK, a video's frames together and in order."""
    paths = records.table.column("path").to_pylist()
    videos = np.array([is_video(Path(path)) for path in paths])
    chunks: list[np.ndarray] = []
    pictures = np.flatnonzero(~videos)
    chunks += np.array_split(pictures, -(-len(pictures) // CHUNK)) if len(pictures) else []
    by_video: dict[str, list[int]] = {}
    for row in np.flatnonzero(videos).tolist():
        by_video.setdefault(records.path(row), []).append(row)
    frames = records.numbers("frame")
    for listed in by_video.values():
        rows = np.array(listed)
        rows = rows[np.argsort(frames[rows], kind="stable")]
        chunks += np.array_split(rows, -(-len(rows) // CHUNK))
    return chunks


def _left_out(store: Path) -> list[str]:
    with open(store / "left_out.csv", newline="") as file:
        return [row["reason"] for row in csv.DictReader(file)]


def _plan(records: Records, config: PrepareConfig, version: str, meta: dict[str, Any]) -> str:
    """Fingerprint of the work: chunks of another plan are of no use."""
    text = f"{FORMAT} {CHUNK} {config.image_size} {version} {config.align} {json.dumps(meta, sort_keys=True)}"
    digest = hashlib.sha256(text.encode())
    for name in ("root", "path"):
        digest.update("\n".join(records.table.column(name).to_pylist()).encode())
    for array in (records.numbers("frame"), records.au, records.pose, records.landmarks):
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()[:16]


def _open_partial(partial: Path, plan: str) -> None:
    """Make the folder of finished chunks, or take up the one that is there if its plan is the same."""
    note = partial / "plan.json"
    if note.exists() and json.loads(note.read_text()) != plan:
        shutil.rmtree(partial)
    partial.mkdir(parents=True, exist_ok=True)
    _write(note, json.dumps(plan))


def _write(path: Path, text: str) -> None:
    temporary = path.with_name(f".{os.getpid()}-{path.name}")
    temporary.write_text(text)
    temporary.replace(path)


def _is_done(partial: Path, chunk: int) -> bool:
    return (partial / f"{chunk:06d}.npz").exists()


@cache
def _finder(method: str) -> Any:
    cv2.setNumThreads(1)  # the processes already fill the cores
    return landmark_finder(method)


def _pictures(records: Records) -> Iterator[tuple[int, np.ndarray | UnreadablePicture]]:
    """(row, picture or the reason why there is none) for all rows of one chunk."""
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


def _do_chunk(records: Records, rows: np.ndarray, config: PrepareConfig, partial: Path, number: int) -> int:
    """Prepare the pictures of one chunk; its .npz appears last and says that the chunk is finished."""
    finder = _finder(config.landmarks)
    size = config.image_size
    faces = np.empty((len(records), size, size, 3), np.uint8)
    points, poses = np.empty((len(records), 68, 2), np.float32), records.pose.copy()
    kept: list[int] = []
    reasons: dict[int, str] = {}
    known = records.landmarks
    for row, image in _pictures(records):
        try:
            if isinstance(image, UnreadablePicture):
                raise image
            landmarks = finder(image, known[row])
            if np.ptp(landmarks, axis=0).min() < 4:
                raise UnreadablePicture("face too small")
            matrix = alignment_matrix(landmarks, size, config.align)
            faces[row] = crop(image, matrix, size)
        except UnreadablePicture as error:
            reasons[row] = str(error)
        except (cv2.error, ValueError, ArithmeticError, RuntimeError, MemoryError) as error:
            # One strange picture must not stop a job of days.
            reasons[row] = f"{type(error).__name__}: {str(error).splitlines()[0][:80] if str(error) else ''}"
        else:
            points[row] = transform_points(landmarks, matrix)
            poses[row] = transform_pose(poses[row], matrix)
            kept.append(row)
    left = sorted(reasons)
    _save(partial / f"{number:06d}.npy", faces[kept])
    _save(
        partial / f"{number:06d}.npz",
        rows=rows[kept], landmarks=points[kept], pose=poses[kept],
        left=rows[left], reasons=np.array([reasons[row] for row in left], dtype=str),
    )  # fmt: skip
    return len(records)


def _save(path: Path, faces: np.ndarray | None = None, **arrays: np.ndarray) -> None:
    temporary = path.with_name(f".{os.getpid()}-{path.name}")
    with open(temporary, "wb") as file:
        if faces is not None:
            np.save(file, faces)
        else:
            np.savez(file, **arrays)  # type: ignore[arg-type]
    temporary.replace(path)


def _assemble(found: Found, partial: Path, n_chunks: int, out: Path, about: dict[str, Any]) -> None:
    """Put the chunks together in the order of the records; the store appears by one rename.

    A shard that stands is not written again, so this too can be killed and started again.
    """
    lock = open(partial.with_name(partial.name + ".lock"), "w")  # noqa: SIM115 (held to the end)
    fcntl.flock(lock, fcntl.LOCK_EX)
    try:
        if not partial.exists():  # another job of the same plan was faster
            return
        chunks = [np.load(partial / f"{i:06d}.npz") for i in range(n_chunks)]
        sizes = [len(chunk["rows"]) for chunk in chunks]
        shards: list[list[int]] = [[]]
        for i, size in enumerate(sizes):
            if shards[-1] and sum(sizes[j] for j in shards[-1]) + size > SHARD:
                shards.append([])
            shards[-1].append(i)
        names = [f"faces-{k:05d}.npy" for k in range(len(shards))]
        for name, members in zip(names, shards, strict=True):
            if (partial / name).exists():
                continue
            shape = (sum(sizes[i] for i in members), about["image_size"], about["image_size"], 3)
            temporary = partial / f".{name}"
            faces = np.lib.format.open_memmap(temporary, "w+", np.uint8, shape)
            start = 0
            for i in members:
                faces[start : start + sizes[i]] = np.load(partial / f"{i:06d}.npy", mmap_mode="r")
                start += sizes[i]
            faces.flush()
            temporary.replace(partial / name)
            for i in members:
                (partial / f"{i:06d}.npy").unlink(missing_ok=True)
        np.save(partial / "landmarks.npy", np.concatenate([chunk["landmarks"] for chunk in chunks]))
        rows = np.concatenate([chunk["rows"] for chunk in chunks])
        poses = np.concatenate([chunk["pose"] for chunk in chunks])
        found.records.without_landmarks().select(rows).replace(pose=poses).write(partial / "records.arrow")
        with open(partial / "left_out.csv", "w", newline="") as file:
            table = csv.writer(file)
            table.writerow(["path", "frame", "reason"])
            table.writerows((path, "", reason) for path, reason in found.left_out)
            frames = found.records.numbers("frame")
            for chunk in chunks:
                for row, reason in zip(chunk["left"].tolist(), chunk["reasons"].tolist(), strict=True):
                    table.writerow((found.records.path(row), frames[row], reason))
        for path in (*partial.glob("*.npz"), *partial.glob(".*")):
            path.unlink()
        _write(partial / "store.json", json.dumps({**about, "shards": names, "faces": len(rows)}, indent=2))
        (partial / "plan.json").unlink()
        if out.exists():
            old = out.with_name(out.name + ".old")
            shutil.rmtree(old, ignore_errors=True)
            out.rename(old)
            partial.rename(out)
            shutil.rmtree(old)
        else:
            partial.rename(out)
    finally:
        lock.close()
