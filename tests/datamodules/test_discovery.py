"""A root that is not what was asked for: every data set says what it looks like instead."""

from itertools import permutations

import pytest

from datamodules.all import DATAMODULES
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
