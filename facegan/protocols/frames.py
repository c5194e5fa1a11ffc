"""Later frames of a film whose first frames were trained on: L1, action units, landmark geometry, the head's angles.

For films of one's own, where there is no other person to test on (``data.split`` by time). Every test frame
is a target; its source is the frame half that person's test frames away, never a neighbour. The picture
asked for exists, so the result can be compared with it.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.progress import track
from torch import Tensor

from facegan import figures, report
from facegan.config import UserError
from facegan.faces import AU_NAMES, POSE
from facegan.films import Film
from facegan.findings import write_findings
from facegan.judges import GEOMETRY, Judges, as_judged
from facegan.metrics import Agreement
from facegan.pixels import to_uint8
from facegan.protocols.common import Protocol, by_person, json_ready
from facegan.tables import COPY_SOURCE, COPY_TARGET

MOVING = 0.2  # an AU is scored where its standard deviation over the test frames is above this
ROWS = 8  # frames in the figure
RATE = 25  # frames a second of the film
MOST = 1000  # frames of the film at most

Move = Callable[[Tensor, Mapping[str, Tensor]], Tensor]
"""Faces (B, 3, S, S) in [-1, 1], and test pictures whose AUs, and pose where the method turns heads, are asked for."""


def later_frames(data: Any) -> bool:
    """Whether the test pictures show people who were trained on."""
    return set(data.test.identities) <= set(data.train.identities) and len(data.test.au) > 0


def choose_pairs(test: Any, turns: bool = False) -> tuple[np.ndarray, np.ndarray]:
    """Indices (P,) of sources and of targets in the test split: each frame and the one half the list away.

    Raises:
        UserError: nobody has two test frames with AUs (and pose, of a method that turns heads).
    """
    known = np.isfinite(test.au).all(1)
    if turns:
        known &= np.isfinite(test.records.pose).all(1)
    sources, targets = [], []
    for person in by_person(test):
        rows = person[known[person]]
        if len(rows) > 1:
            targets.append(rows)
            sources.append(np.roll(rows, len(rows) // 2))
    if not targets:
        raise UserError(
            f"nobody has two test frames with AUs ({len(test.au):,} test frames in all); give a longer video, "
            "with its OpenFace CSV beside it"
        )
    return np.concatenate(sources), np.concatenate(targets)


def evaluate(
    move: Move,
    data: Any,
    judges: Judges,
    out_dir: Path,
    *,
    method: str = "EGGAN",
    command: str = "",
    log: Path | None = None,
    protocol: Protocol | None = None,
    turns: bool = False,
) -> dict[str, Any]:
    """Measure a method on held-out frames; the other arguments are those of ``protocols.eggan.evaluate``.

    Args:
        turns: whether the method turns heads: then the errors of the head's angles are measured as well.

    Returns:
        What ``evaluation.json`` holds: ``scores`` of each row (L1 to the target frame in units of [-1, 1], AU
        and geometry agreement with it, and of a method that turns heads ``angles``, mean absolute errors in degrees,
        less what the judge is off by on the target frames), ``reconstruction_l1`` (a frame moved to its own AUs and
        pose), names of AUs, data and judges. ``film.mp4`` beside it shows source, target and result.
    """
    protocol = protocol or Protocol()
    out_dir.mkdir(parents=True, exist_ok=True)
    sources, targets = choose_pairs(data.test, turns)
    moving = np.flatnonzero(data.test.au[targets].std(0) > MOVING)
    if not len(moving):
        raise UserError(f"no AU of the test frames has a standard deviation above {MOVING}: nothing to score")
    names = [AU_NAMES[k] for k in moving]
    rows = (COPY_SOURCE, COPY_TARGET, method)
    au = {row: Agreement(names, sync_on_compute=False) for row in rows}
    shape = {row: Agreement(GEOMETRY, sync_on_compute=False) for row in rows}
    l1: dict[str, list[Tensor]] = {row: [] for row in (*rows, "reconstruction")}
    angles: dict[str, list[Tensor]] = {row: [] for row in rows}
    starts = range(0, len(targets), protocol.batch_size)
    for start in track(starts, "Evaluating", disable=not protocol.progress):
        chunk = slice(start, start + protocol.batch_size)
        source, target = data.test.batch(sources[chunk]), data.test.batch(targets[chunk])
        asked = judges.geometry(target["image"], target["landmarks"])
        with torch.no_grad():
            moved = move(source["image"], target).cpu()
            own = move(target["image"], target).cpu()
        l1["reconstruction"].append(_l1(own, target["image"]))
        pictures = (source["image"], target["image"], moved)
        for row, images in zip(rows, pictures, strict=True):
            points = judges.finder(images)
            cut, _ = as_judged(images, points, data.align)
            au[row].update(judges.au(cut)[:, moving], target["au"][:, moving])
            shape[row].update(judges.geometry(images, points), asked)
            if turns:
                angles[row].append((judges.pose(images, points) - target["pose"]).rad2deg())
            l1[row].append(_l1(images, target["image"]))
    errors: dict[str, dict[str, Any]] = {row: {} for row in rows}
    if turns:  # every finder of landmarks has its own idea of where noses are
        offset = torch.cat(angles[COPY_TARGET]).nanmean(0)
        for row in rows:
            mean = (torch.cat(angles[row]) - offset).abs().nanmean(0)
            errors[row] = {"angles": dict(zip(POSE, mean.tolist(), strict=True))}
    result = json_ready({
        "protocol": "frames",
        "method": method,
        "command": command,
        "data": data.describe(),
        "generated": data.generated,
        "pairs": len(targets),
        "judges": {"au": judges.au.description, "geometry": judges.geometry.description}
        | ({"pose": judges.pose.description} if turns else {}),
        "aus": names,
        "reconstruction_l1": torch.cat(l1["reconstruction"]).mean(),
        "scores": {
            row: {
                "l1": torch.cat(l1[row]).mean(),
                "au": au[row].compute(),
                "geometry": shape[row].compute(),
                **errors[row],
            }
            for row in rows
        },
    })  # fmt: skip
    write_findings(out_dir, result)
    (out_dir / "table.md").write_text(report.frames_table(result))
    frames_figure(move, data, sources, targets, out_dir / "grid.png")
    frames_film(move, data, sources, targets, out_dir / "film.mp4", protocol)
    if log is not None:
        figures.curves(log, out_dir / "curves.png", figures.provenance(data.generated))
    return result


def _l1(images: Tensor, wanted: Tensor) -> Tensor:
    return (images - wanted).abs().mean((1, 2, 3))


def frames_figure(move: Move, data: Any, sources: np.ndarray, targets: np.ndarray, path: Path) -> Path:
    """Test frames over time: the source, what was asked for, the result, and the target reconstructed."""
    chosen = np.unique(np.linspace(0, len(targets) - 1, ROWS).astype(int))
    source, target = data.test.batch(sources[chosen]), data.test.batch(targets[chosen])
    with torch.no_grad():
        moved = move(source["image"], target).cpu()
        own = move(target["image"], target).cpu()
    lines = [list(to_uint8(images)) for images in (source["image"], target["image"], moved, own)]
    rows = ["source", "target", "result", "target again"]
    sheet = figures.grid(lines, rows=rows, caption=figures.provenance(data.generated))
    return figures.save(path, sheet)


def frames_film(
    move: Move, data: Any, sources: np.ndarray, targets: np.ndarray, path: Path, protocol: Protocol
) -> None:
    """The test frames as a film, the first of them if they are many: one source throughout, driver, and result."""
    targets, first = targets[:MOST], sources[:1]
    source = data.test.batch(first)["image"]
    height, width = source.shape[-2:]
    with Film(path, (height, 3 * width), RATE) as film:
        for start in range(0, len(targets), protocol.batch_size):
            target = data.test.batch(targets[start : start + protocol.batch_size])
            still = source.expand(len(target["image"]), -1, -1, -1)
            with torch.no_grad():
                result = move(still, target).cpu()
            for row in to_uint8(torch.cat([still, target["image"], result], 3)):
                film.write(row)
