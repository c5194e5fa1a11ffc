"""What has been evaluated: runs, ablations over seeds and cross-validations, grouped by experiment."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from facegan.config import UserError
from facegan.experiment_config import load_config, plain
from facegan.methods import METHODS, TITLES
from facegan.runs import Run

_BESIDE = (
    "seed",
    "name",
    "judge",
    "trainer.",
    "log.",
    "evaluate_after",
    "targets",
    "data.splits",
    "data.prepare_workers",
)
"""Keys that make no other experiment."""
LONGEST = 60
"""Characters of changed keys that a row of a table can be called by."""


@dataclass(frozen=True)
class Evaluated:
    """One evaluation: ``seed`` of its run (or the fold of a cross-validation), ``folder`` of tables and figures.

    ``changes``: in what the run differs from its experiment; ``label``: what tables call it.
    """

    experiment: str
    changes: str
    seed: int
    folder: Path
    result: Mapping[str, Any]
    label: str = ""


def collect(runs: Iterable[Run]) -> list[Evaluated]:
    """What the runs' folders hold; of several evaluations of one experiment and seed, the newest run's.

    Args:
        runs: oldest first, as ``runs.all_runs`` gives them.

    Raises:
        UserError: none of them is evaluated.
    """
    found: dict[tuple[str, int, str], Evaluated] = {}
    for run in runs:
        config = OmegaConf.load(run.config)
        method = config.method.name
        title = f"{TITLES.get(method, method)} ({config.name})"
        for name, kind in (("evaluation.json", None), ("recognition.json", "recognition")):
            path = run.evaluation / name
            if not path.is_file():
                continue
            result = json.loads(path.read_text())
            seed = config.seed
            if kind == "recognition":
                home = run.folder.parent / "crossval.json"
                command = (
                    json.loads(home.read_text())["command"]
                    if home.is_file()
                    else f"facegan crossval {config.name}"
                )
                seed = int(run.folder.name.rpartition("-")[2])
                result |= {"protocol": kind, "method": title, "command": command, "judges": {}}
            one = Evaluated(config.name, _changes(config, method), seed, path.parent, result)
            key = (f"{one.experiment} {one.changes}", seed, name)
            found.pop(key, None)  # the newest stands last
            found[key] = one
    if not found:
        raise UserError("no run has been evaluated yet; type: facegan evaluate RUN (facegan runs lists them)")
    return _labelled(list(found.values()))


def _labelled(evaluations: list[Evaluated]) -> list[Evaluated]:
    """Each with a label: the experiment and its changes, or, where those are many, a number for them."""
    numbers: dict[str, list[str]] = {}
    labelled = []
    for one in evaluations:
        label = f"{one.experiment} {one.changes}".strip()
        if len(one.changes) > LONGEST:
            others = numbers.setdefault(one.experiment, [])
            if one.changes not in others:
                others.append(one.changes)
            label = f"{one.experiment}, changed ({others.index(one.changes) + 1})"
        labelled.append(replace(one, label=label))
    return labelled


def other_judges(run: Run) -> list[Mapping[str, Any]]:
    """All evaluations of one run, its own first: those that ask other judges stand beside it."""
    folders = sorted(run.folder.glob("evaluation*"), key=lambda folder: folder.name)
    files = [folder / "evaluation.json" for folder in folders]
    return [json.loads(path.read_text()) for path in files if path.is_file()]


def _changes(config: Any, method: str) -> str:
    """The keys in which a run differs from its experiment as it is shipped, as they would be typed."""
    try:
        shipped = _flat(plain(load_config(config.name))) if method in METHODS else {}
    except UserError:  # a YAML of somebody's own
        return ""
    start = str(config.get("init_from") or "")
    if shipped.get("init_from") in Path(start).parts:  # a run notes the checkpoint that the name stood for
        config = OmegaConf.merge(config, {"init_from": shipped["init_from"]})
    own = _flat(OmegaConf.to_container(config))
    keys = [key for key in own if not key.startswith(_BESIDE) and own[key] != shipped.get(key, own[key])]
    return " ".join(f"{key}={own[key]}" for key in keys)


def _flat(value: Any, key: str = "") -> dict[str, str]:
    """Leaves by dotted key; of paths the last two names, so that a store elsewhere is no other experiment."""
    if isinstance(value, Mapping):
        below = [_flat(item, f"{key}.{name}" if key else str(name)) for name, item in value.items()]
    elif isinstance(value, list) and value and isinstance(value[0], Mapping | list):
        below = [_flat(item, f"{key}[{k}]") for k, item in enumerate(value)]
    else:
        leaf = value if isinstance(value, list) else [value]
        words = [
            "/".join(Path(item).parts[-2:]) if isinstance(item, str) and "/" in item else str(item)
            for item in leaf
        ]
        return {key: f"[{','.join(words)}]" if isinstance(value, list) else words[0]}
    return {name: leaf for part in below for name, leaf in part.items()}
