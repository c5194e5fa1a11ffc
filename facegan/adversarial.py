"""What all GAN methods share: one optimiser step, the count of batches, draws that do not depend on
history, and the moving average of the networks that inference needs. Each method writes its own step.
"""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import pytorch_lightning as pl
import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

PANELS = ("d", "g_adv", "g_identity", "g_expression", "g_reconstruction")
"""Losses that every method has, as its logs and W&B's panels call them: the discriminator's and the generators'."""


class AdversarialModule(pl.LightningModule):
    """A LightningModule with manual optimisation that counts batches and draws by their number.

    Attributes:
        batches_seen: training batches done since the start of the run, over all resumes: the "iterations"
            of the papers. Lightning's ``global_step`` counts optimiser steps instead.
        seed: of the run; with ``batches_seen`` it fixes every draw inside a step.
        clip_gradient: largest gradient norm of one optimiser's parameters, or None.
        panels: what logs call a loss, where that is not its name in the code: ``PANELS`` are the same over all methods.
    """

    panels: ClassVar[Mapping[str, str]] = {}

    def __init__(self, seed: int = 0, clip_gradient: float | None = None) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.batches_seen = 0
        self.seed = seed
        self.clip_gradient = clip_gradient

    def take_step(self, optimizer: Any, loss: Tensor) -> None:
        """Zero, backward, step. Call it inside ``with self.toggled_optimizer(optimizer)``."""
        optimizer.zero_grad(set_to_none=True)
        self.manual_backward(loss)
        optimizer.step()

    def on_before_optimizer_step(self, optimizer: Optimizer) -> None:
        """Clip here: Lightning calls this after fp16's unscaling, unlike ``clip_gradients``."""
        if self.clip_gradient is not None:
            params = [p for group in optimizer.param_groups for p in group["params"]]
            nn.utils.clip_grad_norm_(params, self.clip_gradient)

    def draws(self, *shape: int, normal: bool = False) -> Tensor:
        """Random numbers (B, *shape) of this batch: uniform in [0, 1), or standard normal.

        They are drawn for the global batch from (seed, batches_seen) and cut to this rank's rows, so that
        a resumed run and any number of ranks see the same ones. Successive calls within one step go on in
        the stream. Needs ``begin_batch``.
        """
        world = self.trainer.world_size
        total = torch.randn if normal else torch.rand
        values = total(self._rows * world, *shape, generator=self._generator)
        return values[self.trainer.global_rank * self._rows :][: self._rows].to(
            self.device, non_blocking=True
        )

    def begin_batch(self, rows: int) -> None:
        """Start the stream of ``draws`` for this batch; ``rows`` is this rank's share of it."""
        # two odd constants spread neighbouring (seed, batch) pairs over the 64 bits of the generator
        mixed = (self.seed * 0x9E3779B97F4A7C15 + self.batches_seen * 0xD1B54A32D192ED03) % 2**63
        self._generator = torch.Generator().manual_seed(mixed)
        self._rows = rows

    def log_losses(self, losses: dict[str, Tensor], rows: int) -> None:
        """Log losses under ``train/`` as means over all ranks, named by ``panels``; no wait for the device."""
        values = torch.stack([value.detach().float() for value in losses.values()])
        if self.trainer.world_size > 1:
            values = self.trainer.strategy.reduce(values, reduce_op="mean")  # type: ignore[assignment]
        means = {f"train/{self.panels.get(key, key)}": v for key, v in zip(losses, values, strict=True)}
        self.log_dict(means, batch_size=rows)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Keep the count of batches, and whom the layers for people know."""
        checkpoint["batches_seen"] = self.batches_seen
        checkpoint["people"] = list(self.trainer.datamodule.identities)  # type: ignore[attr-defined]

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Restore the count of batches, before the data module asks for it."""
        self.batches_seen = int(checkpoint["batches_seen"])


def moving_average(module: nn.Module, half_life_images: float, batch_size: int) -> AveragedModel:
    """An exponential moving average of ``module``, frozen, buffers included.

    Args:
        half_life_images: after so many pictures a weight's old value counts half; the same at every batch size.
        batch_size: pictures of one global batch.
    """
    beta = 0.5 ** (batch_size / max(half_life_images, 1e-8))
    average = AveragedModel(module, multi_avg_fn=get_ema_multi_avg_fn(beta), use_buffers=True)
    return average.requires_grad_(False).eval()


def linear_decay(
    optimizer: Any, lr: float, progress: float, constant: float, shares: Sequence[float] = (1.0,)
) -> None:
    """Set the learning rate: ``lr`` up to ``constant`` of the way, from there linearly down to 0.

    It follows from the config and the count of batches alone, so that a resumed run needs no state of a
    scheduler and obeys another ``lr``.

    Args:
        optimizer: all its parameter groups decay alike.
        lr: the rate at the start.
        progress: share of the stage's batches that are done.
        constant: share of them after which the rate falls, in 0..1.
        shares: of the rate, for each parameter group.
    """
    factor = min(1.0, max(0.0, 1 - progress) / max(1e-8, 1 - constant))
    for group, share in zip(optimizer.param_groups, shares, strict=True):
        group["lr"] = factor * lr * share
