"""Runs of different methods side by side on the same people: ``facegan compare RUN RUN …``."""

import hashlib
import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from omegaconf import OmegaConf
from torch import Tensor

from datamodules.all import DATAMODULES
from facegan.config import UserError, runs_home
from facegan.editing import load_module
from facegan.experiment import build_data, judge_weights
from facegan.experiment_config import load_config
from facegan.judges import ExpressionJudge, Judges
from facegan.methods import METHODS, TITLES
from facegan.protocols import shared_task
from facegan.protocols.common import Protocol
from facegan.report.comparison import comparison_table, pareto_figure
from facegan.report.document import COMPARISONS
from facegan.runs import WEIGHTS, Run, find_run

ABILITIES = ("transfer", "edit", "reenact")


def compare(
    names: Sequence[str], on: str | None = None, overrides: Sequence[str] = (), targets: int = 600
) -> dict[str, Path]:
    """Set one task to several runs; see ``protocols.shared_task``.

    Args:
        names: run folders, or experiments' names for their newest runs.
        on: the experiment or run whose test people it is set on; None: the first run's.
        overrides: config keys of that data.
        targets: pairs.

    Returns:
        What was written, by name.

    Raises:
        UserError: no such run, one of a judge, or data without AUs or expressions.
    """
    runs = [find_run(name) for name in names]
    config = load_config(str(runs[0].config) if on is None else on, overrides)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    build_data(config)  # generates what is to be generated
    entrants = [_entrant(run, config, device) for run in runs]
    doubled = {one.name for one in entrants if [other.name for other in entrants].count(one.name) > 1}
    entrants = [
        replace(one, name=f"{one.name}, {run.folder.name}") if one.name in doubled else one
        for one, run in zip(entrants, runs, strict=True)
    ]
    command = shlex.join(
        ["facegan", "compare", *names, *(["--on", on] if on else []), *overrides, "--targets", str(targets)]
    )
    home = runs_home() / COMPARISONS / hashlib.sha256(command.encode()).hexdigest()[:8]
    configs = [config, *(load_config(str(run.config)) for run in runs)]
    result = shared_task.evaluate(
        entrants, ExpressionJudge(_judge(configs, "expression"), device),
        Judges(device, au_path=_judge(configs, "au")), home, command=command,
        protocol=Protocol(targets=targets, progress=config.trainer.progress),
    )  # fmt: skip
    (home / "comparison.md").write_text("# All methods, one task\n\n" + comparison_table(result))
    pareto_figure(result, home / "pareto.png")
    written = {name: home / f"{name}.png" for name in ("grid", "pareto")} | {"table": home / "comparison.md"}
    return {name: path for name, path in written.items() if path.exists()}


def _judge(configs: Sequence[Any], of: str) -> Path | None:
    """The judge of AUs or of expressions that one of these experiments names as its own; None: the usual one."""
    named = [
        load_config(config.judge, config.judge_options).method.name for config in configs if config.judge
    ]
    weights = [judge_weights(config) for config in configs if config.judge]
    return next((path for name, path in zip(named, weights, strict=True) if name == f"judge_{of}"), None)


def _entrant(run: Run, config: Any, device: torch.device) -> shared_task.Entrant:
    """A run with the shared data in the size and crop that it was trained with."""
    own = OmegaConf.load(run.config)
    ability = next((able for able in ABILITIES if hasattr(METHODS[own.method.name][1], able)), None)
    if ability is None:
        raise UserError(f"{run.folder} is a run of {own.method.name}, which makes no pictures")
    module = load_module(run, can=ability).to(device).eval().requires_grad_(False)
    # a packed run's config has the name of its experiment
    name = run.folder.absolute().name if run.last.name == WEIGHTS else own.name
    same = {key: own.data[key] for key in ("image_size", "crop", "align")}
    data = DATAMODULES[config.data.name][1](replace(config.data, needs_au=True, pairing="single", **same))
    data.prepare_data()
    data.setup()
    synthesise = _answer(ability, module, device)
    some = data.test.batch([0])
    return shared_task.Entrant(
        f"{TITLES.get(own.method.name, own.method.name)} ({name})", synthesise, data,
        f"{_trained_on(own.data)}; seed {own.seed}",
        shared_task.parameters_used(lambda: synthesise(some, some), module),
    )  # fmt: skip


def _trained_on(data: Any) -> str:
    """A data set by its name and the last two folders of each of its roots."""
    roots = [data.get("root"), *data.get("roots", [])]
    named = ", ".join("/".join(Path(root).absolute().parts[-2:]) for root in roots if root)
    return f"{data.name}: {named}" if named else data.name


def _answer(
    ability: str, module: Any, device: torch.device
) -> Callable[[Mapping[str, Tensor], Mapping[str, Tensor]], Tensor]:
    """How a module is asked for the source's expression on the target's face."""

    def transfer(source: Mapping[str, Tensor], target: Mapping[str, Tensor]) -> Tensor:
        return module.transfer(source["image"].to(device), target["image"].to(device))

    def edit(source: Mapping[str, Tensor], target: Mapping[str, Tensor]) -> Tensor:
        return module.edit(target["image"].to(device), source["au"].to(device))

    def reenact(source: Mapping[str, Tensor], target: Mapping[str, Tensor]) -> Tensor:
        return module.reenact(target["image"].to(device), target["pose"].to(device), source["au"].to(device))

    return {"transfer": transfer, "edit": edit, "reenact": reenact}[ability]
