"""What the notebooks are run on: the runs that are there, or, with FACEGAN_NOTEBOOKS=short, demo runs of a few batches.

The short ones are made by the commands that the notebooks name, with less of everything, in a folder that is removed.
"""

import os
import tempfile

import pytest

from facegan.cli import main

FEW = [
    "generate.0.people=8", "generate.0.pictures=4", "generate.1.people=4", "generate.1.pictures=4", "targets=6",
    "method.pretrain_epochs=1", "method.epochs=1", "trainer.threads=1", "trainer.progress=false",
    "log.wandb=disabled", "data.val_fraction=0.2", "data.batch_size=8",
    "judge_options=[generate.0.people=8,generate.0.pictures=4,generate.1.people=2,generate.1.pictures=4,method.epochs=1]",
]  # fmt: skip
FEW_TRANSFERRED = [
    "generate.0.people=10", "method.pretrain_epochs=1", "method.decoder_epochs=1", "method.epochs=1",
    "trainer.threads=1", "trainer.progress=false", "log.wandb=disabled", "judge=null", "evaluate_after=false",
]  # fmt: skip

_home = pytest.StashKey[tempfile.TemporaryDirectory]()


def pytest_configure(config: pytest.Config) -> None:
    """Make the short runs, where they are asked for."""
    if os.environ.get("FACEGAN_NOTEBOOKS") != "short":
        return
    config.stash[_home] = home = tempfile.TemporaryDirectory()
    for name in ("DATA", "RUNS", "JUDGES"):
        os.environ[f"FACEGAN_{name}"] = f"{home.name}/{name.lower()}"
    os.environ |= {"FACEGAN_OVERRIDES": " ".join(FEW), "MPLBACKEND": "agg"}
    for command in (
        ["ablate", "eggan_demo", "--seeds", "1", *FEW],
        ["train", "tergan_demo", *FEW_TRANSFERRED],
    ):
        if main(command) != 0:
            pytest.exit(f"facegan {' '.join(command)} failed", 1)


def pytest_unconfigure(config: pytest.Config) -> None:
    """Remove them."""
    if _home in config.stash:
        config.stash[_home].cleanup()
