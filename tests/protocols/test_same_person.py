"""Editing from another picture of the same person, on pictures whose truth is known."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from skimage.metrics import structural_similarity

from facegan.faces import EXPRESSIONS
from facegan.protocols.common import Protocol
from facegan.protocols.same_person import choose_pairs, evaluate

QUICK = Protocol(targets=24, batch_size=10, rows=4, progress=False)
NAMES = ("anger", "happiness", "surprise")
ROWS = ("copy the source", "copy the target", "ours")


class Split:
    """People x expressions, each a picture of noise of its own; ``labels`` -1 where nobody knows."""

    def __init__(self, people=3, each=4, labelled=True):
        self.identity = np.repeat(np.arange(people), each)
        self.identities = [f"P{k}" for k in range(people)]
        codes = [EXPRESSIONS.index(NAMES[k % 3]) if labelled else -1 for k in range(people * each)]
        self.expression = np.array(codes)

    def batch(self, rows):
        draws = [np.random.default_rng(int(row)).uniform(-1, 1, (3, 32, 32)) for row in rows]
        return {"image": torch.from_numpy(np.stack(draws)).float()}


def data(**options):
    return SimpleNamespace(test=Split(**options), generated="procedural", describe=lambda: "toy people")


def test_pairs_are_of_one_person_and_two_expressions():
    test = Split()
    sources, targets = choose_pairs(test, 24)
    assert (test.identity[sources] == test.identity[targets]).all()
    assert (test.expression[sources] != test.expression[targets]).all()
    assert np.bincount(sources, minlength=12).tolist() == [2] * 12
    again = choose_pairs(test, 24)
    assert np.array_equal(again[0], sources) and np.array_equal(again[1], targets)


def test_without_labels_any_other_picture_of_the_person_will_do():
    sources, targets = choose_pairs(Split(labelled=False), 24)
    assert len(sources) == 24 and (sources != targets).all()
    assert (Split().identity[sources] == Split().identity[targets]).all()


def test_people_with_one_picture_each_cannot_be_edited_so(tmp_path):
    assert evaluate(lambda s, t: s, data(each=1), tmp_path / "x.png", method="ours", protocol=QUICK) is None
    assert not (tmp_path / "x.png").exists()


def test_scores_are_distances_to_the_source(tmp_path):
    half = evaluate(lambda s, t: (s + t) / 2, data(), tmp_path / "editing.png", method="ours", protocol=QUICK)
    assert half["pairs"] == 24 and list(half["l1"]) == list(half["ssim"]) == list(ROWS)
    assert half["l1"]["copy the source"] == 0 and half["ssim"]["copy the source"] == pytest.approx(1)
    assert half["l1"]["ours"] == pytest.approx(float(half["l1"]["copy the target"]) / 2)
    sources, targets = choose_pairs(Split(), 24)
    x_s, x_t = (Split().batch(rows)["image"] for rows in (sources, targets))
    assert half["l1"]["copy the target"] == pytest.approx(float((x_s - x_t).abs().mean()))
    # against scikit-image, with the window that torchmetrics has; its border is another
    wanted = [
        structural_similarity(s, t, channel_axis=0, gaussian_weights=True, data_range=2.0)
        for s, t in zip(x_s.numpy(), ((x_s + x_t) / 2).numpy(), strict=True)
    ]
    assert half["ssim"]["ours"] == pytest.approx(np.mean(wanted), abs=0.02)
    assert (tmp_path / "editing.png").exists()


def test_the_figure_shows_the_truth_above_what_was_made(tmp_path):
    shown = []
    evaluate(
        lambda s, t: shown.append(len(s)) or s, data(), tmp_path / "a.png", method="ours", protocol=QUICK
    )
    # two people of QUICK.rows / 2, each with one source of every expression
    assert shown[-2:] == [3, 3]
    evaluate(lambda s, t: s, data(labelled=False), tmp_path / "b.png", method="ours", protocol=QUICK)
    assert (tmp_path / "a.png").exists() and (tmp_path / "b.png").exists()
