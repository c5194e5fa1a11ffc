"""One document of everything that has been evaluated: the papers' tables with ours beside them, figures, judges."""

import math
import re
import shlex
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from facegan.config import UserError, runs_home
from facegan.findings import MARK, judges_of, read_findings, rests_on, weak_judges
from facegan.intervals import Statistic, interval, kept
from facegan.report.ablation import ablated, ablation_figure, ablation_table, families
from facegan.report.collection import Evaluated, collect
from facegan.report.comparison import comparison_table
from facegan.report.html import as_html
from facegan.report.judges import each_judge, judges_table, moved
from facegan.report.papers import TABLES, PaperTable
from facegan.report.pictures import figures_of, link
from facegan.runs import Run, pretrained
from facegan.tables import markdown_table, number

COMPARISONS = "comparisons"
"""Folder of ``facegan compare`` among the runs."""

WIDE, BREAK = 10, "<br>"
"""In tables with more columns an interval stands below its mean."""

OPENING = """# Results

Published figures are those that the papers print, on the data sets that stand beside them; ours stand below them, each
with its data, judges and command under the table. Generated faces are no data set of a paper. "±" is the standard
deviation over seeds (of a cross-validation the standard error over its folds); an interval in brackets holds the mean
with 95 % if people were drawn anew, those whose faces the results show. *copy the source* and *copy the target* are
what doing nothing gives. "†" stands behind figures of a weak judge, or of a network that the method was trained to
please (see Judges). The papers' tables give an interval in the rows of methods, for AUs, expressions, persons, angles
and CNNIQA, where there are three such people or more and the evaluation kept each pair's figure (older ones did not
of all); FID, geometry, L1 and SSIM have none.
"""


def document(runs: Iterable[Run], near: Path) -> str:
    """The document as Markdown; its pictures are links from the folder ``near``.

    What cannot be read is named in it, and is not in the tables.
    """
    runs = list(runs)
    evaluations, broken = collect(runs)
    parts = [OPENING]
    if not evaluations:
        parts.append(
            "No run has been evaluated yet: `facegan train eggan_demo` is one of minutes, `facegan evaluate RUN` fills "
            "the rows of a run, `facegan runs` lists them.\n"
        )
    pictured = {one.folder: table.paper for table in TABLES for one in evaluations if table.fits(one.result)}
    for paper in dict.fromkeys(table.paper for table in TABLES):
        parts.append(f"## {paper}\n")
        for table in (table for table in TABLES if table.paper == paper):
            fitting = [one for one in evaluations if table.fits(one.result)]
            parts += [f"### {table.title}\n", paper_table(table, fitting)]
        parts.append(
            figures_of(_groups([one for one in evaluations if pictured.get(one.folder) == paper]), near)
        )
    compared, halves = _comparisons(near)
    parts += [
        _ablations(evaluations, near),
        compared,
        "## Judges\n",
        judges_table(evaluations),
        moved(evaluations),
    ]
    if broken + halves:
        parts.append("\n".join(["## Not read\n", *(f"* {text}" for text in broken + halves), ""]))
    return "\n".join(part for part in parts if part)


def paper_table(table: PaperTable, evaluations: Sequence[Evaluated]) -> str:
    """A table of a paper: its printed rows, a row for each experiment, run or not, and where they are from."""
    header = ["", "runs", *table.columns]
    blank = ["–"] * len(table.columns)
    rows = [
        [
            f"{name} (published, {table.on})", "",
            *(number(v, _digits(table, c)) for c, v in zip(table.columns, values, strict=True)),
        ]
        for name, values in table.published.items()
    ]  # fmt: skip
    groups = _groups(evaluations)
    run = {one.experiment for one in evaluations}
    for name in table.experiments:
        if name not in run:
            rows.append([name, f"`{table.command.format(name)}`", *blank])
    trivial: dict[tuple[str, ...], list[str]] = {}  # of the same pairs they are the same: one row for all
    for label, group in groups.items():
        for row in table.rows:
            if all(_has(table, one.result, row) for one in group):
                trivial.setdefault((row, *_cells(table, group, row)), []).append(label)
    for label, group in groups.items():
        newest = group[-1].result
        for (row, *cells), labels in trivial.items():
            if labels[0] == label:
                others = f" and {len(labels) - 1} more below" if len(labels) > 1 else ""
                rows.append([f"{row}, {label}{others}", "", *cells])
        count = (
            f"{len(group)} fold{'s' * (len(group) > 1)}"
            if _folds(group)
            else f"{len(group)} seed{'s' * (len(group) > 1)}"
        )
        name = newest["method"].replace(f"({group[-1].experiment})", f"({label})")
        rows.append([f"**{name}**", count, *_cells(table, group)])
    return "\n".join(
        [markdown_table(header, rows), *(_origin(label, group) for label, group in groups.items()), ""]
    )


def _digits(table: PaperTable, column: str) -> int:
    return table.digits_of.get(column, table.digits)


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
    results, weak = [one.result for one in group], set().union(*(weak_judges(one.result) for one in group))
    columns = zip(*(table.row(result, row or result["method"]) for result in results), strict=True)
    cells = []
    for name, values in zip(table.columns, columns, strict=True):
        known = np.array([value for value in values if value is not None and math.isfinite(value)], float)
        if not len(known):
            cells.append("–")
            continue
        digits = _digits(table, name)
        cell = number(known.mean(), digits)
        if len(known) > 1:
            spread = known.std(ddof=1) / (
                math.sqrt(len(known)) if results[0]["protocol"] == "recognition" else 1
            )
            cell += f" ± {number(spread, digits)}"
        if row is None and name in table.over_people:
            found = _interval(group, table.over_people[name], digits)
            cell += (BREAK if len(table.columns) > WIDE else " ") * bool(found) + found
        cells.append(cell + MARK * bool(rests_on(name) & weak))
    return cells


def _interval(group: Sequence[Evaluated], statistic: Statistic, digits: int) -> str:
    """``[low, high]`` over people, of the mean over seeds; nothing where not every seed has what it needs by pair."""
    tables = [one.pairs for one in group]
    if not kept(tables, statistic):
        return ""
    if _folds(group):  # each person is in one of them
        tables = [pd.concat(tables)]
    return "[{}, {}]".format(*(number(end, digits) for end in interval(tables, statistic)))


def _origin(label: str, group: Sequence[Evaluated]) -> str:
    """Data, judges and commands of a row: of the newest run, and which others it is the mean of."""
    one, result = group[-1], group[-1].result
    commands = dict.fromkeys(other.result["command"] for other in group)
    counted = {key: result.get(key) for key in ("pictures", "people", "test_people")}
    if _folds(group):
        counted |= {key: sum(other.result[key] for other in group) for key in ("pictures", "people")}
    people = counted["test_people"] or counted["people"]
    said = [
        f"data: {result['data'].rstrip('.')}",
        *(f"judge of {kind}: {text}" for kind, text in each_judge(judges_of(result))),
        f"{result.get('pairs', counted['pictures'] or 0):,} {'pairs' if 'pairs' in result else 'pictures'}"
        + (f", {people:,} test people" if people else "")
        + (f", sources: {result['sources']}" if "sources" in result else ""),
        f"command{'s' * (len(commands) > 1)}: {', '.join(f'`{command}`' for command in commands)}",
        f"trained by: {', '.join(f'`{command}`' for command in dict.fromkeys(other.trained for other in group))}",
        f"folder{'s' * (len(group) > 1)}: {', '.join(f'`{other.folder.parent.name}`' for other in group)}",
    ]  # fmt: skip
    if one.changes and one.changes not in label:
        said.insert(0, f"changed: `{shlex.join(one.keys)}`")
    return f"* **{label}**: " + "; ".join(said) + "."


def _ablations(evaluations: Sequence[Evaluated], near: Path) -> str:
    """Experiments beside their ablations, as ``facegan ablate`` trains them; or how to have such a table."""
    parts = ["## Ablations over seeds\n"]
    for label, tables in families(evaluations):
        experiment = label.partition(" ")[0]
        for k, variants in enumerate(tables):
            seeds = max(len(each) for each in variants.values())
            first = next(iter(variants[experiment].values()))
            command = ablated(variants) or shlex.join(
                ["facegan", "ablate", experiment, "--seeds", str(seeds), *first.keys]
            )
            if k:
                asked = shlex.split(first.result["command"])
                command += f"`, then for each run `{shlex.join([*asked[:2], 'RUN', *asked[3:]])}"
            table = ablation_table(variants, command)
            if k:
                table = table.replace(" and its ablations", ", by other judges", 1)
            parts.append(re.sub(r"^#", "###", table, flags=re.M))
        picture = ablation_figure(experiment, [one for one in evaluations if one.experiment in tables[0]])
        if picture is not None:
            parts.append(
                link(picture, f"{experiment} and its ablations on the same pairs (EGGAN's Fig. 4)", near)
            )
    if len(parts) == 1:
        parts.append(
            "Not run yet: `facegan ablate eggan_demo --seeds 3` trains an experiment and its ablations.\n"
        )
    return "\n".join(parts)


def _comparisons(near: Path) -> tuple[str, list[str]]:
    """What ``facegan compare`` has found, newest first, or how to have such a table; and what cannot be read."""
    parts, broken = ["## All methods, one task\n"], []
    found = sorted(
        runs_home().glob(f"{COMPARISONS}/*/comparison.json"), key=lambda path: -path.stat().st_mtime
    )
    for path in found:
        try:
            parts.append(comparison_table(read_findings(path, ("rows", "real", "judges", "command"))))
        except UserError as error:
            broken.append(str(error))
            continue
        for name, what in (
            ("pareto.png", "the person kept against the expression reached"),
            ("grid.png", "pairs"),
        ):
            if (path.parent / name).is_file():
                parts.append(link(path.parent / name, what, near))
    if len(parts) == 1:
        packed = " ".join(run.folder.name for run in pretrained())
        parts.append(
            f"Not run yet: `facegan compare {packed} --on eggan_small` sets the packed models one task; runs of any "
            "methods can stand there.\n"
        )
    return "\n".join(parts), broken


def write_report(runs: Iterable[Run], out: Path) -> Path:
    """Write the document as ``out``'s suffix says: .md, or .html with its pictures in it.

    Raises:
        UserError: another suffix.
    """
    if out.suffix not in (".md", ".html"):
        raise UserError(f"--out {out}: the report is written as .md or as .html")
    text = document(runs, out.parent)
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(as_html(text, out.parent) if out.suffix == ".html" else text)
    return out
