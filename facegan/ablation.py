"""An experiment with its ablations over seeds: what is done is not done again, and the table grows as runs end.

The runs lie in ``<runs>/<experiment>-ablation[-<key>]/<variant>-seed<k>``. Each is trained and evaluated here, one
after another, or by a job of its own (submitit: SLURM, or processes on this machine).
"""

import json
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from facegan.config import UserError, check
from facegan.evaluation import evaluate_run
from facegan.experiment import check_same, train
from facegan.experiment_config import load_config, variants
from facegan.findings import FINDINGS, read_findings
from facegan.report.ablation import COMMAND, ablation_table
from facegan.report.collection import Evaluated
from facegan.runs import Run, family

TABLE = "ablation.md"
PYTHON = sys.executable


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
    _check_seeds(seeds, seed)
    home = _home(experiment, overrides)
    for name in _chosen(experiment, variant):
        for k in range(seeds) if seed is None else [seed]:
            run = Run(home / f"{name}-seed{k}")
            config = load_config(name, [*overrides, f"seed={k}"])
            check_same(run, config)
            if not _done(run):
                print(f"{name}, seed {k}: {run.folder}", flush=True)
                train(config, resume=run if run.last.exists() else None, into=run)
                evaluate_run(run)
            write_table(home, variants(experiment), seeds, overrides)
    return home / TABLE


def submit(
    experiment: str,
    seeds: int,
    overrides: Sequence[str],
    cluster: str,
    options: Sequence[str],
    variant: str | None = None,
    seed: int | None = None,
) -> list[Any]:
    """One job for each run that is not done, by submitit; its jobs, which may still wait.

    Args:
        variant, seed: as ``ablate`` has them.
        cluster: "slurm", or "local" for processes on this machine.
        options: submitit's parameters, as in ``slurm_partition=gpu timeout_min=600``.

    Raises:
        UserError: no such experiment or variant; submitit is not installed, does not know an option, or finds no
            such cluster.
    """
    try:
        import submitit
    except ImportError:
        raise UserError("--submit needs submitit: pip install 'facegan[cluster]'") from None
    _check_seeds(seeds, seed)
    home = _home(experiment, overrides)
    given = dict(option.partition("=")[::2] for option in options)
    unfinished = [option for option in options if not option.partition("=")[2]]
    if unfinished:
        raise UserError(f"--job {unfinished[0]}: write key=value, as in slurm_partition=gpu")
    try:
        executor = submitit.AutoExecutor(folder=home / "jobs", cluster=cluster)
        executor.update_parameters(**{key: int(v) if v.isdigit() else v for key, v in given.items()})
    except RuntimeError as error:  # no srun on this machine
        raise UserError(f"--submit {cluster}: {error}") from None
    except (NameError, TypeError, ValueError, AssertionError) as error:
        raise UserError(f"--job: {error or options}") from None
    jobs = []
    for name in _chosen(experiment, variant):
        for k in range(seeds) if seed is None else [seed]:
            if not _done(Run(home / f"{name}-seed{k}")):
                one = ["--variant", name, "--seed", str(k), "--seeds", str(seeds)]
                command = [PYTHON, "-m", "facegan.cli", "ablate", experiment, *one, *overrides]
                jobs.append(executor.submit(submitit.helpers.CommandFunction(command)))
    return jobs


def _check_seeds(seeds: int, seed: int | None) -> None:
    check("--seeds", seeds, at_least=1)
    if seed is not None:
        check("--seed", seed, at_least=0, at_most=seeds - 1)


def _chosen(experiment: str, variant: str | None) -> list[str]:
    known = variants(experiment)
    if variant is not None and variant not in known:
        raise UserError(f"{variant} is no ablation of {experiment}, which has {', '.join(known)}")
    return known if variant is None else [variant]


def _home(experiment: str, overrides: Sequence[str]) -> Path:
    return family(f"{experiment}-ablation", overrides)


def _done(run: Run) -> dict[str, Any] | None:
    """What the run's evaluation found; None: it is not evaluated, or not to the end."""
    with suppress(UserError):
        return read_findings(run.evaluation / FINDINGS)
    return None


def write_table(home: Path, names: Sequence[str], seeds: int, overrides: Sequence[str] = ()) -> Path:
    """Headline figures of each variant over the seeds that are done, and the paper's claims, as Markdown."""
    found: dict[str, dict[int, Evaluated]] = {name: {} for name in names}
    for name in names:
        for k in range(seeds):
            run = Run(home / f"{name}-seed{k}")
            if result := _done(run):
                found[name][k] = Evaluated(name, "", k, run.evaluation, result)
    command = " ".join(["facegan", "ablate", names[0], "--seeds", str(seeds), *overrides])
    path = home / TABLE
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(ablation_table(found, command, seeds))
    (home / COMMAND).write_text(json.dumps({"command": command}) + "\n")
    return path
