"""Write generated people to disk, laid out as the real data sets are, with the truth as OpenFace CSVs."""

import csv
import json
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, fields
from multiprocessing import get_context
from pathlib import Path
from typing import Any, TypeVar

import cv2
import numpy as np
from rich.progress import track
from threadpoolctl import threadpool_limits

from datamodules.generated.head import HeadModel, load_head
from datamodules.generated.person import Person
from datamodules.generated.render import Body, Picture, Shot, apex, draw_shot, embody, render, studio
from datamodules.generated.request import MARK
from facegan.config import UserError
from facegan.faces import AU_MAX, AU_NAMES, EXPRESSIONS, N_AUS, N_LANDMARKS

AU_MIXES = ("mixed", "prototypes", "independent")

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

# The tool prints a presence for one AU that has no intensity.
_PRESENCES = tuple(sorted([*AU_NAMES, "AU28"]))
_BLOCK = (
    *(f"pose_{kind}{axis}" for kind in "TR" for axis in "xyz"),
    *(f"{axis}_{k}" for axis in "xy" for k in range(N_LANDMARKS)),
    *(f"{name}_r" for name in AU_NAMES),
    *(f"{name}_c" for name in _PRESENCES),
)
SEQUENCE_HEADER = ("frame", "face_id", "timestamp", "confidence", "success", *_BLOCK)
IMAGE_HEADER = ("face", "confidence", *_BLOCK)


@dataclass(frozen=True)
class FolderOptions:
    """What ``write_folder`` varies; stored in ``GENERATED.json``.

    ``aus``: "prototypes" (the eight expressions at random strength), "independent" (sparse random AUs) or
    "mixed" (half and half); ``pose_spread``: standard deviation of pitch, yaw, roll in degrees, cut at 30;
    ``light_spread``: 0 is one studio light, 1 is anything.
    """

    head: str = "procedural"
    size: int = 128
    seed: int = 0
    aus: str = "mixed"
    pose_spread: tuple[float, float, float] = (6.0, 12.0, 4.0)
    light_spread: float = 1.0
    texture: int = 256
    format: str = "jpg"


@dataclass(frozen=True)
class RafdOptions:
    """What ``write_rafd`` writes; stored in ``GENERATED.json``. ``size`` is (height, width)."""

    head: str = "procedural"
    seed: int = 0
    cameras: tuple[int, ...] = (90,)
    gazes: tuple[str, ...] = ("frontal", "left", "right")
    expressions: tuple[str, ...] = EXPRESSIONS
    kids: bool = True
    size: tuple[int, int] = RAFD_SIZE
    texture: int = 512


def _numbers(picture: Picture) -> list[str]:
    """The common block of both kinds of CSV, with the precisions that the tool prints."""
    return [
        *(f"{v:.1f}" for v in picture.translation),
        *(f"{v:.3f}" for v in picture.pose),
        *(f"{v:.1f}" for v in picture.landmarks.T.ravel()),
        *(f"{v:.2f}" for v in picture.au),
        *(
            "1.0" if name != "AU28" and picture.au[AU_NAMES.index(name)] >= 1 else "0.0"
            for name in _PRESENCES
        ),
    ]


def sequence_csv(pictures: Sequence[Picture], frames_per_second: float = 30.0) -> str:
    """The text that OpenFace's FeatureExtraction would have written for the pictures of one folder."""
    rows = [", ".join(SEQUENCE_HEADER)]
    for k, picture in enumerate(pictures):
        start = [str(k + 1), "0", f"{k / frames_per_second:.3f}", "0.98", "1"]
        rows.append(", ".join([*start, *_numbers(picture)]))
    return "\n".join(rows) + "\n"


def image_csv(picture: Picture) -> str:
    """The text that OpenFace's FaceLandmarkImg would have written for one picture."""
    return ", ".join(IMAGE_HEADER) + "\n" + ", ".join(["0", "0.980", *_numbers(picture)]) + "\n"


def save_picture(path: Path, image: np.ndarray, quality: int = 95) -> None:
    """Write RGB uint8 (H, W, 3) by the name's ending (jpg or png)."""
    jpeg = [cv2.IMWRITE_JPEG_QUALITY, quality] if path.suffix in (".jpg", ".jpeg") else []
    done, data = cv2.imencode(path.suffix, cv2.cvtColor(image, cv2.COLOR_RGB2BGR), jpeg)
    if not done:
        raise UserError(f"cannot write pictures of the kind {path.suffix!r} ({path}); use jpg or png")
    path.write_bytes(data.tobytes())


def draw_action(person: Person, rng: np.random.Generator, aus: str) -> tuple[np.ndarray, str]:
    """AUs (17,) of one picture, and its expression ("" where it is none of the eight)."""
    prototypical = aus == "prototypes" or (aus == "mixed" and rng.random() < 0.5)
    if prototypical:
        expression = str(rng.choice(EXPRESSIONS))
        au = apex(person, expression, rng.uniform(0.35, 1.15))
        stray = (rng.random(N_AUS) < 0.04) * rng.uniform(0, 1.2, N_AUS)
        return np.round(np.maximum(au, stray), 2).astype(np.float32), expression
    active = rng.random(N_AUS) < 0.22
    au = active * rng.uniform(0.3, AU_MAX, N_AUS)
    return np.round(au, 2).astype(np.float32), ""


def person_pictures(head: HeadModel, seed: int, count: int, options: FolderOptions) -> Iterator[Picture]:
    """The ``count`` pictures of the person with that seed; the k-th depends on (seed, k) alone."""
    person = Person.draw(head, seed)
    body = embody(head, person, options.texture)
    for k in range(count):
        rng = np.random.default_rng([options.seed, seed, k])
        au, expression = draw_action(person, rng, options.aus)
        shot = draw_shot(rng, au, expression, options.pose_spread, options.light_spread)
        yield render(body, shot, options.size)


def _write_person(root: Path, seed: int, count: int, options: FolderOptions) -> list[tuple[str, str, str]]:
    """Write one person unless that was done before; the person's rows of ``labels.csv``."""
    head, name = load_head(options.head), f"p{seed:06d}"
    images = [f"{name}/{k + 1:06d}.{options.format}" for k in range(count)]
    done = root / f"{name}.csv"  # written last: where it is, the person is whole
    if done.exists():
        person = Person.draw(head, seed)
        actions = [
            draw_action(person, np.random.default_rng([options.seed, seed, k]), options.aus)
            for k in range(count)
        ]
        return [(image, name, expression) for image, (_, expression) in zip(images, actions, strict=True)]
    (root / name).mkdir(parents=True, exist_ok=True)
    pictures = []
    for image, picture in zip(images, person_pictures(head, seed, count, options), strict=True):
        save_picture(root / image, picture.image)
        pictures.append(picture)
    part = done.with_suffix(".part")
    part.write_text(sequence_csv(pictures))
    part.replace(done)
    return [(image, name, picture.expression) for image, picture in zip(images, pictures, strict=True)]


def write_folder(
    root: Path | str,
    people: int,
    pictures_per_person: int,
    head: str = "procedural",
    size: int = 128,
    first_person: int = 0,
    seed: int = 0,
    workers: int | None = 2,
    progress: bool = False,
    **options: Any,
) -> Path:
    """Write people in the ``folder`` layout: pictures, one OpenFace CSV a person, ``labels.csv``,
    ``GENERATED.json``.

    Args:
        root: folder to write into; made if need be.
        people, first_person: the people ``first_person`` ... ``first_person + people - 1``.
        pictures_per_person: pictures of each, in random actions, poses, lights and places.
        head: "procedural" or "ict".
        size: side of the square pictures in pixels.
        seed: of everything that is not the person.
        workers: processes, None for one a core; the bytes written do not depend on it.
        progress: show a progress bar.
        options: other fields of ``FolderOptions``.

    Raises:
        UserError: an unknown option or head.
    """
    chosen = choose_options(FolderOptions, head=head, size=size, seed=seed, **options)
    if chosen.format not in ("jpg", "png"):
        raise UserError(f"unknown picture format {chosen.format!r}; type jpg or png")
    if chosen.aus not in AU_MIXES:
        raise UserError(f"unknown mix of AUs {chosen.aus!r}; type one of {', '.join(AU_MIXES)}")
    root = Path(root)
    root.mkdir(parents=True, exist_ok=True)
    seeds = range(first_person, first_person + people)
    jobs = [(root, seed, pictures_per_person, chosen) for seed in seeds]
    labels = [row for rows in spread(_write_person, jobs, head, workers, progress) for row in rows]
    with (root / "labels.csv").open("w", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows([("image", "identity", "expression"), *labels])
    mark(root, "folder", chosen, people, first_person)
    return root


def _write_model(root: Path, seed: int, model: int, options: RafdOptions) -> None:
    ethnicity, sex = RAFD_MODELS[model]
    head = load_head(options.head)
    person = Person.draw(head, seed, sex, ethnicity.lower())
    body = embody(head, person, options.texture)
    for expression in options.expressions:
        for camera in options.cameras:
            for gaze in options.gazes:
                stem = f"Rafd{camera:03d}_{model:02d}_{ethnicity}_{sex}_{RAFD_EMOTIONS[expression]}_{gaze}"
                picture = _rafd_picture(body, expression, camera, gaze, options)
                save_picture(root / f"{stem}.jpg", picture.image)
                (root / "processed" / f"{stem}.csv").write_text(image_csv(picture))


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


def write_rafd(
    root: Path | str,
    people: int = 67,
    head: str = "procedural",
    first_person: int = 0,
    seed: int = 0,
    workers: int | None = 2,
    progress: bool = False,
    **options: Any,
) -> Path:
    """Write people in RaFD's layout: flat real names, FaceLandmarkImg CSVs in ``processed``,
    ``GENERATED.json``.

    Args:
        root: folder to write into.
        people: how many of RaFD's 67 models (57 without kids), in the order of their numbers.
        first_person: seed of the first of them.
        options: other fields of ``RafdOptions``.

    Raises:
        UserError: more people than RaFD has models, or an unknown option.
    """
    chosen = choose_options(RafdOptions, head=head, seed=seed, **options)
    models = sorted(k for k, (ethnicity, _) in RAFD_MODELS.items() if chosen.kids or ethnicity != "Kid")
    if people > len(models):
        raise UserError(
            f"RaFD has {len(models)} models{'' if chosen.kids else ' without the kids'}, not {people}; "
            "for more people use the folder layout: facegan generate folder --people N"
        )
    root = Path(root)
    (root / "processed").mkdir(parents=True, exist_ok=True)
    jobs = [(root, first_person + k, model, chosen) for k, model in enumerate(models[:people])]
    spread(_write_model, jobs, head, workers, progress)
    mark(root, "rafd", chosen, people, first_person)
    return root


Options = TypeVar("Options")
Result = TypeVar("Result")


def choose_options(kind: type[Options], /, **values: Any) -> Options:
    """The dataclass of a writer's options; an unknown one is the user's mistake."""
    known = [field.name for field in fields(kind)]  # type: ignore[arg-type]
    for name in values:
        if name not in known:
            raise UserError(f"unknown option {name!r}; the options are {', '.join(known)}")
    return kind(**values)


def spread(
    work: Callable[..., Result],
    jobs: Sequence[tuple[Any, ...]],
    head: str,
    workers: int | None,
    progress: bool,
) -> list[Result]:
    """The results of ``work(*job)`` in order, worked out by ``workers`` processes."""
    load_head(head)  # a missing head is reported once, here
    if workers == 1:
        return [work(*job) for job in track(jobs, "generating", disable=not progress)]
    # Forked workers start at once and share the head. OpenCV's and BLAS's threads must be gone before the fork
    # (a worker would wait for them for ever), and within a worker they would only be in the way.
    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)
    context = get_context("fork" if sys.platform == "linux" else "spawn")
    try:
        with threadpool_limits(1), ProcessPoolExecutor(workers, context) as pool:
            futures = [pool.submit(work, *job) for job in jobs]
            waiting = track(futures, "generating", disable=not progress)
            return [future.result() for future in waiting]
    finally:
        cv2.setNumThreads(threads)


def mark(root: Path, layout: str, options: Any, people: int, first_person: int) -> None:
    """Write ``GENERATED.json``: that nothing below ``root`` is a photograph, and how it came to be."""
    about = {
        "generated": True,
        "layout": layout,
        "people": people,
        "first_person": first_person,
        **asdict(options),
    }
    (root / MARK).write_text(json.dumps(about, indent=2) + "\n")
