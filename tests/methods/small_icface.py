"""ICface, small enough for tests, and frames that it can learn from."""

import torch

from facegan.methods.icface import ICface
from facegan.methods.icface_config import ICfaceConfig

SMALL = {
    "generator_width": 8, "generator_blocks": 1, "critic_width": 8, "recogniser": "trained", "recogniser_width": 1 / 16,
    "recogniser_epochs": 1, "epochs": 1, "dropout": 0.0, "ema_half_life": 0,
}  # fmt: skip
WEIGHTS = [key for key in ICfaceConfig.__dataclass_fields__ if key.startswith("w_")]
OFF = dict.fromkeys(WEIGHTS, 0.0)


def small(**changes) -> ICfaceConfig:
    return ICfaceConfig(**{**SMALL, **changes})


def batch(n: int = 4) -> dict[str, torch.Tensor]:
    """A person is a colour, the yaw a bright column, the first AU a bright row."""
    g = torch.Generator().manual_seed(0)
    looks = torch.rand(3, 3, 1, 1, generator=g) - 0.5
    data: dict[str, torch.Tensor] = {}
    for side in ("source", "target"):
        image = looks[torch.arange(n) % 3].expand(-1, -1, 64, 64).clone()
        pose, au = torch.zeros(n, 3), torch.zeros(n, 17)
        pose[:, 1] = (torch.rand(n, generator=g) - 0.5) * 1.2
        au[:, 0] = torch.rand(n, generator=g) * 5
        for row in range(n):
            column = int(32 + 40 * pose[row, 1])
            image[row, :, :, column - 3 : column + 3] = 1
            image[row, :, int(8 + 8 * au[row, 0]) :][:, :6] = -1
        data |= {
            f"{side}_image": image, f"{side}_pose": pose, f"{side}_au": au, f"{side}_identity": torch.arange(n) % 3,
        }  # fmt: skip
    return data | {"au": data["source_au"]}


def build(config: ICfaceConfig) -> ICface:
    torch.manual_seed(0)
    return ICface(config, size=64, identities=3, batch_size=4)


def joint(module: ICface) -> ICface:
    """Past the recogniser's stage."""
    module.config.recogniser_epochs = 0
    return module
