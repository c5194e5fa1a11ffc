import shutil

import numpy as np
import pytest
from faces_on_disk import csv_rows, landmarks, write_csv

from datamodules.oulu_casia import EMOTIONS, OuluCASIA, OuluCASIAConfig
from facegan.config import UserError
from facegan.faces import EXPRESSIONS

NEUTRAL = EXPRESSIONS.index("neutral")


def sequence(folder, frames: int, prefix: str = "", ending: str = "jpeg") -> None:
    folder.mkdir(parents=True)
    for k in range(frames):
        (folder / f"{prefix}{k:03d}.{ending}").write_bytes(bytes([k]))


def tree(level, people=80, light="Strong", length=lambda person, emotion: 9 + (person * 7 + emotion) % 20):
    for person in range(1, people + 1):
        for k, emotion in enumerate(EMOTIONS):
            sequence(level / light / f"P{person:03d}" / emotion, length(person, k))
    return level


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The names of the whole release in visible light, strong, of unequal lengths (bytes, no pictures)."""
    root = tmp_path_factory.mktemp("oulu")
    tree(root / "B_OriginalImg" / "B_OriginalImg" / "OriginalImg" / "VL")
    return root


def module(root, **options) -> OuluCASIA:
    return OuluCASIA(OuluCASIAConfig(root=str(root), image_size=32, prepare_workers=1, **options))


def counts(found) -> dict[str, int]:
    labels = found.records.numbers("expression")
    return {name: int((labels == k).sum()) for k, name in enumerate(EXPRESSIONS)}


def test_the_whole_release_gives_the_protocols_numbers(whole):
    found = module(whole).find()
    assert counts(found) == {
        name: 0 if name == "contempt" else 480 if name == "neutral" else 240 for name in EXPRESSIONS
    }
    assert len(module(whole, neutral="none").find().records) == 1440
    assert len(module(whole, neutral="anger").find().records) == 1680
    assert not found.left_out and not found.notes


def test_the_peak_is_the_last_three_frames_by_number_and_neutral_the_first(tmp_path):
    sequence(tmp_path / "VL" / "Strong" / "P007" / "Anger", 72)
    records = module(tmp_path).find().records
    paths = [records.path(row)[-8:] for row in range(len(records))]
    assert paths == ["000.jpeg", "069.jpeg", "070.jpeg", "071.jpeg"]
    assert records.numbers("frame").tolist() == [0, 69, 70, 71]
    assert records.numbers("expression").tolist() == [NEUTRAL] + [EXPRESSIONS.index("anger")] * 3


def test_a_short_sequence_keeps_its_neutral_frame_apart(tmp_path):
    sequence(tmp_path / "VL" / "Strong" / "P001" / "Fear", 3)
    assert (
        module(tmp_path).find().records.numbers("expression").tolist()
        == [NEUTRAL] + [EXPRESSIONS.index("fear")] * 2
    )


@pytest.mark.parametrize(
    ("level", "options"),
    [
        ("VL", {}), ("Oulu_CASIA_NIR_VIS/VL", {}), ("B_OriginalImg/VL", {}), ("OriginalImg/NI", {"camera": "NI"}),
        ("PreProcess Img/VL_Acropped", {"pictures": "cropped"}),
        ("PreProcess_Img/VL_Acropped", {"pictures": "cropped"}),
        ("PreProcessImg/NI_Acropped", {"pictures": "cropped", "camera": "NI"}),
    ],
)  # fmt: skip
def test_every_wrapper_is_seen_through(tmp_path, level, options):
    sequence(tmp_path / level / "Strong" / "P001" / "Anger", 9)
    (tmp_path / "change_log.txt").touch()
    (tmp_path / "__MACOSX" / "VL" / "Strong").mkdir(parents=True)
    assert len(module(tmp_path, **options).find().records) == 4


def test_prefixed_frames_are_sorted_by_number_and_their_copies_dropped(tmp_path):
    folder = tmp_path / "VL" / "Strong" / "P001" / "Anger"
    sequence(folder, 6)
    shutil.copy(folder / "000.jpeg", folder / "FirstF_000.jpeg")  # the same picture twice
    (folder / "FirstF_006.JPG").write_bytes(b"last")
    found = module(tmp_path).find()
    names = [found.records.path(row).rsplit("/", 1)[1] for row in range(4)]
    assert names == ["FirstF_000.jpeg", "004.jpeg", "005.jpeg", "FirstF_006.JPG"]
    assert found.notes == [
        "2 frames have a word before their number, as in FirstF_000.jpeg",
        "1 of Oulu-CASIA's 80 people are here",
    ]


def test_missing_and_empty_sequences_are_counted_and_strangers_passed_over(tmp_path):
    level = tree(tmp_path / "VL", people=3)
    shutil.rmtree(level / "Strong" / "P002" / "Fear")
    shutil.rmtree(level / "Strong" / "P003" / "Anger")
    (level / "Strong" / "P003" / "Anger").mkdir()
    sequence(level / "Strong" / "P081" / "Anger", 9)
    sequence(level / "Strong" / "P001" / "Neutral", 9)
    (level / "Strong" / "P001" / "Anger" / "Thumbs.db").touch()
    found = module(tmp_path).find()
    assert sorted(reason for _, reason in found.left_out) == ["missing sequence", "no frames"]
    assert len(found.records) == 16 * 4 and found.records.people() == ["P001", "P002", "P003"]


def test_the_default_split_is_exprgans(whole):
    data = module(whole, neutral="none")
    records = data.find().records
    split = data.split(records)
    assert (len(split.train), len(split.test)) == (1296, 144)
    assert records.select(split.test).people() == [f"P{k:03d}" for k in range(73, 81)]


@pytest.mark.parametrize("by", ["consecutive", "strided", "shuffled"])
def test_folds_are_by_person_and_cover_everybody_once(whole, by):
    records = module(whole).find().records
    tested = []
    for fold in range(10):
        split = module(whole, fold=fold, fold_by=by).split(records)
        test, train = records.select(split.test).people(), records.select(split.train).people()
        assert len(test) == 8 and len(train) == 72 and not set(test) & set(train)
        tested += test
    assert sorted(tested) == records.people()
    first = records.select(module(whole, fold=0, fold_by=by).split(records).test).people()
    if by == "consecutive":
        assert first == [f"P{k:03d}" for k in range(1, 9)]
    if by == "strided":
        assert first == [f"P{k:03d}" for k in range(1, 81, 10)]


def test_bad_roots_are_told_what_to_do(tmp_path, whole):
    with pytest.raises(
        UserError, match=r"there is no such folder.*\n.*Oulu.*\n.*\n.*facegan generate oulu_casia"
    ):
        module(tmp_path / "nowhere").find()
    (tmp_path / "Rafd090_01_Caucasian_female_angry_frontal.jpg").touch()
    with pytest.raises(UserError, match=r"it looks like RaFD \(data.name=rafd\)"):
        module(tmp_path).find()
    with pytest.raises(
        UserError, match=r"no original pictures of camera NI in Weak light; it has data.camera=VL"
    ):
        module(whole, camera="NI", light="Weak").find()
    with pytest.raises(UserError, match=r"80 people cannot be cut into data.folds=100"):
        data = module(whole, folds=100)
        data.split(data.find().records)
    with pytest.raises(UserError, match=r"data.neutral"):
        OuluCASIAConfig(neutral="last")


def test_openface_took_a_prefixed_first_frame_last(tmp_path):
    folder = tmp_path / "VL" / "Strong" / "P001" / "Anger"
    sequence(folder, 9)
    (folder / "000.jpeg").rename(folder / "FirstF_000.jpeg")
    (folder / "Thumbs.db").touch()
    au = np.zeros((9, 17))
    au[:8, 0] = np.arange(1, 9) / 2  # rows: 001 … 008, FirstF_000
    write_csv(folder.parent / "processed" / "Anger.csv", csv_rows([landmarks()] * 9, au))
    records = module(tmp_path).find().records
    assert records.numbers("frame").tolist() == [0, 6, 7, 8]
    assert records.au[:, 0].tolist() == [0, 3, 3.5, 4]


@pytest.mark.parametrize("missing", ["P010", "P080"])
def test_the_test_people_are_exprgan_s_whoever_is_missing(whole, tmp_path, missing):
    shutil.copytree(
        whole, tmp_path / "part", ignore=lambda folder, names: [missing] if missing in names else []
    )
    data = module(tmp_path / "part")
    found = data.find()
    names, codes = found.records.names("identity"), found.records.codes("identity")
    tested = {names[code] for code in codes[data.split(found.records).test]}
    assert tested == {f"P{k:03d}" for k in range(73, 81)} - {missing}
    assert found.notes == ["79 of Oulu-CASIA's 80 people are here"]
