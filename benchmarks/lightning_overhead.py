"""What wrapping EGGAN's step in Lightning costs, against a bare loop of the same networks and optimisers.

    python benchmarks/lightning_overhead.py [--batches 20] [--size 64] [--repeats 9]

Both run the very same ``adversarial_step`` on the same batch. Lightning's is the Trainer that ``facegan train``
builds, with its CSV log, progress bar and callbacks (W&B off, and too short for a checkpoint or a grid); the bare
loop has none of it. Cores are not equally fast from minute to minute, so each short run of one is compared with
that of the other right beside it (which goes first changes), and the median of these ratios counts: the bar is 1.05.
"""

import argparse
import statistics
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from types import SimpleNamespace
from typing import Any

import pytorch_lightning as pl
import torch
from torch.utils.data import DataLoader

from facegan.experiment import build_trainer
from facegan.experiment_config import load_config
from facegan.methods.eggan import EGGAN
from facegan.methods.eggan_config import EGGANConfig
from facegan.runs import Run

CONFIG = {
    "perceptual": "classifier", "pretrain_epochs": 1, "encoder_widths": (32, 64, 128, 256),
    "generator_widths": (128, 128, 64, 32, 16), "critic_widths": (32, 64, 128, 256, 512), "classifier_width": 0.125,
}  # fmt: skip


def build(size: int) -> EGGAN:
    torch.manual_seed(0)
    module = EGGAN(EGGANConfig(**CONFIG), size, identities=50, batch_size=16)  # type: ignore[arg-type]
    module.config.pretrain_epochs = 0
    return module


def lightning(module: EGGAN, batch: dict[str, torch.Tensor], batches: int) -> float:
    """Seconds of the training loop, from its first batch's start to its last one's end."""
    times: list[float] = []

    class Clock(pl.Callback):
        def on_train_batch_start(self, *args: Any) -> None:
            times.append(time.perf_counter())

        def on_train_epoch_end(self, *args: Any) -> None:
            times.append(time.perf_counter())

    data = pl.LightningDataModule()
    data.train = SimpleNamespace(au=batch["au"].numpy())  # type: ignore[attr-defined]
    data.train_dataloader = lambda: DataLoader([batch] * batches, batch_size=None)  # type: ignore[method-assign, arg-type]
    config = load_config("eggan_demo", ["log.wandb=disabled", "trainer.max_epochs=1"])
    with TemporaryDirectory() as folder:
        trainer = build_trainer(config, Run(Path(folder)), module)
        trainer.callbacks.append(Clock())  # type: ignore[attr-defined]
        trainer.fit(module, datamodule=data)
    return times[-1] - times[0]


def bare(module: EGGAN, batch: dict[str, torch.Tensor], batches: int) -> float:
    """Seconds of the same steps without Lightning."""
    optimizers = module.configure_optimizers()
    everything = [p for o in optimizers for group in o.param_groups for p in group["params"]]

    @contextmanager
    def toggled(optimizer: torch.optim.Optimizer) -> Iterator[None]:
        mine = {id(p) for group in optimizer.param_groups for p in group["params"]}
        for p in everything:
            p.requires_grad_(id(p) in mine)
        yield
        for p in everything:
            p.requires_grad_(True)

    replaced: dict[str, Any] = {
        "optimizers": lambda: optimizers,
        "toggled_optimizer": toggled,
        "manual_backward": lambda loss: loss.backward(),
    }
    for name, function in replaced.items():
        object.__setattr__(module, name, function)
    object.__setattr__(module, "_trainer", SimpleNamespace(world_size=1, global_rank=0))
    start = time.perf_counter()
    for _ in range(batches):
        module.begin_batch(len(batch["image"]))
        module.adversarial_step(batch)
        module.batches_seen += 1
    return time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--batches", type=int, default=20)
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument("--repeats", type=int, default=9)
    args = parser.parse_args()
    g = torch.Generator().manual_seed(0)
    au = torch.rand(16, 17, generator=g) * 5
    batch = {
        "image": torch.rand(16, 3, args.size, args.size, generator=g) * 2 - 1, "au": au, "target_au": au.flip(0),
        "identity": torch.arange(16),
    }  # fmt: skip
    bare(build(args.size), batch, 3)
    runs = {bare: list[float](), lightning: list[float]()}
    for repeat in range(args.repeats):
        for run in (bare, lightning) if repeat % 2 else (lightning, bare):
            runs[run].append(run(build(args.size), batch, args.batches))
    rates = {run: 16 * args.batches / statistics.median(seconds) for run, seconds in runs.items()}
    ratios = sorted(a / b for a, b in zip(runs[lightning], runs[bare], strict=True))
    print(
        f"bare loop {rates[bare]:7.1f} pictures/s\nLightning {rates[lightning]:7.1f} pictures/s\n"
        f"ratio {statistics.median(ratios):.3f} (bar: 1.05), of pairs of runs {ratios[0]:.3f} to {ratios[-1]:.3f}"
    )


if __name__ == "__main__":
    main()
