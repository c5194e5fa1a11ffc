"""The table of an experiment and its ablations over seeds, and what the papers say of them beside it."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from facegan.findings import MARK, headlines, on_real, rests_on, weak_judges
from facegan.judges.weights import TRUSTED
from facegan.published import ABLATION_CLAIMS
from facegan.report.judges import each_judge
from facegan.tables import markdown_table, number

Findings = Mapping[str, Mapping[int, Mapping[str, Any]]]
"""By variant, the whole experiment first, and by seed: what the evaluation found."""


def ablation_table(results: Findings, seeds: int, home: str, command: str) -> str:
    """Headline figures, mean ± standard deviation over the seeds that are done; the paper's claims; the judges.

    Args:
        seeds: how many there are to be.
        home: name of the folder of all these runs.
        command: what fills the table.
    """
    found = {name: {k: headlines(one) for k, one in each.items()} for name, each in results.items()}
    every = [one for each in results.values() for one in each.values()]
    weak = set().union(*map(weak_judges, every))
    columns = list(dict.fromkeys(key for each in found.values() for one in each.values() for key in one))
    rows = []
    for name, each in found.items():
        cells = [(_spread([one.get(key) for one in each.values()]), key) for key in columns]
        rows.append([
            name, f"{len(each)} of {seeds}",
            *(cell + MARK * bool(cell != "–" and rests_on(key) & weak) for cell, key in cells),
        ])  # fmt: skip
    whole = next(iter(results))
    text = [
        f"# {whole} and its ablations\n", markdown_table(["", "seeds", *columns], rows),
        "Mean over the seeds that are done ± their standard deviation; each run's own tables name data and judges.\n",
        *_claims(found, whole, weak, home), *_judges(every), f"* Command: `{command}`",
    ]  # fmt: skip
    return "\n".join(text) + "\n"


def _claims(
    found: Mapping[str, Mapping[int, Mapping[str, float]]], whole: str, weak: set[str], home: str
) -> list[str]:
    """Each of the paper's statements about these ablations beside what came of it, seed by seed."""
    rows = []
    for name, results in found.items():
        claim = ABLATION_CLAIMS.get(name.removeprefix(f"{whole}_"))
        if claim is None:
            continue
        statement, figure, direction = claim
        both = [(k, found[whole][k], one) for k, one in results.items() if k in found[whole]]
        keys = sorted({key for _, *pair in both for one in pair for key in one if key.startswith(figure)})
        lacking = [k for k, *pair in both if not all(any(key in one for key in keys) for one in pair)]
        if lacking:
            lack = f"`facegan evaluate {home}/{{}}-seed{lacking[0]}` (of both, and of each such seed)"
            rows.append([statement, f"{figure} …", "–", f"not measured in {len(lacking)}", lack.format(name)])
        if not both:
            rows.append([statement, f"{figure} …", "–", "", "no seed of both is done yet"])
        for key in keys:
            sign = 1 if direction == "higher" else -1
            gaps = np.array([b[key] - a[key] for _, a, b in both if key in a and key in b])
            if not len(gaps):
                continue
            as_said = int((sign * gaps > 0).sum())
            verdict = (
                "one seed says little" if len(gaps) == 1
                else "**in every seed**" if as_said == len(gaps)
                else "**not reproduced**, though in the mean by more than its standard error"
                if sign * gaps.mean() > gaps.std(ddof=1) / len(gaps) ** 0.5
                else "**not reproduced**"
            )  # fmt: skip
            seen = f"{key} {direction}{MARK * bool(rests_on(key) & weak)}"
            rows.append([statement, seen, _spread(gaps), f"{as_said} of {len(gaps)}", verdict])
    if not rows:
        return []
    header = ["the paper", "measured by", "difference", "seeds as stated", ""]
    return [
        "## What the paper's ablation says\n", markdown_table(header, rows),
        "Difference: without the part less with it, seed by seed. By chance alone three seeds agree once in eight.\n",
    ]  # fmt: skip


def _judges(results: Sequence[Mapping[str, Any]]) -> list[str]:
    """The judges of all runs, and what the mark stands for."""
    texts = dict.fromkeys(text for result in results for _, text in each_judge(result["judges"]))
    lines = [f"* Judge: {text}." for text in texts]
    weak = [
        f"{name} {TRUSTED[measure][0]} {number(min(values), 2)} to {number(max(values), 2)}"
        for name, measure, values in _on_real(results)
    ]
    if weak:
        lines.append(
            f"* {MARK} by a weak judge: on the test people's own, untouched pictures {', '.join(weak)}. "
            "What it sees may be its own."
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
