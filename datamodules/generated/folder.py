"""Write generated people in the ``folder`` layout: pictures, one OpenFace CSV a person, ``labels.csv``."""

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from datamodules.generated.files import save_picture, sequence_csv
from datamodules.generated.head import load_head
from datamodules.generated.layout import Layout, LayoutOptions
from datamodules.generated.person import Person
from datamodules.generated.render import Picture, apex, draw_shot, render
from datamodules.generated.request import AU_MIXES
from datamodules.generated.sequences import OULU_EMOTIONS, OULU_FRAME, OULU_SIZE, film, mixture
from facegan.config import UserError, check
from facegan.faces import AU_MAX, EXPRESSIONS, N_AUS

_BASIC = tuple(OULU_EMOTIONS.values())

_Label = tuple[str, str, str]
_Draw = tuple[np.random.Generator, np.ndarray, str]


@dataclass(frozen=True)
class FolderOptions(LayoutOptions):
    """What can be varied in the ``folder`` layout.

    ``pictures``: of each person, in random actions, poses, lights and places; ``size``: their side in pixels;
    ``aus``: "prototypes" (the eight expressions at random strength), "independent" (sparse random AUs) or
    "mixed" (half and half); ``pose_spread``: standard deviation of pitch, yaw, roll in degrees, cut at 30;
    ``light_spread``: 0 is one studio light, 1 is anything.
    """

    pictures: int = 24
    size: int = 128
    aus: str = "mixed"
    pose_spread: tuple[float, float, float] = (6.0, 12.0, 4.0)
    light_spread: float = 1.0
    ambiguity: float = 0.0
    format: str = "jpg"

    def __post_init__(self) -> None:
        check("generate.aus", self.aus, AU_MIXES)
        check("generate.format", self.format, ("jpg", "png"))
        if self.ambiguity and self.aus != "apexes":
            raise UserError(f"generate.ambiguity is of generate.aus=apexes; with {self.aus} leave it out")


def draw_action(person: Person, rng: np.random.Generator, aus: str) -> tuple[np.ndarray, str]:
    """AUs (17,) of one picture, and its expression ("" where it is none of the eight); ``aus`` not "apexes"."""
    prototypical = aus == "prototypes" or (aus == "mixed" and rng.random() < 0.5)
    if prototypical:
        expression = str(rng.choice(EXPRESSIONS))
        au = apex(person, expression, rng.uniform(0.35, 1.15))
        stray = (rng.random(N_AUS) < 0.04) * rng.uniform(0, 1.2, N_AUS)
        return np.round(np.maximum(au, stray), 2).astype(np.float32), expression
    active = rng.random(N_AUS) < 0.22
    au = active * rng.uniform(0.3, AU_MAX, N_AUS)
    return np.round(au, 2).astype(np.float32), ""


def _draws(person: Person, seed: int, options: FolderOptions) -> Iterator[_Draw]:
    """What each of a person's pictures shows, and the generator for the rest of it; the k-th is of (seed, k) alone."""
    for k in range(options.pictures):
        rng = np.random.default_rng([options.seed, seed, k])
        if options.aus == "apexes":
            expression = _BASIC[k % len(_BASIC)]
            yield rng, mixture(person, expression, options.ambiguity, rng), expression
        else:
            yield rng, *draw_action(person, rng, options.aus)


def person_pictures(seed: int, options: FolderOptions) -> Iterator[Picture]:
    """The pictures of the person with that seed."""
    body = options.body(seed)
    for rng, au, expression in _draws(body.person, seed, options):
        if options.aus == "apexes":
            size, frame = (options.size, options.size), OULU_FRAME * options.size / OULU_SIZE[1]
            yield from film(body, expression, au, np.ones(1), rng, size, frame=frame)
        else:
            shot = draw_shot(rng, au, expression, options.pose_spread, options.light_spread)
            yield render(body, shot, options.size)


def _write_person(root: Path, seed: int, options: FolderOptions) -> list[_Label]:
    """Write one person unless that was done before; the person's rows of ``labels.csv``."""
    name = f"p{seed:06d}"
    images = [f"{name}/{k + 1:06d}.{options.format}" for k in range(options.pictures)]
    done = root / f"{name}.csv"  # written last: where it is, the person is whole
    if done.exists():
        person = Person.draw(load_head(options.head), seed)
        expressions = [expression for _, _, expression in _draws(person, seed, options)]
        return [(image, name, expression) for image, expression in zip(images, expressions, strict=True)]
    (root / name).mkdir(parents=True, exist_ok=True)
    pictures = []
    for image, picture in zip(images, person_pictures(seed, options), strict=True):
        save_picture(root / image, picture.image)
        pictures.append(picture)
    part = done.with_suffix(".part")
    part.write_text(sequence_csv(pictures))
    part.replace(done)
    return [(image, name, picture.expression) for image, picture in zip(images, pictures, strict=True)]


def _plan(root: Path, seeds: range, options: FolderOptions) -> list[tuple[Path, int, FolderOptions]]:
    return [(root, seed, options) for seed in seeds]


def _write_labels(root: Path, labels: list[list[_Label]], options: FolderOptions) -> None:
    with (root / "labels.csv").open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(("image", "identity", "expression"))
        writer.writerows(row for person in labels for row in person)


FOLDER_LAYOUT = Layout(
    "folder", "folder", FolderOptions, people=100, most=None,
    plan=_plan, write_person=_write_person, finish=_write_labels,
)  # fmt: skip
"""Pictures ``p000000/000001.jpg``, CSVs ``p000000.csv``."""
