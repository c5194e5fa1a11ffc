"""DeepIQA's weighted full-reference network (Bosse et al. 2018): how far a picture is from another; lower is better."""

from itertools import pairwise
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from facegan.config import UserError

PATCH = 32
WIDTHS = (3, 32, 32, 64, 64, 128, 128, 256, 256, 512, 512)
"""Channels before and after the ten convs, which are pooled after every second one."""


class DeepIQA(nn.Module):
    """Pairs of patches (N, 3, 32, 32) in 0..255 -> their qualities (N,) and weights (N,)."""

    def __init__(self) -> None:
        super().__init__()
        for k, (a, b) in enumerate(pairwise(WIDTHS), 1):
            self.add_module(f"conv{k}", nn.Conv2d(a, b, 3, padding=1))
        self.fc1, self.fc2 = nn.Linear(3 * 512, 512), nn.Linear(512, 1)
        self.fc1_a, self.fc2_a = nn.Linear(3 * 512, 512), nn.Linear(512, 1)

    def _features(self, patches: Tensor) -> Tensor:
        x = patches
        for k in range(1, len(WIDTHS)):
            x = F.relu(self.get_submodule(f"conv{k}")(x))
            if k % 2 == 0:
                x = F.max_pool2d(x, 2)
        return x.flatten(1)

    def forward(self, patches: Tensor, reference: Tensor) -> tuple[Tensor, Tensor]:
        """Qualities and weights; dropout is for training, which is not done here."""
        seen, wanted = self._features(patches), self._features(reference)
        both = torch.cat([seen - wanted, seen, wanted], 1)
        quality = self.fc2(F.relu(self.fc1(both)))[:, 0]
        weight = F.relu(self.fc2_a(F.relu(self.fc1_a(both))))[:, 0] + 1e-6
        return quality, weight

    @torch.no_grad()
    def score(self, images: Tensor, reference: Tensor) -> Tensor:
        """Scores (B,) of pictures beside references, both (B, 3, S, S) in [-1, 1] (ICface 4.1; docs/icface.md I13).

        The weighted mean over patches that do not overlap; what is left of 32 pixels at the right and below is not
        looked at.

        Raises:
            ValueError: a side of less than 32 pixels leaves no patch.
        """
        if min(images.shape[-2:]) < PATCH:
            raise ValueError(f"DeepIQA needs pictures of {PATCH} pixels or more")
        quality, weight = self(_patches(images), _patches(reference))
        quality, weight = quality.view(len(images), -1), weight.view(len(images), -1)
        return (quality * weight).sum(1) / weight.sum(1)


def _patches(images: Tensor) -> Tensor:
    levels = ((images.clamp(-1, 1) + 1) * 127.5).round()
    columns = F.unfold(levels, PATCH, stride=PATCH)
    return columns.transpose(1, 2).reshape(-1, 3, PATCH, PATCH)


def load_published(path: str | Path) -> DeepIQA:
    """DeepIQA with weights published by its authors, as Chainer wrote them in HDF5; frozen.

    Not run here with the real ones; checked against a plain NumPy forward pass on random weights in that form.

    Args:
        path: the weighted full-reference model trained on LIVE, of github.com/dmaniry/deepIQA.

    Raises:
        UserError: the file is not there, or holds something else; h5py is not installed.
    """
    path = Path(path)
    hint = "fetch the weighted full-reference model for LIVE from github.com/dmaniry/deepIQA"
    if not path.is_file():
        raise UserError(f"no DeepIQA weights at {path!s:.200}: {hint}")
    try:
        import h5py
    except ImportError:
        raise UserError("DeepIQA's weights are HDF5, which h5py reads: pip install facegan[iqa]") from None
    net = DeepIQA()
    try:
        with h5py.File(path) as file:
            # Chainer calls a weight W and a bias b
            state = {
                f"{name}.{ours}": torch.from_numpy(file[f"{name}/{theirs}"][:])
                for name in {key.partition(".")[0] for key in net.state_dict()}
                for ours, theirs in (("weight", "W"), ("bias", "b"))
            }
        net.load_state_dict(state)
    except (OSError, KeyError, RuntimeError, TypeError) as error:
        raise UserError(f"{path} does not hold DeepIQA ({error!s:.200}): {hint}") from error
    return net.eval().requires_grad_(False)
