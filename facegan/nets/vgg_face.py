"""VGG-Face (Parkhi et al. 2015): the recogniser in AIP-GAN's losses and scores; published weights, or trained here."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from facegan.config import UserError
from facegan.nets.blocks import group_norm
from facegan.precision import full

STAGES = ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3))
"""Channels and convs of VGG16's stages."""

TAPS = ("conv1_2", "conv2_2", "conv3_2", "conv4_2", "conv5_2")
"""Whose outputs ExprGAN's L_id compares, before their ReLU (docs/aipgan.md A16)."""

MEAN = (129.186279296875, 104.76238250732422, 93.59396362304688)
"""Of the published weights: RGB in 0..255."""

PUBLISHED_FILE = "vgg_face_dag.pth"
PUBLISHED_PEOPLE = 2622
_HINT = (
    f"fetch {PUBLISHED_FILE} (VGG-Face as imported into PyTorch by S. Albanie, linked from the VGG group's page), "
    "or set method.recogniser=trained: it learns on the data at hand"
)


class VGGFace(nn.Module):
    """Pictures (B, 3, S, S) in [-1, 1] -> logits of people or of expressions; features by the way.

    Args:
        outputs: number of logits; None: convs alone, for ``taps`` and ``last_maps``.
        size: side that pictures are brought to; 224 in the published network.
        width: fraction of the published channels.
        norm: a GroupNorm after each conv, so that it learns from nothing in little time; the published one has none.
    """

    def __init__(
        self, outputs: int | None = PUBLISHED_PEOPLE, size: int = 224, width: float = 1.0, norm: bool = False
    ) -> None:
        super().__init__()
        if size < 32:
            raise ValueError(f"method.recogniser_size={size}: five poolings need 32 pixels or more")
        self.size = size
        self.convs, self.norms = nn.ModuleDict(), nn.ModuleDict()
        channels = 3
        for stage, (full_width, depth) in enumerate(STAGES, 1):
            out = max(8, int(full_width * width))
            for k in range(1, depth + 1):
                self.convs[f"conv{stage}_{k}"] = nn.Conv2d(channels, out, 3, padding=1)
                self.norms[f"conv{stage}_{k}"] = group_norm(out) if norm else nn.Identity()
                channels = out
        if outputs is not None:
            hidden = max(16, int(4096 * width))
            self.fc6 = nn.Linear(channels * (size >> 5) ** 2, hidden)
            self.fc7 = nn.Linear(hidden, hidden)
            self.fc8 = nn.Linear(hidden, outputs)
        # PyTorch's own smaller weights fade over so many layers, and nothing is learnt for long
        hidden_layers = [*self.convs.values(), *([self.fc6, self.fc7] if outputs is not None else [])]
        for layer in hidden_layers:
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")  # type: ignore[arg-type]
            nn.init.zeros_(layer.bias)  # type: ignore[arg-type]

    def _layers(self, images: Tensor) -> Iterator[tuple[str, Tensor]]:
        """Each conv's name and output, before its ReLU."""
        images = full(images)  # nothing resizes bfloat16 on a CPU
        x = (images + 1) * 127.5 - images.new_tensor(MEAN).view(1, 3, 1, 1)
        if x.shape[-1] != self.size:
            x = F.interpolate(x, (self.size, self.size), mode="bilinear", antialias=True, align_corners=False)
        for name, conv in self.convs.items():
            if name.endswith("_1") and name != "conv1_1":
                x = F.max_pool2d(x, 2)
            x = self.norms[name](conv(x))
            yield name, x
            x = F.relu(x)

    def taps(self, images: Tensor) -> list[Tensor]:
        """The maps of ``TAPS``."""
        maps = []
        for name, x in self._layers(images):
            if name in TAPS:
                maps.append(x)
            if name == TAPS[-1]:
                break
        return maps

    def last_maps(self, images: Tensor) -> Tensor:
        """The output of the last conv layer (B, C, S/16, S/16), after its ReLU."""
        *_, (_, x) = self._layers(images)
        return F.relu(x)

    def embed(self, images: Tensor) -> Tensor:
        """fc7 (B, 4096), after its ReLU: what faces are compared by (docs/aipgan.md A24)."""
        x = F.max_pool2d(self.last_maps(images), 2)
        return F.relu(self.fc7(F.relu(self.fc6(x.flatten(1)))))

    def forward(self, images: Tensor) -> Tensor:
        """Logits (B, outputs)."""
        return self.fc8(self.embed(images))


def check_published(path: str | Path) -> None:
    """Raise UserError unless there is a file of VGG-Face's weights."""
    if not Path(path).is_file():
        raise UserError(f"no VGG-Face weights at {path!s:.200}: {_HINT}")


def load_published(path: str | Path, outputs: int | None = PUBLISHED_PEOPLE, size: int = 224) -> VGGFace:
    """VGG-Face with the published weights.

    Args:
        path: ``vgg_face_dag.pth``.
        outputs: 2622 people as published; None: convs alone; another number: fresh linear layers, to be trained.
        size: side that pictures are brought to; the published linear layers need 224.

    Raises:
        UserError: the file is not there, or holds something else.
    """
    check_published(path)
    net = VGGFace(outputs, size)
    whole = outputs == PUBLISHED_PEOPLE and size == 224
    try:
        saved: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
        state = {f"convs.{key}": value for key, value in saved.items() if key.startswith("conv")}
        own = net.state_dict()
        state |= {key: (saved if whole else own)[key] for key in own if key.startswith("fc")}
        net.load_state_dict(state)
    except Exception as error:
        raise UserError(f"{path} does not hold VGG-Face: {_HINT}") from error
    return net
