"""Against a plain NumPy and SciPy forward pass, on random weights in Chainer's file form."""

from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
from scipy.signal import correlate2d

from facegan.config import UserError
from facegan.nets.deepiqa import WIDTHS, DeepIQA, load_published


@pytest.fixture(scope="module")
def weights(tmp_path_factory) -> Path:
    rng = np.random.default_rng(0)
    path = tmp_path_factory.mktemp("deepiqa") / "fr_live_weighted.model"
    with h5py.File(path, "w") as file:
        shapes = {f"conv{k}": (WIDTHS[k], WIDTHS[k - 1], 3, 3) for k in range(1, 11)}
        shapes |= {"fc1": (512, 1536), "fc2": (1, 512), "fc1_a": (512, 1536), "fc2_a": (1, 512)}
        for name, shape in shapes.items():
            fan = np.prod(shape[1:])
            file[f"{name}/W"] = rng.normal(0, (2 / fan) ** 0.5, shape).astype(np.float32)
            file[f"{name}/b"] = rng.normal(0, 0.1, shape[0]).astype(np.float32)
    return path


def features(patch: np.ndarray, file: h5py.File) -> np.ndarray:
    """512 numbers of one patch (3, 32, 32) in 0..255."""
    x = patch.astype(np.float64)
    for k in range(1, 11):
        kernel, bias = file[f"conv{k}/W"][:], file[f"conv{k}/b"][:]
        x = np.stack([
            sum(correlate2d(x[c], kernel[o, c], mode="same") for c in range(len(x))) + bias[o]
            for o in range(len(kernel))
        ])  # fmt: skip
        x = np.maximum(x, 0)
        if k % 2 == 0:
            x = x.reshape(len(x), x.shape[1] // 2, 2, x.shape[2] // 2, 2).max((2, 4))
    return x.ravel()


def test_one_patch_by_hand(weights):
    rng = np.random.default_rng(1)
    picture, reference = rng.integers(0, 256, (2, 3, 32, 32)).astype(np.float64)
    with h5py.File(weights) as file:
        seen, wanted = features(picture, file), features(reference, file)
        both = np.concatenate([seen - wanted, seen, wanted])

        def head(first: str, second: str) -> float:
            hidden = np.maximum(file[f"{first}/W"][:] @ both + file[f"{first}/b"][:], 0)
            return (file[f"{second}/W"][:] @ hidden + file[f"{second}/b"][:]).item()

        quality, weight = head("fc1", "fc2"), max(head("fc1_a", "fc2_a"), 0) + 1e-6
    net = load_published(weights)
    a, b = (torch.from_numpy(x).float()[None] / 127.5 - 1 for x in (picture, reference))
    found = net(((a + 1) * 127.5).round(), ((b + 1) * 127.5).round())
    assert found[0].item() == pytest.approx(quality, rel=1e-3)
    assert found[1].item() == pytest.approx(weight, rel=1e-3)
    assert net.score(a, b).item() == pytest.approx(quality, rel=1e-3)


def test_a_picture_s_score_is_the_weighted_mean_of_its_patches(weights):
    net = load_published(weights)
    g = torch.Generator().manual_seed(0)
    a, b = (torch.rand(1, 3, 70, 64, generator=g) * 2 - 1 for _ in range(2))
    scores = []
    for top in (0, 32):
        for left in (0, 32):
            part = (slice(None), slice(None), slice(top, top + 32), slice(left, left + 32))
            levels = (((x[part] + 1) * 127.5).round() for x in (a, b))
            scores.append(net(*levels))
    quality, weight = (torch.cat(values) for values in zip(*scores, strict=True))
    assert net.score(a, b).item() == pytest.approx(((quality * weight).sum() / weight.sum()).item(), rel=1e-4)


def test_what_cannot_be_judged_is_named(tmp_path):
    with pytest.raises(ValueError, match="32 pixels or more"):
        DeepIQA().score(torch.zeros(1, 3, 16, 16), torch.zeros(1, 3, 16, 16))
    with pytest.raises(UserError, match="no DeepIQA weights"):
        load_published(tmp_path / "none")
    (tmp_path / "text").write_text("not HDF5")
    with pytest.raises(UserError, match="does not hold DeepIQA"):
        load_published(tmp_path / "text")
    with h5py.File(tmp_path / "empty", "w") as file:
        file["conv1/W"] = np.zeros(3)
    with pytest.raises(UserError, match="does not hold DeepIQA"):
        load_published(tmp_path / "empty")
