"""What an evaluation's figure would be if other people had been tested: 95 % intervals by drawing people anew.

Pictures of one person are alike: drawing them as if they were not would make the intervals too narrow. A figure is made
of sums over pairs (``Statistic``), so that drawing people is adding up their sums: a thousand draws are one product.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd

from facegan.faces import AU_NAMES, EXPRESSIONS, POSE

ASKED, READ = "asked_", "read_"
"""Columns of ``pairs.csv``: an AU's intensity as asked for, and as the judge reads it off the result."""
CONSTANT = 1e-12
"""Variance of an AU below which it has no correlation."""


class Statistic(NamedTuple):
    """A figure of an evaluation.

    Attributes:
        columns: of ``pairs.csv``, which it needs.
        sums: what they give of each pair (P, …), to be added up.
        value: the figure of such sums (…, K, …) -> (…).
    """

    columns: tuple[str, ...]
    sums: Callable[[pd.DataFrame], np.ndarray]
    value: Callable[[np.ndarray], np.ndarray]


def mean_of(column: str) -> Statistic:
    """The mean over the pairs in which the column was measured."""
    return Statistic((column,), lambda pairs: _counted(pairs, column), _mean)


def percent(share: Statistic) -> Statistic:
    """A share 0..1 in %."""
    return share._replace(value=lambda sums: 100 * share.value(sums))


def mean_of_classes(column: str, label: str = "expression") -> Statistic:
    """The mean over classes, whose codes stand in ``label``, of the column's mean over each one's pictures."""

    def sums(pairs: pd.DataFrame) -> np.ndarray:
        of_class = pairs[label].to_numpy(float)[:, None] == np.arange(len(EXPRESSIONS))
        return np.stack([of_class * pairs[[column]].to_numpy(float), of_class], -1)

    return Statistic((column, label), sums, lambda sums: _nanmean(_mean(sums)))


def product_of(first: str, second: str) -> Statistic:
    """The product of two columns' means."""
    return Statistic(
        (first, second),
        lambda pairs: np.concatenate([_counted(pairs, first), _counted(pairs, second)], 1),
        lambda sums: _mean(sums[..., :2]) * _mean(sums[..., 2:]),
    )


def correlation(names: Sequence[str] = AU_NAMES) -> Statistic:
    """Pearson's, of what was asked and read of AUs; the mean over those that have one (E17)."""

    def value(sums: np.ndarray) -> np.ndarray:
        n, x, y, xx, yy, xy = np.moveaxis(sums, -2, 0)
        with np.errstate(divide="ignore", invalid="ignore"):
            var_x, var_y, both = xx / n - (x / n) ** 2, yy / n - (y / n) ** 2, xy / n - x * y / n**2
            constant = (var_x <= CONSTANT) | (var_y <= CONSTANT)
            return _nanmean(np.where(constant, np.nan, both / np.sqrt(var_x * var_y)))

    def sums(pairs: pd.DataFrame) -> np.ndarray:
        x, y, judged = _aus(pairs, names)
        return np.stack([judged, x, y, x * x, y * y, x * y], 1)

    return Statistic(_both(names), sums, value)


def squared_error(names: Sequence[str] = AU_NAMES) -> Statistic:
    """Mean squared error of AUs, the mean over them."""

    def sums(pairs: pd.DataFrame) -> np.ndarray:
        x, y, judged = _aus(pairs, names)
        return np.stack([(x - y) ** 2, judged], 1)

    return Statistic(_both(names), sums, lambda sums: _nanmean(_mean(np.moveaxis(sums, -2, -1))))


def presence(measure: str, names: Sequence[str] = AU_NAMES, threshold: float = 1.0) -> Statistic:
    """``metrics.Presence``'s "balanced" accuracy (0..1) or "f" score, the mean over the AUs that have one."""

    def sums(pairs: pd.DataFrame) -> np.ndarray:
        x, y, judged = _aus(pairs, names)
        there, seen = x >= threshold, y >= threshold
        cells = (seen & there, seen & ~there, ~seen & ~there, ~seen & there)
        return np.stack([judged * cell for cell in cells], 1)

    def value(sums: np.ndarray) -> np.ndarray:
        hits, alarms, rests, misses = np.moveaxis(sums, -2, 0)
        with np.errstate(divide="ignore", invalid="ignore"):
            balanced = 0.5 * (hits / (hits + misses) + rests / (rests + alarms))
            f = np.where(np.isfinite(balanced), 2 * hits / (2 * hits + alarms + misses), np.nan)
        return _nanmean(balanced if measure == "balanced" else f)

    return Statistic(_both(names), sums, value)


FEWEST = 3
"""People, of fewer of whom an interval says nothing."""


def kept(runs: Sequence[pd.DataFrame], statistic: Statistic) -> bool:
    """Whether every run's pairs have what the statistic needs, and together they are of people enough."""
    needed = {"person", *statistic.columns}
    return all(needed <= set(pairs) for pairs in runs) and len(_people(runs)) >= FEWEST


def interval(
    runs: Sequence[pd.DataFrame], figure: Statistic, draws: int = 2000, seed: int = 0
) -> tuple[float, float]:
    """The 95 % interval of the figure's mean over runs when people are drawn anew, the same for all runs.

    Args:
        runs: the pairs of each, with ``person`` and the figure's columns.
    """
    return _quantiles(_drawn(runs, _people(runs), figure, draws, seed))


def interval_of_difference(
    ours: Sequence[pd.DataFrame],
    others: Sequence[pd.DataFrame],
    figure: Statistic,
    draws: int = 2000,
    seed: int = 0,
) -> tuple[float, float]:
    """The 95 % interval of the figure's mean over our runs less that over others, of the same people."""
    people = _people([*ours, *others])
    first, second = (_drawn(runs, people, figure, draws, seed) for runs in (ours, others))
    return _quantiles(first - second)


def whole(runs: Sequence[pd.DataFrame], figure: Statistic) -> float:
    """The figure itself: the mean over runs of what all their pairs give."""
    return float(np.mean([figure.value(figure.sums(pairs).sum(0)) for pairs in runs]))


def headline_statistics(columns: Collection[str]) -> Mapping[str, Statistic]:
    """Of ``findings.headlines``, by name, those that pairs with such columns give."""
    known = {
        "AU MSE": squared_error(), "AU PCC": correlation(), "AU presence": presence("balanced"),
        "expression recognised": mean_of("recognised"), "Face-Verf": mean_of("likeness_face_verified"),
        "Exp-Sim": mean_of("likeness_expression"), "Exp-Sim by the judge": mean_of("likeness_expression_judge"),
    }  # fmt: skip
    known |= {f"{angle}, degrees": mean_of(f"{angle}_error") for angle in POSE}
    for judge in (name.removeprefix("cosine_") for name in columns if name.startswith("cosine_")):
        known[f"cosine by {judge}"] = mean_of(f"cosine_{judge}")
        known[f"product with {judge}"] = product_of("recognised", f"verified_{judge}")
    return {name: figure for name, figure in known.items() if set(figure.columns) <= set(columns)}


def _both(names: Sequence[str]) -> tuple[str, ...]:
    return tuple(kind + name for kind in (ASKED, READ) for name in names)


def _aus(pairs: pd.DataFrame, names: Sequence[str]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """What was asked and read (P, AUs), 0 where not both are known, and whether they are (P, AUs)."""
    x, y = (pairs[[kind + name for name in names]].to_numpy(float) for kind in (ASKED, READ))
    judged = np.isfinite(x) & np.isfinite(y)
    return np.where(judged, x, 0), np.where(judged, y, 0), judged.astype(float)


def _counted(pairs: pd.DataFrame, column: str) -> np.ndarray:
    """Values and ones (P, 2); zeros where nothing was measured."""
    values = pairs[column].to_numpy(float)
    known = np.isfinite(values)
    return np.stack([np.where(known, values, 0), known], 1)


def _mean(sums: np.ndarray) -> np.ndarray:
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(sums[..., 0] / sums[..., 1])


def _nanmean(values: np.ndarray) -> np.ndarray:
    """Mean over the last axis of what is known; NaN of nothing, without a warning."""
    known = np.isfinite(values)
    return _mean(np.stack([np.where(known, values, 0).sum(-1), known.sum(-1)], -1))


def _people(runs: Sequence[pd.DataFrame]) -> pd.Index:
    return pd.Index(pd.unique(pd.concat([pairs["person"] for pairs in runs])))


def _drawn(
    runs: Sequence[pd.DataFrame], people: pd.Index, figure: Statistic, draws: int, seed: int
) -> np.ndarray:
    """The figure's mean over runs of each draw (draws,)."""
    rng = np.random.default_rng(seed)
    times = rng.multinomial(len(people), np.full(len(people), 1 / len(people)), draws).astype(float)
    values = []
    for pairs in runs:
        of_pairs = figure.sums(pairs).astype(float)
        of_people = np.zeros((len(people), *of_pairs.shape[1:]))
        np.add.at(of_people, people.get_indexer(pd.Index(pairs["person"])), of_pairs)
        values.append(figure.value(np.tensordot(times, of_people, 1)))
    return np.mean(values, 0)


def _quantiles(values: np.ndarray) -> tuple[float, float]:
    known = values[np.isfinite(values)]
    low, high = np.quantile(known, [0.025, 0.975]) if len(known) else (np.nan, np.nan)
    return float(low), float(high)
