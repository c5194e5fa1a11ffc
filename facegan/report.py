"""The papers' printed numbers, and tables that set them beside ours."""

import math
from collections.abc import Mapping, Sequence

from facegan.faces import AU_NAMES

# EGGAN Table 1 (RaFD, 128x128, judged by OpenFace; AUs in the order of ``faces.AUS``): MSE, then PCC.
EGGAN_TABLE1_MSE: Mapping[str, tuple[float, ...]] = {
    "HomoInterpGAN": (0.56, 0.86, 0.88, 1.68, 0.23, 1.26, 0.60, 0.08, 0.03, 0.11, 0.17, 0.08, 0.25, 0.01, 0.10, 0.13, 0.02),
    "StarGAN": (0.85, 1.59, 0.66, 1.62, 0.43, 1.04, 0.59, 0.26, 0.77, 0.27, 0.21, 0.14, 0.30, 0.01, 1.09, 0.39, 0.00),
    "EGGAN": (0.13, 0.13, 0.49, 0.35, 0.21, 0.49, 0.33, 0.14, 0.41, 0.16, 0.15, 0.18, 0.26, 0.01, 0.51, 0.14, 0.00),
}  # fmt: skip
EGGAN_TABLE1_PCC: Mapping[str, tuple[float, ...]] = {
    "HomoInterpGAN": (0.64, 0.68, 0.69, 0.35, 0.83, 0.41, 0.55, 0.83, 0.98, 0.76, 0.71, 0.78, 0.55, 0.32, 0.93, 0.79, 0.26),
    "StarGAN": (0.34, 0.00, 0.64, 0.08, 0.24, 0.27, 0.34, 0.31, 0.33, 0.15, 0.40, 0.57, 0.48, 0.20, 0.45, 0.15, 0.19),
    "EGGAN": (0.92, 0.95, 0.69, 0.85, 0.75, 0.72, 0.73, 0.70, 0.78, 0.65, 0.64, 0.33, 0.50, 0.22, 0.67, 0.76, 0.34),
}  # fmt: skip
EGGAN_TABLE1_AVERAGE: Mapping[str, tuple[float, float]] = {
    "HomoInterpGAN": (0.41, 0.65),
    "StarGAN": (0.60, 0.30),
    "EGGAN": (0.24, 0.66),
}
"""MSE and PCC as printed in the column Avg."""

# EGGAN Table 2 (RaFD): face verification accuracy in %, judged by LightCNN.
EGGAN_TABLE2: Mapping[str, float] = {"HomoInterpGAN": 76.54, "StarGAN": 93.32, "EGGAN": 97.04, "Real": 99.63}


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


def au_row(name: str, values: Sequence[float | None], average: float | None) -> list[str]:
    """One row of EGGAN's Table 1: a name, 17 AUs, the average."""
    return [name, *(number(value) for value in values), number(average)]


AU_HEADER = ["", *(name.removeprefix("AU").lstrip("0") for name in AU_NAMES), "Avg"]


def eggan_published_rows(measure: str) -> list[list[str]]:
    """The published rows of EGGAN's Table 1 for ``measure`` "mse" or "pcc"."""
    table, column = (EGGAN_TABLE1_MSE, 0) if measure == "mse" else (EGGAN_TABLE1_PCC, 1)
    return [
        au_row(f"{name} (published, RaFD)", values, EGGAN_TABLE1_AVERAGE[name][column])
        for name, values in table.items()
    ]
