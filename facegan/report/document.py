"""One document of everything that has been evaluated: the papers' tables with ours beside them, figures, judges."""

import base64
import html
import json
import math
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from markdown_it import MarkdownIt

from facegan.config import runs_home
from facegan.judges.weights import TRUSTED, WEAK
from facegan.report.collection import Evaluated, collect, other_judges
from facegan.report.comparison import comparison_table
from facegan.report.papers import TABLES, PaperTable
from facegan.results import bootstrap
from facegan.runs import Run
from facegan.tables import headlines, markdown_table, number

FIGURES: Mapping[str, str] = {
    "grid.png": "test people and what became of them", "editing.png": "from another picture of the same person",
    "interpolation.png": "from a person's own AUs to others (eq. 8)", "attention.png": "where the network looks",
    "heads.png": "landmarks and identity maps, predicted and true", "errors.png": "errors by pose and by AU",
    "fig5.png": "f(e) by t-SNE", "curves.png": "losses",
}  # fmt: skip
"""Figures of an evaluation by file, and what they show."""

COMPARISONS = "comparisons"
"""Folder of ``facegan compare`` among the runs."""
ABLATIONS = "*-ablation*/ablation.md"
"""Tables of ``facegan ablate`` among the runs."""

OPENING = """# Results

Published figures are those that the papers print, on the data sets that stand beside them; ours stand below them, each
with its data, judges and command under the table. Generated faces are no data set of a paper. "±" is the standard
deviation over seeds (of a cross-validation the standard error over its folds); an interval in brackets holds the mean
with 95 % if people were drawn anew. *copy the source* and *copy the target* are what doing nothing gives.
"""


def document(runs: Iterable[Run], near: Path) -> str:
    """The document as Markdown; its pictures are links from the folder ``near``.

    Raises:
        UserError: no run has been evaluated.
    """
    runs = list(runs)
    evaluations = collect(runs)
    parts = [OPENING]
    for paper in dict.fromkeys(table.paper for table in TABLES):
        parts.append(f"## {paper}\n")
        mine: list[Evaluated] = []
        for table in (table for table in TABLES if table.paper == paper):
            fitting = [one for one in evaluations if table.fits(one.result)]
            parts += [f"### {table.title}\n", paper_table(table, fitting)]
            mine += [one for one in fitting if one.folder not in [m.folder for m in mine]]
        parts += [_figures(_groups(mine), near)] if mine else []
    parts += [_ablations(), _comparisons(near), "## Judges\n", _judges(evaluations), _moved(runs)]
    return "\n".join(part for part in parts if part)


def paper_table(table: PaperTable, evaluations: Sequence[Evaluated]) -> str:
    """A table of a paper: its printed rows, a row for each experiment, run or not, and where they are from."""
    header = ["", "runs", *table.columns]
    blank = ["–"] * len(table.columns)
    rows = [
        [f"{name} (published, {table.on})", "", *(number(v, table.digits) for v in values)]
        for name, values in table.published.items()
    ]
    groups = _groups(evaluations)
    run = {one.experiment for one in evaluations}
    for name in table.experiments:
        if name not in run:
            rows.append([name, f"`{table.command.format(name)}`", *blank])
    for label, group in groups.items():
        newest = group[-1].result
        for row in table.rows:
            if all(_has(table, one.result, row) for one in group):
                rows.append([f"{row}, {label}", "", *_cells(table, group, row)])
        count = (
            f"{len(group)} fold{'s' * (len(group) > 1)}"
            if _folds(group)
            else f"{len(group)} seed{'s' * (len(group) > 1)}"
        )
        rows.append([f"**{newest['method']}**" if label == group[-1].experiment else f"**{label}**", count,
                     *_cells(table, group)])  # fmt: skip
    return "\n".join(
        [markdown_table(header, rows), *(_origin(label, group[-1]) for label, group in groups.items()), ""]
    )


def _groups(evaluations: Sequence[Evaluated]) -> dict[str, list[Evaluated]]:
    groups: dict[str, list[Evaluated]] = {}
    for one in evaluations:
        groups.setdefault(one.label, []).append(one)
    return groups


def _folds(group: Sequence[Evaluated]) -> bool:
    return group[-1].result["protocol"] == "recognition"


def _has(table: PaperTable, result: Mapping[str, Any], row: str) -> bool:
    try:
        return any(value is not None for value in table.row(result, row))
    except KeyError:
        return False


def _cells(table: PaperTable, group: Sequence[Evaluated], row: str | None = None) -> list[str]:
    """A cell for each column: mean, spread over seeds or folds, interval over people."""
    results = [one.result for one in group]
    columns = zip(*(table.row(result, row or result["method"]) for result in results), strict=True)
    cells = []
    for name, values in zip(table.columns, columns, strict=True):
        known = np.array([value for value in values if value is not None and math.isfinite(value)], float)
        if not len(known):
            cells.append("–")
            continue
        cell = number(known.mean(), table.digits)
        if len(known) > 1:
            spread = known.std(ddof=1) / (
                math.sqrt(len(known)) if results[0]["protocol"] == "recognition" else 1
            )
            cell += f" ± {number(spread, table.digits)}"
        if row is None and name in table.by_pair:
            cell += _interval(group, *table.by_pair[name], table.digits)
        cells.append(cell)
    return cells


def _interval(group: Sequence[Evaluated], column: str, factor: float, digits: int) -> str:
    """`` [low, high]`` over people, of all seeds together; nothing where no figures of pairs are kept."""
    tables = [pd.read_csv(one.folder / "pairs.csv") for one in group if (one.folder / "pairs.csv").is_file()]
    tables = [table for table in tables if column in table and "person" in table]
    if not tables or pd.concat(tables)["person"].nunique() < 3:
        return ""
    _, low, high = bootstrap(pd.concat(tables), column)
    return f" [{number(factor * low, digits)}, {number(factor * high, digits)}]"


def _origin(label: str, one: Evaluated) -> str:
    result = one.result
    people = result.get("test_people", result.get("people"))
    said = [
        f"data: {result['data'].rstrip('.')}",
        *(f"judge of {kind}: {text}" for kind, text in _named(result["judges"])),
        f"{result.get('pairs', result.get('pictures', 0)):,} {'pairs' if 'pairs' in result else 'pictures'}"
        + (f", {people:,} test people" if people else ""),
        f"command: `{result['command']}`", f"folder: `{one.folder.parent.name}`",
    ]  # fmt: skip
    if one.changes and one.changes not in label:
        said.insert(0, f"changed: `{one.changes}`")
    return f"* **{label}**: " + "; ".join(said) + "."


def _named(judges: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Each judge and what it is, one by one."""
    named: list[tuple[str, str]] = []
    for kind, text in judges.items():
        each = (
            list(text.values()) if isinstance(text, Mapping) else text if isinstance(text, list) else [text]
        )
        named += [(kind, one) for one in each]
    return named


def _figures(groups: Mapping[str, Sequence[Evaluated]], near: Path) -> str:
    lines = []
    for label, group in groups.items():
        folder = group[-1].folder
        for name, what in FIGURES.items():
            places = [folder / name, folder.parent.parent / name]
            path = next((place for place in places if place.is_file()), None)
            if path is not None:
                lines.append(_link(path, f"{label}: {what}", near))
    return "\n".join(["### Figures\n", *lines]) if lines else ""


def _ablations() -> str:
    """What ``facegan ablate`` has written, with its headings two levels down; or how to have it."""
    tables = [path.read_text().strip() for path in sorted(runs_home().glob(ABLATIONS))]
    if not tables:
        tables = [
            "Not run yet: `facegan ablate eggan_demo --seeds 3` trains an experiment and its ablations."
        ]
    shifted = [re.sub(r"^#", "###", table, flags=re.M) + "\n" for table in tables]
    return "\n".join(["## Ablations over seeds\n", *shifted])


def _comparisons(near: Path) -> str:
    """What ``facegan compare`` has found, newest first; or how to have such a table."""
    parts = ["## All methods, one task\n"]
    found = sorted(
        runs_home().glob(f"{COMPARISONS}/*/comparison.json"), key=lambda path: -path.stat().st_mtime
    )
    if not found:
        parts.append("Not run yet: `facegan compare RUN RUN …` sets runs of any methods the same task.\n")
    for path in found:
        parts.append(comparison_table(json.loads(path.read_text())))
        for name, what in (
            ("pareto.png", "the person kept against the expression reached"),
            ("grid.png", "pairs"),
        ):
            if (path.parent / name).is_file():
                parts.append(_link(path.parent / name, what, near))
    return "\n".join(parts)


def _link(path: Path, what: str, near: Path) -> str:
    place = Path(os.path.relpath(path.absolute(), near.absolute())).as_posix()
    return f"*{what}*\n\n![{what}]({place})\n"


def _judges(evaluations: Sequence[Evaluated]) -> str:
    """Every judge that a figure above rests on, and where it is not to be trusted."""
    used: dict[tuple[str, str], list[str]] = {}
    for one in evaluations:
        for kind, text in _named(one.result["judges"]):
            used.setdefault((kind, text), []).append(one.label)
    rows = [
        [kind, text, "**weak**" if WEAK in text else "", ", ".join(dict.fromkeys(labels))]
        for (kind, text), labels in used.items()
    ]
    least = ", ".join(f"{name} {value}" for name, value in TRUSTED.values())
    return "\n".join([
        markdown_table(["of", "judge, and what it reached on people it did not learn from", "", "for"], rows),
        f"Weak is below {least}: differences that such a judge sees may be its own.\n",
    ])  # fmt: skip


def _moved(runs: Sequence[Run]) -> str:
    """How far the figures of one run move with another judge."""
    parts = []
    for run in runs:
        results = other_judges(run)
        judged = {str(result["judges"]): result for result in results}
        same_question = {(result["data"], result["pairs"]) for result in judged.values()}
        if len(judged) < 2 or len(same_question) > 1:
            continue
        figures = [headlines(result) for result in judged.values()]
        names = [name for name in figures[0] if all(name in other for other in figures)]
        rows = [
            [f"`{result['command']}`", *(number(values[name], 3) for name in names)]
            for result, values in zip(judged.values(), figures, strict=True)
        ]
        first = next(iter(judged.values()))
        parts += [
            f"{first['method']}, one run, asked of different judges:\n",
            markdown_table(["", *names], rows),
        ]
    return "\n".join(["### The same run, other judges\n", *parts]) if parts else ""


STYLE = """
:root { color-scheme: light dark; --line: #8884; --faint: #888; }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 76rem; margin: 2rem auto; padding: 0 1rem; }
table { border-collapse: collapse; display: block; overflow-x: auto; font-size: 13px; }
table { font-variant-numeric: tabular-nums; }
th, td { border-bottom: 1px solid var(--line); padding: .25rem .6rem; white-space: nowrap; }
td:first-child, th:first-child { position: sticky; left: 0; background: Canvas; }
ul { font-size: 12px; color: var(--faint); padding-left: 1rem; }
img { max-width: 100%; }
code { font-size: .92em; }
nav { columns: 2; font-size: 14px; }
"""


def as_html(markdown: str, near: Path) -> str:
    """The document as one HTML file that needs no other: pictures and style are in it."""
    body = MarkdownIt("commonmark").enable("table").render(markdown)
    places: list[str] = []

    def anchor(match: re.Match[str]) -> str:
        places.append(match[2])
        return f'<h{match[1]} id="s{len(places)}">{match[2]}</h{match[1]}>'

    body = re.sub(r"<h([23])>(.*?)</h\1>", anchor, body)
    body = re.sub(r'src="([^"]+\.png)"', lambda m: f'src="{_embedded(near / html.unescape(m[1]))}"', body)
    contents = "".join(
        f'<a href="#s{k}">{place}</a><br>' for k, place in enumerate(places, 1) if place != "Figures"
    )
    first, rest = body.split("</h1>", 1)
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><title>facegan: results</title>'
        f"<style>{STYLE}</style></head><body>{first}</h1><nav>{contents}</nav>{rest}</body></html>\n"
    )


def _embedded(path: Path) -> str:
    return "data:image/png;base64," + base64.b64encode(path.read_bytes()).decode()


def write_report(runs: Iterable[Run], out: Path) -> Path:
    """Write the document as ``out``'s suffix says: .md, or .html with its pictures in it."""
    text = document(runs, out.parent)
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(as_html(text, out.parent) if out.suffix == ".html" else text)
    return out
