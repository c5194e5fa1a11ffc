"""Pictures of results: labelled grids, interpolation strips, animations, curves of a run's CSV log."""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path

import cv2
import matplotlib
import numpy as np
import pandas as pd
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image, ImageDraw, ImageFont

from facegan.config import UserError
from facegan.films import Film

INK, FAINT, PAPER = (30, 30, 30), (130, 130, 130), (255, 255, 255)
LINE, FAINT_LINE = "#1f4e8c", "#9db7d5"
GAP = 2
ANIMATIONS = (".gif", ".mp4")


@lru_cache
def _font(size: int) -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(Path(matplotlib.get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf", size)


def _cell(picture: np.ndarray, size: int) -> np.ndarray:
    if picture.shape[:2] == (size, size):
        return picture
    shrink = picture.shape[0] > size
    return cv2.resize(picture, (size, size), interpolation=cv2.INTER_AREA if shrink else cv2.INTER_CUBIC)


def grid(
    pictures: Sequence[Sequence[np.ndarray | None]],
    columns: Sequence[str] = (),
    rows: Sequence[str] = (),
    caption: str = "",
    size: int | None = None,
    notes: Sequence[Sequence[str]] = (),
) -> np.ndarray:
    """A grid of pictures with words above its columns and to the left of its rows.

    Args:
        pictures: rows of square RGB uint8 pictures (S, S, 3); None leaves a place empty.
        columns, rows: labels; none at all, or one per column or row.
        caption: small words below, such as where the faces come from.
        size: pixels of a cell; default: the pictures' own, but at least 96.
        notes: a few words on each picture, in its lower left corner; as the pictures, or none at all.

    Returns:
        RGB uint8 (H, W, 3).
    """
    across = max(len(row) for row in pictures)
    if (columns and len(columns) != across) or (rows and len(rows) != len(pictures)):
        labels = f"{len(rows)} row and {len(columns)} column labels"
        raise ValueError(f"a grid of {len(pictures)} x {across} pictures with {labels}")
    own = max((p.shape[0] for row in pictures for p in row if p is not None), default=96)
    size = size or max(96, own)
    font = _font(max(11, size // 9))
    small = _font(max(10, size // 12))
    left = max((int(font.getlength(label)) + 12 for label in rows), default=0)
    top = round(font.size) + 10 if columns else 0
    bottom = round(small.size) + 10 if caption else 0
    width = left + across * (size + GAP) - GAP
    height = top + len(pictures) * (size + GAP) - GAP
    sheet = Image.new("RGB", (width, height + bottom), PAPER)
    draw = ImageDraw.Draw(sheet)
    for j, label in enumerate(columns):
        draw.text((left + j * (size + GAP) + size / 2, top / 2), label, INK, font, anchor="mm")
    for i, (label, row) in enumerate(zip(rows or [""] * len(pictures), pictures, strict=True)):
        y = top + i * (size + GAP)
        draw.text((left - 6, y + size / 2), label, INK, font, anchor="rm")
        for j, picture in enumerate(row):
            if picture is not None:
                x = left + j * (size + GAP)
                sheet.paste(Image.fromarray(_cell(picture, size)), (x, y))
                if notes and notes[i][j]:
                    place, anchor = (x + 3, y + size - 2), "ls"
                    draw.text(place, notes[i][j], PAPER, small, anchor, stroke_width=2, stroke_fill=INK)
    if caption:
        draw.text((width, height + bottom / 2), caption, FAINT, small, anchor="rm")
    return np.asarray(sheet)


def attention(
    faces: np.ndarray, levels: Sequence[np.ndarray], rows: Sequence[str] = (), caption: str = ""
) -> np.ndarray:
    """Faces (N, S, S, 3) uint8, and beside each its attention on every level, blue where it is 0 and red where 1.

    Args:
        levels: of each level, attention (N, s, s) in 0..1.
        rows: labels.
    """
    side = faces.shape[1]
    pictures: list[list[np.ndarray | None]] = []
    for k, face in enumerate(faces):
        grey = face.mean(2, keepdims=True)
        row = [face]
        for level in levels:
            high = cv2.resize(level[k].astype(np.float32), (side, side), interpolation=cv2.INTER_LINEAR)[
                ..., None
            ]
            heat = 255 * np.concatenate([high, np.zeros_like(high), 1 - high], 2)
            row.append((0.5 * grey + 0.5 * heat).clip(0, 255).astype(np.uint8))
        pictures.append(list(row))
    columns = [
        "input",
        *(f"level {k}: {level.shape[1]}x{level.shape[2]}" for k, level in enumerate(levels, 1)),
    ]
    return grid(pictures, columns, rows, " · ".join(filter(None, ("blue 0, red 1", caption))))


def save(path: Path, picture: np.ndarray) -> Path:
    """Write RGB uint8 (H, W, 3) as the file's suffix says; gives the path back."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(picture).save(path)
    return path


def there_and_back(frames: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Frames forth and back again, so that the animation loops without a jump."""
    return [*frames, *list(frames)[-2:0:-1]]


def save_animation(path: Path, frames: Sequence[np.ndarray], fps: float = 10) -> Path:
    """Write RGB uint8 frames (H, W, 3) as a looping GIF or as an MP4 (H.264, through PyAV).

    Raises:
        UserError: another suffix.
    """
    if path.suffix not in ANIMATIONS:
        raise UserError(f"{path}: an animation is written as {' or '.join(ANIMATIONS)}; name the file so")
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".gif":
        first, *others = [Image.fromarray(frame) for frame in frames]
        first.save(path, save_all=True, append_images=others, duration=round(1000 / fps), loop=0)
        return path
    with Film(path, frames[0].shape[:2], round(fps)) as film:
        for frame in frames:
            film.write(frame)
    return path


def curves(log: Path, path: Path, caption: str = "") -> Path:
    """Draw every column of a run's CSV log against the batches done: a panel each, training ones first.

    Noisy training columns are faint, with their running median in front.

    Args:
        log: ``metrics.csv`` as Lightning's CSVLogger writes it, with a column ``step``.
        path: picture to write.

    Raises:
        UserError: the log is not there, or has nothing to draw.
    """
    if not log.is_file():
        raise UserError(
            f"curves: looked for the run's log {log}, which is not there. Was the run trained here?"
        )
    table = pd.read_csv(log)
    names = [
        n for n in table.columns if n not in ("step", "epoch") and pd.api.types.is_numeric_dtype(table[n])
    ]
    names = sorted((n for n in names if table[n].notna().any()), key=lambda n: (not n.startswith("train"), n))
    if not names or "step" not in table:
        raise UserError(
            f"curves: {log} has no column of numbers beside its steps: has the run logged anything?"
        )
    across = min(4, len(names))
    down = -(-len(names) // across)
    wide, high = 3.4 * across, 2.2 * down + 0.3
    figure = Figure(figsize=(wide, high), dpi=110)
    FigureCanvasAgg(figure)
    # margins in inches: a layout that measures every label takes longer than drawing them
    figure.subplots_adjust(
        left=0.6 / wide,
        right=1 - 0.1 / wide,
        bottom=0.55 / high,
        top=1 - 0.3 / high,
        wspace=0.24,
        hspace=0.34,
    )
    panels = figure.subplots(down, across, squeeze=False).ravel()
    for panel, name in zip(panels, names, strict=False):
        points = table[["step", name]].dropna()
        many = len(points) > 60
        marker = "" if len(points) > 25 else "o"
        raw = {"color": FAINT_LINE, "linewidth": 0.8} if many else {"color": LINE, "linewidth": 1.4}
        panel.plot(points["step"], points[name], marker=marker, markersize=3, **raw)
        if many:
            smooth = points[name].rolling(max(5, len(points) // 40), center=True, min_periods=1).median()
            panel.plot(points["step"], smooth, color=LINE, linewidth=1.4)
        panel.set_title(name, fontsize=9)
        panel.set_xlim(0, table["step"].max() + 1)
        panel.tick_params(labelsize=7)
        panel.grid(alpha=0.25)
        panel.spines[["top", "right"]].set_visible(False)
    for panel in panels[len(names) :]:
        panel.set_visible(False)
    figure.supxlabel(f"batches{f'   ·   {caption}' if caption else ''}", fontsize=8, color="#666666")
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path)
    return path


def scatter(path: Path, panels: Mapping[str, np.ndarray], labels: Sequence[str], caption: str = "") -> Path:
    """Points (N, 2) of each panel side by side, coloured by their labels (N,)."""
    figure = Figure(figsize=(4.6 * len(panels), 4.8), dpi=110, layout="constrained")
    FigureCanvasAgg(figure)
    of = np.array(labels)
    for axis, (title, points) in zip(
        figure.subplots(1, len(panels), squeeze=False)[0], panels.items(), strict=True
    ):
        for k, label in enumerate(dict.fromkeys(sorted(labels))):
            here = of == label
            axis.plot(*points[here].T, "o", markersize=4, color=f"C{k}", label=label, alpha=0.8)
        axis.set_title(title, fontsize=10)
        axis.set_xticks([])
        axis.set_yticks([])
    axis.legend(fontsize=8, frameon=False)
    if caption:
        figure.supxlabel(caption, fontsize=8, color="#666666")
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path)
    return path


def provenance(generated: str | None) -> str:
    """The caption that generated faces carry in every figure: ``generated faces (ict head)``; else empty.

    Args:
        generated: a data module's: the head, None for photographs, "ict + photographs" where there are both.
    """
    parts = generated.split(" + ") if generated else []
    named = [part if part == "photographs" else f"generated faces ({part} head)" for part in parts]
    return " and ".join(named)
