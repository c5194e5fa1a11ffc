"""AIP-GAN: attention-based, identity-preserving expression transfer (Ali and Hughes, 2020).

Where the paper is silent or contradicts itself the choice and its reason stand beside the option; A1..A26
number them.
"""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from facegan.adversarial import AdversarialModule, linear_decay, moving_average
from facegan.config import UserError
from facegan.faces import EXPRESSIONS
from facegan.losses import critic_loss, generator_loss
from facegan.methods.aipgan_config import AIPGANConfig
from facegan.metrics import accuracy
from facegan.nets import aipgan as nets
from facegan.nets.patch import MultiScaleDiscriminator
from facegan.nets.vgg_face import VGGFace, load_published
from facegan.precision import full


class Generator(nn.Module):
    """G = (G_es, G_et, G_de) and the two heads that teach the encoders: all that its users need."""

    def __init__(self, config: AIPGANConfig, size: int) -> None:
        super().__init__()
        c = config
        self.G_es = nets.ExpressionEncoder(
            size, c.expression_code, c.widths, c.pool_blocks, len(c.expressions), c.merge, c.attention_norm,
            c.attention_residual,
        )  # fmt: skip
        self.G_et = nets.IdentityEncoder(size, c.identity_code, c.widths, c.pool_blocks, c.merge)
        self.G_de = nets.Decoder(
            size, c.expression_code + c.identity_code, c.widths, c.pool_blocks, c.bilinear, c.ceb
        )
        self.landmarks = nets.PictureHead(c.expression_code, size, 1, c.head)
        self.identity_map = nets.PictureHead(c.identity_code, size, 3, c.head)

    def decode(self, e: nets.ExpressionFeatures, h: Tensor, identity_maps: list[Tensor]) -> Tensor:
        """A picture of what the encoders say."""
        return self.G_de(torch.cat([e.code, h], 1), e.maps, identity_maps)

    def forward(self, source: Tensor, target: Tensor) -> Tensor:
        """The target's face with the source's expression."""
        return self.decode(self.G_es(source), *self.G_et(target))


class AIPGAN(AdversarialModule):
    """Transfer: source (B, 3, S, S) and target (B, 3, S, S) in [-1, 1] -> the target with the source's expression.

    Args:
        config: an ``AIPGANConfig`` or the dict of one (as a checkpoint holds it).
        size: S, 96 in the paper.
        identities: people in training.
        batch_size: of the global batch, for the moving average.
        seed: of the run.
    """

    def __init__(
        self,
        config: AIPGANConfig | dict[str, Any],
        size: int,
        identities: int,
        batch_size: int = 64,
        seed: int = 0,
    ) -> None:
        config = AIPGANConfig(**config) if isinstance(config, dict) else config
        super().__init__(seed, config.clip_gradient)
        self.save_hyperparameters({
            "config": asdict(config), "size": size, "identities": identities, "batch_size": batch_size, "seed": seed,
        })  # fmt: skip
        self.config = c = config
        self.generator = Generator(c, size)
        self.generator_ema = moving_average(self.generator, c.ema_half_life, batch_size)
        self.D = MultiScaleDiscriminator(c.critic_width, c.critic_layers, c.critic_scales)
        self.R_i = self._recogniser("L_if", c.w_if, c.identity_weights, identities)
        self.R_e = self._recogniser("L_ef", c.w_ef, c.expression_weights, len(EXPRESSIONS))
        classes = [c.expressions.index(name) if name in c.expressions else -1 for name in EXPRESSIONS]
        # of the config: not to be had from another training's weights
        self.register_buffer("classes", torch.tensor(classes), persistent=False)
        # convs follow the layout of their weights; this one is faster on tensor cores and CPUs
        self.to(memory_format=torch.channels_last)

    classes: Tensor
    of_people = ("R_i.fc8.",)
    """Layers with an output for each training person."""
    of_expressions = (".maps.",)
    """Parts of the names of those with an output for each expression."""
    in_use = ("generator_ema.module.G_",)
    """What of the weights users of a trained network need (``facegan.releases``)."""
    panels: ClassVar[Mapping[str, str]] = {
        "critic": "d", "adv": "g_adv", "if": "g_identity", "ef": "g_expression", "irec": "g_reconstruction",
        "att": "attention", "d": "landmarks", "h": "identity_map",
    }  # fmt: skip
    monitor = ("-val/truth_l1", "-val/l1")
    """What chooses the best checkpoint: the first of these that is measured; "-" where lower is better."""

    def _recogniser(self, loss: str, weight: float, weights: str | None, outputs: int) -> VGGFace | None:
        """The network that a loss looks through; a published one is frozen from the start."""
        c = self.config
        if weight == 0:
            return None
        if loss not in c.to_train:
            assert weights is not None
            return load_published(weights, None, c.recogniser_size).requires_grad_(False)
        if c.recogniser == "published":  # of L_ef: taught expressions from there, as in the paper
            return load_published(c.identity_weights, outputs, c.recogniser_size)
        return VGGFace(outputs, c.recogniser_size, c.recogniser_width, norm=True)

    @classmethod
    def for_use(cls, parameters: dict[str, Any]) -> "AIPGAN":
        """A checkpoint's module, without published recognisers, whose files may be elsewhere."""
        config = parameters["config"]
        without = {} if config["recogniser"] == "trained" else {"w_if": 0, "w_ef": 0}
        return cls(**{**parameters, "config": config | without})

    def take_recognisers(self, config: AIPGANConfig, state: dict[str, Tensor]) -> None:
        """After ``for_use``: the networks that the losses looked through, for Table 1 (4.4).

        VGG-Face comes whole from its file (fc7 is what Face-Verf compares), what was taught here from a checkpoint.

        Args:
            config: of the run; its paths may have been changed since.
            state: the checkpoint's weights.

        Raises:
            UserError: a published network's file is not there.
        """
        if config.recogniser == "trained":
            return
        R_i = load_published(config.identity_weights) if config.w_if > 0 else None
        R_e = None
        if config.w_ef > 0 and config.expression_weights is not None:
            R_e = load_published(config.expression_weights, None, config.recogniser_size)
        elif config.w_ef > 0:
            R_e = VGGFace(len(EXPRESSIONS), config.recogniser_size)
            taught = {
                key.removeprefix("R_e."): value for key, value in state.items() if key.startswith("R_e.")
            }
            R_e.load_state_dict(taught)
        self.R_i, self.R_e = R_i, R_e  # both or neither
        self.eval().requires_grad_(False)

    @property
    def _user(self) -> Generator:
        """The averaged networks, where there are any."""
        average: Any = self.generator_ema.module
        return average if self.config.ema_half_life > 0 else self.generator

    def transfer(self, source: Tensor, target: Tensor) -> Tensor:
        """The targets' faces (B, 3, S, S) with the sources' expressions (3)."""
        return self._user(source.to(self.dtype), target.to(self.dtype))

    def recognise(self, images: Tensor) -> Tensor:
        """Probabilities (B, S) of ``config.expressions``: P of the last level (A10)."""
        return self._user.G_es(images.to(self.dtype)).logits[-1].softmax(1)

    def attention(self, images: Tensor) -> list[Tensor]:
        """alpha of each level (B, 1, S_l, S_l) in 0..1: where the expression encoder looks (3.1)."""
        return self._user.G_es(images.to(self.dtype)).attention

    def landmark_images(self, images: Tensor) -> Tensor:
        """Z (B, 1, S, S), predicted from the expression's code."""
        return self._user.landmarks(self._user.G_es(images.to(self.dtype)).code)

    def identity_maps(self, images: Tensor) -> Tensor:
        """H (B, 3, S, S) in [-1, 1], predicted from the identity's code."""
        return self._user.identity_map(self._user.G_et(images.to(self.dtype))[0])

    # ------------------------------------------------------------------ training

    def on_fit_start(self) -> None:
        """Refuse data that lacks what the losses compare with."""
        batch = self.trainer.datamodule.train.batch([0])  # type: ignore[attr-defined]
        for key, option in (("identity_map", "identity_maps=own"), ("landmark_map", "landmark_images=true")):
            if key not in batch:
                raise UserError(f"AIP-GAN learns from each face's {key.replace('_', ' ')}: set data.{option}")

    def training_step(self, batch: dict[str, Tensor], batch_idx: int) -> None:
        """The curriculum: the encoders, then the decoder, then everything (3.2); before it the recognisers."""
        rows = len(batch["source_image"])
        self.begin_batch(rows)
        stage, progress = self._stage()
        done, c = progress if stage == "joint" else 0.0, self.config
        opt_g, opt_d = self.optimizers()[:2]  # type: ignore[index]
        linear_decay(opt_g, c.lr, done, c.decay_from, (1.0, c.encoder_share)[: len(opt_g.param_groups)])
        linear_decay(opt_d, c.lr, done, c.decay_from)
        step = {
            "recognisers": self.recogniser_step, "encoders": self.encoder_step, "decoder": self.decoder_step,
            "joint": self.joint_step,
        }[stage]  # fmt: skip
        losses = step(batch)
        if stage != "recognisers" and self.config.ema_half_life > 0:
            self.generator_ema.update_parameters(self.generator)
        self.batches_seen += 1
        self.log_losses(losses, rows)
        self.log("stage", float(list(self.config.stages).index(stage)), prog_bar=True, batch_size=rows)

    def _stage(self) -> tuple[str, float]:
        """Which stage this batch is of, and the share of its batches that is done."""
        epoch = self.batches_seen / self.trainer.num_training_batches
        for stage, epochs in self.config.stages.items():
            if epoch < epochs:
                return stage, epoch / epochs
            epoch -= epochs
        return "joint", 1.0  # trainer.max_epochs asks for more than the stages have

    def recogniser_step(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        """Before all: the recognisers that are not given learn people (of x_t) and expressions (of x_s)."""
        optimizer = self.optimizers()[2]  # type: ignore[index]
        losses: dict[str, Tensor] = {}
        seen: dict[str, Tensor] = {}
        with self.toggled_optimizer(optimizer):
            if self.R_i is not None and "L_if" in self.config.to_train:
                logits = self.R_i(batch["target_image"])
                losses["recogniser_identity"] = F.cross_entropy(full(logits), batch["target_identity"])
                seen["recogniser_identity_accuracy"] = accuracy(logits, batch["target_identity"])
            if self.R_e is not None and "L_ef" in self.config.to_train:
                logits = self.R_e(batch["source_image"])
                losses["recogniser_expression"] = _cross_entropy(logits, batch["source_expression"])
                seen["recogniser_expression_accuracy"] = accuracy(logits, batch["source_expression"])
            self.take_step(optimizer, torch.stack(list(losses.values())).sum())
        return losses | seen

    def encoder_step(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        """Stage 1: the encoders, apart: e gives the landmarks, h the identity map, and attention the expression."""
        optimizer, G = self.optimizers()[0], self.generator  # type: ignore[index]
        with self.toggled_optimizer(optimizer):
            losses = self._encoding(G.G_es(batch["source_image"]), G.G_et(batch["target_image"])[0], batch)
            self.take_step(optimizer, self._weighted(losses))
        return losses

    def decoder_step(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        """Stage 2: the decoder alone (A22)."""
        optimizer, G = self.optimizers()[0], self.generator  # type: ignore[index]
        with torch.no_grad():
            e, (h, maps) = G.G_es(batch["source_image"]), G.G_et(batch["target_image"])
        with self.toggled_optimizer(optimizer):
            losses = self._synthesis(G.decode(e, h, maps), batch)
            self.take_step(optimizer, self._weighted(losses))
        return losses

    def joint_step(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        """Stage 3: D, then everything else by eq. 2."""
        G = self.generator
        opt_g, opt_d = self.optimizers()[:2]  # type: ignore[index]
        e, (h, maps) = G.G_es(batch["source_image"]), G.G_et(batch["target_image"])
        x_bar = G.decode(e, h, maps)

        with self.toggled_optimizer(opt_d):  # least squares, over the scales (A20)
            real, fake = self.D(batch["target_image"]), self.D(x_bar.detach())
            loss_d = torch.stack([
                critic_loss("lsgan-gp", full(a), full(b)) for a, b in zip(real, fake, strict=True)
            ]).sum()  # fmt: skip
            self.take_step(opt_d, loss_d)

        with self.toggled_optimizer(opt_g):
            losses = self._synthesis(x_bar, batch) | self._encoding(e, h, batch)
            losses["adv"] = torch.stack([generator_loss("lsgan-gp", full(a)) for a in self.D(x_bar)]).sum()
            self.take_step(opt_g, self._weighted(losses))
        return losses | {"critic": loss_d}

    def _weighted(self, losses: dict[str, Tensor]) -> Tensor:
        """Eq. 2, or the part of it that a stage has."""
        total = torch.zeros((), device=self.device)
        for name, loss in losses.items():
            total = total + getattr(self.config, f"w_{name}") * loss
        return total

    def _encoding(self, e: nets.ExpressionFeatures, h: Tensor, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        """What teaches the encoders: mean squared distances (A14), and eq. 1 as a mean over the levels (A9)."""
        # black where the person has no neutral picture
        has_map = (batch["target_identity_map"] > -1).flatten(1).any(1)
        drawn, wanted = full(self.generator.identity_map(h)), full(batch["target_identity_map"])
        distance = (drawn - wanted).square().flatten(1).mean(1)
        y = self._classes_of(batch["source_expression"])
        return {
            "d": F.mse_loss(full(self.generator.landmarks(e.code)), full(batch["source_landmark_map"])),
            "h": (distance * has_map).sum() / has_map.sum().clamp(min=1),
            "att": torch.stack([_cross_entropy(logits, y) for logits in e.logits]).mean(),  # eq. 1
        }  # fmt: skip

    def _classes_of(self, expression: Tensor) -> Tensor:
        """Places among ``config.expressions``; -1 for others, and where none is known."""
        return torch.where(expression >= 0, self.classes[expression], -1)

    def _synthesis(self, x_bar: Tensor, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        """What the picture must be like: x_t's pixels and person, x_s's expression (3.2)."""
        x_s, x_t = batch["source_image"], batch["target_image"]
        wanted = x_t
        if self.config.irec_to == "truth":
            same = batch["source_identity"] == batch["target_identity"]
            wanted = torch.where(same[:, None, None, None], x_s, x_t)
        losses = {"irec": F.l1_loss(full(x_bar), full(wanted))}
        if self.R_i is not None:
            losses["if"] = self._feature_distance(self.R_i, x_bar, x_t)
        if self.R_e is not None:
            losses["ef"] = self._feature_distance(self.R_e, x_bar, x_s)
        return losses

    def _feature_distance(self, network: VGGFace, synthesised: Tensor, real: Tensor) -> Tensor:
        """ExprGAN's L_id: mean distance of the maps of five layers (A16)."""
        with torch.no_grad():
            wanted = network.taps(real)
        distances = [
            F.l1_loss(full(a), full(b)) / (a.shape[2] * a.shape[3] if self.config.exprgan_scale else 1)
            for a, b in zip(network.taps(synthesised), wanted, strict=True)
        ]
        return torch.stack(distances).sum()

    def configure_optimizers(self) -> list[torch.optim.Adam]:
        """Adam for G, for D, and for the recognisers, where some are trained here (4.1)."""
        c = self.config
        G = self.generator
        encoders = [p for part in (G.G_es, G.G_et, G.landmarks, G.identity_map) for p in part.parameters()]
        groups: list[dict[str, Any]] = [{"params": G.parameters()}]
        if c.encoder_share != 1:
            groups = [{"params": G.G_de.parameters()}, {"params": encoders}]
        optimizers = [
            torch.optim.Adam(groups, c.lr, c.betas),
            torch.optim.Adam(self.D.parameters(), c.lr, c.betas),
        ]
        if c.to_train:
            taught = {"L_if": self.R_i, "L_ef": self.R_e}
            recognisers = [net for loss, net in taught.items() if loss in c.to_train and net is not None]
            parameters = nn.ModuleList(recognisers).parameters()
            # PyTorch's own betas, as classifiers have
            optimizers.append(torch.optim.Adam(parameters, c.lr_recogniser))
        return optimizers

    # ------------------------------------------------------------------ validation

    def validation_step(self, batch: dict[str, Tensor], batch_idx: int) -> None:
        """On people never seen: is the picture like the truth, where one is known; do the heads draw rightly."""
        x_s, x_t = batch["source_image"], batch["target_image"]
        rows, same = len(x_s), batch["source_identity"] == batch["target_identity"]
        far = F.mse_loss(self.landmark_images(x_s), batch["source_landmark_map"])
        values = {"val/l1": F.l1_loss(self.transfer(x_t, x_t), x_t), "val/landmarks_mse": far}
        y = self._classes_of(batch["source_expression"])
        if (y >= 0).any():
            right = self.recognise(x_s).argmax(1) == y
            values["val/expression_accuracy"] = right[y >= 0].float().mean()
        if same.any():
            values["val/truth_l1"] = F.l1_loss(self.transfer(x_s[same], x_t[same]), x_s[same])
        has_map = (batch["target_identity_map"] > -1).flatten(1).any(1)
        if has_map.any():
            drawn, wanted = self.identity_maps(x_t[has_map]), batch["target_identity_map"][has_map]
            values["val/identity_map_mse"] = F.mse_loss(drawn, wanted)
        for name, value in values.items():
            self.log(name, value, batch_size=rows, sync_dist=True)


def _cross_entropy(logits: Tensor, wanted: Tensor) -> Tensor:
    """Mean over those whose class is known (not -1); 0 where none is."""
    losses = F.cross_entropy(full(logits), wanted, ignore_index=-1, reduction="sum")
    return losses / (wanted >= 0).sum().clamp(min=1)
