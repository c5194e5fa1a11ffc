"""What ICface can be asked: the paper's values, the released ones where it is silent, and the choices (I1..I18)."""

from dataclasses import dataclass
from typing import Any

from facegan.config import UserError, check, check_ranges
from facegan.nets.lightcnn import PUBLISHED_FILE


@dataclass
class ICfaceConfig:
    """The paper's values; in brackets the section, or the number of the gap that the choice fills."""

    name: str = "icface"

    # schedule
    recogniser_epochs: int = 0  # before all: LightCNN, where it is trained on the data at hand
    supervised_epochs: int = 0  # then: G_A and C_2 by what needs no adversary; not in the paper (I17)
    # of joint training; trainer.max_batches=200000 is what the released rates were made for (I12)
    epochs: int = 100
    step_at: int = 150_000  # batches after which the rate is a tenth (I12)

    # optimisers, as in what the authors left (I12)
    optimizer: str = "rmsprop"  # rmsprop: as left | adam: whose first steps are no longer than the later ones
    lr: float = 2e-4  # of both generators
    lr_critic: float = 2e-4
    alpha: float = 0.99  # of RMSprop
    betas: tuple[float, float] = (0.5, 0.999)  # of Adam
    lr_recogniser: float = 1e-3
    clip_gradient: float | None = None
    ema_half_life: float = 10_000  # pictures; 0 turns averaging off

    # weights of eq. 5, which the paper does not give (I5)
    w_fa: float = 10.0  # lambda_1, of eq. 2: a sum over the 20 attributes
    w_identity: float = 1.0  # lambda_2, of eq. 3: means of two features
    w_reconstruction: float = 10.0  # lambda_3, of eq. 4: means over the picture
    w_direct: float = 0.0  # of eq. 4's first term on the source itself; not in the paper (I17)
    w_r1: float = 0.0  # squared gradient of C_1 on real pictures; 0.05 in the released leftovers (I4)

    # choices
    update: str = "joint"  # joint: both generators at once (eq. 5) | alternating: G_A, then G_N (I8)
    neutralizer: bool = True  # false: G_A works on the source itself (Table 2's ablation)
    # G_A in eq. 4's second term sees: source, as written | neutral: the leftovers (I7)
    pseudo_truth: str = "source"
    # whose features G_A's picture is to have in eq. 3: source, as written | driver: the frame itself (I18)
    identity_of: str = "source"
    # radians that become 0 and 1, from -range to range; written as one number, or as pitch's, yaw's and roll's (I9)
    pose_range: Any = 0.70
    recogniser: str = "published"  # LightCNN of eq. 3: published | trained, on the data at hand
    identity_weights: str = PUBLISHED_FILE  # of the published one
    recogniser_width: float = 0.25  # of a trained one: fraction of LightCNN's channels

    # networks
    generator_width: int = 128  # ngf (I1)
    generator_blocks: int = 6  # (I1)
    generator_norm: str = "batch"  # batch | instance, for fewer than 8 pictures a device (I2)
    dropout: float = 0.5  # in the residual blocks, as released
    critic: str = "patch"  # patch: the text's | released (I3)
    critic_width: int = 64  # (I3)

    def __post_init__(self) -> None:
        check("method.update", self.update, ("joint", "alternating"))
        check("method.pseudo_truth", self.pseudo_truth, ("source", "neutral"))
        check("method.identity_of", self.identity_of, ("source", "driver"))
        check("method.recogniser", self.recogniser, ("published", "trained"))
        check("method.optimizer", self.optimizer, ("rmsprop", "adam"))
        check("method.generator_norm", self.generator_norm, ("batch", "instance"))
        check("method.critic", self.critic, ("patch", "released"))
        check("method.lr", self.lr, above=0)
        check("method.lr_critic", self.lr_critic, above=0)
        check("method.lr_recogniser", self.lr_recogniser, above=0)
        self.pose_range = self._each_angle(self.pose_range)
        if self.clip_gradient is not None:
            check("method.clip_gradient", self.clip_gradient, above=0)
        check_ranges(
            "method", self, **{key: (0, None) for key in vars(self) if key.startswith("w_")},
            recogniser_epochs=(0, None), supervised_epochs=(0, None), epochs=(0, None), step_at=(0, None),
            alpha=(0, 0.99999), betas=(0, 0.99999),
            ema_half_life=(0, None), recogniser_width=(1 / 16, 4), generator_width=(1, None),
            generator_blocks=(1, None), dropout=(0, 0.99), critic_width=(2, None),
        )  # fmt: skip
        if self.total_epochs < 1:
            raise UserError("method.epochs and those of the other stages: one of them must be 1 or more")
        if self.recogniser == "trained" and self.w_identity > 0 and self.recogniser_epochs == 0:
            raise UserError("method.recogniser=trained: give it some epochs first (method.recogniser_epochs)")

    @staticmethod
    def _each_angle(given: Any) -> list[float]:
        angles = given if isinstance(given, list | tuple) else [given] * 3
        if len(angles) != 3 or not all(type(angle) in (int, float) for angle in angles):
            raise UserError(
                f"method.pose_range={given}: write one number of radians, or three, for pitch, yaw and roll, as in "
                "[0.45,0.7,0.25]"
            )
        for angle in angles:
            check("method.pose_range", angle, above=0)
        return [float(angle) for angle in angles]

    @property
    def stages(self) -> dict[str, int]:
        """Epochs of each stage, in their order."""
        first = self.recogniser_epochs if self.recogniser == "trained" and self.w_identity > 0 else 0
        return {"recogniser": first, "supervised": self.supervised_epochs, "joint": self.epochs}

    @property
    def total_epochs(self) -> int:
        """Epochs of all stages."""
        return sum(self.stages.values())
