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
    people = (
        f"; sources: {result['test_people']:,} test people (pairs.csv)" if "test_people" in result else ""
    )
    lines.append(f"Pairs: {result['pairs']:,}{people}.")
    if result["command"]:
        lines.append(f"Command: `{result['command']}`")
    return "\n".join(f"* {line}" for line in lines) + "\n"


def headlines(result: Mapping[str, Any]) -> dict[str, float]:
    """The few figures by which runs of one experiment are compared, by name; what was not measured is left out.

    Args:
        result: any protocol's ``evaluation.json``.
    """
    own: dict[str, float | None]
    match result["protocol"]:
        case "frames":
            row = result["scores"][result["method"]]
            own = {
                "L1": row["l1"], "AU MSE": row["au"]["mse_mean"], "AU PCC": row["au"]["pcc_mean"],
                "geometry PCC": row["geometry"]["pcc_mean"],
                **{f"{name}, degrees": value for name, value in row.get("angles", {}).items()},
            }  # fmt: skip
        case "reenactment":
            row = result["rows"][result["method"]]
            own = {"AU presence": row["presence"]["balanced_mean"], "AU PCC": row["intensity"]["pcc_mean"]}
            own |= {f"{name}, degrees": value for name, value in row["angles"].items()}
            own |= _verified(result["identity"], result["method"])
        case "transfer" | "aipgan":
            recognised = result["expression"][result["method"]]
            own = {"expression recognised": recognised} | _verified(result["identity"], result["method"])
            for name, table in _judged(result["identity"], result["method"]).items():
                own[f"product with {name}"] = recognised * table[result["method"]]["accuracy"]
            own |= _likenesses(result.get("likeness", {}), result["method"])
        case _:
            summary = result["summary"]
            own = {
                "AU MSE": summary["au_mse"], "AU PCC": summary["au_pcc"], "geometry PCC": summary["geometry_pcc"],
                "FID": summary.get("fid"),
                **{f"cosine by {judge}": v for judge, v in summary.get("cosine", {}).items()},
                **{f"verified by {judge}, of Real": v for judge, v in summary["verification_over_real"].items()},
            }  # fmt: skip
    return {name: value for name, value in own.items() if value is not None}


def _verified(identity: Mapping[str, Any], method: str) -> dict[str, float | None]:
    return {
        f"verified by {name}, of Real": table[method]["accuracy"] / table["real"]["accuracy"]
        for name, table in _judged(identity, method).items()
    }


def _judged(identity: Mapping[str, Any], method: str) -> Mapping[str, Any]:
    return {name: table for name, table in identity.items() if method in table}


def _likenesses(likeness: Mapping[str, Any], method: str) -> dict[str, float | None]:
    """AIP-GAN's two measures, through the networks of its losses and through a judge apart."""
    names = {"expression": "Exp-Sim", "expression_judge": "Exp-Sim by the judge"}
    means = {title: likeness[key][method]["mean"] for key, title in names.items() if key in likeness}
    return ({"Face-Verf": likeness["face"][method]["share"]} if "face" in likeness else {}) | means
