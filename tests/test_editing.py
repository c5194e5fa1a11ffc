"""A trained run used on picture files, from Python and from the command line."""

import re
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from datamodules.generated.folder import FOLDER_LAYOUT
from facegan import editing, experiment
from facegan.cli import main
from facegan.config import UserError
from facegan.runs import Run
from tests.test_experiment import TINY


@pytest.fixture(scope="module")
def people(tmp_path_factory) -> Path:
    """Four generated people, pictures large enough for dlib."""
    return FOLDER_LAYOUT.write(tmp_path_factory.mktemp("faces"), people=4, pictures=3, size=160, workers=1)


@pytest.fixture(scope="module")
def run(people, tmp_path_factory) -> Run:
    """A run of three batches: enough to have all files."""
    home = tmp_path_factory.mktemp("editing")
    with pytest.MonkeyPatch.context() as patch:
        for name in ("DATA", "RUNS", "JUDGES"):
            patch.setenv(f"FACEGAN_{name}", str(home / name.lower()))
        options = [
            *TINY,
            f"data.roots=[{people}]",
            "evaluate_after=false",
            "method.epochs=1",
            "data.batch_size=2",
        ]
        return experiment.train(experiment.load_config("eggan_rafd", options))


@pytest.fixture(scope="module")
def picture(people) -> str:
    return str(people / "p000001" / "000001.jpg")


def read(path: Path) -> np.ndarray:
    image = cv2.imread(str(path))
    assert image is not None
    return image


def test_edit_from_python_is_the_method_s_own(run):
    editor = editing.load(run)
    images, au = torch.rand(2, 3, 32, 32) * 2 - 1, torch.rand(2, 17) * 5
    assert torch.equal(editor.edit(images, au), editor.module.edit(images, au))
    assert not editor.module.training
    assert editing.load(str(run.folder)).size == 32


def test_crop_is_the_one_of_training(run, people, picture):
    """The crop that editing cuts by dlib's landmarks is nearly the stored one, cut by exact landmarks."""
    config = experiment.load_config(str(run.config))
    data = experiment.build_data(config)
    data.config.store = None
    face = editing.load(run).cut(picture)
    assert face.image.shape == (3, 32, 32)
    eye_line = face.matrix @ np.array([80, 80, 1.0])
    assert 0 <= eye_line.min() <= eye_line.max() <= 32, "the middle of the picture lies in the crop"


def test_edit_writes_a_picture_a_strip_and_an_animation(run, picture, tmp_path, capsys):
    base = ["edit", str(run.folder), "--image", picture, "--au", "AU12=4", "AU25=2"]
    assert main([*base, "--out", str(tmp_path / "one.png")]) == 0
    assert read(tmp_path / "one.png").shape == (32, 32, 3)
    assert main([*base, "--steps", "5", "--out", str(tmp_path / "strip.png")]) == 0
    assert read(tmp_path / "strip.png").shape == (32, 6 * 32, 3)
    assert main([*base, "--steps", "4", "--out", str(tmp_path / "move.gif")]) == 0
    assert cv2.VideoCapture(str(tmp_path / "move.gif")).isOpened()
    assert main([*base, "--paste", "--out", str(tmp_path / "whole.png")]) == 0
    before, after = read(Path(picture)), read(tmp_path / "whole.png")
    assert after.shape == before.shape
    face = editing.load(run).cut(picture)
    y, x = np.indices(before.shape[:2])
    places = np.stack([x, y, np.ones_like(x)], -1) @ face.matrix.T
    outside = ((places < -1) | (places > 32)).any(-1)
    assert (before[outside] == after[outside]).all(), "outside the crop the picture stays as it was"
    assert (before[~outside] != after[~outside]).mean() > 0.5
    assert len(capsys.readouterr().out.splitlines()) == 4


def test_like_takes_aus_from_a_csv_and_from_a_picture(run, people, picture, tmp_path):
    csv = people / "p000002.csv"
    au = editing.csv_aus(csv)
    assert au.shape == (17,)
    assert au.max() <= 5
    assert (
        main(
            [
                "edit",
                str(run.folder),
                "--image",
                picture,
                "--like-au",
                str(csv),
                "--out",
                str(tmp_path / "a.png"),
            ]
        )
        == 0
    )
    other = str(people / "p000002" / "000001.jpg")
    assert (
        main(["edit", str(run.folder), "--image", picture, "--like", other, "--out", str(tmp_path / "b.png")])
        == 0
    )


def test_unchanged_aus_stay_as_they_are():
    source = torch.linspace(0, 4, 17)
    target = editing.target_aus(source, ["AU12=5", "au1=0.5"])
    assert target[8] == 5
    assert target[0] == 0.5
    kept = [i for i in range(17) if i not in (0, 8)]
    assert torch.equal(target[kept], source[kept])


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--au", "AU3=2"], "unknown action unit"),
        (["--au", "AU12=9"], "from 0 to 5"),
        ([], "nothing to change"),
        (["--au", "AU12=4", "--steps", "0"], "must be 1 or more"),
        (["--au", "AU12=4", "--out", "x.tiff"], "name a .png"),
        (["--au", "AU12=4", "--image", "none.jpg"], "file is missing"),
        (["--au", "AU12=4", "--image", "."], "a folder, not a picture"),
        (["--au", "AU12=4", "--image", "a.png", "--image", "b.png"], "several pictures make a grid"),
        (["--au", "AU12=4", "--au", "AU99=1"], "unknown action unit"),
        (["--au", "AU12=4", "--checkpoint", "best2"], "no checkpoint"),
        (["--like-au", "none.csv"], "none.csv"),
    ],
)
def test_mistakes_are_one_sentence(run, picture, options, words, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    image = [] if "--image" in options else ["--image", picture]
    argv = ["edit", str(run.folder), *image, "--out", str(tmp_path / "out.png"), *options]
    assert main(argv) == 2
    said = capsys.readouterr().err
    assert words in said
    assert len(said.strip().splitlines()) == 1


def test_a_picture_without_a_face_is_refused(run, tmp_path):
    cv2.imwrite(str(tmp_path / "wall.png"), np.full((200, 200, 3), 128, np.uint8))
    with pytest.raises(UserError, match="no face found"):
        editing.load(run).cut(tmp_path / "wall.png")


def test_expressions_make_a_grid_with_verdicts_and_name_what_has_no_face(run, people, tmp_path, capsys):
    blank = tmp_path / "blank.png"
    cv2.imwrite(str(blank), np.full((160, 160, 3), 127, np.uint8))
    faces = [str(people / f"p00000{k}" / "000001.jpg") for k in (1, 2)]
    out = tmp_path / "grid.png"
    argv = ["edit", str(run.folder), "--expressions", "--image", *faces, str(blank), "--out", str(out)]
    assert main(argv) == 0
    text = capsys.readouterr().out
    assert "2 faces x 8 expressions" in text and "left out" in text and "blank.png" in text
    counts = [int(n) for n in re.findall(r"(\d+) (?:the same|another|without a face)", text)]
    assert len(counts) == 3 and sum(counts) == 16
    assert read(out).shape[1] > 8 * 96
    assert main(["edit", str(run.folder), "--expressions", "--image", str(blank), "--out", str(out)]) == 2
    assert main(["edit", str(run.folder), "--image", *faces, "--au", "AU12=3", "--out", str(out)]) == 2
    assert "--expressions" in capsys.readouterr().err


def test_a_method_of_crops_is_given_the_middle_of_the_aligned_face(run, picture):
    editor = editing.load(run)
    config = {"data": {"image_size": 32, "crop": 24, "align": "similarity", "landmarks": "dlib"}}
    whole, middle = editor.cut(picture), editing.FaceEditor(editor.module, config).cut(picture)
    assert torch.equal(middle.image, whole.image[:, 4:28, 4:28])
    np.testing.assert_allclose(whole.matrix - middle.matrix, [[0, 0, 4], [0, 0, 4]])
