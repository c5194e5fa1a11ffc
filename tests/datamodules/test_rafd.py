import shutil

import numpy as np
import pytest
from faces_on_disk import STILL, aus, csv_rows, draw, landmarks, save, write_csv

from datamodules.rafd import NAME, RaFD, RaFDConfig
from facegan.config import UserError
from facegan.faces import EXPRESSIONS

# The models' real ids, from the fact that the official counts are 19 / 20 / 18 / 10.
MODELS = {
    "Caucasian_female": "01 02 04 08 12 14 16 18 19 22 26 27 31 32 37 56 57 58 61",
    "Caucasian_male": "03 05 07 09 10 15 20 21 23 24 25 28 30 33 36 38 46 47 49 71",
    "Moroccan_male": "29 35 44 45 48 50 51 52 53 54 55 59 60 68 69 70 72 73",
    "Kid_female": "11 39 40 41 42 43",
    "Kid_male": "63 64 65 67",
}
EMOTIONS = ["angry", "contemptuous", "disgusted", "fearful", "happy", "neutral", "sad", "surprised"]


def names(cameras=("090",), gazes=("frontal", "left", "right"), models=None):
    for group, ids in MODELS.items():
        for person in ids.split():
            if models is None or person in models:
                for camera in cameras:
                    for emotion in EMOTIONS:
                        for gaze in gazes:
                            yield f"Rafd{camera}_{person}_{group}_{emotion}_{gaze}.jpg"


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """Names of the whole frontal release (empty files) and of one other camera."""
    root = tmp_path_factory.mktemp("rafd")
    for name in names(("090", "000")):
        (root / name).touch()
    return root


def module(root, **options) -> RaFD:
    return RaFD(RaFDConfig(root=str(root), landmarks="openface", image_size=32, prepare_workers=1, **options))


def test_all_six_fields():
    match = NAME.match("Rafd045_11_Kid_female_contemptuous_left.JPG")
    assert match is not None and match.groupdict() == {
        "camera": "045", "id": "11", "group": "Kid", "sex": "female", "emotion": "contemptuous",
        "gaze": "left",
    }  # fmt: skip
    for wrong in (
        "cropped_1_2_Rafd090_01_Caucasian_female_angry_frontal.jpg",
        "Rafd090_01_Caucasian_angry_left.jpg",
    ):
        assert NAME.match(wrong) is None


def test_the_whole_release_gives_the_papers_numbers(whole):
    found = module(whole).find()
    assert len(found.records) == 1608 and len(found.records.people()) == 67
    split = module(whole).split(found.records)
    assert (len(split.train), len(split.val), len(split.test)) == (1392, 0, 216)
    names, codes = found.records.names("identity"), found.records.codes("identity")
    train, test = ({names[code] for code in codes[rows]} for rows in (split.train, split.test))
    assert (len(train), len(test)) == (58, 9) and not train & test
    expressions = np.bincount(found.records.numbers("expression"))
    assert len(expressions) == 8 and (expressions == 201).all()


@pytest.mark.parametrize("seed", range(20))
def test_every_group_is_among_the_test_people(whole, seed):
    dm = module(whole, seed=seed)
    records = dm.find().records
    test = dm.split(records).test
    people = [records.names("identity")[code] for code in np.unique(records.codes("identity")[test])]
    assert len(people) == 9
    for group in ("Caucasian_female", "Caucasian_male", "Moroccan_male", "Kid"):
        assert any(group in person for person in people), (group, people)


def test_the_split_follows_the_seed_alone(whole):
    records = module(whole).find().records
    first = module(whole).split(records).test
    np.testing.assert_array_equal(first, module(whole).split(records).test)
    assert not np.array_equal(first, module(whole, seed=1).split(records).test)
    table = list(module(whole).split(records).table(records))
    assert len(table) == 1608 and table[0][3] == "train" and table[0][0].endswith("frontal.jpg")


def test_a_list_of_one_s_own_people_takes_the_place_of_the_protocol(whole, tmp_path):
    data = module(whole, splits=str(tmp_path / "who.csv"))
    records = data.find().records
    first, second, third = records.people()[:3]
    (tmp_path / "who.csv").write_text(f"identity,part\n{first},train\n{second},test\n{third},test\n")
    split = data.parts(records)
    names, codes = records.names("identity"), records.codes("identity")
    assert {names[codes[row]] for row in split.train} == {first}
    assert {names[codes[row]] for row in split.test} == {second, third} and not len(split.val)
    (tmp_path / "who.csv").write_text("identity,part\nnobody,train\n")
    with pytest.raises(UserError, match="none of the 67"):
        data.parts(records)


def test_options(whole):
    assert len(module(whole, kids=False).find().records) == 57 * 24
    assert len(module(whole, gazes=["frontal"]).find().records) == 536
    assert len(module(whole, cameras=[0, 90]).find().records) == 3216
    happy = module(whole, emotions=["happy", "neutral"]).find().records
    assert set(happy.numbers("expression").tolist()) == {EXPRESSIONS.index("happiness"), 0}
    assert set(module(whole, cameras=[0]).find().records.numbers("camera").tolist()) == {0}
    with pytest.raises(UserError, match=r"data\.cameras=\[45\]"):
        module(whole, cameras=[45]).find()
    with pytest.raises(UserError, match="emotions"):
        module(whole, emotions=["smug"]).find()


def small(root, where: str):
    """Two pictures a person of eight people, with CSVs in one of the places."""
    models = ("01", "02", "03", "05", "29", "35", "11", "63")
    listed = [n for n in names(gazes=("frontal",), models=models) if "happy" in n or "angry" in n]
    for k, name in enumerate(listed):
        name = name.replace(".jpg", ".JPG") if k % 2 else name
        folder = root / "basket 1" if k % 3 else root  # download baskets, unpacked side by side
        save(folder / name, draw(landmarks(120, turn=0.03), noise=k))
        places = {
            "beside": folder,
            "processed": folder / "processed",
            "elsewhere": root.parent / "aus" / "deep",
        }
        points = np.stack([landmarks(40), landmarks(120, turn=0.03)])  # a poster behind, and the person
        write_csv(
            places[where] / f"{name[:-4]}.csv", csv_rows(points, np.stack([aus(999), aus(k)]), lead=STILL)
        )
        if where == "processed":
            save(places[where] / name, draw(landmarks(120)))  # OpenFace's drawing, of the same name
    (root / "readme.txt").touch()
    return listed


@pytest.mark.parametrize("where", ["beside", "processed", "elsewhere"])
def test_from_pictures_and_csvs_to_batches(tmp_path, where):
    listed = small(tmp_path / "rafd", where)
    dm = module(tmp_path / "rafd", au_root=str(tmp_path / "aus") if where == "elsewhere" else None,
                test_people=4, batch_size=4)  # fmt: skip
    dm.setup()
    assert (len(dm.train), len(dm.test), dm.n_identities) == (8, 8, 4) and dm.generated is None
    stems = {name[:-4]: k for k, name in enumerate(listed)}
    for part in (dm.train, dm.test):
        for row, path in enumerate(part.records.table.column("path").to_pylist()):
            np.testing.assert_allclose(part.au[row], aus(stems[path.rsplit("/", 1)[-1][:-4]]), atol=1e-5)
    batch = next(iter(dm.train_dataloader()))
    assert batch["image"].shape == (4, 3, 32, 32) and batch["target_au"].shape == (4, 17)


def test_missing_csvs_are_counted_not_fatal(tmp_path):
    small(tmp_path / "rafd", "beside")
    for path in sorted((tmp_path / "rafd").glob("*.csv"))[:2]:
        path.write_text(path.read_text().splitlines()[0] + "\n")  # header only: no face found
    prepared = module(tmp_path / "rafd").prepare(progress=False)
    assert prepared.kept == 14 and prepared.left_out == {"no landmarks in an OpenFace CSV": 2}


def test_without_rafd_it_says_where_to_get_it_and_what_to_do_instead(tmp_path):
    for root in (tmp_path / "none", tmp_path):
        with pytest.raises(UserError) as error:
            module(root).setup()
        text = str(error.value)
        for part in (str(root), "Radboud", "https://rafd.socsci.ru.nl", "Rafd090_01", "train eggan_generated",
                     "generate rafd --root"):  # fmt: skip
            assert part in text, part


def test_copies_in_several_baskets_count_once(tmp_path):
    small(tmp_path / "rafd", "beside")
    (tmp_path / "rafd" / "again").mkdir()
    for path in list((tmp_path / "rafd").glob("*.jpg")):
        shutil.copy(path, tmp_path / "rafd" / "again")
    assert len(module(tmp_path / "rafd").find().records) == 16


def test_baskets_may_be_links(tmp_path):
    small(tmp_path / "elsewhere", "beside")
    (tmp_path / "rafd").mkdir()
    (tmp_path / "rafd" / "basket").symlink_to(tmp_path / "elsewhere")
    assert len(module(tmp_path / "rafd").find().records) == 16


def test_csvs_in_au_root_take_the_place_of_those_with_the_pictures(tmp_path):
    small(tmp_path / "old" / "rafd", "elsewhere")
    small(tmp_path / "rafd", "beside")
    for path in (tmp_path / "old" / "aus").rglob("*.csv"):
        path.unlink()
    data = module(tmp_path / "rafd", au_root=str(tmp_path / "old" / "aus"))
    assert not data.find().records.has_au.any(), "an empty folder of CSVs holds none"


def test_what_a_whole_copy_would_have_is_said(tmp_path):
    small(tmp_path / "rafd", "beside")
    gone = next((tmp_path / "rafd").glob("*.jpg"))
    gone.unlink()
    notes = module(tmp_path / "rafd", gazes=["frontal"], emotions=["angry", "happy"]).find().notes
    assert "8 of RaFD's 67 people are here" in notes
    assert f"1 CSVs have no picture (as {gone.stem}.csv)" in notes
    assert any(note.startswith("1 pictures of 1 people are missing (as of ") for note in notes), notes


def test_damaged_csvs_are_counted_together_and_their_pictures_stay(tmp_path):
    small(tmp_path / "rafd", "beside")
    for path in list((tmp_path / "rafd").glob("*.csv"))[:3]:
        path.write_bytes(b"")
    found = module(tmp_path / "rafd").find()
    assert "left out 3: a CSV is not used, its pictures stay: is not a CSV of OpenFace" in found.summary()
    assert len(found.records) == 16
