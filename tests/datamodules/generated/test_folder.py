"""The folder layout: CSVs that read as the real tool's, the same bytes for any number of processes."""

import hashlib
import io
import json

import cv2
import numpy as np
import pandas as pd
import pytest

from datamodules.generated.folder import FOLDER_LAYOUT, draw_action
from datamodules.generated.person import Person
from datamodules.generated.request import GenerateConfig, generate
from datamodules.generated.sequences import OULU_CASIA_LAYOUT
from facegan.config import UserError
from facegan.faces import AU_COLUMNS, EXPRESSIONS, N_AUS, prototype


def read(path):
    return pd.read_csv(path, skipinitialspace=True)


def digest(root):
    files = sorted(p for p in root.rglob("*") if p.is_file())
    return {str(p.relative_to(root)): hashlib.sha256(p.read_bytes()).hexdigest() for p in files}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    root = tmp_path_factory.mktemp("folder")
    return FOLDER_LAYOUT.write(
        root, people=2, pictures=6, size=96, first_person=500_000, workers=1, texture=64
    )


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
    again = FOLDER_LAYOUT.write(
        tmp_path, people=2, pictures=6, size=96, first_person=500_000, workers=2, texture=64
    )
    assert digest(again) == digest(folder)


def test_writing_again_keeps_what_is_there_and_mends_what_is_not(tmp_path):
    root = FOLDER_LAYOUT.write(tmp_path, people=2, pictures=2, size=48, workers=1, texture=64)
    before = digest(root)
    (root / "p000001.csv").unlink()
    (root / "p000001" / "000002.jpg").unlink()
    kept = (root / "p000000" / "000001.jpg").stat().st_mtime_ns
    FOLDER_LAYOUT.write(tmp_path, people=2, pictures=2, size=48, workers=1, texture=64)
    assert digest(root) == before
    assert (root / "p000000" / "000001.jpg").stat().st_mtime_ns == kept


def test_mixes(load):
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


def test_spread_leads_from_a_studio_to_anything(tmp_path):
    poses, corners = {}, {}
    for spread in (0.0, 0.3, 1.0):
        root = tmp_path / str(spread)
        generate(
            GenerateConfig(root=str(root), people=1, pictures=12, size=48, spread=spread, workers=1), False
        )
        poses[spread] = read(root / "p000000.csv").pose_Ry.std()
        pictures = [cv2.imread(str(path)).astype(int) for path in sorted((root / "p000000").glob("*.jpg"))]
        corners[spread] = np.std([picture[:4, :4].mean() for picture in pictures])
    assert poses[0.0] == 0 < 2 * poses[0.3] < poses[1.0]
    assert corners[0.0] < 3 < corners[0.3] < corners[1.0]


@pytest.mark.parametrize(
    ("option", "says"),
    [
        ({"head": "nobody"}, "procedural"),
        ({"aus": "many"}, "prototypes"),
        ({"colour": "red"}, "light_spread"),
        ({"format": "bmp"}, "png"),
    ],
)
def test_mistakes_say_what_to_type(tmp_path, option, says):
    with pytest.raises(UserError, match=says):
        FOLDER_LAYOUT.write(tmp_path / "new", people=1, pictures=1, **option)
    assert not (tmp_path / "new").exists()


def test_apexes_are_filmed_as_oulu_casia_is(tmp_path):
    asked = GenerateConfig(
        root=str(tmp_path / "folder"), people=1, pictures=12, size=160, aus="apexes", ambiguity=1, workers=1
    )
    generate(asked, False)
    labels = pd.read_csv(tmp_path / "folder" / "labels.csv")
    assert list(labels.expression) == ["anger", "disgust", "fear", "happiness", "sadness", "surprise"] * 2
    apexes = read(tmp_path / "folder" / "p000000.csv")
    OULU_CASIA_LAYOUT.write(tmp_path / "oulu", people=1, workers=1, frames=(2, 2), ambiguity=1.0)
    film = read(next((tmp_path / "oulu").rglob("Surprise.csv")))

    def eyes(table):
        return (table["x_45"] - table["x_36"]).mean()

    assert eyes(apexes) == pytest.approx(eyes(film), rel=0.05)  # as large, so as sharp
    assert apexes.pose_Ry.std() > 0.01
    au = apexes[list(AU_COLUMNS)].to_numpy()
    assert not np.allclose(au[:6], au[6:])  # another mixture each time
    (tmp_path / "folder" / "labels.csv").unlink()
    generate(asked, False)  # goes on from what is there
    assert pd.read_csv(tmp_path / "folder" / "labels.csv").equals(labels)


def test_only_apexes_are_ambiguous(tmp_path):
    with pytest.raises(UserError, match="aus=apexes"):
        generate(GenerateConfig(root=str(tmp_path), people=1, ambiguity=0.5), False)
