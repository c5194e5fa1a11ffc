"""ICface: interpretable and controllable face reenactment (Tripathy, Kannala and Rahtu, WACV 2020).

Where the paper is silent or contradicts itself the choice and its reason stand beside the option; I1..I18
number them.
"""

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from facegan.adversarial import AdversarialModule, moving_average
from facegan.config import UserError
from facegan.faces import AU_MAX, N_AUS
from facegan.methods.icface_config import ICfaceConfig
from facegan.nets import icface as nets
from facegan.nets import winograd
from facegan.nets.lightcnn import FEATURES, LightCNN29v2, load_published, to_grey
from facegan.precision import full


class Reenactor(nn.Module):
    """G_N and G_A: all that its users need."""

    def __init__(self, config: ICfaceConfig) -> None:
        super().__init__()
        c = config
        options = (c.generator_width, c.generator_blocks, c.generator_norm, c.dropout)
        self.G_N = nets.Generator(*options) if c.neutralizer else None
        self.G_A = nets.Generator(*options)

    def neutral(self, images: Tensor, neutral: Tensor) -> Tensor:
        """The faces, facing the camera and without expression; as they are where there is no neutraliser."""
        return images if self.G_N is None else self.G_N(images, neutral)

    def forward(self, images: Tensor, attributes: Tensor, neutral: Tensor) -> Tensor:
        """The faces (B, 3, S, S) with attributes (B, 20)."""
        return self.G_A(self.neutral(images, neutral), attributes)


class ICface(AdversarialModule):
    """Reenact: source (B, 3, S, S) in [-1, 1], pose (B, 3) in radians and AUs (B, 17) 0..5 -> pictures.

    Args:
        config: an ``ICfaceConfig`` or the dict of one (as a checkpoint holds it).
        size: S, 128 in the paper.
        identities: people in training.
        batch_size: of the global batch, for the moving average.
        seed: of the run.
    """

    def __init__(
        self,
        config: ICfaceConfig | dict[str, Any],
        size: int,
        identities: int,
        batch_size: int = 8,
        seed: int = 0,
    ) -> None:
        config = ICfaceConfig(**config) if isinstance(config, dict) else config
        super().__init__(seed, config.clip_gradient)
        self.save_hyperparameters({
            "config": asdict(config), "size": size, "identities": identities, "batch_size": batch_size, "seed": seed,
        })  # fmt: skip
        self.config = c = config
        self.reenactor = Reenactor(c)
        self.reenactor_ema = moving_average(self.reenactor, c.ema_half_life, batch_size)
        for part in self.reenactor_ema.modules():
            if isinstance(part, nn.BatchNorm2d):
                part.momentum = 0.3  # of every tenth batch: see _update_average
        self.D = nets.Discriminator(size, c.critic, c.critic_width)
        self.C: LightCNN29v2 | None = None
        self.people: nn.Linear | None = None
        if c.w_identity > 0 and c.recogniser == "published":
            self.C = load_published(Path(c.identity_weights)).requires_grad_(False)
        elif c.w_identity > 0:
            self.C = LightCNN29v2(c.recogniser_width)
            self.people = nn.Linear(FEATURES, identities)
        # of the config, which every checkpoint holds: not to be had from another training's weights
        self.register_buffer("pose_range", torch.tensor(c.pose_range), persistent=False)
        # convs follow the layout of their weights; this one is faster on tensor cores and CPUs
        self.to(memory_format=torch.channels_last)

    pose_range: Tensor
    of_people = ("people.",)
    """Layers with an output for each training person."""
    in_use = ("reenactor_ema.", "D.")
    """What of the weights users of a trained network need (``facegan.releases``)."""
    panels: ClassVar[Mapping[str, str]] = {
        "adv": "g_adv", "identity": "g_identity", "fa": "g_expression", "reconstruction": "g_reconstruction",
    }  # fmt: skip
    monitor = ("-val/l1",)
    """What chooses the best checkpoint; "-": lower is better."""

    @classmethod
    def for_use(cls, parameters: dict[str, Any]) -> "ICface":
        """A checkpoint's module, without the identity network, whose file may be elsewhere."""
        return cls(**{**parameters, "config": parameters["config"] | {"w_identity": 0}})

    @property
    def _user(self) -> Reenactor:
        """The averaged networks, where there are any."""
        average: Any = self.reenactor_ema.module
        return average if self.config.ema_half_life > 0 else self.reenactor

    def attributes(self, pose: Tensor, au: Tensor) -> Tensor:
        """FA (B, 20) in 0..1 of poses (B, 3) in radians and AUs (B, 17) 0..5 (4; I9)."""
        angles = (pose.to(self.pose_range) + self.pose_range) / (2 * self.pose_range)
        return torch.cat([angles.clamp(0, 1), au.to(self.pose_range) / AU_MAX], 1)

    def from_attributes(self, attributes: Tensor) -> tuple[Tensor, Tensor]:
        """Poses (B, 3) in radians and AUs (B, 17) 0..5 of FA (B, 20)."""
        return (2 * attributes[:, :3] - 1) * self.pose_range, AU_MAX * attributes[:, 3:]

    def neutral_attributes(self, rows: int) -> Tensor:
        """FA_N (B, 20): the central pose, and no AU (4)."""
        return self.attributes(torch.zeros(rows, 3), torch.zeros(rows, N_AUS)).to(self.device)

    def neutralise(self, images: Tensor) -> Tensor:
        """Faces (B, 3, S, S), facing the camera and without expression (3)."""
        return self._user.neutral(images.to(self.dtype), self.neutral_attributes(len(images)))

    def animate(self, neutral: Tensor, pose: Tensor, au: Tensor) -> Tensor:
        """Neutral faces (B, 3, S, S), from ``neutralise``, with poses (B, 3) and AUs (B, 17)."""
        return self._user.G_A(neutral.to(self.dtype), self.attributes(pose, au).to(self.dtype))

    def quicken(self) -> None:
        """Let G_A take fewer products on a CPU, where many frames are to come; it is not to be trained any more."""
        winograd.quicken(self._user.G_A)

    def reenact(self, images: Tensor, pose: Tensor, au: Tensor) -> Tensor:
        """Faces (B, 3, S, S) with poses (B, 3) in radians and AUs (B, 17) 0..5."""
        return self.animate(self.neutralise(images), pose, au)

    def estimate(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Poses (B, 3) and AUs (B, 17) of faces, by the discriminator's C_2."""
        return self.from_attributes(full(self.D(images.to(self.dtype))[1]))

    # ------------------------------------------------------------------ training

    def training_step(self, batch: dict[str, Tensor], batch_idx: int) -> None:
        """Where LightCNN is to be trained, that first; then, if asked for, what needs no adversary; then eq. 5."""
        rows = len(batch["source_image"])
        self.begin_batch(rows)
        # dropout draws from the process's own stream: set by the batch's number, so that a resumed run draws the same
        torch.manual_seed(self._generator.initial_seed() % 2**31 + self.trainer.global_rank)
        stages, per_epoch = self.config.stages, self.trainer.num_training_batches
        first = stages["recogniser"] * per_epoch
        second = first + stages["supervised"] * per_epoch
        late = 0.1 if self.batches_seen - first >= self.config.step_at else 1.0
        rates = (self.config.lr, self.config.lr_critic)
        for optimizer, lr in zip(self.optimizers()[:2], rates, strict=True):  # type: ignore[index]
            for group in optimizer.param_groups:
                group["lr"] = late * lr
        if self.batches_seen < first:
            losses = self.recogniser_step(batch)
        elif self.batches_seen < second:
            losses = self.supervised_step(batch)
        else:
            losses = self.adversarial_step(batch)
        if self.batches_seen >= first and self.config.ema_half_life > 0:
            self._update_average(batch)
        self.batches_seen += 1
        self.log_losses(losses, rows)

    def recogniser_step(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        """LightCNN learns to tell the training people apart."""
        assert self.C is not None and self.people is not None
        optimizer = self.optimizers()[2]  # type: ignore[index]
        with self.toggled_optimizer(optimizer):
            logits = self.people(self.C(to_grey(batch["source_image"])))
            loss = F.cross_entropy(full(logits), batch["source_identity"])
            self.take_step(optimizer, loss)
        right = (logits.argmax(1) == batch["source_identity"]).float().mean()
        return {"recogniser": loss, "recogniser_accuracy": right}

    def supervised_step(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        """G_A by eq. 4's first term on the source itself, C_2 by real frames; G_N is a copy of G_A (I17)."""
        R, source, x = self.reenactor, batch["source_image"], batch["target_image"]
        opt_g, opt_d = self.optimizers()[:2]  # type: ignore[index]
        fa_d = self.attributes(batch["target_pose"], batch["target_au"])
        with self.toggled_optimizer(opt_d):
            d_fa = _squares(self.D(x)[1], fa_d)
            self.take_step(opt_d, self.config.w_fa * d_fa)
        with self.toggled_optimizer(opt_g):
            reconstruction = F.l1_loss(full(R.G_A(source, fa_d)), full(x))
            self.take_step(opt_g, self.config.w_reconstruction * reconstruction)
        if R.G_N is not None:  # the optimum of eq. 4's second term
            R.G_N.load_state_dict(R.G_A.state_dict())
        return {"d_fa": d_fa, "reconstruction": reconstruction}

    def adversarial_step(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        """One update of D, and of both generators: at once (eq. 5), or G_A and then G_N."""
        c, R = self.config, self.reenactor
        opt_g, opt_d = self.optimizers()[:2]  # type: ignore[index]
        source, x = batch["source_image"], batch["target_image"]
        fa_d = self.attributes(batch["target_pose"], batch["target_au"])
        fa_n = self.neutral_attributes(len(source))
        neutral = R.neutral(source, fa_n)
        animated = R.G_A(neutral if c.update == "joint" else neutral.detach(), fa_d)

        # eq. 1 and the first term of eq. 2: D regresses real pictures alone (I6)
        with self.toggled_optimizer(opt_d):
            real, attributes = self.D(x)
            fakes = [animated, neutral] if R.G_N is not None else [animated]
            loss_d = torch.stack([_bce(real, 1) + _bce(self.D(fake.detach())[0], 0) for fake in fakes]).sum()
            d_fa = _squares(attributes, fa_d)
            r1 = self._r1(x) if c.w_r1 > 0 else torch.zeros((), device=self.device)
            self.take_step(opt_d, loss_d + c.w_fa * d_fa + c.w_r1 * r1)
        d = {"d": loss_d, "d_fa": d_fa} | ({"r1": r1} if c.w_r1 > 0 else {})

        features = self._features(source)
        with self.toggled_optimizer(opt_g):
            wanted = features if c.identity_of == "source" else self._features(x)
            g_a = self._animator_losses(animated, wanted, x, fa_d) | self._direct(source, x, fa_d)
            if R.G_N is None:
                self.take_step(opt_g, self._weighted(g_a, ""))
                return d | g_a
            if c.update == "alternating":
                self.take_step(opt_g, self._weighted(g_a, ""))
            g_n = self._neutraliser_losses(neutral, features, source, fa_n)
            total = self._weighted(g_n, "_n")
            self.take_step(opt_g, total + self._weighted(g_a, "") if c.update == "joint" else total)
        return d | g_a | g_n

    def _update_average(self, batch: dict[str, Tensor]) -> None:
        """The moving average, with BatchNorm statistics of its own, from every tenth batch.

        Averaged statistics are those of no network: while weights move fast, pictures made with them are grey.
        """
        average: Any = self.reenactor_ema.module
        own = [buffer.clone() for buffer in average.buffers()]
        self.reenactor_ema.update_parameters(self.reenactor)
        for buffer, value in zip(average.buffers(), own, strict=True):
            buffer.copy_(value)
        if self.config.generator_norm == "batch" and self.batches_seen % 10 == 0:
            source, fa_d = batch["source_image"], self.attributes(batch["target_pose"], batch["target_au"])
            for part in average.modules():
                part.train(isinstance(part, nn.BatchNorm2d))
            with torch.no_grad():
                average(source, fa_d, self.neutral_attributes(len(source)))
            average.eval()

    def _animator_losses(
        self, animated: Tensor, features: list[Tensor], x: Tensor, fa_d: Tensor
    ) -> dict[str, Tensor]:
        realness, attributes = self.D(animated)
        losses = {"adv": _bce(realness, 1), "fa": _squares(attributes, fa_d)}
        losses["reconstruction"] = F.l1_loss(full(animated), full(x))  # eq. 4, first term
        if self.C is not None:
            losses["identity"] = self._identity(features, animated)
        return losses

    def _direct(self, source: Tensor, x: Tensor, fa_d: Tensor) -> dict[str, Tensor]:
        """Eq. 4's first term on the source itself: what eq. 4's second one takes for true stays so (I17)."""
        if self.config.w_direct == 0 or self.reenactor.G_N is None:
            return {}
        return {"direct": F.l1_loss(full(self.reenactor.G_A(source, fa_d)), full(x))}

    def _neutraliser_losses(
        self, neutral: Tensor, features: list[Tensor], source: Tensor, fa_n: Tensor
    ) -> dict[str, Tensor]:
        realness, attributes = self.D(neutral)
        losses = {"adv_n": _bce(realness, 1), "fa_n": _squares(attributes, fa_n)}
        losses["reconstruction_n"] = self._to_pseudo_truth(neutral, source, fa_n)
        if self.C is not None:
            losses["identity_n"] = self._identity(features, neutral)
        return losses

    def _to_pseudo_truth(self, neutral: Tensor, source: Tensor, fa_n: Tensor) -> Tensor:
        """Eq. 4, second term: the distance from what G_A makes of the same attributes (I7)."""
        G_A, seen = self.reenactor.G_A, source if self.config.pseudo_truth == "source" else neutral
        with torch.no_grad():
            # by its running statistics: BatchNorm takes from a batch what all of it shares, here the attributes
            truth = G_A.eval()(seen, fa_n)
            G_A.train()
        return F.l1_loss(full(neutral), full(truth))

    def _weighted(self, losses: dict[str, Tensor], of: str) -> Tensor:
        """A generator's share of eq. 5."""
        c = self.config
        weights = {
            "adv": 1.0, "fa": c.w_fa, "reconstruction": c.w_reconstruction, "identity": c.w_identity,
            "direct": c.w_direct,
        }  # fmt: skip
        parts = [w * losses[name + of] for name, w in weights.items() if name + of in losses]
        return torch.stack(parts).sum()

    def _features(self, images: Tensor) -> list[Tensor]:
        """What eq. 3 compares, of true pictures: the last pooled map and the features; nothing without LightCNN."""
        if self.C is None:
            return []
        with torch.no_grad():
            return list(self.C.both(to_grey(images)))

    def _identity(self, features: list[Tensor], generated: Tensor) -> Tensor:
        """Eq. 3: mean distances of the last pooled map and of the features (I5, I10)."""
        assert self.C is not None
        pairs = zip(self.C.both(to_grey(generated)), features, strict=True)
        return torch.stack([F.l1_loss(full(a), full(b)) for a, b in pairs]).sum()

    def _r1(self, x: Tensor) -> Tensor:
        """Squared gradient norm of C_1 on real pictures (I4)."""
        images = full(x.detach()).requires_grad_(True)
        with torch.autocast(images.device.type, enabled=False):
            (gradient,) = torch.autograd.grad(
                self.D(images)[0].flatten(1).mean(1).sum(), images, create_graph=True
            )
        return gradient.flatten(1).square().sum(1).mean()

    def on_fit_start(self) -> None:
        """Refuse pictures without AUs."""
        data = self.trainer.datamodule.train  # type: ignore[attr-defined]
        if not torch.isfinite(torch.as_tensor(data.au)).all():
            raise UserError(
                "ICface needs every picture's AUs and pose: data.needs_au=true leaves out the others"
            )

    def configure_optimizers(self) -> list[torch.optim.Optimizer]:
        """One for both generators and one for D (docs/icface.md I12); Adam for LightCNN, where it is trained here."""
        c = self.config
        optimizers: list[torch.optim.Optimizer] = [
            torch.optim.RMSprop(part.parameters(), lr, c.alpha)
            if c.optimizer == "rmsprop"
            else torch.optim.Adam(part.parameters(), lr, c.betas)
            for part, lr in ((self.reenactor, c.lr), (self.D, c.lr_critic))
        ]
        if self.C is not None and self.people is not None:
            recogniser = [*self.C.parameters(), *self.people.parameters()]
            optimizers.append(torch.optim.Adam(recogniser, c.lr_recogniser, (0.9, 0.999)))
        return optimizers

    # ------------------------------------------------------------------ validation

    def validation_step(self, batch: dict[str, Tensor], batch_idx: int) -> None:
        """On people never seen: is the driven frame like the true one, and does C_2 see what was asked for."""
        x = batch["target_image"]
        result = self.reenact(batch["source_image"], batch["target_pose"], batch["target_au"])
        pose, au = self.estimate(result)
        self.log_dict({
            "val/l1": F.l1_loss(result, x),
            "val/copy_l1": F.l1_loss(batch["source_image"], x),
            "val/pose_error_own": (pose - batch["target_pose"]).abs().mean() * 180 / torch.pi,
            "val/au_error_own": (au - batch["target_au"]).abs().mean(),
        }, batch_size=len(x), sync_dist=True)  # fmt: skip


def _bce(logits: Tensor, label: float) -> Tensor:
    """Eq. 1's log terms on logits, over patches and pictures."""
    return F.softplus(full(-logits if label else logits)).mean()


def _squares(attributes: Tensor, wanted: Tensor) -> Tensor:
    """Eq. 2: squared distance, summed over the attributes, of a mean picture."""
    return (full(attributes) - wanted).square().sum(1).mean()
