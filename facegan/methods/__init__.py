"""Every method and every judge that is trained: its config dataclass and its LightningModule."""

from facegan.methods.aipgan import AIPGAN
from facegan.methods.aipgan_config import AIPGANConfig
from facegan.methods.eggan import EGGAN
from facegan.methods.eggan_config import EGGANConfig
from facegan.methods.icface import ICface
from facegan.methods.icface_config import ICfaceConfig
from facegan.methods.judge_au import JudgeAU, JudgeAUConfig
from facegan.methods.judge_expression import JudgeExpression, JudgeExpressionConfig
from facegan.methods.judge_identity import JudgeIdentity, JudgeIdentityConfig
from facegan.methods.judge_pose import JudgePose, JudgePoseConfig
from facegan.methods.tergan import TERGAN
from facegan.methods.tergan_config import TERGANConfig

METHODS = {
    "eggan": (EGGANConfig, EGGAN),
    "aipgan": (AIPGANConfig, AIPGAN),
    "icface": (ICfaceConfig, ICface),
    "tergan": (TERGANConfig, TERGAN),
    "judge_au": (JudgeAUConfig, JudgeAU),
    "judge_expression": (JudgeExpressionConfig, JudgeExpression),
    "judge_identity": (JudgeIdentityConfig, JudgeIdentity),
    "judge_pose": (JudgePoseConfig, JudgePose),
}

TITLES = {"eggan": "EGGAN", "aipgan": "AIP-GAN", "icface": "ICface", "tergan": "TER-GAN"}
"""The methods' names as their papers write them."""
