"""Recognition from codes, on codes whose content is known."""

import numpy as np
import pytest

from facegan import report
from facegan.protocols.common import json_ready
from facegan.protocols.recognition import embedding, identity_across, identity_probe, measure, recognised


def codes(people: range, seed: int, expression: float = 3.0, person: float = 3.0, pictures: int = 18):
    """f(e) that hold the expression and the person as strongly as asked, along directions of their own."""
    rng = np.random.default_rng(seed)
    who = np.repeat(np.arange(len(people)), pictures)
    what = np.tile(np.arange(pictures) % 6, len(people))
    axes = np.random.default_rng(99).normal(size=(6 + 200, 30))
    noise = rng.normal(size=(len(who), 30))
    return {
        "ours": expression * axes[what] + 0.0 * axes[6 + who] + noise,
        "baseline": 0.3 * axes[what] + person * axes[6 + np.array(people)[who]] + noise,
        "identity": np.c_[person * axes[6 + np.array(people)[who]], noise[:, :20]],
        "expression": what + 1,
        "person": who,
    }


@pytest.fixture(scope="module")
def result():
    train, test = codes(range(12), 0), codes(range(50, 56), 1)
    return measure(train, test, recognised(train, test))


def test_a_code_of_expressions_alone_is_read_and_names_nobody(result):
    assert result["ours"]["accuracy"] > 0.95 and result["ours"]["balanced"] > 0.95
    assert result["ours"]["identity_probe"] < 0.25 and result["chance_identity"] == pytest.approx(1 / 12)
    assert result["ours"]["silhouette_expression"] > 0.2 > result["ours"]["silhouette_identity"]


def test_a_code_full_of_the_person_is_read_worse_and_names_them(result):
    assert result["baseline"]["accuracy"] < result["ours"]["accuracy"] - 0.2
    assert result["baseline"]["identity_probe"] > 0.95 and result["baseline"]["identity_across"] > 0.9
    assert result["baseline"]["silhouette_identity"] > 0.2 > result["baseline"]["silhouette_expression"]
    assert result["identity_code"]["identity_probe"] > 0.95
    assert result["identity_code"]["expression_probe"] < 0.4


def test_a_sequence_that_is_known_again_is_not_a_person_that_is_known():
    """Codes of a person's sequence are alike and tell nothing of the person's others."""
    rng = np.random.default_rng(0)
    people, sequence = np.repeat(np.arange(10), 18), np.repeat(np.arange(60), 3)
    expressions = np.tile(np.repeat(np.arange(6), 3), 10)
    found = rng.normal(size=(60, 200))[sequence] + 0.1 * rng.normal(size=(180, 200))
    assert identity_probe(found, people) > 0.7, "a frame beside it was learnt"
    assert identity_across(found, people, expressions) < 0.3


def test_halves_are_random_and_not_every_other_frame():
    """Two frames of each sequence, one after the other: alternating, each is told by its neighbour."""
    rng = np.random.default_rng(0)
    people = np.repeat(np.arange(12), 12)
    found = rng.normal(size=(72, 200)).repeat(2, axis=0) + 0.1 * rng.normal(size=(144, 200))
    assert 0.3 < identity_probe(found, people) < 0.8


def test_the_confusion_counts_every_picture_once(result):
    assert result["ours"]["confusion"].sum() == result["pictures"] == 6 * 18
    assert (result["ours"]["confusion"].sum(1) == 18).all()
    assert np.trace(result["ours"]["confusion"]) / 108 == pytest.approx(result["ours"]["accuracy"])


def test_labels_in_random_order_are_at_chance():
    train, test = codes(range(12), 0), codes(range(50, 56), 1)
    train["expression"] = np.random.default_rng(0).permutation(train["expression"])
    assert measure(train, test, recognised(train, test))["ours"]["accuracy"] < 0.4
    assert identity_probe(train["baseline"], np.random.default_rng(0).permutation(train["person"])) < 0.3


def test_aus_beside_the_pictures_are_a_code_too(result):
    """What the expression itself tells of the person stands beside what the networks' codes do."""
    train, test = codes(range(12), 0), codes(range(50, 56), 1)
    rng = np.random.default_rng(2)
    own = rng.normal(size=(12, 6, 17))  # each one's way of showing each expression
    train["aus"] = own[train["person"], train["expression"] - 1] + 0.05 * rng.normal(
        size=(len(train["person"]), 17)
    )
    assert "aus" not in measure(train, test, recognised(train, test)), "test people have none"
    test["aus"] = rng.normal(size=(len(test["person"]), 17))
    found = measure(train, test, recognised(train, test))
    assert found["aus"]["identity_probe"] > 0.5 > found["aus"]["accuracy"]
    assert found["ours"] | {"confusion": 0} == result["ours"] | {"confusion": 0}
    folds = {k: json_ready(found | {"data": "generated Oulu-CASIA", "generated": "ict"}) for k in range(2)}
    text = report.tergan_table1(folds, "tergan_demo", "facegan crossval tergan_demo --folds 2")
    assert text.count("| exact AUs, no encoder") == 1 and "the expression itself tells" in text
    folds[1].pop("aus")
    assert "exact AUs" not in report.tergan_table1(
        folds, "tergan_demo", "facegan crossval tergan_demo --folds 2"
    )


def test_the_embedding_keeps_groups_together():
    points, data = embedding(codes(range(6), 0)["ours"]), codes(range(6), 0)
    near = np.linalg.norm(points[:, None] - points[None], axis=2) + np.eye(len(points)) * 1e9
    assert (data["expression"][near.argmin(1)] == data["expression"]).mean() > 0.95


def test_table_1_has_the_published_rows_and_both_of_ours(result):
    folds = {k: json_ready(result | {"data": "generated Oulu-CASIA", "generated": "ict"}) for k in range(3)}
    folds[2] = folds[2] | {"ours": folds[2]["ours"] | {"accuracy": 0.5}}
    text = report.tergan_table1(folds, "tergan_demo", "facegan crossval tergan_demo --folds 3")
    for part in (
        "89.65", "73.14", "DTAGN", "CNN baseline (tergan_demo)", "TER-GAN (tergan_demo)", "Gain over", "±", "ict head",
        "3 folds of people", "facegan crossval tergan_demo --folds 3", "324 pictures of 18",
    ):  # fmt: skip
        assert part in text, part
    counts = np.sum([f["baseline"]["confusion"] for f in folds.values()], axis=0)
    shown = text.split("Confusion of CNN baseline")[1].split("##")[0].split("|\n")[2:]
    assert [[int(n) for n in line.split("|")[2:]] for line in shown if "|" in line] == counts.tolist()
    alone = report.tergan_table1(
        folds, "tergan_oulu_cnn", "facegan crossval tergan_oulu_cnn", stage_two=False
    )
    assert "CNN baseline (tergan_oulu_cnn)" in alone and "TER-GAN (" not in alone and "Gain" not in alone
    lines = [line for line in text.splitlines() if line.startswith("|")]
    assert len({line.count("|") for line in lines[:14]}) == 1, "every row has as many cells"
