"""The trees of sequence data sets, read back by their own data modules."""

import cv2
import numpy as np
import pytest

from datamodules.bu4dfe import BU4DFE, BU4DFEConfig
from datamodules.generated.head import load_head
from datamodules.generated.person import Person
from datamodules.generated.render import apex
from datamodules.generated.sequences import BU4DFE_LAYOUT, OULU_CASIA_LAYOUT, mixture, rise, rise_and_fall
from datamodules.oulu_casia import OuluCASIA, OuluCASIAConfig
from facegan.config import UserError
from facegan.faces import EXPRESSIONS


@pytest.fixture(scope="module")
def oulu(tmp_path_factory):
    root = tmp_path_factory.mktemp("generated_oulu")
    return OULU_CASIA_LAYOUT.write(root, people=3, frames=(9, 12), defects=True, workers=1)


def module(root, **options) -> OuluCASIA:
    return OuluCASIA(
        OuluCASIAConfig(
            root=str(root), image_size=32, landmarks="openface", folds=3, prepare_workers=1, **options
        )
    )


def test_strength_rises_from_neutral_to_the_apex():
    strength = rise(21)
    assert strength[0] == 0 and strength[-1] == 1 and (np.diff(strength) >= 0).all()


def test_the_reader_finds_what_was_written(oulu):
    data = module(oulu)
    found = data.find()
    assert found.generated == "procedural"
    assert sorted(reason for _, reason in found.left_out) == ["missing sequence", "no frames"]
    assert found.notes == [
        "6 frames have a word before their number, as in FirstF_000.jpeg",
        "3 of Oulu-CASIA's 80 people are here",
    ]
    assert len(found.records) == 16 * 4
    image = cv2.imread(found.records.path(0))
    assert image.shape == (240, 320, 3)


def test_ambiguous_expressions_are_weaker_mixed_and_still_mostly_their_own():
    person = Person.draw(load_head("procedural"), 5)
    rng = np.random.default_rng(0)
    for name in ("happiness", "surprise", "anger"):
        plain, prototypes = (
            apex(person, name),
            {n: apex(person, n) for n in ("happiness", "surprise", "anger")},
        )
        np.testing.assert_allclose(mixture(person, name, 0, rng), plain, rtol=1e-6)
        tops = np.stack([mixture(person, name, 1, rng) for _ in range(200)])
        assert tops.sum(1).mean() < 0.85 * plain.sum() and len(np.unique(tops.round(3), axis=0)) == 200
        shapes = {n: p / p.sum() for n, p in prototypes.items()}
        distances = [{n: np.linalg.norm(t / t.sum() - shape) for n, shape in shapes.items()} for t in tops]
        nearest = [min(far, key=far.__getitem__) for far in distances]
        assert nearest.count(name) > 160


def test_the_first_frame_is_neutral_and_the_last_shows_most(oulu):
    records = module(oulu).find().records
    labels = records.numbers("expression")
    assert records.has_au.all()
    strength = records.au.sum(1)
    assert (strength[labels == EXPRESSIONS.index("neutral")] < 0.2).all()
    by_sequence = records.codes("sequence")
    for code in np.unique(by_sequence):
        rows = np.flatnonzero(by_sequence == code)
        assert strength[rows[-1]] == strength[rows].max() > 3


def test_they_are_prepared_and_split_by_person(oulu, tmp_path):
    data = module(oulu, store=str(tmp_path / "store"))
    data.setup()
    assert len(data.train.au) + len(data.test.au) == 64
    assert data.identities == ["P001", "P002"] and data.generated == "procedural"


def test_another_light_is_the_same_performance_and_darker(tmp_path):
    root = OULU_CASIA_LAYOUT.write(
        tmp_path, people=1, frames=(9, 9), lights=("Strong", "Dark"), cameras=("VL", "NI"), workers=1
    )

    def frame(camera: str, light: str) -> np.ndarray:
        return cv2.imread(str(root / "OriginalImg" / camera / light / "P001" / "Anger" / "008.jpeg")).astype(
            float
        )

    assert frame("VL", "Dark").mean() < 0.6 * frame("VL", "Strong").mean()
    infrared = frame("NI", "Strong")
    assert np.abs(infrared - infrared.mean(2, keepdims=True)).max() < 3
    grey = frame("VL", "Strong").mean(2)
    assert np.corrcoef(grey.ravel(), infrared.mean(2).ravel())[0, 1] > 0.98


@pytest.mark.parametrize("wrapper", ["B_OriginalImg/OriginalImg", "Oulu_CASIA_NIR_VIS", ""])
def test_the_folders_around_do_not_matter(tmp_path, wrapper):
    root = OULU_CASIA_LAYOUT.write(
        tmp_path, people=1, frames=(5, 5), wrapper=wrapper, cropped=True, workers=1
    )
    assert (root / wrapper / "VL" / "Strong" / "P001" / "Sadness" / "004.jpeg").is_file()
    found = module(root).find()
    assert len(found.records) == 6 * 4 and found.records.has_au.all()
    cropped = module(root, pictures="cropped").find().records
    assert len(cropped) == 6 * 4 and "VL_Acropped" in cropped.path(0)
    face = cv2.imread(cropped.path(3)).astype(float)
    assert face.shape == (72, 72, 3) and np.abs(face - face.mean(2, keepdims=True)).max() < 3
    # the same frame, cut out: the eyes are darker than the cheeks below them
    assert face[18:32, 12:60].min() < face[36:48, 12:24].mean() - 20


def test_more_people_than_there_are(tmp_path):
    with pytest.raises(UserError, match="Oulu-CASIA has 80 people, not 81"):
        OULU_CASIA_LAYOUT.write(tmp_path, people=81)


def test_strength_rises_to_the_middle_and_falls():
    strength = rise_and_fall(21)
    assert strength[0] == strength[-1] == 0 and strength[10] == 1
    assert (np.diff(strength[:11]) >= 0).all() and np.allclose(strength, strength[::-1])


def test_bu4dfe_is_read_as_it_was_written(tmp_path):
    root = BU4DFE_LAYOUT.write(tmp_path / "raw", people=4, frames=(9, 11), defects=True, workers=1)
    assert (root / "M002" / "Sad" / "008.wrl").read_text().startswith("#VRML V2.0")
    options = {"landmarks": "openface", "image_size": 32, "folds": 2, "store": str(tmp_path / "store")}
    data = BU4DFE(BU4DFEConfig(root=str(root), prepare_workers=1, **options))
    found = data.find()
    few, missing = ["fewer than 2 frames"] * 2, ["missing sequence"]  # one frame, none, no folder
    assert sorted(reason for _, reason in found.left_out) == few + missing
    records = found.records
    neutral = records.numbers("expression") == EXPRESSIONS.index("neutral")
    strength = records.au.sum(1)
    assert (strength[neutral] < 0.2).all() and (strength[~neutral] > 2).all()
    data.setup()
    assert data.identities == ["F001", "M001"] and len(data.train.au) + len(data.test.au) == 21 * 4


def test_bu4dfes_package_of_landmarks_is_not_taken_for_people(tmp_path):
    root = BU4DFE_LAYOUT.write(tmp_path, people=2, frames=(5, 5), landmarks=True, workers=1)
    points = np.loadtxt(root / "BU4DFE_BND_V1.1" / "F001" / "Angry" / "000.bnd")
    assert points.shape == (83, 4) and points[:, 0].tolist() == list(range(83))
    config = BU4DFEConfig(root=str(root), landmarks="openface", image_size=32, prepare_workers=1)
    found = BU4DFE(config).find()
    assert len(found.records) == 2 * 6 * 4 and not found.left_out
    assert not any("BND" in found.records.path(row) for row in range(len(found.records)))


def test_more_people_than_bu4dfe_has(tmp_path):
    with pytest.raises(UserError, match="BU-4DFE has 101 people, not 102"):
        BU4DFE_LAYOUT.write(tmp_path, people=102)
