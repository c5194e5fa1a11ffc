"""Preparation: how much two processes gain over one, and identity maps per second.

    python benchmarks/preparation.py [--people 32] [--pictures 25] [--size 96]

Generated faces in pictures of 250 pixels (the size of pictures in the wild) are prepared with dlib. Efficiency is the
time of one process over that of n processes, divided by n. The identity maps are made of the same store; their
baseline is scikit-image's PiecewiseAffineTransform, built and warped once a picture.
Bars: efficiency of 85 % on two cores, 300 identity maps a second.
"""

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np
from skimage.transform import PiecewiseAffineTransform, warp

from datamodules.folder import Folder, FolderConfig
from datamodules.generated.folder import FOLDER_LAYOUT
from datamodules.preparation.identity_maps import add_identity_maps
from datamodules.preparation.prepare import prepare
from datamodules.store import Store
from facegan.config import PrepareConfig
from facegan.faces import EXPRESSIONS


def scikit_maps(store: Store, pictures: int) -> float:
    """Identity maps per second by scikit-image, each onto the mean shape of its person's neutral faces."""
    codes = store.records.codes("identity")
    neutral = store.records.numbers("expression") == EXPRESSIONS.index("neutral")
    rows = np.flatnonzero(np.isin(codes, codes[neutral]))[:pictures]
    start = time.perf_counter()
    for row in rows:
        shape = store.landmarks[neutral & (codes == codes[row])].mean(0)
        mesh = PiecewiseAffineTransform.from_estimate(shape, np.asarray(store.landmarks[row]))
        warp(store.images(np.array([row])).numpy()[0], mesh)
    return len(rows) / (time.perf_counter() - start)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--people", type=int, default=32)
    parser.add_argument("--pictures", type=int, default=25)
    parser.add_argument("--size", type=int, default=96)
    parser.add_argument("--workers", type=int, default=2)
    args = parser.parse_args()
    config = PrepareConfig(landmarks="dlib", image_size=args.size)
    with tempfile.TemporaryDirectory() as folder:
        raw = FOLDER_LAYOUT.write(
            f"{folder}/raw", people=args.people, pictures=args.pictures, size=250, aus="prototypes"
        )
        found = Folder(FolderConfig(root=str(raw))).find()
        rates = {}
        for workers in (1, args.workers):
            start = time.perf_counter()
            done = prepare(found, config, Path(folder) / f"store-{workers}", workers=workers, progress=False)
            rates[workers] = done.kept / (time.perf_counter() - start)
            print(
                f"dlib, {workers} {'process' if workers == 1 else 'processes'}: {rates[workers]:.1f} pictures/s"
            )
        print(f"parallel efficiency: {100 * rates[args.workers] / rates[1] / args.workers:.0f} %")
        assert done.store is not None
        start = time.perf_counter()
        made, _ = add_identity_maps(done.store, "own", args.workers)
        ours = made / (time.perf_counter() - start)
        plain = scikit_maps(done.store, 20)
        print(
            f"identity maps of {args.size} x {args.size}, {args.workers} threads: {ours:,.0f}/s; "
            f"scikit-image, one thread: {plain:.1f}/s; ratio {ours / plain:,.0f}"
        )


if __name__ == "__main__":
    main()
