"""AIP-GAN's evaluation (4.4): Table 1 through the recognisers of its losses and through a judge apart, Fig. 2, and
what the paper does not show: the attention of every level, and the pictures that the two heads draw.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from facegan import figures, report
from facegan.faces import EXPRESSIONS
from facegan.findings import write_findings
from facegan.judges import ExpressionJudge, Judges
from facegan.judges.weights import IN_LOSS
from facegan.pixels import to_uint8
from facegan.protocols import transfer
from facegan.protocols.common import Protocol, json_ready
from facegan.protocols.landmark_images import ShapeModel, error
from facegan.protocols.transfer import Likeness

FACE_VERIFIED = 0.68
"""Cosine similarity of fc7 at which two faces are called the same person (4.4; docs/aipgan.md A24)."""


def likenesses(module: Any, judge: ExpressionJudge) -> dict[str, Likeness]:
    """Table 1's two measures by the networks of the losses, where they are at hand, and Exp-Sim by ``judge`` (A18)."""

    def through(function: Any) -> Any:
        def features(images: Tensor) -> Tensor:
            with torch.inference_mode():
                return function(images.to(module.device)).flatten(1).float().cpu()

        return features

    found: dict[str, Likeness] = {}
    own, published = f"its own recogniser, {IN_LOSS}", f"VGG-Face, published; {IN_LOSS}"
    here = module.config.recogniser == "trained"
    if module.R_i is not None:
        found["face"] = Likeness(
            through(module.R_i.embed), "target", own if here else published, FACE_VERIFIED
        )
    if module.R_e is not None:
        given = not here and module.config.expression_weights is not None
        found["expression"] = Likeness(through(module.R_e.last_maps), "source", published if given else own)
    found["expression_judge"] = Likeness(judge.features, "source", "judge_expression, not in the loss")
    return found


def evaluate(
    module: Any,
    data: Any,
    judge: ExpressionJudge,
    judges: Judges,
    out_dir: Path,
    *,
    trained: Any,
    trained_on: str | None = None,
    protocol: Protocol | None = None,
    **said: Any,
) -> dict[str, Any]:
    """The transfer protocol with Table 1 beside it.

    Args:
        module: an ``AIPGAN``.
        data: a data module with ``test``.
        judge, judges: of expressions, and of identity; not networks of the method.
        out_dir: gets what ``protocols.transfer.evaluate`` writes, ``table1.md``, ``attention.png``, ``heads.png``.
        trained: the training split, whose landmarks give the shape model.
        trained_on: name of the data set, if that is another one than ``data``'s (the cross-data columns).
        said: as of ``protocols.transfer.evaluate``.

    Returns:
        What ``evaluation.json`` holds: that of the transfer protocol, ``trained_on`` and ``heads``.
    """
    protocol = protocol or Protocol()

    def move(source: Tensor, target: Tensor) -> Tensor:
        with torch.inference_mode():
            return module.transfer(source.to(module.device), target.to(module.device)).float()

    found = transfer.evaluate(
        move, data, judge, judges, out_dir, protocol=protocol, likenesses=likenesses(module, judge), **said
    )
    found |= {"protocol": "aipgan", "trained_on": trained_on}
    rows = _spread(data.test, protocol)
    found["heads"] = json_ready(_heads(module, trained, data.test, rows))
    write_findings(out_dir, found)
    (out_dir / "table1.md").write_text(report.aipgan_table1(found))
    attention_figure(module, data, out_dir / "attention.png", protocol)
    heads_figure(module, data, out_dir / "heads.png", protocol)
    return found


def _spread(part: Any, protocol: Protocol) -> np.ndarray:
    """Pictures all over a split that are not neutral, at most as many as there are targets."""
    shown = np.flatnonzero(np.asarray(part.expression) != EXPRESSIONS.index("neutral"))
    return shown[np.linspace(0, len(shown) - 1, min(len(shown), protocol.targets)).astype(int)]


def _heads(
    module: Any, train: Any, test: Any, rows: np.ndarray, batch_size: int = 64
) -> dict[str, Any] | None:
    """How near H and Z are to the truth; of the pictures whose person has an identity map. None: there are none.

    ``picture_mse`` is of the picture itself in the place of H, ``copy_mse`` of the picture cut out by the true
    outline, which is told it; ``inside_mse`` is what to set beside that, of H within the outline. ``linear_mse`` is
    what is left of a true H when the best linear code of h's length has been drawn again: its principal components
    over training maps.
    """
    some = np.linspace(0, len(train) - 1, min(len(train), 2000)).astype(int)
    learnt = train.batch(some)
    if "identity_map" not in learnt:
        return None
    model = ShapeModel.of(learnt["landmarks"].numpy())
    mean, directions = _components(learnt["identity_map"], module.config.identity_code)
    sums = dict.fromkeys((
        "map_mse", "picture_mse", "inside_mse", "copy_mse", "linear_mse", "landmarks", "mean_shape",
    ), 0.0)  # fmt: skip
    count = 0
    for start in range(0, len(rows), batch_size):
        batch = test.batch(rows[start : start + batch_size])
        if "identity_map" not in batch:
            return None
        has_map = (batch["identity_map"] > -1).flatten(1).any(1)
        x, wanted, true = (batch[key][has_map] for key in ("image", "identity_map", "landmarks"))
        if not len(x):
            continue
        with torch.inference_mode():
            drawn = module.identity_maps(x.to(module.device)).float().cpu()
            dots = module.landmark_images(x.to(module.device)).float().cpu()
        outline = (wanted > -1).any(1, keepdim=True)  # outside the mesh H is black
        read = model.read(dots.clone())
        sums["map_mse"] += _mse(drawn, wanted)
        sums["picture_mse"] += _mse(x, wanted)
        sums["inside_mse"] += _mse(torch.where(outline, drawn, wanted), wanted)
        sums["copy_mse"] += _mse(torch.where(outline, x, wanted), wanted)
        code = (wanted.flatten(1) - mean) @ directions
        sums["linear_mse"] += _mse((mean + code @ directions.T).view_as(wanted), wanted)
        sums["landmarks"] += float(error(read, true).sum())
        sums["mean_shape"] += float(error(model.mean.expand_as(true), true).sum())
        count += len(x)
    return {name: value / count for name, value in sums.items()} | {"pictures": count} if count else None


def _components(maps: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """Mean (P,) and principal directions (P, count) of the maps (N, 3, S, S) that are not black."""
    flat = maps[(maps > -1).flatten(1).any(1)].flatten(1).float()
    mean = flat.mean(0)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        directions = torch.svd_lowrank(flat - mean, q=min(count, *flat.shape), niter=4)[2]
    return mean, directions


def _mse(a: Tensor, b: Tensor) -> float:
    return float(F.mse_loss(a, b, reduction="none").flatten(1).mean(1).sum())


def attention_figure(module: Any, data: Any, path: Path, protocol: Protocol) -> Path:
    """One test picture of each expression (rows) under the attention of every level (columns)."""
    expression = np.asarray(data.test.expression)
    codes = [int(code) for code in np.unique(expression[expression >= 0])]
    rows = [int(np.flatnonzero(expression == code)[0]) for code in codes] or [0]
    images = data.test.batch(rows)["image"]
    with torch.inference_mode():
        levels = [level[:, 0].float().cpu().numpy() for level in module.attention(images.to(module.device))]
    labels = [EXPRESSIONS[code] for code in codes] or ["not labelled"]
    picture = figures.attention(to_uint8(images), levels, labels, figures.provenance(data.generated))
    return figures.save(path, picture)


def heads_figure(module: Any, data: Any, path: Path, protocol: Protocol) -> Path | None:
    """Test pictures that are not neutral: landmarks and identity map as predicted, and as they are.

    Of people who have an identity map; where nobody has, of all.
    """
    # enough to find people with a map among, few enough to hold at once
    batch = data.test.batch(_spread(data.test, Protocol(targets=16 * protocol.rows)))
    if not {"identity_map", "landmark_map"} <= batch.keys() or not len(batch["image"]):
        return None
    has_map = (batch["identity_map"] > -1).flatten(1).any(1)
    known = torch.nonzero(has_map if has_map.any() else torch.ones_like(has_map))[:, 0]
    shown = known[torch.linspace(0, len(known) - 1, min(len(known), protocol.rows)).long()]
    batch = {key: batch[key][shown] for key in ("image", "identity_map", "landmark_map")}
    x = batch["image"]
    with torch.inference_mode():
        dots = module.landmark_images(x.to(module.device)).float().cpu()
        maps = module.identity_maps(x.to(module.device)).float().cpu()
    pictures: Mapping[str, Tensor] = {
        "input": x,
        "Z, predicted": dots.clamp(0, 1).expand(-1, 3, -1, -1) * 2 - 1,
        "Z": batch["landmark_map"].expand(-1, 3, -1, -1) * 2 - 1,
        "H, predicted": maps,
        "H": batch["identity_map"],
    }
    table = np.stack([to_uint8(picture) for picture in pictures.values()], 1)
    return figures.save(
        path,
        figures.grid(
            [list(row) for row in table], list(pictures), caption=figures.provenance(data.generated)
        ),
    )
