"""Runs as tables, and intervals over people."""

import json

import numpy as np
import pandas as pd
import pytest

from facegan.config import UserError
from facegan.results import bootstrap, over_seeds, paired_difference, pairs_table, runs_of, runs_table
from facegan.runs import Run
from tests.test_ablation import found


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
    result = found(summary)
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


def test_differences_over_seeds_are_paired(homes):
    for seed, (whole, without) in enumerate(((0.8, 0.5), (0.7, 0.5), (0.9, 0.5))):
        evaluated(homes, "eggan_demo", seed, whole)
        evaluated(homes, "eggan_demo_no_msssim", seed, without)
    evaluated(homes, "eggan_demo_no_msssim", 3, 0.1)  # the whole has no such seed
    rows = over_seeds(runs_table(), "eggan_demo").set_index("measure")
    assert set(rows["without"]) == {"no_msssim"}
    pcc = rows.loc["AU PCC"]
    # gaps -0.3, -0.2, -0.4: t = -0.3 / (0.1 / sqrt 3), two degrees of freedom: p = 1 - |t| / sqrt(t^2 + 2)
    t = 0.3 / (0.1 / np.sqrt(3))
    assert pcc["difference"] == pytest.approx(-0.3) and pcc["std"] == pytest.approx(0.1) and pcc["seeds"] == 3
    assert pcc["p"] == pytest.approx(1 - t / np.sqrt(t**2 + 2))


def test_runs_of_a_folder_of_the_newest_ablation_and_of_wandb(homes, monkeypatch):
    run = evaluated(homes, "eggan_demo-ablation-1a2b3c", 0, 0.5)
    Run(run.folder.parent / "unfinished").write_config({"name": "x"})
    for place in ("eggan_demo-ablation", "eggan_demo-ablation-1a2b3c", str(run.folder.parent)):
        assert runs_of(place) == [run]
    asked = []
    monkeypatch.setattr("facegan.report.remote.fetch", lambda project: asked.append(project) or [run])
    assert runs_of("wandb:team/project") == [run] and asked == ["team/project"]
    with pytest.raises(UserError, match="type: facegan ablate eggan_rafd"):
        runs_of("eggan_rafd-ablation")
