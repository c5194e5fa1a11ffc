"""CNNIQA, a judge of picture quality without a reference (Kang et al. 2014); lower is better, as learnt from LIVE."""

from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from facegan.config import UserError

PATCH = 32
_LUMA = (19595, 38470, 7471)  # of 65536: Pillow's own grey


class CNNIQA(nn.Module):
    """Patches (N, 1, 32, 32), normalised locally -> scores (N,)."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(1, 50, 7)
        self.fc1 = nn.Linear(100, 800)
        self.fc2 = nn.Linear(800, 800)
        self.fc3 = nn.Linear(800, 1)

    def forward(self, patches: Tensor) -> Tensor:
        """Scores; dropout is for training, which is not done here."""
        x = self.conv1(patches).flatten(2)
        x = torch.cat([x.amax(2), x.amin(2)], 1)
        return self.fc3(F.relu(self.fc2(F.relu(self.fc1(x)))))[:, 0]

    @torch.no_grad()
    def score(self, images: Tensor) -> Tensor:
        """Scores (B,) of pictures (B, 3, S, S) in [-1, 1]: the mean over their patches (docs/icface.md I13).

        As the published code does it: grey in 8 bits; patches begin strictly before S - 32, so that at a multiple of
        32 the last row and column are left out (9 of 16 at 128 pixels).

        Raises:
            ValueError: a side of 32 pixels or less leaves no patch.
        """
        if min(images.shape[-2:]) <= PATCH:
            raise ValueError(f"CNNIQA needs pictures of more than {PATCH} pixels")
        levels = ((images.clamp(-1, 1) + 1) * 127.5).round().long()
        red, green, blue = levels.unbind(1)
        grey = (red * _LUMA[0] + green * _LUMA[1] + blue * _LUMA[2] + 32768) >> 16
        pixels = grey.float()[:, None] / 255
        height, width = pixels.shape[-2:]
        used = pixels[..., : height - 1, : width - 1]  # unfold then begins no patch at S - 32
        patches = F.unfold(used, PATCH, stride=PATCH).transpose(1, 2).reshape(-1, 1, PATCH, PATCH)
        scores = self(_normalised(patches))
        return scores.view(len(images), -1).mean(1)


def _normalised(patches: Tensor) -> Tensor:
    """Less the mean of 3x3 pixels, by their standard deviation and 1; each patch is mirrored at its own border."""
    # for one pixel, mirrored and repeated are the same
    padded = F.pad(patches, (1, 1, 1, 1), mode="replicate")
    mean = F.avg_pool2d(padded, 3, 1)
    variance = F.avg_pool2d(padded.square(), 3, 1) - mean.square()
    return (patches - mean) / (variance.clamp(min=0).sqrt() + 1)


def load_published(path: str | Path) -> CNNIQA:
    """CNNIQA with its published weights, trained on LIVE, frozen.

    Args:
        path: ``CNNIQA-LIVE`` of github.com/lidq92/CNNIQA.

    Raises:
        UserError: the file is not there, or holds something else.
    """
    path = Path(path)
    hint = "fetch models/CNNIQA-LIVE from github.com/lidq92/CNNIQA"
    if not path.is_file():
        raise UserError(f"no CNNIQA weights at {path!s:.200}: {hint}")
    net = CNNIQA()
    try:
        net.load_state_dict(torch.load(path, map_location="cpu", weights_only=True))
    except Exception as error:
        raise UserError(f"{path} does not hold CNNIQA ({error!s:.200}): {hint}") from error
    return net.eval().requires_grad_(False)
