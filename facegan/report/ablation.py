"""The table of an experiment and its ablations over seeds, and what the papers say of them beside it."""

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image

from facegan import figures
from facegan.config import UserError
from facegan.experiment_config import variants as variants_of
from facegan.findings import MARK, headlines, judges_of, on_real, read_findings, rests_on, weak_judges
from facegan.intervals import headline_statistics, interval_of_difference, kept
from facegan.judges.weights import TRUSTED
from facegan.published import ABLATION_CLAIMS
from facegan.report.collection import Evaluated, by_judges
from facegan.report.judges import each_judge
from facegan.runs import experiments
from facegan.tables import markdown_table, number

COMMAND = "ablation.json"
"""What ``facegan ablate`` leaves among its runs: the command that made them."""

Variants = Mapping[str, Mapping[int, Evaluated]]
"""Evaluations by variant, the whole experiment first, and by seed."""


def ablation_table(variants: Variants, command: str, seeds: int | None = None) -> str:
    """Headline figures, mean ± standard deviation over the seeds that are done; the paper's claims; the judges.

    Args:
        command: what fills the table.
        seeds: how many there are to be.
    """
    found = {name: {k: headlines(one.result) for k, one in each.items()} for name, each in variants.items()}
    every = [one.result for each in variants.values() for one in each.values()]
    weak = set().union(*map(weak_judges, every))
    columns = list(dict.fromkeys(key for each in found.values() for one in each.values() for key in one))
    rows = []
    for name, each in found.items():
        cells = [(_spread([one.get(key) for one in each.values()]), key) for key in columns]
        rows.append([
            name, f"{len(each)} of {seeds}" if seeds else str(len(each)),
            *(cell + MARK * bool(cell != "–" and rests_on(key) & weak) for cell, key in cells),
        ])  # fmt: skip
    whole = next(iter(variants))
    text = [
        f"# {whole} and its ablations\n", markdown_table(["", "seeds", *columns], rows),
        "Mean over the seeds that are done ± their standard deviation; each run's own tables name data and judges.\n",
        *_claims(found, whole, weak, variants), *_judges(every), f"* Command: `{command}`",
    ]  # fmt: skip
    return "\n".join(text) + "\n"


def families(evaluations: Sequence[Evaluated]) -> list[tuple[str, list[Variants]]]:
    """Every experiment that is evaluated beside an ablation of it; a table by each set of judges, the runs' own first.

    Of runs that differ from their YAMLs, only those with the same changes belong together.
    """
    runs = [one for one in evaluations if one.experiment in experiments() and _measured(one.result)]
    known = {one.experiment for one in runs}
    found = []
    for whole, changed in dict.fromkeys((one.experiment, one.changes) for one in runs):
        names = [name for name in variants_of(whole) if name in known]
        tables: dict[str, dict[str, dict[int, Evaluated]]] = {}
        for one in runs:
            if one.experiment not in names or one.changes != changed:
                continue
            for judged in by_judges(one):
                of = tables.setdefault(str(judged.result["judges"]), {name: {} for name in names})
                of[one.experiment].setdefault(one.seed, judged)
        both = [
            of for of in tables.values() if of[whole] and any(of[name] for name in names if name != whole)
        ]
        if both:
            found.append((f"{whole} {changed}".strip(), list[Variants](both)))
    return found


def ablated(variants: Variants) -> str | None:
    """The command of ``facegan ablate`` among whose runs all of these are; None: they are of several places."""
    homes = {one.folder.parent.parent for each in variants.values() for one in each.values()}
    path = homes.pop() / COMMAND
    with suppress(UserError):
        return None if homes else str(read_findings(path, ("command",))["command"])
    return None


def _measured(result: Mapping[str, Any]) -> bool:
    return result["protocol"] != "recognition"  # a fold of a cross-validation has a table of its own


def _claims(
    found: Mapping[str, Mapping[int, Mapping[str, float]]], whole: str, weak: set[str], variants: Variants
) -> list[str]:
    """Each of the paper's statements about these ablations beside what came of it, seed by seed."""
    rows = []
    for name, by_seed in found.items():
        claim = ABLATION_CLAIMS.get(name.removeprefix(f"{whole}_"))
        if claim is None:
            continue
        statement, measures, direction = claim
        asked = " and ".join(f"{measure} …" for measure in measures)
        both = [(k, found[whole][k], one) for k, one in by_seed.items() if k in found[whole]]
        keys = sorted({key for _, *pair in both for one in pair for key in one if key.startswith(measures)})
        lacking = [k for k, *pair in both if not all(any(key in one for key in keys) for one in pair)]
        if lacking:
            again = " and ".join(f"`{variants[one][lacking[0]].result['command']}`" for one in (whole, name))
            rows.append([statement, asked, "–", "", f"not measured in {len(lacking)}", f"again: {again}"])
        if not both:
            rows.append([statement, asked, "–", "", "", "no seed of both is done yet"])
        for key in keys:
            sign = 1 if direction == "higher" else -1
            seeds = [k for k, a, b in both if key in a and key in b]
            gaps = np.array([b[key] - a[key] for k, a, b in both if k in seeds])
            if not len(gaps):
                continue
            people = _over_people(key, *([variants[one][k] for k in seeds] for one in (name, whole)))
            as_said = int((sign * gaps > 0).sum())
            verdict = (
                "one seed says little" if len(gaps) == 1
                else "**in every seed**" if as_said == len(gaps)
                else "**not reproduced**, though in the mean by more than its standard error"
                if sign * gaps.mean() > gaps.std(ddof=1) / len(gaps) ** 0.5
                else "**not reproduced**"
            )  # fmt: skip
            seen = f"{key} {direction}{MARK * bool(rests_on(key) & weak)}"
            rows.append([statement, seen, _spread(gaps), people, f"{as_said} of {len(gaps)}", verdict])
    if not rows:
        return []
    header = ["the paper", "measured by", "difference", "over people", "seeds as stated", ""]
    return [
        "## What the paper's ablation says\n", markdown_table(header, rows),
        "Difference: without the part less with it, seed by seed. By chance alone three seeds agree once in eight.\n"
        "Over people: 95 % of its mean over seeds if the same runs were tested on people drawn anew.\n",
    ]  # fmt: skip


def _over_people(figure: str, without: Sequence[Evaluated], whole: Sequence[Evaluated]) -> str:
    """The interval of a difference over people; nothing where not all pairs have what it needs."""
    tables = [one.pairs for one in (*without, *whole)]
    statistic = headline_statistics(list(map(str, tables[0]))).get(figure)
    if statistic is None or not kept(tables, statistic):
        return ""
    ends = interval_of_difference([o.pairs for o in without], [o.pairs for o in whole], statistic)
    return "[{}, {}]".format(*(number(end, 3) for end in ends))


def _judges(results: Sequence[Mapping[str, Any]]) -> list[str]:
    """The judges of all runs, and what the mark stands for."""
    texts = dict.fromkeys(text for result in results for _, text in each_judge(judges_of(result)))
    lines = [f"* Judge: {text}." for text in texts]
    weak = [
        f"{name} {TRUSTED[measure][0]} {number(min(values), 2)} to {number(max(values), 2)}"
        for name, measure, values in _on_real(results)
    ]
    if any(map(weak_judges, results)):
        on_them = f" on the test people's own, untouched pictures {', '.join(weak)}." if weak else ""
        lines.append(
            f"* {MARK} by a weak judge, or by a network of the method's loss:{on_them} What it sees may be its own."
        )
    return lines


def _on_real(results: Sequence[Mapping[str, Any]]) -> list[tuple[str, str, list[float]]]:
    """Each weak judge, with how it did on the untouched pictures, run by run."""
    weak: dict[tuple[str, str], list[float]] = {}
    for result in results:
        for name, (measure, value) in on_real(result).items():
            if name in weak_judges(result):
                weak.setdefault((name, measure), []).append(value)
    return [(*key, values) for key, values in weak.items()]


def _spread(values: Iterable[float | None]) -> str:
    known = np.array([value for value in values if value is not None], float)
    if not len(known):
        return "–"
    return number(known.mean(), 3) + (f" ± {number(known.std(ddof=1), 3)}" if len(known) > 1 else "")


def ablation_figure(whole: str, runs: Sequence[Evaluated], rows: int = 4) -> Path | None:
    """The same pairs by each variant, as in EGGAN's Fig. 4: source, target, and what each made of them.

    Drawn from the samples of the evaluations of one seed, into the folder of ``whole``'s evaluation; None where two
    variants have no seed and no pair in common.
    """
    by_seed: dict[int, dict[str, Evaluated]] = {}
    for one in runs:
        by_seed.setdefault(one.seed, {})[one.experiment] = one
    for _, variant in sorted(by_seed.items()):
        if whole not in variant or len(variant) < 2:
            continue
        names = [whole, *(name for name in variant if name != whole)]
        first = variant[whole]
        asked = _asked(first.pairs)[:rows]
        if not asked or any(_asked(one.pairs)[:rows] != asked for one in variant.values()):
            continue
        samples = [
            (first.folder, "source"),
            (first.folder, "target"),
            *((variant[n].folder, "result") for n in names),
        ]
        paths = [
            [folder / "samples" / f"{k:02d}-{kind}.png" for folder, kind in samples]
            for k in range(len(asked))
        ]
        if all(path.is_file() for row in paths for path in row):
            cells = [[np.asarray(Image.open(path).convert("RGB")) for path in row] for row in paths]
            header = ["source", "target", "whole", *(name.removeprefix(f"{whole}_") for name in names[1:])]
            caption = figures.provenance(first.result.get("generated"))
            picture = figures.grid(cells, header, caption=caption, size=128)
            return figures.save(first.folder / "ablations.png", picture)
    return None


def _asked(pairs: pd.DataFrame) -> list[tuple[str, str]]:
    """Source and target of an evaluation's pairs, in order."""
    return (
        list(zip(pairs["source"], pairs["target"], strict=True)) if {"source", "target"} <= set(pairs) else []
    )
