"""Runs as tables, and how sure their figures are: over seeds, over people."""

import json

import numpy as np
import pandas as pd
import pytest
import torch

from facegan.config import UserError
from facegan.protocols.common import au_columns
from facegan.results import (
    differences_over_people,
    over_people,
    over_seeds,
    pairs_table,
    runs_of,
    runs_table,
)
from facegan.runs import Run
from tests.test_ablation import found


def measured(people=60, noise=0.3, seed=0):
    rng = np.random.default_rng(seed)
    asked = rng.uniform(0, 3, (people, 17))
    read = asked + noise * np.random.default_rng(7).normal(size=asked.shape)
    columns = au_columns(torch.from_numpy(asked), torch.from_numpy(read))
    pair = {"source": [f"{k}.jpg" for k in range(people)], "person": [f"p{k}" for k in range(people)]}
    return pd.DataFrame(pair | {name: values.numpy() for name, values in columns.items()})


def evaluated(home, name, seed, pcc, pairs=True, noise=0.3):
    run = Run(home / "runs" / name / f"2026-01-0{seed + 1}")
    run.write_config({"name": name, "seed": seed, "method": {"name": "eggan"}, "data": {"name": "rafd"}})
    run.evaluation.mkdir()
    summary = {"au_mse": 0.5, "au_pcc": pcc, "geometry_pcc": 0.3, "verification_over_real": {"dlib": 0.8}}
    result = found(summary)
    (run.evaluation / "evaluation.json").write_text(json.dumps(result))
    table = measured(noise=noise) if pairs else measured()[["source"]]
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


def test_figures_and_differences_have_intervals_over_people(homes):
    for seed in range(2):
        evaluated(homes, "eggan_demo", seed, 0.9, noise=0.3)
        evaluated(homes, "eggan_demo_no_msssim", seed, 0.8, noise=1.0)
    evaluated(homes, "eggan_demo_no_msssim", 2, 0.8, noise=9.0)  # the whole has no such seed
    rows = over_people(runs_table())
    assert len(rows) == 10 and set(rows["measure"]) == {"AU MSE", "AU PCC"}
    assert ((rows["low"] < rows["mean"]) & (rows["mean"] < rows["high"])).all()
    good = rows[(rows["experiment"] == "eggan_demo") & (rows["measure"] == "AU MSE")]
    assert good["mean"].tolist() == pytest.approx([0.09, 0.09], rel=0.2)
    again = pd.concat([runs_table(), runs_table().iloc[-1:]])  # a seed that was trained twice: its newest run
    assert len(over_seeds(again, "eggan_demo")) == len(over_seeds(runs_table(), "eggan_demo"))
    gaps = differences_over_people(again, "eggan_demo").set_index("measure")
    assert set(gaps["without"]) == {"no_msssim"} and gaps["seeds"].tolist() == [2, 2]
    assert gaps.loc["AU MSE", "difference"] == pytest.approx(0.91, rel=0.2)
    assert gaps.loc["AU MSE", "low"] > 0 > gaps.loc["AU PCC", "high"]


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
