"""RaFD's layout: the real names, the official models, the CSVs of single pictures."""

import re

import cv2
import numpy as np
import pandas as pd
import pytest

from datamodules.generated.rafd import RAFD_LAYOUT, RAFD_MODELS
from datamodules.rafd import RaFD, RaFDConfig
from facegan.config import UserError

NAME = re.compile(
    r"Rafd(000|045|090|135|180)_\d\d_(Caucasian|Moroccan|Kid)_(female|male)_"
    r"(angry|contemptuous|disgusted|fearful|happy|neutral|sad|surprised)_(frontal|left|right)\.jpg"
)


def test_rafd_layout(tmp_path):
    root = RAFD_LAYOUT.write(
        tmp_path, people=10, workers=1, cameras=(45, 90), gazes=("frontal", "left"), expressions=("neutral",
            "happiness"),
        size=(150, 100), texture=64,
    )  # fmt: skip
    names = sorted(p.name for p in root.glob("*.jpg"))
    assert len(names) == 10 * 2 * 2 * 2
    assert all(NAME.fullmatch(name) for name in names)
    assert "Rafd090_11_Kid_female_happy_left.jpg" in names
    table = pd.read_csv(
        root / "processed" / "Rafd045_01_Caucasian_female_happy_frontal.csv", skipinitialspace=True
    )
    assert list(table.columns[:2]) == ["face", "confidence"]
    assert table.pose_Ry[0] == pytest.approx(np.radians(45 - 90), abs=0.08)
    assert table.AU12_r[0] > 2
    frontal, left = (
        cv2.imread(str(root / f"Rafd090_03_Caucasian_male_neutral_{gaze}.jpg")).astype(int)
        for gaze in ("frontal", "left")
    )
    assert np.abs(frontal - left).max() > 40  # the eyes turn


def test_rafd_has_the_official_models():
    groups = [RAFD_MODELS[k] for k in RAFD_MODELS]
    assert len(RAFD_MODELS) == 67 and not {6, 13, 17, 34, 62, 66} & set(RAFD_MODELS)
    counts = {g: groups.count(g) for g in set(groups)}
    assert counts == {
        ("Caucasian", "male"): 20, ("Caucasian", "female"): 19, ("Moroccan", "male"): 18,
        ("Kid", "female"): 6, ("Kid", "male"): 4,
    }  # fmt: skip


@pytest.mark.parametrize(("people", "kids", "says"), [(68, True, "67 people"), (58, False, "57 models")])
def test_there_are_no_more_people_than_models(tmp_path, people, kids, says):
    with pytest.raises(UserError, match=says):
        RAFD_LAYOUT.write(tmp_path, people=people, kids=kids)


def test_the_reader_sees_through_the_defects_and_says_what_is_missing(tmp_path):
    root = RAFD_LAYOUT.write(
        tmp_path, people=2, workers=1, gazes=("frontal",), size=(150, 100), texture=64, defects=True
    )
    assert (root / "RaFD basket 1").is_dir() and list(root.rglob("*.JPG"))
    found = RaFD(RaFDConfig(root=str(root), gazes=["frontal"])).find()
    assert len(found.records) == 15 and found.records.has_au.all(), "the copies and the drawing do not count"
    assert "1 pictures of 1 people are missing (as of 01_Caucasian_female)" in found.notes
    assert any("1 CSVs have no picture (as Rafd090_01_" in note for note in found.notes)
