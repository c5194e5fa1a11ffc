"""What AIP-GAN can be asked: the paper's values, and the choices where it is silent (A1..A26)."""

from dataclasses import dataclass, field

from facegan.config import UserError, check, check_ranges
from facegan.faces import EXPRESSIONS
from facegan.nets.vgg_face import PUBLISHED_FILE


@dataclass
class AIPGANConfig:
    """The paper's values; in brackets the section, or the number of the gap that the choice fills."""

    name: str = "aipgan"
    # S = 6 of the attention (3.1); others, as neutral, have no part in L_att (A8)
    expressions: list[str] = field(
        default_factory=lambda: ["anger", "disgust", "fear", "happiness", "sadness", "surprise"]
    )

    # schedule (3.2; epochs: A21)
    # before all: the recognisers of L_if and L_ef that are not given, trained here (A18)
    recogniser_epochs: int = 20
    encoder_epochs: int = 100  # stage 1: L_d, L_att, L_h
    decoder_epochs: int = 50  # stage 2: the encoders rest; L_irec, L_if, L_ef
    epochs: int = 200  # stage 3: everything, with the discriminator
    decay_from: float = 0.5  # share of stage 3 after which the rates fall linearly to 0 (A21)

    # optimisers
    lr: float = 2e-4  # (4.1)
    encoder_share: float = 1.0  # of the rate, for the encoders and their heads (A21)
    lr_recogniser: float = 1e-4
    betas: tuple[float, float] = (0.5, 0.999)  # (A21)
    clip_gradient: float | None = None
    ema_half_life: float = 10_000  # pictures; 0 turns averaging off

    # weights of eq. 2 (3.2)
    w_irec: float = 20.0  # lambda_1
    w_if: float = 10.0  # lambda_2
    w_ef: float = 10.0  # lambda_3
    w_d: float = 5.0  # lambda_4
    w_h: float = 5.0  # lambda_5
    w_att: float = 3.0  # lambda_6; 0: the attention is left to itself (Table 1's ablation, with ceb=concat)
    w_adv: float = 3.0  # lambda_7

    # choices
    # what L_irec compares with: truth: x_s where it is of x_t's person | target: x_t (A19)
    irec_to: str = "truth"
    # of L_if and L_ef: published VGG-Face | trained: its shape, on the data at hand
    recogniser: str = "published"
    identity_weights: str = PUBLISHED_FILE  # of L_if's recogniser
    # of L_ef's (in the paper of AffectNet); None: made from L_if's by training
    expression_weights: str | None = None
    recogniser_size: int = 224  # pixels that pictures are brought to (A17)
    recogniser_width: float = 0.25  # of a trained one: fraction of VGG-Face's channels
    exprgan_scale: bool = False  # L_if, L_ef divided by each map's area, as in ExprGAN's code (A16)

    # networks
    expression_code: int = 30  # e (4.2)
    identity_code: int = 50  # h (4.2)
    widths: tuple[int, ...] = (64, 128, 128, 256, 256, 512, 512)  # the decoder's are these backwards (4.2)
    pool_blocks: int = 5  # that halve the map (A1)
    head: int = 512  # hidden width of the two MLPs (A15)
    merge: str = "sum"  # of scSE: sum | max (A11)
    attention_norm: str = "minmax"  # minmax | sigmoid (A7)
    attention_residual: bool = False  # F * (1 + alpha) (A7)
    ceb: str = "cbp"  # cbp | mcb3: with the decoder's map as third factor | concat: the ablation (A12)
    bilinear: int = 512  # d of the CEB modules (A12)
    critic_width: int = 64  # (A20)
    critic_layers: int = 3  # (A20)
    critic_scales: int = 2  # (A20)

    def __post_init__(self) -> None:
        check("method.irec_to", self.irec_to, ("truth", "target"))
        check("method.recogniser", self.recogniser, ("published", "trained"))
        check("method.merge", self.merge, ("sum", "max"))
        check("method.attention_norm", self.attention_norm, ("minmax", "sigmoid"))
        check("method.ceb", self.ceb, ("cbp", "mcb3", "concat"))
        check("method.lr", self.lr, above=0)
        check("method.lr_recogniser", self.lr_recogniser, above=0)
        if self.clip_gradient is not None:
            check("method.clip_gradient", self.clip_gradient, above=0)
        check_ranges(
            "method", self, **{key: (0, None) for key in vars(self) if key.startswith("w_")},
            recogniser_epochs=(0, None), encoder_epochs=(0, None), decoder_epochs=(0, None), epochs=(0, None),
            decay_from=(0, 1), encoder_share=(0, 1), betas=(0, 0.99999), ema_half_life=(0, None),
            recogniser_size=(32, None), recogniser_width=(0.01, 4), expression_code=(1, None),
            identity_code=(1, None), widths=(1, None), head=(1, None), bilinear=(1, None), critic_width=(1, None),
            critic_layers=(1, None), critic_scales=(1, None),
        )  # fmt: skip
        if self.total_epochs < 1:
            raise UserError("method.epochs and those of the other stages: one of them must be 1 or more")
        check("method.pool_blocks", self.pool_blocks, at_least=1, at_most=len(self.widths))
        for name in self.expressions:
            check("method.expressions", name, EXPRESSIONS)
        if len(self.expressions) < 2 or len(set(self.expressions)) < len(self.expressions):
            raise UserError(f"method.expressions={self.expressions}: name two or more, each once")
        if self.recogniser == "trained" and self.expression_weights is not None:
            raise UserError(
                "method.expression_weights is of published networks, and method.recogniser=trained trains both here: "
                "leave one of them out"
            )
        if self.to_train and self.recogniser_epochs == 0:
            raise UserError(
                f"method.recogniser_epochs=0, and the recogniser of {self.to_train[0]} is to be trained first: give it "
                "some epochs, or weights of its own"
            )

    @property
    def to_train(self) -> list[str]:
        """Losses whose recogniser is trained on the data at hand."""
        here = self.recogniser == "trained"
        identity = ["L_if"] if here and self.w_if > 0 else []
        return identity + (["L_ef"] if self.w_ef > 0 and (here or self.expression_weights is None) else [])

    @property
    def stages(self) -> dict[str, int]:
        """Epochs of each stage, in their order."""
        return {
            "recognisers": self.recogniser_epochs if self.to_train else 0, "encoders": self.encoder_epochs,
            "decoder": self.decoder_epochs, "joint": self.epochs,
        }  # fmt: skip

    @property
    def total_epochs(self) -> int:
        """Epochs of all stages."""
        return sum(self.stages.values())
