"""``facegan compare`` on two barely trained runs of two methods, of two sizes, and what the report makes of it."""

import json
import shutil

import pytest

from datamodules.generated.folder import FOLDER_LAYOUT
from facegan.cli import main
from facegan.config import judges_home, runs_home
from facegan.judges.weights import AU_WEIGHTS, EXPRESSION_WEIGHTS, save_judge
from facegan.nets.au_regressor import AURegressor

BRIEF = [
    "data.batch_size=4", "data.val_fraction=0", "data.landmarks=openface", "generate=[]", "judge=null",
    "trainer.max_batches=1", "trainer.progress=false", "log.wandb=disabled", "evaluate_after=false", "targets=4",
]  # fmt: skip


@pytest.fixture
def runs(homes):
    faces = {"size": 64, "workers": 1, "aus": "prototypes"}
    train = FOLDER_LAYOUT.write(homes / "data" / "small" / "train", people=4, pictures=8, **faces)
    test = FOLDER_LAYOUT.write(
        homes / "data" / "small" / "test", people=3, pictures=8, first_person=500_000, **faces
    )
    roots = [f"data.roots=[{train}]", f"data.test_roots=[{test}]"]
    main([
        "train", "eggan_demo", "data.image_size=32", "method.latent=8", "method.encoder_widths=[4,4,8]",
        "method.generator_widths=[8,8,8,4]", "method.critic_widths=[4,8,8,8]", "method.classifier_width=0.05", *roots,
        *BRIEF,
    ])  # fmt: skip
    main([
        "train", "tergan_folder", "data.image_size=40", "data.crop=null", "method.encoder_widths=[4,4,4,4,8]",
        "method.critic_widths=[4,4,4,4]", "method.critic_shared=8",
        "method.expressions=[anger,disgust,fear,happiness,sadness,surprise]",
        "data.expressions=[anger,disgust,fear,happiness,sadness,surprise]", *roots, *BRIEF,
    ])  # fmt: skip
    about = {"architecture": "AURegressor", "channels": [4, 4, 4, 4], "trained_on": "nothing"}
    save_judge(judges_home() / AU_WEIGHTS, AURegressor([4, 4, 4, 4]), about)
    names = ["anger", "happiness", "surprise"]
    save_judge(
        judges_home() / EXPRESSION_WEIGHTS, AURegressor([4, 4, 4, 4], 3), about | {"expressions": names}
    )
    return roots


def test_two_methods_on_the_same_people(runs, capsys, tmp_path):
    assert main(["compare", "eggan_demo", "tergan_folder", "--targets", "12"]) == 0
    said = capsys.readouterr().out
    (home,) = (runs_home() / "comparisons").iterdir()
    assert str(home / "comparison.md") in said and str(home / "pareto.png") in said
    result = json.loads((home / "comparison.json").read_text())
    rows = result["rows"]
    assert list(rows) == [
        "copy the source",
        "copy the target",
        "EGGAN (eggan_demo)",
        "TER-GAN (tergan_folder)",
    ]
    assert [rows[name]["size"] for name in list(rows)[2:]] == [32, 40]
    assert all(rows[name]["parameters"] > 1000 and rows[name]["fps"] > 0 for name in list(rows)[2:])
    assert result["command"] == "facegan compare eggan_demo tergan_folder --targets 12"
    table = (home / "comparison.md").read_text()
    assert "3 people" in table and "EGGAN (eggan_demo) has learnt from: folder: small/train; seed 0" in table
    report = home.parent / "report.html"  # the table and its picture stand in the report, too
    assert main(["evaluate", "eggan_demo"]) == 0 and main(["report", "--out", str(report)]) == 0
    page = report.read_text()
    assert "All methods, one task" in page and "facegan compare eggan_demo tergan_folder --targets 12" in page
    assert page.count("data:image/webp") >= 2
    report.unlink()
    # a packed run has the name of its folder; its config names roots below FACEGAN_DATA
    assert main(["pack", "eggan_demo", "--out", str(tmp_path / "handed-on")]) == 0
    assert "oc.env:FACEGAN_DATA" in (tmp_path / "handed-on" / "config.yaml").read_text()
    assert main(["compare", str(tmp_path / "handed-on"), "--targets", "12"]) == 0
    (other,) = set((runs_home() / "comparisons").iterdir()) - {home}
    table = (other / "comparison.md").read_text()
    assert "EGGAN (handed-on) has learnt from: folder: small/train; seed 0" in table
    shutil.rmtree(other)
    # the same command again has the same folder; an experiment that makes no pictures is refused
    main(["compare", "eggan_demo", "tergan_folder", "--targets", "12"])
    assert len(list((runs_home() / "comparisons").iterdir())) == 1
    shutil.rmtree(home)
    assert main(["compare", "eggan_video"]) == 2
    assert "no run folder 'eggan_video'" in capsys.readouterr().err
