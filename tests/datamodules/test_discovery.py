"""A root that is not what was asked for: every data set says what it looks like instead."""

from itertools import permutations

import pytest

from datamodules.all import DATAMODULES
from datamodules.generated.sequences import OULU_CASIA_LAYOUT as OULU_LAYOUT
from facegan.config import UserError

A_FILE_OF = {
    "rafd": ("RaFD", "Rafd090_01_Caucasian_female_angry_frontal.jpg"),
    "oulu_casia": ("Oulu-CASIA", "OriginalImg/VL/Strong/P001/Anger/000.jpeg"),
    "bu4dfe": ("BU-4DFE", "F001/Angry/000.jpg"),
    "mmi": ("MMI", "Sessions/2/S001-002.xml"),
    "voxceleb": ("VoxCeleb", "unzippedFaces/Aaron_Ashmore/1.6/0cTnzbSlBLs/1/01.jpg"),
    "celeba": ("CelebA", "Anno/identity_CelebA.txt"),
}


def asked(name, root):
    config, module = DATAMODULES[name]
    with pytest.raises(UserError) as error:
        module(config(root=str(root))).find()
    return str(error.value)


@pytest.mark.parametrize(("name", "there"), permutations(A_FILE_OF, 2))
def test_another_data_set_is_named(tmp_path, name, there):
    title, file = A_FILE_OF[there]
    (tmp_path / "copy" / file).parent.mkdir(parents=True)
    (tmp_path / "copy" / file).touch()
    assert f"it looks like {title} (data.name={there})" in asked(name, tmp_path)


@pytest.mark.parametrize("name", A_FILE_OF)
def test_nothing_is_there_or_it_is_still_packed(tmp_path, name):
    assert "there is no such folder" in asked(name, tmp_path / "none")
    assert "it holds nothing of that form" in asked(name, tmp_path)
    (tmp_path / "all.tar.gz").touch()
    text = asked(name, tmp_path)
    assert "it holds all.tar.gz, still packed" in text
    assert f"facegan generate {name} --root" in text and str(tmp_path) in text


def test_voxceleb_s_clips_in_one_folder_are_known_and_its_sound_alone_is_said_to_be(tmp_path):
    (tmp_path / "clips").mkdir()
    (tmp_path / "clips" / "id10270#x6uYqmx31kE#000100#000200.MP4").touch()
    assert "it looks like VoxCeleb" in asked("rafd", tmp_path)
    sound = tmp_path / "sound"
    (sound / "wav" / "id10270" / "x6uYqmx31kE").mkdir(parents=True)
    (sound / "wav" / "id10270" / "x6uYqmx31kE" / "00001.wav").touch()
    assert "but no pictures (or clips) in them" in asked("voxceleb", sound)


@pytest.mark.parametrize("place", [".", "inner", ".."])
def test_generated_faces_are_known_from_wherever_one_starts(tmp_path, place):
    written = OULU_LAYOUT.write(
        tmp_path / "outer" / "inner", people=1, workers=1, frames=(4, 4), size=(64, 64)
    )
    root = {".": written, "inner": next(written.rglob("VL")).parent, "..": written.parent}[place]
    config, module = DATAMODULES["oulu_casia"]
    assert module(config(root=str(root))).find().generated == "procedural"


def test_a_root_may_be_named_from_within_it(tmp_path, monkeypatch):
    written = OULU_LAYOUT.write(tmp_path / "copy", people=1, workers=1, frames=(4, 4), size=(64, 64))
    monkeypatch.chdir(next(written.rglob("VL")))
    config, module = DATAMODULES["oulu_casia"]
    assert len(module(config(root=".")).find().records) == 24
