"""AIP-GAN from the command line on a few generated people: all stages, a resume, its protocol, and its uses."""

import csv
import json
from pathlib import Path

import cv2
import pytest
import torch

from datamodules.generated.folder import FOLDER_LAYOUT
from facegan import editing, experiment
from facegan.adversarial import PANELS
from facegan.cli import main
from facegan.config import UserError, judges_home
from facegan.judges.weights import EXPRESSION_WEIGHTS, save_judge
from facegan.nets.au_regressor import AURegressor
from facegan.runs import Run

SMALL = [
    "method.widths=[4,4,4,4,4,8,8]", "method.bilinear=16", "method.head=16", "method.critic_width=4",
    "method.critic_layers=1", "method.recogniser=trained", "method.recogniser_size=32", "method.recogniser_width=0.02",
    "method.recogniser_epochs=1", "method.encoder_epochs=1", "method.decoder_epochs=1", "method.epochs=1",
    "data.name=folder", "data.landmarks=openface", "data.image_size=40", "data.batch_size=8", "data.needs_au=false",
    "data.pairing=cross_identity", "data.cross_probability=0.5", "data.identity_maps=own", "data.landmark_images=true",
    "data.val_fraction=0", "trainer.accelerator=cpu", "trainer.devices=1", "trainer.progress=false",
    "trainer.log_every=1", "log.wandb=disabled", "targets=8",
]  # fmt: skip


@pytest.fixture(scope="module")
def home(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("aipgan")


@pytest.fixture(scope="module")
def options(home) -> list[str]:
    faces = {
        "size": 96,
        "workers": 1,
        "aus": "prototypes",
        "light_spread": 0.0,
        "pose_spread": (1.0, 1.0, 1.0),
    }
    train = FOLDER_LAYOUT.write(home / "train", people=3, pictures=12, **faces)
    test = FOLDER_LAYOUT.write(home / "test", people=2, pictures=24, first_person=500_000, **faces)
    return [*SMALL, f"data.roots=[{train}]", f"data.test_roots=[{test}]"]


@pytest.fixture(autouse=True)
def places(home, monkeypatch):
    for name in ("DATA", "RUNS", "JUDGES"):
        monkeypatch.setenv(f"FACEGAN_{name}", str(home / name.lower()))


def config(home: Path, options: list[str]) -> experiment.ExperimentConfig:
    file = home / "aipgan_small.yaml"
    file.write_text("method: {name: aipgan}\ndata: {name: folder}\n")
    return experiment.load_config(str(file), options)


@pytest.fixture(scope="module")
def run(home, options) -> Run:
    with pytest.MonkeyPatch.context() as patch:
        for name in ("DATA", "RUNS", "JUDGES"):
            patch.setenv(f"FACEGAN_{name}", str(home / name.lower()))
        return experiment.train(config(home, options))


def test_one_run_logs_every_stage(run):
    rows = list(csv.DictReader(run.metrics.open()))
    stages = [float(row["stage"]) for row in rows if row["stage"]]
    assert stages == sorted(stages) and set(stages) == {0, 1, 2, 3}
    for name in ("recogniser_expression", "attention", "landmarks", "identity_map", *PANELS):
        assert any(row.get(f"train/{name}") for row in rows), name
    assert any(row["val/truth_l1"] for row in rows) and len(list(run.samples.glob("*.png"))) == 4


@pytest.mark.parametrize("stages_done", [2, 2.75])
def test_a_resume_between_and_in_stages_ends_where_the_whole_run_does(run, home, options, stages_done):
    batches = len([row for row in csv.DictReader(run.metrics.open()) if row["stage"]])
    assert batches % 4 == 0
    stopped = experiment.train(
        config(home, [*options, f"trainer.max_batches={int(stages_done * batches / 4)}"])
    )
    again = experiment.train(config(home, options), resume=stopped)
    whole, resumed = (
        torch.load(r.last, map_location="cpu", weights_only=True)["state_dict"] for r in (run, again)
    )
    assert whole.keys() == resumed.keys()
    assert all(torch.equal(value, resumed[key]) for key, value in whole.items())


def test_the_protocol_writes_table_1_and_its_figures(run, capsys):
    names = ["anger", "happiness", "sadness", "surprise", "neutral", "fear", "disgust", "contempt"]
    judge = AURegressor((4, 4, 4, 4), len(names))
    about = {"channels": [4, 4, 4, 4], "expressions": names, "trained_on": "nothing: a test"}
    save_judge(judges_home() / EXPRESSION_WEIGHTS, judge, about)
    assert main(["evaluate", str(run.folder), "trainer.progress=false"]) == 0
    said = capsys.readouterr().out
    folder = next(run.folder.glob("evaluation*"))
    for name in ("table1.md", "table.md", "grid.png", "attention.png", "heads.png", "evaluation.json"):
        assert (folder / name).exists() and name in said
    result = json.loads((folder / "evaluation.json").read_text())
    assert result["protocol"] == "aipgan" and set(result["likeness"]) == {
        "face",
        "expression",
        "expression_judge",
    }
    assert result["likeness"]["face"]["copy the target"]["share"] == 1
    assert result["heads"]["landmarks"] > 0


def test_transfer_draws_the_attention(run, home, tmp_path, capsys):
    source, target = (str(home / "test" / p) for p in ("p500000/000001.jpg", "p500001/000001.jpg"))
    out, seen = tmp_path / "o.png", tmp_path / "seen.png"
    typed = ["--source", source, "--target", target, "--out", str(out), "--attention", str(seen)]
    assert main(["transfer", str(run.folder), *typed]) == 0
    assert cv2.imread(str(out)).shape == (40, 40, 3) and cv2.imread(str(seen)).shape[1] >= 8 * 40
    assert "attention of 7 levels" in capsys.readouterr().out
    editor = editing.load(run, can="transfer")
    assert editor.recognise(torch.zeros(1, 3, 40, 40)).sum().item() == pytest.approx(1)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ("data.identity_maps=none", "data.identity_maps=own"),
        ("data.landmark_images=false", "data.landmark_images=true"),
        ("data.image_size=24", "image_size=24 is too small"),
        ("method.recogniser=published", "no VGG-Face weights at vgg_face_dag.pth"),
    ],
)
def test_what_is_missing_is_named(home, options, change, words):
    with pytest.raises(UserError, match=words):
        experiment.train(config(home, [*options, change]))
