"""What all recognisers share that learn from labels alone: the judges' recipes. Each writes its own step."""

from typing import Any

import pytorch_lightning as pl
import torch
from torch.optim.lr_scheduler import OneCycleLR


class SupervisedModule(pl.LightningModule):
    """A LightningModule with one optimiser, that counts batches and draws as the adversarial ones do.

    Args:
        seed: of the run; with the batch's number and the rank it fixes every draw of a step.
    """

    def __init__(self, seed: int = 0) -> None:
        super().__init__()
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
