"""Write generated people as CelebA has them: aligned by the eyes, with its lists of attributes, people and points.

Written from what is known of the real tree, not from the reader, so that one can catch the other's mistakes.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np

from datamodules.generated.files import image_csv, save_picture
from datamodules.generated.folder import draw_action
from datamodules.generated.layout import Layout, LayoutOptions
from datamodules.generated.person import Person
from datamodules.generated.render import Picture, draw_shot, render
from facegan.config import check
from facegan.faces import AUS, EYE_LEFT, EYE_RIGHT

SIZE = (218, 178)
EYES = np.array([[69.5, 111.5], [108.5, 111.5]])
"""Where every picture has the eyes: the left one of the picture first."""

ATTRIBUTES = tuple(
    """
    5_o_Clock_Shadow Arched_Eyebrows Attractive Bags_Under_Eyes Bald Bangs Big_Lips Big_Nose Black_Hair Blond_Hair
    Blurry Brown_Hair Bushy_Eyebrows Chubby Double_Chin Eyeglasses Goatee Gray_Hair Heavy_Makeup High_Cheekbones Male
    Mouth_Slightly_Open Mustache Narrow_Eyes No_Beard Oval_Face Pale_Skin Pointy_Nose Receding_Hairline Rosy_Cheeks
    Sideburns Smiling Straight_Hair Wavy_Hair Wearing_Earrings Wearing_Hat Wearing_Lipstick Wearing_Necklace
    Wearing_Necktie Young
    """.split()  # noqa: SIM905 as in the list's own header
)
_POINTS = [
    f"{name}_{axis}" for name in ("lefteye", "righteye", "nose", "leftmouth", "rightmouth") for axis in "xy"
]


@dataclass(frozen=True)
class CelebAOptions(LayoutOptions):
    """What can be varied in CelebA's layout.

    ``layout``: "official" (Img, Anno, Eval), "flat" or "kaggle" (commas, the folder doubled, no people);
    ``pictures``: of each person; ``defects``: an empty box, a listed picture that is missing, one that no list names,
    and one cut off in the middle.
    """

    pictures: int = 20
    layout: str = "official"
    defects: bool = False

    def __post_init__(self) -> None:
        check("generate: CelebA's layout", self.layout, ("official", "flat", "kaggle"))


class _Row(NamedTuple):
    """What the lists say of one picture."""

    person: int
    points: np.ndarray  # (10,)
    attributes: set[str]
    box: np.ndarray  # (4,) x, y, width, height in the picture before alignment


def _aligned(picture: Picture) -> tuple[np.ndarray, np.ndarray]:
    """The picture turned and scaled so that the eyes are at ``EYES``; its 68 landmarks there."""
    points = picture.landmarks.astype(np.float64)
    eyes = np.stack([points[EYE_RIGHT].mean(0), points[EYE_LEFT].mean(0)]) @ [1, 1j]
    place = EYES @ [1, 1j]
    a = (place[1] - place[0]) / (eyes[1] - eyes[0])
    b = place[0] - a * eyes[0]
    matrix = np.array([[a.real, -a.imag, b.real], [a.imag, a.real, b.imag]])
    image = cv2.warpAffine(
        picture.image, matrix, SIZE[::-1], flags=cv2.INTER_AREA, borderMode=cv2.BORDER_REPLICATE
    )
    return image, points @ matrix[:, :2].T + matrix[:, 2]


def _attributes(person: Person, au: np.ndarray) -> set[str]:
    """Those of the 40 that the face is known to have."""
    shown = {
        "Male": person.sex == "male",
        "Young": person.age < 0.5,
        "Smiling": au[AUS.index(12)] > 1,
        "Mouth_Slightly_Open": au[AUS.index(25)] > 1 or au[AUS.index(26)] > 1,
        "Bald": person.hair_style == "bald",
        "Mustache": person.moustache > 0.5,
        "No_Beard": max(person.full_beard, person.chin_beard, person.stubble) < 0.2,
        "Wearing_Lipstick": person.lipstick > 0.3,
        "Pale_Skin": person.skin < 0.1,
        "Gray_Hair": person.grey > 0.5,
    }
    return {name for name, value in shown.items() if value}


def _write_person(folder: Path, seed: int, number: int, options: CelebAOptions) -> list[_Row]:
    """One person's pictures and their CSVs; the person is the ``number``-th, from 0."""
    body = options.body(seed)
    person = body.person
    rows = []
    for k in range(options.pictures):
        rng = np.random.default_rng([options.seed, seed, k])
        au, expression = draw_action(person, rng, "mixed")
        shot = draw_shot(rng, au, expression, pose_spread=(7, 16, 5))
        picture = render(body, replace(shot, frame=46.0), 352)  # wide: the aligned picture lies within
        image, points = _aligned(picture)
        stem = f"{number * options.pictures + k + 1:06d}"
        save_picture(folder / f"{stem}.jpg", image)
        (folder / "processed" / f"{stem}.csv").write_text(
            image_csv(
                Picture(image, picture.au, picture.pose, points, picture.translation, expression, person.name)
            )
        )
        five = [points[EYE_RIGHT].mean(0), points[EYE_LEFT].mean(0), points[30], points[48], points[54]]
        low, high = picture.landmarks.min(0), picture.landmarks.max(0)
        box = np.rint([*low, *(high - low)]).astype(int)
        rows.append(_Row(number + 1, np.rint(five).astype(int).ravel(), _attributes(person, au), box))
    return rows


def _write_lists(root: Path, rows: list[_Row], people: int, options: CelebAOptions) -> None:
    """Blanks in runs and at the ends, two lists without a header; or commas, as Kaggle has them."""
    names = [f"{k + 1:06d}.jpg" for k in range(len(rows))]
    train, val = round(0.8 * people), round(0.9 * people)
    tables: dict[str, tuple[Sequence[str], list[list[str]]]] = {
        "list_attr_celeba": (
            ATTRIBUTES, [["1" if name in row.attributes else "-1" for name in ATTRIBUTES] for row in rows]
        ),
        "list_bbox_celeba": (["x_1", "y_1", "width", "height"], [[*map(str, row.box)] for row in rows]),
        "list_landmarks_align_celeba": (_POINTS, [[*map(str, row.points)] for row in rows]),
        "list_eval_partition": (["partition"], [[str((row.person > train) + (row.person > val))] for row in rows]),
        "identity_CelebA": ([], [[str(row.person)] for row in rows]),
    }  # fmt: skip
    official, kaggle = options.layout == "official", options.layout == "kaggle"
    for stem, (columns, values) in tables.items():
        if kaggle:
            if stem == "identity_CelebA":
                continue
            lines = [",".join(["image_id", *columns])]
            lines += [",".join([name, *row]) for name, row in zip(names, values, strict=True)]
        else:
            lines = [f"{name}  {'  '.join(row)} " for name, row in zip(names, values, strict=True)]
            if stem not in ("identity_CelebA", "list_eval_partition"):
                first = "image_id " if stem == "list_bbox_celeba" else ""
                lines = [str(len(names)), first + " ".join(columns), *lines]
        level = root / ("Eval" if stem == "list_eval_partition" else "Anno") if official else root
        level.mkdir(parents=True, exist_ok=True)
        (level / f"{stem}{'.csv' if kaggle else '.txt'}").write_text("\n".join(lines) + "\n")


def _pictures(root: Path, options: CelebAOptions) -> Path:
    return {
        "official": root / "Img" / "img_align_celeba",
        "flat": root / "img_align_celeba",
        "kaggle": root / "img_align_celeba" / "img_align_celeba",
    }[options.layout]


def _plan(root: Path, seeds: range, options: CelebAOptions) -> list[tuple[Path, int, int, CelebAOptions]]:
    folder = _pictures(root, options)
    (folder / "processed").mkdir(parents=True, exist_ok=True)
    return [(folder, seed, k, options) for k, seed in enumerate(seeds)]


def _finish(root: Path, people: list[list[_Row]], options: CelebAOptions) -> None:
    rows = [row for person in people for row in person]
    if options.defects:
        folder = _pictures(root, options)
        rows[0] = rows[0]._replace(box=np.zeros(4, int))
        (folder / "000002.jpg").unlink()
        extra = folder / f"{len(rows) + 1:06d}.jpg"
        extra.write_bytes((folder / "000001.jpg").read_bytes())
        (folder / "000003.jpg").write_bytes((folder / "000003.jpg").read_bytes()[:500])
    _write_lists(root, rows, len(people), options)


CELEBA_LAYOUT = Layout(
    "celeba", "CelebA", CelebAOptions, people=100, most=10_177,
    plan=_plan, write_person=_write_person, finish=_finish,
)  # fmt: skip
"""``img_align_celeba/000001.jpg``, 178 x 218, with its five lists; OpenFace's CSVs lie in ``processed`` beside them.
Eight tenths of the people are in the training part, one in each of the others."""
