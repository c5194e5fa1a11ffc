"""The identity judge: LightCNN-29v2 trained on the people at hand, for where its published weights are not.

Published weights (``facegan.judges.LightCNNJudge``) are the better choice for photographs; for generated
faces this recipe gives the same architecture something to know. It exports itself at the end of training.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchmetrics import CatMetric

from facegan.config import UserError, check, judges_home
from facegan.judges.weights import IDENTITY_WEIGHTS, save_judge, training_note
from facegan.metrics import Verification
from facegan.nets.au_regressor import augment, to_size
from facegan.nets.lightcnn import FEATURES, LightCNN29v2, to_grey
from facegan.supervised import SupervisedModule

PAIRED = 1500  # pictures of which all pairs are compared in validation: a million pairs


@dataclass
class JudgeIdentityConfig:
    """The recipe; the architecture is that of Wu et al. 2018, the schedule ours."""

    name: str = "judge_identity"
    epochs: int = 10
    lr: float = 1e-3  # peak of the one-cycle schedule
    weight_decay: float = 1e-4  # as the published training
    dropout: float = 0.5  # on the features, as the published training
    width: float = 1.0  # of the published widths
    augment: bool = True
    weights: str | None = None  # file to export; None: judge_identity.safetensors where evaluation looks

    def __post_init__(self) -> None:
        check("method.epochs", self.epochs, at_least=1)
        check("method.lr", self.lr, above=0)
        check("method.width", self.width, at_least=1 / 16, at_most=4)
        check("method.weight_decay", self.weight_decay, at_least=0)
        check("method.dropout", self.dropout, at_least=0, at_most=1)

    @property
    def total_epochs(self) -> int:
        """Epochs of training."""
        return self.epochs


class JudgeIdentity(SupervisedModule):
    """Features (B, 256) that tell people apart, learned by telling the training people apart.

    Args:
        config: a ``JudgeIdentityConfig`` or the dict of one.
        size, batch_size: of the data; this method does not depend on them.
        identities: people in training; two or more.
        seed: of the run.

    Raises:
        UserError: there is one person only.
    """

    monitor = ("val/verification",)
    """What chooses the best checkpoint."""

    def __init__(
        self,
        config: JudgeIdentityConfig | dict[str, Any],
        size: int = 128,
        identities: int = 2,
        batch_size: int = 64,
        seed: int = 0,
    ) -> None:
        config = JudgeIdentityConfig(**config) if isinstance(config, dict) else config
        if identities < 2:
            raise UserError(
                "judge_identity learns to tell people apart, and the training data has one person only. "
                "Train it on generated faces: facegan train judge_identity"
            )
        super().__init__(config, size, identities, batch_size, seed)
        self.config = config
        self.net = LightCNN29v2(config.width)
        self.classifier = nn.Linear(FEATURES, identities, bias=False)
        self.seen_features = CatMetric()
        self.seen_people = CatMetric()
        self.measured: dict[str, float] = {}

    def forward(self, images: Tensor) -> Tensor:
        """(B, 3, S, S) in [-1, 1] -> features (B, 256)."""
        return self.net(to_grey(images.to(self.dtype)))

    def training_step(self, batch: dict[str, Tensor]) -> Tensor:
        """Cross entropy over the training people."""
        images = to_size(batch["image"])
        generator = self.generator()
        if self.config.augment:
            images = augment(images, generator)
        features = self(images)
        kept = torch.empty_like(features).bernoulli_(1 - self.config.dropout, generator=generator)
        logits = self.classifier(features * kept / max(1 - self.config.dropout, 1e-6))
        loss = F.cross_entropy(logits, batch["identity"])
        hit = (logits.detach().argmax(1) == batch["identity"]).float().mean()
        self.log_dict({"train/identity": loss.detach(), "train/accuracy": hit}, batch_size=len(images))
        return loss

    def validation_step(self, batch: dict[str, Tensor]) -> None:
        """Keep features of people that are not in training."""
        self.seen_features.update(self(batch["image"]))
        self.seen_people.update(batch["identity"].float())

    def on_validation_epoch_end(self) -> None:
        """Log the balanced verification accuracy over all pairs."""
        features = torch.as_tensor(self.seen_features.compute()).reshape(-1, FEATURES)
        people = torch.as_tensor(self.seen_people.compute()).reshape(-1)
        self.seen_features.reset()
        self.seen_people.reset()
        chosen = torch.linspace(0, len(people) - 1, min(PAIRED, len(people))).long().to(people.device)
        features, people = F.normalize(features[chosen], dim=1), people[chosen]
        first, second = torch.triu_indices(len(people), len(people), 1, device=people.device)
        same = people[first] == people[second]
        if same.all() or not same.any():
            return
        verification = Verification(balanced=True, sync_on_compute=False)
        verification.update((features @ features.T)[first, second], same)
        result = verification.compute()
        self.log("val/verification", result["balanced_accuracy"].float())
        if not self.trainer.sanity_checking:
            self.measured = {key: round(float(value), 4) for key, value in result.items()}

    def configure_optimizers(self) -> Any:
        """AdamW, one cycle."""
        return self.one_cycle(self.config.lr, self.config.weight_decay)

    def on_fit_end(self) -> None:
        """Export the judge (rank 0)."""
        if self.trainer.is_global_zero:
            path = Path(self.config.weights) if self.config.weights else judges_home() / IDENTITY_WEIGHTS
            self.export(path)
            self.print(f"identity judge: {path}")

    def export(self, path: Path) -> None:
        """Write the weights and what is known of them (JSON) for ``facegan.judges.LightCNNJudge``."""
        about = {
            "judge": "identity",
            "architecture": "LightCNN29v2",
            "width": self.config.width,
            "trained_on": training_note(self.trainer.datamodule),  # type: ignore[attr-defined]
            "batches": self.batches_seen,
            "validation": self.measured,
        }
        save_judge(path, self.net, about)
