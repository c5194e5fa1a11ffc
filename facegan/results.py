"""Runs as tables for analysis: one row a run, or one row a pair of pictures.

Everything comes from run folders; ``facegan evaluate`` has written it there.
"""

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pandas as pd
from omegaconf import OmegaConf

from facegan.config import UserError
from facegan.findings import FINDINGS, headlines, read_findings
from facegan.runs import Run, all_runs, find_run


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


def bootstrap(
    table: pd.DataFrame, column: str, draws: int = 2000, seed: int = 0
) -> tuple[float, float, float]:
    """Mean of a column, and the 95 % interval of it when people, not pictures, are drawn anew.

    Pictures of one person are alike: drawing them as if they were not would make the interval too narrow.
    """
    people = [group.to_numpy(float) for _, group in table.dropna(subset=[column]).groupby("person")[column]]
    sums, counts = np.array([g.sum() for g in people]), np.array([len(g) for g in people])
    rng = np.random.default_rng(seed)
    drawn = rng.integers(0, len(people), (draws, len(people)))
    means = sums[drawn].sum(1) / counts[drawn].sum(1)
    low, high = np.quantile(means, [0.025, 0.975])
    return float(sums.sum() / counts.sum()), float(low), float(high)


def paired_difference(
    ours: pd.DataFrame, other: pd.DataFrame, column: str, draws: int = 2000, seed: int = 0
) -> tuple[float, float, float]:
    """Difference (ours - other) of a column's mean over the pairs that both have, and its 95 % interval over people.

    Raises:
        UserError: the two were not evaluated on the same pairs.
    """
    keys = ["source", "target"]
    both = ours.merge(other, on=keys, suffixes=("", "_other"))
    if both.empty:
        raise UserError(
            "the runs have no pair in common: evaluate both on the same data, with the same targets"
        )
    both[column] = both[column] - both[f"{column}_other"]
    return bootstrap(both, column, draws, seed)


def _run(run: Run | str) -> Run:
    return run if isinstance(run, Run) else find_run(str(Path(run)))
