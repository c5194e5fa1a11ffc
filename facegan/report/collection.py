"""What has been evaluated: runs, ablations over seeds and cross-validations, grouped by experiment."""

import re
import shlex
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from facegan.config import UserError, runs_home
from facegan.experiment_config import load_config, plain
from facegan.findings import FINDINGS, PICTURES, RECOGNITION, WHOLE, read_findings
from facegan.methods import METHODS, TITLES
from facegan.runs import Run

_BESIDE = (
    "seed",
    "name",
    "judge",
    "trainer.",
    "log.",
    "evaluate_after",
    "sources",
    "targets",
    "data.seed",
    "test_data.seed",
    "data.splits",
    "data.prepare_workers",
)
"""Keys that make no other experiment ..."""
_HOW_LONG = ("trainer.max_epochs", "trainer.max_batches", "trainer.limit_train_batches")
"""... but for these."""
_TYPED = (
    "trainer.precision", "trainer.devices", "trainer.num_nodes", "trainer.strategy", "judge", "judge_options",
    "sources", "targets", "data.splits",
)  # fmt: skip
"""Of the others, those that a command needs to train and evaluate the same again."""
LONGEST = 60
"""Characters of changed keys that a row of a table can be called by."""


@dataclass(frozen=True)
class Evaluated:
    """One evaluation: ``seed`` of its run (or the fold of a cross-validation), ``folder`` of tables and figures.

    ``changes``: in what the run differs from its experiment; ``trained``: what to type for such a run; ``label``: what
    tables call it; ``keys``: what was typed in training besides the experiment and the seed.
    """

    experiment: str
    changes: str
    seed: int
    folder: Path
    result: Mapping[str, Any]
    trained: str = ""
    label: str = ""
    keys: Sequence[str] = ()

    @cached_property
    def pairs(self) -> pd.DataFrame:
        """What was measured of each pair or picture; empty where no such file was kept, or it was never finished."""
        name = PICTURES if self.result["protocol"] == "recognition" else "pairs.csv"
        try:
            return pd.read_csv(self.folder / name)
        except (OSError, ValueError):
            return pd.DataFrame()


def collect(runs: Iterable[Run]) -> tuple[list[Evaluated], list[str]]:
    """What the runs' folders hold, and what of it cannot be read.

    Of several evaluations of one experiment and seed, the newest run's; of a run that was evaluated only in other ways
    than its own (fewer targets, another judge), the newest of those.

    Args:
        runs: oldest first, as ``runs.all_runs`` gives them.
    """
    found: dict[tuple[str, int, str, str], Evaluated] = {}
    broken: list[str] = []
    for run in runs:
        for name, read in ((FINDINGS, _evaluated), (RECOGNITION, _recognised)):
            try:
                one = read(run)
            except UserError as error:
                broken.append(str(error))
                continue
            if one is not None:
                family = str(one.folder.parent.parent) if name == RECOGNITION else ""
                key = (f"{one.experiment} {one.changes}", one.seed, name, family)
                found.pop(key, None)  # the newest stands last
                found[key] = one
    return _labelled(_of_one_family(list(found.values()))), broken


def _evaluated(run: Run) -> Evaluated | None:
    own = run.evaluation / FINDINGS
    others = sorted(run.folder.glob(f"evaluation-*/{FINDINGS}"), key=lambda path: path.stat().st_mtime)
    path = own if own.is_file() else others[-1] if others else None
    if path is None:
        return None
    config = _config(run)
    found = read_findings(path)
    return Evaluated(
        config.name, changes(config), config.seed, path.parent, found, training(config), keys=typed(config)
    )


def _recognised(run: Run) -> Evaluated | None:
    path = run.evaluation / RECOGNITION
    if not path.is_file():
        return None
    config, home = _config(run), run.folder.parent
    # each fold has splits of its own
    keys = [key for key in typed(config) if not key.startswith("data.splits=")]
    folds = re.search(r"-(\d+)folds", home.name)
    count = ["--folds", folds[1]] if folds else []
    command = shlex.join(["facegan", "crossval", config.name, *count, *keys])
    if (home / WHOLE).is_file():
        command = read_findings(home / WHOLE, ("command",))["command"]
    title = TITLES.get(config.method.name, config.method.name)
    result = dict(read_findings(path, ("ours", "baseline", "data")))
    if config.method.epochs == 0:  # what was measured is the baseline itself
        title = "CNN baseline"
        del result["baseline"]
    result |= {
        "protocol": "recognition", "method": f"{title} ({config.name})", "command": command, "judges": {},
    }  # fmt: skip
    fold = int(run.folder.name.rpartition("-")[2])
    return Evaluated(config.name, changes(config), fold, path.parent, result, command, keys=keys)


def _of_one_family(evaluations: list[Evaluated]) -> list[Evaluated]:
    """Without the folds of all but one cross-validation of each label: the newest that is whole, or else the newest."""

    def home(one: Evaluated) -> Path | None:
        return one.folder.parent.parent if one.result["protocol"] == "recognition" else None

    chosen: dict[str, Path] = {}
    for one in evaluations:
        name, folder = f"{one.experiment} {one.changes}", home(one)
        if folder and ((folder / WHOLE).is_file() or not (chosen.get(name, folder) / WHOLE).is_file()):
            chosen[name] = folder
    return [one for one in evaluations if home(one) in (None, chosen.get(f"{one.experiment} {one.changes}"))]


def _config(run: Run) -> Any:
    try:
        config = OmegaConf.load(run.config)
        if all(OmegaConf.select(config, key) is not None for key in ("name", "seed", "method.name")):
            return config
    except (OSError, YAMLError, OmegaConfBaseException):
        pass
    raise UserError(f"{run.config} is no run's config; its evaluation is passed over")


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


def by_judges(one: Evaluated) -> list[Evaluated]:
    """An evaluation, and what other judges said of the same pairs of its run."""
    found = [one]
    for path in sorted(one.folder.parent.glob(f"evaluation*/{FINDINGS}")):
        with suppress(UserError):  # what is broken ``collect`` names
            result = read_findings(path)
            if path.parent != one.folder and all(
                result.get(key) == one.result.get(key) for key in ("protocol", "data", "pairs", "sources")
            ):
                found.append(replace(one, folder=path.parent, result=result))
    return found


def training(config: Any) -> str:
    """The command of a run's training."""
    seed = [f"seed={config.seed}"] if config.seed else []
    return shlex.join(["facegan", "train", config.name, *seed, *typed(config)])


def typed(config: Any) -> list[str]:
    """Every key that a run of the shipped experiment would not have, as it is typed; the seed apart."""
    return [f"{key}={value}" for key, value in _changed(config, _TYPED, _as_typed).items()]


def changes(config: Any) -> str:
    """The keys in which a run differs from its experiment as it is shipped, paths shortened."""
    return " ".join(f"{key}={value}" for key, value in _changed(config, (), _place).items())


def _changed(config: Any, but: Sequence[str], place: Callable[[str], str]) -> dict[str, str]:
    """Changed keys and their values.

    Args:
        but: keys that count although they make no other experiment.
        place: how a path is written.
    """
    try:
        shipped = _flat(plain(load_config(config.name)), _place) if config.method.name in METHODS else {}
    except UserError:  # a YAML of somebody's own
        return {}
    start = str(config.get("init_from") or "")
    if shipped.get("init_from") in Path(start).parts:  # a run notes the checkpoint that the name stood for
        config = OmegaConf.merge(config, {"init_from": shipped["init_from"]})
    values = OmegaConf.to_container(config)
    own, written = _flat(values, _place), _flat(values, place)
    counted = [key for key in own if key in (*_HOW_LONG, *but) or not key.startswith(_BESIDE)]
    return {key: written[key] for key in counted if own[key] != shipped.get(key, own[key])}


def _flat(value: Any, place: Callable[[str], str], key: str = "") -> dict[str, str]:
    """Leaves by dotted key; paths as ``place`` gives them."""
    if isinstance(value, Mapping):
        below = [_flat(item, place, f"{key}.{name}" if key else str(name)) for name, item in value.items()]
    elif isinstance(value, list) and value and isinstance(value[0], Mapping | list):
        below = [_flat(item, place, f"{key}.{k}") for k, item in enumerate(value)]
    else:
        leaf = value if isinstance(value, list) else [value]
        words = ["null" if item is None else str(item) for item in leaf]
        words = [place(word) if "/" in word else word for word in words]
        return {key: f"[{','.join(words)}]" if isinstance(value, list) else words[0]}
    return {name: leaf for part in below for name, leaf in part.items()}


def _as_typed(path: str) -> str:
    """A path as a command takes it: a run's last checkpoint by the run's name."""
    if path.endswith("/checkpoints/last.ckpt") and Path(path).is_relative_to(runs_home()):
        return str(Path(path).relative_to(runs_home()).parent.parent)
    return path


def _place(path: str) -> str:
    """A path from the runs' home on; of others the last two names, so that a store elsewhere is no other experiment."""
    if Path(path).is_relative_to(runs_home()):
        return f"RUNS/{Path(path).relative_to(runs_home())}"
    return "/".join(Path(path).parts[-2:])
