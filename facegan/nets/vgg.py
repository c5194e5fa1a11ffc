"""VGG19-shaped networks: EGGAN's classifiers, and the published VGG19 for perceptual losses."""

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from facegan.config import UserError
from facegan.nets.blocks import group_norm

VGG19_WIDTHS = (64, 128, 256, 512, 512)  # of the five stages
VGG19_FILE = "vgg19-dcbb9e9d.pth"


class VGGClassifier(nn.Module):
    """VGG19 conv trunk at a fraction of its width and, for small pictures, of its depth; one linear layer.

    EGGAN 3.3 (C_exp and C_id, "inspired by VGG19"); width 0.5, GroupNorm and average pooling are ours
    (docs/eggan.md E19).

    Args:
        outputs: number of logits.
        width: fraction of VGG19's channels, each stage at least 8.
        norm: "group" (equal under DDP) or "batch".
        convs: convolutions of each stage; VGG19 has 2, 2, 4, 4, 4.
        flatten: side of the pictures whose last map goes whole into the linear layer, as in VGG19, so that
            places count; None averages the map, which suits any size.
    """

    def __init__(
        self,
        outputs: int,
        width: float = 0.5,
        norm: str = "group",
        convs: Sequence[int] = (2, 2, 4, 4, 4),
        flatten: int | None = None,
    ) -> None:
        super().__init__()
        channels, stages = 3, []
        for full, depth in zip(VGG19_WIDTHS, convs, strict=False):
            out, layers = max(8, int(full * width)), []
            for _ in range(depth):
                layers += [
                    nn.Conv2d(channels, out, 3, padding=1, bias=False),
                    nn.BatchNorm2d(out) if norm == "batch" else group_norm(out),
                    nn.ReLU(inplace=True),
                ]
                channels = out
            stages.append(nn.Sequential(*layers))
        self.stages = nn.ModuleList(stages)
        self.flatten = flatten is not None
        places = (flatten >> (len(stages) - 1)) ** 2 if flatten is not None else 1
        self.head = nn.Linear(channels * places, outputs)
        for part in self.modules():
            if isinstance(part, nn.Conv2d):
                nn.init.kaiming_normal_(part.weight, nonlinearity="relu")

    def forward(self, images: Tensor) -> Tensor:
        """Logits (B, outputs) of pictures (B, 3, S, S) in [-1, 1]."""
        x = images
        for i, stage in enumerate(self.stages):
            x = stage(F.max_pool2d(x, 2) if i else x)
        return self.head(x.flatten(1) if self.flatten else x.mean((2, 3)))

    def perceptual_features(self, images: Tensor) -> Tensor:
        """The third stage's first activation (B, C, S/4, S/4), in VGG19's place of relu3_1 (docs/eggan.md E22)."""
        x = self.stages[1](F.max_pool2d(self.stages[0](images), 2))
        first_conv: Sequence[nn.Module] = list(self.stages[2])[:3]  # type: ignore[call-overload]
        x = F.max_pool2d(x, 2)
        for layer in first_conv:
            x = layer(x)
        return x


class VGG19Features(nn.Module):
    """The published VGG19 up to relu3_1, frozen (EGGAN eq. 5: "the third layer"; docs/eggan.md E11).

    Args:
        weights: torchvision's ``vgg19-dcbb9e9d.pth``.
        imagenet_norm: map [-1, 1] to ImageNet's mean and deviation first; the authors' code does not.

    Raises:
        UserError: the file is not there, or holds something else.
    """

    def __init__(self, weights: str | Path, imagenet_norm: bool = False) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        channels = 3
        for width, convs in ((64, 2), (128, 2), (256, 1)):
            for _ in range(convs):
                layers += [nn.Conv2d(channels, width, 3, padding=1), nn.ReLU(inplace=True)]
                channels = width
            layers.append(nn.MaxPool2d(2))
        self.features = nn.Sequential(*layers[:-1])
        self.imagenet_norm = imagenet_norm
        self.features.load_state_dict(_published_vgg19(Path(weights), self.features))
        self.eval().requires_grad_(False)

    def perceptual_features(self, images: Tensor) -> Tensor:
        """relu3_1 (B, 256, S/4, S/4) of pictures (B, 3, S, S) in [-1, 1]."""
        if self.imagenet_norm:
            mean = images.new_tensor([0.485, 0.456, 0.406]).view(1, 3, 1, 1)
            std = images.new_tensor([0.229, 0.224, 0.225]).view(1, 3, 1, 1)
            images = ((images + 1) / 2 - mean) / std
        return self.features(images)


_HINT = (
    f"fetch {VGG19_FILE} from torchvision's model page and set method.perceptual_weights=PATH, "
    "or use method.perceptual=classifier (the pre-trained C_id)"
)


def check_vgg19(path: str | Path) -> None:
    """Raise UserError unless there is a file of VGG19's weights."""
    if not Path(path).is_file():
        raise UserError(f"no VGG19 weights at {path!s:.200}: {_HINT}")


def _published_vgg19(path: Path, features: nn.Sequential) -> dict[str, Tensor]:
    check_vgg19(path)
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
        return {key: state[f"features.{key}"] for key in features.state_dict()}
    except Exception as error:
        raise UserError(f"{path} does not hold torchvision's VGG19 ({error!s:.200}): {_HINT}") from error
