"""TER-GAN, small enough for tests, and faces that it can learn from."""

import torch
import torch.nn.functional as F

from facegan.faces import EXPRESSIONS
from facegan.methods.tergan import TERGAN
from facegan.methods.tergan_config import TERGANConfig

SMALL = {
    "encoder_widths": (8, 8, 16, 16, 16), "critic_widths": (4, 8, 8, 8), "critic_shared": 32, "epochs": 1,
    "pretrain_epochs": 0, "critic_norm": "group",
}  # fmt: skip
WEIGHTS = [key for key in TERGANConfig.__dataclass_fields__ if key.startswith("w_")]
FAKE = 6
SIX = [EXPRESSIONS.index(name) for name in TERGANConfig().expressions]


def small(**changes) -> TERGANConfig:
    return TERGANConfig(**{**SMALL, **changes})


def batch(n: int = 12, people: int = 3, seed: int = 0) -> dict[str, torch.Tensor]:
    """Half of the pairs of one person; a person is a pattern, an expression a bright place."""
    g = torch.Generator().manual_seed(seed)
    people_look = F.interpolate(torch.rand(people, 3, 4, 4, generator=g), 32, mode="bilinear") * 2 - 1
    pairs = {}
    for side in ("source", "target"):
        expression = torch.arange(n) % 6 if side == "source" else torch.randint(6, (n,), generator=g)
        identity = torch.arange(n) % people
        if side == "target":
            identity = torch.where(torch.arange(n) < n // 2, identity, (identity + 1) % people)
        image = people_look[identity]
        for row, place in enumerate(expression.tolist()):
            image[
                row, :, 8 * (place // 3) + 8 : 8 * (place // 3) + 16, 10 * (place % 3) : 10 * (place % 3) + 8
            ] = 1
        pairs |= {
            f"{side}_image": image, f"{side}_identity": identity,
            f"{side}_expression": torch.tensor(SIX)[expression],
        }  # fmt: skip
    return pairs | {"expression": pairs["source_expression"]}


def build(config: TERGANConfig, people: int = 3) -> TERGAN:
    torch.manual_seed(0)
    return TERGAN(config, size=32, identities=people, batch_size=12)
