"""ICface's uses: a face from one picture, moved by films, pictures, OpenFace's CSVs or by hand (its Figs. 1, 4, 5, 7).

A film is read, animated and written a few frames at a time, whatever its length; the neutral face is made once.
"""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from itertools import islice, repeat
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from rich.progress import track as progress_bar
from torch import Tensor

from datamodules.preparation.pictures import is_picture
from facegan import figures
from facegan.config import UserError, check
from facegan.drivers import Drivers
from facegan.driving import Track, columns, sweep, to_either_side
from facegan.editing import PICTURES, FaceEditor, load, result_path
from facegan.faces import AU_MAX, POSE
from facegan.films import CSV_FPS, Film, Footage
from facegan.pixels import to_uint8

AT_ONCE = {"cpu": 2}
"""Frames that are animated together, by kind of device: what stays in a processor's cache is done sooner."""


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
    au_judge: str | None = None,
    checkpoint: str = "last",
    progress: bool = True,
) -> str:
    """Animate a face; gives a few lines on what was done.

    Args:
        run: a run folder, or an experiment's name for its newest run.
        source: picture with the face.
        out: an .mp4; where one picture or ``constants`` alone drive, a picture.
        driving: a film or a picture whose head and expression are taken; a film is shown, and its sound kept.
        driving_csv: OpenFace's CSV of it. Without one, the run's own attribute head looks at the film's faces; with a
            CSV and no film, the CSV alone drives.
        take: columns of further drivers, CSVs, films or pictures, as in ``mouth=other.csv`` (Fig. 4); where
            nothing else drives, the first film of them is shown and heard.
        constants, factors: as of ``Track.holding`` and ``Track.scaled``.
        smooth: standard deviation in frames of a Gaussian over time.
        alone: the result without source and driver beside it.
        half: in bfloat16.
        au_judge: who looks at drivers without a CSV, as of ``Drivers``.

    Raises:
        UserError: there is no face, no driver, or a name, number or file that is none.
    """
    further = [_taken(item) for item in take]
    inputs = (source, driving, driving_csv, *(file for _, file in further))
    path = result_path(out, *inputs, kinds=(".mp4", *PICTURES))
    film = path.suffix.lower() == ".mp4"
    if driving is not None and Path(driving).suffix.lower() == ".csv":
        raise UserError(f"--driving {driving}: a CSV of OpenFace is given with --driving-csv")
    if driving is not None and not film and not is_picture(Path(driving)):
        raise UserError(f"--out {out}: what {driving} drives is a film; name an .mp4 file")
    _check_numbers(constants, factors, smooth)
    if not (driving or driving_csv or further):
        _check_by_hand(out, film, constants, factors, smooth)
    editor = load(run, checkpoint, can="reenact")
    editor.half = half
    face = editor.cut(source).image[None]
    neutral = editor.neutralise(face)
    drivers = Drivers(editor, au_judge, progress)
    moves = _moves(drivers, driving, driving_csv, further).smoothed(smooth).scaled(factors).holding(constants)
    notes = drivers.said + _beyond(moves, editor.reach)
    if film:
        editor.quicken()
        if driving is None and driving_csv is None:
            driving = next((file for _, file in further if _is_film(file)), None)
        written, told = _film(editor, face, neutral, moves, driving, path, alone, progress)
        notes += told
        done = f"{path}: {written:,} frames of {editor.size}x{editor.size}"
    elif len(moves) > 1:
        raise UserError(f"--out {out}: {len(moves):,} frames make a film; name an .mp4 file")
    else:
        (picture,) = to_uint8(_animated(editor, neutral, moves))
        figures.save(path, picture)
        done = f"{path}: 1 picture of {picture.shape[1]}x{picture.shape[0]}"
    return "\n".join(dict.fromkeys([done, *notes]))


def sweep_file(
    run: str,
    source: str,
    name: str,
    out: str,
    pictures: int = 7,
    constants: Sequence[str] = (),
    checkpoint: str = "last",
) -> str:
    """Fig. 5: one angle or AU over its range, as a strip; what ``constants`` do not hold is neutral.

    Raises:
        UserError: there is no face, no column of that name, angles and AUs at once, or ``constants`` hold it.
    """
    check("--steps", pictures, at_least=2, at_most=100)
    swept = columns(name)
    angle = swept[0] < len(POSE)
    if any((column < len(POSE)) != angle for column in swept):
        raise UserError(f"--sweep {name}: angles go to both sides and AUs from 0 to 5; sweep one of them")
    for item in constants:
        if set(swept) & set(columns(item.partition("=")[0])):
            raise UserError(f"--sweep {name} moves what --set {item} holds; leave one of them out")
    sweep(name, [0.0]).holding(constants)  # what is wrong there is said before a network is loaded
    path = result_path(out, source)
    editor = load(run, checkpoint, can="reenact")
    far = min(to_either_side(editor.reach)[column] for column in swept) if angle else 0.0
    values = np.linspace(-far, far, pictures) if angle else np.linspace(0, AU_MAX, pictures)
    moves = sweep(name, values.tolist()).holding(constants)
    face = editor.cut(source).image[None]
    strip = to_uint8(_animated(editor, editor.neutralise(face), moves))
    labels = [f"{np.degrees(v):+.0f}°" if angle else f"{v:.1f}" for v in values]
    figures.save(path, figures.grid([[to_uint8(face)[0], *strip]], ["source", *labels], [name]))
    return f"{out}: {name}, {pictures} values"


def neutral_file(run: str, source: str, out: str, checkpoint: str = "last") -> str:
    """Fig. 7: the face as the neutraliser sees it: facing the camera and without expression."""
    path = result_path(out, source)
    editor = load(run, checkpoint, can="reenact")
    (picture,) = to_uint8(editor.neutralise(editor.cut(source).image[None]).float().cpu())
    figures.save(path, picture)
    return f"{out}: 1 picture of {picture.shape[1]}x{picture.shape[0]}"


def _is_film(file: str) -> bool:
    return Path(file).suffix.lower() != ".csv" and not is_picture(Path(file))


def _taken(item: str) -> tuple[str, str]:
    """Columns and driver of an item of --take."""
    names, _, file = item.partition("=")
    if not file:
        raise UserError(f"--take {item}: write columns and a driver, as in --take mouth=other.csv")
    columns(names)
    return names, file


def _check_numbers(constants: Sequence[str], factors: Sequence[str], smooth: float) -> None:
    """Refuse what no track can do, before hours of film are looked at."""
    sweep("pose", [0.0]).smoothed(smooth).scaled(factors).holding(constants)


def _check_by_hand(
    out: str, film: bool, constants: Sequence[str], factors: Sequence[str], smooth: float
) -> None:
    """Refuse what only a driver can do, where there is none."""
    if factors or smooth:
        raise UserError("--scale and --smooth change a driver, and none is given; hold columns with --set")
    if not constants:
        raise UserError(
            "nothing to do: give --driving FILM, --driving-csv CSV, --take mouth=CSV, or --set AU12=3"
        )
    if film:
        raise UserError(f"--out {out}: of --set alone one picture is made; name a .png or .jpg file")


def _moves(
    drivers: Drivers, driving: str | None, csv: str | None, further: Sequence[tuple[str, str]]
) -> Track:
    """What all drivers together ask for; where none of them is the main one, the rest is neutral."""
    others = [(names, drivers.track(file, "--take")) for names, file in further]
    if csv is not None:
        moves = drivers.table(csv)
    elif driving is not None:
        moves = drivers.track(driving, "--driving")
    else:
        moves = sweep("pose", [0.0] * max((len(other) for _, other in others), default=1))
    for names, other in others:
        if 1 < len(other) < len(moves):
            drivers.said.append(
                f"--take {names}: its driver has {len(other):,} of {len(moves):,} frames, the last of which stays"
            )
        moves = moves.taking(other, names)
    return moves


def _beyond(moves: Track, reach: list[float]) -> list[str]:
    """A note, where heads turn further than the network's attributes go."""
    far = int((np.abs(moves.pose) > reach).any(1).sum())
    said = ", ".join(f"{name} {angle:.2f}" for name, angle in zip(POSE, reach, strict=True))
    note = f"{far:,} of {len(moves):,} frames turn further than was taught ({said} radians), and are taken for that"
    return [note] if far else []


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
) -> tuple[int, list[str]]:
    """Write the film, with its driver's sound as long as there are pictures; the number of its frames, and notes."""
    beside = [] if alone else [to_uint8(face)[0]]
    parts = 1 if alone else 2 + (driving is not None)
    done, few, notes = 0, at_once(editor.device.type), []
    with ExitStack() as stack:
        footage = stack.enter_context(Footage(driving)) if driving is not None else None
        if driving is not None and is_picture(Path(driving)) and len(moves) > 1:
            raise UserError(
                f"--driving {driving} is one picture and what drives has {len(moves):,} frames; leave --driving out"
            )
        rate, there = (footage.rate, footage.count) if footage else (CSV_FPS, len(moves))
        if there != len(moves):
            notes.append(
                f"{driving} has {there:,} frames, its drivers have {len(moves):,}: the shorter counts"
            )
        sound = footage.sound if footage else None
        film = stack.enter_context(Film(path, (editor.size, parts * editor.size), rate, sound))
        drivers: Iterator[np.ndarray | None] = repeat(None, len(moves))
        if footage:
            drivers = _shown(footage.frames(len(moves), film.hear), editor.size)
        total = -(-min(there, len(moves)) // few)
        for frames in progress_bar(_batches(drivers, few), "Animating", total=total, disable=not progress):
            results = to_uint8(_animated(editor, neutral, Track(moves.values[done : done + len(frames)])))
            for driver, result in zip(frames, results, strict=True):
                shown = [] if alone or driver is None else [driver]
                film.write(np.hstack([*beside, *shown, result]))
            done += len(frames)
        notes += footage.notes() if footage else []
    if not done:
        raise UserError(f"{driving}: no frame of it can be decoded")
    return done, notes


def at_once(device: str) -> int:
    """How many frames are animated together on a kind of device."""
    return AT_ONCE.get(device, 16)


def _batches(frames: Iterator[Any], few: int) -> Iterator[list[Any]]:
    while batch := list(islice(frames, few)):
        yield batch


def _shown(pictures: Iterable[np.ndarray | None], side: int) -> Iterator[np.ndarray]:
    """Pictures (side, side, 3) of what drives; where there is none, the one before."""
    last = np.zeros((side, side, 3), np.uint8)
    for picture in pictures:
        last = last if picture is None else _fitted(picture, side)
        yield last


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
