"""All methods under one protocol: the table, and identity kept against expression reached."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from facegan import figures
from facegan.findings import MARK, weak_judges
from facegan.intervals import FEWEST
from facegan.tables import COPY_SOURCE, COPY_TARGET, markdown_table, number

MARKERS = "osD^vP*Xp<>"
"""Shapes of the points, in the order of the rows."""

ENOUGH = 40
"""From so many pictures on the spread of KID's draws is shown without a warning."""


def comparison_table(result: Mapping[str, Any]) -> str:
    """Markdown of what ``protocols.shared_task.evaluate`` gives, or its ``comparison.json``."""
    persons = [name for name, accuracy in result["real"].items() if accuracy is not None]
    header = [
        "", "pixels", "expression recognised, % ↑", *(f"person by {name}, % ↑" for name in persons), "product ↑",
        "AU MSE ↓", "AU PCC ↑", "FID ↓", "KID x 1000 ↓", "L1, same person ↓", "SSIM ↑", "LPIPS ↓", "pictures/s",
        "parameters",
    ]  # fmt: skip
    rows, weak = [], weak_judges(result)
    recognised, aus = (MARK * bool(weak & {judge}) for judge in ("expression", "au"))
    for name, row in result["rows"].items():
        verified = [row["identity"][judge]["accuracy"] for judge in persons]
        rows.append([
            name, str(row.get("size", "")), number(100 * row["recognised"], 1) + recognised,
            *(number(100 * v, 1) + MARK * (judge in weak) for v, judge in zip(verified, persons, strict=True)),
            number(row["recognised"] * verified[0], 3) if verified else "–",
            number(row["au_mse"]) + aus, number(row["au_pcc"]) + aus,
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
        *_few(result.get("fid and kid")),
        *([f"{MARK} by a weak judge: what it sees may be its own."] if weak else []),
        "LPIPS: not measured, torchvision's AlexNet is not in torch's cache."
        if all(row.get("lpips") is None for row in result["rows"].values()) else "LPIPS: AlexNet.",
        *([f"Pictures/s: on {result['speed on']}."] if "speed on" in result else []),
        *(f"{name} has learnt from: {row['trained_on']}" for name, row in result["rows"].items() if "size" in row),
        *(f"Judge of AUs: {judges['au']}.", f"Judge of expressions: {judges['expression']}."),
        *(f"Judge of persons: {text}." for text in judges["identity"]),
        f"Command: `{result['command']}`",
    ]  # fmt: skip
    tables = [markdown_table(header, rows), *_intervals(result, persons)]
    return "\n".join([*tables, *(f"* {line}" for line in lines), ""])


def _intervals(result: Mapping[str, Any], persons: Sequence[str]) -> list[str]:
    """The small table of intervals over people; nothing of fewer than three, or where none were saved."""
    saved = [row.get("intervals", {}) for row in result["rows"].values()]
    if result["test_people"] < FEWEST or not all(saved):
        return []
    columns = {"expression recognised, %": ("recognised", 100, 1)}
    columns |= {f"person by {name}, %": (f"verified_{name}", 100, 1) for name in persons}
    columns |= {f"product, {name}": (f"product_{name}", 1, 3) for name in persons[:1]}
    columns |= {"AU MSE": ("au_mse", 1, 2), "AU PCC": ("au_pcc", 1, 2)}
    columns = {title: one for title, one in columns.items() if all(one[0] in i for i in saved)}
    rows = []
    for name, row in result["rows"].items():
        ends = [([end if end is None else factor * end for end in row["intervals"][key]], digits)
                for key, factor, digits in columns.values()]  # fmt: skip
        rows.append(
            [name, *(f"[{number(low, digits)}, {number(high, digits)}]" for (low, high), digits in ends)]
        )
    drawn = f"95 % intervals, if the {result['test_people']:,} target people were drawn anew:\n"
    return [drawn, markdown_table(["", *columns], rows)]


def _few(sizes: Mapping[str, int] | None) -> list[str]:
    """What FID and KID are worth with so many pictures; nothing where their number was not saved."""
    if sizes is None:
        return []
    pictures, features = sizes["pictures"], sizes["features"]
    few = f"{pictures:,} different real pictures for {features:,} features"
    return [
        f"FID comes out too high where pictures are few: here {few}"
        + (", fewer than its covariances need. Go by KID." if pictures <= features else "."),
        f"KID is the mean of {sizes['draws']} draws of {sizes['drawn']} pictures, ± their standard deviation"
        + (f", which says little with {pictures:,} pictures" if pictures < ENOUGH else "")
        + "; where pictures differ in nothing it is about 0, on either side.",
    ]  # fmt: skip


def front(points: Sequence[tuple[float, float]]) -> list[int]:
    """Indices, by x, of the points (x, y) that no other one has at least as much of both and more of one."""
    best = [
        k for k, (x, y) in enumerate(points)
        if not any(a >= x and b >= y and (a, b) != (x, y) for a, b in points)
    ]  # fmt: skip
    return sorted(best, key=lambda k: points[k])


def pareto_figure(result: Mapping[str, Any], path: Path) -> Path | None:
    """Identity kept (up) against expression reached (right), a point a row; None without an identity judge."""
    persons = [name for name, accuracy in result["real"].items() if accuracy is not None]
    if not persons:
        return None
    figure = pareto(result, persons)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)
    return path


def pareto(result: Mapping[str, Any], persons: Sequence[str]) -> Figure:
    """The figure, one panel a judge of ``persons``; the front is a thin line, and names stand beside the panels."""
    rows = result["rows"]
    beside = 0.8 + 0.07 * max(map(len, rows))  # inches
    figure = Figure(figsize=(4.8 * len(persons) + beside, 4.6), layout="constrained")
    FigureCanvasAgg(figure)
    figure.get_layout_engine().set(rect=(0, 0.04, 1, 0.96))  # type: ignore[union-attr,call-arg]
    panels = figure.subplots(1, len(persons), squeeze=False)[0]
    for axes, judge in zip(panels, persons, strict=True):
        points = [
            (100 * row["recognised"], 100 * row["identity"][judge]["accuracy"]) for row in rows.values()
        ]
        for k, (name, (x, y)) in enumerate(zip(rows, points, strict=True)):
            color = "grey" if name in (COPY_SOURCE, COPY_TARGET) else f"C{k}"
            # hollow and of different shapes: two that lie on one another are both seen
            marker = MARKERS[k % len(MARKERS)]
            axes.plot(x, y, marker, markersize=8, fillstyle="none", color=color, label=name, zorder=3)
        edge = [points[k] for k in front(points)]
        axes.plot(*zip(*edge, strict=True), color=figures.LINE, linewidth=0.8, label="front")
        real = 100 * result["real"][judge]
        axes.axhline(real, color=figures.FAINT_LINE, linewidth=1, linestyle=":", label="judge on real pairs")
        axes.set(
            xlabel="expression of the source recognised, %", ylabel=f"person of the target by {judge}, %",
            xlim=(-4, 104), ylim=(-4, 104),
        )  # fmt: skip
        axes.grid(alpha=0.2)
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside right upper", fontsize=8, frameon=False)
    figure.text(0.995, 0.005, figures.provenance(result["generated"]), ha="right", fontsize=7, color="grey")
    return figure
