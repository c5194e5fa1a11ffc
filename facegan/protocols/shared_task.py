"""One task for all methods: give a test person the expression of another test person's picture.

A method that transfers is given that picture; one that edits its AUs; one that reenacts its AUs and the person's own
head pose. So every method is asked for the same thing on the same people, and judged alike.
"""

import json
import platform
import time
import warnings
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from rich.progress import track
from torch import Tensor, nn
from torchmetrics import MeanMetric
from torchmetrics.image import StructuralSimilarityIndexMeasure
from torchmetrics.image.kid import KernelInceptionDistance
from torchmetrics.image.lpip import LearnedPerceptualImagePatchSimilarity

from facegan import figures
from facegan.config import UserError
from facegan.faces import AU_NAMES, EXPRESSIONS
from facegan.intervals import correlation, interval, mean_of, product_of
from facegan.judges import ExpressionJudge, Judges, as_judged, similarity
from facegan.metrics import Acceptance, Agreement, Given, frechet_distance
from facegan.pixels import to_uint8
from facegan.protocols import same_person
from facegan.protocols.common import Protocol, au_columns, json_ready, real_pairs, write_pairs
from facegan.tables import COPY_SOURCE, COPY_TARGET

Picture = tuple[str, int, str]
"""A picture's path, its frame and its view."""

LPIPS_FILE = "alexnet-owt-7be5be79.pth"
"""Weights that LPIPS's network has from torchvision, in torch's own cache."""

KID_DRAWS = 50
"""Draws of pictures that KID is the mean of."""


@dataclass(frozen=True)
class Entrant:
    """A method that takes part: ``synthesise`` (source batch, target batch) -> pictures (B, 3, S, S) in [-1, 1].

    ``data`` has the test split in the size and crop of its training; ``trained_on`` describes what it has learnt from.
    """

    name: str
    synthesise: Callable[[Mapping[str, Tensor], Mapping[str, Tensor]], Tensor]
    data: Any
    trained_on: str
    parameters: int


def parameters_used(synthesise: Callable[[], Tensor], module: nn.Module) -> int:
    """How many of the module's numbers a picture depends on: those that have a gradient."""
    frozen = [p for p in module.parameters() if not p.requires_grad]
    module.requires_grad_(True)
    with torch.enable_grad():
        synthesise().sum().backward()
    used = sum(p.numel() for p in module.parameters() if p.grad is not None)
    module.zero_grad(set_to_none=True)
    for p in frozen:
        p.requires_grad_(False)
    return used


class _Row:
    """What is measured of one row of the table; ``pairs`` has the columns of ``pairs.csv``, batch by batch."""

    def __init__(self, thresholds: Mapping[str, float], width: int, subset: int) -> None:
        self.au = Agreement(AU_NAMES, sync_on_compute=False)
        self.accepted = {name: Acceptance(value, sync_on_compute=False) for name, value in thresholds.items()}
        self.pairs: dict[str, list[Tensor]] = defaultdict(list)
        self.aus: dict[str, list[Tensor]] = defaultdict(list)
        warnings.filterwarnings(
            "ignore", "Metric `Kernel Inception Distance` will save all extracted features.*"
        )
        self.fid = frechet_distance(width)
        self.kid = KernelInceptionDistance(Given(width), subset_size=subset, subsets=KID_DRAWS)

    def update(self, judged: Mapping[str, Tensor], real: Tensor, wanted_au: Tensor, wanted: Tensor) -> None:
        """Take in what the judges say of a batch, and the features of as many real pictures."""
        self.au.update(judged["au"], wanted_au)
        self.pairs["au_mse"].append((judged["au"] - wanted_au).square().mean(1))
        for name, values in au_columns(wanted_au, judged["au"]).items():
            self.aus[name].append(values)
        self.pairs["recognised"].append((judged["expression"] == wanted).float())
        for name, acceptance in self.accepted.items():
            acceptance.update(judged[name])
            self.pairs[f"cosine_{name}"].append(judged[name])
            self.pairs[f"verified_{name}"].append((judged[name] >= acceptance.threshold).float())
        for metric in (self.fid, self.kid):
            metric.update(real, real=True)
            metric.update(judged["features"], real=False)

    def compute(self, people: Sequence[str]) -> dict[str, Any]:
        """Figures of all pairs; intervals over ``people``, the target's name of each pair (P,)."""
        agreement = self.au.compute()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)  # KID draws pictures: the same command has the same table
            kid, spread = self.kid.compute()
        columns = {name: torch.cat(pieces) for name, pieces in (self.pairs | self.aus).items()}
        table = pd.DataFrame({"person": people} | {name: column.numpy() for name, column in columns.items()})
        sure = {name: mean_of(name) for name in ("au_mse", "recognised")} | {"au_pcc": correlation()}
        for name in self.accepted:
            sure[f"verified_{name}"] = mean_of(f"verified_{name}")
            sure[f"product_{name}"] = product_of("recognised", f"verified_{name}")
        return {
            "au_mse": agreement["mse_mean"], "au_pcc": agreement["pcc_mean"],
            "recognised": columns["recognised"].mean(),
            "identity": {name: metric.compute() for name, metric in self.accepted.items()},
            "intervals": {name: interval([table], statistic) for name, statistic in sure.items()},
            # equal pictures come out a hair below 0: the matrix root's rounding
            "fid": self.fid.compute().clamp_min(0), "kid": kid, "kid_spread": spread,
        }  # fmt: skip


def evaluate(
    entrants: Sequence[Entrant],
    judge: ExpressionJudge,
    judges: Judges,
    out_dir: Path,
    *,
    command: str = "",
    protocol: Protocol | None = None,
) -> dict[str, Any]:
    """Set the task to every entrant, and to the two trivial rows, on the same pairs.

    Args:
        entrants: whose data modules show the same raw pictures, each at its own size.
        judge: of expressions.
        judges: of AUs and identity.
        out_dir: gets ``comparison.json``, ``grid.png`` and ``pairs.csv``.
        command: what was typed.

    Returns:
        What ``comparison.json`` holds: by row ``au_mse``, ``au_pcc``, ``recognised`` (share 0..1), ``identity`` by
        judge, 95 % ``intervals`` over target people, ``fid``, ``kid``; of entrants ``lpips``, ``l1`` and
        ``ssim`` of same-person pairs, ``fps``, ``parameters``.

    Raises:
        UserError: the data have no two people with AUs and expressions in common.
    """
    protocol = protocol or Protocol()
    out_dir.mkdir(parents=True, exist_ok=True)
    first, align = entrants[0].data.test, entrants[0].data.align
    paths = [_paths(entrant.data.test) for entrant in entrants]
    sources, targets = choose_pairs(first, set.intersection(*map(set, paths)), judge, protocol)
    keys = list(paths[0])
    places = [
        [np.array([of[keys[row]] for row in rows.tolist()]) for rows in (sources, targets)] for of in paths
    ]
    real = {j.name: real_pairs(j, judges.finder, first, protocol, align) for j in judges.identity}
    thresholds = {name: float(values["threshold"]) for name, values in real.items() if "threshold" in values}
    width = int(judges.au.about["channels"][-1])
    names = (COPY_SOURCE, COPY_TARGET, *(entrant.name for entrant in entrants))
    pictures = len(np.unique(sources))
    # draws of all pictures would be one and the same, without a spread
    subset = max(2, min(pictures // 2, 100))
    rows = {name: _Row(thresholds, width, subset) for name in names}
    known = torch.tensor([judge.expressions.index(e) if e in judge.expressions else -1 for e in EXPRESSIONS])
    wanted = known[torch.as_tensor(np.asarray(first.expression)[sources])]
    seconds = dict.fromkeys(names, 0.0)

    def judged(images: Tensor, persons: Mapping[str, Tensor], align: str) -> dict[str, Tensor]:
        images, points = as_judged(images, judges.finder(images), align)
        like = {
            j.name: similarity(persons[j.name], j(images, points))
            for j in judges.identity
            if j.name in persons
        }
        features = judges.au.features(images)
        return {"au": judges.au(images), "features": features, "expression": judge(images).argmax(1), **like}

    size = protocol.batch_size
    for start in track(range(0, len(sources), size), "Comparing", disable=not protocol.progress):
        part = slice(start, start + size)
        x_s, x_t = first.batch(sources[part]), first.batch(targets[part])
        shown = as_judged(x_t["image"], judges.finder(x_t["image"]), align)
        persons = {j.name: j(*shown) for j in judges.identity if j.name in thresholds}
        of_source = judged(x_s["image"], persons, align)
        real_features = of_source["features"]
        rows[COPY_SOURCE].update(of_source, real_features, x_s["au"], wanted[part])
        of_target = judged(x_t["image"], persons, align)
        rows[COPY_TARGET].update(of_target, real_features, x_s["au"], wanted[part])
        for entrant, (own_sources, own_targets) in zip(entrants, places, strict=True):
            own_s = entrant.data.test.batch(own_sources[part])
            own_t = entrant.data.test.batch(own_targets[part])
            begin = time.perf_counter()
            with torch.inference_mode():
                images = entrant.synthesise(own_s, own_t).float().cpu()
            seconds[entrant.name] += time.perf_counter() - begin
            scores_of = judged(images, persons, entrant.data.align)
            rows[entrant.name].update(scores_of, real_features, x_s["au"], wanted[part])
    people = [first.identities[k] for k in np.asarray(first.identity)[targets].tolist()]
    scores = {name: row.compute(people) for name, row in rows.items()}
    for entrant in entrants:
        about = {
            "fps": len(sources) / seconds[entrant.name], "parameters": entrant.parameters,
            "trained_on": entrant.trained_on, "size": entrant.data.picture_size,
        }  # fmt: skip
        scores[entrant.name] |= about | _same_person(entrant.synthesise, entrant.data.test, protocol)
    scores[COPY_SOURCE] |= _same_person(lambda source, target: source["image"], first, protocol)
    scores[COPY_TARGET] |= _same_person(lambda source, target: target["image"], first, protocol)
    noted = {f"{column} {name}": row.pairs[column] for name, row in rows.items() for column in row.pairs}
    write_pairs(out_dir / "pairs.csv", people, noted, source=(first, sources), target=(first, targets))
    result: dict[str, Any] = json_ready({
        "protocol": "comparison", "command": command, "data": entrants[0].data.describe(),
        "generated": entrants[0].data.generated, "pairs": len(sources),
        "test_people": len(set(people)),
        "fid and kid": {"pictures": pictures, "features": width, "draws": KID_DRAWS, "drawn": subset},
        "judges": {
            "au": judges.au.description, "expression": judge.description,
            "identity": [j.description for j in judges.identity],
            "fid and kid": f"last conv map of the {judges.au.description}",
        },
        "speed on": _machine(),
        "real": {name: values.get("accuracy") for name, values in real.items()}, "rows": scores,
    })  # fmt: skip
    (out_dir / "comparison.json").write_text(json.dumps(result, indent=2) + "\n")
    _grid(entrants, places, out_dir / "grid.png", protocol)
    return result


def _machine() -> str:
    """What the pictures were made on."""
    if torch.cuda.is_available():
        return torch.cuda.get_device_name()
    about = Path("/proc/cpuinfo")
    named = (
        [line for line in about.read_text().splitlines() if line.startswith("model name")]
        if about.is_file()
        else []
    )
    name = named[0].partition(":")[2].strip() if named else platform.processor() or platform.machine()
    return f"{name}, threads: {torch.get_num_threads()}, beside whatever else ran there"


def choose_pairs(
    test: Any, shared: set[Picture], judge: ExpressionJudge, protocol: Protocol
) -> tuple[np.ndarray, np.ndarray]:
    """Indices (P,) in the first entrant's test split of sources (with AUs and a known expression) and targets.

    Args:
        shared: pictures that every entrant has.

    Raises:
        UserError: there are not two people left.
    """
    identity, expression = np.asarray(test.identity), np.asarray(test.expression)
    everywhere = np.array([picture in shared for picture in _paths(test)])
    named = np.isin(expression, [EXPRESSIONS.index(name) for name in judge.expressions])
    sources = np.flatnonzero(everywhere & named & np.isfinite(test.au).all(1))
    targets = np.flatnonzero(everywhere & np.isfinite(test.au).all(1))
    if len(np.unique(identity[targets])) < 2 or not len(sources):
        raise UserError(
            "a comparison needs two test people whose pictures have AUs, and expressions that the judge knows "
            f"({', '.join(judge.expressions)}); there are {len(np.unique(identity[targets]))} people with AUs and "
            f"{len(sources)} pictures with both"
        )
    rng = np.random.default_rng(protocol.seed)
    sources = np.resize(rng.permutation(sources), min(protocol.targets, 4 * len(sources)))
    chosen = rng.choice(targets, len(sources))
    while (same := identity[chosen] == identity[sources]).any():
        chosen[same] = rng.choice(targets, int(same.sum()))
    return sources, chosen


def _paths(test: Any) -> dict[Picture, int]:
    """The row of each picture; frames of one film, and both halves of a dual view, share a path."""
    records = test.records
    frames, views, names = records.numbers("frame").tolist(), records.codes("view"), records.names("view")
    return {(records.path(row), frames[row], names[views[row]]): row for row in range(len(test.identity))}


def _same_person(
    synthesise: Callable[[Mapping[str, Tensor], Mapping[str, Tensor]], Tensor], test: Any, protocol: Protocol
) -> dict[str, Any]:
    """Between pictures of one person, where the source is the truth: L1, SSIM, LPIPS where its weights are there."""
    known = np.isfinite(test.au).all(1)
    sources, targets = same_person.choose_pairs(test, min(protocol.targets, 400), protocol.seed)
    kept = known[sources] & known[targets] if len(sources) else np.empty(0, bool)
    sources, targets = sources[kept], targets[kept]
    if not len(sources):
        return {}
    l1, ssim = MeanMetric(), StructuralSimilarityIndexMeasure(data_range=2.0)
    weights = Path(torch.hub.get_dir()) / "checkpoints" / LPIPS_FILE
    lpips = LearnedPerceptualImagePatchSimilarity("alex") if weights.is_file() else None
    for start in range(0, len(sources), protocol.batch_size):
        part = slice(start, start + protocol.batch_size)
        x_s, x_t = test.batch(sources[part]), test.batch(targets[part])
        with torch.inference_mode():
            images = synthesise(x_s, x_t).float().cpu().clamp(-1, 1)
        l1.update((images - x_s["image"]).abs().flatten(1).mean(1))
        ssim.update(images, x_s["image"])
        if lpips is not None:
            lpips.update(images, x_s["image"])
    return {
        "same_person_pairs": len(sources), "l1": l1.compute(), "ssim": ssim.compute(),
        "lpips": None if lpips is None else lpips.compute(),
    }  # fmt: skip


def _grid(
    entrants: Sequence[Entrant], places: Sequence[Sequence[np.ndarray]], path: Path, protocol: Protocol
) -> None:
    """Some pairs (rows): source, target, and what each entrant makes of them."""
    shown = np.linspace(0, len(places[0][0]) - 1, min(8, len(places[0][0]))).astype(int)
    columns: list[Any] = []
    for k, (entrant, (sources, targets)) in enumerate(zip(entrants, places, strict=True)):
        x_s, x_t = entrant.data.test.batch(sources[shown]), entrant.data.test.batch(targets[shown])
        with torch.inference_mode():
            images = entrant.synthesise(x_s, x_t).float().cpu()
        columns += [] if k else [to_uint8(x_s["image"]), to_uint8(x_t["image"])]
        columns.append(to_uint8(images))
    rows = [list(row) for row in zip(*columns, strict=True)]
    short = [entrant.name.partition(" (")[0] for entrant in entrants]
    names = short if len(set(short)) == len(short) else map(str, range(1, len(short) + 1))
    header = ["source", "target", *names]
    picture = figures.grid(rows, header, caption=figures.provenance(entrants[0].data.generated), size=112)
    figures.save(path, picture)
