"""The document over runs: published rows, seeds with spread, what nobody has run, judges, pictures in the HTML."""

import base64
import io
import json
import re

import numpy as np
import pandas as pd
from omegaconf import OmegaConf
from PIL import Image

from facegan.cli import main
from facegan.experiment_config import load_config, plain
from facegan.findings import rests_on, state, weak_judges
from facegan.published import TERGAN_TABLE1
from facegan.report.collection import collect, training
from facegan.report.document import as_html, document, paper_table, write_report
from facegan.report.papers import TABLES
from facegan.runs import Run


def au_scores(mean, pcc=0.5):
    return {"mse": [mean] * 17, "mse_mean": mean, "pcc": [pcc] * 17, "pcc_mean": pcc}


def eggan_result(experiment, mean, judge="a judge; PCC 0.90"):
    method = f"EGGAN ({experiment})"
    row = {"accuracy": 0.5, "pairs": 40, "rejected": 0}
    return {
        "protocol": "eggan", "method": method, "command": f"facegan evaluate {experiment}/x", "data": "toy people.",
        "generated": "procedural", "pairs": 40, "test_people": 4,
        "judges": {"au": judge, "geometry": "points", "identity": ["dlib"]},
        "table1": {"au": {
            "copy the source": au_scores(1.0), "copy the target": au_scores(0.1, 0.9), method: au_scores(mean),
        }},
        "table2": {
            "LightCNN": {"real": {"reason": "no weights"}},
            "dlib": {"real": {"accuracy": 0.96}, "copy the source": row, "copy the target": row, method: row},
        },
        "summary": {"au_mse": mean, "au_pcc": 0.5, "geometry_pcc": 0.4, "verification_over_real": {"dlib": 0.5}},
    }  # fmt: skip


def run_of(home, experiment, seed, result, name=None, overrides=()):
    run = Run(home / experiment / (name or f"run{seed}"))
    run.write_config(plain(load_config(experiment, [f"seed={seed}", *overrides])))
    run.evaluation.mkdir()
    (run.evaluation / "evaluation.json").write_text(json.dumps(result))
    return run


def table(title):
    return next(one for one in TABLES if title in one.title)


def cells(text, first):
    line = next(line for line in text.splitlines() if line.startswith("|") and first in line)
    return [cell.strip() for cell in line.strip("|").split("|")]


def test_seeds_become_a_mean_and_a_spread_and_people_an_interval(tmp_path):
    runs = []
    rng = np.random.default_rng(0)
    for seed, mean in enumerate((0.2, 0.3, 0.4)):
        run = run_of(tmp_path, "eggan_demo", seed, eggan_result("eggan_demo", mean))
        people = np.repeat([f"P{k}" for k in range(10)], 4)
        pairs = pd.DataFrame({"person": people, "au_mse": mean + rng.normal(0, 0.01, 40)})
        pairs = pairs.assign(asked_AU02=1.0, read_AU02=1 + np.sqrt(mean) * rng.choice([-1, 1], 40))
        pairs.to_csv(run.evaluation / "pairs.csv", index=False)
        runs.append(run)
    text = paper_table(table("mean squared error"), collect(runs)[0])
    mean = cells(text, "**EGGAN (eggan_demo)**")
    assert mean[1] == "3 seeds"
    found = re.fullmatch(r"0\.30 ± 0\.10<br>\[(0\.\d\d), (0\.\d\d)\]", mean[2])
    assert found and float(found[1]) <= 0.30 <= float(found[2]) < 0.32
    assert mean[3] == "0.30 ± 0.10", "no interval where no figures of pairs are kept"
    assert mean[4] == "0.30 ± 0.10<br>[0.30, 0.30]", "of an AU alone: each pair is off by the same"
    assert cells(text, "copy the source, eggan_demo")[2] == "1.00 ± 0.00"
    assert cells(text, "EGGAN (published, RaFD)")[2] == "0.24"
    assert "command: `facegan evaluate eggan_demo/x`" in text and "40 pairs, 4 test people" in text
    assert "folders: `run0`, `run1`, `run2`" in text


def test_what_nobody_has_run_says_what_would(tmp_path):
    run = run_of(tmp_path, "eggan_rafd_eq2", 0, eggan_result("eggan_rafd_eq2", 0.2))
    text = paper_table(table("mean squared error"), collect([run])[0])
    assert cells(text, "| eggan_rafd ")[1:3] == ["`facegan train eggan_rafd`", "–"]
    assert not any(line.startswith("| eggan_rafd_eq2 ") for line in text.splitlines())
    assert cells(text, "**EGGAN (eggan_rafd_eq2)**")[1] == "1 seed"
    nobody = paper_table(table("recognition of six"), [])
    assert cells(nobody, "| tergan_oulu ")[1] == "`facegan crossval tergan_oulu --folds 8`"
    assert all(f"{value:.2f}" in nobody for _, value in TERGAN_TABLE1.values())


def fold_of(home, experiment, fold, accuracy, key="", overrides=()):
    run = Run(home / f"{experiment}-2folds{key}" / f"fold-{fold}")
    run.write_config(plain(load_config(experiment, [*overrides, f"data.splits={run.folder}/fold.csv"])))
    run.evaluation.mkdir()
    codes = {"accuracy": accuracy, "balanced": accuracy, "identity_probe": 0.1}
    found = {"ours": codes, "baseline": codes, "data": "faces", "generated": None, "pictures": 6, "people": 2}
    (run.evaluation / "recognition.json").write_text(json.dumps(found))
    return run


def test_folds_of_one_cross_validation_are_a_row_with_its_own_command(tmp_path):
    keys = [f"method.{name}=7" for name in ("w_if", "w_ef", "w_irec", "w_erec", "lr")]
    whole = [fold_of(tmp_path, "tergan_oulu", k, 0.5, "-a", keys) for k in range(2)]
    (whole[0].folder.parent / "crossval.json").write_text(
        json.dumps({"command": "facegan crossval as typed"})
    )
    later = fold_of(tmp_path, "tergan_oulu", 1, 0.9, "-b", [*keys, "trainer.checkpoint_every=3"])
    text = paper_table(table("recognition of six"), collect([*whole, later])[0])
    assert cells(text, "**TER-GAN (tergan_oulu, changed (1))**")[1:3] == ["2 folds", "50.00 ± 0.00"]
    assert "command: `facegan crossval as typed`" in text and "0.9" not in text
    assert re.search(r"changed: `method\.\S+=7\.0 ", text)

    # not whole yet: a command of its own keys, without the folds' own splits
    text = paper_table(table("recognition of six"), collect([later])[0])
    assert "command: `facegan crossval tergan_oulu --folds 2 method." in text and "method.w_erec=7.0" in text
    assert "data.splits" not in text


def test_a_cross_validation_without_stage_two_is_the_baseline(tmp_path):
    text = paper_table(
        table("recognition of six"), collect([fold_of(tmp_path, "tergan_oulu_cnn", 0, 0.5)])[0]
    )
    rows = [line for line in text.splitlines() if line.startswith("|") and "tergan_oulu_cnn" in line]
    assert len(rows) == 1 and rows[0].startswith("| **CNN baseline (tergan_oulu_cnn)**")


def test_the_newest_run_of_a_seed_counts_and_other_keys_are_another_row(tmp_path):
    old = run_of(tmp_path, "eggan_demo", 0, eggan_result("eggan_demo", 0.9), "2026-01-01")
    new = run_of(tmp_path, "eggan_demo", 0, eggan_result("eggan_demo", 0.2), "2026-01-02")
    other = run_of(
        tmp_path, "eggan_demo", 0, eggan_result("eggan_demo", 0.3), "2026-01-03", ["method.w_identity=5"]
    )
    text = paper_table(table("mean squared error"), collect([old, new, other])[0])
    assert cells(text, "**EGGAN (eggan_demo)**")[1:3] == ["1 seed", "0.20"]
    assert cells(text, "**EGGAN (eggan_demo method.w_identity=5.0)**")[1:3] == ["1 seed", "0.30"]
    assert "| 0.90 " not in text
    (line,) = (line for line in text.splitlines() if "copy the source" in line)  # the same for both
    assert "copy the source, eggan_demo and 1 more below" in line


def test_many_changes_are_told_below_the_table(tmp_path):
    keys = [f"method.{name}=7" for name in ("w_identity", "w_perceptual", "w_msssim")]
    settings = [keys, keys, [*keys, "method.w_rec=3"]]
    runs = [
        run_of(tmp_path, "eggan_demo", seed, eggan_result("eggan_demo", 0.3), f"2026-01-0{k + 1}", overrides)
        for k, (seed, overrides) in enumerate(zip((0, 1, 0), settings, strict=True))
    ]
    text = paper_table(table("mean squared error"), collect(runs)[0])
    assert cells(text, "**EGGAN (eggan_demo, changed (1))**")[1] == "2 seeds"
    assert cells(text, "**EGGAN (eggan_demo, changed (2))**")[1] == "1 seed"
    assert text.count("changed: `method.") == 2 and "method.w_msssim=7" in text


def test_the_run_that_a_name_stood_for_is_no_change(tmp_path):
    shipped = load_config("tergan_generated_48").init_from
    start = f"init_from=/runs/{shipped}/2026-01-01/checkpoints/last.ckpt"
    other = start.replace(shipped, "tergan_bu4dfe")
    runs = [
        run_of(tmp_path, "tergan_generated_48", 0, eggan_result("x", 0.3), f"2026-01-0{k}", [override])
        for k, override in enumerate((start, other), 1)
    ]
    assert [one.changes for one in collect(runs)[0]] == ["", "init_from=checkpoints/last.ckpt"]


def test_folds_of_a_cross_validation_have_a_standard_error(tmp_path):
    home, runs = tmp_path / "tergan_demo-2folds", []
    for fold, accuracy in enumerate((0.6, 0.8)):
        run = Run(home / f"fold-{fold}")
        run.write_config(plain(load_config("tergan_demo")))
        run.evaluation.mkdir()
        scores = {"accuracy": accuracy, "balanced": accuracy, "identity_probe": 0.1}
        result = {
            "ours": scores,
            "baseline": scores,
            "aus": scores | {"identity_probe": 0.2},
            "data": "toy",
            "pictures": 20,
            "people": 2,
            "generated": None,
        }
        (run.evaluation / "recognition.json").write_text(json.dumps(result))
        runs.append(run)
    text = paper_table(table("recognition of six"), collect(runs)[0])
    assert cells(text, "**TER-GAN (tergan_demo)**")[1:3] == ["2 folds", "70.00 ± 10.00"]
    assert cells(text, "CNN baseline, tergan_demo")[2] == "70.00 ± 10.00"
    assert cells(text, "AUs alone, no encoder, tergan_demo")[4] == "20.00 ± 0.00"


def test_a_weak_judge_is_marked_and_two_judges_of_one_run_stand_beside_each_other(tmp_path):
    run = run_of(
        tmp_path,
        "eggan_demo",
        0,
        eggan_result("eggan_demo", 0.2, "small; PCC 0.60 on pictures of 9 others, a weak judge"),
    )
    again = run.evaluation.with_name("evaluation-0a1b2c")
    again.mkdir()
    (again / "evaluation.json").write_text(json.dumps(eggan_result("eggan_demo", 0.35, "large; PCC 0.90")))
    text = document([run], tmp_path)
    judges = text.split("## Judges")[1]
    weak, sound = cells(judges, "small; PCC 0.60"), cells(judges, "dlib")
    assert weak[2] == "**weak**" and weak[3] == "eggan_demo (PCC 0.900)†"
    assert sound[2] == "" and sound[3] == "eggan_demo (balanced accuracy 0.960)"
    moved = judges.split("### The same runs, other judges")[1]
    assert "0.200†" in moved and "0.350 " in moved and "au: large; PCC 0.90" in moved
    aus, persons = (paper_table(table(title), collect([run])[0]) for title in ("mean squared", "same person"))
    assert cells(aus, "**EGGAN (eggan_demo)**")[2] == "0.20†" and "(published, RaFD)" in aus
    assert cells(persons, "**EGGAN (eggan_demo)**")[3] == "50.00", "dlib is not weak"


def test_judges_are_weak_where_they_fail_on_the_real_pictures(tmp_path):
    result = eggan_result("eggan_demo", 0.2)
    assert weak_judges(result) == set()
    result["table2"]["dlib"]["real"]["accuracy"] = 0.9
    assert weak_judges(result) == {"dlib"}
    result["table1"]["au"]["copy the target"]["pcc_mean"] = 0.7
    assert weak_judges(result) == {"dlib", "au"}
    told = {"protocol": "transfer", "judges": {"expression": "a judge; accuracy 0.9"}, "identity": {}}
    assert weak_judges(told | {"expression": {"copy the source": 0.75}}) == {"expression"}
    assert weak_judges(told | {"expression": {"copy the source": 0.85}}) == set()
    assert rests_on("AU PCC") == {"au"} and rests_on("yaw ° ↓") == set()
    assert rests_on("product with dlib") == {"expression", "dlib"}


def test_what_is_broken_is_named_and_the_rest_stands(tmp_path, monkeypatch):
    monkeypatch.setenv("FACEGAN_RUNS", str(tmp_path))
    whole = run_of(tmp_path, "eggan_demo", 0, eggan_result("eggan_demo", 0.2))
    (whole.evaluation / "pairs.csv").touch()
    half = run_of(tmp_path, "eggan_demo", 1, {})
    cut = run_of(tmp_path, "eggan_demo", 2, {})
    (cut.evaluation / "evaluation.json").write_text('{"protocol": "egg')
    strange = run_of(tmp_path, "eggan_demo", 3, eggan_result("eggan_demo", 0.2))
    strange.config.write_text("")
    other = tmp_path / "comparisons" / "x" / "comparison.json"
    other.parent.mkdir(parents=True)
    other.write_text("{")
    assert main(["report", "--out", str(tmp_path / "report.md")]) == 0
    text = (tmp_path / "report.md").read_text()
    assert cells(text, "**EGGAN (eggan_demo)**")[1:3] == ["1 seed", "0.20"]
    lines = text.split("## Not read")[1]
    for path in (half.evaluation, cut.evaluation, strange.config, other):
        assert str(path) in lines
    assert [state(run) for run in (whole, cut)] == [
        "evaluated",
        "its evaluation.json is broken: evaluate it again",
    ]
    assert main(["report", "--out", str(tmp_path / "report.pdf")]) == 2


def test_a_run_that_was_only_asked_otherwise_is_in_it(tmp_path):
    run = run_of(tmp_path, "eggan_demo", 0, eggan_result("eggan_demo", 0.2))
    run.evaluation.rename(run.folder / "evaluation-0a1b2c")
    assert cells(document([run], tmp_path), "**EGGAN (eggan_demo)**")[2] == "0.20"
    assert state(run) == "evaluated in another way than its own"


def test_html_holds_its_pictures_and_markdown_links_to_them(tmp_path):
    run = run_of(tmp_path / "runs", "eggan_demo", 0, eggan_result("eggan_demo", 0.2))
    Image.new("RGB", (8, 8), (200, 10, 10)).save(run.evaluation / "grid.png")
    page = write_report([run], tmp_path / "report.html").read_text()
    (packed,) = re.findall(r'<img src="data:image/webp;base64,([^"]+)">', page)
    with Image.open(io.BytesIO(base64.b64decode(packed))) as picture:
        assert picture.size == (8, 8) and abs(picture.getpixel((4, 4))[0] - 200) < 8
    assert "grid.png" not in page and "http" not in page
    assert page.count("<table>") == len(TABLES) + 1, "one for each table of the papers, and the judges"
    (run.evaluation / "grid.png").write_bytes(b"not a picture")
    assert "grid.png cannot be read" in write_report([run], tmp_path / "report.html").read_text()
    assert '<a class="h3" href="#s2">Table 1: mean squared error of AU intensities</a>' in page
    text = write_report([run], tmp_path / "docs" / "report.md").read_text()
    (link,) = re.findall(r"\]\((.*grid\.png)\)", text)
    assert (tmp_path / "docs" / link).is_file()


def sampled(run, shade):
    """Pictures of the run's first pairs, as a protocol leaves them."""
    (run.evaluation / "samples").mkdir()
    pairs = pd.DataFrame({"source": ["a", "b"], "target": ["c", "d"], "person": ["A", "B"]})
    pairs.to_csv(run.evaluation / "pairs.csv", index=False)
    for k in range(2):
        for kind in ("source", "target", "result"):
            Image.new("RGB", (8, 8), (shade, 0, 0)).save(run.evaluation / "samples" / f"{k:02d}-{kind}.png")


def test_ablations_are_taken_from_the_runs_by_each_judge(tmp_path):
    runs = []
    for name, mean, shade in (("eggan_demo", 0.2, 90), ("eggan_demo_no_msssim", 0.6, 200)):
        for seed in range(2):
            result = eggan_result(name, mean + 0.01 * seed)
            result["summary"]["au_pcc"] = 0.9 - mean
            run = run_of(tmp_path, name, seed, result)
            sampled(run, shade)
            runs.append(run)
    assert "Not run yet: `facegan ablate" in document(runs[:2], tmp_path)
    text = document(runs, tmp_path).split("## Ablations over seeds")[1].split("## All methods")[0]
    assert "### eggan_demo and its ablations" in text and "#### What the paper's ablation says" in text
    assert cells(text, "| eggan_demo_no_msssim")[1:3] == ["2", "0.605 ± 0.007"]
    assert "2 of 2" in cells(text, "without MS-SSIM") and "by other judges" not in text
    assert "* Command: `facegan ablate eggan_demo --seeds 2`" in text
    (tmp_path / "eggan_demo-ablation").mkdir()
    for run in runs:  # as facegan ablate lays them
        run.folder.rename(tmp_path / "eggan_demo-ablation" / f"{run.folder.parent.name}-{run.folder.name}")
    home = tmp_path / "eggan_demo-ablation"
    (home / "ablation.json").write_text(json.dumps({"command": "facegan ablate eggan_demo --seeds 2 x=y"}))
    runs = [Run(path.parent) for path in sorted(home.glob("*/config.yaml"))]
    text = document(runs, tmp_path).split("## Ablations over seeds")[1].split("## All methods")[0]
    assert "* Command: `facegan ablate eggan_demo --seeds 2 x=y`" in text
    (link,) = re.findall(r"\]\((.*ablations\.png)\)", text)
    with Image.open(tmp_path / link) as picture:
        columns = {
            round(picture.convert("RGB").getpixel((x, 100))[0], -1) for x in range(0, picture.width, 8)
        }
    assert {90, 200} <= columns, "the whole's and the ablation's own results"
    for run in runs:  # put to another judge, who thinks less of the ablation
        again = run.evaluation.with_name("evaluation-0a1b2c")
        again.mkdir()
        result = json.loads((run.evaluation / "evaluation.json").read_text())
        result["judges"]["au"], result["command"] = "another; PCC 0.95", "facegan evaluate RUN judge=another"
        result["summary"]["au_pcc"] -= 0.2 * ("no_msssim" in result["method"])
        (again / "evaluation.json").write_text(json.dumps(result))
    text = document(runs, tmp_path).split("## Ablations over seeds")[1].split("## All methods")[0]
    own, other = text.split("### eggan_demo, by other judges")
    assert cells(own, "without MS-SSIM")[2].startswith("-0.400")
    assert cells(other, "without MS-SSIM")[2].startswith("-0.600") and "judge=another" in other


def test_how_a_run_was_trained_stands_below_the_table(tmp_path, monkeypatch):
    monkeypatch.setenv("FACEGAN_RUNS", str(tmp_path))
    start = tmp_path / "eggan_rafd" / "2026-01-05" / "checkpoints" / "last.ckpt"
    more = ["trainer.precision=bf16-mixed", f"init_from={start}"]
    run = run_of(tmp_path, "eggan_demo", 2, eggan_result("eggan_demo", 0.2), overrides=more)
    text = paper_table(table("mean squared error"), collect([run])[0])
    (command,) = re.findall("trained by: `facegan train eggan_demo seed=2 (.*?)`", text)
    assert set(command.split()) == {"trainer.precision=bf16-mixed", "init_from=eggan_rafd/2026-01-05"}
    lists = run_of(
        tmp_path, "eggan_demo", 3, eggan_result("eggan_demo", 0.2), overrides=["data.rotate=[0,5]"]
    )
    assert training(OmegaConf.load(lists.config)) == "facegan train eggan_demo seed=3 'data.rotate=[0.0,5.0]'"
    nothing = run_of(tmp_path, "eggan_demo", 4, eggan_result("eggan_demo", 0.2), overrides=["judge=null"])
    assert training(OmegaConf.load(nothing.config)) == "facegan train eggan_demo seed=4 judge=null"


def test_a_network_of_the_loss_is_named_and_marked(tmp_path):
    like = {row: {"mean": 0.9, "share": 1.0} for row in ("copy the source", "copy the target", "AIP-GAN")}
    own = {"network": "its own recogniser, also in the loss", "to": "target", "threshold": 0.68, **like}
    judged = {"network": "judge_expression, not in the loss", "to": "source", "threshold": None, **like}
    judged["AIP-GAN"] = {"mean": 0.7, "share": None}
    result = {
        "protocol": "aipgan", "method": "AIP-GAN", "data": "toy", "command": "facegan evaluate x", "generated": None,
        "trained_on": None, "pairs": 40, "test_people": 4, "judges": {"expression": "accuracy 0.9", "identity": []},
        "expression": {"copy the source": 0.9, "copy the target": 0.2, "AIP-GAN": 0.8}, "identity": {},
        "likeness": {"face": own, "expression": own, "expression_judge": judged},
    }  # fmt: skip
    run = run_of(tmp_path, "aipgan_oulu", 0, result)
    text = paper_table(table("Table 1, same distribution"), collect([run])[0])
    assert cells(text, "**AIP-GAN**")[2:] == ["1.000†", "0.900†", "0.900†", "0.700"]
    assert "judge of Exp-Sim: its own recogniser, also in the loss" in text
    assert "judge of Exp-Sim by the judge: judge_expression, not in the loss" in text
    judges = document([run], tmp_path).split("## Judges")[1]
    assert (
        "in the loss" in cells(judges, "| Face-Verf")[2] and cells(judges, "| Exp-Sim by the judge")[2] == ""
    )


def test_a_paper_s_figure_that_is_not_drawn_has_its_command(tmp_path):
    run = run_of(tmp_path, "eggan_demo", 0, eggan_result("eggan_demo", 0.2))
    Image.new("RGB", (8, 8)).save(run.evaluation / "grid.png")
    text = document([run], tmp_path)
    assert "Fig. 2: test people, given the eight expressions" in text
    assert "*eggan_demo*: without Fig. 3; `facegan evaluate eggan_demo/x` draws them." in text
    for kind, sources in (
        ("0a", "each person's strongest expression"),
        ("1b", "each person's calmest picture"),
    ):
        other = run.evaluation.with_name(f"evaluation-{kind}")
        other.mkdir()
        result = eggan_result("eggan_demo", 0.2) | {"sources": sources, "command": f"facegan evaluate {kind}"}
        (other / "evaluation.json").write_text(json.dumps(result))
        Image.new("RGB", (8, 8)).save(other / "interpolation.png")
    text = document([run], tmp_path)
    assert "eq. 8); by `facegan evaluate 1b`*" in text and "without Fig." not in text


def test_how_long_a_run_was_trained_makes_another_row_and_its_command_is_whole(tmp_path):
    runs = [
        run_of(tmp_path, "eggan_demo", seed, eggan_result("eggan_demo", 0.2), overrides=keys)
        for seed, keys in enumerate(
            ([], ["targets=12"], ["trainer.limit_train_batches=2"], ["trainer.max_batches=9"])
        )
    ]
    text = paper_table(table("mean squared error"), collect(runs)[0])
    assert cells(text, "**EGGAN (eggan_demo)**")[1] == "2 seeds"
    assert "`facegan train eggan_demo`, `facegan train eggan_demo seed=1 targets=12`;" in text
    for keys in ("limit_train_batches=2", "max_batches=9"):
        assert cells(text, f"**EGGAN (eggan_demo trainer.{keys})**")[1] == "1 seed"


def test_nothing_evaluated_is_said(tmp_path):
    text = document([], tmp_path)
    assert "No run has been evaluated yet" in text and "`facegan evaluate RUN`" in text
    assert cells(text, "EGGAN (published, RaFD)")[2] == "0.24" and "`facegan train eggan_rafd`" in text
    assert cells(text, "| X2Face (published, VoxCeleb)")[2] == "28.89"
    assert cells(text.split("Table 2: AUs of driver")[1], "DAE (published")[3] == "0.3734"
    assert "facegan compare aipgan-generated eggan-generated" in text


def test_headings_can_be_jumped_to():
    page = as_html("# R\n\n## A & B\n\ntext\n\n### Figures\n", None)
    assert '<h2 id="s1">A &amp; B</h2>' in page and '<a class="h2" href="#s1">A &amp; B</a>' in page
