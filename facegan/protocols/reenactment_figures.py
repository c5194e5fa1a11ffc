"""ICface's Figs. 3 to 7 of test people: reenacted, pose and expression apart, views, expressions, neutral faces.

And what the paper lacks: errors by angle, by AU, and identity by how far the head turns.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from matplotlib.figure import Figure
from torch import Tensor

from facegan import figures
from facegan.driving import TURN, to_either_side
from facegan.faces import AU_NAMES, EXPRESSIONS, N_AUS, POSE, prototype
from facegan.pixels import to_uint8
from facegan.protocols.common import Protocol, choose_sources

Reenact = Callable[[Tensor, Tensor, Tensor], Tensor]
"""Faces (B, 3, S, S) in [-1, 1], poses (B, 3) in radians, AUs (B, 17) 0..5 -> faces."""

Neutralise = Callable[[Tensor], Tensor]
"""Faces (B, 3, S, S) -> the same people, facing the camera and without expression."""

VIEWS = 7
"""Pictures of each angle in Fig. 5."""

INTENSITIES = (0, 0.25, 1, 2, 3, 4, 5)
"""Edges of an AU's intensity, for the curves of its error."""


def draw(
    reenact: Reenact,
    neutralise: Neutralise | None,
    data: Any,
    out_dir: Path,
    protocol: Protocol,
    reach: Sequence[float],
) -> None:
    """All figures of faces, as PNG into ``out_dir``; Fig. 7 where there is a ``neutralise``."""
    grid_figure(reenact, data, out_dir / "grid.png", protocol)
    apart_figure(reenact, data, out_dir / "apart.png", protocol)
    views_figure(reenact, data, out_dir / "views.png", protocol, reach)
    expressions_figure(reenact, data, out_dir / "expressions.png", protocol)
    if neutralise is not None:
        neutral_figure(neutralise, data, out_dir / "neutral.png", protocol)


def grid_figure(reenact: Reenact, data: Any, path: Path, protocol: Protocol) -> Path:
    """Fig. 3: test people (rows) driven by frames of the others (columns)."""
    rows = choose_sources(data.test, protocol.strong)[: protocol.rows]
    source, driver = data.test.batch(rows), data.test.batch(_drivers(data.test, rows))
    pictures: list[list[Any]] = [[None, *to_uint8(driver["image"])]]
    for face in source["image"]:
        with torch.no_grad():
            moved = reenact(face.expand_as(driver["image"]), *_asked(driver)).cpu()
        pictures.append(list(to_uint8(torch.cat([face[None], moved]))))
    header = ["source", *[""] * len(rows)]
    return _save(path, pictures, header, ["driver", *_names(data, rows)], data)


def apart_figure(reenact: Reenact, data: Any, path: Path, protocol: Protocol) -> Path:
    """Fig. 4: the pose of one driver, the expression of another, and both on one face."""
    rows = choose_sources(data.test, protocol.strong)[: protocol.rows]
    posing = np.roll(_drivers(data.test, rows), 1)
    expressing = np.roll(choose_sources(data.test, strong=True)[: protocol.rows], 2)
    source, pose, au = (data.test.batch(chosen) for chosen in (rows, posing, expressing))
    (own_pose, own_au), (its_pose, _), (_, its_au) = map(_asked, (source, pose, au))
    with torch.no_grad():
        results = [
            reenact(source["image"], *asked)
            for asked in ((its_pose, own_au), (own_pose, its_au), (its_pose, its_au))
        ]
    columns = [source["image"], pose["image"], au["image"], *(result.cpu() for result in results)]
    pictures = [list(row) for row in np.stack([to_uint8(column) for column in columns], 1)]
    header = ["source", "its pose", "its expression", "pose alone", "expression alone", "both"]
    return _save(path, pictures, header, _names(data, rows), data)


def views_figure(
    reenact: Reenact, data: Any, path: Path, protocol: Protocol, reach: Sequence[float] = (TURN,) * len(POSE)
) -> Path:
    """Fig. 5: a person's head turned by each angle, as far as the network goes, the expression at rest."""
    rows = choose_sources(data.test, protocol.strong)[: max(1, protocol.rows // 3)]
    pictures, labels = [], []
    for face, name in zip(data.test.batch(rows)["image"], _names(data, rows), strict=True):
        for k, angle in enumerate(POSE):
            far = to_either_side(reach)[k]
            pose = torch.zeros(VIEWS, len(POSE))
            pose[:, k] = torch.linspace(-far, far, VIEWS)
            with torch.no_grad():
                turned = reenact(face.expand(VIEWS, -1, -1, -1), pose, torch.zeros(VIEWS, N_AUS)).cpu()
            pictures.append(list(to_uint8(torch.cat([face[None], turned]))))
            labels.append(f"{name}, {angle} ±{np.degrees(far):.0f}°")
    header = ["source", *(f"{share:+.0%}" for share in np.linspace(-1, 1, VIEWS))]
    return _save(path, pictures, header, labels, data)


def expressions_figure(reenact: Reenact, data: Any, path: Path, protocol: Protocol) -> Path:
    """Fig. 6: people who show an expression, given each of the eight, with the head where it is."""
    rows = choose_sources(data.test, strong=True)[: protocol.rows]
    batch = data.test.batch(rows)
    pose, _ = _asked(batch)
    columns = [batch["image"]]
    for name in EXPRESSIONS:
        au = torch.from_numpy(prototype(name)).expand(len(rows), -1)
        with torch.no_grad():
            columns.append(reenact(batch["image"], pose, au).cpu())
    pictures = [list(row) for row in np.stack([to_uint8(column) for column in columns], 1)]
    return _save(path, pictures, ["source", *EXPRESSIONS], _names(data, rows), data)


def neutral_figure(neutralise: Neutralise, data: Any, path: Path, protocol: Protocol) -> Path:
    """Fig. 7: people who show an expression, or look away, and what the neutraliser makes of them."""
    strong = choose_sources(data.test, strong=True)[: protocol.rows]
    away = _drivers(data.test, strong, turned=True)
    columns = []
    for rows in (strong, away):
        images = data.test.batch(rows)["image"]
        with torch.no_grad():
            columns += [images, neutralise(images).cpu()]
    pictures = [list(row) for row in np.stack([to_uint8(column) for column in columns], 1)]
    header = ["an expression", "neutral", "looks away", "neutral"]
    return _save(path, pictures, header, _names(data, strong), data)


def _drivers(test: Any, rows: np.ndarray, turned: bool = False) -> np.ndarray:
    """A picture (R,) of each row's person: from the middle, seldom one that begins a track; or where it looks away."""
    identity = np.asarray(test.identity)
    away = np.abs(np.nan_to_num(test.records.pose)[:, :2]).sum(1)
    own = [np.flatnonzero(identity == identity[row]) for row in rows]
    return np.array([person[away[person].argmax()] if turned else int(person.mean()) for person in own])


def _asked(batch: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
    """Poses and AUs of a batch; what is not known is neutral."""
    return torch.nan_to_num(batch["pose"]), torch.nan_to_num(batch["au"])


def _names(data: Any, rows: np.ndarray) -> list[str]:
    return [str(data.test.identities[person]) for person in np.asarray(data.test.identity)[rows]]


def _save(path: Path, pictures: list[list[Any]], header: list[str], labels: list[str], data: Any) -> Path:
    return figures.save(path, figures.grid(pictures, header, labels, figures.provenance(data.generated)))


def errors_figure(
    errors: Tensor, asked: np.ndarray, result: dict[str, Any], path: Path, caption: str
) -> Path:
    """Error of each angle by the angle asked for; agreement on each AU; identity by how far the head turns."""
    sheet = Figure(figsize=(13, 3.6), layout="constrained")
    by_angle, by_au, by_turn = sheet.subplots(1, 3, width_ratios=[1, 1.5, 1])
    seen = errors.isfinite().all(1).numpy()
    for k, name in enumerate(POSE):
        degrees, error = np.degrees(asked[seen, k]), errors[:, k].numpy()[seen]
        parts = np.array_split(np.argsort(degrees), 7)
        line = [(degrees[part].mean(), error[part].mean()) for part in parts if len(part)]
        by_angle.plot(*zip(*line, strict=True) if line else ([], []), marker="o", label=name)
    by_angle.set(
        title="Error of the head's angles",
        xlabel="asked for, degrees",
        ylabel="mean error, degrees",
        ylim=(0, None),
    )
    by_angle.legend()
    for row, scores in result["rows"].items():
        balanced = [np.nan if v is None else 100 * v for v in scores["presence"]["balanced"]]
        by_au.plot(AU_NAMES, balanced, marker="o", linestyle="", label=row)
    by_au.set(title="Presence of each AU, balanced accuracy, %", ylim=(0, 100))
    by_au.tick_params("x", rotation=90)
    by_au.legend(fontsize="small")
    for name, bins in result["turned"].items():
        shares = [np.nan if b["accepted"] is None else 100 * b["accepted"] for b in bins]
        by_turn.plot([f"{b['from']} to {b['to']}" for b in bins], shares, marker="o", label=name)
    by_turn.set(title="Same person, %", xlabel="source and driver apart, degrees", ylim=(0, 100))
    if result["turned"]:
        by_turn.legend()
    sheet.text(0.99, 0.01, caption, ha="right", fontsize="small", color="grey")
    sheet.savefig(path, dpi=100)
    return path


def aus_figure(read: dict[str, np.ndarray], asked: np.ndarray, path: Path, caption: str) -> Path:
    """Error of each AU by the intensity asked for.

    Args:
        read: of each row of the table, the judge's AUs (P, 17).
        asked: (P, 17).
    """
    sheet = Figure(figsize=(13, 6), layout="constrained")
    panels = sheet.subplots(3, 6, sharex=True, sharey=True).flat
    for k, (name, panel) in enumerate(zip(AU_NAMES, panels, strict=False)):  # names first: panels are left
        place = np.digitize(asked[:, k], INTENSITIES[1:-1])
        for row, values in read.items():
            error = np.abs(values[:, k] - asked[:, k])
            there = [step for step in range(len(INTENSITIES) - 1) if np.isfinite(error[place == step]).any()]
            line = [(asked[place == step, k].mean(), np.nanmean(error[place == step])) for step in there]
            panel.plot(*zip(*line, strict=True) if line else ([], []), marker="o", markersize=3, label=row)
        panel.set_title(name)
    sheet.legend(*panel.get_legend_handles_labels(), loc="outside upper center", ncols=len(read))
    sheet.supxlabel("asked for")
    sheet.supylabel("mean error")
    panel.set_ylim(0, None)
    for panel in panels:
        panel.set_axis_off()
    sheet.text(0.99, 0.01, caption, ha="right", fontsize="small", color="grey")
    sheet.savefig(path, dpi=100)
    return path
