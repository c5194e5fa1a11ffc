"""The protocol of transfers, on pictures whose expression and person are read off their pixels."""

import csv
import json
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from facegan import report
from facegan.config import UserError
from facegan.faces import EXPRESSIONS
from facegan.protocols.common import Protocol
from facegan.protocols.transfer import Likeness, _figure, choose_pairs, evaluate

QUICK = Protocol(targets=60, batch_size=16, rows=3, progress=False)
NAMES = ("anger", "happiness", "surprise")


class Split:
    """People x expressions: plane 0 is the expression's number, plane 1 the person's own noise."""

    def __init__(self, people=5, each=6):
        self.identity = np.repeat(np.arange(people), each)
        self.identities = [f"P{k}" for k in range(people)]
        self.expression = np.array([EXPRESSIONS.index(NAMES[k % 3]) for k in range(people * each)])
        self.records = SimpleNamespace(path=lambda row: f"P{self.identity[row]}/{row}.jpg")

    def batch(self, rows):
        images = torch.zeros(len(rows), 3, 8, 8)
        for image, row in zip(images, rows, strict=True):
            image[0] = self.expression[row] / 4 - 1
            looks = np.random.default_rng(int(self.identity[row])).normal(0, 0.5, (8, 8)).clip(-1, 1)
            image[1] = torch.from_numpy(looks)
        return {"image": images}


class Reader:
    """The expression judge: as sure as the pixels are."""

    expressions = NAMES
    description = "pixels"

    def __call__(self, images):
        code = ((images[:, 0].mean((1, 2)) + 1) * 4).round().long()
        wanted = torch.tensor([EXPRESSIONS.index(name) for name in NAMES])
        return (code[:, None] == wanted).float()


def judges():
    """An identity judge that sees the person's plane, and a finder that misses black pictures."""

    def finder(images):
        points = torch.zeros(len(images), 68, 2)
        points[images[:, 1].abs().sum((1, 2)) == 0] = torch.nan
        return points

    def person(images, points):
        features = images[:, 1].flatten(1).clone()
        features[~points.isfinite().all((1, 2))] = torch.nan
        return features

    person.name, person.description = "pixels", "pixel recogniser"
    return SimpleNamespace(identity=[person], finder=finder, missing={"LightCNN": "no weights"})


def data(**options):
    return SimpleNamespace(test=Split(**options), generated="procedural", describe=lambda: "toy people")


def perfect(source, target):
    result = target.clone()
    result[:, 0] = source[:, 0]
    return result


def test_pairs_are_of_two_people_and_every_picture_is_a_source():
    test = Split()
    sources, targets = choose_pairs(test, 60)
    assert (test.identity[sources] != test.identity[targets]).all()
    assert np.bincount(sources, minlength=30).tolist() == [2] * 30
    again = choose_pairs(test, 60)
    assert np.array_equal(again[0], sources) and np.array_equal(again[1], targets)
    with pytest.raises(UserError, match="two test people"):
        choose_pairs(Split(people=1), 10)


def test_pictures_without_an_expression_are_no_sources(tmp_path):
    """-1 is "not known", not the last expression, which this judge happens to know."""
    toy, judge = data(), Reader()
    judge.expressions = (*NAMES, EXPRESSIONS[-1])
    toy.test.expression[::2] = -1
    result = evaluate(perfect, toy, judge, judges(), tmp_path, method="ours", protocol=QUICK)
    assert result["pairs"] == 30 and result["expression"]["copy the source"] == 1


def test_a_perfect_transfer_has_both_and_each_copy_has_one(tmp_path):
    result = evaluate(
        perfect, data(), Reader(), judges(), tmp_path, method="ours", command="typed", protocol=QUICK,
        recognise=lambda faces: [Reader.expressions[k] for k in Reader()(faces).argmax(1)],
    )  # fmt: skip
    assert result["recognised_by_itself"] == 1
    assert result["expression"]["copy the source"] == result["expression"]["ours"] == 1
    assert 0.15 < result["expression"]["copy the target"] < 0.55
    people = result["identity"]["pixels"]
    assert people["real"]["accuracy"] == 1 and people["ours"]["accuracy"] == 1
    assert people["copy the target"]["accuracy"] == 1 and people["copy the source"]["accuracy"] == 0
    assert json.loads((tmp_path / "evaluation.json").read_text()) == result
    table = (tmp_path / "table.md").read_text()
    for words in (
        "copy the source",
        "copy the target",
        "ours",
        "LightCNN: not measured, no weights",
        "`typed`",
        "1.000",
        "names 100.0 % of the sources' expressions right",
    ):
        assert words in table
    rows = list(csv.reader((tmp_path / "pairs.csv").open()))
    assert rows[0] == ["source", "target", "person", "recognised", "cosine_pixels", "verified_pixels"]
    assert len(rows) == 61 and {tuple(row[3:]) for row in rows[1:]} == {("1.00000", "1.00000", "1.00000")}
    assert all(
        target.split("/")[0] == person != source.split("/")[0] for source, target, person, *_ in rows[1:]
    )
    assert (tmp_path / "grid.png").exists()
    assert report.transfer_table(result) == table


def test_a_result_without_a_face_is_nobody(tmp_path):
    result = evaluate(
        lambda source, target: torch.zeros_like(target), data(), Reader(), judges(), tmp_path, method="ours",
        protocol=QUICK,
    )  # fmt: skip
    row = result["identity"]["pixels"]["ours"]
    assert row["accuracy"] == 0 and row["rejected"] == 60


def test_pictures_that_the_judge_does_not_know_are_no_sources(tmp_path):
    reader = Reader()
    reader.expressions = ("happiness",)
    reader.__class__ = type("One", (Reader,), {"__call__": lambda self, x: torch.ones(len(x), 1)})
    result = evaluate(perfect, data(), reader, judges(), tmp_path, method="ours", protocol=QUICK)
    assert result["pairs"] == 20 and result["expression"]["ours"] == 1
    reader.expressions = ("contempt",)
    with pytest.raises(UserError, match="knows contempt; no test picture"):
        evaluate(perfect, data(), reader, judges(), tmp_path, method="ours", protocol=QUICK)


def test_likenesses_are_cosines_with_the_picture_that_they_name(tmp_path):
    likenesses = {
        "face": Likeness(lambda x: x[:, 1].flatten(1) + 1, "target", "its own", 0.9),
        "expression": Likeness(lambda x: x[:, 0].flatten(1) + 1, "source", "its own"),
    }
    result = evaluate(
        perfect, data(), Reader(), judges(), tmp_path, method="ours", protocol=QUICK, likenesses=likenesses
    )
    face, expression = result["likeness"]["face"], result["likeness"]["expression"]
    assert face["ours"]["share"] == face["copy the target"]["share"] == 1
    assert face["ours"]["mean"] == pytest.approx(1) and face["copy the source"]["share"] < 0.5
    assert expression["ours"]["mean"] == pytest.approx(1) and expression["ours"]["share"] is None
    # these features know the toy people
    assert face["real"]["accuracy"] == 1 and face["real"]["mean_same"] > face["real"]["mean_different"]
    assert "real" not in expression
    test = Split()
    sources, targets = choose_pairs(test, 60)
    a, b = (1 + test.batch(rows)["image"][:, 1].flatten(1) for rows in (sources, targets))
    by_hand = (a * b).sum(1) / a.norm(dim=1) / b.norm(dim=1)
    assert face["copy the source"]["mean"] == pytest.approx(by_hand.mean().item(), rel=1e-5)


def test_without_labels_the_judge_s_reading_of_the_source_is_what_is_wanted(tmp_path):
    unlabelled = data()
    shown = unlabelled.test.expression
    labelled = Split()
    unlabelled.test.batch = labelled.batch
    unlabelled.test.expression = np.full_like(shown, -1)
    result = evaluate(perfect, unlabelled, Reader(), judges(), tmp_path, method="ours", protocol=QUICK)
    assert result["expression"]["ours"] == result["expression"]["copy the source"] == 1
    assert 0.15 < result["expression"]["copy the target"] < 0.55 and result["pairs"] == 60
    assert result["expression_by"] == "the judge, of the source"


def test_the_grid_s_targets_show_an_expression_where_they_can(tmp_path):
    """AIP-GAN's Fig. 2, in layouts whose first picture of a person is neutral."""
    faces, seen = data(people=4, each=4), []
    faces.test.expression[::4] = EXPRESSIONS.index("neutral")
    faces.test.expression[12:] = EXPRESSIONS.index("neutral")  # the last person shows nothing else

    def note(source, target):
        seen.append(EXPRESSIONS[int(((target[0, 0].mean() + 1) * 4).round())])
        return target

    _figure(note, faces, tmp_path / "grid.png", Protocol(rows=4, progress=False))
    assert len(seen) == 4 and "neutral" not in seen[:3] and seen[3] == "neutral"
