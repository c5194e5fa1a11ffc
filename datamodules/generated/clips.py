"""Write generated people as data sets of videos have them: VoxCeleb (tracks of talking heads), MMI (posed clips).

Written from what is known of the real trees, not from the readers, so that one can catch the other's mistakes.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from xml.sax.saxutils import quoteattr

import av
import numpy as np

from datamodules.generated.files import folder_csv, save_picture, sequence_csv
from datamodules.generated.layout import Layout, LayoutOptions
from datamodules.generated.render import Body, Picture, Shot, apex, draw_shot, render, studio
from datamodules.generated.sequences import film, rise_and_fall
from facegan.faces import AU_MAX, AUS, EXPRESSIONS

_NAMES = ("Ada", "Ben", "Cleo", "Dan", "Eve", "Finn", "Gia", "Hugo")
_TALKING = [AUS.index(au) for au in (25, 26)]
_LETTERS = np.array(list("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-"))


@dataclass(frozen=True)
class VoxCelebOptions(LayoutOptions):
    """What can be varied in VoxCeleb1's layout.

    ``kind``: "dense" (every sixth frame, by track) or "1fps" (one a second, tracks in one folder); ``widths``:
    smallest and largest crop in pixels; ``defects``: a name with a dot at its end, a video id that begins with a
    dash, a track of one frame, and a frame that cannot be read.
    """

    kind: str = "dense"
    videos: int = 2
    tracks: int = 2
    frames: int = 8
    widths: tuple[int, int] = (96, 192)
    defects: bool = False


def talk(body: Body, frames: int, side: int, rng: np.random.Generator) -> Iterator[Picture]:
    """One shot of somebody who talks: the head turns, expressions come and go, light and room stay.

    Crops are about ``side`` pixels wide and not always square, as where a face is near the picture's border.
    """
    person = body.person
    actions = [apex(person, str(rng.choice(EXPRESSIONS)), rng.uniform(0, 1)) for _ in range(2)]
    scene = draw_shot(rng, actions[0])
    poses = np.radians(np.clip(rng.normal(0, (8, 16, 5), (2, 3)), -30, 30))
    pace, phase = rng.uniform(0.6, 1.4), rng.uniform(0, 2 * np.pi)
    for k in range(frames):
        t = 0.5 - 0.5 * np.cos(np.pi * k / max(frames - 1, 1))
        au = (1 - t) * actions[0] + t * actions[1]
        au[_TALKING] += 1.2 * (1 + np.sin(phase + 2.1 * pace * k)) * np.array([1, 0.6])
        pose = (1 - t) * poses[0] + t * poses[1]
        shape = (side, side - int(rng.integers(1, side // 6)) if rng.random() < 0.4 else side)
        au = np.round(np.clip(au, 0, AU_MAX), 2).astype(np.float32)
        yield render(body, replace(scene, au=au, pose=pose, grain_seed=int(rng.integers(2**31))), shape)


def _write_voxceleb_person(root: Path, seed: int, name: str, first: bool, options: VoxCelebOptions) -> str:
    """One person's videos; the name."""
    body = options.body(seed)
    defects = options.defects and first
    for video in range(options.videos):
        rng = np.random.default_rng([options.seed, seed, video])
        code = "".join(rng.choice(_LETTERS, 11))
        folder = root / name / "1.6" / ("-_" + code[2:] if defects and video == 0 else code)
        start = int(rng.integers(0, 2000))
        shown: dict[str, Picture] = {}
        for track in range(options.tracks):
            alone = defects and video == 0 and track == options.tracks - 1
            side = int(rng.integers(options.widths[0], options.widths[1] + 1))
            pictures = list(talk(body, 1 if alone else options.frames, side, rng))
            if options.kind == "dense":
                place, names = folder / str(track + 1), [f"{start + 6 * k}.jpg" for k in range(len(pictures))]
            else:
                place, names = folder, [f"{25 * (start + k):07d}.jpg" for k in range(len(pictures))]
            start += 6 * len(pictures) + 40
            place.mkdir(parents=True, exist_ok=True)
            for file, picture in zip(names, pictures, strict=True):
                save_picture(place / file, picture.image, quality=90)
            if defects and video == 1 and track == 0:
                (place / names[-1]).write_bytes((place / names[-1]).read_bytes()[:200])
            named = dict(zip(names, pictures, strict=True))
            shown |= named
            if options.kind == "dense":
                folder_csv(place, named)
        if options.kind == "1fps":
            folder_csv(folder, shown)
    return name


def _plan_voxceleb(
    root: Path, seeds: range, options: VoxCelebOptions
) -> list[tuple[Path, int, str, bool, VoxCelebOptions]]:
    level = root / ("unzippedIntervalFaces/data" if options.kind == "dense" else "unzippedFaces")
    names = [f"{_NAMES[k % len(_NAMES)]}_{k + 1:04d}" for k in range(len(seeds))]
    if options.defects:
        names[0] += "_Jr"
    return [
        (level, seed, name, k == 0, options) for k, (seed, name) in enumerate(zip(seeds, names, strict=True))
    ]


def _write_meta(root: Path, names: list[str], options: VoxCelebOptions) -> None:
    """As in the real list, the test people are those whose names begin with E."""
    rows = ["VoxCeleb1 ID\tVGGFace1 ID\tGender\tNationality\tSet"]
    for k, name in enumerate(names):
        listed = name + "." if name.endswith("_Jr") else name
        rows.append(f"id{10001 + k}\t{listed}\tm\tIreland\t{'test' if name.startswith('E') else 'dev'}")
    (root / "vox1_meta.csv").write_text("\n".join(rows) + "\n")


VOXCELEB_LAYOUT = Layout(
    "voxceleb", "VoxCeleb", VoxCelebOptions, people=100, most=1251,
    plan=_plan_voxceleb, write_person=_write_voxceleb_person, finish=_write_meta,
)  # fmt: skip
"""``unzippedIntervalFaces/data/Ada_0001/1.6/<video>/<track>/<frame>.jpg``; OpenFace's CSV of each folder of pictures
lies in ``processed`` beside it, ``vox1_meta.csv`` in the root."""


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


def _write_clip(path: Path, frames: Sequence[np.ndarray], rate: int = 25) -> None:
    height, width = frames[0].shape[:2]
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=rate)
        stream.width, stream.height, stream.bit_rate = width, height, 6_000_000
        for image in frames:
            container.mux(
                stream.encode(av.VideoFrame.from_ndarray(np.ascontiguousarray(image), format="rgb24"))
            )
        container.mux(stream.encode())


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
        _write_clip(folder / f"{stem}.avi", images)
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
