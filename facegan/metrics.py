"""What is measured: agreement of action units or landmark geometry, and face verification.

All are ``torchmetrics.Metric``: they take batches, and under DDP they give what one process would give.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torchmetrics import Metric
from torchmetrics.image.fid import FrechetInceptionDistance
from torchmetrics.utilities import dim_zero_cat

CONSTANT = 1e-5  # a column whose range is below this has no correlation (E17)


class Agreement(Metric):
    """Mean squared error and Pearson correlation per column, over all rows (EGGAN 4.2, Table 1).

    Rows in which either side is NaN (a face that could not be judged) are left out and counted. A column that
    is constant on either side has no correlation: NaN, left out of the mean, and counted.

    Args:
        names: one per column, e.g. ``facegan.faces.AU_NAMES``.

    ``compute`` gives ``mse`` and ``pcc`` (K,) float64, ``mse_mean``, ``pcc_mean`` (NaN if no column has one),
    and the counts ``rows``, ``rejected`` (rows) and ``excluded`` (columns without a correlation).
    """

    full_state_update = False
    rejected: Tensor
    rows: Tensor
    minima: Tensor
    maxima: Tensor
    sums: Tensor
    products: Tensor
    squared_error: Tensor

    def __init__(self, names: Sequence[str], **options: Any) -> None:
        super().__init__(**options)
        self.names = tuple(names)
        k = len(self.names)
        double = torch.float64
        self.add_state("rows", torch.zeros((), dtype=torch.long), dist_reduce_fx="sum")
        self.add_state("rejected", torch.zeros((), dtype=torch.long), dist_reduce_fx="sum")
        self.add_state("minima", torch.full((2, k), torch.inf, dtype=double), dist_reduce_fx="min")
        self.add_state("maxima", torch.full((2, k), -torch.inf, dtype=double), dist_reduce_fx="max")
        self.add_state("sums", torch.zeros(2, k, dtype=double), dist_reduce_fx="sum")
        self.add_state("products", torch.zeros(3, k, dtype=double), dist_reduce_fx="sum")  # xx, yy, xy
        self.add_state("squared_error", torch.zeros(k, dtype=double), dist_reduce_fx="sum")

    def update(self, predicted: Tensor, target: Tensor) -> None:
        """Take in rows (B, K) of what was measured and of what was asked for."""
        pair = torch.stack([predicted, target]).to(self.sums.device, torch.float64)
        judged = pair.isfinite().all(dim=(0, 2))
        pair = pair[:, judged]
        self.rejected += (~judged).sum()
        if not judged.any():
            return
        x, y = pair
        self.rows += judged.sum()
        self.minima = torch.minimum(self.minima, pair.amin(1))
        self.maxima = torch.maximum(self.maxima, pair.amax(1))
        self.sums += pair.sum(1)
        self.products += torch.stack([x * x, y * y, x * y]).sum(1)
        self.squared_error += (x - y).square().sum(0)

    def compute(self) -> dict[str, Tensor]:
        """See the class."""
        n = self.rows.clamp_min(1)
        mean_x, mean_y = self.sums / n
        var_x, var_y, covariance = self.products / n - torch.stack([mean_x**2, mean_y**2, mean_x * mean_y])
        constant = ((self.maxima - self.minima) <= CONSTANT).any(0)
        pcc = (covariance / (var_x * var_y).clamp_min(0).sqrt()).clamp(-1, 1)
        pcc = pcc.masked_fill(constant, torch.nan)
        mse = self.squared_error / n
        if self.rows == 0:
            mse, pcc = mse * torch.nan, pcc * torch.nan
        return {
            "mse": mse,
            "pcc": pcc,
            "mse_mean": mse.mean(),
            "pcc_mean": pcc.nanmean(),
            "rows": self.rows,
            "rejected": self.rejected,
            "excluded": pcc.isnan().sum(),
        }


class Presence(Metric):
    """Agreement on whether an AU is there, per AU, over all rows (ICface 4.2, Table 2; docs/icface.md I14).

    Rows in which either side is NaN are left out and counted. An AU that is there in all rows or in none has neither
    score: NaN, left out of the mean, and counted.

    Args:
        names: one per column.
        threshold: intensity from which on an AU counts as present.

    ``compute`` gives ``balanced`` (mean of sensitivity and specificity) and ``f`` (K,) float64 in 0..1,
    ``balanced_mean``, ``f_mean`` (NaN if no AU has one), and the counts ``rows``, ``rejected`` (rows) and ``excluded``
    (AUs).
    """

    full_state_update = False
    counts: Tensor
    rejected: Tensor

    def __init__(self, names: Sequence[str], threshold: float = 1.0, **options: Any) -> None:
        super().__init__(**options)
        self.names, self.threshold = tuple(names), threshold
        # true positives, false positives, true negatives, false negatives
        self.add_state("counts", torch.zeros(4, len(self.names), dtype=torch.long), dist_reduce_fx="sum")
        self.add_state("rejected", torch.zeros((), dtype=torch.long), dist_reduce_fx="sum")

    def update(self, predicted: Tensor, target: Tensor) -> None:
        """Take in rows (B, K) of intensities: what was measured, and what was asked for."""
        judged = predicted.isfinite().all(1) & target.isfinite().all(1)
        self.rejected += (~judged).sum()
        seen, there = predicted[judged] >= self.threshold, target[judged] >= self.threshold
        cells = (seen & there, seen & ~there, ~seen & ~there, ~seen & there)
        self.counts += torch.stack([cell.sum(0) for cell in cells])

    def compute(self) -> dict[str, Tensor]:
        """See the class."""
        hits, alarms, rests, misses = self.counts.double()
        positives, negatives = hits + misses, rests + alarms
        known = (positives > 0) & (negatives > 0)
        balanced = ((hits / positives + rests / negatives) / 2).where(known, torch.nan)
        f = (2 * hits / (2 * hits + alarms + misses)).where(known, torch.nan)
        return {
            "balanced": balanced,
            "f": f,
            "balanced_mean": balanced.nanmean(),
            "f_mean": f.nanmean(),
            "rows": self.counts[:, 0].sum(),
            "rejected": self.rejected,
            "excluded": (~known).sum(),
        }


def accuracy(logits: Tensor, wanted: Tensor) -> Tensor:
    """Share (0..1) of rows whose largest logit (N, K) is that of the wanted class (N,); -1 is never right."""
    return (logits.argmax(1) == wanted).float().mean()


class Verification(Metric):
    """Face verification over real pairs: the best threshold on the similarity, and what it reaches (E16).

    A pair that could not be judged (NaN) is never accepted. Ties go to the widest gap: the threshold lies in
    the middle between the two similarities that it separates.

    Args:
        balanced: choose by the mean of the accuracies on same and on different pairs instead of by accuracy.

    ``compute`` gives ``threshold``, ``accuracy``, ``balanced_accuracy``, ``accepted_same`` (shares 0..1),
    ``mean_same`` and ``mean_different`` similarity over the judged pairs, and the counts ``pairs`` and ``rejected``.
    """

    full_state_update = False
    similarity: list[Tensor]
    same: list[Tensor]

    def __init__(self, balanced: bool = False, **options: Any) -> None:
        super().__init__(**options)
        self.balanced = balanced
        self.add_state("similarity", [], dist_reduce_fx="cat")
        self.add_state("same", [], dist_reduce_fx="cat")

    def update(self, similarity: Tensor, same: Tensor) -> None:
        """Take in pairs: their similarity (N,), and whether they show one person (N,) bool."""
        self.similarity.append(similarity.detach().double().flatten())
        self.same.append(same.bool().flatten())

    def compute(self) -> dict[str, Tensor]:
        """See the class.

        Raises:
            ValueError: there are no same pairs or no different pairs, or none could be judged.
        """
        similarity = dim_zero_cat(self.similarity) if self.similarity else torch.zeros(0)
        same = dim_zero_cat(self.same) if self.same else torch.zeros(0, dtype=torch.bool)
        n_same, n_different = same.sum(), (~same).sum()
        if n_same == 0 or n_different == 0:
            raise ValueError(
                f"verification needs both kinds of pairs; got {n_same} same, {n_different} different"
            )
        judged = similarity.isfinite()
        if not judged.any():
            raise ValueError(f"verification: no face could be judged in any of the {len(same)} pairs")
        order = similarity[judged].argsort(descending=True)
        values, hits = similarity[judged][order], same[judged][order].double()
        zero = hits.new_zeros(1)
        accepted_same = torch.cat([zero, hits.cumsum(0)])  # entry k: the k most similar pairs are accepted
        accepted_different = torch.cat([zero, (1 - hits).cumsum(0)])
        accuracy = (accepted_same + n_different - accepted_different) / (n_same + n_different)
        balanced = (accepted_same / n_same + 1 - accepted_different / n_different) / 2
        edges = torch.cat([values[:1] + CONSTANT, values, values[-1:] - CONSTANT])
        gap = edges[:-1] - edges[1:]
        score = (balanced if self.balanced else accuracy).masked_fill(gap <= 0, -1)  # ties cannot be parted
        best = torch.where(score >= score.max() - 1e-12, gap, gap.new_tensor(-1)).argmax()
        return {
            "threshold": (edges[best] + edges[best + 1]) / 2,
            "accuracy": accuracy[best],
            "balanced_accuracy": balanced[best],
            "accepted_same": accepted_same[best] / n_same,
            "mean_same": similarity[judged & same].mean(),
            "mean_different": similarity[judged & ~same].mean(),
            "pairs": torch.tensor(len(similarity)),
            "rejected": (~judged).sum(),
        }


class Acceptance(Metric):
    """Share of (source, result) pairs that a threshold from real pairs accepts as one person (EGGAN Table 2).

    ``compute`` gives ``accuracy`` (0..1 of all pairs; one that could not be judged is not accepted),
    ``mean_similarity`` (of the judged ones), and the counts ``pairs`` and ``rejected``.
    """

    full_state_update = False
    pairs: Tensor
    accepted: Tensor
    rejected: Tensor
    total: Tensor

    def __init__(self, threshold: float, **options: Any) -> None:
        super().__init__(**options)
        self.threshold = threshold
        for name in ("pairs", "accepted", "rejected"):
            self.add_state(name, torch.zeros((), dtype=torch.long), dist_reduce_fx="sum")
        self.add_state("total", torch.zeros((), dtype=torch.float64), dist_reduce_fx="sum")

    def update(self, similarity: Tensor) -> None:
        """Take in similarities (N,), NaN where a face could not be judged."""
        judged = similarity.isfinite()
        self.pairs += similarity.numel()
        self.rejected += (~judged).sum()
        self.accepted += (similarity >= self.threshold).sum()
        self.total += similarity[judged].double().sum()

    def compute(self) -> dict[str, Tensor]:
        """See the class."""
        return {
            "accuracy": self.accepted / self.pairs,
            "mean_similarity": self.total / (self.pairs - self.rejected),
            "pairs": self.pairs,
            "rejected": self.rejected,
        }


class Given(nn.Identity):
    """Features (B, C) as they are: torchmetrics is given them, so that no picture is looked at twice."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.num_features = width


def frechet_distance(width: int) -> FrechetInceptionDistance:
    """FID over features (B, ``width``) that some judge has already taken of the pictures."""
    return FrechetInceptionDistance(Given(width), sync_on_compute=False)  # the first process evaluates alone
