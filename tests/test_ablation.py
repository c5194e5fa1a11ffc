"""Ablations: which runs there are, that none is done twice, and their table; jobs through submitit's local executor."""

import json
import re

import numpy as np
import pandas as pd
import pytest
from omegaconf import OmegaConf

from facegan import ablation
from facegan.ablation import ablate, submit, variants
from facegan.cli import main
from facegan.config import UserError
from facegan.findings import headlines
from facegan.runs import Run


def test_ablations_are_those_of_the_same_pictures():
    assert set(variants("eggan_rafd")) == {
        "eggan_rafd", "eggan_rafd_eq2", "eggan_rafd_no_identity", "eggan_rafd_no_msssim", "eggan_rafd_no_perceptual",
        "eggan_rafd_released",
    }  # fmt: skip
    assert variants("eggan_rafd")[0] == "eggan_rafd"
    assert variants("eggan_generated") == ["eggan_generated"], "at another size it is no ablation"
    assert len(variants("eggan_demo")) == 4 and len(variants("tergan_oulu")) == 5
    with pytest.raises(UserError, match="--seed"):
        ablate("eggan_demo", 3, seed=3)  # it would never stand in the table
    with pytest.raises(UserError, match="did you mean eggan_rafd"):
        variants("eggan_raf")


def found(summary, real=0.96):
    """An evaluation by EGGAN's protocol."""
    return {
        "protocol": "eggan", "method": "EGGAN", "data": "toy", "summary": summary, "command": "facegan evaluate x",
        "judges": {"au": "judge of AUs; PCC 0.90", "identity": ["dlib"]},
        "table1": {"au": {"copy the target": {"pcc_mean": 0.9}}}, "table2": {"dlib": {"real": {"accuracy": real}}},
    }  # fmt: skip


@pytest.fixture
def pretended(monkeypatch):
    """Training and evaluation that leave their files at once; what was asked of them."""
    asked = []

    def train(config, resume, into):
        asked.append((config.name, config.seed, config.method.w_identity, resume is not None))
        into.last.parent.mkdir(parents=True, exist_ok=True)
        into.last.touch()
        OmegaConf.save(OmegaConf.structured(config), into.config)
        return into

    def evaluate_run(run):
        name, seed = run.folder.name.rsplit("-seed", 1)
        pcc = 0.5 + 0.1 * int(seed) - (0.3 if name.endswith("no_identity") else 0)
        run.evaluation.mkdir(parents=True)
        summary = {
            "au_mse": 1.0,
            "au_pcc": pcc,
            "geometry_pcc": None,
            "verification_over_real": {"dlib": 0.8},
        }
        result = found(summary)
        (run.evaluation / "evaluation.json").write_text(json.dumps(result))

    monkeypatch.setattr(ablation, "train", train)
    monkeypatch.setattr(ablation, "evaluate_run", evaluate_run)
    return asked


def test_each_run_once_the_table_grows_and_what_was_stopped_is_gone_on_with(pretended, homes):
    table = ablate("eggan_demo", 2, variant="eggan_demo", seed=1)
    assert pretended == [("eggan_demo", 1, 1.0, False)]
    assert "| 1 of 2 |" in table.read_text().replace("  ", " ") and "0 of 2" in table.read_text()
    stopped = Run(table.parent / "eggan_demo_no_identity-seed0")
    stopped.last.parent.mkdir(parents=True)
    stopped.last.touch()
    ablate("eggan_demo", 2)
    assert len(pretended) == 8 and len({(name, seed) for name, seed, *_ in pretended}) == 8
    assert ("eggan_demo_no_identity", 0, 0.0, True) in pretended, "its weight is 0, and it went on"
    ablate("eggan_demo", 2)
    assert len(pretended) == 8, "nothing is done twice"
    text = table.read_text()
    spread = np.std([0.5, 0.6], ddof=1)
    assert f"0.550 ± {spread:.3f}" in text and f"0.250 ± {spread:.3f}" in text
    assert "geometry" not in text and "facegan ablate eggan_demo --seeds 2" in text
    assert (
        json.loads(table.with_name("ablation.json").read_text())["command"]
        == "facegan ablate eggan_demo --seeds 2"
    )


def test_what_the_paper_says_stands_beside_what_came_of_it(homes):
    home = homes / "runs" / "x"
    figures = {
        "eggan_demo": [(0.9, 0.8, 3.0), (0.8, 0.8, 3.0), (0.7, 0.8, 3.0)],
        "eggan_demo_no_identity": [(0.8, 0.8, 3.0), (0.7, 0.8, 3.0), (0.6, 0.8, 3.0)],  # lower each time
        "eggan_demo_no_msssim": [
            (0.8, 0.5, 3.0),
            (0.8, 0.9, 3.0),
            (0.8, 0.7, 3.0),
        ],  # lower twice, by less than chance
        "eggan_demo_no_perceptual": [(0.8, 0.8, 1.0), (0.8, 0.8, 2.0), (0.8, 0.8, 2.5)],  # never higher
    }
    for name, seeds in figures.items():
        for k, (cosine, pcc, fid) in enumerate(seeds):
            path = home / f"{name}-seed{k}" / "evaluation" / "evaluation.json"
            path.parent.mkdir(parents=True)
            summary = {
                "au_mse": 1.0, "au_pcc": pcc, "geometry_pcc": 0.5, "fid": fid, "cosine": {"dlib": cosine},
                "verification_over_real": {},
            }  # fmt: skip
            path.write_text(json.dumps(found(summary)))
            pairs = pd.DataFrame({"person": range(6), "cosine_dlib": cosine + 0.01 * np.arange(-2.5, 3)})
            pairs.to_csv(path.parent / "pairs.csv")
    text = ablation.write_table(home, list(figures), 3).read_text()
    lines = [re.sub(r" +", " ", line) for line in text.partition("## What")[2].splitlines()]
    identity, expression, artefacts = (line for line in lines if "EGGAN, Fig. 4" in line)
    assert (
        "| cosine by dlib lower | -0.100 ± 0.000 | [-0.100, -0.100] | 3 of 3 | **in every seed** |"
        in identity
    )
    assert "| AU PCC lower |" in expression and "| | 2 of 3 | **not reproduced** |" in expression
    assert "| FID higher |" in artefacts and "| | 0 of 3 | **not reproduced** |" in artefacts
    assert "* Judge: judge of AUs; PCC 0.90." in text and "†" not in text
    path = home / "eggan_demo-seed1" / "evaluation" / "evaluation.json"
    old = json.loads(path.read_text())
    del old["summary"]["cosine"]  # an evaluation by older code
    old["table2"]["dlib"]["real"]["accuracy"] = 0.9
    path.write_text(json.dumps(old))
    text = ablation.write_table(home, list(figures), 4).read_text()
    lines = [re.sub(r" +", " ", line) for line in text.splitlines()]
    (lack,) = (line for line in lines if "not measured in 1" in line)
    assert "without L_id" in lack and "again: `facegan evaluate x` and `facegan evaluate x`" in lack
    assert "| cosine by dlib lower† | -0.100 ± 0.000 | [-0.100, -0.100] | 2 of 2 |" in "\n".join(lines)
    assert "† by a weak judge" in text
    assert "on the test people's own, untouched pictures dlib balanced accuracy 0.90" in text
    text = ablation.write_table(
        home, ["eggan_demo", "eggan_demo_no_identity_x", "eggan_demo_no_msssim"], 3
    ).read_text()
    assert "without L_id" not in text and "without MS-SSIM" in text
    for k in range(3):
        (home / f"eggan_demo_no_msssim-seed{k}" / "evaluation" / "evaluation.json").write_text("{")
    text = ablation.write_table(home, ["eggan_demo", "eggan_demo_no_msssim"], 3).read_text()
    assert "no seed of both is done yet" in text, "half an evaluation is none"


def test_other_keys_are_other_runs_and_a_stranger_is_named(pretended, capsys):
    first = ablate("eggan_demo", 1, variant="eggan_demo")
    second = ablate("eggan_demo", 1, ["method.w_au=3"], variant="eggan_demo")
    assert first != second and len(pretended) == 2
    assert main(["ablate", "eggan_demo", "--variant", "eggan_rafd"]) == 2
    assert "eggan_demo_no_identity" in capsys.readouterr().err


def test_jobs_are_the_runs_that_are_not_done(pretended, homes, monkeypatch):
    pytest.importorskip("submitit")
    table = ablate("eggan_demo", 1, variant="eggan_demo")
    script, said = homes / "python", homes / "said"
    script.write_text(f'#!/bin/sh\necho "$@" >> {said}\n')
    script.chmod(0o755)
    monkeypatch.setattr(ablation, "PYTHON", str(script))
    for job in submit("eggan_demo", 1, [], "local", ["timeout_min=5"]):
        job.result()
    lines = sorted(said.read_text().splitlines())
    assert len(lines) == 3
    assert lines[0] == "-m facegan.cli ablate eggan_demo --variant eggan_demo_no_identity --seed 0 --seeds 1"
    assert (table.parent / "jobs").is_dir()
    for wrong in ("no_such_option=1", "timeout_min", "timeout_min=soon"):
        with pytest.raises(UserError, match="--job"):
            submit("eggan_demo", 1, [], "local", [wrong])
    said.unlink()
    for job in submit("eggan_demo", 2, [], "local", ["timeout_min=5"], "eggan_demo_no_msssim", 1):
        job.result()
    (line,) = said.read_text().splitlines()
    assert "--variant eggan_demo_no_msssim --seed 1 --seeds 2" in line
    assert main(["ablate", "eggan_demo", "--job", "timeout_min=5"]) == 2


def test_a_cluster_that_is_not_there_is_said(homes, monkeypatch):
    pytest.importorskip("submitit")
    monkeypatch.setenv("PATH", str(homes))
    with pytest.raises(UserError, match="--submit slurm"):
        submit("eggan_demo", 1, [], "slurm", [])


def test_headlines_of_every_protocol():
    identity = {
        "dlib": {"real": {"accuracy": 0.9}, "M": {"accuracy": 0.45}},
        "LightCNN": {"real": {"reason": "none"}},
    }
    moved = {
        "protocol": "reenactment", "method": "M", "identity": identity,
        "rows": {"M": {"presence": {"balanced_mean": 0.6}, "intensity": {"pcc_mean": None}, "angles": {"yaw": 3.0}}},
    }  # fmt: skip
    assert headlines(moved) == {"AU presence": 0.6, "yaw, degrees": 3.0, "verified by dlib, of Real": 0.5}
    given = {"protocol": "transfer", "method": "M", "identity": identity, "expression": {"M": 0.7}}
    reached = {"expression recognised": 0.7, "verified by dlib, of Real": 0.5, "product with dlib": 0.315}
    assert headlines(given) == pytest.approx(reached)
    likeness = {
        "face": {"M": {"share": 0.8, "mean": 0.9}},
        "expression_judge": {"M": {"share": None, "mean": 0.6}},
    }
    measured = reached | {"Face-Verf": 0.8, "Exp-Sim by the judge": 0.6}
    assert headlines(given | {"protocol": "aipgan", "likeness": likeness}) == pytest.approx(measured)
    row = {"l1": 0.1, "au": {"mse_mean": 1.0, "pcc_mean": 0.5}, "geometry": {"pcc_mean": 0.4}}
    later = {"protocol": "frames", "method": "M", "scores": {"M": row}}
    assert headlines(later) == {"L1": 0.1, "AU MSE": 1.0, "AU PCC": 0.5, "geometry PCC": 0.4}
