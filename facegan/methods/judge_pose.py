"""The judge of head pose: a small regressor trained on generated tracks, whose angles are known exactly.

Angles from landmarks take everybody for the mean head: of a face whose nose is long they are off by some degrees of
pitch. This one has seen many noses. The net, the augmentation and the schedule are the AU judge's. At the end of
training it exports itself to where evaluation looks for it.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from facegan.config import UserError, judges_home
from facegan.faces import POSE
from facegan.judges.weights import POSE_WEIGHTS, save_judge, training_note
from facegan.metrics import Agreement
from facegan.nets.au_regressor import POSE_SIDES, AURegressor, augment, to_size
from facegan.supervised import CNNJudgeConfig, SupervisedModule


@dataclass
class JudgePoseConfig(CNNJudgeConfig):
    """The recipe."""

    name: str = "judge_pose"


class JudgePose(SupervisedModule):
    """Pitch, yaw and roll (B, 3) in radians, as OpenFace has them, from faces in the crop of the training data.

    Args:
        config: a ``JudgePoseConfig`` or the dict of one.
        size, identities, batch_size: of the data; this method does not depend on them.
        seed: of the run.
    """

    monitor = ("-val/degrees",)
    """What chooses the best checkpoint; "-": lower is better."""

    def __init__(
        self,
        config: JudgePoseConfig | dict[str, Any],
        size: int = 128,
        identities: int = 1,
        batch_size: int = 64,
        seed: int = 0,
    ) -> None:
        config = JudgePoseConfig(**config) if isinstance(config, dict) else config
        super().__init__(config, size, identities, batch_size, seed)
        self.config = config
        self.net = AURegressor(config.channels, sides=POSE_SIDES)

    def forward(self, images: Tensor) -> Tensor:
        """(B, 3, S, S) in [-1, 1] -> pitch, yaw, roll (B, 3) in radians."""
        return self.net(to_size(images.to(self.dtype)))

    def on_fit_start(self) -> None:
        """Refuse pictures whose pose nobody knows."""
        data = self.trainer.datamodule  # type: ignore[attr-defined]
        if not np.isfinite(data.train.records.pose).all():
            raise UserError(
                "judge_pose needs every picture's pose: generated tracks have it, others OpenFace's CSVs; "
                "data.needs_au=true leaves out the rest"
            )

    def training_step(self, batch: dict[str, Tensor]) -> Tensor:
        """Mean absolute error on augmented pictures, whose turns of up to 2 degrees either way are not told to it."""
        images = to_size(batch["image"])
        if self.config.augment:
            images = augment(images, self.generator())
        loss = F.l1_loss(self.net(images), batch["pose"])
        self.log("train/degrees", loss.detach().rad2deg(), batch_size=len(images))
        return loss

    def validation_step(self, batch: dict[str, Tensor]) -> None:
        """Mean absolute error on people that are not in training."""
        error = (self(batch["image"]) - batch["pose"]).abs().mean().rad2deg()
        self.log("val/degrees", error, batch_size=len(batch["pose"]), sync_dist=True)

    def configure_optimizers(self) -> Any:
        """AdamW, one cycle."""
        return self.one_cycle(self.config.lr, self.config.weight_decay)

    def on_fit_end(self) -> None:
        """Measure the judge on the test people, or else on the validation pictures; export it (rank 0)."""
        if not self.trainer.is_global_zero:
            return
        data = self.trainer.datamodule  # type: ignore[attr-defined]
        part = data.test if len(data.test.identity) else data.val
        measured = self.measure(part)
        path = Path(self.config.weights) if self.config.weights else judges_home() / POSE_WEIGHTS
        about = {
            "judge": "pose",
            "architecture": "AURegressor",
            "channels": list(self.config.channels),
            "align": data.align,
            "head": data.generated,
            "trained_on": training_note(data),
            "batches": self.batches_seen,
            "measured": measured,
        }
        save_judge(path, self.net, about)
        off = ", ".join(f"{name} {value:.1f}" for name, value in measured["degrees"].items())
        self.print(
            f"pose judge: off by {off} degrees on {measured['pictures']:,} pictures of {measured['people']:,} people "
            f"that it did not learn from; {path}"
        )

    @torch.no_grad()
    def measure(self, part: Any, batch_size: int = 64) -> dict[str, Any]:
        """Mean absolute error by angle, and the mean PCC, on one split of a data module."""
        was_training, agreement = self.training, Agreement(POSE, sync_on_compute=False)
        self.eval()
        errors = []
        for start in range(0, len(part.identity), batch_size):
            batch = part.batch(np.arange(start, min(start + batch_size, len(part.identity))))
            given = self(batch["image"].to(self.device)).cpu()
            agreement.update(given, batch["pose"])
            errors.append((given - batch["pose"]).abs().rad2deg())
        self.train(was_training)
        means = torch.cat(errors).mean(0).tolist()
        return {
            "pictures": len(part.identity),
            "people": len(np.unique(part.identity)),
            "pcc_mean": round(float(agreement.compute()["pcc_mean"]), 4),
            "degrees": {name: round(value, 2) for name, value in zip(POSE, means, strict=True)},
        }
