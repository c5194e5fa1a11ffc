"""Contact sheets: people by expressions, and every AU from 0 to 5, to look at before anything is trained
on them."""

from pathlib import Path

import cv2
import numpy as np

from datamodules.generated.files import save_picture
from datamodules.generated.head import HeadModel, load_head
from datamodules.generated.person import Person
from datamodules.generated.render import Body, apex, draw_shot, embody, render, studio
from facegan.faces import AU_ACTIONS, AU_NAMES, EXPRESSIONS, N_AUS

_TEXT = 20


def _label(text: str, width: int, height: int = _TEXT) -> np.ndarray:
    strip = np.full((height, width, 3), 255, np.uint8)
    return cv2.putText(strip, text, (4, height - 6), cv2.FONT_HERSHEY_SIMPLEX, 0.4, (0, 0, 0), 1, cv2.LINE_AA)


def expression_sheet(head: HeadModel, people: int = 10, size: int = 128, first_person: int = 0) -> np.ndarray:
    """People (rows) by the eight expressions (columns), and one picture in the wild each; RGB uint8."""
    rows = [np.hstack([_label(name, size) for name in (*EXPRESSIONS, "in the wild")])]
    for seed in range(first_person, first_person + people):
        body = embody(head, Person.draw(head, seed))
        shots = [studio(apex(body.person, name), name) for name in EXPRESSIONS]
        rng = np.random.default_rng([seed, 1])
        shots.append(draw_shot(rng, apex(body.person, str(rng.choice(EXPRESSIONS)))))
        rows.append(np.hstack([render(body, shot, size).image for shot in shots]))
    return np.vstack(rows)


def au_sheet(bodies: list[Body], size: int = 128) -> np.ndarray:
    """One AU a row, intensities 0 to 5 from left to right, for each of the bodies side by side; RGB uint8."""
    rows = []
    for k in range(N_AUS):
        au = np.zeros((6, N_AUS), np.float32)
        au[:, k] = range(6)
        faces = [render(body, studio(row), size).image for body in bodies for row in au]
        rows.append(_label(f"{AU_NAMES[k]} {AU_ACTIONS[k]}, intensity 0 to 5", size * len(faces)))
        rows.append(np.hstack(faces))
    return np.vstack(rows)


def contact_sheet(
    head: str, path: Path | str, people: int = 12, size: int = 128, first_person: int = 0
) -> list[Path]:
    """Write both sheets of a head: ``<path>`` (people by expressions) and ``<path>_aus`` beside it.

    Args:
        head: "procedural" or "ict".
        path: a .png or .jpg.
        people: rows of the first sheet, from ``first_person`` on.
        size: pixels of each face.

    Returns:
        The two files.
    """
    model, path = load_head(head), Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    aus = path.with_name(f"{path.stem}_aus{path.suffix}")
    save_picture(path, expression_sheet(model, people, size, first_person))
    bodies = [embody(model, Person.draw(model, first_person + k)) for k in range(2)]
    save_picture(aus, au_sheet(bodies, size))
    return [path, aus]
