"""What all tests share: one thread, a private place for data, runs and judges, and no W&B account."""

import os
from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
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


@pytest.fixture
def with_sound() -> Callable[..., Path]:
    """Writes a film that is heard."""
    return _with_sound


def _with_sound(path: Path, codec: str, seconds: float = 1.0) -> Path:
    """A film with a tone."""
    with av.open(str(path), "w") as container:
        video = container.add_stream("mpeg4", rate=25)
        video.width, video.height, video.pix_fmt = 64, 48, "yuv420p"
        sound = container.add_stream(codec, rate=16000)
        sound.layout = "mono"
        for k in range(int(25 * seconds)):
            frame = av.VideoFrame.from_ndarray(np.full((48, 64, 3), 5 * k, np.uint8), format="rgb24")
            container.mux(video.encode(frame))
        tone = (8000 * np.sin(np.arange(int(16000 * seconds)) * 0.2)).astype(np.int16)
        frame = av.AudioFrame.from_ndarray(tone[None], format="s16", layout="mono")
        frame.sample_rate = 16000
        container.mux(sound.encode(frame))
        container.mux(sound.encode(None))
        container.mux(video.encode(None))
    return path
