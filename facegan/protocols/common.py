"""What the protocols share: their sizes, the trivial rows, who is edited, and the figures."""

import csv
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from facegan import figures
from facegan.faces import AU_NAMES, EXPRESSIONS, prototype
from facegan.intervals import ASKED, READ
from facegan.judges import FaceFinder, IdentityJudge, as_judged, similarity
from facegan.metrics import Verification
from facegan.pixels import to_uint8

Edit = Callable[[Tensor, Tensor], Tensor]
"""Pictures (B, 3, S, S) in [-1, 1] and AUs (B, 17) 0..5 -> pictures."""

REAL_PICTURES = 400  # at most so many pictures of test people make the real pairs


@dataclass(frozen=True)
class Protocol:
    """What an evaluation may vary; the defaults are the paper's, with E15-E17 where it is silent."""

    targets: int = 1392  # (4.2)
    seed: int = 0  # of the pair list
    strong: bool = False  # sources: each person's strongest expression, not the calmest (ICface, Fig. 7)
    batch_size: int = 32
    rows: int = 6  # people in the grid
    steps: int = 9  # pictures of the interpolation (eq. 8)
    progress: bool = True


def choose_sources(test: Any, strong: bool = False) -> np.ndarray:
    """One picture of each test person: neutral, then facing the camera, then with the least AUs.

    Args:
        test: a test split with ``identity`` (N,), ``expression`` (N,), ``au`` (N, 17), ``records.pose`` (N,
        3).
        strong: the picture with the most AUs instead, of those that face the camera as well.

    Returns:
        Indices (people,) in the split, in the order of ``test.identities``.
    """
    au, pose = np.nan_to_num(test.au), np.nan_to_num(test.records.pose)
    away = np.abs(pose[:, :2]).sum(1)
    labelled_neutral = np.asarray(test.expression) == EXPRESSIONS.index("neutral")
    # A radian counts as much as ten units of AU intensity; a label counts before both.
    calm = au.sum(1) + 10 * away + np.where(labelled_neutral, 0, 1000)
    score = 10 * away - au.sum(1) if strong else calm
    return np.array([rows[np.argmin(score[rows])] for rows in by_person(test)])


def by_person(part: Any) -> list[np.ndarray]:
    """Indices of each person's pictures in a split, in the order of its ``identities``."""
    identity = np.asarray(part.identity)
    order = np.argsort(identity, kind="stable")
    return np.split(order, np.flatnonzero(np.diff(identity[order])) + 1)


def write_pairs(
    path: Path,
    people: Sequence[str],
    measured: Mapping[str, Sequence[Tensor]],
    **pictures: tuple[Any, np.ndarray],
) -> None:
    """A CSV of the pictures of each pair, whose person the result should be, and what was measured of it.

    Args:
        people: names (P,).
        measured: columns, each in pieces that make (P,) together.
        pictures: of each column of paths the split and the indices (P,) in it.
    """
    columns: dict[str, Sequence[Any]] = {
        name: [part.records.path(row) for row in rows.tolist()] for name, (part, rows) in pictures.items()
    }
    columns["person"] = people
    for name, pieces in measured.items():
        columns[name] = [f"{value:.5f}" for value in torch.cat(list(pieces)).tolist()]
    with path.open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows(zip(*columns.values(), strict=True))


def au_columns(asked: Tensor, read: Tensor) -> dict[str, Tensor]:
    """Columns for ``write_pairs`` of intensities (B, 17) asked for and read off the result."""
    both = {ASKED: asked, READ: read}
    return {kind + name: au[:, k] for kind, au in both.items() for k, name in enumerate(AU_NAMES)}


def write_samples(folder: Path, count: int = 12, **pictures: Tensor) -> None:
    """The first pairs as pictures, ``00-source.png`` and so on: (B, 3, S, S) in [-1, 1] of each name."""
    for name, images in pictures.items():
        for k, picture in enumerate(to_uint8(images[:count])):
            figures.save(folder / f"{k:02d}-{name}.png", picture)


def real_pairs(
    judge: IdentityJudge, finder: FaceFinder, part: Any, protocol: Protocol, align: str = "similarity"
) -> dict[str, Any]:
    """The Real row: ``real_pairs_by`` an identity judge.

    Args:
        align: crop of the pictures.
    """
    return real_pairs_by(lambda images: judge(*as_judged(images, finder(images), align)), part, protocol)


def real_pairs_by(features: Callable[[Tensor], Tensor], part: Any, protocol: Protocol) -> dict[str, Any]:
    """How well features (B, F) of pictures tell people apart: all same pairs among test people's pictures, and as
    many different ones (E16).

    Returns:
        What ``metrics.Verification`` gives, its threshold among it; or ``reason``, why there is none.
    """
    rng = np.random.default_rng(protocol.seed)
    people = by_person(part)
    share = max(2, REAL_PICTURES // max(1, len(people)))
    rows = np.concatenate([rng.permutation(person)[:share] for person in people])[:REAL_PICTURES]
    who = np.asarray(part.identity)[rows]
    first, second = np.triu_indices(len(rows), 1)
    same = who[first] == who[second]
    if same.all() or not same.any():
        return {"reason": f"no pairs of the same and of different test people ({len(people)} in all)"}
    different = rng.permutation(np.flatnonzero(~same))[: same.sum()]
    chosen = np.concatenate([np.flatnonzero(same), different])
    found_of = []
    for start in range(0, len(rows), protocol.batch_size):
        images = part.batch(rows[start : start + protocol.batch_size])["image"]
        found_of.append(features(images))
    found = torch.cat(found_of)
    likeness = similarity(found[first[chosen]], found[second[chosen]])
    if not likeness.isfinite().any():
        return {"reason": "no face could be judged in the test pictures"}
    verification = Verification(sync_on_compute=False)
    verification.update(likeness, torch.from_numpy(same[chosen]))
    return verification.compute()


def json_ready(value: Any) -> Any:
    """Tensors and arrays as numbers and lists; NaN as None, which JSON knows."""
    if isinstance(value, dict):
        return {key: json_ready(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [json_ready(item) for item in value]
    if isinstance(value, Tensor | np.ndarray | np.generic):
        return json_ready(value.tolist())
    if isinstance(value, float) and not np.isfinite(value):
        return None
    return value


def grid_figure(edit: Edit, data: Any, path: Path, protocol: Protocol) -> Path:
    """Fig. 2: test people, each edited to the prototypes of the eight expressions."""
    rows = choose_sources(data.test)[: protocol.rows]
    images = data.test.batch(rows)["image"]
    targets = [torch.from_numpy(prototype(name)).repeat(len(rows), 1) for name in EXPRESSIONS]
    with torch.no_grad():
        columns = [images, *(edit(images, target).cpu() for target in targets)]
    pictures = [list(row) for row in np.stack([to_uint8(column) for column in columns], 1)]
    labels = [str(data.test.identities[person]) for person in np.asarray(data.test.identity)[rows]]
    sheet = figures.grid(pictures, ["input", *EXPRESSIONS], labels, figures.provenance(data.generated))
    return figures.save(path, sheet)


def interpolation_figure(edit: Edit, data: Any, path: Path, protocol: Protocol) -> Path:
    """Fig. 3: eq. 8 from a test person's own AUs to three expressions; a GIF beside it moves."""
    names = ("happiness", "surprise", "anger")
    rows = np.resize(choose_sources(data.test), len(names))
    batch = data.test.batch(rows)
    own = torch.nan_to_num(batch["au"])
    target = torch.from_numpy(np.stack([prototype(name) for name in names]))
    alphas = np.linspace(0, 1, protocol.steps)
    with torch.no_grad():
        steps = [edit(batch["image"], torch.lerp(own, target, float(alpha))).cpu() for alpha in alphas]
    columns = np.stack([to_uint8(step) for step in (batch["image"], *steps)], 1)
    header = ["input", *(f"α = {alpha:g}" for alpha in alphas.round(3))]
    caption = figures.provenance(data.generated)
    figures.save(path, figures.grid([list(row) for row in columns], header, names, caption))
    frames = [figures.grid([list(columns[:, 1 + k])], names, caption=caption) for k in range(protocol.steps)]
    figures.save_animation(path.with_suffix(".gif"), figures.there_and_back(frames))
    return path
