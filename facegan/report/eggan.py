"""EGGAN's tables of one evaluation, and that of held-out frames; the paper's numbers beside ours."""

from collections.abc import Mapping, Sequence
from typing import Any

from facegan.faces import AUS, POSE
from facegan.judges import GEOMETRY
from facegan.published import EGGAN_TABLE1_AVERAGE, EGGAN_TABLE1_MSE, EGGAN_TABLE1_PCC, EGGAN_TABLE2
from facegan.tables import markdown_table, no_face, number, origin


def eggan_published_rows(measure: str) -> list[list[str]]:
    """The published rows of EGGAN's Table 1 for ``measure`` "mse" or "pcc"."""
    table, column = (EGGAN_TABLE1_MSE, 0) if measure == "mse" else (EGGAN_TABLE1_PCC, 1)
    return [
        _au_row(f"{name} (published, RaFD)", values, EGGAN_TABLE1_AVERAGE[name][column])
        for name, values in table.items()
    ]


def eggan_table1(result: Mapping[str, Any]) -> str:
    """EGGAN's Table 1 as Markdown: MSE and PCC by the AU judge, then by landmark geometry.

    Args:
        result: what ``protocols.eggan.evaluate`` gives, or its ``evaluation.json``.
    """
    scores, header = result["table1"]["au"], ["", *map(str, AUS), "Avg"]
    parts = ["# Table 1: expression manipulation\n"]
    for measure, which in (("mse", "MSE of AU intensities (lower"), ("pcc", "PCC of AU intensities (higher")):
        rows = [_au_row(name, row[measure], row[f"{measure}_mean"]) for name, row in scores.items()]
        parts += [f"## {which} is better)\n", markdown_table(header, eggan_published_rows(measure) + rows)]
    excluded = ", ".join(f"{name} {row['excluded']}" for name, row in scores.items())
    parts.append(f"AUs left out of the mean PCC because they are constant (E17): {excluded}.\n")

    parts += ["## PCC of landmark geometry (higher is better)\n", _geometry(result["table1"]["geometry"])]
    parts += [
        "## PCC of its change from each person's own neutral face (higher is better)\n",
        _geometry(result["table1"]["geometry_change"]),
        "The first of the two tables also asks for the target person's brows and mouth, which an edit of\n"
        "another person should not have.\n",
    ]
    if "fid" in result["table1"]:
        rows = [[name, number(value)] for name, value in result["table1"]["fid"].items()]
        parts += [
            "## FID to the target pictures (lower is better)\n", markdown_table(["", "FID"], rows),
            "In features of no published network: the judge's below, its last conv map. It compares rows of this\n"
            "table, and runs on the same pairs.\n",
        ]  # fmt: skip
    parts.append(origin(result, [result["judges"]["au"], result["judges"]["geometry"]]))
    return "\n".join(parts)


def eggan_table2(result: Mapping[str, Any]) -> str:
    """EGGAN's Table 2 as Markdown: verification accuracy in % by every identity judge.

    Args:
        result: what ``protocols.eggan.evaluate`` gives, or its ``evaluation.json``.
    """
    parts = ["# Table 2: identity\n"]
    rows = [
        [f"{name} (published, RaFD)", "LightCNN", number(value), *["–"] * 4]
        for name, value in EGGAN_TABLE2.items()
    ]
    for judge, table in result["table2"].items():
        real = table["real"]
        if "reason" in real:
            parts.append(f"{judge}: not measured, {real['reason']}.\n")
            continue
        for name, row in table.items():
            cosine = number(row["mean_same"] if name == "real" else row["mean_similarity"], 3)
            counts = f"{row['pairs']:,}", f"{row['rejected']:,}"
            label = "Real (test people)" if name == "real" else name
            rows.append(
                [label, judge, number(100 * row["accuracy"]), cosine, number(real["threshold"], 3), *counts]
            )
    parts.append(
        markdown_table(
            ["", "judge", "accuracy %", "mean cosine", "threshold", "pairs", "no face found"], rows
        )
    )
    parts.append(
        "The threshold on the cosine is the one with the best accuracy on the real pairs: as many of\n"
        "the same as of different test people. The other rows are the share of (source, result) pairs\n"
        "that it accepts; a result in which no face is found is not accepted. The mean cosine of Real is\n"
        "over its same pairs.\n"
    )
    parts.append(origin(result, result["judges"]["identity"]))
    return "\n".join(parts)


def frames_table(result: Mapping[str, Any]) -> str:
    """Held-out frames of a film as Markdown: L1, and agreement of AUs and geometry with the frame asked for.

    Args:
        result: what ``protocols.frames.evaluate`` gives, or its ``evaluation.json``.
    """
    header = ["", "L1", "AU MSE", "AU PCC", "geometry PCC", "mouth opening PCC", "no face found"]
    rows, by_au, turns = [], [], "pose" in result["judges"]
    if turns:
        header += [f"{angle}, °" for angle in POSE]
    for name, row in result["scores"].items():
        au, shape = row["au"], row["geometry"]
        opening = shape["pcc"][GEOMETRY.index("mouth opening")]
        figures = [
            number(row["l1"], 3),
            *map(number, (au["mse_mean"], au["pcc_mean"], shape["pcc_mean"], opening)),
        ]
        angles = [number(row["angles"][angle], 1) for angle in POSE] if turns else []
        rows.append([name, *figures, no_face(shape), *angles])
        by_au.append([name, *map(number, au["pcc"])])
    asked = (
        "AUs and head pose were asked for. The angles are mean absolute errors, less what the\njudge is off by on the "
        "target frames. A frame moved to its own AUs and pose"
        if turns
        else "AUs were asked for: head and light of source and\ntarget differ. A frame edited to its own AUs"
    )
    parts = [
        "# Held-out frames of people trained on\n",
        markdown_table(header, rows),
        f"L1 is in units of [-1, 1], against the frame whose {asked}: {number(result['reconstruction_l1'], 3)}.\n",
        "## PCC of each AU that moves\n",
        markdown_table(["", *result["aus"]], by_au),
    ]
    parts.append(origin(result, [*result["judges"].values()]))
    return "\n".join(parts)


def _geometry(scores: Mapping[str, Any]) -> str:
    rows = []
    for name, row in scores.items():
        rows.append([name, *map(number, row["pcc"]), number(row["pcc_mean"]), no_face(row)])
    return markdown_table(["", *GEOMETRY, "Avg", "no face found"], rows)


def _au_row(name: str, values: Sequence[float | None], average: float | None) -> list[str]:
    return [name, *(number(value) for value in values), number(average)]
