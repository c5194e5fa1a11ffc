"""One task for all methods, on pictures whose AUs, expression and person are read off their pixels."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from facegan.config import UserError
from facegan.faces import EXPRESSIONS
from facegan.intervals import interval, mean_of, whole
from facegan.protocols.common import Protocol
from facegan.protocols.shared_task import Entrant, choose_pairs, evaluate, parameters_used
from facegan.report.comparison import comparison_table, front, pareto, pareto_figure

QUICK = Protocol(targets=48, batch_size=16, progress=False)
NAMES = ("anger", "happiness", "surprise")


class Split:
    """People x expressions: plane 0 is the expression, plane 1 the person's own noise, plane 2 the AUs, one a row."""

    def __init__(self, size=34, people=5, each=6, order=1):
        self.size, self.identities = size, [f"P{k}" for k in range(people)]
        rows = [(p, k) for p in range(people) for k in range(each)][::order]  # another store, another order
        self.identity = np.array([p for p, _ in rows])
        self.expression = np.array([EXPRESSIONS.index(NAMES[k % 3]) for _, k in rows])
        self.au = np.stack([np.random.default_rng([p, k]).uniform(0, 5, 17) for p, k in rows]).astype(
            np.float32
        )
        # frames of one film share its path
        numbers = {"frame": np.array([k for _, k in rows]), "view": np.zeros(len(rows), int)}
        self.records = SimpleNamespace(
            path=lambda row: f"P{rows[row][0]}.mp4",
            numbers=numbers.__getitem__,
            codes=numbers.__getitem__,
            names=lambda name: [""],
        )

    def batch(self, rows):
        images = torch.zeros(len(rows), 3, self.size, self.size)
        for image, row in zip(images, rows, strict=True):
            image[0] = self.expression[row] / 4 - 1
            looks = np.random.default_rng(int(self.identity[row])).normal(0, 0.5, (17, 17)).clip(-1, 1)
            image[1] = torch.from_numpy(np.kron(looks, np.ones((self.size // 17, self.size // 17))))
            image[2] = torch.from_numpy(np.repeat(self.au[row] / 2.5 - 1, self.size // 17))[:, None]
        return {"image": images, "au": torch.from_numpy(self.au[rows]), "pose": torch.zeros(len(rows), 3)}


def data(**options):
    test = Split(**options)
    return SimpleNamespace(
        test=test,
        generated="procedural",
        describe=lambda: "toy people",
        picture_size=test.size,
        align="similarity",
    )


class Expression:
    """The expression judge: what plane 0 says."""

    expressions = NAMES
    description = "pixels"

    def __call__(self, images):
        code = ((images[:, 0].mean((1, 2)) + 1) * 4).round().long()
        return (code[:, None] == torch.tensor([EXPRESSIONS.index(name) for name in NAMES])).float()


def judges(width=17):
    def rows_of(images):
        return (images[:, 2].unflatten(1, (17, -1)).mean((2, 3)) + 1) * 2.5

    spread = (
        torch.eye(17) if width == 17 else torch.randn(17, width, generator=torch.Generator().manual_seed(0))
    )

    class AU:
        description, about = "rows", {"channels": [width]}

        def features(self, images):
            return rows_of(images) @ spread

        def __call__(self, images):
            return rows_of(images)

    def finder(images):
        return torch.zeros(len(images), 68, 2)

    def person(images, points):
        return nn.functional.adaptive_avg_pool2d(images[:, 1:2], 17).flatten(1)

    person.name, person.description = "pixels", "pixel recogniser"
    return SimpleNamespace(identity=[person], finder=finder, missing={}, au=AU())


def perfect(source, target):
    images = target["image"].clone()
    images[:, 0] = source["image"].mean((2, 3))[:, 0, None, None]
    rows = (source["au"] / 2.5 - 1).repeat_interleave(images.shape[2] // 17, 1)
    images[:, 2] = rows[:, :, None]
    return images


def test_a_perfect_method_is_perfect_at_any_size_and_in_any_order_of_its_store(tmp_path):
    entrants = [
        Entrant("small", perfect, data(), "toys", 10),
        Entrant("large", perfect, data(size=51, order=-1), "toys", 20),
        Entrant("lazy", lambda s, t: t["image"], data(), "nothing", 0),
    ]
    result = evaluate(entrants, Expression(), judges(), tmp_path, command="typed", protocol=QUICK)
    rows = result["rows"]
    for name in ("small", "large"):
        assert rows[name]["recognised"] == 1 and rows[name]["identity"]["pixels"]["accuracy"] == 1
        assert rows[name]["au_mse"] == pytest.approx(0, abs=1e-6)
        assert rows[name]["au_pcc"] == pytest.approx(1, abs=1e-4)
        assert abs(rows[name]["fid"]) < 0.1, "the AUs are just those of the real pictures"
        assert rows[name]["l1"] == pytest.approx(0, abs=1e-6) and rows[name]["ssim"] == pytest.approx(1)
    assert rows["copy the source"]["recognised"] == 1 and rows["copy the target"]["recognised"] < 0.7
    assert rows["copy the source"]["identity"]["pixels"]["accuracy"] == 0
    assert rows["lazy"]["au_mse"] == pytest.approx(rows["copy the target"]["au_mse"])
    assert rows["lazy"]["fid"] == pytest.approx(rows["copy the target"]["fid"])
    assert rows["lazy"]["l1"] > 0.1 and (rows["small"]["size"], rows["large"]["size"]) == (34, 51)
    table = comparison_table(result)
    for words in (
        "| copy the source ",
        "| copy the target ",
        "0.00 M",
        "`typed`",
        "large has learnt from: toys",
    ):
        assert words in table, words
    assert pareto_figure(result, tmp_path / "pareto.png").stat().st_size > 10_000
    for name in ("comparison.json", "grid.png", "pairs.csv"):
        assert (tmp_path / name).is_file()


def test_fid_and_kid_see_that_pictures_are_of_another_kind(tmp_path):
    def shifted(source, target):
        images = perfect(source, target)
        images[:, 2] = 0.9
        return images

    entrants = [Entrant("good", perfect, data(), "", 0), Entrant("off", shifted, data(), "", 0)]
    rows = evaluate(entrants, Expression(), judges(), tmp_path, protocol=QUICK)["rows"]
    assert rows["off"]["fid"] > rows["good"]["fid"] + 1 and rows["off"]["kid"] > rows["good"]["kid"] + 0.1


def test_few_pictures_make_no_false_spread_no_negative_fid_and_are_named(tmp_path):
    def run(seed):
        torch.manual_seed(seed)
        entrants = [Entrant("good", perfect, data(), "", 0)]
        return evaluate(entrants, Expression(), judges(width=64), tmp_path, protocol=QUICK)

    result = run(0)
    assert result["fid and kid"] == {"pictures": 30, "features": 64, "draws": 50, "drawn": 15}
    rows = result["rows"]
    assert all(row["fid"] >= 0 for row in rows.values()) and rows["copy the source"]["fid"] < 0.01
    assert all(row["kid_spread"] > 0.01 for row in rows.values()), "draws of one set would all be the same"
    assert [row["kid"] for row in run(1)["rows"].values()] == [row["kid"] for row in rows.values()]
    table = comparison_table(result)
    assert "30 different real pictures for 64 features, fewer than its covariances need" in table
    assert "50 draws of 15 pictures, ± their standard deviation, which says little with 30 pictures" in table
    many = comparison_table(result | {"fid and kid": result["fid and kid"] | {"pictures": 400}})
    assert "400 different real pictures for 64 features." in many and "says little" not in many


def test_intervals_are_those_of_people_drawn_anew(tmp_path):
    entrants = [Entrant("good", perfect, data(), "", 0)]
    result = evaluate(entrants, Expression(), judges(), tmp_path, protocol=QUICK)
    good, lazy = result["rows"]["good"], result["rows"]["copy the target"]
    for name in ("recognised", "verified_pixels"):
        assert good["intervals"][name] == [1, 1]
    pairs = pd.read_csv(tmp_path / "pairs.csv")
    assert pairs["person"].tolist() == [path.removesuffix(".mp4") for path in pairs["target"]]
    for name in ("recognised", "au_mse", "verified_pixels"):
        column = mean_of(f"{name} copy the target")
        mean, ends = whole([pairs], column), interval([pairs], column)
        assert lazy["intervals"][name] == pytest.approx(ends, abs=1e-4)
        assert mean == pytest.approx(lazy.get(name, 1), abs=1e-4) and ends[0] <= mean <= ends[1]
    assert lazy["intervals"]["au_mse"][0] < lazy["intervals"]["au_mse"][1]
    low, high = lazy["intervals"]["au_pcc"]
    assert low <= lazy["au_pcc"] <= high and good["intervals"]["au_pcc"] == pytest.approx([1, 1])
    assert good["intervals"]["product_pixels"] == [1, 1]
    table = comparison_table(result)
    assert "if the 5 target people were drawn anew" in table and "[100.0, 100.0]" in table
    assert "drawn anew" not in comparison_table(result | {"test_people": 2})
    for row in result["rows"].values():  # a comparison that was saved before there were intervals
        del row["intervals"]
    assert "drawn anew" not in comparison_table(result)


def test_the_front_is_of_points_that_none_is_better_than():
    assert front([(0, 1), (1, 0), (0.5, 0.5), (0.4, 0.4), (0.5, 0.2), (0.5, 0.5)]) == [0, 2, 5, 1]
    assert front([(0.3, 0.3), (0.3, 0.9), (0.2, 0.9)]) == [1]


def test_names_in_the_picture_stand_apart_beside_it():
    places = {
        "copy the source": (1, 0),
        "copy the target": (0.2, 1),
        "long " * 9: (0.99, 0.01),
        "behind": (0.2, 0.3),
    }
    rows = {k: {"recognised": x, "identity": {"one": {"accuracy": y}}} for k, (x, y) in places.items()}
    figure = pareto({"rows": rows, "real": {"one": 0.9}, "generated": None}, ["one"])
    figure.canvas.draw()
    (axes,), (legend,) = figure.axes, figure.legends
    boxes = [text.get_window_extent() for text in legend.get_texts()]
    assert {text.get_text() for text in legend.get_texts()} >= set(places) and not axes.texts
    for k, box in enumerate(boxes):
        assert axes.bbox.x1 < box.x0 and box.x1 <= figure.bbox.x1 and box.y0 >= 0 and box.y1 <= figure.bbox.y1
        assert not any(box.overlaps(other) for other in boxes[:k])
    (edge,) = [line for line in axes.lines if line.get_label() == "front"]
    np.testing.assert_allclose(edge.get_xydata(), [[20, 100], [99, 1], [100, 0]])


def test_pairs_are_of_two_people_and_of_pictures_that_everybody_has():
    test = Split()
    shared = {(test.records.path(row), row % 6, "") for row in range(30) if row % 2}
    sources, targets = choose_pairs(test, shared, Expression(), QUICK)
    assert (test.identity[sources] != test.identity[targets]).all()
    assert all(row % 2 for row in [*sources, *targets])
    with pytest.raises(UserError, match="two test people"):
        choose_pairs(test, {("P0.mp4", 1, "")}, Expression(), QUICK)


def test_parameters_are_those_that_a_picture_depends_on():
    class Two(nn.Module):
        def __init__(self):
            super().__init__()
            self.used, self.critic = nn.Linear(4, 2).requires_grad_(False), nn.Linear(2, 1)

    module = Two()
    assert parameters_used(lambda: module.used(torch.ones(1, 4)), module) == 10
    assert not module.used.weight.requires_grad and module.critic.weight.requires_grad
    assert all(p.grad is None for p in module.parameters())
