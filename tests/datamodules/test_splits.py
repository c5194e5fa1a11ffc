import numpy as np
import pytest

from datamodules.records import Records
from datamodules.splits import by_person, by_time, draw_people, join, read_people, sample
from facegan.config import UserError

PEOPLE = [f"p{i}" for i in range(20)]


def test_people_are_drawn_by_the_seed_whatever_their_order():
    parts = draw_people(PEOPLE, 2, 5, 0)
    assert sorted(parts.values()).count("test") == 5 and sorted(parts.values()).count("val") == 2
    assert draw_people(PEOPLE[::-1], 2, 5, 0) == parts != draw_people(PEOPLE, 2, 5, 1)


@pytest.mark.parametrize("seed", range(10))
def test_each_group_is_tested(seed):
    groups = {name: "abcd"[min(i // 6, 3)] for i, name in enumerate(PEOPLE)}
    parts = draw_people(PEOPLE, 0, 4, seed, groups)
    assert {groups[name] for name, part in parts.items() if part == "test"} == set("abcd")


def test_nobody_left_to_train_is_an_error():
    with pytest.raises(UserError, match=r"3 people cannot be split into 2 for test, 1 for validation"):
        draw_people(["a", "b", "c"], 1, 2, 0)


def records(sequences: list[str], frames: list[int]) -> Records:
    n = len(sequences)
    return Records.build(
        {"root": ["/r"] * n, "path": [str(i) for i in range(n)], "identity": sequences, "sequence": sequences,
         "frame": frames}
    )  # fmt: skip


def test_time_cuts_each_sequence_by_frames_not_by_rows():
    frames = [9, 8, 7, 6, 5, 4, 3, 2, 1, 0, 0, 1, 2, 3, 4]
    table = records(["a"] * 10 + ["b"] * 5, frames)
    split = by_time(table, np.arange(15))
    got = [
        [(("a" if row < 10 else "b"), frames[row]) for row in part]
        for part in (split.train, split.val, split.test)
    ]
    assert [sorted(part) for part in got] == [
        [("a", k) for k in range(6)] + [("b", k) for k in range(3)], [("a", 6), ("a", 7), ("b", 3)],
        [("a", 8), ("a", 9), ("b", 4)],
    ]  # fmt: skip


def test_time_cuts_a_thousand_sequences_at_once_as_one_by_one():
    rng = np.random.default_rng(0)
    names = [f"s{k}" for k in rng.integers(0, 300, 5000)]
    table = records(names, rng.permutation(5000))
    rows = np.sort(rng.choice(5000, 4000, replace=False))
    split = by_time(table, rows)
    for name in {names[row] for row in rows.tolist()}:
        here = sorted(
            (row for row in rows.tolist() if names[row] == name), key=lambda row: table.numbers("frame")[row]
        )
        cuts = round(0.6 * len(here)), round(0.8 * len(here))
        for part, want in zip((split.train, split.val, split.test), np.split(here, cuts), strict=True):
            assert set(want) == {row for row in part.tolist() if names[row] == name}


def test_by_person_takes_all_rows_of_a_person_and_leaves_strangers_out():
    table = records(["a", "b", "c", "a", "d"], [0] * 5)
    split = by_person(table, np.arange(5), {"a": "train", "b": "val", "c": "test"})
    assert (split.train.tolist(), split.val.tolist(), split.test.tolist()) == ([0, 3], [1], [2])
    assert next(split.table(table)) == ("/r/0", 0, "a", "train")
    both = join([split, by_person(table, np.array([4]), {"d": "test"})])
    assert both.test.tolist() == [2, 4]


def test_sample_is_spread_evenly():
    assert sample(np.arange(100, 200), 5).tolist() == [100, 124, 149, 174, 199]
    assert sample(np.arange(3), 10).tolist() == [0, 1, 2] and len(sample(np.arange(0), 4)) == 0


def test_a_list_of_people_is_read_back_as_it_was_written(tmp_path):
    table = records(["a", "b", "c", "a"], [0] * 4)
    split = by_person(table, np.arange(4), {"a": "train", "b": "val", "c": "test"})
    lines = [",".join(map(str, row)) for row in [("path", "frame", "identity", "part"), *split.table(table)]]
    (tmp_path / "who.csv").write_text("\n".join(lines))
    assert read_people(tmp_path / "who.csv") == {"a": "train", "b": "val", "c": "test"}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("identity,part\na,train\na,test\n", "a is in train and in test"),
        ("identity,part\na,training\n", "'training'; a part is train, val, test"),
        ("person;part\na;train\n", "needs an identity and a part"),
        (None, "cannot be read"),
    ],
)
def test_a_list_of_people_that_is_none_says_why(tmp_path, text, words):
    if text is not None:
        (tmp_path / "who.csv").write_text(text)
    with pytest.raises(UserError, match=words):
        read_people(tmp_path / "who.csv")
