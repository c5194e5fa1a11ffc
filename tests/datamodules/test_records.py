import pickle
import time

import numpy as np
import pyarrow as pa
import pytest

from datamodules.records import SCHEMA, Found, Records, expression_index
from facegan.faces import EXPRESSIONS


def table(n: int = 6, landmarks: bool = False) -> Records:
    rng = np.random.default_rng(n)
    columns = {
        "root": ["/data"] * n, "identity": [f"p{i % 3}" for i in range(n)],
        "path": [f"p{i % 3}/{i}.png" for i in range(n)],
        "frame": np.arange(n), "au": rng.random((n, 17)), "expression": [i % 8 for i in range(n)],
    }  # fmt: skip
    if landmarks:
        columns["landmarks"] = rng.random((n, 68, 2))
    return Records.build(columns)


def same(a: Records, b: Records) -> None:
    assert a.table.schema == b.table.schema
    for name in a.table.schema.names:
        np.testing.assert_array_equal(a.table.column(name).to_pylist(), b.table.column(name).to_pylist())


def test_unknown_columns_are_marked_unknown():
    records = table()
    assert records.table.schema.names == SCHEMA.names[:-1]
    assert (
        np.isnan(records.pose).all()
        and np.isnan(records.landmarks).all()
        and records.landmarks.shape == (6, 68, 2)
    )
    assert (records.numbers("camera") == -1).all() and np.isnan(records.numbers("confidence")).all()
    assert (
        records.has_au.all()
        and records.people() == ["p0", "p1", "p2"]
        and records.path(4) == "/data/p1/4.png"
    )


@pytest.mark.parametrize("landmarks", [False, True])
def test_written_and_opened_it_is_the_same_and_a_view(tmp_path, landmarks):
    records = table(landmarks=landmarks)
    records.write(tmp_path / "a.arrow")
    opened = Records.open(tmp_path / "a.arrow")
    same(opened, records)
    same(pickle.loads(pickle.dumps(opened)), records)
    assert opened.au.base is not None and not opened.au.flags.owndata


def test_select_keeps_rows_together():
    records = table()
    for rows in (np.array([4, 1]), np.isin(np.arange(6), [1, 4])):
        picked = records.select(rows)
        order = np.array([4, 1]) if rows.dtype != bool else np.array([1, 4])
        np.testing.assert_array_equal(picked.au, records.au[order])
        assert picked.table.column("path").to_pylist() == [f"p1/{i}.png" for i in order]
        assert picked.people() == ["p1"]
    assert len(records.select(np.zeros(0, int))) == 0 and records.select(np.zeros(0, int)).au.shape == (0, 17)


def test_concatenate_unites_names_and_fills_missing_landmarks():
    both = Records.concatenate([table(4), table(5, landmarks=True)])
    assert len(both) == 9 and both.people() == ["p0", "p1", "p2"]
    assert np.isnan(both.landmarks[:4]).all() and np.isfinite(both.landmarks[4:]).all()
    names, codes = both.names("identity"), both.codes("identity")
    assert [names[code] for code in codes] == [f"p{i % 3}" for i in (*range(4), *range(5))]


def test_replace_changes_one_column():
    records = table(landmarks=True)
    turned = records.replace(pose=np.ones((6, 3)))
    np.testing.assert_array_equal(turned.pose, 1)
    np.testing.assert_array_equal(turned.au, records.au)
    assert not records.without_landmarks().has_landmarks


def test_expressions_in_all_their_spellings():
    for words in (("happy", "Happiness", "HAPPY "), ("angry", "anger"), ("contemptuous", "contempt")):
        assert len({expression_index(word) for word in words}) == 1
    assert [expression_index(name) for name in EXPRESSIONS] == list(range(8)) and expression_index(
        "smug"
    ) == -1


def test_summary_counts_and_gives_reasons():
    found = Found(
        table(), [("a", "no face"), ("b", "no face"), ("c", "cut")], ["a note"], generated="procedural"
    )
    text = found.summary()
    for part in (
        "6 pictures of 3 people",
        "generated faces (procedural)",
        "left out 2: no face",
        "neutral 1",
        "a note",
    ):
        assert part in text


def test_five_million_rows_open_in_an_instant(tmp_path):
    n, one = 5_000_000, table(1).table
    columns = []
    for field in one.schema:
        if pa.types.is_dictionary(field.type):
            codes = pa.array(np.zeros(n, np.int32))
            columns.append(pa.DictionaryArray.from_arrays(codes, one.column(field.name).chunk(0).dictionary))
        elif pa.types.is_fixed_size_list(field.type):
            # Half a gigabyte of AUs would only slow the test's writing down: two of them stand for all.
            columns.append(pa.FixedSizeListArray.from_arrays(pa.array(np.zeros(2 * n, np.float32)), 2))
        elif field.name == "path":
            columns.append(pa.array(np.zeros(n, np.int8)).cast(pa.large_string()))
        else:
            columns.append(pa.array(np.zeros(n, field.type.to_pandas_dtype())))
    Records(pa.table(columns, names=one.schema.names)).write(tmp_path / "big.arrow")
    start = time.perf_counter()
    records = Records.open(tmp_path / "big.arrow")
    assert len(records) == n and records.path(n - 1) == "/data/0" and records.codes("identity")[-1] == 0
    assert time.perf_counter() - start < 1
