"""AIP-GAN, small enough for tests, and faces that it can learn from."""

import torch
import torch.nn.functional as F

from facegan.faces import EXPRESSIONS
from facegan.methods.aipgan import AIPGAN
from facegan.methods.aipgan_config import AIPGANConfig

SMALL = {
    "widths": (8, 8, 8, 8, 8, 8, 8), "pool_blocks": 4, "head": 32, "bilinear": 16, "critic_width": 4,
    "critic_layers": 2, "recogniser": "trained", "recogniser_size": 32, "recogniser_width": 0.02,
    "recogniser_epochs": 1, "encoder_epochs": 1, "decoder_epochs": 1, "epochs": 1, "ema_half_life": 0,
}  # fmt: skip
WEIGHTS = [key for key in AIPGANConfig.__dataclass_fields__ if key.startswith("w_")]
OFF = dict.fromkeys(WEIGHTS, 0.0)
SIX = [EXPRESSIONS.index(name) for name in AIPGANConfig().expressions]


def small(**changes) -> AIPGANConfig:
    return AIPGANConfig(**{**SMALL, **changes})


def at(module: AIPGAN, stage: str) -> AIPGAN:
    """The module with every batch in one stage."""
    module._stage = lambda: (stage, 0.0)
    return module


def batch(n: int = 12, people: int = 3) -> dict[str, torch.Tensor]:
    """Half of the pairs of one person; a person is a pattern of colours, an expression one of stripes, for these
    nets see textures before they see places.
    """
    g = torch.Generator().manual_seed(0)
    look = F.interpolate(torch.rand(people, 3, 4, 4, generator=g), 32, mode="bilinear") * 2 - 1
    y, x = torch.meshgrid(torch.arange(32), torch.arange(32), indexing="ij")
    stripes = torch.stack([
        (along // period % 2 * 2 - 1).float() for along in (x, y, x + y) for period in (1, 4)
    ])  # fmt: skip
    data = {}
    for side in ("source", "target"):
        expression = torch.arange(n) % 6 if side == "source" else torch.randint(6, (n,), generator=g)
        identity = torch.arange(n) % people
        if side == "target":
            identity = torch.where(torch.arange(n) < n // 2, identity, (identity + 1) % people)
        image = look[identity].clone()
        image[:, :, 16:] = 0.3 * image[:, :, 16:] + 0.7 * stripes[expression][:, None, 16:]
        data |= {
            f"{side}_image": image, f"{side}_identity": identity,
            f"{side}_expression": torch.tensor(SIX)[expression],
            f"{side}_landmark_map": (stripes[expression] > 0).float()[:, None],
            f"{side}_identity_map": look[identity],
        }  # fmt: skip
    return data | {"expression": data["source_expression"]}


def build(config: AIPGANConfig) -> AIPGAN:
    torch.manual_seed(0)
    module = AIPGAN(config, size=32, identities=3, batch_size=12)
    module.on_fit_start = lambda: None  # it asks the data module whether its faces have maps
    return module
