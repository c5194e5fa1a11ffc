"""Every method: its config dataclass and its LightningModule."""

from facegan.methods.eggan import EGGAN, EGGANConfig

METHODS = {
    "eggan": (EGGANConfig, EGGAN),
}
