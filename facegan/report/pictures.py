"""The figures of evaluations in the report: which there are by protocol, with the papers' numbers."""

import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from facegan.config import UserError
from facegan.findings import FINDINGS, SOURCES, read_findings
from facegan.report.collection import Evaluated
from facegan.runs import Run

FIGURES: Mapping[str, Mapping[str, str]] = {
    "eggan": {
        "grid.png": "Fig. 2: test people, given the eight expressions",
        "interpolation.png": "Fig. 3: from a person's own AUs to others (eq. 8)",
    },
    "frames": {
        "grid.png": "held-out frames of a film",
        "interpolation.png": "from a person's own AUs to others (EGGAN's eq. 8)",
    },
    "transfer": {
        "grid.png": "Fig. 3: sources' expressions on test people",
        "editing.png": "Fig. 4: from another picture of the same person",
    },
    "recognition": {"fig5.png": "Fig. 5: f(e) by t-SNE"},
    "aipgan": {
        "grid.png": "Fig. 2: sources' expressions on test people",
        "editing.png": "from another picture of the same person",
        "attention.png": "where the network looks", "heads.png": "landmarks and identity maps, predicted and true",
    },
    "reenactment": {
        "grid.png": "Fig. 3: test people, moved as the head above each column",
        "apart.png": "Fig. 4: the pose of one driver, the expression of another, and both",
        "views.png": "Fig. 5: one picture, seen from other sides",
        "expressions.png": "Fig. 6: each of eight expressions",
        "neutral.png": "Fig. 7: neutral faces", "errors.png": "errors by pose and by AU",
        "aus.png": "errors of AUs by intensity",
    },
}  # fmt: skip
"""Figures of an evaluation by protocol and file, and what they show, numbered as in the method's paper."""
CURVES = {"curves.png": "losses"}


def figures_of(groups: Mapping[str, Sequence[Evaluated]], near: Path) -> str:
    """The section of each row's figures, of its newest run; of those that it lacks and a paper has, what draws them."""
    lines = []
    for label, group in groups.items():
        folder, result, lacking = group[-1].folder, group[-1].result, []
        for name, what in ({**FIGURES[result["protocol"]], **CURVES}).items():
            places = [folder / name, folder.parent.parent / name]
            path = next((place for place in places if place.is_file()), None)
            if path is not None:
                lines.append(link(path, f"{label}: {what}", near))
            elif (other := _elsewhere(folder, name, result)) is not None:
                place, command = other
                lines.append(link(place, f"{label}: {what}; by `{command}`", near))
            elif what.startswith("Fig.") and (name != "neutral.png" or _neutralises(folder)):
                lacking.append(what.partition(":")[0])
        if lacking:
            lines.append(f"*{label}*: without {', '.join(lacking)}; `{result['command']}` draws them.\n")
    return "\n".join(["### Figures\n", *lines]) if lines else ""


def _elsewhere(folder: Path, name: str, result: Mapping[str, Any]) -> tuple[Path, str] | None:
    """The figure as another evaluation of the run drew it, of the same kind of sources, and the command of that."""
    for path in sorted(folder.parent.glob(f"evaluation*/{name}")):
        with suppress(UserError):
            other = read_findings(path.parent / FINDINGS)
            if all(one.get("sources", SOURCES[0]) == SOURCES[0] for one in (result, other)):
                return path, str(other["command"])
    return None


def _neutralises(folder: Path) -> bool:
    """Whether the run's method has a neutraliser to draw Fig. 7 with."""
    return bool(
        OmegaConf.select(OmegaConf.load(Run(folder.parent).config), "method.neutralizer", default=True)
    )


def link(path: Path, what: str, near: Path) -> str:
    """A picture and the words above it; the path is written as from ``near``."""
    place = Path(os.path.relpath(path.absolute(), near.absolute())).as_posix()
    return f"*{what}*\n\n![{what}]({place})\n"
