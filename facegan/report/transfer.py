"""Tables of transfer and recognition: TER-GAN's and AIP-GAN's, the papers' numbers beside ours."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from facegan.faces import EXPRESSIONS
from facegan.published import AIPGAN_TABLE1, TERGAN_TABLE1
from facegan.tables import COPY_SOURCE, COPY_TARGET, markdown_table, number, origin


def tergan_table1(
    results: Mapping[int, Mapping[str, Any]], experiment: str, command: str, stage_two: bool = True
) -> str:
    """TER-GAN's Table 1 as Markdown: accuracy over the folds, what the codes still tell, the confusion matrix.

    Args:
        results: what ``protocols.recognition.measure`` gives for each fold.
        experiment: names our rows.
        stage_two: whether there was one; without it the encoder is the CNN baseline still.
    """
    first = results[min(results)]
    ours = {f"CNN baseline ({experiment})": "baseline"} | (
        {f"TER-GAN ({experiment})": "ours"} if stage_two else {}
    )
    published = [[f"{name}, published (Oulu-CASIA)", setting, number(value), *[""] * 5]
                 for name, (setting, value) in TERGAN_TABLE1.items()]  # fmt: skip
    by_aus = {}
    if all("aus" in r for r in results.values()):
        by_aus = {f"{'exact AUs' if first['generated'] else 'AUs as given'}, no encoder": "aus"}
    rows = []
    for name, key in (ours | by_aus).items():
        figures = (
            "accuracy", "balanced", "identity_probe", "identity_across", "silhouette_expression", "silhouette_identity",
        )  # fmt: skip
        values = {figure: _over_folds([r[key][figure] for r in results.values()]) for figure in figures}
        percent = [_with_error(*values[figure], 100) for figure in figures[:4]]
        rows.append([name, "static", *percent, *(_with_error(*values[figure], 1) for figure in figures[4:])])
    gain = _over_folds([r["ours"]["accuracy"] - r["baseline"]["accuracy"] for r in results.values()])
    people = sum(r["people"] for r in results.values())
    pictures = sum(r["pictures"] for r in results.values())
    names = [EXPRESSIONS[k] for k in first["classes"]]
    confusion = {
        name: np.sum([r[key]["confusion"] for r in results.values()], axis=0) for name, key in ours.items()
    }
    compared = f"Gain over the baseline: {_with_error(*gain, 100)} points. " if stage_two else ""
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
                "in other expressions, %",
                "silhouette by expression",
                "silhouette by identity",
            ],
            published + rows,
        ),
        "Mean over the folds ± its standard error. Published figures are of the real Oulu-CASIA, under folds of their\n"
        "authors' own. Identity from f(e): a linear probe on training people, learnt on random halves of\n"
        "their pictures (of which those of one sequence are nearly alike), or on half of the expressions; chance is "
        f"{number(100 * first['chance_identity'])} %."
        f"{' What AUs tell of the person, the expression itself tells.' if by_aus else ''}\n",
        f"{compared}On f(i), a linear probe names the person in "
        f"{_with_error(*codes['identity_probe'], 100)} %,\nthe expression of test people in "
        f"{_with_error(*codes['expression_probe'], 100)} %.\n",
        *(
            part
            for name, counts in confusion.items()
            for part in (
                f"## Confusion of {name}: true (rows) and given expression\n",
                markdown_table(
                    ["", *names], [[true, *map(str, row)] for true, row in zip(names, counts, strict=True)]
                ),
            )
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
            f"Real pairs of the test people: {judge} is right on {number(100 * real['accuracy'], 1)} %"
            + (
                f", and accepts {number(100 * real['accepted_same'], 1)} % of those of one person.\n"
                if "accepted_same" in real
                else ".\n"
            )
        )
    if (own := result.get("recognised_by_itself")) is not None:
        parts.append(
            f"Its own recogniser names {number(100 * own, 1)} % of the sources' expressions right.\n"
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
    real = likeness.get("face", {}).get("real", {})
    if "accuracy" in real:
        right, threshold = number(100 * real["accuracy"], 1), number(real["threshold"], 2)
        same, different = number(real["mean_same"], 3), number(real["mean_different"], 3)
        parts.append(
            f"On pairs of the test people's own pictures Face-Verf's network is right in {right} % at a threshold\n"
            f"of its own ({threshold}): mean cosine of two pictures of one person {same}, of two people {different}.\n"
        )
    heads = result.get("heads")
    if heads:
        parts.append(
            f"Identity maps from {heads['pictures']:,} pictures that are not neutral, mean squared errors: "
            f"{number(heads['map_mse'], 4)}; the picture itself {number(heads.get('picture_mse'), 4)}; the best linear "
            f"code of h's length {number(heads.get('linear_mse'), 4)}. Within the true outline the map is off by "
            f"{number(heads.get('inside_mse'), 4)}, the picture by {number(heads['copy_mse'], 4)}. "
            f"Landmarks read off Z: {number(100 * heads['landmarks'], 1)} % of the distance between the eyes from the "
            f"true ones (the mean shape: {number(100 * heads['mean_shape'], 1)} %).\n"
        )
    return "\n".join(parts)
