"""What EGGAN can be asked: the paper's values, and the choices where it is silent or contradicts itself (E1..E22)."""

from dataclasses import dataclass

from facegan.config import check, check_ranges
from facegan.losses import GAN_LOSSES


@dataclass
class EGGANConfig:
    """The paper's values; in brackets the section, or the number of the gap that the choice fills."""

    name: str = "eggan"

    # schedule
    epochs: int = 400  # of joint training on RaFD (4.1)
    decay_from: float = 0.5  # share of the epochs after which the rate falls linearly to 0 (4.1)
    pretrain_epochs: int = 16  # of C_id alone (3.3; the number is the released code's)
    pretrain_expression: bool = False  # C_exp too, on real pictures as always: for short trainings
    pretrain_reconstruction: bool = False  # E and G too, by eq. 6 alone: for short trainings
    n_critic: int = 1  # critic steps for each step of E and G (E2)

    # optimisers
    lr: float = 1e-4  # E, G, D_z, D_img (4.1)
    lr_classifier: float = 2e-4  # C_exp (4.1) and C_id
    betas: tuple[float, float] = (0.5, 0.999)  # (E; the released code's)
    betas_classifier: tuple[float, float] = (0.95, 0.999)  # (the released code's)
    clip_gradient: float | None = None
    ema_half_life: float = 10_000  # pictures; 0 turns averaging off

    # weights (4.1)
    w_latent: float = 1.0  # eq. 1, D_z's side
    w_encoder_latent: float = 1.0  # eq. 1, E's side: the released code leaves it out (E6)
    w_image: float = 1.0  # eq. 2
    w_gp: float = 20.0  # eq. 2
    w_au: float = 100.0  # eq. 3
    w_identity: float = 60.0  # eq. 4
    w_perceptual: float = 20.0  # eq. 5
    w_rec: float = 100.0  # eq. 6, the L1 half
    w_msssim: float = 100.0  # eq. 6, the MS-SSIM half

    # choices
    gan: str = "wgan-gp"  # wgan-gp | eq2 | lsgan-gp (E1)
    critic_fakes: str = "edited"  # edited | prior: G(z, u) as in the released code
    constrain: str = "both"  # L_au, L_id on edited and self-reconstructed pictures | edited, as eq. 3-4 (E13)
    adversarial_on: str = "edited"  # edited | both, as in the released code
    rounding: str = "nearest"  # of AU levels: nearest | floor (E3)
    level_weights: str = "none"  # none | balanced: rarer levels of an AU count more (E3)
    view_noise: float = 0.0  # strength of the shift, blur and noise before C_exp, C_id and D_img (E4)
    perceptual: str = "vgg19"  # vgg19 | classifier: the pre-trained C_id (E22)
    perceptual_weights: str = "vgg19-dcbb9e9d.pth"  # torchvision's file
    imagenet_norm: bool = False  # before the perceptual VGG19 (E11)

    # networks
    architecture: str = "paper"  # paper | released (E7)
    latent: int = 512  # (E5)
    encoder_norm: str = "instance"  # instance | layer: keeps skin tone, learns in fewer steps (E9)
    encoder_widths: tuple[int, ...] = (16, 32, 64, 128, 256)  # (4.1)
    latent_critic_widths: tuple[int, ...] = (256, 128, 64, 32, 16)  # then 1 (4.1)
    generator_widths: tuple[int, ...] = (512, 512, 256, 128, 64, 32)  # (E7)
    critic_widths: tuple[int, ...] = (64, 128, 256, 512, 1024, 2048)  # (E8)
    classifier_width: float = 0.5  # of VGG19 (E19)
    classifier_norm: str = "group"  # group | batch (E19)
    classifier_convs: tuple[int, ...] = (2, 2, 4, 4, 4)  # of each stage: VGG19's (3.3)
    classifier_head: str = "average"  # average | flatten: VGG19's own, places count (E19)
    au_scale: float = 1.0  # AUs enter G as raw 0..5 times this (E14)

    def __post_init__(self) -> None:
        check("method.gan", self.gan, GAN_LOSSES)
        check("method.critic_fakes", self.critic_fakes, ("edited", "prior"))
        check("method.constrain", self.constrain, ("both", "edited"))
        check("method.adversarial_on", self.adversarial_on, ("both", "edited"))
        check("method.rounding", self.rounding, ("nearest", "floor"))
        check("method.level_weights", self.level_weights, ("none", "balanced"))
        check("method.perceptual", self.perceptual, ("vgg19", "classifier"))
        check("method.architecture", self.architecture, ("paper", "released"))
        check("method.classifier_norm", self.classifier_norm, ("group", "batch"))
        check("method.classifier_head", self.classifier_head, ("average", "flatten"))
        check("method.encoder_norm", self.encoder_norm, ("instance", "layer"))
        for key in ("lr", "lr_classifier", "au_scale"):
            check(f"method.{key}", getattr(self, key), above=0)
        if self.clip_gradient is not None:
            check("method.clip_gradient", self.clip_gradient, above=0)
        check_ranges(
            "method", self, **{key: (0, None) for key in vars(self) if key.startswith("w_")},
            epochs=(1, None), pretrain_epochs=(0, None), decay_from=(0, 1), n_critic=(1, None), betas=(0, 0.99999),
            betas_classifier=(0, 0.99999), ema_half_life=(0, None), view_noise=(0, 1), latent=(1, None),
            encoder_widths=(1, None), latent_critic_widths=(1, None), generator_widths=(1, None),
            critic_widths=(1, None), classifier_width=(1 / 64, 8), classifier_convs=(1, 16),
        )  # fmt: skip

    @property
    def total_epochs(self) -> int:
        """Epochs of both stages."""
        return self.pretrain_epochs + self.epochs
