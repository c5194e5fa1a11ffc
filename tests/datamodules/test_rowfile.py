import os

import numpy as np
import pytest

from datamodules.records import Records
from datamodules.rowfile import RowFile


@pytest.fixture
def rows(tmp_path):
    array = np.random.default_rng(0).normal(size=(20, 3, 2)).astype(np.float32)
    np.save(tmp_path / "a.npy", array)
    return array, RowFile.npy(tmp_path / "a.npy")


@pytest.mark.parametrize(
    "index", [7, -1, [3, 3, 19, 0], [[1, 2], [-2, 4]], np.array([], int), np.arange(20) % 3 == 0]
)
def test_rows_as_an_array_gives_them(rows, index):
    array, file = rows
    np.testing.assert_array_equal(file[index], array[np.asarray(index)])
    assert len(file) == 20 and file.shape == (20, 3, 2)


def test_rows_go_to_their_places(rows):
    array, file = rows
    out = np.zeros((4, 3, 2), np.float32)
    file.read(np.array([5, 9]), out, np.array([3, 1]))
    np.testing.assert_array_equal(out[[3, 1]], array[[5, 9]])
    assert not out[[0, 2]].any()


def test_large_rows_are_the_same(tmp_path):
    array = np.random.default_rng(0).integers(0, 256, (5, 96, 96, 3), np.uint8)
    np.save(tmp_path / "a.npy", array)
    np.testing.assert_array_equal(RowFile.npy(tmp_path / "a.npy")[[4, 0, 4]], array[[4, 0, 4]])


@pytest.mark.parametrize("index", [20, -21])
def test_a_row_that_is_not_there(rows, index):
    with pytest.raises(IndexError, match="of 20"):
        rows[1][index]


def test_a_file_cut_short(tmp_path):
    np.save(tmp_path / "a.npy", np.zeros((4, 8)))
    os.truncate(tmp_path / "a.npy", (tmp_path / "a.npy").stat().st_size - 1)
    with pytest.raises((EOFError, ValueError)):
        RowFile.npy(tmp_path / "a.npy")


def test_the_file_is_closed_with_its_last_user(tmp_path):
    np.save(tmp_path / "a.npy", np.zeros(3))
    files = lambda: len(os.listdir("/proc/self/fd"))  # noqa: E731
    before = files()
    opened = RowFile.npy(tmp_path / "a.npy")
    assert files() == before + 1
    del opened
    assert files() == before


def test_columns_of_a_table_by_their_offset(tmp_path):
    n, rng = 9, np.random.default_rng(1)
    au, pose = rng.random((n, 17), np.float32), rng.random((n, 3), np.float32)
    half = [Records.build({"path": ["x"] * k, "identity": ["a"] * k, "au": au[s], "pose": pose[s]})
            for k, s in ((4, slice(4)), (5, slice(4, None)))]  # fmt: skip
    path = tmp_path / "records.arrow"
    Records.concatenate(half).write(path)
    for name, wanted in (("au", au), ("pose", pose)):
        file = RowFile(path, Records.offset(path, name), n, wanted.shape[1:], np.float32)
        np.testing.assert_array_equal(file[[8, 0, 5]], wanted[[8, 0, 5]])
