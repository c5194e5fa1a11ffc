"""What all tables of results are made of: figures, Markdown, the two trivial rows, where a table comes from."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

COPY_SOURCE, COPY_TARGET = "copy the source", "copy the target"
"""The two trivial rows of every table of results."""


def number(value: float | None, digits: int = 2) -> str:
    """A figure for a table: fixed digits; a dash for what could not be measured."""
    return "–" if value is None or not math.isfinite(value) else f"{value:.{digits}f}"


def markdown_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table, columns padded so that it also reads well as plain text; the first column is words.

    Raises:
        ValueError: a row is not as long as the header.
    """
    for row in rows:
        if len(row) != len(header):
            raise ValueError(f"a row of {len(row)} cells under a header of {len(header)}: {row}")
    table = [list(header), *map(list, rows)]
    widths = [max(3, *(len(row[i]) for row in table)) for i in range(len(header))]

    def line(row: Sequence[str]) -> str:
        cells = [
            cell.ljust(w) if i == 0 else cell.rjust(w)
            for i, (cell, w) in enumerate(zip(row, widths, strict=True))
        ]
        return "| " + " | ".join(cells) + " |"

    rule = "|" + "|".join("-" * (w + 1) + ("-" if i == 0 else ":") for i, w in enumerate(widths)) + "|"
    return "\n".join([line(table[0]), rule, *map(line, table[1:])]) + "\n"


def no_face(row: Mapping[str, Any]) -> str:
    """How many results no face was found in, of how many."""
    return f"{row['rejected']:,} of {row['rejected'] + row['rows']:,}"


def origin(result: Mapping[str, Any], judges: Sequence[str]) -> str:
    """The lines under every table: data, judges with their weights, pairs, command."""
    lines = [f"Data: {result['data']}"]
    if result["generated"] and " + " not in result["generated"]:
        lines.append(f"All faces are generated ({result['generated']} head); target AUs are exact truth.")
    lines += [f"Judge: {judge}." for judge in judges]
    if any(judge in result["data"] for judge in judges):
        lines.append(
            "The AU judge also gave the training pictures their AUs: it measures agreement with itself."
        )
    if "test_people" in result:
        which = f" ({result['sources']})" if "sources" in result else ""
        people = f"; sources: {result['test_people']:,} test people{which} (pairs.csv)"
    else:
        people = ""
    lines.append(f"Pairs: {result['pairs']:,}{people}.")
    if result["command"]:
        lines.append(f"Command: `{result['command']}`")
    return "\n".join(f"* {line}" for line in lines) + "\n"
