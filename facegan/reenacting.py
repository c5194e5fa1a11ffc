"""ICface's uses: a face from one picture, moved by a film, by OpenFace's CSV or by hand (its Figs. 1, 4, 5, 7).

A film is read, animated and written a few frames at a time, whatever its length; the neutral face is made once.
"""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from fractions import Fraction
from itertools import islice
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import torch
from rich.progress import track as progress_bar
from torch import Tensor

from datamodules.preparation.pictures import UnreadablePicture, upright
from facegan import figures
from facegan.config import UserError, check
from facegan.driving import NAMES, Track, columns, filled, read_track, sweep
from facegan.editing import FaceEditor, load
from facegan.faces import POSE
from facegan.films import Film
from facegan.pixels import to_uint8

AT_ONCE = {"cpu": 2}
"""Frames that are animated together, by kind of device: what stays in a processor's cache is done sooner."""

CSV_FPS = Fraction(25)
"""Of a result that no film drives."""


def reenact_file(
    run: str,
    source: str,
    out: str,
    *,
    driving: str | None = None,
    driving_csv: str | None = None,
    take: Sequence[str] = (),
    constants: Sequence[str] = (),
    factors: Sequence[str] = (),
    smooth: float = 0.0,
    alone: bool = False,
    half: bool = False,
    checkpoint: str = "last",
    progress: bool = True,
) -> str:
    """Animate a face; gives a few lines on what was done.

    Args:
        run: a run folder, or an experiment's name for its newest run.
        source: picture with the face.
        out: an .mp4; of ``constants`` alone, without a driver, a picture.
        driving: a film whose head and expression are taken; its sound is kept.
        driving_csv: OpenFace's CSV of it. Without one, the run's own attribute head looks at the film's faces; with a
            CSV and no film, the CSV alone drives.
        take: columns of further CSVs, as in ``mouth=other.csv`` (Fig. 4).
        constants, factors: as of ``Track.holding`` and ``Track.scaled``.
        smooth: standard deviation in frames of a Gaussian over time.
        alone: the result without source and driver beside it.
        half: in bfloat16.

    Raises:
        UserError: there is no face, no driver, or a name or file that is none.
    """
    editor = load(run, checkpoint, can="reenact")
    editor.half = half
    face = editor.cut(source).image[None]
    neutral = editor.neutralise(face)
    path = Path(out)
    if driving is None and driving_csv is None and not take:
        if path.suffix.lower() not in (".png", ".jpg", ".jpeg"):
            raise UserError(f"--out {out}: without --driving or --driving-csv name a .png or .jpg file")
        still = sweep("pose", [0.0]).holding(constants)
        (picture,) = to_uint8(_animated(editor, neutral, still))
        figures.save(path, picture)
        return f"{path}: 1 picture of {picture.shape[1]}x{picture.shape[0]}"
    if path.suffix.lower() != ".mp4":
        raise UserError(f"--out {out}: a film is written as .mp4; name the file so")
    notes: list[str] = []
    moves = _main_track(editor, driving, driving_csv, take, notes, progress)
    for item in take:
        names, _, file = item.partition("=")
        if not file:
            raise UserError(f"--take {item}: write columns and a CSV, as in --take mouth=other.csv")
        moves = moves.taking(read_track(file), names)
    moves = moves.smoothed(smooth).scaled(factors).holding(constants)
    written = _film(editor, face, neutral, moves, driving, path, alone, progress)
    return "\n".join([f"{path}: {written:,} frames of {editor.size}x{editor.size}", *notes])


def sweep_file(
    run: str, source: str, name: str, out: str, pictures: int = 7, checkpoint: str = "last"
) -> str:
    """Fig. 5: one angle or AU over its range, the rest neutral, as a strip.

    Raises:
        UserError: there is no face, or no column of that name.
    """
    check("--steps", pictures, at_least=2)
    editor = load(run, checkpoint, can="reenact")
    face = editor.cut(source).image[None]
    angle = columns(name)[0] < len(POSE)
    values = np.linspace(-0.5, 0.5, pictures) if angle else np.linspace(0, 5, pictures)
    strip = to_uint8(_animated(editor, editor.neutralise(face), sweep(name, values.tolist())))
    labels = [f"{np.degrees(v):+.0f}°" if angle else f"{v:.1f}" for v in values]
    figures.save(Path(out), figures.grid([[to_uint8(face)[0], *strip]], ["source", *labels], [name]))
    return f"{out}: {name}, {pictures} values"


def neutral_file(run: str, source: str, out: str, checkpoint: str = "last") -> str:
    """Fig. 7: the face as the neutraliser sees it: facing the camera and without expression."""
    editor = load(run, checkpoint, can="reenact")
    (picture,) = to_uint8(editor.neutralise(editor.cut(source).image[None]).float().cpu())
    figures.save(Path(out), picture)
    return f"{out}: 1 picture of {picture.shape[1]}x{picture.shape[0]}"


def _main_track(
    editor: FaceEditor,
    driving: str | None,
    csv: str | None,
    take: Sequence[str],
    notes: list[str],
    progress: bool,
) -> Track:
    if csv is not None:
        return read_track(csv)
    if driving is None:  # what is taken drives; the rest is neutral
        longest = max(len(read_track(item.partition("=")[2])) for item in take)
        return sweep("pose", [0.0] * longest)
    notes.append("no CSV: poses and AUs of the film are those that the run's own attribute head sees")
    return _seen(editor, driving, progress)


def _seen(editor: FaceEditor, driving: str, progress: bool) -> Track:
    """What the attribute head sees in a film, frame by frame; without a face, the frame before counts."""
    rows: list[np.ndarray] = []
    with ExitStack() as stack:
        source = _opened(stack, driving)
        frames = source.decode(video=0)
        total = source.streams.video[0].frames or None
        for frame in progress_bar(frames, "Looking at the film", total=total, disable=not progress):
            try:
                pose, au = editor.estimate(editor.cut_picture(upright(frame)).image[None])
                rows.append(np.concatenate([pose[0].numpy(), au[0].numpy()]))
            except UnreadablePicture:
                rows.append(np.full(len(NAMES), np.nan, np.float32))
    return filled(np.array(rows, np.float32).reshape(-1, len(NAMES)), driving)


def _opened(stack: ExitStack, film: str) -> Any:
    try:
        container = stack.enter_context(av.open(film))
        if container.streams.video:
            return container
    except (av.FFmpegError, OSError) as error:
        raise UserError(f"--driving {film}: no film that can be read ({type(error).__name__})") from None
    raise UserError(f"--driving {film}: it has no pictures")


def _animated(editor: FaceEditor, neutral: Tensor, moves: Track) -> Tensor:
    """Pictures (F, 3, S, S) of the frames of a track."""
    pose, au = torch.from_numpy(moves.pose), torch.from_numpy(moves.au)
    return editor.animate(neutral.expand(len(moves), -1, -1, -1), pose, au)


def _film(
    editor: FaceEditor,
    face: Tensor,
    neutral: Tensor,
    moves: Track,
    driving: str | None,
    path: Path,
    alone: bool,
    progress: bool,
) -> int:
    """Write the film, with its driver's sound; the number of its frames."""
    beside = [] if alone else [to_uint8(face)[0]]
    parts = 1 if alone else 2 + (driving is not None)
    done = 0
    with ExitStack() as stack:
        source = _opened(stack, driving) if driving is not None else None
        rate = (source.streams.video[0].average_rate if source else None) or CSV_FPS
        sound = source.streams.audio[0] if source and source.streams.audio else None
        film = stack.enter_context(Film(path, (editor.size, parts * editor.size), rate, sound))
        drivers, few = _drivers(source, film, len(moves)), at_once(editor.device.type)
        for frames in progress_bar(
            _batches(drivers, few), "Animating", total=-(-len(moves) // few), disable=not progress
        ):
            results = to_uint8(_animated(editor, neutral, Track(moves.values[done : done + len(frames)])))
            for driver, result in zip(frames, results, strict=True):
                shown = [] if alone or driver is None else [_fitted(driver, editor.size)]
                film.write(np.hstack([*beside, *shown, result]))
            done += len(frames)
    return done


def at_once(device: str) -> int:
    """How many frames are animated together on a kind of device."""
    return AT_ONCE.get(device, 16)


def _batches(frames: Iterator[Any], few: int) -> Iterator[list[Any]]:
    while batch := list(islice(frames, few)):
        yield batch


def _drivers(source: Any, film: Film, total: int) -> Iterator[np.ndarray | None]:
    """The driver's frames, at most ``total``, while its sound goes into the film; without a driver None, as often."""
    if source is None:
        yield from [None] * total
        return
    for packet in source.demux([*source.streams.video[:1], *source.streams.audio[:1]]):
        if packet.stream.type == "audio":
            film.hear(packet)
            continue
        for frame in packet.decode():
            if total > 0:
                yield upright(frame)
            total -= 1


def _fitted(picture: np.ndarray, side: int) -> np.ndarray:
    """A picture (H, W, 3) as large as fits into a black square."""
    height, width = picture.shape[:2]
    zoom = side / max(height, width)
    small = cv2.resize(
        picture, (max(1, round(width * zoom)), max(1, round(height * zoom))), interpolation=cv2.INTER_AREA
    )
    out = np.zeros((side, side, 3), np.uint8)
    top, left = (side - small.shape[0]) // 2, (side - small.shape[1]) // 2
    out[top : top + small.shape[0], left : left + small.shape[1]] = small
    return out
