"""Raw pictures to a prepared store: find landmarks, align, crop, write.

The work is cut into chunks. A finished chunk is a pair of files in ``<store>.partial`` and is never done
again, so the job can be killed and started again, or be split over cluster jobs; whoever finds all chunks
finished puts the store together.
"""

import csv
import hashlib
import json
import multiprocessing
import os
import shutil
import sys
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from datamodules.locking import lock
from datamodules.preparation.chunks import Chunks, allocated, chunk_size, finder_of, replacing
from datamodules.preparation.landmarks import finder_version
from datamodules.records import Found, Records
from datamodules.store import FORMAT, Store
from facegan.config import PrepareConfig, UserError
from facegan.faces import N_LANDMARKS

SHARD = 65_536  # faces in one file of the store: 3.2 GB at 128 x 128
REPORT = "report.json"
_AT_ONCE = 65_536  # rows that are looked at


@dataclass
class Prepared:
    """What a preparation did: ``store`` is None while other cluster jobs still work on their chunks."""

    store: Store | None
    kept: int
    left_out: Counter[str]  # reason -> pictures
    chunks_left: int = 0
    shards_left: tuple[str, ...] = ()  # shares with work left, as --shard takes them

    def summary(self) -> str:
        """Pictures prepared and left out, with the reasons."""
        lines = [f"prepared {self.kept:,} faces, left out {sum(self.left_out.values()):,}"]
        lines += [f"  {count:,}: {reason}" for reason, count in self.left_out.most_common()]
        if self.store is None:
            shares = f"--shard {', '.join(self.shards_left[:8])}{' …' if len(self.shards_left) > 8 else ''}"
            lines.append(f"no store yet: {self.chunks_left:,} chunks are left to the other jobs ({shares})")
        else:
            lines.append(
                f"store: {self.store.path}" + (" (left_out.csv names them)" if self.left_out else "")
            )
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
    """Prepare all records into the store ``out``, in parallel; a store of the same plan is taken as it is.

    Args:
        found: the raw pictures; what was left out already goes into the store's report too.
        config: size, landmarks and alignment of the crops.
        out: folder of the store; one of another plan is replaced when the new one is complete.
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
    plan = _plan(found.records, config, version)
    about = {
        "format": FORMAT, "image_size": config.image_size, "landmarks": version, "align": config.align,
        "generated": found.generated, "plan": plan, **(meta or {}),
    }  # fmt: skip
    # Ranks of one training may all ask for the same share: the first does it, the others find it done.
    with lock(out, f"{number}-{of}"):
        if (done := _finished(out, about)) is not None:
            return done
        finder_of(config.landmarks)  # a missing library is one clear error here, not one in each worker
        chunks = Chunks(found.records, config, _open_partial(out.with_name(out.name + ".partial"), plan))
        share = range(number - 1, len(chunks), of)
        mine = [i for i in share if not chunks.is_done(i)]
        if workers is None:
            workers = 1 if config.landmarks == "face_alignment" else len(os.sched_getaffinity(0))
        columns = (TextColumn("preparing"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        with Progress(*columns, disable=not progress, console=Console(stderr=True)) as bar:
            total, to_do = (sum(len(chunks.rows[i]) for i in some) for some in (share, mine))
            task = bar.add_task("", total=total, completed=total - to_do)
            for pictures in _work_off(chunks, mine, min(workers, len(mine))):
                bar.advance(task, pictures)
        with lock(out, "store"):
            return _finished(out, about) or _finish(found, chunks, out, about, of)


def _finished(out: Path, about: dict[str, Any]) -> Prepared | None:
    """The store, if it is there and of this plan; what else is to be said of it is brought up to date."""
    if not (out / "store.json").exists() or (store := Store(out)).meta["plan"] != about["plan"]:
        return None
    if store.meta != store.meta | about:
        with replacing(out / "store.json") as temporary:
            temporary.write_text(json.dumps(store.meta | about, indent=2))
        store = Store(out)
    _tidy(out)
    with open(out / "left_out.csv", newline="") as file:
        return Prepared(store, len(store), Counter(row["reason"] for row in csv.DictReader(file)))


def _finish(found: Found, chunks: Chunks, out: Path, about: dict[str, Any], shares: int) -> Prepared:
    """Count what is done, and put the store together if that is all."""
    kept, reasons = 0, Counter(reason for _, reason in found.left_out)
    finished = [i for i in range(len(chunks)) if chunks.is_done(i)]
    for i in finished:
        with np.load(chunks.path(i)) as chunk:
            kept += len(chunk["rows"])
            reasons.update(chunk["reasons"].tolist())
    if len(finished) < len(chunks):
        left = sorted(set(range(len(chunks))) - set(finished))
        of = tuple(f"{k + 1}/{shares}" for k in sorted({i % shares for i in left}))
        return Prepared(None, kept, reasons, len(left), of)
    if not kept:
        shutil.rmtree(chunks.folder)
        most = "; ".join(f"{count:,}: {reason}" for reason, count in reasons.most_common(3))
        raise UserError(
            f"no face could be prepared from {len(found.records):,} pictures ({most}); "
            "try another data.landmarks (dlib, face_alignment, openface)"
        )
    _assemble(found, chunks, out, about)
    return Prepared(Store(out), kept, reasons)


def _plan(records: Records, config: PrepareConfig, version: str) -> str:
    """Fingerprint of the work: chunks of another plan are of no use.

    Files count by their size, and by their place below the root: times and roots differ between the copies that
    cluster jobs work on.
    """
    text = f"{FORMAT} {chunk_size(len(records))} {config.image_size} {version} {config.align}"
    digest = hashlib.sha256(text.encode())
    last = ""
    for roots, paths in zip(_texts(records, "root"), _texts(records, "path"), strict=True):
        for file in map(os.path.join, roots, paths):
            if file != last:  # the frames of one video follow one another
                digest.update(f"{_size_of(file)} ".encode())
                last = file
    digest.update(records.codes("root").tobytes())
    for name in ("path", "identity", "sequence", "view"):
        for k, texts in enumerate(_texts(records, name)):
            digest.update((("\n" if k else "") + "\n".join(texts)).encode())
    for name in ("frame", "expression"):
        digest.update(records.numbers(name).tobytes())
    for array in (records.au, records.pose, records.landmarks):
        # landmarks that are not known take no memory, but as a copy
        for start in range(0, len(array), _AT_ONCE):
            digest.update(np.ascontiguousarray(array[start : start + _AT_ONCE]).tobytes())
    return digest.hexdigest()[:16]


def _texts(records: Records, name: str) -> Iterator[list[str]]:
    """A column's texts, some at a time: as one list, those of millions of rows would take gigabytes."""
    column = records.table.column(name)
    for start in range(0, len(column), _AT_ONCE):
        yield column.slice(start, _AT_ONCE).to_pylist()


def _size_of(file: str) -> int:
    try:
        return os.path.getsize(file)
    except OSError:
        return -1


def _open_partial(partial: Path, plan: str) -> Path:
    """Make the folder of finished chunks, or take up the one that is there if its plan is the same."""
    note = partial / "plan.json"
    if note.exists() and json.loads(note.read_text()) != plan:
        shutil.rmtree(partial)
    partial.mkdir(parents=True, exist_ok=True)
    with replacing(note) as temporary:
        temporary.write_text(json.dumps(plan))
    return partial


_chunks: Chunks  # of a worker process


def _start_worker(chunks: Chunks) -> None:
    global _chunks
    _chunks = chunks


def _do_in_worker(number: int) -> int:
    return _chunks(number)


def _work_off(chunks: Chunks, numbers: list[int], workers: int) -> Iterator[int]:
    """Do some chunks; yields the number of pictures in each as it is done."""
    if workers <= 1:
        yield from map(chunks, numbers)
        return
    # A forked worker starts at once, a spawned one imports torch. OpenCV's threads do not survive a fork.
    context = multiprocessing.get_context("fork" if sys.platform == "linux" else "spawn")
    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)
    pool = ProcessPoolExecutor(workers, context, _start_worker, (chunks,))
    try:
        for future in as_completed([pool.submit(_do_in_worker, number) for number in numbers]):
            yield future.result()
    except BrokenProcessPool:
        raise UserError(
            "a worker process was killed, most likely for want of memory. What is finished is kept: run the "
            f"same command again, with fewer than {workers} workers (data.prepare_workers)"
        ) from None
    finally:
        pool.shutdown(cancel_futures=True)
        cv2.setNumThreads(threads)


def _assemble(found: Found, chunks: Chunks, out: Path, about: dict[str, Any]) -> None:
    """Put the chunks together; the store appears by one rename.

    A shard that stands is not written again, so this too can be killed and started again.
    """
    partial = chunks.folder
    parts = []
    for i in range(len(chunks)):
        with np.load(chunks.path(i)) as chunk:
            # without the landmarks, which are nearly all of it
            parts.append({key: chunk[key] for key in ("rows", "pose", "left", "reasons")})
    sizes = [len(part["rows"]) for part in parts]
    names = _write_shards(chunks, sizes)
    with replacing(partial / "landmarks.npy") as temporary:
        landmarks = allocated(temporary, (sum(sizes), N_LANDMARKS, 2), np.float32)
        for i, end in enumerate(np.cumsum(sizes)):
            with np.load(chunks.path(i)) as chunk:
                landmarks[end - sizes[i] : end] = chunk["landmarks"]
        landmarks.flush()
    rows, pose = (np.concatenate([part[key] for part in parts]) for key in ("rows", "pose"))
    records = found.records.without_landmarks().remembering_everybody()
    records.select(rows).replace(pose=pose).write(partial / "records.arrow")
    with open(partial / "left_out.csv", "w", newline="") as text:
        table = csv.writer(text)
        table.writerow(["path", "frame", "reason"])
        table.writerows((path, "", reason) for path, reason in found.left_out)
        frames = found.records.numbers("frame")
        for part in parts:
            for row, reason in zip(part["left"].tolist(), part["reasons"].tolist(), strict=True):
                table.writerow((found.records.path(row), frames[row], reason))
    reasons = Counter(reason for _, reason in found.left_out)
    for part in parts:
        reasons.update(part["reasons"].tolist())
    report = {"prepared": len(rows), "left out": reasons.total(), "reasons": dict(reasons.most_common())}
    (partial / REPORT).write_text(json.dumps(report, indent=2) + "\n")
    (partial / "store.json").write_text(json.dumps({**about, "shards": names, "faces": len(rows)}, indent=2))
    if out.exists():
        old = out.with_name(out.name + ".old")
        shutil.rmtree(old, ignore_errors=True)
        out.rename(old)
        partial.rename(out)
        shutil.rmtree(old)
    else:
        partial.rename(out)
    _tidy(out)


def _tidy(out: Path) -> None:
    """Delete what a preparation leaves in a whole store; a killed one may not have come to it."""
    for path in (*out.glob("*.npz"), *out.glob(".*"), out / "plan.json"):
        path.unlink(missing_ok=True)


def _write_shards(chunks: Chunks, sizes: list[int]) -> list[str]:
    """Gather the chunks' crops in files of about SHARD faces, deleting what is gathered; the files' names."""
    shards: list[list[int]] = [[]]
    for i, size in enumerate(sizes):
        if shards[-1] and sum(sizes[j] for j in shards[-1]) + size > SHARD:
            shards.append([])
        shards[-1].append(i)
    names = [f"faces-{k:05d}.npy" for k in range(len(shards))]
    side = chunks.config.image_size
    for name, members in zip(names, shards, strict=True):
        path = chunks.folder / name
        if not path.exists():
            with replacing(path) as temporary:
                shape = (sum(sizes[i] for i in members), side, side, 3)
                faces = allocated(temporary, shape)
                start = 0
                for i in members:
                    faces[start : start + sizes[i]] = np.load(chunks.path(i, ".npy"), mmap_mode="r")
                    start += sizes[i]
                faces.flush()
        for i in members:
            chunks.path(i, ".npy").unlink(missing_ok=True)
    return names
