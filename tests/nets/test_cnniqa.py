"""Against the published procedure, written out with Pillow and SciPy."""

import os
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.signal import convolve2d

from facegan.config import UserError
from facegan.nets.cnniqa import CNNIQA, load_published


def by_hand(net: CNNIQA, picture: np.ndarray) -> float:
    """The score of RGB (H, W, 3) uint8, patch by patch."""
    grey = np.asarray(Image.fromarray(picture).convert("L"), np.float64) / 255
    weights = {key: value.double().numpy() for key, value in net.state_dict().items()}
    box, scores = np.ones((3, 3)) / 9, []
    for top in range(0, grey.shape[0] - 32, 32):
        for left in range(0, grey.shape[1] - 32, 32):
            patch = grey[top : top + 32, left : left + 32]
            mean = convolve2d(patch, box, mode="same", boundary="symm")
            square = convolve2d(patch**2, box, mode="same", boundary="symm")
            patch = (patch - mean) / (np.sqrt(np.maximum(square - mean**2, 0)) + 1)
            maps = [
                convolve2d(patch, kernel[0, ::-1, ::-1], mode="valid") + bias
                for kernel, bias in zip(weights["conv1.weight"], weights["conv1.bias"], strict=True)
            ]
            x = np.array([m.max() for m in maps] + [m.min() for m in maps])
            for layer in ("fc1", "fc2"):
                x = np.maximum(weights[f"{layer}.weight"] @ x + weights[f"{layer}.bias"], 0)
            scores.append((weights["fc3.weight"] @ x + weights["fc3.bias"]).item())
    return float(np.mean(scores))


def pictures(size: int = 96) -> np.ndarray:
    rng = np.random.default_rng(0)
    smooth = np.cumsum(rng.normal(0, 4, (2, size, size, 3)), 2) + 128
    return smooth.clip(0, 255).astype(np.uint8)


def as_tensor(images: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(images).permute(0, 3, 1, 2).float() / 127.5 - 1


@pytest.mark.parametrize("size", [96, 100])
def test_scores_are_those_of_the_published_procedure(size):
    torch.manual_seed(0)
    net, images = CNNIQA(), pictures(size)
    for found, image in zip(net.score(as_tensor(images)).tolist(), images, strict=True):
        assert found == pytest.approx(by_hand(net, image), abs=1e-4)


def test_with_the_published_weights_to_a_hundredth():
    home = os.environ.get("FACEGAN_REAL_DATA")
    path = Path(home or ".").parent / "weights" / "CNNIQA-LIVE"
    if not home or not path.is_file():
        pytest.skip("FACEGAN_REAL_DATA is not set, or has no weights beside it")
    net, images = load_published(path), pictures(128)
    for found, image in zip(net.score(as_tensor(images)).tolist(), images, strict=True):
        assert found == pytest.approx(by_hand(net, image), abs=0.01)
    noisy = as_tensor(images) + 0.5 * torch.randn(2, 3, 128, 128, generator=torch.Generator().manual_seed(0))
    assert (net.score(noisy) != net.score(as_tensor(images))).all()


def test_what_cannot_be_judged_is_named(tmp_path):
    with pytest.raises(ValueError, match="more than 32"):
        CNNIQA().score(torch.zeros(1, 3, 32, 32))
    with pytest.raises(UserError, match="no CNNIQA weights"):
        load_published(tmp_path / "none")
    torch.save({}, tmp_path / "CNNIQA-LIVE")
    with pytest.raises(UserError, match="does not hold CNNIQA"):
        load_published(tmp_path / "CNNIQA-LIVE")
