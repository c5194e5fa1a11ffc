import numpy as np
import pytest
from faces_on_disk import write_people

from datamodules.folder import Folder, FolderConfig
from datamodules.inspection import sheet, table
from datamodules.rafd import RaFD, RaFDConfig
from datamodules.splits import Split


@pytest.fixture
def faces(tmp_path):
    root = write_people(tmp_path / "faces", people=4, pictures=5)
    (root / "p000001" / "000002.png").write_bytes(b"no picture")
    return Folder(FolderConfig(root=str(root), test_fraction=0.25, val_fraction=0.0))


def test_the_table_says_who_is_there_and_how_often(faces):
    found = faces.find()
    text = table(found, faces.split(found.records))
    lines = [line.split() for line in text.splitlines()]
    assert ["train", "3", "15"] in lines and ["test", "1", "5"] in lines
    assert ["neutral", "4", "12"] in lines and ["happiness", "4", "8"] in lines
    assert "sizes of 20 files: 120 x 120 (19), unreadable (1)" in text
    assert not any(line[:1] == ["unused"] for line in lines)


def test_codes_of_all_that_was_found_whatever_was_chosen(tmp_path):
    for camera in ("090", "180"):
        for gaze in ("frontal", "left"):
            (tmp_path / f"Rafd{camera}_01_Caucasian_female_angry_{gaze}.jpg").touch()
    data = RaFD(RaFDConfig(root=str(tmp_path), gazes=["left"]))
    found = data.find()
    none = np.zeros(0, np.int64)
    text = table(found, Split(none, none, none))
    assert "camera in the raw data: 090 2, 180 2" in text
    assert "gaze in the raw data: frontal 2, left 2" in text
    assert ["unused", "1", "1"] in [line.split() for line in text.splitlines()]


def test_the_sheet_has_a_cell_a_sample_and_marks_landmarks(faces):
    records = faces.find().records
    picture = sheet(records, "openface", count=6, columns=4)
    assert picture.shape == (2 * (160 + 32), 4 * 160, 3)
    green = (picture == (0, 220, 0)).all(2)
    assert green[:160, :160].sum() > 68  # the first picture has its CSV's landmarks
    assert not green[192:, 320:].any()  # two cells of eight are empty


def test_a_damaged_picture_does_not_stop_the_sheet(faces):
    records = faces.find().records
    row = next(k for k in range(len(records)) if records.path(k).endswith("p000001/000002.png"))
    cell = sheet(records.select(np.array([row])), "openface", count=1, columns=1)
    assert (cell[:160] == 225).all() and (cell[160:] < 128).any()


def test_pictures_that_were_cut_short_and_empty_files_are_named(tmp_path):
    root = write_people(tmp_path / "faces", people=2, pictures=5)
    data = Folder(FolderConfig(root=str(root), test_fraction=0.5, val_fraction=0.0))
    whole = (root / "p000000" / "000003.png").read_bytes()
    (root / "p000000" / "000003.png").write_bytes(whole[: len(whole) // 2])
    (root / "p000001" / "000002.png").write_bytes(b"")
    found = data.find()
    text = table(found, data.split(found.records))
    assert "unreadable (2)" in text and "p000000/000003.png" in text
    assert "1 files are empty" in text and "p000001/000002.png" in text
