"""The expression judge: a small classifier trained on people of its own, to score transferred expressions.

The net, the augmentation and the schedule are the AU judge's. At the end of training it exports itself to where
evaluation looks for it.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from facegan.config import check, judges_home
from facegan.faces import EXPRESSIONS
from facegan.judges.weights import EXPRESSION_WEIGHTS, save_judge, training_note
from facegan.nets.au_regressor import AURegressor, augment, to_size
from facegan.supervised import CNNJudgeConfig, SupervisedModule


@dataclass
class JudgeExpressionConfig(CNNJudgeConfig):
    """The recipe, with what is to be told apart."""

    name: str = "judge_expression"
    epochs: int = 12
    expressions: list[str] = field(
        default_factory=lambda: ["anger", "disgust", "fear", "happiness", "sadness", "surprise"]
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in self.expressions:
            check("method.expressions", name, EXPRESSIONS)


class JudgeExpression(SupervisedModule):
    """Logits (B, K) of ``config.expressions`` from aligned faces.

    Args:
        config: a ``JudgeExpressionConfig`` or the dict of one.
        size, identities, batch_size: of the data; this method does not depend on them.
        seed: of the run.
    """

    classes: Tensor
    monitor = ("val/accuracy",)
    """What chooses the best checkpoint."""

    def __init__(
        self,
        config: JudgeExpressionConfig | dict[str, Any],
        size: int = 128,
        identities: int = 1,
        batch_size: int = 64,
        seed: int = 0,
    ) -> None:
        config = JudgeExpressionConfig(**config) if isinstance(config, dict) else config
        super().__init__(config, size, identities, batch_size, seed)
        self.config = config
        self.net = AURegressor(config.channels, len(config.expressions))
        known = [config.expressions.index(name) if name in config.expressions else -1 for name in EXPRESSIONS]
        self.register_buffer("classes", torch.tensor(known))

    def forward(self, images: Tensor) -> Tensor:
        """(B, 3, S, S) in [-1, 1] -> logits (B, K)."""
        return self.net(to_size(images.to(self.dtype)))

    def training_step(self, batch: dict[str, Tensor]) -> Tensor:
        """Cross entropy on augmented pictures."""
        images = to_size(batch["image"])
        if self.config.augment:
            images = augment(images, self.generator())
        loss = F.cross_entropy(self.net(images), self.classes[batch["expression"]])
        self.log("train/expression", loss.detach(), batch_size=len(images))
        return loss

    def validation_step(self, batch: dict[str, Tensor]) -> None:
        """How often it is right on people that are not in training."""
        right = self(batch["image"]).argmax(1) == self.classes[batch["expression"]]
        self.log("val/accuracy", right.float().mean(), batch_size=len(right), sync_dist=True)

    def configure_optimizers(self) -> Any:
        """AdamW, one cycle."""
        return self.one_cycle(self.config.lr, self.config.weight_decay)

    def on_fit_end(self) -> None:
        """Measure the judge on the test people, or else on the validation pictures; export it (rank 0)."""
        if not self.trainer.is_global_zero:
            return
        data = self.trainer.datamodule  # type: ignore[attr-defined]
        part = data.test if len(data.test.expression) else data.val
        measured = self.measure(part)
        path = Path(self.config.weights) if self.config.weights else judges_home() / EXPRESSION_WEIGHTS
        about = {
            "judge": "expression",
            "architecture": "AURegressor",
            "channels": list(self.config.channels),
            "expressions": list(self.config.expressions),
            "trained_on": training_note(data),
            "batches": self.batches_seen,
            "measured": measured,
        }
        save_judge(path, self.net, about)
        self.print(
            f"expression judge: {measured['accuracy']:.1%} right on {measured['pictures']:,} pictures of "
            f"{measured['people']:,} people that it did not learn from; {path}"
        )

    @torch.no_grad()
    def measure(self, part: Any, batch_size: int = 64) -> dict[str, Any]:
        """Share of the pictures of one split of a data module that it names rightly."""
        was_training = self.training
        self.eval()
        right = 0
        for start in range(0, len(part.expression), batch_size):
            batch = part.batch(np.arange(start, min(start + batch_size, len(part.expression))))
            given = self(batch["image"].to(self.device)).argmax(1)
            right += int((given == self.classes[batch["expression"].to(self.device)]).sum())
        self.train(was_training)
        n = len(part.expression)
        return {"pictures": n, "people": len(np.unique(part.identity)), "accuracy": round(right / n, 4)}
