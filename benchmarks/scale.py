"""The data path at the size of VoxCeleb's dense frames, by number of pictures: index, split, open, draw pairs, load.

    python benchmarks/scale.py [--rows 10000 100000 1000000 5000000] [--size 128]

The names are generated and the pictures are holes in sparse files: no disk is read, everything else is what a
training does. Before each reading the system is told to forget the pictures, so that none comes from its page cache;
the memory that it reads them into is touched once before, for a virtual machine's first touch of memory is several
times slower than the reading. A loader worker's private memory
(USS) is that of one process after 50 batches of 64; most of it are pages of the pictures' files that it has looked at,
so it is given without them, too. The baseline is what most projects do: a pickled list of (path, person, track), opened
whole, with a pair drawn by looking through a dict of lists made at the start.
"""

import argparse
import json
import os
import pickle
import random
import tempfile
import time
from collections import defaultdict
from itertools import chain, count
from pathlib import Path

import numpy as np
import torch

from datamodules.records import Records
from datamodules.store import FORMAT, Store
from datamodules.voxceleb import VoxCeleb, VoxCelebConfig
from facegan.config import data_home

AUGMENTATIONS = {
    "TER-GAN's": lambda size: {"crop": size * 7 // 8, "rotate": [-6.0, -3.0, 0.0, 3.0, 6.0], "flip": 0.5},
    "AIP-GAN's": lambda size: {"flip": 0.5},
}
PICTURES_OF_A_TRACK, TRACKS_OF_A_PERSON, SHARD = 34, 120, 65_536


def names(start: int, end: int) -> tuple[np.ndarray, np.ndarray]:
    """Person and track (N,) of the pictures ``start`` … ``end - 1``."""
    track = np.arange(start, end) // PICTURES_OF_A_TRACK
    return track // TRACKS_OF_A_PERSON, track


def table(n: int) -> Records:
    """The record table of n pictures, built in parts as the reader builds it."""
    parts = []
    for start in range(0, n, 250_000):
        rows = range(start, min(start + 250_000, n))
        person, track = names(rows.start, rows.stop)
        parts.append(
            Records.build(
                {
                    "root": ["/data/vox"] * len(rows),
                    "path": [
                        f"Person_{p}/1.6/OmSWVqpb-N0/{t}/{k}.jpg"
                        for p, t, k in zip(person, track, rows, strict=True)
                    ],
                    "frame": np.arange(rows.start, rows.stop) % PICTURES_OF_A_TRACK,
                    "identity": [f"Person_{p}" for p in person],
                    "sequence": [f"Person_{p}/OmSWVqpb-N0/{t}" for p, t in zip(person, track, strict=True)],
                    "pose": np.zeros((len(rows), 3)),
                }
            )
        )
    return Records.concatenate(parts)


def write_store(path: Path, records: Records, size: int) -> None:
    """A store whose pictures and landmarks are holes."""
    path.mkdir()
    records.remembering_everybody().write(path / "records.arrow")
    n, shards = len(records), []
    for start in range(0, n, SHARD):
        shards.append(f"faces-{start // SHARD:05d}.npy")
        shape = (min(SHARD, n - start), size, size, 3)
        np.lib.format.open_memmap(path / shards[-1], "w+", np.uint8, shape)
    np.lib.format.open_memmap(path / "landmarks.npy", "w+", np.float32, (n, 68, 2))
    meta = {"format": FORMAT, "image_size": size, "landmarks": "openface", "align": "similarity",
            "generated": None, "shards": shards, "faces": n}  # fmt: skip
    (path / "store.json").write_text(json.dumps(meta))


def private_memory(pid: int, kind: str = "Private_") -> float:
    """Megabytes that no other process shares (USS); "Private_Dirty": without pages of files, which the system takes
    back when it needs them."""
    text = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return sum(int(line.split()[1]) for line in text if line.startswith(kind)) / 1024


def module(path: Path, size: int, **options: object) -> VoxCeleb:
    data = VoxCeleb(
        VoxCelebConfig(store=str(path), landmarks="openface", image_size=size, batch_size=64, **options)  # type: ignore[arg-type]
    )
    data.prepare_data = lambda: None  # type: ignore[method-assign]  # there is no raw data
    data.setup()
    return data


def pair_time(data: VoxCeleb, batches: int = 200) -> float:
    """Microseconds to draw the partner of one picture."""
    partners, n = data.train._partners, len(data.train)
    assert partners is not None
    rng = np.random.default_rng(0)
    indices = [rng.integers(0, n, 64) for _ in range(batches)]
    start = time.perf_counter()
    for epoch, index in enumerate(indices):
        partners.draw(0, np.full(64, epoch), index, data.train.cross_probability)
    return (time.perf_counter() - start) / (64 * batches) * 1e6


def touch_memory(gigabytes: int = 3) -> None:
    """Make the machine hand over memory that nothing has used yet."""
    for _ in range(2):
        np.ones(gigabytes << 27)


def forget(path: Path) -> None:
    """Take a store's pictures out of the system's page cache."""
    for shard in path.glob("faces-*.npy"):
        file = os.open(shard, os.O_RDONLY)
        os.posix_fadvise(file, 0, 0, os.POSIX_FADV_DONTNEED)
        os.close(file)


def load_speed(data: VoxCeleb, batches: int = 150) -> float:
    """Pictures per second from the training loader; a pair is two."""
    touch_memory()
    forget(data.store_path())
    loader = data.train_dataloader()
    iterator = chain.from_iterable(iter(loader) for _ in count())
    for _ in range(10):
        next(iterator)
    start = time.perf_counter()
    for _ in range(batches):
        next(iterator)
    return 2 * 64 * batches / (time.perf_counter() - start)


def measure(n: int, size: int, folder: Path) -> dict[str, float]:
    """All figures for n pictures."""
    path, result = folder / f"store-{n}", {}
    start = time.perf_counter()
    records = table(n)
    result["index s"] = time.perf_counter() - start
    start = time.perf_counter()
    VoxCeleb(VoxCelebConfig(root="/data/vox")).split(records)
    result["split s"] = time.perf_counter() - start
    write_store(path, records, size)
    del records
    start = time.perf_counter()
    Store(path)
    result["open s"] = time.perf_counter() - start
    start = time.perf_counter()
    data = module(path, size)
    result["open and set up s"] = time.perf_counter() - start
    result["same track us"] = pair_time(data)
    result["cross identity us"] = pair_time(module(path, size, pairing="cross_identity"))
    result["pictures/s"] = load_speed(data)
    for name, augmentation in AUGMENTATIONS.items():
        result[f"pictures/s, {name}"] = load_speed(module(path, size, **augmentation(size)))
    worked = module(path, size, num_workers=1)
    iterator = iter(worked.train_dataloader())
    for _ in range(50):
        next(iterator)
    worker = iterator._workers[0].pid  # type: ignore[attr-defined]
    result["worker MB"] = private_memory(worker)
    result["worker MB, its own"] = private_memory(worker, "Private_Dirty")
    del iterator
    return result


def plain(n: int, folder: Path) -> dict[str, float]:
    """The baseline's figures."""
    person, track = (values.tolist() for values in names(0, n))
    rows = [
        (f"/data/vox/Person_{p}/1.6/OmSWVqpb-N0/{t}/{k}.jpg", p, t)
        for k, (p, t) in enumerate(zip(person, track, strict=True))
    ]
    path = folder / "rows.pkl"
    path.write_bytes(pickle.dumps(rows))
    del rows
    before, start = private_memory(os.getpid()), time.perf_counter()
    opened = pickle.loads(path.read_bytes())
    by_track: dict[int, list[int]] = defaultdict(list)
    for k, (_, _, t) in enumerate(opened):
        by_track[t].append(k)
    result = {
        "open and set up s": time.perf_counter() - start,
        "worker MB": private_memory(os.getpid()) - before,
    }
    draws, start = random.Random(0), time.perf_counter()
    for _ in range(10_000):
        draws.choice(by_track[opened[draws.randrange(n)][2]])
    result["same track us"] = (time.perf_counter() - start) / 10_000 * 1e6
    path.unlink()
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, nargs="+", default=[10_000, 100_000, 1_000_000, 5_000_000])
    parser.add_argument("--size", type=int, default=128)
    args = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory(dir=data_home() if data_home().exists() else None) as folder:
        for n in args.rows:
            ours, theirs = measure(n, args.size, Path(folder)), plain(n, Path(folder))
            print(f"{n:,} pictures of {args.size} x {args.size}")
            for key, value in ours.items():
                other = f"   baseline {theirs[key]:10.3f}" if key in theirs else ""
                print(f"  {key:22} {value:12,.3f}{other}", flush=True)


if __name__ == "__main__":
    main()
