"""What all tests share: one thread, a private place for data, runs and judges, and no W&B account."""

import os
from pathlib import Path

import pytest
import torch

torch.set_num_threads(1)
os.environ["WANDB_MODE"] = "offline"
os.environ["WANDB_SILENT"] = "true"


@pytest.fixture(autouse=True)
def homes(tmp_path_factory, monkeypatch, request):
    """Every test's data, runs and judges lie in a folder of its own."""
    home = tmp_path_factory.mktemp("home")
    for name in ("DATA", "RUNS", "JUDGES"):
        monkeypatch.setenv(f"FACEGAN_{name}", str(home / name.lower()))
    return home


def optional_folder(variable: str) -> Path:
    """The folder that a variable names; skips the test with a reason where it is unset."""
    value = os.environ.get(variable)
    if not value:
        pytest.skip(f"{variable} is not set")
    return Path(value)
