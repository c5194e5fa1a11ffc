import json
from types import SimpleNamespace

import numpy as np
import pytest
import pytorch_lightning as pl
import torch
from torch.utils.data import DataLoader

from facegan.config import UserError
from facegan.judges import HeadPose, Judges, PoseJudge
from facegan.judges.weights import POSE_WEIGHTS
from facegan.methods.judge_pose import JudgePose, JudgePoseConfig
from facegan.nets.au_regressor import POSE_SIDES, AURegressor


class Spots(pl.LightningDataModule):
    """Pictures with one bright spot: the further right the more yaw, the further down the more pitch; no roll."""

    generated, align = "ict", "box"

    def __init__(self, known: bool = True):
        super().__init__()
        self.train, self.val, self.test = (self._split(n, k, known) for k, n in enumerate((384, 48, 60)))

    def _split(self, pictures, seed, known):
        rng = np.random.default_rng(seed)
        at = rng.uniform(-0.6, 0.6, (pictures, 2))
        grid = np.linspace(-1, 1, 32)
        spot = np.exp(
            -8 * ((grid[None, :, None] - at[:, :1, None]) ** 2 + (grid[None, None] - at[:, 1:, None]) ** 2)
        )
        image = torch.from_numpy(2 * spot - 1).float()[:, None].expand(-1, 3, -1, -1).contiguous()
        pose = torch.from_numpy(np.concatenate([at, 0 * at[:, :1]], 1)).float()
        data = {"image": image, "pose": pose if known else pose * torch.nan}
        rows = [{key: value[k] for key, value in data.items()} for k in range(pictures)]
        return SimpleNamespace(
            rows=rows, identity=np.arange(pictures) % 6, records=SimpleNamespace(pose=data["pose"].numpy()),
            batch=lambda index: {key: value[torch.as_tensor(index)] for key, value in data.items()},
        )  # fmt: skip

    def train_dataloader(self):
        return DataLoader(self.train.rows, 32)

    def val_dataloader(self):
        return DataLoader(self.val.rows, 32)


def fit(module, data, epochs):
    pl.Trainer(
        max_epochs=epochs, accelerator="cpu", logger=False, enable_progress_bar=False, enable_model_summary=False,
        enable_checkpointing=False, num_sanity_val_steps=0,
    ).fit(module, datamodule=data)  # fmt: skip


def test_learns_exports_itself_and_the_judge_gives_the_same_answers(tmp_path, monkeypatch):
    monkeypatch.setenv("FACEGAN_JUDGES", str(tmp_path))
    torch.manual_seed(0)
    data = Spots()
    module = JudgePose(JudgePoseConfig(channels=[4, 8, 8, 16], epochs=8))
    fit(module, data, 8)
    measured = json.loads((tmp_path / POSE_WEIGHTS).with_suffix(".json").read_text())["measured"]
    batch = data.test.batch(np.arange(60))
    module.eval()
    with torch.no_grad():
        given = module(batch["image"])
    off = (given - batch["pose"]).abs().rad2deg().mean(0)
    assert list(measured["degrees"].values()) == pytest.approx(off.tolist(), abs=0.01)
    assert off[0] < 4 and off[1] < 4, "pitch and yaw, of 17 degrees on average"
    assert measured["people"] == 6 and measured["pcc_mean"] > 0.95

    judge = PoseJudge(finder=lambda images: torch.zeros(len(images), 68, 2))
    torch.testing.assert_close(judge(batch["image"]), given)
    assert "generated pictures (ict head)" in judge.description
    nobody = torch.zeros(60, 68, 2)
    nobody[3] = torch.nan
    rows = judge(batch["image"], nobody).isnan().all(1)
    assert rows[3] and rows.sum() == 1, "where no face is found, no pose is read"


def test_a_mirrored_head_has_the_same_pitch_and_the_opposite_yaw_and_roll():
    torch.manual_seed(0)
    net = AURegressor([4, 4, 8, 8], sides=POSE_SIDES).eval()
    images = torch.rand(2, 3, 128, 128) * 2 - 1
    straight, mirrored = net(images), net(images.flip(-1))
    torch.testing.assert_close(mirrored, straight * torch.tensor([1.0, -1.0, -1.0]))


def test_it_judges_the_faces_and_the_crop_that_it_has_learnt_and_landmarks_the_others(tmp_path, monkeypatch):
    monkeypatch.setenv("FACEGAN_JUDGES", str(tmp_path))
    data, judges = Spots(), Judges()
    judges.finder = lambda images: torch.zeros(len(images), 68, 2)
    judges.finder.description = "a finder"
    assert isinstance(judges.pose_of(data), HeadPose), "there are no weights"
    fit(JudgePose(JudgePoseConfig(channels=[4, 4, 4, 4], epochs=1)), data, 1)
    assert isinstance(judges.pose_of(data), PoseJudge)
    for change in ({"generated": None}, {"generated": "procedural"}, {"align": "similarity"}):
        others = SimpleNamespace(**{"generated": "ict", "align": "box", **change})
        assert isinstance(judges.pose_of(others), HeadPose), change


def test_pictures_without_a_pose_are_refused():
    with pytest.raises(UserError, match="needs every picture's pose"):
        fit(JudgePose(JudgePoseConfig(channels=[4, 4, 4, 4], epochs=1)), Spots(known=False), 1)


def test_without_weights_it_says_what_to_type(tmp_path, monkeypatch):
    monkeypatch.setenv("FACEGAN_JUDGES", str(tmp_path))
    with pytest.raises(UserError, match="facegan train judge_pose"):
        PoseJudge()


@pytest.mark.parametrize("change", [{"channels": [4]}, {"epochs": 0}, {"lr": 0.0}])
def test_values_that_cannot_be(change):
    with pytest.raises(UserError, match=f"method.{next(iter(change))}"):
        JudgePoseConfig(**change)
