"""TER-GAN's and AIP-GAN's uses on picture files: transfer an expression, edit by another picture of the person,
recognise.
"""

import csv
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from datamodules.preparation.pictures import PICTURE_ENDINGS, is_picture
from facegan import figures
from facegan.config import UserError
from facegan.editing import FaceEditor, load, result_path
from facegan.judges import SAME_PERSON, DlibJudge
from facegan.pixels import to_uint8


def transfer_files(
    run: str,
    sources: Sequence[str],
    targets: Sequence[str],
    out: str,
    *,
    paste_back: bool = False,
    attention: str | None = None,
    checkpoint: str = "last",
) -> str:
    """Give the target's face the source's expression; gives a few lines on what was done.

    One source and one target make a picture. Several of either make a grid, a row for each target and a column for
    each source, with dlib's distances from the target's person and from the source's.

    Args:
        run: a run folder, or an experiment's name for its newest run.
        sources, targets: picture files, or folders of them; of one person, this is editing (TER-GAN 4.3).
        out: a .png or .jpg file.
        paste_back: of one pair, write the target's whole picture instead of the crop.
        attention: a picture file for where AIP-GAN looks in the sources, on each of its levels.

    Raises:
        UserError: no picture of one side has a face; attention is asked of a method that has none.
    """
    sources, targets = (_listed(places) for places in (sources, targets))
    path = result_path(out, *sources, *targets)
    if attention is not None:
        result_path(attention, out, *sources, *targets, option="--attention")
    editor = load(run, checkpoint, can="transfer")
    if len(sources) == len(targets) == 1:
        source, target = editor.cut(sources[0]), editor.cut(targets[0])
        seen = _attention(editor, source.image[None], attention)
        result = editor.transfer(source.image[None], target.image[None])[0]
        picture = target.paste(result) if paste_back else to_uint8(result[None])[0]
        figures.save(path, picture)
        return f"{path}: 1 picture of {picture.shape[1]}x{picture.shape[0]}{seen}"
    if paste_back:
        raise UserError("--paste goes with one source and one target")
    left_out: list[str] = []
    x_s, x_t = (_faces(editor, files, left_out) for files in (sources, targets))
    if not len(x_s) or not len(x_t):
        raise UserError(f"nothing to transfer: {'; '.join(left_out)}")
    seen = _attention(editor, x_s, attention)
    judge, rows, notes = DlibJudge(), [[None, *to_uint8(x_s)]], [[""] * (len(x_s) + 1)]
    of_sources, nearer, same = judge(x_s), 0, 0
    for target in x_t:
        results = editor.transfer(x_s, target.expand_as(x_s))
        features = judge(torch.cat([target[None], results]))
        rows.append(list(to_uint8(torch.cat([target[None], results]))))
        away, left = ((features[1:] - of).norm(dim=1) for of in (features[0], of_sources))
        nearer, same = nearer + int((away < left).sum()), same + int((away < SAME_PERSON).sum())
        notes.append(["", *map(_distances, away.tolist(), left.tolist())])
    figures.save(path, figures.grid(rows, notes=notes))
    return "\n".join([
        f"{path}: {_count(len(x_s), 'expression')} (columns) on {_count(len(x_t), 'picture')} (rows){seen}",
        f"{judge.description}: {nearer} of {len(x_s) * len(x_t)} nearer to the person of their row than to the source, "
        f"{same} within {SAME_PERSON} of them (a threshold for photographs: generated people are often as near)",
        *(f"left out: {reason}" for reason in left_out),
    ])  # fmt: skip


def _distances(to_target: float, to_source: float) -> str:
    """Below a result; no verdict, for of generated people the nearer one says more than a threshold for photographs."""
    if not np.isfinite(to_target):
        return "no face"
    return f"{to_target:.2f}, source {to_source:.2f}"


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


def _attention(editor: FaceEditor, images: Tensor, out: str | None) -> str:
    """Draw the attention, where that is asked; the line that says so."""
    if out is None:
        return ""
    levels = [level.numpy() for level in editor.attention(images)]
    figures.save(Path(out), figures.attention(to_uint8(images), levels))
    return f"\n{out}: attention of {len(levels)} levels (columns) on the sources (rows)"


def _faces(editor: FaceEditor, files: Sequence[str], left_out: list[str]) -> Tensor:
    """Crops (N, 3, S, S) of the files that have a face; the others' reasons go to ``left_out``."""
    faces = []
    for file in files:
        try:
            faces.append(editor.cut(file).image)
        except UserError as error:
            left_out.append(str(error))
    return torch.stack(faces) if faces else torch.zeros(0, 3, editor.size, editor.size)


def recognise_files(run: str, places: Sequence[str], out: str | None = None, checkpoint: str = "last") -> str:
    """Probabilities of the expressions in pictures, or in all pictures below folders; gives a table as text.

    Args:
        out: a .csv file for the same: ``image``, ``expression`` (the likeliest), and a column for each.

    Raises:
        UserError: there is no picture, or none with a face.
    """
    editor = load(run, checkpoint, can="recognise")
    names = editor.expressions
    results: list[tuple[str, np.ndarray]] = []
    left_out: list[str] = []
    with _table(out) as table:
        if table:
            table.writerow(("image", "expression", *names))
        for picture in _pictures(places):
            try:
                face = editor.cut(picture)
            except UserError as error:
                left_out.append(str(error))
                continue
            p = editor.recognise(face.image[None])[0].numpy()
            results.append((str(picture), p))
            if table:
                table.writerow((picture, names[p.argmax()], *(f"{v:.4f}" for v in p)))
        if not results:
            raise UserError(f"nothing to recognise: {'; '.join(left_out) or _none_in(places)}")
    width = max(len(name) for name, _ in results)
    lines = [f"{'':{width}}  {'expression':10}  " + "  ".join(f"{name:>9}" for name in names)]
    lines += [
        f"{name:{width}}  {names[p.argmax()]:10}  " + "  ".join(f"{v:9.2f}" for v in p) for name, p in results
    ]
    lines += [f"left out: {reason}" for reason in left_out]
    return "\n".join(
        lines + ([f"{out}: {len(results):,} picture{'' if len(results) == 1 else 's'}"] if out else [])
    )


@contextmanager
def _table(out: str | None) -> Iterator[Any]:
    """A CSV that is open before the work begins, and has each row as soon as it is known; None without a file.

    Until the end it is called ``.part``: an older table of that name stays until there is another.
    """
    if out is None:
        yield None
        return
    if Path(out).suffix != ".csv" or Path(out).is_dir() or not Path(out).parent.is_dir():
        raise UserError(f"--out {out}: name a .csv file in a folder that exists")
    part = Path(f"{out}.part")
    with part.open("w", newline="", buffering=1) as file:
        try:
            yield csv.writer(file, lineterminator="\n")
        except UserError:
            part.unlink()
            raise
    part.replace(out)


def _listed(places: Sequence[str]) -> list[str]:
    found = [str(picture) for picture in _pictures(places)]
    if not found:
        raise UserError(f"nothing to transfer: {_none_in(places)}")
    return found


def _none_in(places: Sequence[str]) -> str:
    return (
        f"looked in {', '.join(places)} and below for files ending in {', '.join(sorted(PICTURE_ENDINGS))}, "
        "found none; name pictures, or a folder that has some"
    )


def _pictures(places: Sequence[str]) -> Iterator[Path]:
    for place in map(Path, places):
        if place.is_dir():
            yield from sorted(path for path in place.rglob("*") if is_picture(path))
        else:
            yield place
