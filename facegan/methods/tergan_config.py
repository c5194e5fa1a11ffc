"""What TER-GAN can be asked: the paper's values, and the choices where it is silent or contradicts itself (T1..T21)."""

from dataclasses import dataclass, field

from facegan.config import UserError, check, check_ranges
from facegan.faces import EXPRESSIONS


@dataclass
class TERGANConfig:
    """The paper's values; in brackets the section, or the number of the gap that the choice fills."""

    name: str = "tergan"
    # N_e: six basic ones (3.1.1)
    expressions: list[str] = field(
        default_factory=lambda: ["anger", "disgust", "fear", "happiness", "sadness", "surprise"]
    )

    # schedule
    pretrain_epochs: int = 50  # stage 1: both encoders as classifiers (3.1.4; T19)
    attach: str = "both"  # encoders that stage 1 ends with attaching (3.1.4): both | expression | none (T14)
    # between them: the decoder alone, against codes that collapse (as in AIP-GAN, 3.2)
    decoder_epochs: int = 0
    epochs: int = 100  # stage 2: everything (T19)
    polish_epochs: int = 0  # after it: the decoder alone, without D, which costs people their looks (T21)
    # share of a stage after which its rate falls linearly to 0; the paper has no schedule
    decay_from: float = 1.0

    # optimisers
    lr: float = 2e-4  # (4.1)
    lr_pretrain: float = 2e-4  # of stage 1 (4.1: the same)
    encoder_share: float = 1.0  # of lr, for G_es in stage 2; less keeps what stage 1 taught it
    identity_share: float = 1.0  # of lr, for G_et in stage 2
    betas: tuple[float, float] = (0.5, 0.999)  # (T19)
    clip_gradient: float | None = None
    ema_half_life: float = 10_000  # pictures; 0 turns averaging off

    # weights of eq. 10 (4.1)
    w_if: float = 1.0  # lambda_1, eq. 9
    w_ef: float = 1.0  # lambda_2, eq. 8
    w_irec: float = 1.0  # lambda_3, eq. 6
    w_erec: float = 1.0  # lambda_4, eq. 7
    w_det: float = 0.3  # lambda_5, eq. 5
    w_des: float = 0.3  # lambda_6, eq. 4
    w_adv: float = 0.5  # lambda_7, eq. 3
    polish_weights: tuple[float, ...] = (1.0, 1.0, 1.0, 1.0)  # lambda_1 to lambda_4 of the polish (T21)
    layer_weights: tuple[float, ...] = (0.5, 0.6, 0.7, 0.88, 0.99)  # omega_1l = omega_2l (4.1)

    # choices
    # pairs that eq. 7 holds for: same_identity, where x_s is the truth | all (T11)
    erec_on: str = "same_identity"
    irec_on: str = "all"  # pairs that eq. 6 holds for: all | cross_identity: where x_s is not the truth (T11)
    # "fake" is a class of D^e, as in eq. 1 | separate: a logit of its own (T12)
    fake_head: str = "expression"
    reversal: str = "constant"  # of D_es and D_et: 1 | ramp from 0 to 1 over stage 2 (T9)

    # networks
    expression_code: int = 30  # f(e) (4.1)
    identity_code: int = 50  # f(i) (4.1)
    encoder_widths: tuple[int, ...] = (64, 128, 256, 512, 1024)  # the decoder's are these backwards (4.1)
    encoder_norm: str = "instance"  # instance | layer: keeps skin tone (T3)
    down: str = "avg"  # avg | max | stride (T2)
    tanh_codes: bool = False  # no activation is named; True bounds codes as in ExprGAN (T4)
    critic_widths: tuple[int, ...] = (16, 32, 64, 128)  # (4.1)
    critic_shared: int = 1024  # (4.1)
    critic_norm: str = "batch"  # batch | group (T13)

    def __post_init__(self) -> None:
        check("method.erec_on", self.erec_on, ("same_identity", "all"))
        check("method.irec_on", self.irec_on, ("all", "cross_identity"))
        check("method.fake_head", self.fake_head, ("expression", "separate"))
        check("method.reversal", self.reversal, ("constant", "ramp"))
        check("method.attach", self.attach, ("both", "expression", "none"))
        check("method.down", self.down, ("avg", "max", "stride"))
        check("method.encoder_norm", self.encoder_norm, ("instance", "layer"))
        check("method.critic_norm", self.critic_norm, ("batch", "group"))
        check("method.lr", self.lr, above=0)
        check("method.lr_pretrain", self.lr_pretrain, above=0)
        if self.clip_gradient is not None:
            check("method.clip_gradient", self.clip_gradient, above=0)
        check_ranges(
            "method", self, **{key: (0, None) for key in vars(self) if key.startswith("w_")},
            epochs=(0, None), pretrain_epochs=(0, None), decoder_epochs=(0, None), polish_epochs=(0, None),
            polish_weights=(0, None), decay_from=(0, 1),
            betas=(0, 0.99999), encoder_share=(0, 1), identity_share=(0, 1),
            ema_half_life=(0, None), layer_weights=(0, None),
            expression_code=(1, None), identity_code=(1, None),
            encoder_widths=(1, None), critic_widths=(1, None), critic_shared=(4, None),
        )  # fmt: skip
        if self.total_epochs < 1:
            raise UserError("method.epochs and method.pretrain_epochs: one of them must be 1 or more")
        for name in self.expressions:
            check("method.expressions", name, EXPRESSIONS)
        if len(self.expressions) < 2 or len(set(self.expressions)) < len(self.expressions):
            raise UserError(f"method.expressions={self.expressions}: name two or more, each once")
        if len(self.polish_weights) != 4:
            raise UserError("method.polish_weights: four of them, for eq. 9, 8, 6 and 7")
        if len(self.layer_weights) != len(self.encoder_widths):
            raise UserError("method.layer_weights: one weight for each of method.encoder_widths")

    @property
    def total_epochs(self) -> int:
        """Epochs of all stages."""
        return self.pretrain_epochs + self.decoder_epochs + self.epochs + self.polish_epochs
