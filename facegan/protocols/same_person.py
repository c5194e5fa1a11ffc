"""Editing from another picture of the same person (TER-GAN 4.3, Fig. 4): the source itself is what should come out."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torchmetrics import MeanMetric
from torchmetrics.image import StructuralSimilarityIndexMeasure

from facegan import figures
from facegan.faces import EXPRESSIONS
from facegan.pixels import to_uint8
from facegan.protocols.common import Protocol, by_person
from facegan.tables import COPY_SOURCE, COPY_TARGET


def choose_pairs(test: Any, count: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Indices (P,) of sources and of targets in the test split, both of one person and of two expressions.

    Every picture of a person with two expressions is a source in turn; without labels any two pictures will do. Both
    are empty where there is no such pair.
    """
    rng = np.random.default_rng(seed)
    expression = np.asarray(test.expression)
    partners = {}
    for person in by_person(test):
        for row in person:
            unlike = (
                expression[person] != expression[row] if (expression[person] >= 0).all() else person != row
            )
            if unlike.any():
                partners[int(row)] = person[unlike]
    if not partners or not count:
        return np.empty(0, int), np.empty(0, int)
    rows = np.array(list(partners))
    sources = np.concatenate([rng.permutation(rows) for _ in range(-(-count // len(rows)))])[:count]
    return sources, np.array([rng.choice(partners[row]) for row in sources.tolist()])


def evaluate(
    transfer: Callable[[Tensor, Tensor], Tensor],
    data: Any,
    figure: Path,
    *,
    method: str,
    protocol: Protocol,
) -> dict[str, Any] | None:
    """How near the result is to the person's real picture of that expression, beside copying either picture.

    Args:
        transfer: sources and targets (B, 3, S, S) in [-1, 1] -> the targets with the sources' expressions.
        data: a data module with ``test``.
        figure: gets Fig. 4.
        method: name of its row.

    Returns:
        ``pairs`` and, by row, ``l1`` (mean distance, 0..2) and ``ssim`` (-1..1); None without such pairs.
    """
    sources, targets = choose_pairs(data.test, protocol.targets, protocol.seed)
    if not len(sources):
        return None
    rows = (COPY_SOURCE, COPY_TARGET, method)
    l1 = {row: MeanMetric() for row in rows}
    ssim = {row: StructuralSimilarityIndexMeasure(data_range=2.0) for row in rows}
    for start in range(0, len(sources), protocol.batch_size):
        part = slice(start, start + protocol.batch_size)
        x_s, x_t = (data.test.batch(index[part])["image"] for index in (sources, targets))
        with torch.no_grad():
            result = transfer(x_s, x_t).cpu()
        for row, images in zip(rows, (x_s, x_t, result), strict=True):
            l1[row].update((images - x_s).abs().flatten(1).mean(1))
            ssim[row].update(images, x_s)
    _figure(transfer, data, figure, protocol)
    return {
        "pairs": len(sources),
        "l1": {row: metric.compute() for row, metric in l1.items()},
        "ssim": {row: metric.compute() for row, metric in ssim.items()},
    }


def _figure(transfer: Callable[[Tensor, Tensor], Tensor], data: Any, path: Path, protocol: Protocol) -> Path:
    """Fig. 4: of each person the real pictures of all expressions, and below them what the target became."""
    test = data.test
    expression, everybody = np.asarray(test.expression), by_person(test)
    shown = np.unique(expression[expression >= 0])
    wide = len(shown) or min(6, max(map(len, everybody)) - 1)
    rows: list[list[Any]] = []
    labels = []
    for person in everybody[: max(1, protocol.rows // 2)]:
        if len(shown):
            places = [np.flatnonzero(expression[person] == code) for code in shown]
            sources = [int(person[place[-1]]) if len(place) else None for place in places]
        else:
            sources = [int(row) for row in person[1 : 1 + wide]]
        sources += [None] * (wide - len(sources))
        there = [row for row in sources if row is not None]
        if not there:
            continue
        target = test.batch(person[:1])["image"]
        x_s = test.batch(np.array(there))["image"]
        with torch.no_grad():
            result = transfer(x_s, target.expand_as(x_s)).cpu()
        real, made = iter(to_uint8(x_s)), iter(to_uint8(result))
        rows.append([None, *(None if row is None else next(real) for row in sources)])
        rows.append([to_uint8(target)[0], *(None if row is None else next(made) for row in sources)])
        labels += ["real", str(test.identities[np.asarray(test.identity)[person[0]]])]
    columns = ["target", *([EXPRESSIONS[code] for code in shown] or [""] * wide)]
    return figures.save(path, figures.grid(rows, columns, labels, figures.provenance(data.generated)))
