"""Write generated people as RaFD has its models: flat real names, studio pictures.

Written from what is known of the real tree, not from the reader, so that one can catch the other's mistakes.
"""

import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from datamodules.generated.files import image_csv, save_picture
from datamodules.generated.layout import Layout, LayoutOptions
from datamodules.generated.render import Body, Picture, Shot, apex, render, studio
from facegan.config import UserError
from facegan.faces import EXPRESSIONS

# The 67 models of RaFD and what the names say about them.
RAFD_MODELS: dict[int, tuple[str, str]] = {
    **dict.fromkeys(
        (1, 2, 4, 8, 12, 14, 16, 18, 19, 22, 26, 27, 31, 32, 37, 56, 57, 58, 61), ("Caucasian", "female")
    ),
    **dict.fromkeys(
        (3, 5, 7, 9, 10, 15, 20, 21, 23, 24, 25, 28, 30, 33, 36, 38, 46, 47, 49, 71), ("Caucasian", "male")
    ),
    **dict.fromkeys(
        (29, 35, 44, 45, 48, 50, 51, 52, 53, 54, 55, 59, 60, 68, 69, 70, 72, 73), ("Moroccan", "male")
    ),
    **dict.fromkeys((11, 39, 40, 41, 42, 63), ("Kid", "female")),
    **dict.fromkeys((43, 64, 65, 67), ("Kid", "male")),
}
RAFD_EMOTIONS = {
    "neutral": "neutral", "anger": "angry", "disgust": "disgusted", "fear": "fearful", "happiness": "happy",
    "sadness": "sad", "surprise": "surprised", "contempt": "contemptuous",
}  # fmt: skip
RAFD_CAMERAS = (0, 45, 90, 135, 180)
RAFD_GAZES = {"frontal": 0.0, "left": 0.5, "right": -0.5}
"""Radians to the picture's right: the person's left is the picture's right."""
RAFD_SIZE = (1024, 681)


@dataclass(frozen=True)
class RafdOptions(LayoutOptions):
    """What can be varied in RaFD's layout.

    ``size`` is (height, width); ``defects``: the first model's files end in ``.JPG``, lie in a download's own folder
    and one of them in two; one picture is missing though its CSV is there; OpenFace's drawing lies in ``processed``.
    """

    cameras: tuple[int, ...] = (90,)
    gazes: tuple[str, ...] = ("frontal", "left", "right")
    expressions: tuple[str, ...] = EXPRESSIONS
    kids: bool = True
    size: tuple[int, int] = RAFD_SIZE
    texture: int = 512
    defects: bool = False


def _write_model(root: Path, seed: int, model: int, options: RafdOptions) -> None:
    ethnicity, sex = RAFD_MODELS[model]
    body = options.body(seed, sex, ethnicity.lower())
    for expression in options.expressions:
        for camera in options.cameras:
            for gaze in options.gazes:
                stem = f"Rafd{camera:03d}_{model:02d}_{ethnicity}_{sex}_{RAFD_EMOTIONS[expression]}_{gaze}"
                picture = _rafd_picture(body, expression, camera, gaze, options)
                save_picture(root / f"{stem}.jpg", picture.image)
                (root / "processed" / f"{stem}.csv").write_text(image_csv(picture))
    if options.defects and model == min(RAFD_MODELS):
        _spoil(root, sorted(root.glob(f"Rafd*_{model:02d}_*.jpg")))


def _spoil(root: Path, pictures: list[Path]) -> None:
    """The traps of real copies, with the pictures of one model."""
    for basket in (root / "RaFD basket 1", root / "RaFD basket 2"):
        basket.mkdir(exist_ok=True)
    pictures[0].unlink()
    shutil.copy(pictures[1], root / "processed" / pictures[1].name)
    shutil.copy(pictures[1], root / "RaFD basket 2" / pictures[1].name)
    for picture in pictures[1:]:
        picture.rename(root / "RaFD basket 1" / f"{picture.stem}.JPG")


def _rafd_picture(body: Body, expression: str, camera: int, gaze: str, options: RafdOptions) -> Picture:
    """A studio picture; the camera's place is the head's yaw."""
    rng = np.random.default_rng(
        [options.seed, body.person.seed, EXPRESSIONS.index(expression), RAFD_CAMERAS.index(camera)]
    )
    au = np.round(apex(body.person, expression), 2)
    slack = np.radians(rng.normal(0, 1.0, 3))
    shot: Shot = studio(
        au,
        expression,
        pose=slack + np.radians([0, camera - 90, 0]),
        gaze=np.array([RAFD_GAZES[gaze], 0.0]),
        frame=27.0,
        offset=(0.0, -3.5),
        distance=180.0,
        background=np.full((4, 4, 3), 0.9, np.float32),
        grain=0.6,
        grain_seed=int(rng.integers(2**31)),
    )
    return render(body, shot, options.size)


def _plan(root: Path, seeds: range, options: RafdOptions) -> list[tuple[Path, int, int, RafdOptions]]:
    models = sorted(k for k, (ethnicity, _) in RAFD_MODELS.items() if options.kids or ethnicity != "Kid")
    if len(seeds) > len(models):
        raise UserError(
            f"RaFD has {len(models)} models without the kids, not {len(seeds)}; ask for fewer people"
        )
    (root / "processed").mkdir(exist_ok=True)
    return [(root, seed, model, options) for seed, model in zip(seeds, models, strict=False)]


RAFD_LAYOUT = Layout("rafd", "RaFD", RafdOptions, people=67, most=67, plan=_plan, write_person=_write_model)
"""People by the models' numbers; FaceLandmarkImg's CSVs in ``processed``."""
