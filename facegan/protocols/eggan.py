"""EGGAN's evaluation (4.2, 4.3): Table 1 (AUs), Table 2 (identity), and the figures, as functions.

The pairs are fixed (E15): the targets are pictures of the training split, 1,392 or as many as there are, and
each is met by the neutral frontal picture of a test person, round-robin. ``pairs.csv`` publishes the list.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.progress import track
from torch import Tensor

from facegan import figures, report
from facegan.config import UserError
from facegan.faces import AU_NAMES
from facegan.findings import SOURCES, write_findings
from facegan.judges import GEOMETRY, Judges, similarity
from facegan.metrics import Acceptance, Agreement, frechet_distance
from facegan.protocols.common import (
    Edit,
    Protocol,
    au_columns,
    choose_sources,
    grid_figure,
    interpolation_figure,
    json_ready,
    real_pairs,
    write_pairs,
    write_samples,
)
from facegan.tables import COPY_SOURCE, COPY_TARGET

COPIED_TARGETS = 300  # at most so many targets are looked at by the identity judges


def choose_pairs(
    data: Any, targets: int = 1392, seed: int = 0, strong: bool = False
) -> tuple[np.ndarray, np.ndarray]:
    """The pair list (E15): indices (P,) of sources in the test split and (P,) of targets in training.

    Args:
        strong: as of ``choose_sources``.

    Raises:
        UserError: there are no test pictures, or no training pictures with AUs.
    """
    rng = np.random.default_rng(seed)
    known = np.flatnonzero(np.isfinite(data.train.au).all(1))
    if not len(data.test.au) or not len(known):
        raise UserError(
            "EGGAN's evaluation needs test people and training pictures with AUs; looked in the data and "
            f"found {len(data.test.au):,} test pictures and {len(known):,} training pictures with AUs. "
            "Hold people out, as in data.test_fraction=0.1, or give data.test_roots"
        )
    chosen = rng.permutation(known)[:targets]
    sources = rng.permutation(choose_sources(data.test, strong))
    return sources[np.arange(len(chosen)) % len(sources)], chosen


def evaluate(
    edit: Edit,
    data: Any,
    judges: Judges,
    out_dir: Path,
    *,
    method: str = "EGGAN",
    command: str = "",
    log: Path | None = None,
    protocol: Protocol | None = None,
) -> dict[str, Any]:
    """Measure an editing method by EGGAN's protocol.

    Args:
        edit: the method. data: a data module, set up: ``train``, ``test`` (splits with ``batch(indices)``,
        ``au``, ``identity``,
            ``expression``, ``records``, ``identities``), ``generated``, ``describe()``.
        judges: none of them may be a network of the method's losses.
        out_dir: gets ``evaluation.json``, ``table1.md``, ``table2.md``, ``pairs.csv`` and the figures.
        method: what the rows of the tables call it.
        command: what was typed, for the tables.
        log: the run's ``metrics.csv``, for the curves.
        protocol: sizes and seed.

    Returns:
        What ``evaluation.json`` holds: ``table1``, ``table2``, ``summary``, and names of data and judges.
    """
    protocol = protocol or Protocol()
    out_dir.mkdir(parents=True, exist_ok=True)
    sources, targets = choose_pairs(data, protocol.targets, protocol.seed, protocol.strong)
    scores = _Scores(edit, data, judges, protocol, sources, targets, out_dir / "samples")
    table1, table2 = scores.run(method)
    people = [data.test.identities[k] for k in np.asarray(data.test.identity)[sources].tolist()]
    pictures = {"source": (data.test, sources), "target": (data.train, targets)}
    write_pairs(out_dir / "pairs.csv", people, scores.of_pairs, **pictures)
    result: dict[str, Any] = {
        "protocol": "eggan",
        "method": method,
        "command": command,
        "data": data.describe(),
        "generated": data.generated,
        "pairs": len(targets),
        "sources": SOURCES[protocol.strong],
        "test_people": len(np.unique(sources)),
        "judges": {
            "au": judges.au.description,
            "geometry": judges.geometry.description,
            "fid": f"last conv map of the {judges.au.description}",
            "identity": [judge.description for judge in judges.identity],
        },
        "table1": table1,
        "table2": table2,
        "summary": _summary(table1, table2, method),
    }
    write_findings(out_dir, json_ready(result))
    (out_dir / "table1.md").write_text(report.eggan_table1(result))
    (out_dir / "table2.md").write_text(report.eggan_table2(result))
    grid_figure(edit, data, out_dir / "grid.png", protocol)
    interpolation_figure(edit, data, out_dir / "interpolation.png", protocol)
    if log is not None:
        figures.curves(log, out_dir / "curves.png", figures.provenance(data.generated))
    return result


class _Scores:
    """One pass over the pairs, with the measures of all tables.

    Attributes:
        of_pairs: of each pair's result, in their order: its AUs as asked and as read, ``au_mse`` over them, and by each
            identity judge its ``cosine`` to the source and whether it is ``verified``, 0 or 1.
    """

    def __init__(
        self,
        edit: Edit,
        data: Any,
        judges: Judges,
        protocol: Protocol,
        sources: np.ndarray,
        targets: np.ndarray,
        samples: Path,
    ) -> None:
        self.samples = samples
        self.edit, self.data, self.judges, self.protocol = edit, data, judges, protocol
        self.sources, self.targets = sources, targets
        self.of_pairs: dict[str, list[Tensor]] = {}

    def run(self, method: str) -> tuple[dict[str, Any], dict[str, Any]]:
        """Both tables as nested dicts of plain numbers and lists."""
        judges = self.judges
        names = (COPY_SOURCE, COPY_TARGET, method)
        # the first process evaluates alone: nothing may wait for the others
        au = {name: Agreement(AU_NAMES, sync_on_compute=False) for name in names}
        shape = {name: Agreement(GEOMETRY, sync_on_compute=False) for name in names}
        change = {name: Agreement(GEOMETRY, sync_on_compute=False) for name in names}
        width = judges.au.features(self.data.test.batch(self.sources[:1])["image"]).shape[1]
        fid = {name: frechet_distance(width) for name in names}
        seen, neutral = self._source_answers(), self._neutral_geometry()
        real = {
            judge.name: real_pairs(judge, judges.finder, self.data.test, self.protocol)
            for judge in judges.identity
        }
        accepted = {
            (name, judge.name): Acceptance(float(real[judge.name]["threshold"]), sync_on_compute=False)
            for judge in judges.identity
            if "threshold" in real[judge.name]
            for name in names
        }
        done = 0
        for source_rows, target_rows in self._chunks():
            place = np.searchsorted(seen["rows"], source_rows)
            source, target = self.data.test.batch(source_rows), self.data.train.batch(target_rows)
            with torch.no_grad():
                edited = self.edit(source["image"], target["au"]).cpu()
            if not done:
                write_samples(self.samples, source=source["image"], target=target["image"], result=edited)
            edited_points, target_points = judges.finder(edited), judges.finder(target["image"])
            asked_shape = judges.geometry(target["image"], target["landmarks"])

            faces_own = neutral[np.asarray(self.data.train.identity)[target_rows]]
            before, copied, after = (
                seen["geometry"][place],
                judges.geometry(target["image"], target_points),
                judges.geometry(edited, edited_points),
            )

            looks = {COPY_SOURCE: seen["features"][place], COPY_TARGET: judges.au.features(target["image"])}
            looks[method] = judges.au.features(edited)
            for name, features in looks.items():
                fid[name].update(looks[COPY_TARGET], real=True)
                fid[name].update(features, real=False)

            au[COPY_SOURCE].update(seen["au"][place], target["au"])
            au[COPY_TARGET].update(judges.au(target["image"]), target["au"])
            reached = judges.au(edited)
            au[method].update(reached, target["au"])
            self._note("au_mse", (reached - target["au"]).square().mean(1))
            for name, values in au_columns(target["au"], reached).items():
                self._note(name, values)
            shape[COPY_SOURCE].update(before, asked_shape)
            shape[COPY_TARGET].update(copied, asked_shape)
            shape[method].update(after, asked_shape)
            change[COPY_SOURCE].update(before - before, asked_shape - faces_own)
            change[COPY_TARGET].update(copied - faces_own, asked_shape - faces_own)
            change[method].update(after - before, asked_shape - faces_own)
            for judge in judges.identity:
                if (method, judge.name) not in accepted:
                    continue
                wanted = seen[judge.name][place]
                likeness = similarity(wanted, judge(edited, edited_points))
                accepted[COPY_SOURCE, judge.name].update(similarity(wanted, wanted))
                accepted[method, judge.name].update(likeness)
                self._note(f"cosine_{judge.name}", likeness)
                self._note(
                    f"verified_{judge.name}", (likeness >= accepted[method, judge.name].threshold).float()
                )
                if done < COPIED_TARGETS:
                    copied = judge(target["image"], target_points)
                    accepted[COPY_TARGET, judge.name].update(similarity(wanted, copied))
            done += len(target_rows)
        table1 = {
            "au": {name: json_ready(metric.compute()) for name, metric in au.items()},
            "geometry": {name: json_ready(metric.compute()) for name, metric in shape.items()},
            "geometry_change": {name: json_ready(metric.compute()) for name, metric in change.items()},
            "fid": {
                name: float(metric.compute()) if len(self.targets) > 1 else None
                for name, metric in fid.items()
            },
        }
        table2: dict[str, Any] = {name: {"real": {"reason": text}} for name, text in judges.missing.items()}
        for judge in judges.identity:
            rows = {name: metric.compute() for (name, of), metric in accepted.items() if of == judge.name}
            table2[judge.name] = json_ready({"real": real[judge.name], **rows})
        return table1, table2

    def _note(self, name: str, values: Tensor) -> None:
        self.of_pairs.setdefault(name, []).append(values)

    def _chunks(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        size = self.protocol.batch_size
        starts = range(0, len(self.targets), size)
        shown = track(starts, "Evaluating", disable=not self.protocol.progress)
        return ((self.sources[start : start + size], self.targets[start : start + size]) for start in shown)

    def _batches(self, part: Any, rows: np.ndarray) -> Iterator[dict[str, Tensor]]:
        size = self.protocol.batch_size
        return (part.batch(rows[start : start + size]) for start in range(0, len(rows), size))

    def _source_answers(self) -> dict[str, Any]:
        """What the judges say of the source pictures, each looked at once."""
        rows = np.unique(self.sources)
        answers: dict[str, list[Tensor]] = {}
        for batch in self._batches(self.data.test, rows):
            points = self.judges.finder(batch["image"])
            answers.setdefault("au", []).append(self.judges.au(batch["image"]))
            answers.setdefault("features", []).append(self.judges.au.features(batch["image"]))
            answers.setdefault("geometry", []).append(self.judges.geometry(batch["image"], points))
            for judge in self.judges.identity:
                answers.setdefault(judge.name, []).append(judge(batch["image"], points))
        return {"rows": rows} | {key: torch.cat(parts) for key, parts in answers.items()}

    def _neutral_geometry(self) -> Tensor:
        """The geometry (people, 4) of each training person's neutral face: what is the face, not its expression."""
        rows = choose_sources(self.data.train)
        geometry = self.judges.geometry
        parts = [geometry(b["image"], b["landmarks"]) for b in self._batches(self.data.train, rows)]
        return torch.cat(parts)


def _ratio(a: float | None, b: float | None) -> float | None:
    return None if a is None or not b else a / b


def _summary(table1: dict[str, Any], table2: dict[str, Any], method: str) -> dict[str, Any]:
    """The few figures that bars are set on; the worse judge counts."""
    ours, copied, shape = table1["au"][method], table1["au"][COPY_SOURCE], table1["geometry"][method]
    shares = {
        name: _ratio(rows[method]["accuracy"], rows["real"]["accuracy"])
        for name, rows in table2.items()
        if method in rows
    }
    correlations = [value for value in (ours["pcc_mean"], shape["pcc_mean"]) if value is not None]
    return {
        "au_pcc": ours["pcc_mean"],
        "au_mse": ours["mse_mean"],
        "au_mse_over_copy_source": _ratio(ours["mse_mean"], copied["mse_mean"]),
        "geometry_pcc": shape["pcc_mean"],
        "geometry_change_pcc": table1["geometry_change"][method]["pcc_mean"],
        "mouth_opening_pcc": shape["pcc"][GEOMETRY.index("mouth opening")],
        "worse_judge_pcc": min(correlations, default=None),
        "rejected": shape["rejected"],
        "fid": table1["fid"][method],
        "cosine": {name: rows[method]["mean_similarity"] for name, rows in table2.items() if method in rows},
        "verification_over_real": shares,
        "worse_verification_over_real": min(
            (share for share in shares.values() if share is not None), default=None
        ),
    }
