"""Tables of results, the papers' printed numbers beside ours."""

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from facegan.config import UserError
from facegan.faces import AUS, EXPRESSIONS
from facegan.judges import GEOMETRY
from facegan.published import (
    AIPGAN_TABLE1,
    EGGAN_TABLE1_AVERAGE,
    EGGAN_TABLE1_MSE,
    EGGAN_TABLE1_PCC,
    EGGAN_TABLE2,
    ICFACE_TABLE1,
    ICFACE_TABLE2,
    TERGAN_TABLE1,
)
from facegan.tables import COPY_SOURCE, COPY_TARGET, markdown_table, no_face, number, origin


def report(evaluations: Sequence[Path]) -> str:
    """Published figures beside those of the newest evaluated run of each experiment, as Markdown.

    Args:
        evaluations: ``evaluation.json`` files, oldest run first; those that are not there are passed over.

    Raises:
        UserError: no run has been evaluated.
    """
    newest = {path.parent.parent.parent.name: path for path in evaluations if path.is_file()}
    if not newest:
        raise UserError("no run has been evaluated yet; type: facegan evaluate RUN (facegan runs lists them)")
    parts = []
    for experiment, path in newest.items():
        result = json.loads(path.read_text())
        tables = {
            "frames": [frames_table],
            "transfer": [transfer_table],
            "aipgan": [aipgan_table1, transfer_table],
            "reenactment": [icface_table1, icface_table2],
        }.get(result["protocol"], [eggan_table1, eggan_table2])
        parts.append("\n".join([f"# {experiment}\n", *(table(result) for table in tables)]))
    return "\n".join(parts)


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
    rows, by_au = [], []
    for name, row in result["scores"].items():
        au, shape = row["au"], row["geometry"]
        opening = shape["pcc"][GEOMETRY.index("mouth opening")]
        figures = [
            number(row["l1"], 3),
            *map(number, (au["mse_mean"], au["pcc_mean"], shape["pcc_mean"], opening)),
        ]
        rows.append([name, *figures, no_face(shape)])
        by_au.append([name, *map(number, au["pcc"])])
    parts = [
        "# Held-out frames of people trained on\n",
        markdown_table(header, rows),
        "L1 is in units of [-1, 1], against the frame whose AUs were asked for: head and light of source and\n"
        f"target differ. A frame edited to its own AUs: {number(result['reconstruction_l1'], 3)}.\n",
        "## PCC of each AU that moves\n",
        markdown_table(["", *result["aus"]], by_au),
    ]
    parts.append(origin(result, [result["judges"]["au"], result["judges"]["geometry"]]))
    return "\n".join(parts)


def tergan_table1(results: Mapping[int, Mapping[str, Any]], method: str, command: str) -> str:
    """TER-GAN's Table 1 as Markdown: accuracy over the folds, what the codes still tell, the confusion matrix.

    Args:
        results: what ``protocols.recognition.measure`` gives for each fold.
        method: name of our row.
    """
    first = results[min(results)]
    ours = {f"CNN baseline of {method}": "baseline", method: "ours"}
    published = [[f"{name}, published (Oulu-CASIA)", setting, number(value), "", "", "", ""]
                 for name, (setting, value) in TERGAN_TABLE1.items()]  # fmt: skip
    rows = []
    for name, key in ours.items():
        figures = ("accuracy", "balanced", "identity_probe", "silhouette_expression", "silhouette_identity")
        values = {figure: _over_folds([r[key][figure] for r in results.values()]) for figure in figures}
        percent = [_with_error(*values[figure], 100) for figure in figures[:3]]
        rows.append([name, "static", *percent, *(_with_error(*values[figure], 1) for figure in figures[3:])])
    gain = _over_folds([r["ours"]["accuracy"] - r["baseline"]["accuracy"] for r in results.values()])
    people = sum(r["people"] for r in results.values())
    pictures = sum(r["pictures"] for r in results.values())
    names = [EXPRESSIONS[k] for k in first["classes"]]
    confusion = [
        [sum(r["ours"]["confusion"][i][j] for r in results.values()) for j in range(len(names))]
        for i in range(len(names))
    ]
    codes = {
        k: _over_folds([r["identity_code"][k] for r in results.values()]) for k in first["identity_code"]
    }
    parts = [
        f"# Recognition, {len(results)} folds of people\n",
        markdown_table(
            [
                "",
                "setting",
                "accuracy, %",
                "balanced, %",
                "identity from f(e), %",
                "silhouette by expression",
                "silhouette by identity",
            ],
            published + rows,
        ),
        "Mean over the folds ± its standard error. Published figures are of the real Oulu-CASIA, under folds of their\n"
        "authors' own. Identity from f(e): a linear probe on training people; chance is "
        f"{number(100 * first['chance_identity'])} %.\n",
        f"Gain over the baseline: {_with_error(*gain, 100)} points. On f(i), a linear probe names the person in "
        f"{_with_error(*codes['identity_probe'], 100)} %,\nthe expression of test people in "
        f"{_with_error(*codes['expression_probe'], 100)} %.\n",
        f"## Confusion of {method}: true (rows) and given expression\n",
        markdown_table(
            ["", *names], [[name, *map(str, row)] for name, row in zip(names, confusion, strict=True)]
        ),
    ]
    lines = [f"Data: {first['data']}"]
    if first["generated"]:
        lines.append(f"All faces are generated ({first['generated']} head).")
    lines += [f"{pictures:,} pictures of {people:,} people, each tested on once.", f"Command: `{command}`"]
    return "\n".join(parts) + "\n" + "\n".join(f"* {line}" for line in lines) + "\n"


def _over_folds(values: Sequence[float]) -> tuple[float, float]:
    """Mean, and standard error of it (NaN for one)."""
    known = [value for value in values if value is not None and math.isfinite(value)]
    if not known:
        return math.nan, math.nan
    mean = sum(known) / len(known)
    if len(known) < 2:
        return mean, math.nan
    return mean, math.sqrt(sum((value - mean) ** 2 for value in known) / (len(known) - 1) / len(known))


def _with_error(mean: float, error: float, scale: float) -> str:
    return number(scale * mean) + (f" ± {number(scale * error)}" if math.isfinite(error) else "")


def transfer_table(result: Mapping[str, Any]) -> str:
    """Transfers as Markdown: recognised as the source's expression, verified as the target's person, and both.

    Args:
        result: what ``protocols.transfer.evaluate`` gives, or its ``evaluation.json``.
    """
    parts = ["# Transfer between people never trained on\n"]
    real_rate = result["expression"][COPY_SOURCE]
    for judge, table in result["identity"].items():
        real = table["real"]
        if "reason" in real:
            parts.append(f"{judge}: not measured, {real['reason']}.\n")
            continue
        rows = []
        for name, recognised in result["expression"].items():
            verified = table[name]["accuracy"]
            rows.append([
                name, number(100 * recognised, 1), number(100 * recognised / real_rate if real_rate else None, 1),
                number(100 * verified, 1), number(100 * verified / real["accuracy"], 1),
                number(recognised * verified, 3), f"{table[name]['rejected']:,} of {table[name]['pairs']:,}",
            ])  # fmt: skip
        header = [
            "", "expression recognised, %", "of real pictures, %", f"person verified by {judge}, %", "of Real, %",
            "product", "no face found",
        ]  # fmt: skip
        parts.append(markdown_table(header, rows))
        parts.append(
            f"Real pairs of the test people: {judge} is right on {number(100 * real['accuracy'], 1)} %.\n"
        )
    if editing := result.get("same_person"):
        rows = [
            [name, number(editing["l1"][name], 3), number(editing["ssim"][name], 3)] for name in editing["l1"]
        ]
        parts.append(
            f"Editing from another picture of the same person ({editing['pairs']:,} pairs, the source is the truth):\n"
        )
        parts.append(markdown_table(["", "L1 to the truth", "SSIM"], rows))
    parts.append(origin(result, [result["judges"]["expression"], *result["judges"]["identity"]]))
    return "\n".join(parts)


def aipgan_table1(result: Mapping[str, Any]) -> str:
    """AIP-GAN's Table 1 as Markdown, published rows first.

    Args:
        result: what ``protocols.aipgan.evaluate`` gives, or its ``evaluation.json``.
    """
    likeness, cross = result["likeness"], result["trained_on"] is not None
    parts = ["# AIP-GAN, Table 1: verified as the target, and like the source in expression\n"]
    header, rows = [""], []
    for like in likeness.values():
        title = f"Face-Verf, share at {like['threshold']} or above" if like["threshold"] else "Exp-Sim"
        header += [f"{title} ({like['network']})", *(["mean cosine"] if like["threshold"] else [])]
    for name, values in AIPGAN_TABLE1.items():
        verified, similar = values[2:] if cross else values[:2]
        # the paper gives no mean cosine of faces, and has one network of expressions
        printed = {"face": [number(verified, 3), "–"], "expression": [number(similar, 3)]}
        rows.append([f"{name} (published)", *(cell for k in likeness for cell in printed.get(k, ["–"]))])
    for row in (COPY_SOURCE, COPY_TARGET, result["method"]):
        cells: list[str] = []
        for like in likeness.values():
            share = like[row]["share"]
            mean = number(like[row]["mean"], 3)
            cells += [mean] if share is None else [number(share, 3), mean]
        rows.append([row, *cells])
    parts.append(markdown_table(header, rows))
    heads = result.get("heads")
    if heads:
        parts.append(
            f"Identity map from pictures that are not neutral ({heads['pictures']:,}): mean squared error "
            f"{number(heads['map_mse'], 4)}; of the picture itself {number(heads['copy_mse'], 4)}. Landmarks read "
            f"off Z: {number(100 * heads['landmarks'], 1)} % of the distance between the eyes from the true ones "
            f"(the mean shape: {number(100 * heads['mean_shape'], 1)} %).\n"
        )
    return "\n".join(parts)


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
            *(number(angle, 1) for angle in row["angles"].values()), f"{row['no_pose']:,}",
            *(number(100 * table[name]["accuracy"], 1) for table in judged.values()),
        ])  # fmt: skip
    notes = [
        "Present is an intensity of 1 or more, of 17 AUs (AU28 has no intensity and is left out); an AU that is\n"
        "there always or never is left out of the mean. Verified: as the source. Angles: mean absolute error to the\n"
        "driver's, less what the pose judge is off by on the drivers' own pictures ("
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


def _geometry(scores: Mapping[str, Any]) -> str:
    rows = []
    for name, row in scores.items():
        rows.append([name, *map(number, row["pcc"]), number(row["pcc_mean"]), no_face(row)])
    return markdown_table(["", *GEOMETRY, "Avg", "no face found"], rows)


def _au_row(name: str, values: Sequence[float | None], average: float | None) -> list[str]:
    return [name, *(number(value) for value in values), number(average)]
