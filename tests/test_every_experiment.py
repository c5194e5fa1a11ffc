"""Every YAML is alive: on a generated stand-in of its own data set it trains two batches and is evaluated."""

import json
from functools import cache
from pathlib import Path

import pytest

from datamodules.all import DATAMODULES
from datamodules.generated.folder import FOLDER_LAYOUT
from datamodules.generated.mmi import MMI_LAYOUT
from datamodules.generated.portraits import CELEBA_LAYOUT
from datamodules.generated.rafd import RAFD_LAYOUT
from datamodules.generated.sequences import BU4DFE_LAYOUT, OULU_CASIA_LAYOUT
from datamodules.generated.voxceleb import VOXCELEB_LAYOUT
from facegan.callbacks import JudgeEdits
from facegan.config import judges_home
from facegan.evaluation import evaluate_run
from facegan.experiment import train
from facegan.experiment_config import load_config
from facegan.judges.weights import AU_WEIGHTS, EXPRESSION_WEIGHTS, save_judge
from facegan.nets.au_regressor import AURegressor
from facegan.protocols import common
from facegan.runs import experiments

BASIC = ("anger", "disgust", "fear", "happiness", "sadness", "surprise")

EVERYWHERE = [
    "data.batch_size=4", "data.prepare_workers=1", "generate=[]", "judge=null", "init_from=null",
    "trainer.accelerator=cpu",
    "trainer.devices=1", "trainer.precision=32-true", "trainer.progress=false", "trainer.limit_train_batches=2",
    "trainer.limit_val_batches=1", "trainer.validate_every=1", "trainer.log_every=1", "log.wandb=disabled", "targets=6",
]  # fmt: skip

TINY = {
    "eggan": [
        "method.latent=8", "method.encoder_widths=[4,4,8]", "method.generator_widths=[8,8,8,4]",
        "method.critic_widths=[4,8,8,8]", "method.classifier_width=0.05", "method.perceptual=classifier",
        "data.image_size=32", "trainer.max_epochs=2",
    ],
    "tergan": [
        "method.encoder_widths=[4,4,4,4,8]", "method.critic_widths=[4,4,4,4]", "method.critic_shared=8",
        "data.image_size=40", "trainer.max_epochs=3",
    ],
    "aipgan": [
        "method.widths=[4,4,4,4,4,8,8]", "method.bilinear=16", "method.head=16", "method.critic_width=4",
        "method.critic_layers=1", "method.recogniser=trained", "method.recogniser_size=32",
        "method.recogniser_width=0.02", "method.recogniser_epochs=1", "method.encoder_epochs=1",
        "method.decoder_epochs=1", "method.epochs=1", "data.image_size=40",
    ],
    "icface": [
        "method.generator_width=4", "method.generator_blocks=1", "method.critic_width=4", "data.image_size=64",
        "trainer.max_epochs=1", "trainer.max_batches=null",
    ],
    "judge_au": ["method.channels=[4,4,4,4]", "method.epochs=1", "data.image_size=64"],
    "judge_expression": ["method.channels=[4,4,4,4]", "method.epochs=1", "data.image_size=64"],
    "judge_pose": ["method.channels=[4,4,4,4]", "method.epochs=1", "data.image_size=64"],
    "judge_identity": ["method.width=0.1", "method.epochs=1", "data.image_size=64"],
}  # fmt: skip


@pytest.fixture(scope="module")
def stand_in(tmp_path_factory):
    """The stand-in of a data set by name, written when it is first asked for; "video" is a person of ``folder``."""
    home = tmp_path_factory.mktemp("stand_ins")
    brief = {"workers": 1, "progress": False}

    @cache
    def write(name: str) -> Path:
        root = home / name
        faces = {"size": 96, "aus": "prototypes", "light_spread": 0.0, "pose_spread": (1.0, 1.0, 1.0)}
        match name:
            case "rafd":
                faces = {
                    "gazes": ("frontal",),
                    "expressions": ("neutral", "happiness", "anger"),
                    "size": (256, 170),
                }
                return RAFD_LAYOUT.write(root, people=24, **brief, **faces, texture=96)
            case "oulu_casia":
                return OULU_CASIA_LAYOUT.write(
                    root, people=10, **brief, frames=(5, 6), size=(120, 160), texture=96
                )
            case "bu4dfe":
                return BU4DFE_LAYOUT.write(
                    root, people=20, **brief, frames=(5, 6), size=(166, 130), texture=96
                )
            case "mmi":
                return MMI_LAYOUT.write(root, people=6, **brief, frames=(6, 8), size=(160, 128), texture=96)
            case "voxceleb":
                return VOXCELEB_LAYOUT.write(root, people=6, **brief, frames=4, texture=96)
            case "celeba":
                return CELEBA_LAYOUT.write(root, people=20, **brief, pictures=2, texture=96)
            case "test":
                return FOLDER_LAYOUT.write(root, people=2, pictures=8, first_person=500_000, **brief, **faces)
            case _:
                return FOLDER_LAYOUT.write(root, people=4, pictures=16, **brief, **faces)

    return write


def options(name: str, stand_in) -> list[str]:
    """What makes an experiment tiny, and where its faces are."""
    config = load_config(name)
    method, data = config.method.name, config.data
    own = [*EVERYWHERE, *TINY[method], "data.landmarks=openface"]
    if method == "eggan" and config.method.architecture == "released":
        own += ["data.image_size=32", "data.batch_size=2", "method.view_noise=0"]
        # 198 million weights
        own += ["trainer.max_epochs=1", "trainer.limit_train_batches=1"]
    if method == "eggan" and config.method.pretrain_epochs:
        own += ["method.pretrain_epochs=1", "method.epochs=1"]
    if method == "tergan":
        own += ["method.pretrain_epochs=1"] + ["method.epochs=1"] * bool(config.method.epochs)
        own += [f"method.decoder_epochs={min(1, config.method.decoder_epochs)}"]
        own += ["data.crop=32", "data.image_size=40"] if data.crop else []
    if method == "icface" and config.method.w_identity:
        own += ["method.recogniser=trained", "method.recogniser_width=0.07", "method.recogniser_epochs=1"]
    if method.startswith("judge"):
        own += [f"method.weights={judges_home() / 'new.safetensors'}"]
    if data.name != "folder":
        own += [f"data.root={stand_in(data.name)}"] + ["data.folds=3"] * hasattr(data, "folds")
        own += ["data.test_people=6"] * (data.name == "rafd")
    else:
        own += [f"data.root={stand_in('folder')}", "data.roots=[]"]
        own += [f"data.test_roots=[{stand_in('test')}]"] if data.test_fraction else ["data.test_fraction=0.5"]
    if config.test_data is not None:
        own += [
            f"test_data.root={stand_in(config.test_data.name)}",
            "test_data.image_size=40",
            "test_data.frontal=1",
        ]
        own += ["test_data.landmarks=dlib", "test_data.prepare_workers=1"]
    return own


@pytest.fixture(scope="module")
def prepared(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("prepared")


@pytest.fixture
def judges(prepared, monkeypatch):
    """Judges that answer anything, so that nothing is trained beside; prepared faces serve several experiments."""
    monkeypatch.setenv("FACEGAN_DATA", str(prepared))
    monkeypatch.setattr(common, "REAL_PICTURES", 8)
    monkeypatch.setattr(JudgeEdits.__init__, "__defaults__", (None, 8))
    about = {"architecture": "AURegressor", "channels": [4, 4, 4, 4], "trained_on": "nothing"}
    save_judge(judges_home() / AU_WEIGHTS, AURegressor([4, 4, 4, 4]), about)
    expressions = about | {"expressions": list(BASIC)}
    save_judge(judges_home() / EXPRESSION_WEIGHTS, AURegressor([4, 4, 4, 4], len(BASIC)), expressions)


def by_data(name: str) -> str:
    """Experiments on one data set stand together, so that a worker writes few stand-ins."""
    return load_config(name).data.name


@pytest.mark.parametrize("name", sorted(experiments(), key=by_data))
def test_an_experiment_trains_and_is_evaluated(name, stand_in, judges):
    config = load_config(name, options(name, stand_in))
    run = train(config)
    assert run.last.exists()
    losses = run.metrics.read_text().splitlines()
    assert len(losses) > 2 and "train/" in losses[0]
    if config.method.name.startswith("judge"):
        assert json.loads((judges_home() / "new.json").read_text())["sha256"]
        return
    written = evaluate_run(run)
    result = json.loads((run.evaluation / "evaluation.json").read_text())
    assert result["pairs"] >= 2 and result["generated"] == "procedural"
    assert all(path.stat().st_size for path in written.values())
    tables = "".join(path.read_text() for path in run.evaluation.glob("*.md"))
    assert "copy the source" in tables and "copy the target" in tables


@pytest.mark.parametrize("name", sorted(experiments()))
def test_what_an_experiment_names_exists(name):
    """What the tiny runs leave out: its judge, where it starts from, and the faces that it asks for."""
    config = load_config(name)
    if config.judge is not None:
        judge = load_config(config.judge, config.judge_options).method
        assert judge.name == {"eggan": "judge_au", "icface": "judge_au"}.get(
            config.method.name, "judge_expression"
        )
    if config.init_from:
        assert load_config(config.init_from).method.name == config.method.name
    for part in filter(None, (config.data, config.test_data)):
        read = [Path(root) for root in DATAMODULES[part.name][1](part).roots()]
        asked = [Path(request.root) for request in config.generate if request.layout == part.name]
        assert all(any(root.is_relative_to(own) for own in read) for root in asked), "faces that nobody reads"
