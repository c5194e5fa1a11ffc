"""The protocol of reenactments, on pictures whose AUs, head pose and person are read off their pixels."""

import csv
import json
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch

from facegan import report
from facegan.config import UserError
from facegan.intervals import correlation, presence, whole
from facegan.protocols import reenactment
from facegan.protocols.common import Protocol
from facegan.protocols.reenactment import choose_pairs, evaluate

QUICK = Protocol(targets=90, batch_size=16, rows=3, progress=False)


class Split:
    """People with tracks: plane 0 holds the AUs, plane 1 the pose, plane 2 the person's own noise."""

    def __init__(self, people=5, each=8):
        rng = np.random.default_rng(0)
        n = people * each
        self.identity = np.repeat(np.arange(people), each)
        self.identities = [f"P{k}" for k in range(people)]
        self.expression = np.full(n, -1)
        self.au = (rng.random((n, 17)) < 0.4) * rng.uniform(1, 4, (n, 17)).astype(np.float32)
        self.au[::each] = 0
        self.pose = rng.normal(0, 0.25, (n, 3)).astype(np.float32)
        self.records = SimpleNamespace(pose=self.pose, path=lambda row: f"P{self.identity[row]}/{row}.jpg")

    def batch(self, rows):
        rows = np.asarray(rows)
        images = torch.zeros(len(rows), 3, 8, 8)
        for image, row in zip(images, rows, strict=True):
            looks = np.random.default_rng(int(self.identity[row])).normal(0, 0.5, (8, 8)).clip(-1, 1)
            image[2] = torch.from_numpy(looks)
        au, pose = torch.from_numpy(self.au[rows]).float(), torch.from_numpy(self.pose[rows])
        points = torch.zeros(len(rows), 68, 2)
        return {"image": painted(images, pose, au), "au": au, "pose": pose, "landmarks": points}


def painted(images, pose, au):
    images = images.clone()
    images[:, 0].flatten(1)[:, :17] = au / 5
    images[:, 1].flatten(1)[:, :3] = pose
    return images


def judges():
    def person(images, points):
        return images[:, 2].flatten(1)

    def aus(images):
        return images[:, 0].flatten(1)[:, :17] * 5

    def pose(images, points):
        return images[:, 1].flatten(1)[:, :3]

    def geometry(images, points):
        return images[:, 0].flatten(1)[:, :4] * 5

    geometry.description = "shapes"
    person.name, person.description, aus.description, pose.description = "pixels", "a person", "AUs", "angles"
    found = SimpleNamespace(
        identity=[person], au=aus, geometry=geometry, pose=pose, finder=lambda images: torch.zeros(len(images), 68, 2),
        missing={"LightCNN": "no weights"},
    )  # fmt: skip
    found.pose_of = lambda data: found.pose
    return found


def data(**options):
    return SimpleNamespace(
        test=Split(**options), generated="procedural", describe=lambda: "toy tracks", align="similarity"
    )


def perfect(images, pose, au):
    return painted(images, pose, au)


def half_turned(images, pose, au):
    return painted(images, pose * torch.tensor([1.0, 0.5, 1.0]), au)


def test_pairs_are_calm_sources_and_drivers_of_others():
    test = Split()
    sources, drivers = choose_pairs(test, 90, 0)
    assert (test.identity[sources] != test.identity[drivers]).all() and len(sources) == 90
    assert set(sources) <= set(range(0, 40, 8)), "the one picture of each that has no AUs"
    assert np.bincount(drivers, minlength=40).min() >= 2, "every frame drives"
    assert np.array_equal(choose_pairs(test, 90, 0)[0], sources)
    with pytest.raises(UserError, match="between test people"):
        choose_pairs(Split(people=1), 10, 0)


def test_a_perfect_reenactment_has_all_and_each_copy_has_its_half(tmp_path):
    result = evaluate(perfect, data(), judges(), tmp_path, method="ours", command="typed", protocol=QUICK)
    ours, source, target = (result["rows"][row] for row in ("ours", "copy the source", "copy the target"))
    assert ours["presence"]["balanced_mean"] == target["presence"]["balanced_mean"] == 1
    assert source["presence"]["balanced_mean"] == pytest.approx(0.5) and source["presence"]["f_mean"] == 0
    assert ours["geometry"]["pcc_mean"] == pytest.approx(1) == target["geometry"]["pcc_mean"]
    assert max(ours["angles"].values()) < 1e-4 < 5 < min(source["angles"].values())
    people = result["identity"]["pixels"]
    assert [people[row]["accuracy"] for row in ("ours", "copy the source", "copy the target")] == [1, 1, 0]
    assert all(b["accepted"] == 1 for b in result["turned"]["pixels"] if b["pairs"])
    assert sum(b["pairs"] for b in result["turned"]["pixels"]) == 90
    assert json.loads((tmp_path / "evaluation.json").read_text()) == result
    rows = list(csv.DictReader((tmp_path / "pairs.csv").open()))
    assert len(rows) == 90 and rows[0]["source"].split("/")[0] != rows[0]["driver"].split("/")[0]
    pairs = pd.read_csv(tmp_path / "pairs.csv")
    assert whole([pairs], presence("balanced")) == whole([pairs], correlation()) == pytest.approx(1)
    assert (tmp_path / "errors.png").stat().st_size and (tmp_path / "grid.png").stat().st_size


def test_the_person_is_counted_by_how_far_source_and_driver_look_apart(tmp_path):
    split = Split()
    result = evaluate(perfect, data(), judges(), tmp_path, method="ours", protocol=QUICK)
    sources, drivers = choose_pairs(split, 90, 0)
    apart = np.degrees(np.linalg.norm((split.pose[sources] - split.pose[drivers])[:, :2], axis=1))
    wanted = np.histogram(apart, [0, 10, 20, 30, 180])[0].tolist()
    assert [b["pairs"] for b in result["turned"]["pixels"]] == wanted and min(wanted[1:]) > 0


def test_strong_sources_show_an_expression(tmp_path):
    strong = replace(QUICK, strong=True)
    result = evaluate(perfect, data(), judges(), tmp_path, method="ours", protocol=strong)
    sources = {row["source"] for row in csv.DictReader((tmp_path / "pairs.csv").open())}
    assert "strong" in result["sources"]
    assert not sources & {f"P{person}/{8 * person}.jpg" for person in range(5)}, "those are the calm ones"


def test_quality_is_judged_beside_the_source(tmp_path, monkeypatch):
    """DeepIQA has a reference (I13): the source, which the person's own noise tells from the driver."""

    def differs(images, reference):
        return (images[:, 2] - reference[:, 2]).abs().mean((1, 2))

    monkeypatch.setattr(reenactment, "quality_judges", lambda: ({"DeepIQA": differs}, {"DeepIQA": "toy"}))
    rows = evaluate(perfect, data(), judges(), tmp_path, method="ours", protocol=QUICK)["rows"]
    assert rows["ours"]["quality"]["DeepIQA"] == rows["copy the source"]["quality"]["DeepIQA"] == 0
    assert rows["copy the target"]["quality"]["DeepIQA"] > 0.1


def test_half_a_turn_is_seen_in_yaw_alone(tmp_path):
    split = Split()
    _, drivers = choose_pairs(split, 90, 0)
    result = evaluate(half_turned, data(), judges(), tmp_path, method="ours", protocol=QUICK)
    angles = result["rows"]["ours"]["angles"]
    assert angles["yaw"] == pytest.approx(np.degrees(np.abs(split.pose[drivers, 1]).mean()) / 2, rel=1e-4)
    assert angles["pitch"] < 1e-4 and angles["roll"] < 1e-4


def test_of_boxes_judges_get_the_crop_that_they_have_learnt_and_the_angles_are_of_the_box(tmp_path):
    """The finder sees no face in these, so the crop is the picture enlarged; what is drawn in it stays."""
    boxes, seen, sides = data(), judges(), {"au": set(), "person": set(), "pose": set()}
    boxes.align = "box"
    seen.finder = lambda images: torch.full((len(images), 68, 2), torch.nan)

    def noting(name, judge):
        def answer(images, *points):
            sides[name].add(images.shape[-1])
            return judge(images, *points)

        answer.name, answer.description = name, name
        return answer

    seen.au, seen.pose = noting("au", seen.au), noting("pose", seen.pose)
    seen.identity = [noting("person", seen.identity[0])]
    evaluate(perfect, boxes, seen, tmp_path, method="ours", protocol=QUICK)
    assert sides == {"au": {128}, "person": {128}, "pose": {8}}


def test_what_the_pose_judge_is_always_off_by_is_no_error_of_the_method(tmp_path):
    seen = judges()
    truth = seen.pose

    def off(images, points):
        return truth(images, points) + torch.tensor([0.1, 0.0, 0.0])

    off.description, seen.pose = "angles", off
    result = evaluate(half_turned, data(), seen, tmp_path, method="ours", protocol=QUICK)
    assert result["pose_offset"]["pitch"] == pytest.approx(np.degrees(0.1), rel=1e-4)
    assert result["rows"]["ours"]["angles"]["pitch"] < 1e-3 < 1 < result["rows"]["ours"]["angles"]["yaw"]


def test_tables_carry_published_rows_ours_and_what_was_not_measured(tmp_path):
    result = evaluate(perfect, data(), judges(), tmp_path, method="ours", command="typed", protocol=QUICK)
    first, second = (tmp_path / "table1.md").read_text(), (tmp_path / "table2.md").read_text()
    assert "25.02" in first and "not measured" in first and "ours" in first
    for words in (
        "62.86",
        "0.4185",
        "copy the source",
        "copy the target",
        "ours",
        "toy tracks",
        "`typed`",
        "LightCNN",
    ):
        assert words in second or words == "LightCNN"
    assert report.icface_table2(result) == second and "left out of the mean: 0" in second
    for row, scores in enumerate(result["rows"].values(), 1):
        scores["quality"] = {"CNNIQA": 10.0 * row, "DeepIQA": 10.0 * row + 1}
    cells = [[cell.strip() for cell in line.split("|")] for line in report.icface_table1(result).splitlines()]
    assert [cell[2:4] for cell in cells if cell[1:2] == ["ours"]] == [["30.00", "31.00"]]
