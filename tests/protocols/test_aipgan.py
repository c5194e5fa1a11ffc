"""AIP-GAN's protocol on toy people, with a module that knows the truth."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from test_landmark_images import shapes
from test_transfer import QUICK, Reader, Split, judges, perfect

from datamodules.preparation.identity_maps import landmark_images
from facegan import report
from facegan.protocols.aipgan import FACE_VERIFIED, evaluate, heads_figure
from facegan.tables import number


class Faces(Split):
    """The toy people in 64 pixels, with landmarks and an identity map: the person's plane, black at the left."""

    def __init__(self, people=5, seed=0):
        super().__init__(people)
        self.landmarks = shapes(len(self.identity), seed).astype(np.float32)

    def __len__(self):
        return len(self.identity)

    def batch(self, rows):
        small = super().batch(rows)["image"]
        image = torch.nn.functional.interpolate(small, 64)
        identity_map = blank(image)
        landmarks = self.landmarks[rows]
        return {
            "image": image, "identity_map": identity_map, "landmarks": torch.from_numpy(landmarks),
            "landmark_map": torch.from_numpy(landmark_images(landmarks, 64)),
        }  # fmt: skip


class Knows:
    """Transfers perfectly; its heads draw what ``maps`` and ``dots`` say."""

    device = torch.device("cpu")
    config = SimpleNamespace(recogniser="trained", expression_weights=None, identity_code=50)

    def __init__(self, maps, dots):
        self.identity_maps, self.landmark_images = maps, dots
        self.R_i = SimpleNamespace(embed=lambda x: x[:, 1].flatten(1) + 1)
        self.R_e = SimpleNamespace(last_maps=lambda x: x[:, :1] + 1)

    def transfer(self, source, target):
        return perfect(source, target)

    def attention(self, images):
        return [torch.rand(len(images), 1, side, side) for side in (32, 4)]


class Judge(Reader):
    def features(self, images):
        return images[:, 0].flatten(1) + 1


@pytest.fixture
def data():
    return SimpleNamespace(test=Faces(), generated="procedural", describe=lambda: "toy people")


def blank(x):
    dark = x.clone()
    dark[:, 0] = 0
    dark[..., :16] = -1
    return dark


def test_what_is_drawn_and_measured(tmp_path, data):
    faces, seen = data.test, []

    def dots(x):  # asked for in the order of the pictures that are not neutral, then for the figure
        rows = range(len(seen), len(seen) + len(x)) if not seen else range(len(x))
        seen.extend(rows)
        return torch.from_numpy(landmark_images(faces.landmarks[list(rows)], 64))

    result = evaluate(
        Knows(blank, dots),
        data,
        Judge(),
        judges(),
        tmp_path,
        trained=Faces(30, seed=1),
        method="ours",
        protocol=QUICK,
    )
    heads = result["heads"]
    assert heads["pictures"] == 30 and heads["map_mse"] == heads["inside_mse"] == 0
    wanted, x = (faces.batch(range(30))[key] for key in ("identity_map", "image"))
    far = (x - wanted).square()
    assert heads["copy_mse"] == pytest.approx(far[..., 16:].sum().item() / far.numel())
    assert heads["picture_mse"] == pytest.approx(far.mean().item())
    assert heads["picture_mse"] > heads["copy_mse"] > 0.01
    # the toy people differ in one number each
    assert heads["linear_mse"] < 1e-6
    assert heads["landmarks"] < 0.3 * heads["mean_shape"]
    assert result["likeness"]["face"]["threshold"] == FACE_VERIFIED == 0.68
    assert result["likeness"]["expression_judge"]["ours"]["mean"] == pytest.approx(1)
    pairs = pd.read_csv(tmp_path / "pairs.csv")
    for name in result["likeness"]:
        of_all = result["likeness"][name]["ours"]
        assert pairs[f"likeness_{name}"].mean() == pytest.approx(of_all["mean"], abs=1e-4)
    assert pairs["likeness_face_verified"].mean() == pytest.approx(
        result["likeness"]["face"]["ours"]["share"]
    )
    for name in ("attention.png", "heads.png", "grid.png", "table.md"):
        assert (tmp_path / name).exists()
    table = (tmp_path / "table1.md").read_text()
    assert f"the picture itself {number(heads['picture_mse'], 4)}" in table
    assert f"off by 0.0000, the picture by {number(heads['copy_mse'], 4)}" in table
    lines = {line.split("|")[1].strip(): line for line in table.splitlines() if line.startswith("|")}
    assert "0.907" in lines["AIP-GAN (published)"] and "0.903" in lines["AIP-GAN (published)"]
    assert (
        f"mean cosine of two pictures of one person {number(result['likeness']['face']['real']['mean_same'], 3)}"
        in table
    )
    assert "1.000" in lines["ours"] and "copy the source" in lines and "copy the target" in lines
    assert report.aipgan_table1(result) == table


def test_across_data_sets_the_published_columns_are_the_other_ones(tmp_path, data):
    module = Knows(blank, lambda x: torch.zeros(len(x), 1, 64, 64))

    def table() -> str:
        said = {"trained": data.test, "trained_on": "bu4dfe", "method": "ours", "protocol": QUICK}
        evaluate(module, data, Judge(), judges(), tmp_path, **said)
        return (tmp_path / "table1.md").read_text()

    assert "0.856" in table()
    module.R_i = module.R_e = None  # published networks that are not here
    without = table()
    assert "Face-Verf" not in without and "judge_expression" in without


def test_an_identity_map_that_is_not_black_outside_is_right_within_the_outline(tmp_path, data):
    def grey(x):
        drawn = blank(x)
        drawn[..., :16] = 0
        return drawn

    module = Knows(grey, lambda x: torch.zeros(len(x), 1, 64, 64))
    heads = evaluate(
        module, data, Judge(), judges(), tmp_path, trained=Faces(30, seed=1), method="ours", protocol=QUICK
    )["heads"]
    assert heads["inside_mse"] == 0 and heads["map_mse"] == pytest.approx(0.25)


def test_who_has_no_identity_map_is_not_in_the_figure(tmp_path, data, monkeypatch):
    """A black H beside a drawn one would look like a mistake of the network."""
    drawn = []
    whole = data.test.batch

    def of_some(rows):
        batch = whole(rows)
        without = torch.arange(len(batch["image"])) % 2 == 0
        batch["identity_map"][without] = -1
        return batch

    def maps(x):
        drawn.append(x)
        return blank(x)

    monkeypatch.setattr(data.test, "batch", of_some)
    module = Knows(maps, lambda x: torch.zeros(len(x), 1, 64, 64))
    heads_figure(module, data, tmp_path / "heads.png", QUICK)
    shown = whole(range(len(data.test)))["image"][1::2]
    assert len(drawn[0]) == QUICK.rows
    assert all(any(torch.equal(x, other) for other in shown) for x in drawn[0])
