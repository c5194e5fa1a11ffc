"""AUs of prepared faces by a judge that was trained here, where there is no OpenFace."""

import json
from collections.abc import Callable

import numpy as np
import torch
from rich.progress import track
from torch import Tensor

from datamodules.dataset import to_float
from datamodules.preparation.chunks import replacing
from datamodules.store import Store

Annotator = Callable[[Tensor], Tensor]


def annotate(store: Store, judge: Annotator, name: str, batch_size: int = 64, progress: bool = True) -> None:
    """Give all faces of a store the AUs that a judge sees; the store says so from then on.

    Args:
        store: prepared faces; what AUs they had is overwritten.
        judge: pictures (B, 3, S, S) in [-1, 1] -> AUs (B, 17), 0..5.
        name: of the judge, for ``store.json``.
    """
    if store.meta.get("au") == name:
        return
    _say(store, f"{name}, unfinished")
    au = np.empty((len(store), store.records.au.shape[1]), np.float32)
    for start in track(range(0, len(store), batch_size), "AUs", disable=not progress):
        rows = np.arange(start, min(start + batch_size, len(store)))
        with torch.no_grad():
            au[rows] = judge(to_float(store.images(rows).permute(0, 3, 1, 2))).cpu().numpy()
    with replacing(store.path / "records.arrow") as temporary:
        store.records.replace(au=au).write(temporary)
    _say(store, name)


def _say(store: Store, name: str) -> None:
    with replacing(store.path / "store.json") as temporary:
        temporary.write_text(json.dumps({**store.meta, "au": name}, indent=2))
