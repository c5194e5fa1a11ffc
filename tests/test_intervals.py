"""Intervals over people, beside SciPy's and beside the metrics whose figures they are of."""

import numpy as np
import pandas as pd
import pytest
import torch
from scipy import stats

from facegan.faces import AU_NAMES
from facegan.intervals import (
    correlation,
    headline_statistics,
    interval,
    interval_of_difference,
    kept,
    mean_of,
    percent,
    presence,
    product_of,
    squared_error,
    whole,
)
from facegan.metrics import Agreement, Presence
from facegan.protocols.common import au_columns


def judged(people=50, each=1, seed=0, noise=1.0):
    """Pairs whose AUs are read with an error that each person has an own part of."""
    rng = np.random.default_rng(seed)
    asked = rng.uniform(0, 3, (people * each, 17))
    asked[:, 5] = 0.3  # never asked for: no correlation, and never present
    own = np.repeat(rng.normal(0, noise, (people, 17)), each, 0)
    read = (asked + own + rng.normal(0, 0.3, asked.shape)).clip(0, 5)
    columns = au_columns(torch.from_numpy(asked), torch.from_numpy(read))
    table = {"person": np.repeat([f"p{k}" for k in range(people)], each)}
    return pd.DataFrame(table | {name: values.numpy() for name, values in columns.items()})


def test_a_figure_of_pairs_is_what_the_metric_says():
    pairs = judged(each=3)
    pairs.loc[4, "read_AU01"] = np.nan  # a face that could not be judged
    pairs.loc[4, [f"read_{name}" for name in AU_NAMES]] = np.nan
    asked, read = (
        torch.tensor(pairs[[kind + name for name in AU_NAMES]].to_numpy()) for kind in ("asked_", "read_")
    )
    agreement, present = Agreement(AU_NAMES), Presence(AU_NAMES)
    for metric in (agreement, present):
        metric.update(read, asked)
    means, shares = agreement.compute(), present.compute()
    assert whole([pairs], correlation()) == pytest.approx(float(means["pcc_mean"]))
    assert whole([pairs], squared_error()) == pytest.approx(float(means["mse_mean"]))
    assert whole([pairs], correlation(["AU12"])) == pytest.approx(float(means["pcc"][AU_NAMES.index("AU12")]))
    assert whole([pairs], presence("balanced")) == pytest.approx(float(shares["balanced_mean"]))
    assert whole([pairs], presence("f")) == pytest.approx(float(shares["f_mean"]))
    assert np.isnan(whole([pairs], correlation([AU_NAMES[5]]))), "constant: it has none (E17)"


def test_the_interval_of_a_correlation_is_scipys():
    pairs = judged()
    low, high = interval([pairs], correlation(["AU12"]), draws=20_000)
    reference = stats.bootstrap(
        (pairs["asked_AU12"], pairs["read_AU12"]), lambda x, y: stats.pearsonr(x, y)[0], paired=True,
        vectorized=False, n_resamples=4000, method="percentile", rng=np.random.default_rng(0),
    ).confidence_interval  # fmt: skip
    np.testing.assert_allclose([low, high], reference, atol=0.015)


def test_the_interval_of_a_mean_is_the_closed_form():
    values = np.random.default_rng(0).normal(2, 0.5, 60)
    low, high = interval([pd.DataFrame({"person": range(60), "au_mse": values})], mean_of("au_mse"))
    assert low < values.mean() < high
    assert (high - low) / 2 == pytest.approx(1.96 * values.std(ddof=1) / np.sqrt(60), rel=0.1)


def test_people_are_drawn_not_pairs():
    one = judged()
    many = pd.concat([one] * 20)  # says nothing new
    for statistic in (correlation(), squared_error(), presence("balanced")):
        np.testing.assert_allclose(interval([one], statistic), interval([many], statistic))


def test_over_seeds_it_is_the_mean_of_the_runs_that_is_drawn():
    first, second = judged(seed=0), judged(seed=1)
    mean = whole([first, second], correlation())
    assert mean == pytest.approx((whole([first], correlation()) + whole([second], correlation())) / 2)
    low, high = interval([first, second], correlation())
    assert low < mean < high
    np.testing.assert_allclose(interval([first, first], correlation()), interval([first], correlation()))


def test_a_difference_is_of_the_same_people():
    good, bad = judged(noise=0.2), judged(noise=1.0)  # the people err the same way, five times as far
    assert interval_of_difference([good], [good], correlation()) == (0, 0)
    low, high = interval_of_difference([bad], [good], correlation())
    gap = whole([bad], correlation()) - whole([good], correlation())
    assert low < gap < high < 0
    few = good[good["person"] != "p0"]  # one that only the other met
    assert np.isfinite(interval_of_difference([few], [good], correlation())).all()


def test_a_product_and_a_share():
    rng = np.random.default_rng(0)
    hits, kept = rng.integers(0, 2, (2, 80)).astype(float)
    kept[3] = np.nan
    pairs = pd.DataFrame(
        {"person": np.repeat(range(20), 4), "recognised": hits, "verified_dlib": kept, "cosine_dlib": 0.5}
    )
    product = product_of("recognised", "verified_dlib")
    assert whole([pairs], product) == pytest.approx(hits.mean() * np.nanmean(kept))
    assert whole([pairs], percent(mean_of("recognised"))) == pytest.approx(100 * hits.mean())
    low, high = interval([pairs], product)
    assert low < whole([pairs], product) < high
    assert set(headline_statistics(pairs.columns)) == {
        "expression recognised", "cosine by dlib", "product with dlib",
    }  # fmt: skip


def test_an_interval_wants_every_run_s_pairs_and_three_people():
    whole_of, statistic = judged(people=3), correlation(["AU12"])
    assert kept([whole_of], statistic) and kept([whole_of, whole_of], statistic)
    assert not kept([whole_of, whole_of.drop(columns="read_AU12")], statistic)
    assert not kept([whole_of, pd.DataFrame()], statistic)
    assert not kept([judged(people=2)], statistic)
