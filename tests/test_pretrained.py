"""The weights that come with the package work straight after installation, on a face that is no photograph."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from datamodules.generated.folder import FOLDER_LAYOUT
from facegan.cli import main
from facegan.runs import PRETRAINED, WEIGHTS, find_run, pretrained

USES = {
    "eggan-generated": "edit eggan-generated --image {a} --au AU12=4 AU25=3 --out {out}",
    "tergan-generated": "transfer tergan-generated --source {b} --target {a} --out {out}",
    "aipgan-generated": "transfer aipgan-generated --source {b} --target {a} --out {out}",
    "icface-generated": "reenact icface-generated --source {a} --set AU12=4 AU26=3 yaw=0.3 --out {out}",
}


@pytest.fixture(scope="module")
def faces(tmp_path_factory) -> tuple[Path, Path]:
    """Two pictures of people whom no run was trained on."""
    pytest.importorskip("dlib")
    home = FOLDER_LAYOUT.write(
        tmp_path_factory.mktemp("faces"), people=2, pictures=1, first_person=700100, size=160, workers=1,
        light_spread=0.0, pose_spread=(1.0, 1.0, 1.0),
    )  # fmt: skip
    a, b = sorted(home.rglob("*.jpg"))
    return a, b


def test_they_are_all_there_and_small():
    assert [run.folder.name for run in pretrained()] == sorted(USES)
    size = sum(file.stat().st_size for file in PRETRAINED.glob("*/*"))
    assert size <= 12e6, f"{size / 1e6:.1f} MB"


@pytest.mark.parametrize("name", USES)
def test_its_command_moves_the_face(name, faces, tmp_path, capsys):
    a, b = faces
    command = USES[name].format(a=a, b=b, out=tmp_path / "out.png")
    assert main(command.split()) == 0, capsys.readouterr().err
    picture = cv2.imread(str(tmp_path / "out.png")).astype(float)
    side = picture.shape[0]
    tiles = np.split(picture, range(side, picture.shape[1], side), 1)
    assert len(tiles) >= 2 and np.abs(tiles[0] - tiles[-1]).mean() > 2, "a result beside the input"
    assert picture.std() > 20, "which is a picture"


@pytest.mark.parametrize("name", USES)
def test_its_card_has_figures_and_limits(name):
    run = find_run(name)
    card = (run.folder / "README.md").read_text()
    for words in ("generated faces", "copy the source", "**Limits.**", "commit", "sha256"):
        assert words in card, words
    assert (run.folder / WEIGHTS).is_file()


def test_recognition_needs_no_training_either(faces, capsys):
    assert main(["recognise", "tergan-generated", *map(str, faces)]) == 0
    assert "happiness" in capsys.readouterr().out
