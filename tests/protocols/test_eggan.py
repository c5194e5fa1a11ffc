"""The protocol on pictures that carry their AUs and person as pixels, with judges that read them off."""

import csv
import json
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from scipy.linalg import sqrtm

from facegan.config import UserError
from facegan.faces import AU_NAMES, AUS
from facegan.intervals import correlation, squared_error, whole
from facegan.protocols.common import Protocol, choose_sources
from facegan.protocols.eggan import choose_pairs, evaluate

SIZE = 8
QUICK = Protocol(targets=40, batch_size=16, rows=2, steps=3, progress=False)


def draw(au, person):
    """Picture (3, 8, 8): AUs in the first plane, the person's code in the second, a face mark last."""
    picture = torch.zeros(3, SIZE, SIZE)
    picture[0].view(-1)[:17] = torch.as_tensor(au) / 2.5 - 1
    code = np.random.default_rng(person).normal(0, 0.3, SIZE * SIZE).clip(-1, 1)
    picture[1] = torch.from_numpy(code).float().view(SIZE, SIZE)
    picture[2] = 1
    return picture


def read_au(images):
    return (images[:, 0].flatten(1)[:, :17] + 1) * 2.5


def points_of(au):
    points = torch.zeros(len(au), 68, 2) + au[:, AUS.index(25)].view(-1, 1, 1)
    return points


class Split:
    def __init__(self, people, each, seed, first=0):
        rng = np.random.default_rng(seed)
        self.identity = np.repeat(np.arange(people), each)
        self.identities = [f"p{first + k:06d}" for k in range(people)]
        self.au = (rng.uniform(0, 5, (people * each, 17)) * (rng.random((people * each, 17)) < 0.5)).astype(
            np.float32
        )
        self.expression = np.full(people * each, -1)
        self.first = first
        pose = rng.normal(0, 0.2, (people * each, 3)).astype(np.float32)
        self.records = SimpleNamespace(
            pose=pose, path=lambda row: f"{self.identities[self.identity[row]]}/{row}.jpg"
        )

    def batch(self, rows):
        au = torch.from_numpy(self.au[rows])
        images = torch.stack([draw(a, self.first + self.identity[r]) for a, r in zip(au, rows, strict=True)])
        return {"image": images, "au": au, "landmarks": points_of(au)}


def data(test_people=3):
    return SimpleNamespace(
        train=Split(6, 20, 0), test=Split(test_people, 6, 1, first=500), generated="procedural",
        describe=lambda: "folder: generated faces (head procedural)",
    )  # fmt: skip


class IdentityReader:
    name, description = "reader", "reader of codes"

    def __call__(self, images, landmarks=None):
        features = images[:, 1].flatten(1).clone()
        features[images[:, 2].mean((1, 2)) < 0.5] = torch.nan
        return features


def judges():
    def finder(images):
        points = points_of(read_au(images))
        points[images[:, 2].mean((1, 2)) < 0.5] = torch.nan
        return points

    def geometry(images, landmarks=None):
        opening = (finder(images) if landmarks is None else landmarks)[:, 0, 0]
        return torch.stack([opening, 2 * opening, 3 - opening, opening**2], 1)

    def au(images):
        return read_au(images)

    au.description = "reader of AUs"
    au.features = read_au
    geometry.description = "reader of geometry"
    return SimpleNamespace(au=au, geometry=geometry, finder=finder, identity=[IdentityReader()], missing={})


def perfect(images, au):
    plane = images[:, 0].flatten(1).clone()
    plane[:, :17] = au / 2.5 - 1
    result = images.clone()
    result[:, 0] = plane.view(-1, SIZE, SIZE)
    return result


def test_a_perfect_edit_scores_perfectly_and_everything_is_written(tmp_path):
    result = evaluate(
        perfect, data(), judges(), tmp_path, command="facegan evaluate eggan_demo", protocol=QUICK
    )
    summary = result["summary"]
    assert summary["au_mse"] == pytest.approx(0, abs=1e-8) and summary["au_pcc"] == pytest.approx(1)
    assert summary["geometry_pcc"] == pytest.approx(1) and summary["rejected"] == 0
    assert summary["worse_verification_over_real"] == pytest.approx(1)
    written = json.loads((tmp_path / "evaluation.json").read_text())
    assert written["pairs"] == 40 and written["test_people"] == 3
    tables = (tmp_path / "table1.md").read_text() + (tmp_path / "table2.md").read_text()
    for words in (
        "copy the source", "copy the target", "EGGAN (published, RaFD)", "generated (procedural head)",
        "reader of AUs", "reader of geometry", "reader of codes", "facegan evaluate eggan_demo", "97.04",
        "Real (test people)",
    ):  # fmt: skip
        assert words in tables, words
    for name in ("grid.png", "interpolation.png", "interpolation.gif"):
        assert Image.open(tmp_path / name).width > 200


def test_copying_the_source_is_its_own_trivial_row(tmp_path):
    result = evaluate(lambda images, au: images, data(), judges(), tmp_path, protocol=QUICK)
    rows = result["table1"]["au"]
    assert rows["EGGAN"]["mse"] == rows["copy the source"]["mse"]
    assert result["summary"]["au_mse_over_copy_source"] == pytest.approx(1)
    assert rows["copy the target"]["mse_mean"] == pytest.approx(0, abs=1e-8)
    identity = result["table2"]["reader"]
    assert identity["copy the source"]["accuracy"] == 1 and identity["copy the target"]["accuracy"] == 0


def test_scores_are_those_of_the_pairs(tmp_path):
    """Table 1 by hand: an edit that shrinks every AU by a tenth."""
    everything = data()
    result = evaluate(lambda x, au: perfect(x, 0.9 * au), everything, judges(), tmp_path, protocol=QUICK)
    _, targets = choose_pairs(everything, 40, 0)
    asked = everything.train.au[targets]
    expected = ((0.1 * asked) ** 2).mean(0)
    np.testing.assert_allclose(result["table1"]["au"]["EGGAN"]["mse"], expected, rtol=1e-4)


def test_fid_is_the_distance_of_two_gaussians(tmp_path):
    """By its closed form, with SciPy's root of a matrix; the features here are the AUs that the reader reads."""
    everything = data()
    result = evaluate(lambda x, au: perfect(x, 0.5 * au), everything, judges(), tmp_path, protocol=QUICK)
    sources, targets = choose_pairs(everything, 40, 0)
    real = everything.train.au[targets].astype(float)
    for name, seen in (("EGGAN", 0.5 * real), ("copy the source", everything.test.au[sources].astype(float))):
        a, b = (np.cov(x.T) + 1e-6 * np.eye(17) for x in (real, seen))  # a root wants full rank
        root = np.asarray(sqrtm(a @ b)).real
        expected = ((real.mean(0) - seen.mean(0)) ** 2).sum() + np.trace(a + b - 2 * root)
        assert result["table1"]["fid"][name] == pytest.approx(expected, rel=1e-2), name
    assert result["table1"]["fid"]["copy the target"] == pytest.approx(0, abs=1e-2)
    assert result["summary"]["fid"] == result["table1"]["fid"]["EGGAN"]


def own_face(images):
    """How far each person's landmarks lie off for who they are, whatever the expression."""
    return 40 * images[:, 1].mean((1, 2)).view(-1, 1, 1)


class ShapedSplit(Split):
    """People with faces of their own shape, and one neutral picture of each."""

    def __init__(self, *args, **options):
        super().__init__(*args, **options)
        self.au[:: len(self.au) // len(self.identities)] = 0

    def batch(self, rows):
        batch = super().batch(rows)
        return batch | {"landmarks": batch["landmarks"] + own_face(batch["image"])}


def test_change_of_geometry_leaves_the_shape_of_the_face_out(tmp_path):
    everything, asked = data(), judges()
    everything.train, everything.test = ShapedSplit(6, 20, 0), ShapedSplit(3, 6, 1, first=500)
    asked.finder = lambda images: points_of(read_au(images)) + own_face(images)
    # the last measure of the fake is a square, which a shape changes: not asked here
    asked.geometry = lambda images, landmarks=None: landmarks[:, :4, 0]
    asked.geometry.description = "reader of geometry"
    result = evaluate(perfect, everything, asked, tmp_path, protocol=QUICK)
    assert result["table1"]["geometry_change"]["EGGAN"]["pcc_mean"] == pytest.approx(1)
    assert result["table1"]["geometry_change"]["copy the target"]["pcc_mean"] == pytest.approx(1)
    assert result["table1"]["geometry_change"]["copy the source"]["pcc_mean"] is None
    assert result["summary"]["geometry_pcc"] < 0.9
    assert "own neutral face" in (tmp_path / "table1.md").read_text()


def test_results_without_a_face_count_as_rejected_and_not_verified(tmp_path):
    def every_other_is_no_face(images, au):
        result = perfect(images, au)
        result[::2, 2] = -1
        return result

    result = evaluate(every_other_is_no_face, data(), judges(), tmp_path, protocol=QUICK)
    assert result["summary"]["rejected"] == 20
    row = result["table2"]["reader"]["EGGAN"]
    assert row["accuracy"] == pytest.approx(0.5) and row["rejected"] == 20 and row["pairs"] == 40
    assert "20 of 40" in (tmp_path / "table1.md").read_text()


def test_one_test_person_has_no_table_2_and_says_why(tmp_path):
    result = evaluate(perfect, data(test_people=1), judges(), tmp_path, protocol=QUICK)
    assert result["summary"]["worse_verification_over_real"] is None
    assert "not measured, no pairs" in (tmp_path / "table2.md").read_text()


def test_a_missing_identity_judge_is_named_in_table_2(tmp_path):
    some = judges()
    some.missing["LightCNN"] = "looked for its weights in vain"
    evaluate(perfect, data(), some, tmp_path, protocol=QUICK)
    text = (tmp_path / "table2.md").read_text()
    assert "LightCNN: not measured, looked for its weights in vain" in text and "reader" in text


def test_pair_list_is_fixed_round_robin_and_published(tmp_path):
    everything = data()
    sources, targets = choose_pairs(everything, 40, 0)
    again = choose_pairs(everything, 40, 0)
    assert (sources == again[0]).all() and (targets == again[1]).all()
    assert (targets != choose_pairs(everything, 40, 1)[1]).any()
    assert len(set(targets.tolist())) == 40
    _, counts = np.unique(sources, return_counts=True)
    assert counts.max() - counts.min() <= 1 and len(counts) == 3
    assert len(choose_pairs(everything, 1392)[1]) == 120, "as many as there are"
    evaluate(perfect, everything, judges(), tmp_path, protocol=QUICK)
    with (tmp_path / "pairs.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["target"] for row in rows] == [everything.train.records.path(row) for row in targets]
    assert [row["source"] for row in rows] == [everything.test.records.path(row) for row in sources]
    assert rows[0]["person"] == everything.test.identities[everything.test.identity[sources[0]]]
    result = json.loads((tmp_path / "evaluation.json").read_text())
    errors = [float(row["au_mse"]) for row in rows]
    assert np.mean(errors) == pytest.approx(result["summary"]["au_mse"], abs=1e-4)
    (name,) = (name for name in result["table2"] if f"cosine_{name}" in rows[0])
    cosines = [float(row[f"cosine_{name}"]) for row in rows]
    table = result["table2"][name]
    assert np.mean(cosines) == pytest.approx(table[result["method"]]["mean_similarity"], abs=1e-4)
    verified = [float(row[f"verified_{name}"]) for row in rows]
    assert np.mean(verified) == pytest.approx(table[result["method"]]["accuracy"], abs=1e-4)


def test_the_aus_of_each_pair_are_published(tmp_path):
    def timid(image, au):  # half of what was asked for, a little more of it for some than for others
        return perfect(image, au * torch.linspace(0.4, 0.6, len(au))[:, None])

    evaluate(timid, data(), judges(), tmp_path, protocol=QUICK)
    pairs = pd.read_csv(tmp_path / "pairs.csv")
    scores = json.loads((tmp_path / "evaluation.json").read_text())["table1"]["au"]["EGGAN"]
    assert whole([pairs], correlation()) == pytest.approx(scores["pcc_mean"], abs=1e-4)
    assert scores["pcc_mean"] < 0.999
    for k, name in enumerate(AU_NAMES):
        assert whole([pairs], squared_error([name])) == pytest.approx(scores["mse"][k], abs=1e-3)


def test_targets_have_known_aus():
    everything = data()
    everything.train.au[::2] = np.nan
    assert (choose_pairs(everything, 1392)[1] % 2 == 1).all()


def test_no_test_people_is_said_in_words():
    everything = data()
    everything.test = Split(0, 0, 1)
    with pytest.raises(UserError, match="0 test pictures"):
        choose_pairs(everything)


def test_source_is_neutral_then_frontal():
    test = Split(2, 3, 0)
    test.au[:] = 0
    test.au[0] = 3  # labelled neutral counts more than AUs
    test.expression[0] = 0
    test.records.pose[:] = 0
    test.records.pose[3:, 1] = [0.5, 0.1, 0.3]
    assert choose_sources(test).tolist() == [0, 4]


def test_a_strong_source_has_the_most_aus_of_those_that_face_the_camera():
    test = Split(2, 3, 0)
    test.au[:] = 0
    test.au[[0, 1, 2], 3] = 5, 4, 1
    test.au[[3, 4], 3] = 1, 2
    test.records.pose[:] = 0
    test.records.pose[0, 1] = 0.5  # five units of AUs
    test.expression[2] = test.expression[3] = 0
    assert choose_sources(test, strong=True).tolist() == [1, 4]
