"""Watching a method's step: a Trainer without a data set, which parts moved, what each loss was."""

from types import SimpleNamespace

import pytorch_lightning as pl
import torch
from torch.utils.data import DataLoader


def run(module, data: dict[str, torch.Tensor], epochs: int, batches: int = 1, **options) -> pl.Trainer:
    """Train on the same batch again and again; ``train`` of the data module has the batch's labels."""
    trainer = pl.Trainer(
        max_epochs=epochs, accelerator="cpu", devices=1, logger=False, enable_checkpointing=False,
        enable_progress_bar=False, enable_model_summary=False, num_sanity_val_steps=0, **options,
    )  # fmt: skip
    held = pl.LightningDataModule()
    labels = {key: value.numpy() for key, value in data.items() if key in ("au", "expression")}
    held.train = SimpleNamespace(**labels)
    held.train_dataloader = lambda: DataLoader([data] * batches, batch_size=None)
    trainer.fit(module, datamodule=held)
    return trainer


def weights(module: torch.nn.Module) -> dict[str, torch.Tensor]:
    return {name: value.detach().clone() for name, value in module.named_parameters()}


def moved(before: dict[str, torch.Tensor], module: torch.nn.Module, depth: int = 1) -> set[str]:
    """First names of the parts whose weights are not what they were."""
    after = dict(module.named_parameters())
    changed = {name for name, value in before.items() if not torch.equal(value, after[name])}
    return {".".join(name.split(".")[:depth]) for name in changed}


def only(module, *kept: int):
    """The module with only the optimisers ``kept`` learning."""
    make = module.configure_optimizers

    def configure():
        optimizers = make()
        for number, optimizer in enumerate(optimizers):
            if number not in kept:  # without gradients Adam does nothing
                optimizer.register_step_pre_hook(lambda o, args, kwargs: o.zero_grad())
        return optimizers

    module.configure_optimizers = configure
    return module


def totals(module) -> tuple[list[float], dict[str, float]]:
    """Fill with what each optimiser is given to minimise, in their order, and with the losses of the last step."""
    given: list[float] = []
    losses: dict[str, float] = {}
    step, log = module.take_step, module.log_losses
    module.take_step = lambda optimizer, loss: given.append(loss.item()) or step(optimizer, loss)
    module.log_losses = lambda found, rows: (
        losses.update({name: value.item() for name, value in found.items()}) or log(found, rows)
    )
    return given, losses


def recorded(module, name: str) -> list[float]:
    """Fills with this loss at each step."""
    seen: list[float] = []
    log = module.log_losses
    module.log_losses = lambda losses, rows: seen.append(losses[name].item()) or log(losses, rows)
    return seen
