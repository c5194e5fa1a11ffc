"""The AU judge: a small regressor trained on faces with known AUs, to score the results of other methods.

Its recipe: 50,000 generated pictures, half of them with independently drawn AUs and half expression
prototypes, so that it cannot read one AU from another; moved, relit, blurred, halved and noised, so that it
cannot read them from fine texture (methods.md E4). At the end of training it exports itself to where
evaluation looks for it.
"""

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor
from torch.optim.lr_scheduler import OneCycleLR

from facegan.config import UserError, check, judges_home
from facegan.faces import AU_NAMES, N_AUS
from facegan.judges import AU_WEIGHTS, save_judge, training_note
from facegan.metrics import Agreement
from facegan.nets.au_regressor import AURegressor, augment, to_size


@dataclass
class JudgeAUConfig:
    """The recipe; none of it comes from a paper."""

    name: str = "judge_au"
    epochs: int = 3
    lr: float = 3e-3  # peak of the one-cycle schedule
    weight_decay: float = 1e-3
    channels: list[int] = field(default_factory=lambda: [16, 32, 64, 128])  # at 64, 32, 16 and 8 pixels
    augment: bool = True
    weights: str | None = None  # file to export; None: judge_au.safetensors where evaluation looks

    def __post_init__(self) -> None:
        check("method.epochs", self.epochs, at_least=1)
        check("method.lr", self.lr, above=0)
        check("method.weight_decay", self.weight_decay, at_least=0)
        if len(self.channels) != 4:
            raise UserError(f"method.channels={self.channels}: write four numbers, as in [16, 32, 64, 128]")

    @property
    def total_epochs(self) -> int:
        """Epochs of training."""
        return self.epochs


class JudgeAU(pl.LightningModule):
    """AU intensities (B, 17) from aligned faces: least squares, each AU weighted by how little it varies.

    Args:
        config: a ``JudgeAUConfig`` or the dict of one.
        size, identities, batch_size: of the data; this method does not depend on them.
        seed: of the run.
    """

    def __init__(
        self,
        config: JudgeAUConfig | dict[str, Any],
        size: int = 128,
        identities: int = 1,
        batch_size: int = 64,
        seed: int = 0,
    ) -> None:
        config = JudgeAUConfig(**config) if isinstance(config, dict) else config
        super().__init__()
        self.save_hyperparameters({
            "config": asdict(config), "size": size, "identities": identities,
            "batch_size": batch_size, "seed": seed,
        })  # fmt: skip
        self.config = config
        self.seed = seed
        self.net = AURegressor(config.channels)
        self.agreement = Agreement(AU_NAMES)
        self.register_buffer("weight", torch.ones(N_AUS))
        self.measured: dict[str, Any] = {}

    @property
    def batches_seen(self) -> int:
        """Training batches done since the start of the run: with one optimiser, Lightning's own count."""
        return int(self.trainer.global_step)

    def forward(self, images: Tensor) -> Tensor:
        """(B, 3, S, S) in [-1, 1] -> AUs (B, 17), cut to 0..5."""
        return self.net(to_size(images)).clamp(0, 5)

    def on_fit_start(self) -> None:
        """Weigh the AUs by the training pictures: a rare one must not vanish beside a frequent one."""
        variance = torch.as_tensor(self.trainer.datamodule.train.au).float().var(0)  # type: ignore[attr-defined]
        weight = 1 / (variance + 0.1)
        self.weight = (weight / weight.mean()).to(self.device)

    def training_step(self, batch: dict[str, Tensor]) -> Tensor:
        """Weighted squared error on augmented pictures."""
        images = to_size(batch["image"])
        if self.config.augment:
            images = augment(images, self._generator())
        loss = ((self.net(images) - batch["au"]).square() * self.weight).mean()
        self.log("train/au", loss.detach(), batch_size=len(images))
        return loss

    def _generator(self) -> torch.Generator:
        place = self.batches_seen * self.trainer.world_size + self.trainer.global_rank
        mixed = (self.seed * 0x9E3779B97F4A7C15 + place * 0xD1B54A32D192ED03) % 2**63
        return torch.Generator(self.device).manual_seed(mixed)

    def validation_step(self, batch: dict[str, Tensor]) -> None:
        """Compare with the true AUs of people that are not in training."""
        self.agreement.update(self(batch["image"]), batch["au"])

    def on_validation_epoch_end(self) -> None:
        """Log MSE and PCC over all AUs, and the PCC of the worst one."""
        result = self.agreement.compute()
        self.agreement.reset()
        pcc = result["pcc"].float()
        worst = pcc[pcc.isfinite()].min() if pcc.isfinite().any() else pcc[0]
        logged = {
            "val/au_pcc": result["pcc_mean"].float(),
            "val/au_pcc_worst": worst,
            "val/au_mse": result["mse_mean"].float(),
        }
        self.log_dict(logged)
        if not self.trainer.sanity_checking:
            self.measured = {key: round(float(value), 4) for key, value in logged.items()}
            self.measured["pcc"] = {
                name: round(float(value), 3)
                for name, value in zip(AU_NAMES, pcc, strict=True)
                if value.isfinite()
            }

    def configure_optimizers(self) -> Any:
        """AdamW, one cycle of the learning rate over the whole training."""
        optimizer = torch.optim.AdamW(
            self.parameters(), self.config.lr, weight_decay=self.config.weight_decay
        )
        steps = int(self.trainer.estimated_stepping_batches)
        schedule = OneCycleLR(optimizer, self.config.lr, total_steps=steps)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def on_fit_end(self) -> None:
        """Export the judge (rank 0)."""
        if self.trainer.is_global_zero:
            path = Path(self.config.weights) if self.config.weights else judges_home() / AU_WEIGHTS
            self.export(path)
            self.print(f"AU judge: {path}")

    def export(self, path: Path) -> None:
        """Write the weights (safetensors) and what is known of them (JSON) for ``facegan.judges.AUJudge``."""
        about = {
            "judge": "au",
            "architecture": "AURegressor",
            "channels": list(self.config.channels),
            "trained_on": training_note(self.trainer.datamodule),  # type: ignore[attr-defined]
            "batches": self.batches_seen,
            "validation": self.measured,
        }
        save_judge(path, self.net, about)
