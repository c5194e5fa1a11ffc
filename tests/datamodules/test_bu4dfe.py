import shutil

import pytest

from datamodules.bu4dfe import BU4DFE, EMOTIONS, BU4DFEConfig
from facegan.config import UserError
from facegan.faces import EXPRESSIONS

NEUTRAL = EXPRESSIONS.index("neutral")
PEOPLE = [f"F{k:03d}" for k in range(1, 59)] + [f"M{k:03d}" for k in range(1, 44)]


def sequence(folder, frames: int) -> None:
    folder.mkdir(parents=True)
    for k in range(frames):
        (folder / f"{k:03d}.jpg").touch()
        (folder / f"{k:03d}.wrl").touch()


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The names of the whole release, sequences of 8 to 12 frames, with the viewer and the landmarks beside it."""
    root = tmp_path_factory.mktemp("bu4dfe")
    for n, person in enumerate(PEOPLE):
        for k, emotion in enumerate(EMOTIONS):
            sequence(root / person / emotion, 8 + (n + k) % 5)
    (root / "BU_WrlViewer_V2").mkdir()
    (root / "BU_WrlViewer_V2" / "000.jpg").touch()
    bnd = root / "BU4DFE_BND_V1.1" / "F001" / "Angry"
    bnd.mkdir(parents=True)
    (bnd / "000.bnd").touch()
    return root


def module(root, **options) -> BU4DFE:
    return BU4DFE(BU4DFEConfig(root=str(root), image_size=32, prepare_workers=1, **options))


def test_the_whole_release(whole):
    found = module(whole).find()
    labels = found.records.numbers("expression")
    assert found.records.people() == PEOPLE and not found.left_out
    assert (labels == NEUTRAL).sum() == 606 and (labels != NEUTRAL).sum() == 606 * 3
    assert {EXPRESSIONS[k] for k in labels} == set(EXPRESSIONS) - {"contempt"}
    assert len(module(whole, neutral=False).find().records) == 606 * 3


def test_the_peak_lies_in_the_middle(tmp_path):
    sequence(tmp_path / "F001" / "Happy", 100)
    records = module(tmp_path).find().records
    assert records.numbers("frame").tolist() == [0, 48, 49, 50]
    assert records.numbers("expression").tolist() == [NEUTRAL] + [EXPRESSIONS.index("happiness")] * 3


def test_a_short_sequence_keeps_its_neutral_frame_apart(tmp_path):
    sequence(tmp_path / "M043" / "Sad", 3)
    assert module(tmp_path).find().records.numbers("frame").tolist() == [0, 1, 2]


def test_defects_are_counted_and_passed_over(tmp_path):
    for person in ("F001", "M001", "M002"):
        for emotion in EMOTIONS:
            sequence(tmp_path / "BU4DFE" / person / emotion, 9)
    shutil.rmtree(tmp_path / "BU4DFE" / "F001" / "Fear")
    shutil.rmtree(tmp_path / "BU4DFE" / "M001" / "Angry")
    sequence(tmp_path / "BU4DFE" / "M001" / "Angry", 1)
    (tmp_path / "BU4DFE" / "M002" / "Sad" / "000.bnd").touch()
    found = module(tmp_path, exclude=["M002/Happy"]).find()
    assert sorted(reason for _, reason in found.left_out) == [
        "fewer than 2 frames", "in data.exclude", "missing sequence",
    ]  # fmt: skip
    assert len(found.records) == 15 * 4


def test_ninety_to_ten_by_person_with_both_sexes(whole):
    data = module(whole)
    records = data.find().records
    split = data.split(records)
    train, test = records.select(split.train).people(), records.select(split.test).people()
    assert not set(train) & set(test) and len(train) + len(test) == 101
    assert test == ["F054", "F055", "F056", "F057", "F058", "M040", "M041", "M042", "M043"]
    tested = [
        person
        for fold in range(10)
        for person in records.select(module(whole, fold=fold).split(records).test).people()
    ]
    assert sorted(tested) == PEOPLE


def test_bad_input_is_told_what_to_do(tmp_path, whole):
    with pytest.raises(UserError, match=r"F001/Angry/000\.jpg.*there is no such folder"):
        module(tmp_path / "nowhere").find()
    (tmp_path / "VL" / "Strong").mkdir(parents=True)
    with pytest.raises(UserError, match="it looks like Oulu-CASIA"):
        module(tmp_path).find()
    with pytest.raises(UserError, match=r"data\.exclude names F001/Anger: .*F012/Angry"):
        module(whole, exclude=["F001/Anger"]).find()
