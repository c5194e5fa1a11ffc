"""Runs as tables for analysis: one row a run, or one row a pair of pictures; and how sure their figures are.

``facegan evaluate`` has written what they say: in run folders, or at Weights & Biases.
"""

from collections.abc import Iterable, Sequence
from pathlib import Path

import pandas as pd
from omegaconf import OmegaConf
from scipy.stats import ttest_rel

from facegan.config import UserError, runs_home
from facegan.findings import FINDINGS, headlines, read_findings
from facegan.intervals import Statistic, headline_statistics, interval, interval_of_difference, whole
from facegan.runs import Run, all_runs, find_run


def runs_of(place: str) -> list[Run]:
    """The evaluated runs of a folder, of an experiment, of its newest ablation, or of a W&B project.

    Args:
        place: a folder of runs; an experiment's name; with ``-ablation`` behind it, what ``facegan ablate`` made of it
            last; or ``wandb:entity/project``, whose evaluations are fetched.

    Raises:
        UserError: there is none.
    """
    if place.startswith("wandb:"):
        from facegan.report.remote import fetch

        return fetch(place.removeprefix("wandb:"))
    folders = [Path(place), runs_home() / place]
    if place.endswith("-ablation"):  # with overrides the folder's name goes on
        folders += sorted(runs_home().glob(f"{place}*"), key=lambda path: -path.stat().st_mtime)
    for folder in folders:
        runs = [Run(path.parent) for path in sorted(folder.glob("*/config.yaml"))]
        evaluated = [run for run in runs if (run.evaluation / FINDINGS).is_file()]
        if evaluated:
            return evaluated
    how = (
        f"facegan ablate {place.removesuffix('-ablation')}"
        if place.endswith("-ablation")
        else "facegan evaluate RUN"
    )
    raise UserError(f"no evaluated run of {place} in {runs_home()}; type: {how}")


def runs_table(runs: Iterable[Run | str] | None = None) -> pd.DataFrame:
    """Evaluated runs: ``experiment``, ``seed``, ``method``, ``data``, ``folder``, and the headline figures.

    Args:
        runs: which; None: all. Runs that are not evaluated are passed over.

    Raises:
        UserError: none is evaluated.
    """
    rows = []
    for run in all_runs() if runs is None else map(_run, runs):
        path = run.evaluation / FINDINGS
        if path.is_file():
            config = OmegaConf.load(run.config)
            about = {
                "experiment": config.name, "seed": config.seed, "method": config.method.name,
                "data": config.data.name, "folder": str(run.folder),
            }  # fmt: skip
            rows.append(about | headlines(read_findings(path)))
    if not rows:
        raise UserError("no run has been evaluated yet; type: facegan evaluate RUN (facegan runs lists them)")
    return pd.DataFrame(rows)


def pairs_table(run: Run | str) -> pd.DataFrame:
    """The pairs of a run's evaluation: ``person``, and what the judges say of each result.

    Raises:
        UserError: the run is not evaluated, or by a protocol that keeps no figures of pairs.
    """
    path = _run(run).evaluation / "pairs.csv"
    table = pd.read_csv(path) if path.is_file() else pd.DataFrame()
    if "person" not in table:
        raise UserError(f"{path}: no figures of single pairs; type: facegan evaluate {path.parent.parent}")
    return table


def over_people(table: pd.DataFrame) -> pd.DataFrame:
    """Each run's headline figures with their 95 % intervals over people.

    ``experiment``, ``seed``, ``measure``, ``mean``, ``low``, ``high``; only figures that are made of pairs have an
    interval (AUs, expressions, persons; not FID).

    Args:
        table: what ``runs_table`` gives.

    Raises:
        UserError: a run keeps no figures of pairs.
    """
    rows = []
    for run in table.itertuples():
        pairs = pairs_table(str(run.folder))
        for measure, statistic in _statistics(table, [pairs]).items():
            mean = whole([pairs], statistic)
            rows.append((run.experiment, run.seed, measure, mean, *interval([pairs], statistic)))
    return pd.DataFrame(rows, columns=["experiment", "seed", "measure", "mean", "low", "high"])


def differences_over_people(table: pd.DataFrame, experiment: str) -> pd.DataFrame:
    """What each ablation's figures, mean over seeds, differ from the experiment's, with a 95 % interval over people.

    Of the seeds that both have: ``without``, ``measure``, ``seeds``, ``difference``, ``low``, ``high``. An interval
    without 0 in it is a difference that other test people would show too; it says nothing about other seeds.

    Args:
        table: what ``runs_table`` gives.
        experiment: the one that the others are ablations of.

    Raises:
        UserError: a run keeps no figures of pairs.
    """
    folders = _newest(table).set_index(["experiment", "seed"])["folder"]
    rows = []
    for name in table["experiment"].unique():
        seeds = sorted(set(folders[name].index) & set(folders[experiment].index))
        if name == experiment or not seeds:
            continue
        ours, others = ([pairs_table(folders[one, seed]) for seed in seeds] for one in (name, experiment))
        for measure, statistic in _statistics(table, ours + others).items():
            gap = whole(ours, statistic) - whole(others, statistic)
            ends = interval_of_difference(ours, others, statistic)
            rows.append((name.removeprefix(f"{experiment}_"), measure, len(seeds), gap, *ends))
    return pd.DataFrame(rows, columns=["without", "measure", "seeds", "difference", "low", "high"])


def _statistics(table: pd.DataFrame, runs: Sequence[pd.DataFrame]) -> dict[str, Statistic]:
    """The table's figures that can be made of all the runs' pairs."""
    columns = set.intersection(*(set(map(str, pairs.columns)) for pairs in runs))
    return {name: one for name, one in headline_statistics(columns).items() if name in table}


def over_seeds(table: pd.DataFrame, experiment: str) -> pd.DataFrame:
    """Each ablation's figures less the experiment's, seed by seed: ``difference``, its ``std``, ``seeds``, and ``p``.

    ``p`` is the paired t-test's, over the seeds that both have: with two or three it finds large differences only, and
    of many figures some fall below 0.05 by chance.

    Args:
        table: what ``runs_table`` gives.
        experiment: the one that the others are ablations of.
    """
    measures = [name for name in table.columns if table[name].dtype.kind == "f"]
    by_seed = _newest(table).set_index(["experiment", "seed"])[measures]
    rows = []
    for name in table["experiment"].unique():
        for measure in measures if name != experiment else []:
            pairs = (
                pd.concat([by_seed.loc[name, measure], by_seed.loc[experiment, measure]], axis=1)
                .dropna()
                .to_numpy()
            )
            gaps = pairs[:, 0] - pairs[:, 1]
            row = {"without": name.removeprefix(f"{experiment}_"), "measure": measure, "seeds": len(gaps)}
            if len(gaps):
                row["difference"] = gaps.mean()
            if len(gaps) > 1:
                row |= {"std": gaps.std(ddof=1), "p": ttest_rel(*pairs.T).pvalue}
            rows.append(row)
    return pd.DataFrame(rows, columns=["without", "measure", "difference", "std", "seeds", "p"])


def _newest(table: pd.DataFrame) -> pd.DataFrame:
    """Of several runs of one experiment and seed the last."""
    return table.drop_duplicates(["experiment", "seed"], keep="last")


def _run(run: Run | str) -> Run:
    return run if isinstance(run, Run) else find_run(str(Path(run)))
