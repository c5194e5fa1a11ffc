import json
import os
from pathlib import Path

import numpy as np
import pytest
from faces_on_disk import STILL, aus, csv_rows, draw, landmarks, save, write_csv, write_people
from preparation.test_pictures import write_grey

from datamodules.all import DATAMODULES
from datamodules.folder import Folder, FolderConfig, find_folder
from datamodules.preparation import chunks
from facegan.config import UserError
from facegan.faces import EXPRESSIONS

FACE = draw(landmarks())


def by_path(found) -> dict[str, tuple[str, np.ndarray]]:
    records = found.records
    names, codes = records.names("identity"), records.codes("identity")
    paths = records.table.column("path").to_pylist()
    return {path: (names[codes[i]], records.au[i]) for i, path in enumerate(paths)}


def module(root, **options) -> Folder:
    options = {"landmarks": "openface", "image_size": 32, "prepare_workers": 1} | options
    dm = Folder(FolderConfig(root=str(root) if root else None, **options))
    dm.setup()
    return dm


def test_frames_of_a_folder_get_the_row_of_their_place(tmp_path):
    found = find_folder(write_people(tmp_path, people=2, pictures=12), 0.7)
    got = by_path(found)
    for person in (0, 1):
        for k in range(12):
            name, au = got[f"p{person:06d}/{k + 1:06d}.png"]
            assert name == f"p{person:06d}"
            np.testing.assert_allclose(au, aus(100 * person + k), atol=1e-5)
    assert np.isfinite(found.records.landmarks).all() and found.generated is None and not found.left_out


@pytest.mark.parametrize(
    "place", ["anna.csv", "anna/anna.csv", "processed/anna.csv", "anna/processed/anna.csv"]
)
def test_the_csv_of_a_folder_is_found_beside_inside_and_in_processed(tmp_path, place):
    names = ["f1.png", "f10.png", "f2.png"]  # OpenFace reads a folder in the order of names
    for name in names:
        save(tmp_path / "anna" / name, FACE)
    write_csv(tmp_path / place, csv_rows(np.stack([landmarks()] * 3), np.stack([aus(k) for k in range(3)])))
    found = find_folder(tmp_path, 0.7)
    got = by_path(found)
    for k, name in enumerate(names):
        np.testing.assert_allclose(got[f"anna/{name}"][1], aus(k), atol=1e-5)
    frames = dict(
        zip(found.records.table.column("path").to_pylist(), found.records.numbers("frame"), strict=True)
    )
    assert [frames[f"anna/{name}"] for name in ("f1.png", "f2.png", "f10.png")] == [
        0,
        1,
        2,
    ]  # but time counts


@pytest.mark.parametrize("place", ["anna", "anna/processed"])
def test_the_csv_of_a_picture_is_found_beside_it_and_in_processed(tmp_path, place):
    for k in range(3):
        save(tmp_path / "anna" / f"{k}.JPG", FACE)
        columns = csv_rows(np.stack([landmarks(60), landmarks(100)]), np.stack([aus(9), aus(k)]), lead=STILL)
        write_csv(tmp_path / place / f"{k}.csv", columns)
    if "processed" in place:  # OpenFace's own drawings are no pictures of ours
        save(tmp_path / place / "0.jpg", FACE)
        save(tmp_path / place / "0_aligned" / "face_det_000000.bmp", FACE)
    got = by_path(find_folder(tmp_path, 0.7))
    assert len(got) == 3
    for k in range(3):
        np.testing.assert_allclose(got[f"anna/{k}.JPG"][1], aus(k), atol=1e-5)


def test_labels_overrule_and_need_no_folders(tmp_path):
    for name in ("1.png", "2.png", "sub/3.png"):
        save(tmp_path / name, FACE)
    (tmp_path / "labels.csv").write_text(
        "image, identity, expression\n1.png, anna, Happy\nsub/3.png, bob, surprise\n2.png, anna, smug\n"
    )
    found = find_folder(tmp_path, 0.7)
    assert {path: name for path, (name, _) in by_path(found).items()} == {
        "1.png": "anna", "2.png": "anna", "sub/3.png": "bob",
    }  # fmt: skip
    expressions = dict(
        zip(found.records.table.column("path").to_pylist(), found.records.numbers("expression"), strict=True)
    )
    assert expressions == {
        "1.png": EXPRESSIONS.index("happiness"), "2.png": -1, "sub/3.png": EXPRESSIONS.index("surprise"),
    }  # fmt: skip
    (tmp_path / "labels.csv").write_text("file,who\n1.png,anna\n")
    with pytest.raises(UserError, match="needs a column image"):
        find_folder(tmp_path, 0.7)


def test_a_flat_folder_without_labels_is_one_person(tmp_path):
    save(tmp_path / "holiday" / "1.png", FACE)
    save(tmp_path / "holiday" / ".hidden.png", FACE)
    (tmp_path / "holiday" / "Thumbs.db").touch()
    assert {name for name, _ in by_path(find_folder(tmp_path / "holiday", 0.7)).values()} == {"holiday"}


def test_a_video_is_split_by_time_and_rows_follow_their_frames(tmp_path):
    write_grey(tmp_path / "clip.mp4", 20)
    columns = csv_rows(np.stack([landmarks(64)] * 20), np.stack([aus(k) for k in range(20)]))
    columns["success"][4] = 0
    write_csv(tmp_path / "clip.csv", columns)
    for root in (tmp_path, tmp_path / "clip.mp4"):
        dm = module(root, batch_size=4, store=str(tmp_path / f"store-{root.name}"))
        assert dm.n_identities == 1 and "One person only" in dm.describe()
        frames = [part.records.numbers("frame").tolist() for part in (dm.train, dm.val, dm.test)]
        # Frame 4 is not tracked; the split is of the 19 that are.
        assert frames == [[k for k in range(12) if k != 4], [12, 13, 14, 15], [16, 17, 18, 19]]
        for part in (dm.train, dm.val, dm.test):
            shade = part.batch(range(len(part)))["image"].mean(dim=(1, 2, 3)).numpy()
            np.testing.assert_allclose((shade + 1) * 127.5, 10 + 4 * part.records.numbers("frame"), atol=3)
            np.testing.assert_allclose(part.au, [aus(k) for k in part.records.numbers("frame")], atol=1e-5)


def test_people_are_never_in_two_parts(tmp_path):
    dm = module(write_people(tmp_path / "raw", people=12, pictures=2), test_fraction=0.25, val_fraction=0.1)
    parts = [set(part.identities) for part in (dm.train, dm.val, dm.test)]
    assert [len(part) for part in parts] == [8, 1, 3] and len(set.union(*parts)) == 12
    again = module(tmp_path / "raw", test_fraction=0.25, val_fraction=0.1)
    other = module(tmp_path / "raw", test_fraction=0.25, val_fraction=0.1, seed=5)
    assert set(again.test.identities) == parts[2] != set(other.test.identities)


def test_several_roots_each_by_its_own_rule(tmp_path):
    clip = write_people(tmp_path / "clip", people=1, pictures=10, first=77)
    drawn = write_people(tmp_path / "drawn", people=6, pictures=2)
    dm = module(None, roots=[str(clip), str(drawn)], val_fraction=0.0, test_fraction=0.34, batch_size=4)
    assert sum(name == "p000077" for name in np.array(dm.train.identities)[dm.train.identity]) == 6
    assert len(dm.test) == 2 + 2 * 2 and "p000077" in dm.test.identities and len(dm.val) == 2
    assert len(set(dm.train.identities) & set(dm.test.identities)) == 1  # the one split by time


def test_a_root_joins_the_roots_and_no_test_fraction_leaves_only_later_frames(tmp_path):
    clip = write_people(tmp_path / "clip", people=1, pictures=10, first=77)
    drawn = write_people(tmp_path / "drawn", people=6, pictures=2)
    dm = module(clip, roots=[str(drawn)], val_fraction=0.0, test_fraction=0.0, batch_size=4)
    assert dm.test.identities == ["p000077"] and len(dm.test) == 2
    assert len(dm.train) == 6 + 6 * 2


def test_test_roots_hold_test_people_only(tmp_path):
    write_people(tmp_path / "train", people=4, pictures=2)
    write_people(tmp_path / "test", people=3, pictures=2, first=500_000)
    dm = module(tmp_path / "train", test_roots=[str(tmp_path / "test")], batch_size=4)
    assert dm.test.identities == ["p500000", "p500001", "p500002"] and len(dm.train.identities) == 4
    assert dm.val_seen and "from the training split" in dm.describe()


def test_pictures_without_aus_are_left_out_for_methods_that_need_them(tmp_path):
    root = write_people(tmp_path / "raw", people=4, pictures=4)
    columns = csv_rows(np.stack([landmarks(120)] * 4), np.stack([aus(k) for k in range(4)]))
    columns["AU12_r"][2] = "nan"
    write_csv(root / "p000001.csv", columns)
    dm = module(root)
    assert (
        dm.without_au == 1 and len(dm.train) + len(dm.test) == 15 and "1 pictures without AU" in dm.describe()
    )
    assert np.isfinite(dm.train.au).all()
    dm = module(root, needs_au=False)
    assert len(dm.train) + len(dm.test) == 16


def test_nothing_labelled_is_an_error_with_the_way_out(tmp_path):
    for k in range(3):
        save(tmp_path / "raw" / f"p{k}" / "a.png", FACE)
        columns = {
            n: v for n, v in csv_rows(landmarks()[None], aus(0)[None], lead=STILL).items() if "AU" not in n
        }
        write_csv(tmp_path / "raw" / f"p{k}" / "a.csv", columns)
    with pytest.raises(UserError, match=r"OpenFace.*needs_au=false"):
        module(tmp_path / "raw")


def test_missing_and_empty_roots_say_what_to_do(tmp_path):
    with pytest.raises(UserError, match=r"there is none.*generate folder"):
        find_folder(tmp_path / "none", 0.7)
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="no picture"):
        find_folder(tmp_path / "empty", 0.7)


def test_generated_faces_say_so_and_so_do_mixed_ones(tmp_path):
    drawn = write_people(tmp_path / "drawn", people=3, pictures=2)
    (drawn / "GENERATED.json").write_text(json.dumps({"head": "procedural", "seed": 0}))
    dm = module(drawn, batch_size=4)
    assert dm.generated == "procedural" and "generated faces (head procedural)" in dm.describe()
    clip = write_people(tmp_path / "clip", people=1, pictures=10, first=77)
    mixed = module(None, roots=[str(drawn), str(clip)], batch_size=4)
    assert mixed.generated == "photographs + procedural"
    assert "photographs and generated faces (head procedural)" in mixed.describe()
    assert "folder: photographs," in module(clip, batch_size=4).describe()


def test_a_changed_folder_is_prepared_again(tmp_path, capsys):
    root = write_people(tmp_path / "raw", people=3, pictures=2)
    assert len(module(root, batch_size=2).train.store) == 6
    capsys.readouterr()
    module(root, batch_size=2)
    assert "looking through it again" not in capsys.readouterr().out
    write_people(root, people=4, pictures=2)
    assert len(module(root, batch_size=2).train.store) == 8
    assert "looking through it again" in capsys.readouterr().out


def test_raw_data_that_was_only_touched_is_not_prepared_again(tmp_path, monkeypatch):
    root = write_people(tmp_path / "raw", people=3, pictures=2)
    before = module(root, batch_size=2).train.store
    (root / "labels.csv").touch()
    monkeypatch.setattr(chunks, "read_picture", lambda path: pytest.fail("prepared again"))
    after = module(root, batch_size=2)
    assert after.train.store.meta["plan"] == before.meta["plan"] and after._is_prepared()
    save(root / "p000001" / "000001.png", np.zeros((90, 90, 3), np.uint8))  # same name, other picture
    with pytest.raises(pytest.fail.Exception, match="prepared again"):
        after.prepare(progress=False)


def test_the_store_is_enough_when_the_raw_data_is_gone(tmp_path):
    root = write_people(tmp_path / "raw", people=3, pictures=2)
    first = module(root, batch_size=2)
    root.rename(tmp_path / "elsewhere")
    assert len(module(root, batch_size=2).train) == len(first.train)


def test_what_shapes_a_crop_is_part_of_the_stores_name(tmp_path):
    paths = {
        Folder(FolderConfig(root=str(root), **options)).store_path()
        for root in ("a", "b")
        for options in (
            {}, {"image_size": 64}, {"align": "box"}, {"landmarks": "openface"}, {"min_confidence": 0.5}
        )
    }  # fmt: skip
    assert len(paths) == 10
    batch = Folder(FolderConfig(root="a", batch_size=3, seed=9, flip=0.5)).store_path()
    assert batch in paths  # what only shapes batches is not


def test_a_store_named_by_hand_must_fit(tmp_path):
    root = write_people(tmp_path / "raw", people=3, pictures=2)
    module(root, store=str(tmp_path / "store"), batch_size=2)
    with pytest.raises(UserError, match=r"data\.image_size=32, not 64"):
        module(root, store=str(tmp_path / "store"), image_size=64, batch_size=2)


def test_the_table_of_data_modules():
    for name, (config, cls) in DATAMODULES.items():
        assert config().name == name and cls(config()).config.name == name


@pytest.mark.skipif("FACEGAN_REAL_DATA" not in os.environ, reason="FACEGAN_REAL_DATA is not set")
def test_the_real_clip(tmp_path):
    dm = module(Path(os.environ["FACEGAN_REAL_DATA"]) / "clip", store=str(tmp_path / "store"))
    assert (len(dm.train), len(dm.val), len(dm.test)) == (299, 99, 100) and dm.n_identities == 1
    assert dm.train.records.numbers("frame").max() < dm.test.records.numbers("frame").min()


def test_labels_of_pictures_that_are_not_there_and_the_tree_of_a_data_set_are_noted(tmp_path):
    root = write_people(tmp_path / "VL", people=2, pictures=2)
    with (root / "labels.csv").open("a") as file:
        file.write("p000009/000001.png,p000009,happiness\n")
    (root / "Rafd090_01_Caucasian_female_angry_frontal.jpg").write_bytes(b"")
    notes = find_folder(root, 0.7).notes
    assert "1 rows of labels.csv have no picture (as p000009/000001.png)" in notes
    assert any("looks like RaFD: data.name=rafd knows its people" in note for note in notes), notes


def test_csvs_without_their_picture_and_aus_that_are_no_numbers_are_named(tmp_path):
    for k in range(3):
        save(tmp_path / "anna" / f"{k}.jpg", FACE)
        numbers = aus(k) if k else np.full(17, np.nan)
        write_csv(
            tmp_path / "anna" / "processed" / f"{k}.csv",
            csv_rows(landmarks()[None], numbers[None], lead=STILL),
        )
    found = find_folder(tmp_path, 0.7)
    assert found.notes == [] and [Path(path).name for path, _ in found.left_out] == ["0.csv"]
    assert found.left_out[0][1] == "AU intensities that are no numbers, unknown there; rows: 1 of 1"
    assert len(found.records) == 3 and found.records.has_au.tolist() == [False, True, True]
    (tmp_path / "anna" / "2.jpg").unlink()
    (tmp_path / "anna" / "notes.csv").write_text("day,mood\n1,good\n")
    assert find_folder(tmp_path, 0.7).notes == ["1 CSVs have no picture (as anna/processed/2.csv)"]
