from types import SimpleNamespace

import numpy as np
import pytest
import pytorch_lightning as pl
import torch
from torch.utils.data import DataLoader

from facegan.config import UserError
from facegan.judges import LightCNNJudge
from facegan.methods.judge_identity import JudgeIdentity, JudgeIdentityConfig


class People(pl.LightningDataModule):
    """A person is a coarse pattern of grey; pictures add noise. Validation people are others."""

    generated = None

    def __init__(self, people=4, each=8):
        super().__init__()
        self.train, self.val = self._split(people, each, 0), self._split(people, each, 100)

    def _split(self, people, each, first):
        rows = []
        for person in range(people):
            pattern = np.random.default_rng(first + person).uniform(-1, 1, (4, 4))
            for k in range(each):
                noise = np.random.default_rng([first, person, k]).normal(0, 0.1, (16, 16))
                picture = np.kron(pattern, np.ones((4, 4))) + noise
                image = torch.from_numpy(picture).float().clamp(-1, 1).expand(3, 16, 16)
                rows.append({"image": image, "identity": torch.tensor(person)})
        order = np.random.default_rng(first).permutation(len(rows))
        return SimpleNamespace(rows=[rows[k] for k in order], identity=np.repeat(np.arange(people), each))

    def train_dataloader(self):
        return DataLoader(self.train.rows, 16)

    def val_dataloader(self):
        return DataLoader(self.val.rows, 16)


def test_learns_to_tell_people_apart_and_exports_itself(tmp_path, monkeypatch):
    pytest.importorskip("dlib")
    monkeypatch.setenv("FACEGAN_JUDGES", str(tmp_path))
    torch.manual_seed(0)
    config = JudgeIdentityConfig(width=0.1, epochs=8, lr=3e-3, dropout=0.0, augment=False)
    module, data = JudgeIdentity(config, identities=4), People()
    trainer = pl.Trainer(
        max_epochs=8, accelerator="cpu", logger=False, enable_checkpointing=False, enable_progress_bar=False,
        enable_model_summary=False, num_sanity_val_steps=0, check_val_every_n_epoch=8,
    )  # fmt: skip
    trainer.fit(module, datamodule=data)
    assert float(trainer.callback_metrics["train/accuracy"]) > 0.9
    assert module.measured["balanced_accuracy"] > 0.8, "people that it never saw"
    judge = LightCNNJudge()
    images = torch.stack([row["image"] for row in data.val.rows[:3]])
    with torch.no_grad():
        expected = module.eval()(images)
    torch.testing.assert_close(judge(images, torch.zeros(3, 68, 2)), expected, atol=1e-5, rtol=1e-4)
    assert "32 pictures of 4 people" in judge.description


def test_one_person_cannot_be_told_apart():
    with pytest.raises(UserError, match="one person only"):
        JudgeIdentity(JudgeIdentityConfig(), identities=1)


def test_impossible_values_are_refused_in_words():
    with pytest.raises(UserError, match=r"method\.dropout"):
        JudgeIdentityConfig(dropout=1.5)
