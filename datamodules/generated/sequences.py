"""Write generated people as data sets of sequences have them: Oulu-CASIA (to the apex), BU-4DFE (and back).

Written from what is known of the real trees, not from the readers, so that one can catch the other's mistakes.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from datamodules.generated.head import load_head
from datamodules.generated.person import Person
from datamodules.generated.render import Body, Picture, apex, embody, render, studio
from datamodules.generated.writers import choose_options, mark, save_picture, sequence_csv, spread
from facegan.config import UserError

OULU_EMOTIONS = {
    "Anger": "anger", "Disgust": "disgust", "Fear": "fear", "Happiness": "happiness", "Sadness": "sadness",
    "Surprise": "surprise",
}  # fmt: skip
OULU_LIGHTS = {"Strong": 1.0, "Weak": 0.4, "Dark": 0.12}
"""Brightness of each light, against the first."""
OULU_SIZE = (240, 320)


@dataclass(frozen=True)
class OuluOptions:
    """What ``write_oulu_casia`` writes; stored in ``GENERATED.json``.

    ``frames``: shortest and longest sequence; ``defects``: one person's frames with a word before their number,
    one sequence empty and one missing.
    """

    head: str = "procedural"
    seed: int = 0
    cameras: tuple[str, ...] = ("VL",)
    lights: tuple[str, ...] = ("Strong",)
    frames: tuple[int, int] = (9, 24)
    size: tuple[int, int] = OULU_SIZE
    texture: int = 256
    defects: bool = False


BU4DFE_EMOTIONS = {
    "Angry": "anger", "Disgust": "disgust", "Fear": "fear", "Happy": "happiness", "Sad": "sadness",
    "Surprise": "surprise",
}  # fmt: skip


@dataclass(frozen=True)
class BU4DFEOptions:
    """What ``write_bu4dfe`` writes; stored in ``GENERATED.json``.

    ``size``: a quarter of the real pictures' side, for speed; ``defects``: the viewer's folder, one sequence with
    a single frame and one missing.
    """

    head: str = "procedural"
    seed: int = 0
    frames: tuple[int, int] = (15, 25)
    size: tuple[int, int] = (332, 260)
    texture: int = 256
    defects: bool = False


def rise(frames: int) -> np.ndarray:
    """Strength (frames,) of an expression that starts at 0, rises smoothly and ends at its apex, 1."""
    return _smooth(np.linspace(-0.1, 1.15, frames))


def rise_and_fall(frames: int) -> np.ndarray:
    """Strength (frames,) of an expression that starts and ends at 0 and has its apex, 1, in the middle."""
    return _smooth(1.25 - 1.4 * np.abs(np.linspace(-1, 1, frames)))


def _smooth(t: np.ndarray) -> np.ndarray:
    t = np.clip(t, 0, 1)
    return t * t * (3 - 2 * t)


def film(
    body: Body,
    expression: str,
    strength: np.ndarray,
    rng: np.random.Generator,
    size: tuple[int, int],
    light: float = 1.0,
    **camera: Any,
) -> Iterator[Picture]:
    """One sequence in a studio: a picture for each entry of ``strength`` (F,), the head swaying a little.

    ``size`` is (height, width); ``light`` the brightness, 1 for a well-lit room; ``camera`` other fields of ``Shot``.
    """
    top = apex(body.person, expression)
    frames = len(strength)
    sway = (
        np.radians(0.4)
        * np.cumsum(rng.normal(size=(frames, 3)), 0)
        / np.sqrt(np.arange(1, frames + 1))[:, None]
    )
    start = np.radians(rng.normal(0, (2, 4, 1.5)))
    plain, dim = studio(top).lights, np.float32(light)
    lights = plain._replace(colour=plain.colour * dim, sky=plain.sky * dim, ground=plain.ground * dim)
    for k in range(frames):
        au = np.round(top * strength[k], 2).astype(np.float32)
        shot = studio(
            au, expression, pose=start + sway[k], lights=lights, offset=(0.0, 1.0), distance=130.0, grain=1.2,
            grain_seed=int(rng.integers(2**31)), background=np.full((4, 4, 3), 0.35 * dim, np.float32), **camera,
        )  # fmt: skip
        yield render(body, shot, size)


def write_csv(folder: Path, pictures: Mapping[str, Picture]) -> None:
    """What FeatureExtraction -fdir says of a folder's pictures by file name, in ``processed`` beside it.

    The tool takes them in the order of their names, as strings: 102.jpg before 12.jpg.
    """
    table = folder.parent / "processed" / f"{folder.name}.csv"
    table.parent.mkdir(exist_ok=True)
    in_order = [pictures[name] for name in sorted(pictures)]
    table.write_text(sequence_csv(in_order, frames_per_second=25.0))


def check_people(title: str, most: int, people: int) -> None:
    """Refuse more people than a data set has."""
    if people > most:
        raise UserError(
            f"{title} has {most} people, not {people}; for more: facegan generate folder --people N"
        )


def _write_oulu_person(root: Path, seed: int, number: int, options: OuluOptions) -> None:
    """All sequences of one person, each under every camera and light."""
    head = load_head(options.head)
    body = embody(head, Person.draw(head, seed), options.texture)
    for emotion, expression in OULU_EMOTIONS.items():
        for camera in options.cameras:
            for light in options.lights:
                # the cameras film at once, and the lights are the same performance
                rng = np.random.default_rng([options.seed, seed, list(OULU_EMOTIONS).index(emotion)])
                length = int(rng.integers(options.frames[0], options.frames[1] + 1))
                folder = root / "OriginalImg" / camera / light / f"P{number:03d}" / emotion
                if options.defects and (number, emotion) == (2, "Fear"):
                    continue
                folder.mkdir(parents=True, exist_ok=True)
                if options.defects and (number, emotion) == (3, "Anger"):
                    continue
                prefix = "FirstF_" if options.defects and number == 1 else ""
                pictures = list(
                    film(body, expression, rise(length), rng, options.size, OULU_LIGHTS[light], frame=40.0)
                )
                names = [f"{prefix if k == 0 else ''}{k:03d}.jpeg" for k in range(length)]
                for name, picture in zip(names, pictures, strict=True):
                    grey = picture.image.mean(2, keepdims=True).astype(np.uint8).repeat(3, 2)
                    save_picture(folder / name, grey if camera == "NI" else picture.image)
                write_csv(folder, dict(zip(names, pictures, strict=True)))


def write_oulu_casia(
    root: Path | str,
    people: int = 80,
    head: str = "procedural",
    first_person: int = 0,
    seed: int = 0,
    workers: int | None = 2,
    progress: bool = False,
    **options: Any,
) -> Path:
    """Write people in Oulu-CASIA's layout: ``OriginalImg/VL/Strong/P001/Anger/000.jpeg``, from neutral to the apex.

    OpenFace's CSV of each sequence lies in ``processed`` beside its folder; ``GENERATED.json`` in the root.

    Args:
        root: folder to write into.
        people: how many of the 80.
        first_person: seed of the first of them.
        options: other fields of ``OuluOptions``.

    Raises:
        UserError: more people than the data set has, or an unknown option.
    """
    chosen = choose_options(OuluOptions, head=head, seed=seed, **options)
    check_people("Oulu-CASIA", 80, people)
    root = Path(root)
    jobs = [(root, first_person + k, k + 1, chosen) for k in range(people)]
    spread(_write_oulu_person, jobs, head, workers, progress)
    mark(root, "oulu_casia", chosen, people, first_person)
    return root


def _write_bu4dfe_person(root: Path, seed: int, name: str, options: BU4DFEOptions) -> None:
    head = load_head(options.head)
    body = embody(
        head, Person.draw(head, seed, "female" if name.startswith("F") else "male"), options.texture
    )
    for number, (emotion, expression) in enumerate(BU4DFE_EMOTIONS.items()):
        rng = np.random.default_rng([options.seed, seed, number])
        length = int(rng.integers(options.frames[0], options.frames[1] + 1))
        if options.defects and (name, emotion) == ("F001", "Fear"):
            continue
        if options.defects and (name, emotion) == ("F002", "Angry"):
            length = 1
        folder = root / name / emotion
        folder.mkdir(parents=True, exist_ok=True)
        pictures = list(film(body, expression, rise_and_fall(length), rng, options.size, frame=26.0))
        for k, picture in enumerate(pictures):
            save_picture(folder / f"{k:03d}.jpg", picture.image)
            (folder / f"{k:03d}.wrl").write_text(_mesh(picture))
        write_csv(folder, {f"{k:03d}.jpg": picture for k, picture in enumerate(pictures)})


def _mesh(picture: Picture) -> str:
    """A VRML 2 file with the 68 landmarks for a mesh; texture coordinates point up."""
    height, width = picture.image.shape[:2]
    places = ", ".join(f"{x / width:.4f} {1 - y / height:.4f}" for x, y in picture.landmarks)
    points = ", ".join(f"{x:.2f} {-y:.2f} 0" for x, y in picture.landmarks)
    return (
        "#VRML V2.0 utf8\nShape { geometry IndexedFaceSet {\n"
        f"coord Coordinate {{ point [ {points} ] }}\ntexCoord TextureCoordinate {{ point [ {places} ] }}\n}} }}\n"
    )


def write_bu4dfe(
    root: Path | str,
    people: int = 101,
    head: str = "procedural",
    first_person: int = 0,
    seed: int = 0,
    workers: int | None = 2,
    progress: bool = False,
    **options: Any,
) -> Path:
    """Write people in BU-4DFE's layout: ``F001/Angry/000.jpg`` and ``000.wrl``, neutral, apex, neutral.

    OpenFace's CSV of each sequence lies in ``processed`` beside its folder; ``GENERATED.json`` in the root.

    Args:
        root: folder to write into.
        people: how many of the 58 women and 43 men, in turn as far as there are both.
        first_person: seed of the first of them.
        options: other fields of ``BU4DFEOptions``.

    Raises:
        UserError: more people than the data set has, or an unknown option.
    """
    chosen = choose_options(BU4DFEOptions, head=head, seed=seed, **options)
    check_people("BU-4DFE", 101, people)
    root = Path(root)
    men = min(43, people // 2)
    names = [f"F{k:03d}" for k in range(1, people - men + 1)] + [f"M{k:03d}" for k in range(1, men + 1)]
    jobs = [(root, first_person + k, name, chosen) for k, name in enumerate(names)]
    spread(_write_bu4dfe_person, jobs, head, workers, progress)
    if chosen.defects:
        (root / "BU_WrlViewer_V2").mkdir(exist_ok=True)
        (root / "BU_WrlViewer_V2" / "readme.txt").write_text("a program, no person\n")
    mark(root, "bu4dfe", chosen, people, first_person)
    return root
