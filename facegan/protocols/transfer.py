"""Transfer onto people never trained on (TER-GAN 4.2): does the result show the source's expression, and the target?

Sources and targets are drawn among the test people, always two of them; ``pairs.csv`` publishes the list.
"""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.progress import track
from torch import Tensor
from torch.nn import functional as F

from facegan import figures, report
from facegan.config import UserError
from facegan.faces import EXPRESSIONS, UNKNOWN_EXPRESSION
from facegan.findings import write_findings
from facegan.judges import ExpressionJudge, Judges, similarity
from facegan.metrics import Acceptance
from facegan.pixels import to_uint8
from facegan.protocols import same_person
from facegan.protocols.common import (
    Protocol,
    by_person,
    json_ready,
    real_pairs,
    real_pairs_by,
    write_pairs,
    write_samples,
)
from facegan.tables import COPY_SOURCE, COPY_TARGET

Transfer = Callable[[Tensor, Tensor], Tensor]
"""Sources and targets (B, 3, S, S) in [-1, 1] -> the targets with the sources' expressions."""


@dataclass(frozen=True)
class Likeness:
    """A cosine similarity that a paper reports, between the result and one of its two pictures.

    ``features``: pictures (B, 3, S, S) -> (B, F); ``to``: "source" or "target"; ``network``: whose features.
    """

    features: Callable[[Tensor], Tensor]
    to: str
    network: str
    threshold: float | None = None


def choose_pairs(test: Any, count: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Indices (P,) of sources and of targets in the test split: every picture a source in turn, its target another
    person's.

    Raises:
        UserError: there are not two test people.
    """
    people = by_person(test)
    if len(people) < 2:
        raise UserError(f"a transfer needs two test people; the test split has {len(people)}")
    rng = np.random.default_rng(seed)
    identity, n = np.asarray(test.identity), len(test.identity)
    sources = np.concatenate([rng.permutation(n) for _ in range(-(-count // n))])[:count]
    targets = rng.integers(0, n, len(sources))
    while (same := identity[targets] == identity[sources]).any():
        targets[same] = rng.integers(0, n, same.sum())
    return sources, targets


def evaluate(
    transfer: Transfer,
    data: Any,
    judge: ExpressionJudge,
    judges: Judges,
    out_dir: Path,
    *,
    method: str,
    command: str = "",
    log: Path | None = None,
    protocol: Protocol | None = None,
    likenesses: Mapping[str, Likeness] | None = None,
    recognise: Callable[[Tensor], Sequence[str]] | None = None,
) -> dict[str, Any]:
    """Judge transfers between test people, beside copying either picture.

    Where no picture has a label, what the judge says of the source is what it should say of the result.

    Args:
        transfer: the method.
        data: a data module with ``test``.
        judge: of expressions; not a network of the method.
        judges: of identity, and their landmark finder.
        out_dir: gets ``evaluation.json``, ``table.md``, ``pairs.csv``, ``grid.png`` and ``editing.png``.
        method: name of its row.
        command: what was typed, for the table.
        log: the run's CSV log, for ``curves.png``.
        likenesses: similarities to report beside, by name.
        recognise: the method's own names of the expressions in faces; where there are labels, how often they are right
            on the sources is reported.

    Returns:
        What ``evaluation.json`` holds: ``expression`` (share 0..1 recognised as the source's, by row), ``identity``
        (``real`` and ``Acceptance`` of the target's person, by judge and row), ``likeness`` (``network``, ``to``,
        and of each row its ``mean`` cosine and the ``share`` at the threshold or above), ``same_person`` (what
        ``protocols.same_person`` gives), ``recognised_by_itself`` (share 0..1, or None), names of data and judges.

    Raises:
        UserError: there are not two test people, or the judge knows none of their expressions.
    """
    protocol = protocol or Protocol()
    out_dir.mkdir(parents=True, exist_ok=True)
    sources, targets = choose_pairs(data.test, protocol.targets, protocol.seed)
    known = np.array(
        [judge.expressions.index(e) if e in judge.expressions else -1 for e in EXPRESSIONS] + [-1]
    )
    # an expression that is not known is -1, which is the last place
    labelled = bool((np.asarray(data.test.expression) >= 0).any())
    wanted = known[np.asarray(data.test.expression)[sources]]
    if labelled:
        sources, targets, wanted = (values[wanted >= 0] for values in (sources, targets, wanted))
    if not len(sources):
        raise UserError(
            f"the expression judge knows {', '.join(judge.expressions)}; no test picture shows one of them"
        )
    rows = (COPY_SOURCE, COPY_TARGET, method)
    right = dict.fromkeys(rows, 0)
    real = {j.name: real_pairs(j, judges.finder, data.test, protocol) for j in judges.identity}
    accepted = {
        (row, name): Acceptance(float(values["threshold"]), sync_on_compute=False)
        for name, values in real.items()
        if "threshold" in values
        for row in rows
    }
    of_pairs: dict[str, list[Tensor]] = defaultdict(list)
    found: dict[str, dict[str, list[Tensor]]] = {
        name: {row: [] for row in rows} for name in (likenesses or {})
    }
    size, named = protocol.batch_size, 0
    for start in track(range(0, len(sources), size), "Evaluating", disable=not protocol.progress):
        part = slice(start, start + size)
        x_s, x_t = (data.test.batch(index[part])["image"] for index in (sources, targets))
        with torch.no_grad():
            result = transfer(x_s, x_t).cpu()
        if not start:
            write_samples(out_dir / "samples", source=x_s, target=x_t, result=result)
        if recognise is not None and labelled:
            truth = [judge.expressions[k] for k in wanted[part]]
            named += sum(own == name for own, name in zip(recognise(x_s), truth, strict=True))
        if not labelled:
            wanted[part] = judge(x_s).argmax(1).numpy()
        persons = {j.name: j(x_t, judges.finder(x_t)) for j in judges.identity}
        for row, images in zip(rows, (x_s, x_t, result), strict=True):
            hit = judge(images).argmax(1).numpy() == wanted[part]
            right[row] += int(hit.sum())
            if row == method:
                of_pairs["recognised"].append(torch.from_numpy(hit).float())
            points = judges.finder(images)
            for j in judges.identity:
                if (row, j.name) not in accepted:
                    continue
                likeness = similarity(persons[j.name], j(images, points))
                accepted[row, j.name].update(likeness)
                if row == method:
                    of_pairs[f"cosine_{j.name}"].append(likeness)
                    of_pairs[f"verified_{j.name}"].append(
                        (likeness >= accepted[row, j.name].threshold).float()
                    )
            for name, like in (likenesses or {}).items():
                other = x_s if like.to == "source" else x_t
                alike = F.cosine_similarity(like.features(images), like.features(other))
                found[name][row].append(alike)
                if row == method:
                    of_pairs[f"likeness_{name}"].append(alike)
                    if like.threshold is not None:
                        of_pairs[f"likeness_{name}_verified"].append((alike >= like.threshold).float())
    identity: dict[str, Any] = {name: {"real": {"reason": text}} for name, text in judges.missing.items()}
    for name, values in real.items():
        scores = {row: metric.compute() for (row, of), metric in accepted.items() if of == name}
        identity[name] = {"real": values, **scores}
    result_of_all: dict[str, Any] = json_ready({
        "protocol": "transfer",
        "method": method,
        "command": command,
        "data": data.describe(),
        "generated": data.generated,
        "pairs": len(sources),
        "expression_by": "the label" if labelled else "the judge, of the source",
        "test_people": len(np.unique(np.asarray(data.test.identity)[sources])),
        "judges": {"expression": judge.description, "identity": [j.description for j in judges.identity]},
        "recognised_by_itself": named / len(sources) if recognise is not None and labelled else None,
        "expression": {row: count / len(sources) for row, count in right.items()},
        "identity": identity,
        "likeness": {
            name: _scores(like, found[name])
            | ({"real": real_pairs_by(like.features, data.test, protocol)} if like.to == "target" else {})
            for name, like in (likenesses or {}).items()
        },
        "same_person": same_person.evaluate(
            transfer, data, out_dir / "editing.png", method=method, protocol=protocol
        ),
    })  # fmt: skip
    people = [data.test.identities[k] for k in np.asarray(data.test.identity)[targets].tolist()]
    pictures = {"source": (data.test, sources), "target": (data.test, targets)}
    write_pairs(out_dir / "pairs.csv", people, of_pairs, **pictures)
    write_findings(out_dir, result_of_all)
    (out_dir / "table.md").write_text(report.transfer_table(result_of_all))
    _figure(transfer, data, out_dir / "grid.png", protocol)
    if log is not None:
        figures.curves(log, out_dir / "curves.png", figures.provenance(data.generated))
    return result_of_all


def _scores(like: Likeness, found: Mapping[str, list[Tensor]]) -> dict[str, Any]:
    scores: dict[str, Any] = {"network": like.network, "to": like.to, "threshold": like.threshold}
    for row, parts in found.items():
        values = torch.cat(parts).float()
        share = None if like.threshold is None else (values >= like.threshold).float().mean()
        scores[row] = {"mean": values.mean(), "share": share}
    return scores


def _figure(transfer: Transfer, data: Any, path: Path, protocol: Protocol) -> Path:
    """TER-GAN's Fig. 3, AIP-GAN's Fig. 2: one source of each expression (columns) onto test people (rows).

    Where a person shows more than the neutral face the target is not neutral, as in the latter.
    """
    test = data.test
    expression, people = np.asarray(test.expression), by_person(test)
    codes = np.unique(expression[expression >= 0])
    # the last person gives the expressions, as far as that person shows them
    sources = [
        int(next(iter([*people[-1][expression[people[-1]] == c], *np.flatnonzero(expression == c)])))
        for c in codes
    ] or [int(person[0]) for person in people[-protocol.rows :]]
    plain = (UNKNOWN_EXPRESSION, EXPRESSIONS.index("neutral"))
    targets = [
        int(next((row for row in person if expression[row] not in plain), person[0]))
        for person in people[: protocol.rows]
    ]
    x_s, x_t = test.batch(np.array(sources))["image"], test.batch(np.array(targets))["image"]
    rows: list[list[Any]] = [[None, *to_uint8(x_s)]]
    for face in x_t:
        with torch.no_grad():
            result = transfer(x_s, face.expand_as(x_s)).cpu()
        rows.append([to_uint8(face[None])[0], *to_uint8(result)])
    labels = ["source", *(str(test.identities[np.asarray(test.identity)[row]]) for row in targets)]
    columns = ["target", *([EXPRESSIONS[c] for c in codes] or [""] * len(sources))]
    return figures.save(path, figures.grid(rows, columns, labels, figures.provenance(data.generated)))
