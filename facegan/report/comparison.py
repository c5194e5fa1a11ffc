"""All methods under one protocol: the table, and identity kept against expression reached."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from facegan import figures
from facegan.tables import COPY_SOURCE, COPY_TARGET, markdown_table, number


def comparison_table(result: Mapping[str, Any]) -> str:
    """Markdown of what ``protocols.shared_task.evaluate`` gives, or its ``comparison.json``."""
    persons = [name for name, accuracy in result["real"].items() if accuracy is not None]
    header = [
        "", "pixels", "expression recognised, % ↑", *(f"person by {name}, % ↑" for name in persons), "product ↑",
        "AU MSE ↓", "AU PCC ↑", "FID ↓", "KID x 1000 ↓", "L1, same person ↓", "SSIM ↑", "LPIPS ↓", "pictures/s",
        "parameters",
    ]  # fmt: skip
    rows = []
    for name, row in result["rows"].items():
        verified = [row["identity"][judge]["accuracy"] for judge in persons]
        rows.append([
            name, str(row.get("size", "")), number(100 * row["recognised"], 1),
            *(number(100 * value, 1) for value in verified),
            number(row["recognised"] * verified[0], 3) if verified else "–",
            number(row["au_mse"]), number(row["au_pcc"]),
            number(row["fid"], 2), f"{number(1000 * row['kid'], 1)} ± {number(1000 * row['kid_spread'], 1)}",
            number(row.get("l1"), 3), number(row.get("ssim"), 3), number(row.get("lpips"), 3),
            number(row.get("fps"), 0), f"{row['parameters'] / 1e6:.2f} M" if "parameters" in row else "",
        ])  # fmt: skip
    rights = ", ".join(f"{name} {number(100 * result['real'][name], 1)} %" for name in persons)
    judges = result["judges"]
    lines = [
        "Every entrant is asked for the expression of one test person's picture on another's face: "
        f"{result['pairs']:,} pairs, {result['test_people']:,} people. Data: {result['data']}",
        f"Verified as the target's person; on real pairs the judges are right on: {rights or 'not measured'}. The "
        f"product is of the shares recognised and verified{f' by {persons[0]}' if persons else ''}.",
        f"FID and KID are between {result['pairs']:,} real pictures and as many results, in features of no published "
        f"network: {judges['fid and kid']}. They compare rows of this table only.",
        "LPIPS: not measured, torchvision's AlexNet is not in torch's cache."
        if all(row.get("lpips") is None for row in result["rows"].values()) else "LPIPS: AlexNet.",
        *(f"{name} has learnt from: {row['trained_on']}" for name, row in result["rows"].items() if "size" in row),
        *(f"Judge of AUs: {judges['au']}.", f"Judge of expressions: {judges['expression']}."),
        *(f"Judge of persons: {text}." for text in judges["identity"]),
        f"Command: `{result['command']}`",
    ]  # fmt: skip
    return "\n".join([markdown_table(header, rows), *(f"* {line}" for line in lines), ""])


def pareto_figure(result: Mapping[str, Any], path: Path) -> Path | None:
    """Identity kept (up) against expression reached (right), a point a row; None without an identity judge."""
    persons = [name for name, accuracy in result["real"].items() if accuracy is not None]
    if not persons:
        return None
    figure = Figure(figsize=(5.2 * len(persons), 4.6), layout="constrained")
    figure.get_layout_engine().set(rect=(0, 0.04, 1, 0.96))  # type: ignore[union-attr,call-arg]
    for k, judge in enumerate(persons):
        axes = figure.add_subplot(1, len(persons), k + 1)
        for name, row in result["rows"].items():
            x, y = 100 * row["recognised"], 100 * row["identity"][judge]["accuracy"]
            trivial = name in (COPY_SOURCE, COPY_TARGET)
            axes.scatter(x, y, color=figures.FAINT_LINE if trivial else figures.LINE, zorder=3)
            right = x > 60
            axes.annotate(
                name, (x, y), xytext=(-6 if right else 6, 4), textcoords="offset points", fontsize=8,
                ha="right" if right else "left",
            )  # fmt: skip
        axes.axhline(100 * result["real"][judge], color=figures.FAINT_LINE, linewidth=1, linestyle=":")
        axes.set(
            xlabel="expression of the source recognised, %", ylabel=f"person of the target by {judge}, %",
            xlim=(-3, 103), ylim=(-3, 103),
        )  # fmt: skip
        axes.grid(alpha=0.2)
    figure.text(0.995, 0.005, figures.provenance(result["generated"]), ha="right", fontsize=7, color="grey")
    FigureCanvasAgg(figure)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)
    return path
