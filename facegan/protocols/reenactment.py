"""ICface's Tables 1 and 2, and what the paper lacks: errors of the head's angles, identity by how far the head turns.

Test people are driven by frames of other test people (4.1): a source is a person's calmest picture (or the strongest
expression: what the neutraliser is for), a driver gives head pose and AUs. What was asked for is the driver's own pose
and AUs, as stored with it.
"""

from collections import defaultdict
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.progress import track
from torch import Tensor

from facegan import figures, report
from facegan.config import UserError
from facegan.driving import TURN
from facegan.faces import AU_NAMES, POSE
from facegan.findings import SOURCES, write_findings
from facegan.judges import GEOMETRY, Judges, as_judged, similarity
from facegan.judges.quality import quality_judges
from facegan.metrics import Acceptance, Agreement, Presence
from facegan.protocols.common import (
    Protocol,
    au_columns,
    choose_sources,
    json_ready,
    real_pairs,
    write_pairs,
    write_samples,
)
from facegan.protocols.reenactment_figures import Neutralise, Reenact, aus_figure, draw, errors_figure
from facegan.tables import COPY_SOURCE, COPY_TARGET

TURNS = (0, 10, 20, 30, 180)
"""Edges in degrees of how far source and driver look apart, for the curve of identity."""


def choose_pairs(test: Any, n: int, seed: int, strong: bool = False) -> tuple[np.ndarray, np.ndarray]:
    """Indices (n,) of sources and of drivers in the test split: a person's calmest picture, a frame of another's.

    Args:
        strong: as of ``choose_sources``.

    Raises:
        UserError: there are not two people with poses and AUs.
    """
    known = np.isfinite(test.au).all(1) & np.isfinite(test.records.pose).all(1)
    identity, rng = np.asarray(test.identity), np.random.default_rng(seed)
    sources, drivers = choose_sources(test, strong), np.flatnonzero(known)
    if len(sources) < 2 or len(np.unique(identity[drivers])) < 2:
        raise UserError(
            f"reenactment is measured between test people: there are {len(sources)}, of whom "
            f"{len(np.unique(identity[drivers]))} have pictures with head pose and AUs (OpenFace's CSV)"
        )
    driver = rng.permutation(np.resize(rng.permutation(drivers), n))
    source = np.empty(n, int)
    for row, person in enumerate(identity[driver]):
        source[row] = rng.choice(sources[identity[sources] != person])
    return source, driver


def evaluate(
    reenact: Reenact,
    data: Any,
    judges: Judges,
    out_dir: Path,
    *,
    method: str = "ICface",
    command: str = "",
    log: Path | None = None,
    protocol: Protocol | None = None,
    neutralise: Neutralise | None = None,
    reach: Sequence[float] = (TURN,) * len(POSE),
) -> dict[str, Any]:
    """Measure reenactments between test people, beside copying either picture.

    Args:
        reenact: the method.
        data: a data module with ``test``.
        judges: of AUs, landmark geometry, head pose and identity.
        out_dir: gets ``evaluation.json``, ``table1.md``, ``table2.md``, ``pairs.csv``, ``errors.png``, ``aus.png`` and
            the figures of ``reenactment_figures.draw``.
        method: name of its row.
        command: what was typed, for the tables.
        log: the run's CSV log, for ``curves.png``.
        neutralise: the method's neutraliser, for Fig. 7.
        reach: radians to either side that the method turns heads at most, for Fig. 5.

    Returns:
        What ``evaluation.json`` holds: of each row ``presence`` and ``intensity`` of AUs, ``geometry`` (agreement of
        landmarks with the driver's), ``angles`` (mean absolute error in degrees of pitch, yaw and roll),
        ``quality`` (mean score by network); ``pose_offset``, what the
        pose judge is off by on average on the drivers' own pictures (taken off all rows); of each identity judge
        ``real`` and the acceptance of the source's person by row; ``turned``, the method's by ``TURNS``.
    """
    protocol = protocol or Protocol()
    out_dir.mkdir(parents=True, exist_ok=True)
    sources, drivers = choose_pairs(data.test, protocol.targets, protocol.seed, protocol.strong)
    rows = (COPY_SOURCE, COPY_TARGET, method)
    presence = {row: Presence(AU_NAMES, sync_on_compute=False) for row in rows}
    intensity = {row: Agreement(AU_NAMES, sync_on_compute=False) for row in rows}
    shape = {row: Agreement(GEOMETRY, sync_on_compute=False) for row in rows}
    quality, said = quality_judges()
    scores: dict[tuple[str, str], list[Tensor]] = {(row, name): [] for row in rows for name in quality}
    angles: dict[str, list[Tensor]] = {row: [] for row in rows}
    pose = judges.pose_of(data)
    real = {
        judge.name: real_pairs(judge, judges.finder, data.test, protocol, data.align)
        for judge in judges.identity
    }
    likeness: dict[tuple[str, str], list[Tensor]] = {(row, name): [] for row in rows for name in real}
    of_pairs: dict[str, list[Tensor]] = defaultdict(list)
    seen: dict[str, list[Tensor]] = {row: [] for row in rows}
    for start in track(
        range(0, len(sources), protocol.batch_size), "Evaluating", disable=not protocol.progress
    ):
        chunk = slice(start, start + protocol.batch_size)
        source, driver = data.test.batch(sources[chunk]), data.test.batch(drivers[chunk])
        with torch.no_grad():
            result = reenact(source["image"], driver["pose"], driver["au"]).cpu()
        if not start:
            pictures = {"source": source["image"], "target": driver["image"], "result": result}
            write_samples(out_dir / "samples", **pictures)
        asked_shape = judges.geometry(driver["image"], driver["landmarks"])
        shown = as_judged(source["image"], judges.finder(source["image"]), data.align)
        persons = {judge.name: judge(*shown) for judge in judges.identity}
        for row, images in zip(rows, (source["image"], driver["image"], result), strict=True):
            points = judges.finder(images)
            cut, cut_points = as_judged(images, points, data.align)
            au = judges.au(cut)
            presence[row].update(au, driver["au"])
            intensity[row].update(au, driver["au"])
            shape[row].update(judges.geometry(images, points), asked_shape)
            seen[row].append(au)
            if row == method:
                for column, one in au_columns(driver["au"], au).items():
                    of_pairs[column].append(one)
            angles[row].append((pose(images, points) - driver["pose"]).rad2deg())
            for judge in judges.identity:
                likeness[row, judge.name].append(similarity(persons[judge.name], judge(cut, cut_points)))
            for name, judged in quality.items():
                scores[row, name].append(judged(images, source["image"]))
    # Every finder of landmarks has its own idea of where noses are: what it is off by on the drivers themselves does
    # not count as an error of the method.
    offset = torch.cat(angles[COPY_TARGET]).nanmean(0)
    errors = {row: (torch.cat(parts) - offset).abs() for row, parts in angles.items()}
    identity: dict[str, Any] = {name: {"real": {"reason": text}} for name, text in judges.missing.items()}
    turned, apart = {}, _apart(data, sources, drivers)
    of_pairs |= {f"{angle}_error": [errors[method][:, k]] for k, angle in enumerate(POSE)}
    of_pairs |= {name: scores[method, name] for name in quality}
    for name, values in real.items():
        identity[name] = {"real": values}
        if "threshold" in values:
            threshold = float(values["threshold"])
            for row in rows:
                accepted = Acceptance(threshold, sync_on_compute=False)
                accepted.update(torch.cat(likeness[row, name]))
                identity[name][row] = accepted.compute()
            verified = torch.cat(likeness[method, name]) >= threshold
            turned[name] = _by_turn(verified, apart)
            of_pairs |= {f"cosine_{name}": likeness[method, name], f"verified_{name}": [verified.float()]}
    result_of_all: dict[str, Any] = json_ready({
        "protocol": "reenactment",
        "method": method,
        "command": command,
        "data": data.describe(),
        "generated": data.generated,
        "pairs": len(sources),
        "sources": SOURCES[protocol.strong],
        "test_people": len(np.unique(np.asarray(data.test.identity)[sources])),
        "judges": {
            "au": judges.au.description,
            "geometry": judges.geometry.description,
            "pose": pose.description,
            "identity": [judge.description for judge in judges.identity],
            "quality": said,
        },
        "rows": {
            row: {
                "presence": presence[row].compute(),
                "intensity": intensity[row].compute(),
                "geometry": shape[row].compute(),
                "angles": dict(zip(POSE, errors[row].nanmean(0).tolist(), strict=True)),
                "no_pose": int(errors[row].isnan().any(1).sum()),
                "quality": {name: torch.cat(scores[row, name]).mean() for name in quality},
            }
            for row in rows
        },
        "pose_offset": dict(zip(POSE, offset.tolist(), strict=True)),
        "identity": identity,
        "turned": turned,
    })  # fmt: skip
    people = [data.test.identities[k] for k in np.asarray(data.test.identity)[sources].tolist()]
    pictures = {"source": (data.test, sources), "driver": (data.test, drivers)}
    write_pairs(out_dir / "pairs.csv", people, of_pairs, **pictures)
    write_findings(out_dir, result_of_all)
    (out_dir / "table1.md").write_text(report.icface_table1(result_of_all))
    (out_dir / "table2.md").write_text(report.icface_table2(result_of_all))
    asked, caption = data.test.records.pose[drivers], figures.provenance(data.generated)
    errors_figure(errors[method], asked, result_of_all, out_dir / "errors.png", caption)
    read = {row: torch.cat(parts).numpy() for row, parts in seen.items()}
    aus_figure(read, np.asarray(data.test.au)[drivers], out_dir / "aus.png", caption)
    draw(reenact, neutralise, data, out_dir, protocol, reach)
    if log is not None:
        figures.curves(log, out_dir / "curves.png", figures.provenance(data.generated))
    return result_of_all


def _apart(data: Any, sources: np.ndarray, drivers: np.ndarray) -> np.ndarray:
    """Degrees (P,) between where source and driver look, by pitch and yaw."""
    pose = np.degrees(np.nan_to_num(data.test.records.pose))
    return np.linalg.norm(pose[sources, :2] - pose[drivers, :2], axis=1)


def _by_turn(accepted: Tensor, apart: np.ndarray) -> list[dict[str, Any]]:
    """Share accepted in each bin of ``TURNS``."""
    bins = []
    for low, high in pairwise(TURNS):
        chosen = (apart >= low) & (apart < high)
        share = accepted.numpy()[chosen].mean() if chosen.any() else np.nan
        bins.append({"from": low, "to": high, "pairs": int(chosen.sum()), "accepted": share})
    return bins
