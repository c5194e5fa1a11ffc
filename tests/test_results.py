"""Runs as tables, and intervals over people."""

import json

import numpy as np
import pandas as pd
import pytest

from facegan.config import UserError
from facegan.results import bootstrap, paired_difference, pairs_table, runs_table
from facegan.runs import Run


def measured(people=60, each=1, shift=0.0, seed=0):
    rng = np.random.default_rng(seed)
    values = np.repeat(rng.normal(2, 0.5, people), each) + shift
    names = np.repeat([f"p{k}" for k in range(people)], each)
    pair = [f"{k}.jpg" for k in range(people * each)]
    return pd.DataFrame({"source": pair, "target": pair, "person": names, "au_mse": values})


def test_the_interval_is_that_of_a_mean_over_people():
    table = measured()
    mean, low, high = bootstrap(table, "au_mse")
    error = table.au_mse.std() / np.sqrt(len(table))
    assert mean == pytest.approx(table.au_mse.mean()) and low < mean < high
    assert (high - low) / 2 == pytest.approx(1.96 * error, rel=0.1)


def test_more_pictures_of_the_same_people_do_not_narrow_it():
    one, many = bootstrap(measured(), "au_mse"), bootstrap(measured(each=20), "au_mse")
    np.testing.assert_allclose(one, many)


def test_a_difference_is_taken_pair_by_pair():
    ours, other = measured(shift=-0.01), measured()
    mean, low, high = paired_difference(ours, other, "au_mse")
    np.testing.assert_allclose([mean, low, high], -0.01)
    shuffled = other.sample(frac=1, random_state=0)
    assert paired_difference(ours, shuffled, "au_mse")[0] == pytest.approx(-0.01)
    with pytest.raises(UserError, match="no pair in common"):
        paired_difference(ours, other.assign(source="else"), "au_mse")


def evaluated(home, name, seed, pcc, pairs=True):
    run = Run(home / "runs" / name / f"2026-01-0{seed + 1}")
    run.write_config({"name": name, "seed": seed, "method": {"name": "eggan"}, "data": {"name": "rafd"}})
    run.evaluation.mkdir()
    summary = {"au_mse": 0.5, "au_pcc": pcc, "geometry_pcc": 0.3, "verification_over_real": {"dlib": 0.8}}
    result = {"protocol": "eggan", "method": "EGGAN", "summary": summary}
    (run.evaluation / "evaluation.json").write_text(json.dumps(result))
    table = measured() if pairs else measured()[["source"]]
    table.to_csv(run.evaluation / "pairs.csv", index=False)
    return run


def test_a_row_a_run_and_a_row_a_pair(homes):
    with pytest.raises(UserError, match="facegan evaluate"):
        runs_table()
    runs = [evaluated(homes, "eggan_rafd", seed, 0.5 + 0.1 * seed) for seed in range(2)]
    bare = Run(homes / "runs" / "eggan_rafd" / "2026-01-09")
    bare.write_config({"name": "eggan_rafd"})
    table = runs_table()
    assert list(table["seed"]) == [0, 1] and list(table["AU PCC"]) == [0.5, 0.6]
    assert set(table["experiment"]) == {"eggan_rafd"}
    assert len(runs_table(runs[:1])) == 1
    assert len(pairs_table(runs[0])) == 60
    with pytest.raises(UserError, match="no figures of single pairs"):
        pairs_table(evaluated(homes, "eggan_old", 0, 0.1, pairs=False))
