"""ICface from the command line's side on a few generated tracks: trains, resumes, leaves grids, is loaded again."""

import csv
import json
from pathlib import Path

import pytest
import torch

from datamodules.generated.voxceleb import VOXCELEB_LAYOUT
from facegan import experiment
from facegan.adversarial import PANELS
from facegan.cli import main
from facegan.config import UserError
from facegan.editing import load_module
from facegan.judges.weights import save_judge
from facegan.nets.au_regressor import AURegressor
from facegan.runs import Run

SMALL = [
    "method.generator_width=4", "method.generator_blocks=1", "method.critic_width=4", "method.recogniser=trained",
    "method.recogniser_width=0.07", "method.recogniser_epochs=1", "method.epochs=1", "data.name=voxceleb",
    "data.landmarks=openface", "data.align=box", "data.image_size=64", "data.batch_size=8", "data.needs_au=true",
    "data.val_share=0.2", "data.train_share=0.5", "trainer.accelerator=cpu", "trainer.devices=1",
    "trainer.progress=false", "trainer.log_every=1", "log.wandb=disabled",
]  # fmt: skip


@pytest.fixture(scope="module")
def home(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("icface")


@pytest.fixture(autouse=True)
def places(home, monkeypatch):
    for name in ("DATA", "RUNS", "JUDGES"):
        monkeypatch.setenv(f"FACEGAN_{name}", str(home / name.lower()))


def config(home: Path, *options: str) -> experiment.ExperimentConfig:
    file = home / "icface_small.yaml"
    file.write_text("method: {name: icface}\ndata: {name: voxceleb}\n")
    return experiment.load_config(str(file), [*SMALL, f"data.root={home / 'voxceleb'}", *options])


@pytest.fixture(scope="module")
def run(home) -> Run:
    VOXCELEB_LAYOUT.write(home / "voxceleb", people=6, workers=1, videos=1, tracks=1, frames=8)
    with pytest.MonkeyPatch.context() as patch:
        for name in ("DATA", "RUNS", "JUDGES"):
            patch.setenv(f"FACEGAN_{name}", str(home / name.lower()))
        return experiment.train(config(home))


def test_a_run_logs_its_losses_and_draws_its_people(run):
    rows = list(csv.DictReader(run.metrics.open()))
    for name in ("recogniser", "d_fa", "adv_n", "fa_n", "reconstruction_n", "identity_n", *PANELS):
        assert any(row.get(f"train/{name}") for row in rows), name
    for name in ("l1", "copy_l1", "pose_error_own", "au_error_own"):
        assert any(row.get(f"val/{name}") for row in rows), name
    assert len(list(run.samples.glob("*.png"))) == 2


def test_a_resume_ends_where_the_whole_run_does(run, home):
    """With BatchNorm and dropout, as released."""
    stopped = experiment.train(config(home, "trainer.max_batches=5"))
    again = experiment.train(config(home), resume=stopped)
    whole, resumed = (
        torch.load(r.last, map_location="cpu", weights_only=True)["state_dict"] for r in (run, again)
    )
    assert whole.keys() == resumed.keys()
    assert not [key for key, value in whole.items() if not torch.equal(value, resumed[key])]


def test_a_run_is_loaded_without_its_recogniser(run):
    module = load_module(run, can="reenact").eval()
    assert module.C is None and module.config.w_identity == 0
    x = torch.rand(2, 3, 64, 64) * 2 - 1
    neutral = module.neutralise(x)
    pose, au = torch.zeros(2, 3), torch.zeros(2, 17)
    torch.testing.assert_close(module.animate(neutral, pose, au), module.reenact(x, pose, au))
    with pytest.raises(UserError, match="cannot transfer"):
        load_module(run, can="transfer")


def test_a_run_is_evaluated_between_test_people(run, home, capsys):
    pytest.importorskip("dlib")
    torch.manual_seed(0)
    about = {"channels": [4, 4, 8, 8], "trained_on": "nothing"}
    save_judge(home / "judges" / "judge_au.safetensors", AURegressor([4, 4, 8, 8]), about)
    assert main(["evaluate", str(run.folder), "--targets", "6"]) == 0
    said = capsys.readouterr().out
    for name in ("quality table", "AU table", "errors", "grid", "evaluation.json"):
        assert name in said
    (found,) = run.folder.glob("evaluation-*/evaluation.json")
    result = json.loads(found.read_text())
    assert result["pairs"] == 6 and set(result["rows"]) == {
        "copy the source",
        "copy the target",
        "ICface (icface_small)",
    }
