"""TER-GAN's uses on picture files, with a run of a few batches on generated faces."""

import csv
import shutil
from pathlib import Path

import cv2
import pytest
import torch
from omegaconf import OmegaConf

from datamodules.generated.folder import FOLDER_LAYOUT
from facegan import editing, experiment
from facegan.adversarial import PANELS
from facegan.cli import main
from facegan.config import UserError
from facegan.runs import Run
from facegan.transferring import _distances

SMALL = [
    "method.encoder_widths=[4,4,8,8,8]", "method.critic_widths=[4,4,4,4]", "method.critic_shared=16",
    "method.pretrain_epochs=1", "method.epochs=1", "data.name=folder", "data.landmarks=openface", "data.image_size=40",
    "data.crop=32", "data.batch_size=4", "data.needs_au=false", "data.test_fraction=0", "data.val_fraction=0",
    "trainer.accelerator=cpu", "trainer.devices=1", "trainer.progress=false", "log.wandb=disabled", "data.flip=0.5",
    "trainer.log_every=1",
]  # fmt: skip


@pytest.fixture(scope="module")
def people(tmp_path_factory) -> Path:
    return FOLDER_LAYOUT.write(
        tmp_path_factory.mktemp("faces"), people=3, pictures=12, size=160, workers=1, aus="prototypes",
        light_spread=0.0, pose_spread=(1.0, 1.0, 1.0),
    )  # fmt: skip


@pytest.fixture(scope="module")
def run(people, tmp_path_factory) -> Run:
    home = tmp_path_factory.mktemp("transferring")
    with pytest.MonkeyPatch.context() as patch:
        for name in ("DATA", "RUNS", "JUDGES"):
            patch.setenv(f"FACEGAN_{name}", str(home / name.lower()))
        with (people / "labels.csv").open() as file:
            shown = sorted({row["expression"] for row in csv.DictReader(file)})
        names = ",".join(shown)
        file = home / "tergan_small.yaml"
        file.write_text("method: {name: tergan}\ndata: {name: folder, pairing: cross_identity}\n")
        options = [
            *SMALL,
            f"data.roots=[{people}]",
            f"method.expressions=[{names}]",
            f"data.expressions=[{names}]",
        ]
        return experiment.train(experiment.load_config(str(file), options))


def faces(people: Path, *pictures: str) -> list[str]:
    return [str(people / picture) for picture in pictures]


def test_a_run_leaves_a_grid_of_transfers_and_a_log(run):
    assert len(list(run.samples.glob("*.png"))) == 2
    log = run.metrics.read_text().splitlines()[0].split(",")
    assert {
        *(f"train/{name}" for name in PANELS),
        "train/d_es",
        "train/pretrain_e",
        "val/expression_accuracy",
        "val/baseline_accuracy",
    } <= set(log)


def test_transfer_from_python_is_the_method_s_own(run):
    editor = editing.load(run)
    source, target = torch.rand(2, 2, 3, 32, 32) * 2 - 1
    assert torch.equal(editor.transfer(source, target), editor.module.transfer(source, target))
    assert not editor.module.training


def test_one_pair_makes_a_picture_or_the_whole_picture(run, people, tmp_path, capsys):
    source, target = faces(people, "p000000/000001.jpg", "p000001/000002.jpg")
    for extra, size in (([], 32), (["--paste"], 160)):
        out = tmp_path / f"{size}.png"
        assert (
            main(
                [
                    "transfer",
                    str(run.folder),
                    "--source",
                    source,
                    "--target",
                    target,
                    "--out",
                    str(out),
                    *extra,
                ]
            )
            == 0
        )
        assert cv2.imread(str(out)).shape == (size, size, 3)
    assert "1 picture of 160x160" in capsys.readouterr().out


def test_several_make_a_grid_and_what_has_no_face_is_named(run, people, tmp_path, capsys):
    (tmp_path / "wall.png").write_bytes((cv2.imencode(".png", torch.zeros(80, 80, 3).numpy())[1]).tobytes())
    sources = [*faces(people, "p000000/000001.jpg", "p000000/000003.jpg"), str(tmp_path / "wall.png")]
    targets = faces(people, "p000001/000001.jpg", "p000002/000001.jpg")
    out = tmp_path / "grid.png"
    assert (
        main(["transfer", str(run.folder), "--source", *sources, "--target", *targets, "--out", str(out)])
        == 0
    )
    said = capsys.readouterr().out
    assert "2 expressions (columns) on 2 pictures (rows)" in said and "of 4 nearer to the person" in said
    assert "left out:" in said and "wall.png" in said
    height, width = cv2.imread(str(out)).shape[:2]
    assert height >= 3 * 96 and width >= 3 * 96


def test_a_run_of_generated_faces_alone_says_so(run, homes, tmp_path, capsys):
    """Its own config says whether: what it had written is all that it reads."""
    assert editing.load(run, can="transfer") and "generated faces only" not in capsys.readouterr().err
    again = Run(tmp_path / "again")
    shutil.copytree(run.folder, again.folder)
    config = OmegaConf.load(again.config)
    config.generate = [{"root": config.data.roots[0]}]
    OmegaConf.save(config, again.config)
    editing.load(again, can="transfer")
    assert "again: trained on generated faces only" in capsys.readouterr().err
    config.data.roots = [*config.data.roots, str(tmp_path / "photographs")]
    OmegaConf.save(config, again.config)
    editing.load(again, can="transfer")
    assert "generated faces only" not in capsys.readouterr().err


@pytest.mark.parametrize(
    ("away", "left", "note"), [(0.41, 0.7, "0.41, source 0.70"), (float("nan"), float("nan"), "no face")]
)
def test_a_result_has_both_distances_beside_it(away, left, note):
    assert _distances(away, left) == note


def test_recognise_gives_probabilities_of_files_and_folders(run, people, tmp_path, capsys):
    out = tmp_path / "table.csv"
    assert main(["recognise", str(run.folder), str(people / "p000000"), "--out", str(out)]) == 0
    rows = list(csv.DictReader(out.open()))
    assert len(rows) == 12 and rows[0]["image"].endswith("p000000/000001.jpg")
    names = [name for name in rows[0] if name not in ("image", "expression")]
    for row in rows:
        values = {name: float(row[name]) for name in names}
        assert sum(values.values()) == pytest.approx(1, abs=1e-3)
        assert row["expression"] == max(values, key=values.__getitem__)
    assert "12 pictures" in capsys.readouterr().out


def test_recognised_pictures_are_written_as_they_come(run, people, tmp_path, monkeypatch):
    out, cut, seen = tmp_path / "table.csv", editing.FaceEditor.cut, []

    def tiring(self, path):
        if len(seen) == 3:
            raise KeyboardInterrupt
        seen.append(path)
        return cut(self, path)

    monkeypatch.setattr(editing.FaceEditor, "cut", tiring)
    assert main(["recognise", str(run.folder), str(people / "p000000"), "--out", str(out)]) == 130
    assert len(list(csv.DictReader((tmp_path / "table.csv.part").open()))) == 3


def test_an_older_table_stays_where_nothing_is_recognised(run, tmp_path):
    out = tmp_path / "table.csv"
    out.write_text("kept\n")
    assert main(["recognise", str(run.folder), str(tmp_path), "--out", str(out)]) == 2
    assert out.read_text() == "kept\n" and [path.name for path in tmp_path.iterdir()] == ["table.csv"]


def test_weights_are_taken_over_but_for_layers_of_other_people(run, people, capsys):
    """T14: as many people, but others, and the layers for them start anew; of the same people nothing does."""
    checkpoint = torch.load(run.last, weights_only=True)
    config = experiment.load_config(str(run.config), [f"init_from={run.last}"])
    data = experiment.build_data(config)
    data.setup()
    assert checkpoint["people"] == data.identities

    def taken():
        module = experiment.build_method(config, data)
        return {
            key
            for key, value in module.state_dict().items()
            if torch.equal(value, checkpoint["state_dict"][key])
        }

    heads = {
        f"{layer}.{kind}" for layer in ("pretrained.identity", "D.identity.4") for kind in ("weight", "bias")
    }
    everything = set(checkpoint["state_dict"])
    assert taken() == everything
    data.identities = [f"another {k}" for k, _ in enumerate(data.identities)]
    assert taken() == everything - heads
    assert "new: ['pretrained.identity.weight'" in capsys.readouterr().out

    data.identities = checkpoint["people"]
    config.method.expressions = config.method.expressions[::-1]
    anew = everything - taken()
    assert {key.split(".")[-2] for key in anew} == {"recogniser", "expression", "4"}
    assert experiment.build_method(config, data).classes.tolist() != checkpoint_classes(run)


def checkpoint_classes(run):
    return editing.load_module(run, can="transfer").classes.tolist()


def test_a_start_from_something_else_is_refused(run, tmp_path):
    config = experiment.load_config(str(run.config), [])
    data = experiment.build_data(config)
    data.setup()
    for content, words in (
        ({"state_dict": {"other": torch.ones(1)}}, "none of its weights fits"),
        ({}, "no checkpoint"),
    ):
        torch.save(content, tmp_path / "other.ckpt")
        config.init_from = str(tmp_path / "other.ckpt")
        with pytest.raises(UserError, match=words):
            experiment.build_method(config, data)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["edit", "RUN", "--image", "x.jpg", "--au", "AU12=3", "--out", "o.png"], "cannot edit; eggan can"),
        (["recognise", "RUN", "nowhere.jpg"], "nothing to recognise: nowhere.jpg"),
        (["recognise", "RUN", "nowhere.jpg", "--out", "."], "--out .: name a .csv file"),
        (["recognise", "RUN", "nowhere.jpg", "--out", "nowhere/a.csv"], "--out nowhere/a.csv: name a .csv file"),
        (["recognise", "RUN", "x.jpg", "--checkpoint", __file__], "is no checkpoint of facegan train"),
        (["transfer", "RUN", "--source", "a.jpg", "--target", "b.jpg", "--out", "o.gif"], "name a .png or .jpg file"),
        (["transfer", "RUN", "--source", __file__, "--target", "b.jpg", "--out", __file__], "name a .png or .jpg file"),
        (["transfer", "RUN", "--source", "a.jpg", "--target", "b.jpg", "--out", "b.jpg"], "would write over"),
        (["transfer", "RUN", "--source", "a.jpg", "--target", "b.jpg", "--attention", "seen", "--out", "o.png"],
         "--attention seen: name a .png or .jpg file"),
        (["transfer", "RUN", "--source", "a.jpg", "--target", ".git", "--out", "o.png"],
         "looked in .git and below for files ending in .bmp"),
        (["recognise", "RUN", ".git"], "looked in .git and below"),
        (["transfer", "RUN", "--source", "a.jpg", "b.jpg", "--target", "c.jpg", "--paste", "--out", "o.png"],
         "--paste goes with one source"),
    ],
)  # fmt: skip
def test_what_cannot_be_done_is_one_sentence(run, arguments, words, capsys):
    assert main([str(run.folder) if word == "RUN" else word for word in arguments]) == 2
    assert words in capsys.readouterr().err


def test_unknown_expressions_are_refused(run):
    with pytest.raises(UserError, match=r"data\.expressions=joyful"):
        config = experiment.load_config(str(run.config), ["data.expressions=[joyful]"])
        experiment.train(config)
