"""Write generated people as data sets of sequences have them: Oulu-CASIA (to the apex), BU-4DFE (and back).

Written from what is known of the real trees, not from the readers, so that one can catch the other's mistakes.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from datamodules.generated.files import folder_csv, save_picture
from datamodules.generated.layout import Layout, LayoutOptions
from datamodules.generated.person import Person
from datamodules.generated.render import Body, Picture, apex, render, studio

OULU_EMOTIONS = {
    "Anger": "anger", "Disgust": "disgust", "Fear": "fear", "Happiness": "happiness", "Sadness": "sadness",
    "Surprise": "surprise",
}  # fmt: skip
OULU_LIGHTS = {"Strong": 1.0, "Weak": 0.4, "Dark": 0.12}
"""Brightness of each light, against the first."""
OULU_SIZE = (240, 320)
OULU_FRAME = 40.0
"""Width of a picture at the face, in cm."""
OULU_CROP = 72
CROPPED = "PreProcess Img"


@dataclass(frozen=True)
class OuluOptions(LayoutOptions):
    """What can be varied in Oulu-CASIA's layout.

    ``wrapper``: the folders around ``VL``, which differ from copy to copy ("" for none); ``cropped``: the small grey
    set too; ``frames``: shortest and longest sequence; ``ambiguity``: 0 for expressions as the prototypes have
    them, up to 1 for weak and mixed ones, see ``mixture``; ``defects``: one person's frames with a word before
    their number, one sequence empty and one missing.
    """

    cameras: tuple[str, ...] = ("VL",)
    lights: tuple[str, ...] = ("Strong",)
    wrapper: str = "OriginalImg"
    cropped: bool = False
    frames: tuple[int, int] = (9, 24)
    size: tuple[int, int] = OULU_SIZE
    ambiguity: float = 0.0
    defects: bool = False


BU4DFE_EMOTIONS = {
    "Angry": "anger", "Disgust": "disgust", "Fear": "fear", "Happy": "happiness", "Sad": "sadness",
    "Surprise": "surprise",
}  # fmt: skip


@dataclass(frozen=True)
class BU4DFEOptions(LayoutOptions):
    """What can be varied in BU-4DFE's layout.

    ``size``: a quarter of the real pictures' side, for speed; ``landmarks``: the package of tracked points too, in a
    tree of its own; ``defects``: the viewer's folder, one sequence with a single frame, one empty and one missing.
    """

    frames: tuple[int, int] = (15, 25)
    size: tuple[int, int] = (332, 260)
    landmarks: bool = False
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


def mixture(person: Person, expression: str, ambiguity: float, rng: np.random.Generator) -> np.ndarray:
    """AUs (17,) of an apex that is not the textbook's: weaker, more this person's own, blended with another expression.

    At ``ambiguity`` 1 the apex has 0.4 to 1 of its strength, the person's habits count twice, and up to 0.45 of it
    is another of the six basic expressions.
    """
    strength, share = 1 - ambiguity * rng.uniform(0, 0.6), ambiguity * rng.uniform(0, 0.45)
    other = str(rng.choice([name for name in OULU_EMOTIONS.values() if name != expression]))
    habits = 1 + ambiguity
    mixed = (1 - share) * apex(person, expression, 1, habits) + share * apex(person, other, 1, habits)
    return (strength * mixed).astype(np.float32)


def film(
    body: Body,
    expression: str,
    top: np.ndarray,
    strength: np.ndarray,
    rng: np.random.Generator,
    size: tuple[int, int],
    light: float = 1.0,
    **camera: Any,
) -> Iterator[Picture]:
    """One sequence in a studio: a picture for each entry of ``strength`` (F,), the head swaying a little.

    ``top`` (17,) are the AUs of the apex, ``expression`` what they are called; ``size`` is (height, width); ``light``
    the brightness, 1 for a well-lit room; ``camera`` other fields of ``Shot``.
    """
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


def _write_oulu_person(root: Path, seed: int, number: int, options: OuluOptions) -> None:
    """All sequences of one person, each under every camera and light."""
    body = options.body(seed)
    for emotion, expression in OULU_EMOTIONS.items():
        for camera in options.cameras:
            for light in options.lights:
                # the cameras film at once, and the lights are the same performance
                rng = np.random.default_rng([options.seed, seed, list(OULU_EMOTIONS).index(emotion)])
                length = int(rng.integers(options.frames[0], options.frames[1] + 1))
                below = f"{light}/P{number:03d}/{emotion}"
                folder = root / options.wrapper / camera / below
                if options.defects and (number, emotion) == (2, "Fear"):
                    continue
                folder.mkdir(parents=True, exist_ok=True)
                if options.defects and (number, emotion) == (3, "Anger"):
                    continue
                prefix = "FirstF_" if options.defects and number == 1 else ""
                top = mixture(
                    body.person,
                    expression,
                    options.ambiguity,
                    np.random.default_rng([options.seed, seed, list(OULU_EMOTIONS).index(emotion), 1]),
                )
                pictures = list(
                    film(
                        body,
                        expression,
                        top,
                        rise(length),
                        rng,
                        options.size,
                        OULU_LIGHTS[light],
                        frame=OULU_FRAME,
                    )
                )
                names = [f"{prefix if k == 0 else ''}{k:03d}.jpeg" for k in range(length)]
                for name, picture in zip(names, pictures, strict=True):
                    grey = picture.image.mean(2, keepdims=True).astype(np.uint8).repeat(3, 2)
                    save_picture(folder / name, grey if camera == "NI" else picture.image)
                    if options.cropped:
                        save_picture(
                            _made(root / f"{CROPPED}/{camera}_Acropped/{below}") / name, _cropped(picture)
                        )
                folder_csv(folder, dict(zip(names, pictures, strict=True)))


def _made(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _cropped(picture: Picture) -> np.ndarray:
    """The face alone: small, square, grey."""
    low, high = picture.landmarks.min(0), picture.landmarks.max(0)
    scale = OULU_CROP / (1.2 * float((high - low).max()))
    window = np.zeros((2, 3), np.float32)
    window[0, 0] = window[1, 1] = scale
    window[:, 2] = OULU_CROP / 2 - scale * (low + high) / 2
    face = cv2.warpAffine(picture.image, window, (OULU_CROP, OULU_CROP), flags=cv2.INTER_AREA)
    return face.mean(2, keepdims=True).astype(np.uint8).repeat(3, 2)


def _plan_oulu(root: Path, seeds: range, options: OuluOptions) -> list[tuple[Path, int, int, OuluOptions]]:
    return [(root, seed, k + 1, options) for k, seed in enumerate(seeds)]


def _add_change_log(root: Path, _: list[None], options: OuluOptions) -> None:
    if options.cropped:
        (root / CROPPED / "change_log.txt").write_text("no person\n")


OULU_CASIA_LAYOUT = Layout(
    "oulu_casia", "Oulu-CASIA", OuluOptions, people=80, most=80,
    plan=_plan_oulu, write_person=_write_oulu_person, finish=_add_change_log,
)  # fmt: skip
"""``OriginalImg/VL/Strong/P001/Anger/000.jpeg``, from neutral to the apex; OpenFace's CSV of each sequence lies in
``processed`` beside its folder."""


def _write_bu4dfe_person(root: Path, seed: int, name: str, options: BU4DFEOptions) -> None:
    body = options.body(seed, "female" if name.startswith("F") else "male")
    for number, (emotion, expression) in enumerate(BU4DFE_EMOTIONS.items()):
        rng = np.random.default_rng([options.seed, seed, number])
        length = int(rng.integers(options.frames[0], options.frames[1] + 1))
        if options.defects and (name, emotion) == ("F001", "Fear"):
            continue
        if options.defects and (name, emotion) == ("F002", "Angry"):
            length = 1
        folder = root / name / emotion
        folder.mkdir(parents=True, exist_ok=True)
        if options.defects and (name, emotion) == ("F002", "Sad"):
            continue
        top = apex(body.person, expression)
        pictures = list(film(body, expression, top, rise_and_fall(length), rng, options.size, frame=26.0))
        for k, picture in enumerate(pictures):
            save_picture(folder / f"{k:03d}.jpg", picture.image)
            (folder / f"{k:03d}.wrl").write_text(_mesh(picture))
            if options.landmarks:
                points = _made(root / "BU4DFE_BND_V1.1" / name / emotion) / f"{k:03d}.bnd"
                points.write_text(_tracked(picture))
        folder_csv(folder, {f"{k:03d}.jpg": picture for k, picture in enumerate(pictures)})


def _mesh(picture: Picture) -> str:
    """A VRML 2 file with the tracked points for a mesh; texture coordinates point up."""
    height, width = picture.image.shape[:2]
    places = ", ".join(f"{x / width:.4f} {1 - y / height:.4f}" for x, y in _tracked_points(picture))
    points = ", ".join(f"{x:.2f} {-y:.2f} 0" for x, y in _tracked_points(picture))
    return (
        "#VRML V2.0 utf8\nShape { geometry IndexedFaceSet {\n"
        f"coord Coordinate {{ point [ {points} ] }}\ntexCoord TextureCoordinate {{ point [ {places} ] }}\n}} }}\n"
    )


def _tracked_points(picture: Picture) -> list[tuple[float, float]]:
    """83 points, as many as the package of landmarks has: the 68, and some between those of the jaw."""
    jaw = picture.landmarks[:16]
    between = (jaw[:-1] + jaw[1:]) / 2
    return [(x, y) for x, y in np.concatenate([picture.landmarks, between]).tolist()]


def _tracked(picture: Picture) -> str:
    """Rows of a point of the mesh and its place, as the package of landmarks has them."""
    rows = enumerate(_tracked_points(picture))
    return "".join(f"{k} {x:.3f} {-y:.3f} 0.000\n" for k, (x, y) in rows)


def _plan_bu4dfe(
    root: Path, seeds: range, options: BU4DFEOptions
) -> list[tuple[Path, int, str, BU4DFEOptions]]:
    men = min(43, len(seeds) // 2)
    names = [f"F{k:03d}" for k in range(1, len(seeds) - men + 1)] + [f"M{k:03d}" for k in range(1, men + 1)]
    return [(root, seed, name, options) for seed, name in zip(seeds, names, strict=True)]


def _add_viewer(root: Path, _: list[None], options: BU4DFEOptions) -> None:
    if options.defects:
        (root / "BU_WrlViewer_V2").mkdir(exist_ok=True)
        (root / "BU_WrlViewer_V2" / "readme.txt").write_text("a program, no person\n")


BU4DFE_LAYOUT = Layout(
    "bu4dfe", "BU-4DFE", BU4DFEOptions, people=101, most=101,
    plan=_plan_bu4dfe, write_person=_write_bu4dfe_person, finish=_add_viewer,
)  # fmt: skip
"""``F001/Angry/000.jpg`` and ``000.wrl``, neutral, apex, neutral; women and men in turn as far as there are both.
OpenFace's CSV of each sequence lies in ``processed`` beside its folder."""
