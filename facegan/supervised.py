"""What all recognisers share that learn from labels alone: the judges' recipes. Each writes its own step."""

from dataclasses import asdict, dataclass, field
from typing import Any

import pytorch_lightning as pl
import torch
from torch.optim.lr_scheduler import OneCycleLR

from facegan.config import UserError, check, check_ranges


@dataclass
class CNNJudgeConfig:
    """The recipe of judges with an ``AURegressor``; none of it comes from a paper."""

    name: str = ""
    epochs: int = 8
    lr: float = 3e-3  # peak of the one-cycle schedule
    weight_decay: float = 1e-3
    channels: list[int] = field(default_factory=lambda: [16, 32, 64, 128])  # at 64, 32, 16 and 8 pixels
    augment: bool = True
    weights: str | None = None  # file to export; None: <name>.safetensors where evaluation looks

    def __post_init__(self) -> None:
        check("method.epochs", self.epochs, at_least=1)
        check("method.lr", self.lr, above=0)
        check_ranges("method", self, weight_decay=(0, None), channels=(1, None))
        if len(self.channels) != 4:
            raise UserError(f"method.channels={self.channels}: write four numbers, as in [16, 32, 64, 128]")

    @property
    def total_epochs(self) -> int:
        """Epochs of training."""
        return self.epochs


class SupervisedModule(pl.LightningModule):
    """A LightningModule with one optimiser, that counts batches and draws as the adversarial ones do.

    Args:
        config: the recogniser's.
        size, identities, batch_size: of the data, for the checkpoint.
        seed: of the run; with the batch's number and the rank it fixes every draw of a step.
    """

    def __init__(self, config: Any, size: int, identities: int, batch_size: int, seed: int) -> None:
        super().__init__()
        self.save_hyperparameters({
            "config": asdict(config), "size": size, "identities": identities,
            "batch_size": batch_size, "seed": seed,
        })  # fmt: skip
        self.seed = seed

    @property
    def batches_seen(self) -> int:
        """Training batches done since the start of the run: with one optimiser, Lightning's own count."""
        return int(self.trainer.global_step)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Name the count as every method does."""
        checkpoint["batches_seen"] = self.batches_seen

    def generator(self) -> torch.Generator:
        """Random numbers of this batch and rank, on the module's device."""
        place = self.batches_seen * self.trainer.world_size + self.trainer.global_rank
        mixed = (self.seed * 0x9E3779B97F4A7C15 + place * 0xD1B54A32D192ED03) % 2**63
        return torch.Generator(self.device).manual_seed(mixed)

    def one_cycle(self, peak: float, weight_decay: float) -> dict[str, Any]:
        """AdamW on all parameters, one cycle of the learning rate over the whole training."""
        optimizer = torch.optim.AdamW(self.parameters(), peak, weight_decay=weight_decay)
        schedule = OneCycleLR(optimizer, peak, total_steps=int(self.trainer.estimated_stepping_batches))
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}
