"""GANimation (Pumarola et al., ECCV 2018), small: a method in one file.

The generator paints colours C and a mask A, and keeps of the face what the mask does not cover:
I_edited = (1 - A) * C + A * I. A critic scores patches and reads AUs; editing back must give the first picture.
"""

from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from facegan.adversarial import AdversarialModule, moving_average
from facegan.faces import N_AUS
from facegan.losses import critic_loss, generator_loss, gradient_penalty, interpolate
from facegan.nets.blocks import init_normal, instance_norm
from facegan.precision import full


@dataclass
class GANimationConfig:
    """The paper's values, except for widths, which fit a CPU."""

    name: str = "ganimation"
    epochs: int = 30
    lr: float = 1e-4
    n_critic: int = 5  # updates of D for one of G
    width: int = 16  # of G; 64 in the paper
    critic_width: int = 16  # of D; 64 in the paper
    w_gp: float = 10.0
    w_au: float = 4000.0 / 17  # the paper sums over AUs, we take their mean
    w_mask: float = 0.1
    w_smooth: float = 1e-5
    w_cycle: float = 10.0

    @property
    def total_epochs(self) -> int:
        """Epochs of training."""
        return self.epochs


class Generator(nn.Module):
    """Faces (B, 3, S, S) in [-1, 1] and AUs (B, 17) 0..5 -> edited faces, and the mask (B, 1, S, S) in 0..1."""

    def __init__(self, width: int) -> None:
        super().__init__()
        w = width
        self.body = nn.Sequential(
            *_conv(3 + N_AUS, w, 7, 1), *_conv(w, 2 * w, 4, 2), *_conv(2 * w, 4 * w, 4, 2),
            *[_Residual(4 * w) for _ in range(6)],
            nn.Upsample(scale_factor=2), *_conv(4 * w, 2 * w, 5, 1),
            nn.Upsample(scale_factor=2), *_conv(2 * w, w, 5, 1),
        )  # fmt: skip
        self.colour = nn.Conv2d(w, 3, 7, padding=3)
        self.mask = nn.Conv2d(w, 1, 7, padding=3)
        init_normal(self)

    def forward(self, images: Tensor, au: Tensor) -> tuple[Tensor, Tensor]:
        """Edit."""
        planes = (au / 5).to(images.dtype)[:, :, None, None].expand(-1, -1, *images.shape[2:])
        seen = self.body(torch.cat([images, planes], 1))
        mask = self.mask(seen).sigmoid()
        return (1 - mask) * self.colour(seen).tanh() + mask * images, mask


class Critic(nn.Module):
    """Faces (B, 3, S, S) -> scores of patches (B, 1, S/16, S/16), and AUs (B, 17) in 0..1."""

    def __init__(self, width: int, size: int) -> None:
        super().__init__()
        widths = [3, *(width << k for k in range(4))]
        self.body = nn.Sequential(
            *(part for a, b in pairwise(widths) for part in (nn.Conv2d(a, b, 4, 2, 1), nn.LeakyReLU(0.01)))
        )
        self.score = nn.Conv2d(widths[-1], 1, 3, padding=1)
        self.au = nn.Conv2d(widths[-1], N_AUS, size // 16)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Judge."""
        seen = self.body(images)
        return self.score(seen), self.au(seen).flatten(1)


class GANimation(AdversarialModule):
    """Edit a face: picture (B, 3, S, S) in [-1, 1] and AUs (B, 17) 0..5 -> picture."""

    monitor = ("val/au_pcc_judge", "val/geometry_pcc")

    def __init__(
        self,
        config: GANimationConfig | dict[str, Any],
        size: int,
        identities: int = 1,
        batch_size: int = 16,
        seed: int = 0,
    ) -> None:
        config = GANimationConfig(**config) if isinstance(config, dict) else config
        super().__init__(seed)
        self.save_hyperparameters({
            "config": asdict(config), "size": size, "identities": identities, "batch_size": batch_size, "seed": seed,
        })  # fmt: skip
        self.config = config
        self.G, self.D = Generator(config.width), Critic(config.critic_width, size)
        self.G_ema = moving_average(self.G, 10_000, batch_size)
        self.to(memory_format=torch.channels_last)

    @classmethod
    def for_use(cls, parameters: dict[str, Any]) -> "GANimation":
        """The module of a checkpoint's hyper-parameters."""
        return cls(**parameters)

    def edit(self, images: Tensor, au: Tensor) -> Tensor:
        """What makes this a method that edits: `facegan edit`, `evaluate` and `demo` ask for no more."""
        return self.G_ema(images.to(self.dtype), au)[0]

    def training_step(self, batch: dict[str, Tensor], batch_idx: int) -> None:
        """One update of D, and every n_critic-th time one of G (4.1 of the paper)."""
        c, (opt_g, opt_d) = self.config, self.optimizers()  # type: ignore[misc]
        real, au, target_au = batch["image"], batch["au"], batch["target_au"]
        self.begin_batch(len(real))
        update_g = self.batches_seen % c.n_critic == 0
        with torch.set_grad_enabled(update_g):
            edited, mask = self.G(real, target_au)

        with self.toggled_optimizer(opt_d):
            (score_real, au_real), (score_fake, _) = self.D(real), self.D(edited.detach())
            d = critic_loss("wgan-gp", score_real, score_fake)
            d_au = F.mse_loss(full(au_real), au / 5)
            gp = gradient_penalty(lambda x: self.D(x)[0], interpolate(real, edited, self.draws()))
            self.take_step(opt_d, d + c.w_gp * gp + c.w_au * d_au)
        losses = {"d": d, "d_au": d_au, "gp": gp}

        if update_g:
            with self.toggled_optimizer(opt_g):
                score, au_seen = self.D(edited)
                back, back_mask = self.G(edited, au)
                # all mask and no paint would be the easy way out
                masks = full(1 - torch.cat([mask, back_mask]))
                g = {
                    "g_image": generator_loss("wgan-gp", score),
                    "g_au": F.mse_loss(full(au_seen), target_au / 5),
                    "g_cycle": F.l1_loss(back, real),
                    "g_mask": masks.square().mean(),
                    "g_smooth": masks.diff(dim=2).square().sum() + masks.diff(dim=3).square().sum(),
                }
                weights = (1.0, c.w_au, c.w_cycle, c.w_mask, c.w_smooth)
                self.take_step(opt_g, sum(w * loss for w, loss in zip(weights, g.values(), strict=True)))  # type: ignore[arg-type]
            self.G_ema.update_parameters(self.G)
            losses |= g
        self.batches_seen += 1
        self.log_losses(losses, len(real))

    def validation_step(self, batch: dict[str, Tensor], batch_idx: int) -> None:
        """The judges' opinion of edits is logged beside, for every method that edits."""
        back = self.edit(self.edit(batch["image"], batch["target_au"]), batch["au"])
        self.log("val/cycle_l1", F.l1_loss(back, batch["image"]), batch_size=len(back), sync_dist=True)

    def configure_optimizers(self) -> list[torch.optim.Optimizer]:
        """Adam for G and for D."""
        return [
            torch.optim.Adam(part.parameters(), self.config.lr, (0.5, 0.999)) for part in (self.G, self.D)
        ]


def _conv(a: int, b: int, kernel: int, stride: int) -> list[nn.Module]:
    return [nn.Conv2d(a, b, kernel, stride, (kernel - 1) // 2), instance_norm(b), nn.ReLU()]


class _Residual(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            *_conv(width, width, 3, 1), nn.Conv2d(width, width, 3, padding=1), instance_norm(width)
        )

    def forward(self, x: Tensor) -> Tensor:
        return x + self.layers(x)
