"""Write generated people as MMI has them: posed clips that lie on their side, with their XML.

Written from what is known of the real tree, not from the reader, so that one can catch the other's mistakes.
"""

from dataclasses import dataclass, replace
from pathlib import Path
from xml.sax.saxutils import quoteattr

import numpy as np

from datamodules.generated.files import save_clip, sequence_csv
from datamodules.generated.layout import Layout, LayoutOptions
from datamodules.generated.render import Picture, Shot, apex, render, studio
from datamodules.generated.sequences import film, rise_and_fall
from facegan.faces import AUS

MMI_CODES = ("anger", "disgust", "fear", "happiness", "sadness", "surprise")
"""Expressions by code, from 1."""


@dataclass(frozen=True)
class MMIOptions(LayoutOptions):
    """What can be varied in MMI's layout.

    ``size``: height and width of an upright frame (a clip of it lies on its side); of every ``coded`` clips one
    has its AUs coded and is upright; ``defects``: a code that is no emotion, a session without one, a dual view, and
    a clip that ends early.
    """

    frames: tuple[int, int] = (15, 25)
    size: tuple[int, int] = (320, 256)
    coded: int = 4
    defects: bool = False


def _coding(strength: np.ndarray, au: np.ndarray) -> str:
    """Onset, apex and offset of each active AU, frames from 1."""
    up = int(np.argmax(strength > 0)) + 1
    top = np.flatnonzero(strength >= 0.95)
    end = len(strength) - int(np.argmax(strength[::-1] > 0)) + 1
    frames = ((0, 1), (1, up), (2, int(top[0]) + 1), (3, int(top[-1]) + 2), (0, min(end, len(strength))))
    markers = "".join(f'<Marker Frame="{frame}" Type="{kind}"/>' for kind, frame in frames)
    units = "".join(
        f'<ActionUnit Number="{number}">{markers}</ActionUnit>'
        for number, value in zip(AUS, au.tolist(), strict=True)
        if value > 1
    )
    return f"<ActionUnitCoding>{units}</ActionUnitCoding>\n"


def _write_mmi_person(root: Path, seed: int, number: int, options: MMIOptions) -> None:
    body = options.body(seed)
    person = f"S{number:03d}"
    takes: list[tuple[str, int | None, int]] = [(name, k + 1, 0) for k, name in enumerate(MMI_CODES)]
    if options.defects:
        takes += [("happiness", 9, 0), ("surprise", None, 0), ("fear", 3, 2)]
    for take, (expression, code, view) in enumerate(takes):
        rng = np.random.default_rng([options.seed, seed, take])
        length = int(rng.integers(options.frames[0], options.frames[1] + 1))
        top, strength = apex(body.person, expression), rise_and_fall(length)
        pictures = list(film(body, expression, top, strength, rng, options.size, frame=28.0))
        coded = view == 0 and take % options.coded == options.coded - 1
        # the number says nothing about the person
        folder = root / "Sessions" / str(7 * number + 1000 * take + 2)
        folder.mkdir(parents=True, exist_ok=True)
        stem = f"{person}-{take + 1:03d}"
        images = [picture.image for picture in pictures]
        if view == 2:
            # the face is in the right half of a picture that is twice as wide
            right = np.array([options.size[1], 0], np.float32)
            shown = [replace(picture, landmarks=picture.landmarks + right) for picture in pictures]
            side = [render(body, _aside(picture), options.size).image for picture in pictures]
            images = [np.concatenate(pair, 1) for pair in zip(side, images, strict=True)]
        elif not coded:
            images = [np.rot90(image) for image in images]
        save_clip(folder / f"{stem}.avi", images)
        if options.defects and take == 0 and seed % 2 == 0:
            clip = folder / f"{stem}.avi"
            clip.write_bytes(clip.read_bytes()[: clip.stat().st_size * 3 // 4])
        (folder / f"{stem}.csv").write_text(
            sequence_csv(shown if view == 2 else pictures, frames_per_second=25.0)
        )
        tags = [("Subject", person), *([("Emotion", str(code))] if code else []), ("Occlusions", "none")]
        about = "".join(f"<Metatag Name={quoteattr(key)} Value={quoteattr(value)}/>" for key, value in tags)
        (folder / f"{stem}.xml").write_text(f"<Recording>{about}</Recording>\n")
        (folder / "session.xml").write_text(
            f'<session><subject id="{number}"/><track filename="{stem}.avi" view="{view}">'
            f'<annotation filename="{stem}.xml"/></track></session>\n'
        )
        if coded:
            (folder / f"{stem}-oao_aucs.xml").write_text(_coding(strength, top))


def _aside(picture: Picture) -> Shot:
    """The shot of a profile, as the mirror of a dual view shows it."""
    return studio(picture.au, picture.expression, pose=np.array([0.0, np.radians(80), 0.0]), frame=28.0)


def _plan_mmi(root: Path, seeds: range, options: MMIOptions) -> list[tuple[Path, int, int, MMIOptions]]:
    # people whose clips are known to be upright have numbers of their own
    numbers = [number for number in range(1, 78) if number not in (53, 54)]
    level = root / "mmi-facial-expression-database_download_2020-02-29_12_00_00"
    return [(level, seed, number, options) for seed, number in zip(seeds, numbers, strict=False)]


MMI_LAYOUT = Layout(
    "mmi", "MMI", MMIOptions, people=30, most=75, plan=_plan_mmi, write_person=_write_mmi_person
)
"""``Sessions/<number>/S001-002.avi``, on its side, with its XML; OpenFace's CSV of each clip, turned upright, lies
beside it."""
