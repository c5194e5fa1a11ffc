"""Who is trained on and who is tested on: by person, or by time within a sequence.

Always deterministic for a seed, and a list of rows that can be written down (``facegan data --splits``), changed,
and read again (``data.splits``).
"""

import csv
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from datamodules.records import Records
from facegan.config import UserError

PARTS = ("train", "val", "test")
TIME_SHARES = (0.6, 0.2)  # of a sequence: first 60 % train, next 20 % val, last 20 % test


@dataclass
class Split:
    """Rows of the record table for each part, ascending."""

    train: np.ndarray
    val: np.ndarray
    test: np.ndarray

    def table(self, records: Records) -> Iterator[tuple[str, int, str, str]]:
        """(path, frame, identity, part) of each row used, for export, one after another."""
        names, codes = records.names("identity"), records.codes("identity")
        frames = records.numbers("frame")
        for part in PARTS:
            for row in getattr(self, part):
                yield records.path(int(row)), int(frames[row]), names[codes[row]], part


def join(splits: Sequence[Split]) -> Split:
    """Several splits of different rows as one."""
    return Split(*(np.sort(np.concatenate([getattr(split, part) for split in splits])) for part in PARTS))


def by_person(records: Records, rows: np.ndarray, people: Mapping[str, str]) -> Split:
    """Rows by the part ("train", "val", "test") that their person is in; others are left out."""
    parts = [people.get(name, "") for name in records.names("identity")]
    return _by_name(parts, records.codes("identity")[rows], rows)


def read_people(path: Path) -> dict[str, str]:
    """Part of each person, from a CSV with the columns ``identity`` and ``part``; others are passed over.

    Raises:
        UserError: no such file, no such columns, an unknown part, or a person in two parts.
    """
    people: dict[str, str] = {}
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            for line in csv.DictReader(file):
                name, part = line.get("identity"), line.get("part")
                if name is None or part is None:
                    raise UserError(
                        f"data.splits={path}: a line needs an identity and a part, and {line} has not both"
                    )
                if part not in PARTS:
                    raise UserError(
                        f"data.splits={path}: {name} is in {part!r}; a part is {', '.join(PARTS)}"
                    )
                if people.setdefault(name, part) != part:
                    raise UserError(
                        f"data.splits={path}: {name} is in {people[name]} and in {part}; a person has one part"
                    )
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(
            f"data.splits={path} cannot be read ({error}); facegan data NAME --splits writes one"
        ) from None
    return people


def write_people(path: Path, people: Mapping[str, str]) -> None:
    """A list that ``read_people`` reads."""
    with path.open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(("identity", "part"))
        table.writerows(sorted(people.items()))


def by_part(records: Records) -> Split:
    """Rows by the data set's own partition; those without a part are left out."""
    return _by_name(records.names("part"), records.codes("part"), np.arange(len(records)))


def _by_name(parts: Sequence[str], codes: np.ndarray, rows: np.ndarray) -> Split:
    """Rows (N,) by the part that their code (N,) stands for."""
    if not len(rows):
        return Split(rows, rows, rows)
    number = np.array([PARTS.index(part) if part in PARTS else -1 for part in parts], np.int8)[codes]
    return Split(*(rows[number == k] for k in range(len(PARTS))))


def draw_people(
    people: Sequence[str], val: int, test: int, seed: int, groups: Mapping[str, str] | None = None
) -> dict[str, str]:
    """Part of each person: ``test`` and ``val`` of them drawn at random, the others are trained on.

    With ``groups`` (person -> group) the test people hold at least one of each group, as far as there are
    enough of them.

    Raises:
        UserError: nobody would be left to train on.
    """
    names = sorted(people)
    if val + test >= len(names):
        raise UserError(
            f"{len(names)} people cannot be split into {test} for test, {val} for validation and at least "
            "one for training; lower data.test_people / data.val_people (or the fractions), or add people"
        )
    order = np.random.Generator(np.random.Philox(key=[seed, 0x5917])).permutation(len(names))
    drawn = [names[i] for i in order]
    if groups is not None:
        seen: set[str] = set()
        first = []
        for name in drawn:
            if groups[name] not in seen:
                seen.add(groups[name])
                first.append(name)
        drawn = first + [name for name in drawn if name not in set(first)]
    parts = dict.fromkeys(names, "train")
    parts.update(dict.fromkeys(drawn[:test], "test"))
    parts.update(dict.fromkeys(drawn[test : test + val], "val"))
    return parts


def by_time(records: Records, rows: np.ndarray, shares: tuple[float, float] = TIME_SHARES) -> Split:
    """Rows of each sequence in the order of frames: the first share train, the next val, the rest test."""
    sequences = records.codes("sequence")[rows]
    in_time = rows[np.lexsort((rows, records.numbers("frame")[rows], sequences))]
    lengths = np.unique(sequences, return_counts=True)[1]
    ends = np.cumsum(lengths)
    place = np.arange(len(rows)) - np.repeat(ends - lengths, lengths)
    cuts = np.round(np.outer(lengths, (shares[0], shares[0] + shares[1])))
    part = (place[:, None] >= np.repeat(cuts, lengths, 0)).sum(1)
    return Split(*(np.sort(in_time[part == k]) for k in range(len(PARTS))))


def sample(rows: np.ndarray, n: int) -> np.ndarray:
    """At most n of the rows, evenly spread."""
    return (
        rows[np.unique(np.linspace(0, len(rows) - 1, min(n, len(rows))).astype(int))] if len(rows) else rows
    )


def fold_parts(
    people: Sequence[str], folds: int, fold: int, by: str, seed: int, who: str = "people"
) -> dict[str, str]:
    """Part of each person when one of k folds of people is tested on.

    Args:
        fold: from 0; negative counts from the last.
        who: what the people are called where they cannot be cut so.
        by: "consecutive" (first n/k people, next n/k, …), "strided" (every k-th), or "shuffled" by ``seed``.

    Raises:
        UserError: there is no such fold, or way to make them.
    """
    names = sorted(people)
    if by not in ("consecutive", "strided", "shuffled"):
        raise UserError(f"data.fold_by={by} is unknown; choose consecutive, strided or shuffled")
    if not 2 <= folds <= len(names) or not -folds <= fold < folds:
        raise UserError(
            f"{len(names)} {who} cannot be cut into data.folds={folds} folds with number data.fold={fold}; "
            f"set data.folds to 2 to {len(names)}, and data.fold to 0 to folds - 1"
            if len(names) > 1
            else f"{len(names)} {who} cannot be cut into folds; the protocol needs two or more"
        )
    if by == "shuffled":
        names = [names[i] for i in np.random.default_rng([seed, 0xF01D]).permutation(len(names))]
    place = np.arange(len(names))
    of = place % folds if by == "strided" else place * folds // len(names)
    return {
        name: "test" if k == fold % folds else "train" for name, k in zip(names, of.tolist(), strict=True)
    }
