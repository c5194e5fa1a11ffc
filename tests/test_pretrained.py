"""The weights that come with the package work straight after installation, on a face that is no photograph."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from datamodules.generated.folder import FOLDER_LAYOUT
from datamodules.generated.sequences import OULU_EMOTIONS
from facegan.cli import main
from facegan.runs import PRETRAINED, WEIGHTS, find_run, pretrained

USES = {
    "eggan-generated": ("edit", "--image {face} --au AU12=4 AU25=3", "--image {face} --au AU4=4 AU1=3"),
    "tergan-generated": ("transfer", "--source {first} --target {face}", "--source {second} --target {face}"),
    "aipgan-generated": ("transfer", "--source {first} --target {face}", "--source {second} --target {face}"),
    "icface-generated": ("reenact", "--source {face} --set yaw=0.4 AU26=3", "--source {face} --set yaw=-0.4"),
}
"""Two wishes of each."""


@pytest.fixture(scope="module")
def faces(tmp_path_factory) -> dict[str, Path]:
    """A face of somebody on whom nothing was trained, and a smile and a surprise of somebody else."""
    pytest.importorskip("dlib")
    home = FOLDER_LAYOUT.write(
        tmp_path_factory.mktemp("faces"), people=2, pictures=len(OULU_EMOTIONS), aus="apexes", first_person=700100,
        size=160, workers=1,
    )  # fmt: skip
    files = dict(zip(OULU_EMOTIONS.values(), sorted((home / "p700101").glob("*.jpg")), strict=True))
    return {
        "face": home / "p700100/000001.jpg", "first": files["happiness"], "second": files["surprise"],
    }  # fmt: skip


def test_they_are_all_there_and_small():
    assert [run.folder.name for run in pretrained()] == sorted(USES)
    size = sum(file.stat().st_size for file in PRETRAINED.glob("*/*"))
    assert size <= 12e6, f"{size / 1e6:.1f} MB"


@pytest.mark.parametrize("name", USES)
def test_its_command_moves_the_face(name, faces, tmp_path, capsys):
    command, *wishes = USES[name]
    pictures = []
    for wish in wishes:
        out = tmp_path / f"{len(pictures)}.png"
        arguments = [command, name, *wish.format(**faces).split(), "--out", str(out)]
        assert main(arguments) == 0, capsys.readouterr().err
        pictures.append(cv2.imread(str(out)).astype(float))
    assert min(picture.std() for picture in pictures) > 20, "faces"
    assert np.abs(pictures[0] - pictures[1]).mean() > 2, "another wish, another picture"
    assert f"pretrained/{name}/README.md" in capsys.readouterr().err, "where its limits stand"


@pytest.mark.parametrize("name", USES)
def test_its_card_has_figures_and_limits(name):
    run = find_run(name)
    card = (run.folder / "README.md").read_text()
    for words in ("generated faces", "copy the source", "**Limits.**", "commit", "sha256"):
        assert words in card, words
    assert (run.folder / WEIGHTS).is_file()


def test_recognition_needs_no_training_either(faces, capsys):
    assert main(["recognise", "tergan-generated", *map(str, faces.values())]) == 0
    found = [line.split()[1] for line in capsys.readouterr().out.splitlines()[1:]]
    assert found == ["anger", "happiness", "surprise"]


def test_its_limits_are_named_when_it_is_used(faces, tmp_path, capsys):
    assert main(["recognise", "tergan-generated", str(faces["face"])]) == 0
    assert (
        f"generated faces only; its figures and limits: {PRETRAINED / 'tergan-generated' / 'README.md'}"
        in (capsys.readouterr().err)
    )
