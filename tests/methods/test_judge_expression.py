import json
from types import SimpleNamespace

import numpy as np
import pytest
import pytorch_lightning as pl
import torch
from torch.utils.data import DataLoader

from facegan.config import UserError
from facegan.faces import EXPRESSIONS
from facegan.judges import ExpressionJudge
from facegan.judges.weights import EXPRESSION_WEIGHTS
from facegan.methods.judge_expression import JudgeExpression, JudgeExpressionConfig

NAMES = ["sadness", "anger", "surprise"]  # not in the order of faces.EXPRESSIONS


class Bands(pl.LightningDataModule):
    """Pictures with one bright third, from the top: anger, sadness, surprise."""

    generated = "procedural"

    def __init__(self):
        super().__init__()
        self.train, self.val, self.test = (self._split(n, k) for k, n in enumerate((192, 48, 60)))

    def _split(self, pictures, seed):
        rng = np.random.default_rng(seed)
        band = np.arange(pictures) % 3
        image = rng.normal(0, 0.05, (pictures, 3, 36, 36)).astype(np.float32)
        for row, place in enumerate(band):
            image[row, :, 12 * place : 12 * place + 12] += 0.7
        expression = np.array([EXPRESSIONS.index(sorted(NAMES)[place]) for place in band])
        data = {"image": torch.from_numpy(image), "expression": torch.from_numpy(expression)}
        rows = [{key: value[k] for key, value in data.items()} for k in range(pictures)]
        return SimpleNamespace(
            rows=rows, expression=expression, identity=np.arange(pictures) % 6,
            batch=lambda index: {key: value[torch.as_tensor(index)] for key, value in data.items()},
        )  # fmt: skip

    def train_dataloader(self):
        return DataLoader(self.train.rows, 32)

    def val_dataloader(self):
        return DataLoader(self.val.rows, 32)


def test_learns_exports_itself_and_the_judge_gives_the_same_answers(tmp_path, monkeypatch):
    monkeypatch.setenv("FACEGAN_JUDGES", str(tmp_path))
    torch.manual_seed(0)
    data = Bands()
    module = JudgeExpression(JudgeExpressionConfig(expressions=NAMES, channels=[4, 8, 8, 16], epochs=6))
    pl.Trainer(
        max_epochs=6, accelerator="cpu", logger=False, enable_progress_bar=False, enable_model_summary=False,
        enable_checkpointing=False, num_sanity_val_steps=0,
    ).fit(module, datamodule=data)  # fmt: skip
    about = json.loads((tmp_path / EXPRESSION_WEIGHTS).with_suffix(".json").read_text())
    assert about["measured"] == {"pictures": 60, "people": 6, "accuracy": 1.0}
    judge = ExpressionJudge()
    assert judge.expressions == tuple(NAMES) and "generated pictures (procedural head)" in judge.description
    batch = data.test.batch(np.arange(60))
    given = judge(batch["image"])
    torch.testing.assert_close(given.sum(1), torch.ones(60))
    named = [EXPRESSIONS.index(judge.expressions[k]) for k in given.argmax(1).tolist()]
    assert named == batch["expression"].tolist()
    torch.testing.assert_close(given, module.eval()(batch["image"]).softmax(1).detach())


def test_without_weights_it_says_what_to_type(tmp_path, monkeypatch):
    monkeypatch.setenv("FACEGAN_JUDGES", str(tmp_path))
    with pytest.raises(UserError, match="facegan train judge_expression"):
        ExpressionJudge()


@pytest.mark.parametrize("change", [{"expressions": ["joy"]}, {"channels": [4]}, {"epochs": 0}])
def test_values_that_cannot_be(change):
    with pytest.raises(UserError, match=f"method.{next(iter(change))}"):
        JudgeExpressionConfig(**change)
