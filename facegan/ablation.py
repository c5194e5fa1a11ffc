"""An experiment with its ablations over seeds: what is done is not done again, and the table grows as runs end.

The runs lie in ``<runs>/<experiment>-ablation[-<key>]/<variant>-seed<k>``. Each is trained and evaluated here, one
after another, or by a job of its own (submitit: SLURM, or processes on this machine).
"""

import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from facegan.config import UserError, check
from facegan.evaluation import evaluate_run
from facegan.experiment import check_same, train
from facegan.experiment_config import ExperimentConfig, load_config
from facegan.published import ABLATION_CLAIMS
from facegan.runs import Run, experiments, family
from facegan.tables import headlines, markdown_table, number

TABLE = "ablation.md"
PYTHON = sys.executable


def variants(experiment: str) -> list[str]:
    """The experiment and its ablations: experiments whose names go on with an underscore, on the same pictures.

    Raises:
        UserError: no such experiment.
    """
    load_config(experiment)  # says so, and what there is
    own = _pictures(load_config(experiment))
    return [experiment] + [
        name
        for name in experiments()
        if name.startswith(f"{experiment}_") and _pictures(load_config(name)) == own
    ]


def _pictures(config: ExperimentConfig) -> tuple[Any, ...]:
    data = config.data
    return data.name, data.root, getattr(data, "roots", None), data.image_size


def ablate(
    experiment: str,
    seeds: int = 3,
    overrides: Sequence[str] = (),
    variant: str | None = None,
    seed: int | None = None,
) -> Path:
    """Train and evaluate the runs that are not done yet; the table of those that are.

    Args:
        experiment: whose ablations, see ``variants``.
        seeds: 0 … seeds - 1 of each.
        overrides: config keys, the same for all; other keys have folders of their own.
        variant, seed: do this one alone.

    Returns:
        The table, as it stands after the last run.

    Raises:
        UserError: no such experiment or variant, or what training and evaluation raise.
    """
    check("--seeds", seeds, at_least=1)
    known, home = variants(experiment), _home(experiment, overrides)
    if variant is not None and variant not in known:
        raise UserError(f"{variant} is no ablation of {experiment}, which has {', '.join(known)}")
    for name in known if variant is None else [variant]:
        for k in range(seeds) if seed is None else [seed]:
            run = Run(home / f"{name}-seed{k}")
            config = load_config(name, [*overrides, f"seed={k}"])
            check_same(run, config)
            if not _result(run).exists():
                print(f"{name}, seed {k}: {run.folder}", flush=True)
                train(config, resume=run if run.last.exists() else None, into=run)
                evaluate_run(run)
            write_table(home, known, seeds, overrides)
    return home / TABLE


def submit(
    experiment: str, seeds: int, overrides: Sequence[str], cluster: str, options: Sequence[str]
) -> list[Any]:
    """One job for each run that is not done, by submitit; its jobs, which may still wait.

    Args:
        cluster: "slurm", or "local" for processes on this machine.
        options: submitit's parameters, as in ``slurm_partition=gpu timeout_min=600``.

    Raises:
        UserError: submitit is not installed, or does not know an option.
    """
    try:
        import submitit
    except ImportError:
        raise UserError("--submit needs submitit: pip install 'facegan[cluster]'") from None
    check("--seeds", seeds, at_least=1)
    home = _home(experiment, overrides)
    executor = submitit.AutoExecutor(folder=home / "jobs", cluster=cluster)
    given = dict(option.partition("=")[::2] for option in options)
    try:
        executor.update_parameters(**{key: int(v) if v.isdigit() else v for key, v in given.items()})
    except (NameError, TypeError, ValueError) as error:
        raise UserError(f"--job: {error}") from None
    jobs = []
    for name in variants(experiment):
        for k in range(seeds):
            if not _result(Run(home / f"{name}-seed{k}")).exists():
                one = ["--variant", name, "--seed", str(k), "--seeds", str(seeds)]
                command = [PYTHON, "-m", "facegan.cli", "ablate", experiment, *one, *overrides]
                jobs.append(executor.submit(submitit.helpers.CommandFunction(command)))
    return jobs


def _home(experiment: str, overrides: Sequence[str]) -> Path:
    return family(f"{experiment}-ablation", overrides)


def _result(run: Run) -> Path:
    return run.evaluation / "evaluation.json"


def write_table(home: Path, names: Sequence[str], seeds: int, overrides: Sequence[str] = ()) -> Path:
    """Headline figures of each variant, mean ± standard deviation over the seeds that are done, as Markdown."""
    found: dict[str, dict[int, dict[str, float]]] = {name: {} for name in names}
    for name in names:
        for k in range(seeds):
            path = _result(Run(home / f"{name}-seed{k}"))
            if path.exists():
                found[name][k] = headlines(json.loads(path.read_text()))
    every = [one for results in found.values() for one in results.values()]
    columns = list(dict.fromkeys(key for one in every for key in one))
    rows = [
        [
            name,
            f"{len(results)} of {seeds}",
            *(_spread([one.get(c) for one in results.values()]) for c in columns),
        ]
        for name, results in found.items()
    ]
    command = " ".join(["facegan", "ablate", names[0], "--seeds", str(seeds), *overrides])
    text = [
        f"# {names[0]} and its ablations\n", markdown_table(["", "seeds", *columns], rows),
        "Mean over the seeds that are done ± their standard deviation; each run's own tables name data and judges.\n",
        *_claims(found, names[0]), f"* Command: `{command}`",
    ]  # fmt: skip
    path = home / TABLE
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(text) + "\n")
    return path


def _claims(found: Mapping[str, Mapping[int, Mapping[str, float]]], whole: str) -> list[str]:
    """Each of the paper's statements about these ablations beside what came of it, seed by seed."""
    rows = []
    for name, results in found.items():
        statement, figure, direction = ABLATION_CLAIMS.get(name.removeprefix(f"{whole}_"), ("", "", ""))
        both = [(found[whole][k], one) for k, one in results.items() if k in found[whole]]
        for key in sorted({key for pair in both for key in pair[1] if figure and key.startswith(figure)}):
            sign = 1 if direction == "higher" else -1
            gaps = np.array([b[key] - a[key] for a, b in both if key in a and key in b])
            if not len(gaps):
                continue
            as_said = int((sign * gaps > 0).sum())
            verdict = (
                "one seed says little" if len(gaps) == 1
                else "**in every seed**" if as_said == len(gaps)
                else "in the mean, not in every seed" if sign * gaps.mean() > 0
                else "**not reproduced**"
            )  # fmt: skip
            rows.append(
                [statement, f"{key} {direction}", _spread(gaps), f"{as_said} of {len(gaps)}", verdict]
            )
    if not rows:
        return []
    header = ["the paper", "measured by", "difference", "seeds as stated", ""]
    return [
        "## What the paper's ablation says\n", markdown_table(header, rows),
        "Difference: without the part less with it, seed by seed. By chance alone three seeds agree once in eight.\n",
    ]  # fmt: skip


def _spread(values: Iterable[float | None]) -> str:
    known = np.array([value for value in values if value is not None], float)
    if not len(known):
        return "–"
    return number(known.mean(), 3) + (f" ± {number(known.std(ddof=1), 3)}" if len(known) > 1 else "")
