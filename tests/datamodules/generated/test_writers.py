"""Written sets: real names, CSVs that read as the real tool's, the same bytes for any number of processes."""

import hashlib
import io
import json
import re

import cv2
import numpy as np
import pandas as pd
import pytest

from datamodules.generated.sheets import contact_sheet
from datamodules.generated.writers import RAFD_MODELS, draw_action, write_folder, write_rafd
from facegan.config import UserError
from facegan.faces import AU_COLUMNS, EXPRESSIONS, N_AUS, prototype

RAFD_NAME = re.compile(
    r"Rafd(000|045|090|135|180)_\d\d_(Caucasian|Moroccan|Kid)_(female|male)_"
    r"(angry|contemptuous|disgusted|fearful|happy|neutral|sad|surprised)_(frontal|left|right)\.jpg"
)


def read(path):
    return pd.read_csv(path, skipinitialspace=True)


def digest(root):
    files = sorted(p for p in root.rglob("*") if p.is_file())
    return {str(p.relative_to(root)): hashlib.sha256(p.read_bytes()).hexdigest() for p in files}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    root = tmp_path_factory.mktemp("folder")
    return write_folder(root, 2, 6, size=96, first_person=500_000, workers=1, texture=64)


def test_folder_layout(folder):
    assert json.loads((folder / "GENERATED.json").read_text())["head"] == "procedural"
    labels = pd.read_csv(folder / "labels.csv", keep_default_na=False)
    assert list(labels.columns) == ["image", "identity", "expression"]
    assert set(labels.identity) == {"p500000", "p500001"}
    assert set(labels.expression) <= {*EXPRESSIONS, ""}
    for image in labels.image:
        assert cv2.imread(str(folder / image)).shape == (96, 96, 3)
    text = (folder / "p500000.csv").read_text()
    assert text.startswith("frame, face_id, timestamp, confidence, success, pose_Tx")
    table = read(io.StringIO(text))
    assert list(table.frame) == [1, 2, 3, 4, 5, 6]
    au = table[list(AU_COLUMNS)].to_numpy()
    assert au.shape == (6, N_AUS) and au.min() >= 0 and au.max() <= 5
    assert sum(name.endswith("_c") for name in table.columns) == 18
    x, y = (table[[f"{axis}_{k}" for k in range(68)]].to_numpy() for axis in "xy")
    assert (x[:, 36] < x[:, 45]).all() and (y[:, 8] > y[:, 27]).all()
    assert table[["pose_Rx", "pose_Ry", "pose_Rz"]].abs().to_numpy().max() <= np.radians(30) + 1e-3


def test_bytes_depend_on_neither_processes_nor_neighbours(folder, tmp_path):
    again = write_folder(tmp_path, 2, 6, size=96, first_person=500_000, workers=2, texture=64)
    assert digest(again) == digest(folder)


def test_writing_again_keeps_what_is_there_and_mends_what_is_not(tmp_path):
    root = write_folder(tmp_path, 2, 2, size=48, workers=1, texture=64)
    before = digest(root)
    (root / "p000001.csv").unlink()
    (root / "p000001" / "000002.jpg").unlink()
    kept = (root / "p000000" / "000001.jpg").stat().st_mtime_ns
    write_folder(tmp_path, 2, 2, size=48, workers=1, texture=64)
    assert digest(root) == before
    assert (root / "p000000" / "000001.jpg").stat().st_mtime_ns == kept


def test_rafd_layout(tmp_path):
    root = write_rafd(
        tmp_path, 10, workers=1, cameras=(45, 90), gazes=("frontal", "left"), expressions=("neutral",
            "happiness"),
        size=(150, 100), texture=64,
    )  # fmt: skip
    names = sorted(p.name for p in root.glob("*.jpg"))
    assert len(names) == 10 * 2 * 2 * 2
    assert all(RAFD_NAME.fullmatch(name) for name in names)
    assert "Rafd090_11_Kid_female_happy_left.jpg" in names
    table = read(root / "processed" / "Rafd045_01_Caucasian_female_happy_frontal.csv")
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


def test_mixes(load):
    from datamodules.generated.person import Person

    person = Person.draw(load("procedural"), 1)
    rng = np.random.default_rng(0)
    pure = [draw_action(person, rng, "prototypes") for _ in range(40)]
    assert {e for _, e in pure} <= set(EXPRESSIONS)
    happy = [au for au, e in pure if e == "happiness"]
    assert happy and all(au[prototype("happiness") >= 3].min() > 0.4 for au in happy)
    free = np.array([draw_action(person, rng, "independent")[0] for _ in range(400)])
    assert 0.7 < (free == 0).mean() < 0.85  # sparse, as OpenFace's are
    assert np.abs(np.corrcoef(free.T) - np.eye(N_AUS)).max() < 0.25
    mixed = [e for _, e in (draw_action(person, rng, "mixed") for _ in range(200))]
    assert 0.35 < np.mean([e == "" for e in mixed]) < 0.65


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda root: write_folder(root, 1, 1, head="nobody"), "procedural"),
        (lambda root: write_folder(root, 1, 1, aus="many"), "prototypes"),
        (lambda root: write_folder(root, 1, 1, colour="red"), "light_spread"),
        (lambda root: write_folder(root, 1, 1, format="bmp"), "png"),
        (lambda root: write_rafd(root, 68), "67"),
    ],
)
def test_mistakes_say_what_to_type(tmp_path, call, says):
    with pytest.raises(UserError, match=says):
        call(tmp_path)


def test_contact_sheet(tmp_path):
    people, aus = contact_sheet("procedural", tmp_path / "sheet.png", people=2, size=32)
    assert cv2.imread(str(people)).shape[1] == 9 * 32
    assert cv2.imread(str(aus)).shape[:2] == (N_AUS * (32 + 20), 12 * 32)
