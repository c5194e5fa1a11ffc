"""TER-GAN: transfer, edit and recognise expressions with one network (Ali and Hughes, 2019).

Where the paper is silent or contradicts itself the choice and its reason stand beside the option; T1..T21
number them.
"""

import math
from collections.abc import Mapping
from dataclasses import asdict
from itertools import accumulate
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from facegan.adversarial import AdversarialModule, linear_decay, moving_average
from facegan.config import UserError
from facegan.faces import EXPRESSIONS
from facegan.methods.tergan_config import TERGANConfig
from facegan.metrics import accuracy
from facegan.nets import tergan as nets
from facegan.precision import full


def _encoders(config: TERGANConfig, size: int) -> tuple[nets.Encoder, nets.Encoder]:
    """G_es and G_et: the same convs, codes of their own (4.1)."""
    c = config
    codes = (c.expression_code, c.identity_code)
    e, i = (nets.Encoder(size, n, c.encoder_widths, c.down, c.tanh_codes, c.encoder_norm) for n in codes)
    return e, i


class Generator(nn.Module):
    """G = (G_es, G_et, G_de), and a linear classifier that reads expressions off f(e): all that its users need."""

    def __init__(self, config: TERGANConfig, size: int) -> None:
        super().__init__()
        c = config
        self.G_es, self.G_et = _encoders(c, size)
        self.G_de = nets.Decoder(size, c.expression_code + c.identity_code, c.encoder_widths)
        self.recogniser = nn.Linear(c.expression_code, len(c.expressions))

    def decode(self, f_e: Tensor, f_i: Tensor) -> Tensor:
        """A picture of both codes, each brought to mean 0 and deviation 1 (T4).

        Stage 1 leaves codes as large as it likes, and of large ones an untrained G_de makes black and white, for
        good: beyond tanh's bounds no gradient comes back.
        """
        return self.G_de(torch.cat([F.layer_norm(f, f.shape[1:]) for f in (f_e, f_i)], 1))

    def forward(self, source: Tensor, target: Tensor) -> Tensor:
        """The target's face with the source's expression."""
        return self.decode(self.G_es(source), self.G_et(target))


class Classifiers(nn.Module):
    """Stage 1's networks: both encoders with their classification layers. Frozen, they are h_1 and h_2 of eq. 8, 9."""

    def __init__(self, config: TERGANConfig, size: int, identities: int) -> None:
        super().__init__()
        c = config
        self.G_es, self.G_et = _encoders(c, size)
        self.expression = nn.Linear(c.expression_code, len(c.expressions))
        self.identity = nn.Linear(c.identity_code, identities)

    def forward(self, source: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        """Logits of the sources' expressions and of the targets' people."""
        return self.expression(self.G_es(source)), self.identity(self.G_et(target))


class TERGAN(AdversarialModule):
    """Transfer: source (B, 3, S, S) and target (B, 3, S, S) in [-1, 1] -> the target with the source's expression.

    Args:
        config: a ``TERGANConfig`` or the dict of one (as a checkpoint holds it).
        size: S, 75 in the paper.
        identities: people in training, N_i.
        batch_size: of the global batch, for the moving average.
        seed: of the run.
    """

    def __init__(
        self,
        config: TERGANConfig | dict[str, Any],
        size: int,
        identities: int,
        batch_size: int = 64,
        seed: int = 0,
    ) -> None:
        config = TERGANConfig(**config) if isinstance(config, dict) else config
        super().__init__(seed, config.clip_gradient)
        self.save_hyperparameters({
            "config": asdict(config), "size": size, "identities": identities, "batch_size": batch_size, "seed": seed,
        })  # fmt: skip
        self.config = c = config
        self.generator = Generator(c, size)
        self.generator_ema = moving_average(self.generator, c.ema_half_life, batch_size)
        self.pretrained = Classifiers(c, size, identities)
        self.D = nets.Discriminator(
            size, len(c.expressions), identities, c.critic_widths, c.critic_shared, c.critic_norm
        )
        self.D_es = nets.CodeDiscriminator(c.expression_code)
        self.D_et = nets.CodeDiscriminator(c.identity_code)
        classes = [c.expressions.index(name) if name in c.expressions else -1 for name in EXPRESSIONS]
        # of the config: not to be had from another training's weights
        self.register_buffer("classes", torch.tensor(classes), persistent=False)
        # convs follow the layout of their weights; this one is faster on tensor cores and CPUs
        self.to(memory_format=torch.channels_last)

    classes: Tensor
    of_people = ("pretrained.identity.", "D.identity.4.")
    """Layers with an output for each training person."""
    of_expressions = (".recogniser.", "pretrained.expression.", "D.expression.4.")
    """Parts of the names of those with an output for each expression."""
    in_use = ("generator_ema.",)
    """What of the weights users of a trained network need (``facegan.releases``)."""
    panels: ClassVar[Mapping[str, str]] = {
        "g_if": "g_identity",
        "g_ef": "g_expression",
        "g_irec": "g_reconstruction",
    }
    monitor = ("val/expression_accuracy", "-val/l1")
    """What chooses the best checkpoint: the first of these that is measured; "-" where lower is better."""

    @classmethod
    def for_use(cls, parameters: dict[str, Any]) -> "TERGAN":
        """The module of a checkpoint's hyper-parameters."""
        return cls(**parameters)

    @property
    def _user(self) -> Generator:
        """The averaged networks, where there are any."""
        average: Any = self.generator_ema.module
        return average if self.config.ema_half_life > 0 else self.generator

    def transfer(self, source: Tensor, target: Tensor) -> Tensor:
        """The targets' faces (B, 3, S, S) with the sources' expressions (3.1)."""
        return self._user(source.to(self.dtype), target.to(self.dtype))

    def synthesise(self, expression_code: Tensor, identity_code: Tensor) -> Tensor:
        """The faces (B, 3, S, S) of codes f(e) (B, 30) and f(i) (B, 50): G_de (3.1.2)."""
        return self._user.decode(expression_code, identity_code)

    def expression_codes(self, images: Tensor, baseline: bool = False) -> Tensor:
        """f(e) (B, 30); ``baseline``: of the encoder as stage 1 left it, the paper's CNN baseline (4.4)."""
        encoder = self.pretrained.G_es if baseline else self._user.G_es
        return encoder(images.to(self.dtype))

    def identity_codes(self, images: Tensor) -> Tensor:
        """f(i) (B, 50)."""
        return self._user.G_et(images.to(self.dtype))

    def recognise(self, images: Tensor) -> Tensor:
        """Probabilities (B, N_e) of ``config.expressions``, by a linear classifier on f(e)."""
        return self._user.recogniser(self.expression_codes(images)).softmax(1)

    # ------------------------------------------------------------------ training

    def on_fit_start(self) -> None:
        """Refuse data that the losses could not be computed on."""
        expression = torch.as_tensor(self.trainer.datamodule.train.expression)  # type: ignore[attr-defined]
        classes = self.classes.cpu()[expression]
        if (expression < 0).any() or (classes < 0).any():
            raise UserError(
                "some training pictures show none of method.expressions; leave them out with "
                f"data.expressions=[{','.join(self.config.expressions)}]"
            )
        missing = [name for k, name in enumerate(self.config.expressions) if not (classes == k).any()]
        if missing:
            raise UserError(
                f"no training picture shows {', '.join(missing)}; take it out of method.expressions"
            )

    def training_step(self, batch: dict[str, Tensor], batch_idx: int) -> None:
        """Stage 1 trains both encoders as classifiers, stage 2 everything (3.1.4); before and after, the decoder."""
        rows, c = len(batch["source_image"]), self.config
        self.begin_batch(rows)
        epochs = (c.pretrain_epochs, c.decoder_epochs, c.epochs)
        attaching, stage2, polish = (n * self.trainer.num_training_batches for n in accumulate(epochs))
        self._decay_rates()
        if self.batches_seen < attaching:
            losses = self.pretraining_step(batch)
        elif self.batches_seen < stage2:
            losses = self.decoder_step(batch, (c.w_if, c.w_ef, c.w_irec, c.w_erec))
        elif self.batches_seen < polish:
            losses = self.adversarial_step(batch)
        else:
            if self.batches_seen == polish:
                self.generator.load_state_dict(self._user.state_dict())  # what rests now is what users get
            losses = self.decoder_step(batch, c.polish_weights)
            # no D, no specks: nothing to average
            self._user.G_de.load_state_dict(self.generator.G_de.state_dict())
        if attaching <= self.batches_seen < polish and c.ema_half_life > 0:
            self.generator_ema.update_parameters(self.generator)
        self.batches_seen += 1
        if self.batches_seen == attaching:
            self.attach()
        self.log_losses(losses, rows)

    def pretraining_step(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        """Stage 1: G_es learns the sources' expressions, G_et the targets' people (3.1.4)."""
        optimizer = self.optimizers()[2]  # type: ignore[index]
        expression, identity = self.classes[batch["source_expression"]], batch["target_identity"]
        with self.toggled_optimizer(optimizer):
            logits_e, logits_i = self.pretrained(batch["source_image"], batch["target_image"])
            loss_e = F.cross_entropy(full(logits_e), expression)
            loss_i = F.cross_entropy(full(logits_i), identity)
            self.take_step(optimizer, loss_e + loss_i)
        return {
            "pretrain_e": loss_e, "pretrain_e_accuracy": accuracy(logits_e, expression),
            "pretrain_i": loss_i, "pretrain_i_accuracy": accuracy(logits_i, identity),
        }  # fmt: skip

    def attach(self) -> None:
        """The pre-trained encoders become the generator's (3.1.4); with G_es, so does the classifier on f(e)."""
        G, pretrained = self.generator, self.pretrained
        if self.config.attach != "none":
            G.G_es.load_state_dict(pretrained.G_es.state_dict())
            G.recogniser.load_state_dict(pretrained.expression.state_dict())
        if self.config.attach == "both":
            G.G_et.load_state_dict(pretrained.G_et.state_dict())
        self.generator_ema.module.load_state_dict(self.generator.state_dict())

    def decoder_step(self, batch: dict[str, Tensor], weights: tuple[float, ...]) -> dict[str, Tensor]:
        """The decoder learns to draw what the resting encoders say, from eq. 6 to 9, weighted in eq. 10's order.

        Not in the paper. Before stage 2: while the decoder draws nothing, eq. 4 and 5 ask codes of real pictures to
        be like that of a grey one, and what stage 1 has taught the encoders is lost. After it: T21.
        """
        G = self.generator
        optimizer = self.optimizers()[0]  # type: ignore[index]
        x_s, x_t = batch["source_image"], batch["target_image"]
        with torch.no_grad():
            f_e, f_i = G.G_es(x_s), G.G_et(x_t)
        with self.toggled_optimizer(optimizer):
            g = self._reconstruction(G.decode(f_e, f_i), batch)
            total = sum(w * loss for w, loss in zip(weights, g.values(), strict=True))
            self.take_step(optimizer, total)  # type: ignore[arg-type]
        return g

    def _reconstruction(self, x_bar: Tensor, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        c, x_s, x_t = self.config, batch["source_image"], batch["target_image"]
        same = batch["source_identity"] == batch["target_identity"]
        return {
            "g_if": self._feature_distance(self.pretrained.G_et, x_bar, x_t),  # eq. 9
            "g_ef": self._feature_distance(self.pretrained.G_es, x_bar, x_s),  # eq. 8
            "g_irec": _l1(x_bar, x_t, ~same if c.irec_on == "cross_identity" else None),  # eq. 6
            "g_erec": _l1(x_bar, x_s, same if c.erec_on == "same_identity" else None),  # eq. 7
        }

    def adversarial_step(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        """One update of D (eq. 1), and one of everything else (eq. 10)."""
        c, G = self.config, self.generator
        opt_g, opt_d = self.optimizers()[:2]  # type: ignore[index]
        x_s, x_t = batch["source_image"], batch["target_image"]
        y_e, y_i = self.classes[batch["source_expression"]], batch["target_identity"]

        # step a: synthesise
        f_e, f_i = G.G_es(x_s), G.G_et(x_t)
        x_bar = G.decode(f_e, f_i)

        with self.toggled_optimizer(opt_d):  # eq. 1, minimised with its sign turned (T6)
            loss_d_real = self._as_real(self.D(x_s)[0], y_e)
            loss_d_identity = F.cross_entropy(full(self.D(x_t)[1]), y_i)
            loss_d_fake = self._as_fake(self.D(x_bar.detach())[0])
            self.take_step(opt_d, loss_d_real + loss_d_identity + loss_d_fake)

        with self.toggled_optimizer(opt_g):
            # step b: the picture is fed back; only the encoders learn from it (T10)
            seen = x_bar.detach()
            d_es, d_es_accuracy = self._consistency(self.D_es, f_e, G.G_es(seen))  # eq. 4
            d_et, d_et_accuracy = self._consistency(self.D_et, f_i, G.G_et(seen))  # eq. 5
            d_e, d_i = self.D(x_bar)
            g = {
                **self._reconstruction(x_bar, batch),
                "d_et": d_et,
                "d_es": d_es,
                "g_adv": self._as_real(d_e, y_e)
                + F.cross_entropy(full(d_i), y_i),  # eq. 2, of x_t's person (T5)
            }
            weights = (c.w_if, c.w_ef, c.w_irec, c.w_erec, c.w_det, c.w_des, c.w_adv)
            total = sum(w * loss for w, loss in zip(weights, g.values(), strict=True))  # eq. 10
            # beside the paper: a classifier that reads f(e) and leaves no trace in it
            logits = G.recogniser(f_e.detach())
            recogniser = F.cross_entropy(full(logits), y_e)
            self.take_step(opt_g, total + recogniser)  # type: ignore[arg-type]
        return {
            "d": loss_d_real + loss_d_identity + loss_d_fake,
            "d_real": loss_d_real, "d_identity": loss_d_identity, "d_fake": loss_d_fake, **g,
            "d_es_accuracy": d_es_accuracy, "d_et_accuracy": d_et_accuracy,
            "g_expression_accuracy": accuracy(d_e[:, : len(c.expressions)], y_e),
            "g_identity_accuracy": accuracy(d_i, y_i),
            "recogniser": recogniser, "recogniser_accuracy": accuracy(logits, y_e),
        }  # fmt: skip

    def _as_real(self, logits: Tensor, expression: Tensor) -> Tensor:
        """-log of D^e's probability that this is a real picture of that expression."""
        if self.config.fake_head == "expression":
            return F.cross_entropy(full(logits), expression)
        return F.cross_entropy(full(logits[:, :-1]), expression) + F.softplus(full(logits[:, -1])).mean()

    def _as_fake(self, logits: Tensor) -> Tensor:
        """-log of D^e's probability that this is a synthesised picture."""
        if self.config.fake_head == "expression":
            fake = torch.full_like(logits[:, 0], logits.shape[1] - 1, dtype=torch.long)
            return F.cross_entropy(full(logits), fake)
        return F.softplus(-full(logits[:, -1])).mean()

    def _consistency(
        self, critic: nets.CodeDiscriminator, real: Tensor, fake: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Eq. 4 or 5 on the codes of real and synthesised pictures: the loss, and how often the critic is right.

        Added to what the encoders minimise: the reversal inside the critic makes them maximise it (T6).
        """
        strength = self._reversal_strength()
        seen_real, seen_fake = full(critic(real, strength)), full(critic(fake, strength))
        loss = F.softplus(-seen_real).mean() + F.softplus(seen_fake).mean()
        return loss, ((seen_real > 0).float().mean() + (seen_fake <= 0).float().mean()) / 2

    def _reversal_strength(self) -> float:
        if self.config.reversal == "constant":
            return 1.0
        return 2 / (1 + math.exp(-10 * self._progress()[1])) - 1  # Ganin et al. 2016

    def _feature_distance(self, network: nets.Encoder, synthesised: Tensor, real: Tensor) -> Tensor:
        """Eq. 8 or 9: the mean over each layer (T16), weighted."""
        with torch.no_grad():
            wanted = network.features(real)
        distances = [
            F.l1_loss(full(h), full(h_real))
            for h, h_real in zip(network.features(synthesised), wanted, strict=True)
        ]
        return torch.stack([w * d for w, d in zip(self.config.layer_weights, distances, strict=True)]).sum()

    def _progress(self) -> tuple[float, float, float]:
        """Share of the batches of stage 1, of stage 2 and of the polish that is done; 0 or less before it."""
        c = self.config
        epoch = self.batches_seen / self.trainer.num_training_batches
        stage2 = c.pretrain_epochs + c.decoder_epochs
        starts, lengths = (0, stage2, stage2 + c.epochs), (c.pretrain_epochs, c.epochs, c.polish_epochs)
        first, second, polish = ((epoch - a) / max(1, n) for a, n in zip(starts, lengths, strict=True))
        return first, second, polish

    def _decay_rates(self) -> None:
        first, second, polish = self._progress()
        c = self.config
        in_polish = c.polish_epochs > 0 and polish >= 0
        opt_g, opt_d, opt_pretrain = self.optimizers()  # type: ignore[misc,attr-defined]
        shares = (c.encoder_share, c.identity_share, 1.0)
        linear_decay(opt_g, c.lr, polish if in_polish else second, c.decay_from, shares)
        linear_decay(opt_d, c.lr, second, c.decay_from)
        linear_decay(opt_pretrain, c.lr_pretrain, first, c.decay_from)

    def configure_optimizers(self) -> list[torch.optim.Optimizer]:
        """Adam for G with D_es and D_et (one, for the reversal does the rest), for D, and for stage 1 (4.1)."""
        c = self.config
        G = self.generator
        others = [p for part in (G.G_de, G.recogniser, self.D_es, self.D_et) for p in part.parameters()]
        # each with a rate of its own: see _decay_rates
        groups = [{"params": parameters} for parameters in (G.G_es.parameters(), G.G_et.parameters(), others)]
        return [
            torch.optim.Adam(groups, c.lr, c.betas),
            torch.optim.Adam(self.D.parameters(), c.lr, c.betas),
            torch.optim.Adam(self.pretrained.parameters(), c.lr_pretrain, c.betas),
        ]

    # ------------------------------------------------------------------ validation

    def validation_step(self, batch: dict[str, Tensor], batch_idx: int) -> None:
        """Is the expression recognised on people never seen, by us and by the baseline; does the transfer show it."""
        x_s, x_t = batch["source_image"], batch["target_image"]
        expression = batch["source_expression"]
        wanted = torch.where(expression >= 0, self.classes[expression], -1)  # -1 is never right
        transferred = self.transfer(x_s, x_t)
        baseline = self.pretrained.expression(self.expression_codes(x_s, baseline=True))
        self.log_dict({
            "val/expression_accuracy": accuracy(self.recognise(x_s), wanted),
            "val/baseline_accuracy": accuracy(baseline, wanted),
            "val/transfer_accuracy_own": accuracy(self.recognise(transferred), wanted),
            "val/l1": F.l1_loss(self.transfer(x_t, x_t), x_t),
        }, batch_size=len(x_s), sync_dist=True)  # fmt: skip


def _l1(synthesised: Tensor, real: Tensor, pairs: Tensor | None) -> Tensor:
    """Mean distance (eq. 6, 7); where some ``pairs`` (B,) are chosen, the others count as 0."""
    distance = (full(synthesised) - full(real)).abs().flatten(1).mean(1)
    return (distance if pairs is None else distance * pairs).mean()
