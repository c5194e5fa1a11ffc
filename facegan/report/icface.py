"""ICface's tables of one evaluation, the paper's numbers beside ours."""

from collections.abc import Mapping
from typing import Any

from facegan.published import ICFACE_TABLE1, ICFACE_TABLE2
from facegan.tables import markdown_table, number, origin


def icface_table1(result: Mapping[str, Any]) -> str:
    """ICface's Table 1 as Markdown: quality of the pictures, published rows first.

    Args:
        result: what ``protocols.reenactment.evaluate`` gives, or its ``evaluation.json``.
    """
    rows = [[f"{name} (published, VoxCeleb)", *map(number, values)] for name, values in ICFACE_TABLE1.items()]
    for name, row in result["rows"].items():
        rows.append([name, *(number(row["quality"].get(judge)) for judge in ("CNNIQA", "DeepIQA"))])
    said = [f"* {name}: {text}" for name, text in result["judges"]["quality"].items()]
    header = ["", "CNNIQA (lower is better)", "DeepIQA beside the source (lower is better)"]
    return "\n".join(["# ICface, Table 1: picture quality\n", markdown_table(header, rows), *said, ""])


def icface_table2(result: Mapping[str, Any]) -> str:
    """ICface's Table 2 as Markdown, with the head's angles and whose face it is beside it.

    Args:
        result: what ``protocols.reenactment.evaluate`` gives, or its ``evaluation.json``.
    """
    judged = {name: table for name, table in result["identity"].items() if "reason" not in table["real"]}
    header = [
        "",
        "AU presence, balanced %",
        "F-score",
        "AU MSE",
        "AU PCC",
        "geometry PCC",
        "pitch °",
        "yaw °",
        "roll °",
        "no pose",
    ]
    header += [f"person verified by {name}, %" for name in judged]
    rows = []
    for name, (balanced, f) in ICFACE_TABLE2.items():
        cells = [number(balanced), number(f, 4), *["–"] * (len(header) - 3)]
        rows.append([f"{name} (published, VoxCeleb)", *cells])
    for name, row in result["rows"].items():
        present, strong = row["presence"], row["intensity"]
        rows.append([
            name, number(None if present["balanced_mean"] is None else 100 * present["balanced_mean"]),
            number(present["f_mean"], 4), number(strong["mse_mean"]), number(strong["pcc_mean"]),
            number(row["geometry"]["pcc_mean"]) if "geometry" in row else "–",  # older evaluations have none
            *(number(angle, 1) for angle in row["angles"].values()), f"{row['no_pose']:,}",
            *(number(100 * table[name]["accuracy"], 1) for table in judged.values()),
        ])  # fmt: skip
    first = next(iter(result["rows"].values()))
    left_out = first["presence"]["excluded"]
    notes = [
        f"Present is an intensity of 1 or more, of 17 AUs (AU28 has no intensity and is left out); those that drivers\n"
        f"show always or never are left out of the mean: {left_out}. Geometry: landmarks of mouth, eyes and brows\n"
        "beside the driver's. Verified: as the source. Angles: mean absolute error to the driver's, less what\n"
        "the pose judge is off by on the drivers' own pictures ("
        + ", ".join(f"{name} {number(off, 1)}°" for name, off in result["pose_offset"].items())
        + ").\n"
    ]
    notes += [
        f"Real pairs of the test people: {name} is right on {number(100 * table['real']['accuracy'], 1)} %.\n"
        for name, table in judged.items()
    ]
    said = result["judges"]
    parts = [
        "# ICface, Table 2: does the result do what the driver does\n",
        markdown_table(header, rows),
        *notes,
    ]
    return "\n".join([*parts, origin(result, [said["au"], said["pose"], *said["identity"]])])
