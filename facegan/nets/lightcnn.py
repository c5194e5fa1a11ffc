"""LightCNN-29v2, the face recogniser of EGGAN's Table 2 (Wu et al. 2018, arXiv:1511.02683)."""

from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from facegan.config import UserError
from facegan.precision import full

FEATURES = 256
PUBLISHED_FILE = "LightCNN_29Layers_V2_checkpoint.pth.tar"
GREY = (0.299, 0.587, 0.114)  # BT.601, as OpenCV and Pillow turn RGB to grey


class MaxFeatureMap(nn.Module):
    """A convolution of twice the channels, and the larger of its two halves."""

    def __init__(self, inputs: int, outputs: int, kernel: int) -> None:
        super().__init__()
        self.filter = nn.Conv2d(inputs, 2 * outputs, kernel, padding=kernel // 2)

    def forward(self, x: Tensor) -> Tensor:
        """(B, inputs, H, W) -> (B, outputs, H, W)."""
        first, second = self.filter(x).chunk(2, 1)
        return torch.maximum(first, second)


class Group(nn.Module):
    """A 1x1 and a 3x3 maximum feature map."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.conv_a = MaxFeatureMap(inputs, inputs, 1)
        self.conv = MaxFeatureMap(inputs, outputs, 3)

    def forward(self, x: Tensor) -> Tensor:
        """(B, inputs, H, W) -> (B, outputs, H, W)."""
        return self.conv(self.conv_a(x))


class ResBlock(nn.Module):
    """Two 3x3 maximum feature maps beside the identity."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1 = MaxFeatureMap(channels, channels, 3)
        self.conv2 = MaxFeatureMap(channels, channels, 3)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> the same shape."""
        return x + self.conv2(self.conv1(x))


def _pool(x: Tensor) -> Tensor:
    return F.max_pool2d(x, 2) + F.avg_pool2d(x, 2)


class LightCNN29v2(nn.Module):
    """LightCNN-29v2: grey 128x128 faces in [0, 1] -> 256 features; modules named as in the published file.

    Args:
        width: factor on the published widths 48-96-192-128; narrower nets train on a laptop.
    """

    def __init__(self, width: float = 1.0) -> None:
        super().__init__()
        self.width = width
        c48, c96, c192, c128 = (max(4, round(width * c)) for c in (48, 96, 192, 128))
        self.conv1 = MaxFeatureMap(1, c48, 5)
        self.block1 = nn.Sequential(ResBlock(c48))
        self.group1 = Group(c48, c96)
        self.block2 = nn.Sequential(*(ResBlock(c96) for _ in range(2)))
        self.group2 = Group(c96, c192)
        self.block3 = nn.Sequential(*(ResBlock(c192) for _ in range(3)))
        self.group3 = Group(c192, c128)
        self.block4 = nn.Sequential(*(ResBlock(c128) for _ in range(4)))
        self.group4 = Group(c128, c128)
        self.fc = nn.Linear(8 * 8 * c128, FEATURES)

    def forward(self, x: Tensor) -> Tensor:
        """(B, 1, 128, 128) in [0, 1] -> features (B, 256)."""
        return self.both(x)[1]

    def both(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """The last pooled map (B, 128, 8, 8) and the features (B, 256): what ICface's L_I compares (its eq. 3)."""
        x = _pool(self.conv1(x))
        x = _pool(self.group1(self.block1(x)))
        x = _pool(self.group2(self.block2(x)))
        x = _pool(self.group4(self.block4(self.group3(self.block3(x)))))
        return x, self.fc(x.flatten(1))


def to_grey(images: Tensor) -> Tensor:
    """RGB (B, 3, S, S) in [-1, 1] -> the network's input (B, 1, 128, 128) in [0, 1]."""
    images = full(images)  # nothing resizes bfloat16 on a CPU
    weights = images.new_tensor(GREY).view(1, 3, 1, 1)
    grey = ((images + 1) / 2 * weights).sum(1, keepdim=True)
    if grey.shape[-2:] != (128, 128):
        grey = F.interpolate(grey, (128, 128), mode="bilinear", antialias=True, align_corners=False)
    return grey.clamp(0, 1)


def check_published(path: str | Path) -> None:
    """Raise UserError unless there is a file of LightCNN's weights."""
    if not Path(path).is_file():
        raise UserError(
            f"LightCNN-29v2: looked for {path}, which is not there. Its authors link "
            f"{PUBLISHED_FILE} from github.com/AlfredXiangWu/LightCNN; put it in this "
            f"place, or train one on the data at hand: facegan train judge_identity for a judge, "
            f"method.recogniser=trained for a loss"
        )


def load_published(path: Path) -> LightCNN29v2:
    """The network with the weights published by its authors (github.com/AlfredXiangWu/LightCNN).

    Takes ``LightCNN_29Layers_V2_checkpoint.pth.tar`` as it is distributed (saved from DataParallel, with the
    classifier over 80,013 people, which is left out) or a bare state dict. Read with ``weights_only=True``.

    Raises:
        UserError: the file is not there, or holds something else.
    """
    check_published(path)
    saved = torch.load(path, map_location="cpu", weights_only=True)
    state = saved.get("state_dict", saved) if isinstance(saved, dict) else {}
    state = {key.removeprefix("module."): value for key, value in state.items()}
    state = {key: value for key, value in state.items() if not key.startswith("fc2.")}
    net = LightCNN29v2()
    wanted = net.state_dict()
    wrong = sorted(
        key
        for key in wanted.keys() | state.keys()
        if key not in wanted or key not in state or wanted[key].shape != state[key].shape
    )
    if wrong:
        raise UserError(
            f"{path} is not LightCNN-29v2: {len(wrong)} weights are missing, extra or of another shape; "
            f"the first is {wrong[0]!r}. The right file is {PUBLISHED_FILE} "
            f"from github.com/AlfredXiangWu/LightCNN"
        )
    net.load_state_dict(state)
    return net
