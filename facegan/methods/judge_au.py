"""The AU judge: a small regressor trained on faces with known AUs, to score the results of other methods.

Its recipe: 50,000 generated pictures, half of them with independently drawn AUs and half expression
prototypes, so that it cannot read one AU from another; moved, relit, blurred, halved and noised, so that it
cannot read them from fine texture (docs/eggan.md E4). At the end of training it exports itself to where
evaluation looks for it.
"""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from facegan.config import judges_home
from facegan.faces import AU_NAMES, N_AUS
from facegan.judges.weights import AU_WEIGHTS, save_judge, training_note
from facegan.metrics import Agreement
from facegan.nets.au_regressor import AURegressor, augment, to_size
from facegan.supervised import CNNJudgeConfig, SupervisedModule


@dataclass
class JudgeAUConfig(CNNJudgeConfig):
    """The recipe."""

    name: str = "judge_au"


class JudgeAU(SupervisedModule):
    """AU intensities (B, 17) from aligned faces: least squares, each AU weighted by how little it varies.

    Args:
        config: a ``JudgeAUConfig`` or the dict of one.
        size, identities, batch_size: of the data; this method does not depend on them.
        seed: of the run.
    """

    monitor = ("val/au_pcc", "-val/au_mse")
    """What chooses the best checkpoint: the first of these that is measured; "-" where lower is better."""

    def __init__(
        self,
        config: JudgeAUConfig | dict[str, Any],
        size: int = 128,
        identities: int = 1,
        batch_size: int = 64,
        seed: int = 0,
    ) -> None:
        config = JudgeAUConfig(**config) if isinstance(config, dict) else config
        super().__init__(config, size, identities, batch_size, seed)
        self.config = config
        self.net = AURegressor(config.channels)
        self.agreement = Agreement(AU_NAMES)
        self.register_buffer("weight", torch.ones(N_AUS))

    def forward(self, images: Tensor) -> Tensor:
        """(B, 3, S, S) in [-1, 1] -> AUs (B, 17), cut to 0..5."""
        return self.net(to_size(images.to(self.dtype))).clamp(0, 5)

    def on_fit_start(self) -> None:
        """Weigh the AUs by the training pictures: a rare one must not vanish beside a frequent one."""
        variance = torch.as_tensor(self.trainer.datamodule.train.au).float().var(0)  # type: ignore[attr-defined]
        weight = 1 / (variance + 0.1)
        self.weight = (weight / weight.mean()).to(self.device)

    def training_step(self, batch: dict[str, Tensor]) -> Tensor:
        """Weighted squared error on augmented pictures."""
        images = to_size(batch["image"])
        if self.config.augment:
            images = augment(images, self.generator())
        loss = ((self.net(images) - batch["au"]).square() * self.weight).mean()
        self.log("train/au", loss.detach(), batch_size=len(images))
        return loss

    def validation_step(self, batch: dict[str, Tensor]) -> None:
        """Compare with the true AUs of people that are not in training."""
        self.agreement.update(self(batch["image"]), batch["au"])

    def on_validation_epoch_end(self) -> None:
        """Log MSE and PCC over all AUs, and the PCC of the worst one."""
        result = self.agreement.compute()
        self.agreement.reset()
        logged = {"val/au_mse": result["mse_mean"].float()}
        if result["excluded"] < N_AUS:
            logged["val/au_pcc"] = result["pcc_mean"].float()
            logged["val/au_pcc_worst"] = result["pcc"][result["pcc"].isfinite()].min().float()
        self.log_dict(logged)

    def configure_optimizers(self) -> Any:
        """AdamW, one cycle."""
        return self.one_cycle(self.config.lr, self.config.weight_decay)

    def on_fit_end(self) -> None:
        """Measure the judge on the test people, or else on the validation pictures; export it (rank 0)."""
        if not self.trainer.is_global_zero:
            return
        data = self.trainer.datamodule  # type: ignore[attr-defined]
        part = data.test if len(data.test.au) else data.val
        measured = self.measure(part)
        path = Path(self.config.weights) if self.config.weights else judges_home() / AU_WEIGHTS
        self.export(path, training_note(data), measured)
        self.print(
            f"AU judge: PCC {measured['pcc_mean']:.3f}, worst {measured['pcc_worst']:.3f}, MSE "
            f"{measured['mse_mean']:.3f} on {measured['pictures']:,} pictures of {measured['people']:,} "
            f"people that it did not learn from; {path}"
        )

    @torch.no_grad()
    def measure(self, part: Any, batch_size: int = 64) -> dict[str, Any]:
        """MSE and PCC, per AU and mean, on one split of a data module."""
        agreement = Agreement(AU_NAMES, sync_on_compute=False)
        was_training = self.training
        self.eval()
        for start in range(0, len(part.au), batch_size):
            batch = part.batch(np.arange(start, min(start + batch_size, len(part.au))))
            agreement.update(self(batch["image"].to(self.device)).cpu(), batch["au"])
        self.train(was_training)
        result = agreement.compute()
        known = result["pcc"][result["pcc"].isfinite()]
        rounded = {key: [round(value, 4) for value in result[key].tolist()] for key in ("pcc", "mse")}
        return {
            "pictures": len(part.au),
            "people": len(np.unique(part.identity)),
            "pcc_mean": round(float(result["pcc_mean"]), 4),
            "pcc_worst": round(float(known.min()) if len(known) else float("nan"), 4),
            "mse_mean": round(float(result["mse_mean"]), 4),
            "pcc": {
                name: value
                for name, value in zip(AU_NAMES, rounded["pcc"], strict=True)
                if math.isfinite(value)
            },
            "mse": dict(zip(AU_NAMES, rounded["mse"], strict=True)),
        }

    def export(self, path: Path, trained_on: str, measured: dict[str, Any]) -> None:
        """Write the weights (safetensors) and what is known of them (JSON) for ``facegan.judges.AUJudge``.

        Args:
            path: ``….safetensors``.
            trained_on: the data in a few words, for tables.
            measured: on people that it did not learn from.
        """
        about = {
            "judge": "au",
            "architecture": "AURegressor",
            "channels": list(self.config.channels),
            "trained_on": trained_on,
            "batches": self.batches_seen,
            "measured": measured,
        }
        save_judge(path, self.net, about)
