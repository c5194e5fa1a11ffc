"""Pictures per second through the real training loader, against PyTorch's usual way on the same store.

    python benchmarks/loader.py [--pictures 20000] [--size 128] [--seconds 3]

The baseline is what most projects write: a ``Dataset`` that returns one sample, shuffled, put together by
``default_collate``; it reads the same memory-mapped arrays and makes the same keys.
"""

import argparse
import json
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset

from datamodules.folder import Folder, FolderConfig
from datamodules.records import Records
from datamodules.store import FORMAT, Store


class OneByOne(Dataset[dict[str, torch.Tensor]]):
    def __init__(self, store: Store) -> None:
        self.store, self.au, self.pose = store, store.records.au, store.records.pose
        self.expression = store.records.numbers("expression")
        self.identity = store.records.codes("identity")
        self.images = np.load(store.path / "faces-00000.npy", mmap_mode="r")

    def __len__(self) -> int:
        return len(self.store)

    def __getitem__(self, i: int) -> dict[str, torch.Tensor]:
        return {
            "image": torch.from_numpy(self.images[i].copy()).permute(2, 0, 1),
            "au": torch.from_numpy(self.au[i].copy()),
            "target_au": torch.from_numpy(self.au[torch.randint(len(self), (1,)).item()].copy()),
            "pose": torch.from_numpy(self.pose[i].copy()),
            "expression": torch.tensor(int(self.expression[i])),
            "identity": torch.tensor(int(self.identity[i])),
            "landmarks": torch.from_numpy(np.array(self.store.landmarks[i])),
            "index": torch.tensor(i),
        }


def synthetic_store(path: Path, n: int, size: int) -> Path:
    """A store of noise, 40 pictures a person: what the pictures show does not matter here."""
    path.mkdir()
    rng = np.random.default_rng(0)
    faces = np.lib.format.open_memmap(path / "faces-00000.npy", "w+", np.uint8, (n, size, size, 3))
    for start in range(0, n, 1000):
        faces[start : start + 1000] = rng.integers(0, 256, faces[start : start + 1000].shape, np.uint8)
    np.save(path / "landmarks.npy", rng.random((n, 68, 2), np.float32) * size)
    people = [f"p{i // 40:06d}" for i in range(n)]
    columns = {
        "path": [f"{person}/{i}.png" for i, person in enumerate(people)], "identity": people,
        "sequence": people, "au": rng.random((n, 17)) * 5, "pose": rng.random((n, 3)),
    }  # fmt: skip
    Records.build(columns).write(path / "records.arrow")
    meta = {"format": FORMAT, "image_size": size, "landmarks": "openface", "align": "similarity",
            "generated": None, "shards": ["faces-00000.npy"], "faces": n}  # fmt: skip
    (path / "store.json").write_text(json.dumps(meta))
    return path


def speed(loader: DataLoader, seconds: float) -> float:
    """Pictures per second, after a warm-up."""
    count, started = 0, None
    while True:
        for number, batch in enumerate(loader):
            if started is None and number == 20:
                started, count = time.perf_counter(), 0
            count += len(batch["image"])
            if started is not None and time.perf_counter() - started > seconds:
                return count / (time.perf_counter() - started)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pictures", type=int, default=20_000)
    parser.add_argument("--size", type=int, default=128)
    parser.add_argument("--seconds", type=float, default=3.0)
    args = parser.parse_args()
    torch.set_num_threads(1)  # else the baseline's many small stacks wait for one another on busy cores
    print(f"{args.pictures:,} pictures of {args.size} x {args.size}")
    print(f"{'batch':>5} {'workers':>7} {'facegan':>12} {'baseline':>12} {'ratio':>6}")
    with tempfile.TemporaryDirectory() as folder:
        path = synthetic_store(Path(folder) / "store", args.pictures, args.size)
        for batch_size in (8, 64):
            for workers in (0, 2):
                module = Folder(
                    FolderConfig(
                        root=folder, store=str(path), landmarks="openface", image_size=args.size,
                        batch_size=batch_size, num_workers=workers,
                    )
                )  # fmt: skip
                module.prepare_data = lambda: None  # type: ignore[method-assign]  # there is no raw data
                module.setup()
                ours = speed(module.train_dataloader(), args.seconds)
                plain = DataLoader(OneByOne(Store(path)), batch_size, shuffle=True, num_workers=workers)
                theirs = speed(plain, args.seconds)
                print(f"{batch_size:5d} {workers:7d} {ours:10,.0f}/s {theirs:10,.0f}/s {ours / theirs:6.1f}")


if __name__ == "__main__":
    main()
