import os
from pathlib import Path

import numpy as np
import pytest
from faces_on_disk import SEQUENCE, STILL, aus, csv_rows, landmarks, write_csv

from datamodules.preparation.openface import is_openface, read_openface
from facegan.config import UserError
from facegan.faces import AU_COLUMNS

POINTS = np.stack([landmarks(shift=(k, 0)) for k in range(3)])
AUS = np.stack([aus(k) for k in range(3)])


@pytest.mark.parametrize("separator", [", ", ","])
def test_reads_with_and_without_the_blank_after_the_comma(tmp_path, separator):
    table = read_openface(write_csv(tmp_path / "a.csv", csv_rows(POINTS, AUS), separator))
    np.testing.assert_allclose(table.au, AUS, atol=1e-6)
    np.testing.assert_allclose(table.landmarks, POINTS, atol=1e-4)
    np.testing.assert_allclose(table.pose, [[0.1, -0.2, 0.05]] * 3, atol=1e-6)
    assert table.frame.tolist() == [1, 2, 3] and table.valid.all()


def test_names_are_case_sensitive_millimetres_are_not_pixels(tmp_path):
    columns = csv_rows(POINTS, AUS)
    upper = {f"X_{i}": [999.0] * 3 for i in range(68)} | {f"eye_lmk_x_{i}": [7.0] * 3 for i in range(56)}
    table = read_openface(write_csv(tmp_path / "a.csv", upper | columns))
    np.testing.assert_allclose(table.landmarks, POINTS, atol=1e-4)


def test_a_forks_extra_columns_and_another_order_do_not_matter(tmp_path):
    columns = csv_rows(POINTS, AUS)
    extra = columns | {name.replace("_r", "_d"): [0.5] * 3 for name in AU_COLUMNS}
    shuffled = dict(sorted(extra.items()))
    np.testing.assert_allclose(read_openface(write_csv(tmp_path / "a.csv", shuffled)).au, AUS, atol=1e-6)


def test_single_pictures_keep_the_largest_face(tmp_path):
    points = np.stack([landmarks(60), landmarks(120), landmarks(90)])
    columns = csv_rows(points, AUS, lead=STILL)
    table = read_openface(write_csv(tmp_path / "a.csv", columns)).one_face_a_frame()
    assert len(table) == 1
    np.testing.assert_allclose(table.au[0], AUS[1], atol=1e-6)


def test_single_pictures_without_landmarks_keep_the_surest_face(tmp_path):
    columns = {"face": [0, 1, 2], "confidence": [0.8, 0.75, 0.95]}
    columns |= {name: list(AUS[:, k]) for k, name in enumerate(AU_COLUMNS)}
    table = read_openface(write_csv(tmp_path / "a.csv", columns)).one_face_a_frame()
    np.testing.assert_allclose(table.au, AUS[2:], atol=1e-6)


def test_a_large_face_below_the_confidence_gives_way_to_a_small_sure_one(tmp_path):
    columns = csv_rows(np.stack([landmarks(120), landmarks(60)]), AUS[:2], lead=STILL)
    columns["confidence"] = [0.4, 0.9]
    np.testing.assert_allclose(
        read_openface(write_csv(tmp_path / "a.csv", columns)).one_face_a_frame().au[0], AUS[1], atol=1e-6
    )


def test_several_faces_in_a_video_keep_one_row_a_frame(tmp_path):
    points = np.stack([landmarks(60), landmarks(120), landmarks(120), landmarks(60)])
    columns = csv_rows(points, np.stack([aus(k) for k in range(4)]))
    columns["frame"], columns["face_id"] = [1, 1, 2, 2], [0, 1, 0, 1]
    table = read_openface(write_csv(tmp_path / "a.csv", columns)).one_face_a_frame()
    assert table.frame.tolist() == [1, 2] and table.face.tolist() == [1, 0]


def test_failed_frames_keep_their_place_and_lose_their_numbers(tmp_path):
    columns = csv_rows(POINTS, AUS)
    columns["success"], columns["confidence"] = [1, 0, 1], [0.98, 0.9, 0.5]
    table = read_openface(write_csv(tmp_path / "a.csv", columns))
    assert table.valid.tolist() == [True, False, False]
    assert (
        np.isnan(table.au[1:]).all()
        and np.isnan(table.landmarks[1:]).all()
        and np.isfinite(table.au[0]).all()
    )


def test_form_of_openface_1(tmp_path):
    columns = csv_rows(POINTS, AUS, lead=("frame", "timestamp", "confidence", "success"))
    table = read_openface(write_csv(tmp_path / "a.csv", columns, ","))
    np.testing.assert_allclose(table.au, AUS, atol=1e-6)


def test_missing_blocks_are_unknown_and_named_when_required(tmp_path):
    columns = {k: v for k, v in csv_rows(POINTS, AUS).items() if k in SEQUENCE or k.startswith("pose")}
    table = read_openface(write_csv(tmp_path / "a.csv", columns))
    assert np.isnan(table.au).all() and np.isnan(table.landmarks).all() and np.isfinite(table.pose).all()
    assert table.require("pose") is table
    with pytest.raises(UserError, match=r"AU01_r.*-aus"):
        table.require("au")
    with pytest.raises(UserError, match=r"x_0.*-2Dfp"):
        table.require("landmarks")


def test_a_single_missing_column_is_named_when_required(tmp_path):
    columns = csv_rows(POINTS, AUS)
    without = {name: values for name, values in columns.items() if name not in ("AU12_r", "pose_Ry", "y_3")}
    table = read_openface(write_csv(tmp_path / "a.csv", without))
    for block, name in (("au", "AU12_r"), ("pose", "pose_Ry"), ("landmarks", "y_3")):
        with pytest.raises(UserError, match=rf"a\.csv lacks {name}; run OpenFace again"):
            table.require(block)


def test_words_in_a_column_of_numbers_are_named_by_the_column(tmp_path):
    columns = csv_rows(POINTS, AUS)
    columns["AU12_r"] = [1.0, "abc", 2.0]
    with pytest.raises(UserError, match=r"a\.csv cannot be read .* column AU12_r.*abc"):
        read_openface(write_csv(tmp_path / "a.csv", columns))


def test_header_only_is_an_empty_table(tmp_path):
    columns = {name: [] for name in csv_rows(POINTS, AUS, lead=STILL)}
    table = read_openface(write_csv(tmp_path / "a.csv", columns))
    assert len(table) == 0 and len(table.one_face_a_frame()) == 0


def test_windows_nan_and_a_line_cut_off(tmp_path):
    columns = csv_rows(POINTS, AUS)
    columns["AU12_r"] = [1.0, "-nan(ind)", 2.0]
    path = write_csv(tmp_path / "a.csv", columns)
    path.write_text(path.read_text() + "4, 0, 0.12")
    table = read_openface(path)
    assert len(table) == 3 and np.isnan(table.au[1, AU_COLUMNS.index("AU12_r")])


def test_rows_none_of_which_is_whole_are_refused(tmp_path):
    path = write_csv(tmp_path / "a.csv", csv_rows(POINTS, AUS))
    header, *rows = path.read_text().splitlines()
    path.write_text("\n".join([header, *(row.rpartition(",")[0] for row in rows)]))
    columns = len(header.split(","))
    with pytest.raises(UserError, match=rf"a\.csv has no whole row: {columns - 1} columns for {columns}"):
        read_openface(path)


@pytest.mark.parametrize("text", ["image,identity\na.jpg,anna\n", "", "\x00\x01"])
def test_other_files_are_refused_by_name(tmp_path, text):
    (tmp_path / "labels.csv").write_text(text)
    with pytest.raises(UserError, match=r"labels\.csv"):
        read_openface(tmp_path / "labels.csv")
    assert not is_openface(tmp_path / "labels.csv")


@pytest.mark.skipif("FACEGAN_REAL_DATA" not in os.environ, reason="FACEGAN_REAL_DATA is not set")
def test_the_tools_own_file_of_714_columns():
    path = Path(os.environ["FACEGAN_REAL_DATA"]) / "clip" / "00116.csv"
    table = read_openface(path).require("au", "pose", "landmarks")
    # By position, as ICface reads it: an independent reading of the same file.
    rows = [line.split(",") for line in path.read_text().splitlines()[1:]]
    values = np.array(rows, float)
    assert len(table) == 498
    np.testing.assert_allclose(table.au, values[:, 679:696], atol=1e-5)
    np.testing.assert_allclose(table.pose, values[:, 296:299], atol=1e-5)
    np.testing.assert_allclose(table.landmarks[:, :, 1], values[:, 367:435], atol=1e-3)
