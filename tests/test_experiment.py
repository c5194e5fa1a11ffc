"""The whole path: train, log, save, resume after a kill, two ranks."""

import csv
import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from datamodules.generated.folder import FOLDER_LAYOUT
from datamodules.generated.request import GenerateConfig, ensure_generated, wait_until_generated
from facegan import experiment
from facegan import runs as runs_module
from facegan.adversarial import PANELS
from facegan.callbacks import RunCheckpoint
from facegan.cli import main
from facegan.config import UserError
from facegan.methods.eggan import EGGAN
from facegan.runs import Run, find_run

TINY = [
    "method.epochs=2", "method.pretrain_epochs=1", "method.perceptual=classifier", "method.latent=8",
    "method.encoder_widths=[4,4,8]", "method.generator_widths=[8,8,8,4]", "method.critic_widths=[4,8,8,8]",
    "method.classifier_width=0.05", "method.view_noise=1",
    "data.name=folder", "data.image_size=32", "data.landmarks=openface", "data.batch_size=4", "data.val_fraction=0.2",
    "data.prepare_workers=1", "trainer.accelerator=cpu", "trainer.devices=1", "trainer.threads=1",
    "trainer.log_every=1", "trainer.progress=false", "log.wandb=disabled",
]  # fmt: skip


@pytest.fixture(scope="session")
def people(tmp_path_factory) -> Path:
    """Seven generated people with five pictures each, in the folder layout."""
    return FOLDER_LAYOUT.write(tmp_path_factory.mktemp("people"), people=7, pictures=5, size=64, workers=1)


def tiny(people: Path, *more: str) -> experiment.ExperimentConfig:
    return experiment.load_config(
        "eggan_rafd", [*TINY, f"data.roots=[{people}]", "evaluate_after=false", *more]
    )


def rows(run: Run) -> list[dict[str, str]]:
    with run.metrics.open(newline="") as file:
        return list(csv.DictReader(file))


def weights(run: Run) -> dict[str, torch.Tensor]:
    return torch.load(run.last, map_location="cpu", weights_only=True)["state_dict"]


def assert_same(a: Run, b: Run) -> None:
    one, two = weights(a), weights(b)
    assert one.keys() == two.keys()
    assert not [key for key in one if not torch.equal(one[key], two[key])]
    assert a.metrics.read_bytes() == b.metrics.read_bytes()


@pytest.mark.parametrize(("name", "judge"), [("tergan_oulu", "expression"), ("icface_voxceleb", "au")])
def test_a_judge_that_is_not_there_is_named_before_the_training(name, judge, homes, capsys):
    for after, times in ((True, 1), (False, 0)):
        with pytest.raises(UserError):  # there are no faces
            experiment.train(experiment.load_config(name, [f"evaluate_after={after}"]))
        assert capsys.readouterr().out.count(f"type: facegan train judge_{judge}") == times


def test_a_training_starts_from_a_file_a_run_or_an_experiments_newest_run(homes):
    for when in ("2026-01-01_00-00-00", "2026-01-02_00-00-00"):
        run = Run(runs_module.runs_home() / "tergan_bu4dfe" / when)
        run.last.parent.mkdir(parents=True)
        run.config.touch()
        run.last.touch()
    assert experiment.starting_point("tergan_bu4dfe") == run.last
    assert experiment.starting_point(str(run.last)) == run.last
    assert experiment.starting_point("tergan_bu4dfe/2026-01-01_00-00-00").parts[-3] == "2026-01-01_00-00-00"


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_start_that_fails_leaves_no_run(people, homes):
    with pytest.raises(UserError, match="trainer: "):
        experiment.train(tiny(people, "trainer.accelerator=gpu"))
    assert not list((homes / "runs").glob("*/*"))


def test_a_run_stopped_before_its_first_checkpoint_hides_no_other(homes):
    runs = [Run(homes / "runs" / "eggan_rafd" / f"2026-01-0{day}") for day in (1, 2, 3)]
    for run in runs:
        run.write_config({"name": "eggan_rafd"})
    assert find_run("eggan_rafd") == runs[2]
    runs[1].last.parent.mkdir()
    runs[1].last.touch()
    assert find_run("eggan_rafd") == runs[1]
    assert find_run(str(runs[0].folder.parent)) == runs[1]  # a folder of runs


def test_the_last_fold_is_found_by_its_number(homes):
    folds = homes / "runs" / "tergan_oulu-11folds"
    for fold in range(11):
        run = Run(folds / f"fold-{fold}")
        run.write_config({"name": "tergan_oulu"})
        run.last.parent.mkdir()
        run.last.touch()
    assert find_run(str(folds)).folder.name == "fold-10"


def test_of_many_runs_the_nearest_are_named(homes):
    for name in ("eggan_mmi", "eggan_rafd", *(f"tergan_oulu-{fold}folds" for fold in range(20))):
        Run(homes / "runs" / name / "2026-01-01").write_config({"name": name})
    with pytest.raises(UserError, match="there are runs of eggan_rafd, others"):
        find_run("egan_rafd")


def test_a_run_that_is_gone_on_with_keeps_the_version_it_was_begun_by(homes, monkeypatch):
    run, versions = Run(homes / "run"), iter("aabb")
    monkeypatch.setattr(runs_module, "code_version", lambda: {"commit": next(versions)})
    for _ in range(4):
        run.write_config({"name": "eggan_rafd"})
    assert json.loads((run.folder / "version.json").read_text()) == {
        "commit": "a",
        "resumed": [{"commit": "b"}],
    }


def test_unknown_experiments_and_runs_name_the_nearest(capsys):
    assert main(["train", "egan_rafd"]) == 2
    assert "did you mean eggan_rafd?" in capsys.readouterr().err
    for name, first in (("nothing", "eggan_demo"), ("icface_voxceleb", "icface_voxceleb")):
        with pytest.raises(UserError, match=f"facegan train {first}"):
            find_run(name)


def test_without_rafd_training_stops_at_once_and_says_how_to_go_on(capsys, homes):
    assert main(["train", "eggan_rafd"]) == 2
    said = capsys.readouterr().err
    assert str(homes / "data" / "rafd") in said
    for words in ("Radboud", "facegan train eggan_generated", "data.root="):
        assert words in said
    assert not list((homes / "runs").glob("*/*"))


def test_a_size_that_the_networks_cannot_have_is_one_sentence(people):
    with pytest.raises(UserError, match=r"data\.image_size=48 is not 4 times a power of two"):
        experiment.train(tiny(people, "data.image_size=48"))


def test_a_missing_vgg19_is_said_before_anything_is_prepared(people, homes):
    with pytest.raises(UserError, match="no VGG19 weights"):
        experiment.train(tiny(people, "method.perceptual=vgg19", "method.perceptual_weights=nowhere.pth"))
    assert not list(homes.glob("data/prepared/*"))


def test_weights_that_are_missing_or_others_are_said_before_faces_are_generated(homes):
    others = homes / "others.pth"
    others.write_text("no weights")
    for path, words in (
        (homes / "nowhere.pth", "no VGG-Face weights at"),
        (others, "does not hold VGG-Face"),
    ):
        wrong = ["method.recogniser=published", f"method.identity_weights={path}"]
        with pytest.raises(UserError, match=words):
            experiment.train(experiment.load_config("aipgan_generated", wrong))
    assert not (homes / "data").exists(), "nothing was generated"


def test_a_run_leaves_what_it_should(people):
    run = experiment.train(tiny(people))
    saved = torch.load(run.last, map_location="cpu", weights_only=True)
    log = rows(run)
    assert saved["batches_seen"] == 3 * 6, "three epochs of 25 training pictures in batches of 4"
    assert [row["step"] for row in log if row["train/pretrain_id"]] == [str(i) for i in range(6)]
    assert [row["step"] for row in log if row["train/g_expression"]] == [str(i) for i in range(6, 18)]
    assert {"val/l1", "val/au_mse_own", *(f"train/{name}" for name in PANELS)} <= set(log[0])
    assert (run.folder / "version.json").exists()
    assert len(list(run.samples.glob("*.png"))) == 3
    again = experiment.load_config(str(run.config))
    assert experiment.plain(again)["method"] == experiment.plain(tiny(people))["method"]


def test_grids_come_with_the_validations_that_they_were_asked_for(people):
    rhythm = [
        "trainer.validate_every=2",
        "trainer.sample_every=2",
        "method.epochs=3",
        "trainer.limit_train_batches=2",
    ]
    run = experiment.train(tiny(people, *rhythm))
    assert len(list(run.samples.glob("*.png"))) == 2, "four epochs: after the second and the fourth"


def test_a_person_alone_is_evaluated_on_later_frames_by_a_judge_of_its_own(tmp_path, capsys):
    """The whole path of eggan_video: the judge learns the first frames, the last ones are the test."""
    person = FOLDER_LAYOUT.write(tmp_path / "one", people=1, pictures=40, size=128, workers=1)
    others = FOLDER_LAYOUT.write(tmp_path / "others", people=2, pictures=4, size=64, workers=1)
    weights = tmp_path / "judge.safetensors"
    small = [item for item in TINY if not item.startswith(("data.name", "data.landmarks"))]
    judge = [
        f"data.root={person}", f"method.weights={weights}", "method.epochs=1", "method.channels=[4,4,4,4]",
        "data.prepare_workers=1", "data.batch_size=8", "trainer.progress=false",
    ]  # fmt: skip
    argv = [*small, f"data.root={person}", f"data.roots=[{others}]", "generate=[]", f"judge_options={judge}"]
    assert main(["train", "eggan_video", *argv]) == 0
    run = find_run("eggan_video")
    said = capsys.readouterr().out
    assert "training the judge first" in said and str(run.evaluation / "table.md") in said
    result = json.loads((run.evaluation / "evaluation.json").read_text())
    assert result["protocol"] == "frames" and result["pairs"] == 8
    assert "24 generated pictures (procedural head) of 1 person" in result["judges"]["au"]
    assert result["scores"]["copy the target"]["l1"] == 0 < result["scores"]["copy the source"]["l1"]
    for name in ("grid.png", "interpolation.png", "curves.png"):
        assert (run.evaluation / name).stat().st_size > 1000


def test_other_ranks_wait_for_the_first_to_generate(tmp_path):
    request = GenerateConfig(root=str(tmp_path / "faces"), people=2, pictures=2, size=64, workers=1)
    waiting = threading.Thread(target=wait_until_generated, args=(request,), daemon=True)
    waiting.start()
    waiting.join(0.5)
    assert waiting.is_alive()
    ensure_generated(request, progress=False)
    waiting.join(10)
    assert not waiting.is_alive()


def test_only_faces_in_folders_that_the_data_read_are_generated(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "link").symlink_to(tmp_path / "b")
    generated = []
    monkeypatch.setattr(experiment, "ensure_generated", lambda request, **_: generated.append(request.root))
    tested = ["data.test_roots=[b/people]", f"test_data={{name: folder, roots: [{tmp_path}/d]}}"]
    for overrides, wanted in (
        (["data.roots=[elsewhere]"], ""),
        (["data.roots=[a]"], "a"),
        (["data.roots=[link]"], "b"),
        (["data.roots=[.]"], "abcd"),
        (["data.roots=[a]", *tested], "abd"),
    ):
        config = experiment.load_config("eggan_rafd", ["data.name=folder", *overrides])
        config.generate = [GenerateConfig(root=str(tmp_path / name)) for name in "abcd"]
        generated.clear()
        assert experiment.build_data(config).config is config.data
        assert [Path(root).name for root in generated] == list(wanted), overrides
    assert experiment.build_data(config, "test_data").config is config.test_data


def test_same_seed_same_run_other_seed_other_run(people):
    a, b = experiment.train(tiny(people)), experiment.train(tiny(people))
    assert_same(a, b)
    c = experiment.train(tiny(people, "seed=1"))
    assert a.metrics.read_bytes() != c.metrics.read_bytes()
    experiment.check_same(c, tiny(people, "seed=1"))  # the same command again: that run is its own
    with pytest.raises(UserError, match="seed=1 then, 0 now"):
        experiment.check_same(c, tiny(people))


@pytest.mark.parametrize("at", [8, 12], ids=["mid-epoch", "epoch's edge"])
def test_stopping_and_resuming_is_the_same_run(people, at):
    whole = experiment.train(tiny(people))
    part = experiment.train(tiny(people, f"trainer.max_batches={at}"))
    config = experiment.load_config(str(part.config), ["trainer.max_batches=null"])
    resumed = experiment.train(config, resume=part)
    one, two = weights(whole), weights(resumed)
    assert not [key for key in one if not torch.equal(one[key], two[key])]
    # stopping within an epoch validates once more, there
    extra = [row for row in rows(resumed) if row not in rows(whole)]
    assert [row["step"] for row in extra] == (["7"] if at == 8 else [])
    assert [row for row in rows(resumed) if row not in extra] == rows(whole)


def test_resume_after_kill_9_with_workers_is_bit_for_bit(people, homes):
    """The promise: killed in the middle of an epoch, with loader workers, it goes on as if nothing had been."""
    options = ["data.num_workers=2", "trainer.checkpoint_every=3"]
    whole = experiment.train(tiny(people, *options))
    before = set(homes.glob("runs/*/*"))
    argv = [*TINY, f"data.roots=[{people}]", "evaluate_after=false", *options]
    code = "import sys; sys.argv[0] = 'facegan'; from facegan.cli import main; main(sys.argv[1:])"
    # every batch is slowed down, so that the kill falls between two of them
    slow = "import time; from facegan.methods.eggan import EGGAN as E; s = E.training_step; "
    slow += "E.training_step = lambda *a: (time.sleep(0.3), s(*a))[1]; "
    process = subprocess.Popen(
        [sys.executable, "-c", slow + code, "train", "eggan_rafd", *argv], env=dict(os.environ),
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, start_new_session=True,
    )  # fmt: skip
    deadline = time.time() + 240
    killed = None
    while time.time() < deadline and process.poll() is None:
        found = [Run(folder) for folder in set(homes.glob("runs/*/*")) - before]
        if found and found[0].metrics.exists() and len(rows(found[0])) >= 9:
            killed = found[0]
            break
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGKILL)
    assert killed is not None, process.stderr.read().decode()[-2000:]
    process.wait()
    seen = torch.load(killed.last, map_location="cpu", weights_only=True)["batches_seen"]
    assert seen % 5, "the checkpoint must lie in the middle of an epoch"
    assert len(rows(killed)) > seen, "the log must be ahead of the checkpoint, so that it is cut back"
    assert main(["train", "--resume", str(killed.folder)]) == 0
    assert_same(whole, killed)


RANKS = """
import sys
import torch
from facegan.methods.eggan import EGGAN

def same_on_all_ranks(module):
    for name, value in module.state_dict().items():
        everyone = module.all_gather(value.float())
        assert torch.equal(everyone[0], everyone[1]), name
    print("ranks are equal", flush=True)

EGGAN.on_fit_end = same_on_all_ranks
from facegan.callbacks import RunCheckpoint
from facegan.cli import main
sys.exit(main())
"""


def in_two_ranks(people: Path, folder: Path, options: list[str]) -> Run:
    """The run of two processes over gloo, whose weights were found equal."""
    script = folder / "two_ranks.py"
    script.write_text(RANKS)
    argv = [*TINY, f"data.roots=[{people}]", "evaluate_after=false", *options, "trainer.devices=2"]
    done = subprocess.run(
        [sys.executable, str(script), "train", "eggan_rafd", *argv], capture_output=True, text=True, timeout=500,
        env=dict(os.environ, OMP_NUM_THREADS="1"), check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.count("ranks are equal") == 2
    return find_run("eggan_rafd")


def losses(run: Run) -> list[dict[str, float]]:
    """The training losses of each logged batch."""
    return [
        {k: float(v) for k, v in row.items() if k.startswith("train/") and v and "accuracy" not in k}
        for row in rows(run)
    ]


def test_two_ranks_equal_one_process(people, tmp_path):
    """DDP over gloo, the same global batch, in double precision, at the paper's rates: the losses of one process."""
    options = ["method.epochs=4", "trainer.precision=64-true"]
    one = experiment.train(tiny(people, *options))
    two = in_two_ranks(people, tmp_path, options)
    assert two.folder != one.folder
    compared = 0
    for step, (x, y) in enumerate(zip(losses(one), losses(two), strict=True)):
        compared += len(x)
        assert y == pytest.approx(x, rel=1e-4, abs=1e-5), step
    assert compared > 20 * 10


def test_in_single_precision_two_ranks_are_as_near_as_rounding_allows(people, tmp_path, monkeypatch):
    """Rounding grows some tenfold a step (Adam's first steps have the size of the rate, however small a gradient).

    So the yardstick is one process that sees the same pictures in another order, which is the same mathematics.
    """
    options = ["method.epochs=2"]
    one = losses(experiment.train(tiny(people, *options)))
    two = losses(in_two_ranks(people, tmp_path, options))
    step, draws = EGGAN.training_step, EGGAN.draws
    monkeypatch.setattr(EGGAN, "draws", lambda self, *shape, **kind: draws(self, *shape, **kind).flip(0))
    monkeypatch.setattr(
        EGGAN, "training_step", lambda self, batch, n: step(self, {k: v.flip(0) for k, v in batch.items()}, n)
    )
    flipped = losses(experiment.train(tiny(people, *options)))

    def apart(run: list[dict[str, float]], batches: slice) -> float:
        pairs = zip(one[batches], run[batches], strict=True)
        return max(abs(y[key] - x[key]) / (abs(x[key]) + 0.01) for x, y in pairs for key in x if key in y)

    assert one != flipped, "another order must round differently, or the yardstick is none"
    assert apart(two, slice(2)) < 1e-5
    assert apart(two, slice(None)) < 10 * apart(flipped, slice(None))


def test_of_equally_good_checkpoints_the_latest_is_the_best(tmp_path):
    """An accuracy that is soon 1 must not keep a network of the first stage."""
    saved: list[float] = []
    trainer = SimpleNamespace(strategy=SimpleNamespace(broadcast=lambda value: value), callback_metrics={})
    keeper = RunCheckpoint(Run(tmp_path), every=1, monitor=("val/accuracy",))
    keeper._save = lambda *args: saved.append(keeper.best)
    for value in (0.5, 1.0, 0.9, 1.0):
        trainer.callback_metrics = {"val/accuracy": torch.tensor(value)}
        keeper.on_validation_end(trainer, None)
    assert saved == [0.5, 1.0, 1.0]
