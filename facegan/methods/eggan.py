"""EGGAN: edit a face to a continuous vector of action units (Tang, Shao, Ma, ICME 2020).

Where the paper is silent or contradicts itself the choice and its reason stand beside the option; E1..E22
number them. The preset ``released`` (``experiments/eggan_rafd_released.yaml``) sets what the authors' later
code does instead.
"""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from facegan.adversarial import AdversarialModule, linear_decay, moving_average
from facegan.config import UserError
from facegan.faces import AU_NAMES, N_AUS
from facegan.losses import (
    au_expectation,
    au_levels,
    au_loss,
    critic_loss,
    generator_loss,
    gradient_penalty,
    interpolate,
    ms_ssim,
)
from facegan.methods.eggan_config import EGGANConfig
from facegan.metrics import Agreement
from facegan.nets import eggan as nets
from facegan.nets.vgg import VGG19Features, VGGClassifier
from facegan.precision import full

N_LEVELS = 6  # m + 1 with m = 5 (3.3)


class Editor(nn.Module):
    """E and G together: all that editing needs, and what the moving average covers."""

    def __init__(self, E: nn.Module, G: nn.Module) -> None:
        super().__init__()
        self.E, self.G = E, G

    def forward(self, images: Tensor, au: Tensor) -> Tensor:
        """Edit pictures (B, 3, S, S) in [-1, 1] to AUs (B, 17) 0..5."""
        return self.G(self.E(images), au)


class EGGAN(AdversarialModule):
    """Edit a face: picture (B, 3, S, S) in [-1, 1] and AUs (B, 17) 0..5 -> picture.

    Args:
        config: an ``EGGANConfig`` or the dict of one (as a checkpoint holds it).
        size: S, a power of two.
        identities: people in training; with one, L_id (and a perceptual loss through C_id) is off.
        batch_size: of the global batch, for the moving average.
        seed: of the run.
    """

    def __init__(
        self,
        config: EGGANConfig | dict[str, Any],
        size: int,
        identities: int,
        batch_size: int = 8,
        seed: int = 0,
    ) -> None:
        config = EGGANConfig(**config) if isinstance(config, dict) else config
        super().__init__(seed, config.clip_gradient)
        self.save_hyperparameters({
            "config": asdict(config), "size": size, "identities": identities, "batch_size": batch_size, "seed": seed,
        })  # fmt: skip
        self.config = config
        if config.architecture == "released":
            E: nn.Module = nets.ReleasedEncoder(size, config.latent)
            G: nn.Module = nets.ReleasedGenerator(size, config.latent, N_AUS)
            self.D: nn.Module = nets.ReleasedDiscriminator(size)
        else:
            E = nets.Encoder(size, config.latent, config.encoder_widths, config.encoder_norm)
            G = nets.Generator(size, config.latent, N_AUS, config.generator_widths, config.au_scale)
            self.D = nets.ImageDiscriminator(size, config.critic_widths)
        self.editor = Editor(E, G)
        self.editor_ema = moving_average(self.editor, config.ema_half_life, batch_size)
        self.D_z = nets.LatentDiscriminator(config.latent, config.latent_critic_widths)
        self.C_exp = self._classifier(N_AUS * N_LEVELS, size)
        self.C_id: VGGClassifier | None = None
        if identities > 1 and self._needs_identity():
            self.C_id = self._classifier(identities, size)
        self.perceptual = self._perceptual_network()
        self._own = Agreement(AU_NAMES)  # of C_exp's opinion of the edits with what was asked for
        self.register_buffer("level_weights", torch.ones(N_AUS, N_LEVELS))
        # convs follow the layout of their weights; this one is 2 to 3 times faster on tensor cores and CPUs
        self.to(memory_format=torch.channels_last)

    def _classifier(self, outputs: int, size: int) -> VGGClassifier:
        """C_exp and C_id have the same architecture (3.3)."""
        c = self.config
        flatten = size if c.classifier_head == "flatten" else None
        return VGGClassifier(outputs, c.classifier_width, c.classifier_norm, c.classifier_convs, flatten)

    def _needs_identity(self) -> bool:
        by_classifier = self.config.perceptual == "classifier" and self.config.w_perceptual > 0
        return self.config.w_identity > 0 or by_classifier

    def _perceptual_network(self) -> VGG19Features | None:
        if self.config.perceptual == "vgg19" and self.config.w_perceptual > 0:
            return VGG19Features(self.config.perceptual_weights, self.config.imagenet_norm)
        if self.config.w_perceptual > 0 and self.C_id is not None and self.config.pretrain_epochs == 0:
            raise UserError(
                "method.perceptual=classifier needs a trained C_id: set method.pretrain_epochs above 0"
            )
        return None

    @classmethod
    def for_use(cls, parameters: dict[str, Any]) -> "EGGAN":
        """The module of a checkpoint's hyper-parameters, without the loss network, whose file need not be here."""
        config = dict(parameters["config"])
        config["w_perceptual"] *= config["perceptual"] == "classifier"
        return cls(**{**parameters, "config": config})

    @property
    def E(self) -> nn.Module:
        """The encoder in training."""
        return self.editor.E

    @property
    def G(self) -> nn.Module:
        """The generator in training."""
        return self.editor.G

    def edit(self, images: Tensor, au: Tensor) -> Tensor:
        """Edit with the averaged networks; shapes and ranges as the class says."""
        editor: nn.Module = self.editor_ema if self.config.ema_half_life > 0 else self.editor
        return editor(images.to(self.dtype), au.to(self.dtype))

    def estimate_aus(self, images: Tensor) -> Tensor:
        """AUs (B, 17) 0..5 of pictures by C_exp: the expectation over its levels."""
        return au_expectation(self._au_logits(images.to(self.dtype)))

    def interpolate(self, images: Tensor, source_au: Tensor, target_au: Tensor, steps: int) -> Tensor:
        """Eq. 8 with G(E(I), .) (E18): pictures (steps, B, 3, S, S), alpha from 0 to 1."""
        alphas = torch.linspace(0, 1, steps, device=images.device)
        return torch.stack([self.edit(images, torch.lerp(source_au, target_au, alpha)) for alpha in alphas])

    level_weights: Tensor
    of_people = ("C_id.head.",)
    """Layers with an output for each training person."""
    in_use = ("editor_ema.", "C_exp.")
    """What of the weights users of a trained network need (``facegan.releases``)."""
    panels: ClassVar[Mapping[str, str]] = {
        "g_image": "g_adv",
        "g_au": "g_expression",
        "g_l1": "g_reconstruction",
    }
    monitor = ("val/au_pcc_judge", "val/geometry_pcc", "-val/l1")
    """What chooses the best checkpoint: the first of these that is measured; "-" where lower is better."""

    # ------------------------------------------------------------------ training

    def on_fit_start(self) -> None:
        """Say what is off with one person; count AU levels of the training pictures."""
        if self._needs_identity() and self.C_id is None:
            self.print("One person only: L_id (and a perceptual loss through C_id) is off.")
        au = torch.as_tensor(self.trainer.datamodule.train.au)  # type: ignore[attr-defined]
        counts = F.one_hot(au_levels(au, self.config.rounding), N_LEVELS).sum(0).float()
        shares = (counts.sum(0) / counts.sum()).tolist()
        self.print("AU levels 0..5 in training: " + "  ".join(f"{share:.1%}" for share in shares))
        if self.config.level_weights == "balanced":
            # the square root halves the exponent of imbalance: full inverse frequency makes single faces rule
            weights = (counts.sum(1, keepdim=True) / counts.clamp(min=1)).sqrt().clamp(max=10)
            weights = weights * (counts.sum(1, keepdim=True) / (weights * counts).sum(1, keepdim=True))
            self.level_weights.copy_(weights)

    def on_train_epoch_start(self) -> None:
        """C_id is frozen, statistics included, once it is pre-trained."""
        if self.C_id is not None:
            self.C_id.train(not self._joint)

    @property
    def _joint(self) -> bool:
        return self.C_id is None or self.current_epoch >= self.config.pretrain_epochs

    def training_step(self, batch: dict[str, Tensor], batch_idx: int) -> None:
        """Stage 1 pre-trains the classifiers, stage 2 trains everything but C_id."""
        self.begin_batch(len(batch["image"]))
        pretraining = self.config.pretrain_epochs * self.trainer.num_training_batches
        if self.C_id is not None and self.batches_seen == pretraining:
            # Adam's moments of reconstruction alone would make the first steps by eq. 7 far too long
            self.optimizers()[0].state.clear()  # type: ignore[index]
        self._decay_rates()
        losses = self.adversarial_step(batch) if self._joint else self.pretraining_step(batch)
        self.batches_seen += 1
        self.log_losses(losses, len(batch["image"]))

    def pretraining_step(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        """Pre-train C_id on training pictures and their people (3.3), and what else is asked for."""
        assert self.C_id is not None
        opt_g, _, opt_c, opt_id = self.optimizers()  # type: ignore[misc,attr-defined]
        seen = self._view(batch["image"], self.draws(4))
        with self.toggled_optimizer(opt_id):
            logits = self.C_id(seen)
            loss_id = F.cross_entropy(full(logits), batch["identity"])
            self.take_step(opt_id, loss_id)
        accuracy = (logits.argmax(1) == batch["identity"]).float().mean()
        losses = {"pretrain_id": loss_id, "pretrain_id_accuracy": accuracy}
        if self.config.pretrain_expression:
            with self.toggled_optimizer(opt_c):
                levels = au_levels(batch["au"], self.config.rounding)
                losses["c_exp"] = au_loss(self._au_logits(seen), levels, self.level_weights)
                self.take_step(opt_c, losses["c_exp"])
        if self.config.pretrain_reconstruction:
            with self.toggled_optimizer(opt_g):
                recon = self.G(self.E(batch["image"]), batch["au"])
                losses |= self._reconstruction(recon, batch["image"])
                self.take_step(
                    opt_g, self.config.w_rec * losses["g_l1"] + self.config.w_msssim * losses["g_msssim"]
                )
            self._average()
        return losses

    def adversarial_step(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        """One update of D_img and D_z, of C_exp, and of E and G (eq. 7)."""
        c = self.config
        opt_g, opt_d, opt_c = self.optimizers()[:3]  # type: ignore[index]
        real, au, target_au = batch["image"], batch["au"], batch["target_au"]
        levels, target_levels = au_levels(au, c.rounding), au_levels(target_au, c.rounding)
        z = self.draws(c.latent, normal=True)
        alpha, view = self.draws(), self.draws(4)
        update_g = self.batches_seen % c.n_critic == 0

        # the fakes, and what is seen of them, are made once, before the toggled blocks, and serve both sides
        with torch.set_grad_enabled(update_g):
            code = self.E(real)
            fakes = self.G(torch.cat([code, code]), torch.cat([target_au, au]))
            edited, recon = fakes.chunk(2)
            if "both" in (c.constrain, c.adversarial_on):
                seen = self._view(fakes, torch.cat([view, view]))
            else:
                seen = self._view(edited, view)
        real_seen, edited_seen = self._view(real, view), seen[: len(real)]

        # D_img: eq. 2; D_z: eq. 1
        with self.toggled_optimizer(opt_d):
            if c.critic_fakes == "prior":
                with torch.no_grad():
                    fake_seen = self._view(self.G(z, target_au), view)
            else:
                fake_seen = edited_seen.detach()
            loss_d = critic_loss(c.gan, self.D(real_seen), self.D(fake_seen))
            at = real_seen if c.gan == "eq2" else interpolate(real_seen, fake_seen, alpha)
            penalty = gradient_penalty(self.D, at)
            loss_dz = F.softplus(-self.D_z(z)).mean() + F.softplus(self.D_z(code.detach())).mean()
            self.take_step(opt_d, c.w_image * loss_d + c.w_gp * penalty + c.w_latent * loss_dz)

        # C_exp: eq. 3 on real pictures with their own AUs only, so that G cannot agree with it on a code (E4)
        with self.toggled_optimizer(opt_c):
            loss_c = au_loss(self._au_logits(real_seen), levels, self.level_weights)
            self.take_step(opt_c, loss_c)

        losses = {"d": loss_d, "gp": penalty, "d_z": loss_dz, "c_exp": loss_c}
        if update_g:
            with self.toggled_optimizer(opt_g):
                constrained = seen if c.constrain == "both" else edited_seen
                judged = seen if c.adversarial_on == "both" else edited_seen
                g = {
                    "g_latent": F.softplus(-self.D_z(code)).mean(),  # eq. 1, the encoder's side (E6)
                    "g_image": generator_loss(c.gan, self.D(judged)),  # eq. 2
                    "g_au": self._au_constraint(constrained, target_levels, levels),  # eq. 3
                    "g_identity": self._identity_constraint(constrained, batch["identity"]),  # eq. 4
                    "g_perceptual": self._perceptual_constraint(real, edited, recon),  # eq. 5
                    **self._reconstruction(recon, real),  # eq. 6
                }
                weights = (
                    c.w_encoder_latent, c.w_image, c.w_au, c.w_identity, c.w_perceptual, c.w_rec, c.w_msssim,
                )  # fmt: skip
                loss_g = sum(w * loss for w, loss in zip(weights, g.values(), strict=True))  # eq. 7
                self.take_step(opt_g, loss_g)  # type: ignore[arg-type]
            self._average()
            losses |= g
        return losses

    def _average(self) -> None:
        if self.config.ema_half_life > 0:
            self.editor_ema.update_parameters(self.editor)

    def _view(self, images: Tensor, draws: Tensor) -> Tensor:
        """What the classifiers and D_img see of a picture (E4)."""
        return (
            nets.shift_blur_noise(images, draws, self.config.view_noise) if self.config.view_noise else images
        )

    def _au_logits(self, images: Tensor) -> Tensor:
        return self.C_exp(images).view(-1, N_AUS, N_LEVELS)

    def _au_constraint(self, images: Tensor, target_levels: Tensor, levels: Tensor) -> Tensor:
        """Eq. 3 on edited and, if they are among ``images``, on self-reconstructed pictures; summed."""
        logits = self._au_logits(images)
        loss = au_loss(logits[: len(levels)], target_levels, self.level_weights)
        if len(images) > len(levels):
            loss = loss + au_loss(logits[len(levels) :], levels, self.level_weights)
        return loss

    def _identity_constraint(self, images: Tensor, identity: Tensor) -> Tensor:
        """Eq. 4 on edited and, if they are among ``images``, on self-reconstructed pictures; summed."""
        if self.C_id is None or self.config.w_identity == 0:
            return images.new_zeros(())
        copies = len(images) // len(identity)
        return copies * F.cross_entropy(full(self.C_id(images)), identity.repeat(copies))

    def _perceptual_constraint(self, real: Tensor, edited: Tensor, recon: Tensor) -> Tensor:
        """Eq. 5 with squared distances: the paper's norm over CHW would be all but zero (E11)."""
        network = self.C_id if self.perceptual is None else self.perceptual
        if network is None or self.config.w_perceptual == 0:
            return real.new_zeros(())
        with torch.no_grad():
            target = network.perceptual_features(real)
        features = network.perceptual_features(torch.cat([edited, recon]))
        return 2 * F.mse_loss(full(features), full(torch.cat([target, target])))

    def _reconstruction(self, recon: Tensor, real: Tensor) -> dict[str, Tensor]:
        """The two halves of eq. 6."""
        structure = 1 - ms_ssim(recon, real).mean() if self.config.w_msssim else real.new_zeros(())
        return {"g_l1": F.l1_loss(full(recon), real), "g_msssim": structure}

    def _decay_rates(self) -> None:
        """Linear decay in the later part of each stage (4.1), by batches: after each epoch as the paper's."""
        c = self.config
        epoch = self.batches_seen / self.trainer.num_training_batches
        opt_g, opt_d, opt_c, *opt_id = self.optimizers()  # type: ignore[misc,attr-defined]
        joint = (epoch - c.pretrain_epochs) / c.epochs
        for optimizer, lr in ((opt_g, c.lr), (opt_d, c.lr), (opt_c, c.lr_classifier)):
            linear_decay(optimizer, lr, joint, c.decay_from)
        for optimizer in opt_id:
            linear_decay(optimizer, c.lr_classifier, epoch / max(1, c.pretrain_epochs), 0.5)

    def configure_optimizers(self) -> list[torch.optim.Optimizer]:
        """Adam for E and G, for D_img and D_z, for C_exp, and for C_id."""
        c = self.config
        d_parameters = [*self.D.parameters(), *self.D_z.parameters()]
        optimizers: list[torch.optim.Optimizer] = [
            torch.optim.Adam(self.editor.parameters(), c.lr, c.betas),
            torch.optim.Adam(d_parameters, c.lr, c.betas),
            torch.optim.Adam(self.C_exp.parameters(), c.lr_classifier, c.betas_classifier),
        ]
        if self.C_id is not None:
            optimizers.append(torch.optim.Adam(self.C_id.parameters(), c.lr_classifier, c.betas_classifier))
        return optimizers

    # ------------------------------------------------------------------ validation

    def validation_step(self, batch: dict[str, Tensor], batch_idx: int) -> None:
        """Self-reconstruction and C_exp's own opinion of the edits; the judges' come from outside."""
        real, rows = batch["image"], len(batch["image"])
        recon, edited = self.edit(real, batch["au"]), self.edit(real, batch["target_au"])
        own = self.estimate_aus(edited)
        self._own.update(own, batch["target_au"])
        self.log_dict({
            "val/l1": F.l1_loss(recon, real),
            "val/ms_ssim": ms_ssim(recon, real).mean(),
            "val/au_mse_own": F.mse_loss(own, batch["target_au"]),
            "val/c_exp_mse": F.mse_loss(self.estimate_aus(real), batch["au"]),
        }, batch_size=rows, sync_dist=True)  # fmt: skip

    def on_validation_epoch_end(self) -> None:
        """C_exp's correlation with what was asked for: far above the judges', it is being fooled (E4)."""
        result = self._own.compute()
        if torch.isfinite(result["pcc_mean"]):
            self.log("val/au_pcc_own", result["pcc_mean"].float())
        self._own.reset()
