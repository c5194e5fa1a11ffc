"""Write generated people as VoxCeleb has them: tracks of talking heads, as pictures or clips.

Written from what is known of the real trees, not from the readers, so that one can catch the other's mistakes.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from datamodules.generated.files import folder_csv, save_clip, save_picture, sequence_csv
from datamodules.generated.layout import Layout, LayoutOptions
from datamodules.generated.render import Body, Picture, apex, draw_shot, render
from facegan.config import UserError
from facegan.faces import AU_MAX, AUS, EXPRESSIONS

_NAMES = ("Ada", "Ben", "Cleo", "Dan", "Eve", "Finn", "Gia", "Hugo")
KINDS = ("dense", "1fps", "clips", "cut")
_TALKING = [AUS.index(au) for au in (25, 26)]
_BLINK = AUS.index(45)
BLINKING = 0.1
"""Share of the frames in which eyes are shut: people who talk blink every third second, for a third of one."""
_LETTERS = np.array(list("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-"))


@dataclass(frozen=True)
class VoxCelebOptions(LayoutOptions):
    """What can be varied in VoxCeleb1's layout.

    ``kind``: "dense" (every sixth frame, by track), "1fps" (one a second, tracks in one folder), "clips" (by id, with
    the text of each face track) or "cut" (clips as FOMM's followers cut them); ``widths``: smallest and largest
    crop in pixels; ``defects``: a video id that begins with a dash and a track of one frame; of pictures also
    a name with a dot at its end and one that cannot be read; of cut clips a person who is in both parts.
    """

    kind: str = "dense"
    videos: int = 2
    tracks: int = 2
    frames: int = 8
    widths: tuple[int, int] = (96, 192)
    defects: bool = False


def talk(
    body: Body, frames: int, side: int, rng: np.random.Generator, square: bool = False
) -> Iterator[Picture]:
    """One shot of somebody who talks and blinks: the head turns, expressions come and go, light and room stay.

    Crops are about ``side`` pixels wide and, unless ``square``, not always square, as where a face is near the
    picture's border.
    """
    person = body.person
    actions = [apex(person, str(rng.choice(EXPRESSIONS)), rng.uniform(0, 1)) for _ in range(2)]
    scene = draw_shot(rng, actions[0])
    poses = np.radians(np.clip(rng.normal(0, (8, 16, 5), (2, 3)), -30, 30))
    (blinks,) = rng.spawn(1)  # draws of their own: without them everything else would be the same
    pace, phase = rng.uniform(0.6, 1.4), rng.uniform(0, 2 * np.pi)
    for k in range(frames):
        t = 0.5 - 0.5 * np.cos(np.pi * k / max(frames - 1, 1))
        au = (1 - t) * actions[0] + t * actions[1]
        au[_TALKING] += 1.2 * (1 + np.sin(phase + 2.1 * pace * k)) * np.array([1, 0.6])
        if blinks.random() < BLINKING:
            au[_BLINK] = blinks.uniform(2.5, AU_MAX)
        pose = (1 - t) * poses[0] + t * poses[1]
        clipped = not square and rng.random() < 0.4
        shape = (side, side - int(rng.integers(1, side // 6)) if clipped else side)
        au = np.round(np.clip(au, 0, AU_MAX), 2).astype(np.float32)
        yield render(body, replace(scene, au=au, pose=pose, grain_seed=int(rng.integers(2**31))), shape)


def _write_voxceleb_person(
    root: Path, seed: int, name: str, number: int, first: bool, options: VoxCelebOptions
) -> str:
    """One person's videos; the name."""
    body = options.body(seed)
    defects = options.defects and first
    for video in range(options.videos):
        rng = np.random.default_rng([options.seed, seed, video])
        code = "".join(rng.choice(_LETTERS, 11))
        lengths = [options.frames] * options.tracks
        if defects and video == 0:
            code, lengths[-1] = "-_" + code[2:], 1
        if options.kind in ("dense", "1fps"):
            _write_pictures(root, body, f"{name}/1.6/{code}", lengths, rng, options, defects and video == 1)
        else:
            part = "test" if name.startswith("E") or (defects and video == 1) else "train"
            person = 10282 if options.defects and options.kind == "cut" and first else number
            _write_clips(root, body, (part, f"id{person}", code), lengths, rng, options)
    return name


def _write_pictures(
    root: Path, body: Body, below: str, lengths: list[int], rng: np.random.Generator, options: VoxCelebOptions,
    damaged: bool,
) -> None:  # fmt: skip
    """The tracks of one video as pictures; the first track's last one is cut off where ``damaged``."""
    dense = options.kind == "dense"
    folder = root / ("unzippedIntervalFaces/data" if dense else "unzippedFaces") / below
    start = int(rng.integers(0, 2000))
    shown: dict[str, Picture] = {}
    for track, length in enumerate(lengths):
        side = int(rng.integers(options.widths[0], options.widths[1] + 1))
        pictures = list(talk(body, length, side, rng))
        if dense:
            place, names = folder / str(track + 1), [f"{start + 6 * k}.jpg" for k in range(length)]
        else:
            place, names = folder, [f"{25 * (start + k):07d}.jpg" for k in range(length)]
        start += 6 * length + 40
        place.mkdir(parents=True, exist_ok=True)
        for file, picture in zip(names, pictures, strict=True):
            save_picture(place / file, picture.image, quality=90)
        if damaged and track == 0:
            (place / names[-1]).write_bytes((place / names[-1]).read_bytes()[:200])
        named = dict(zip(names, pictures, strict=True))
        shown |= named
        if dense:
            folder_csv(place, named)
    if not dense:
        folder_csv(folder, shown)


def _write_clips(
    root: Path, body: Body, names: tuple[str, str, str], lengths: list[int], rng: np.random.Generator,
    options: VoxCelebOptions,
) -> None:  # fmt: skip
    """The tracks of one video as clips of 25 frames a second, with OpenFace's CSV beside each.

    ``names``: the part, the person's id and the video's. A clip has all frames where pictures are every sixth.
    """
    part, person, video = names
    start = int(rng.integers(0, 2000))
    for track, length in enumerate(lengths):
        side = int(rng.integers(options.widths[0], options.widths[1] + 1)) // 2 * 2
        frames = 6 * (length - 1) + 1
        pictures = list(talk(body, frames, side, rng, square=True))
        if options.kind == "cut":
            clip = root / part / f"{person}#{video}#{start:06d}#{start + frames:06d}.mp4"
        else:
            clip = root / "mp4" / person / video / f"{track + 1:05d}.mp4"
            text = root / "txt" / person / video / f"{track + 1:05d}.txt"
            text.parent.mkdir(parents=True, exist_ok=True)
            text.write_text(_track_text(person, video, start, frames, side))
        clip.parent.mkdir(parents=True, exist_ok=True)
        save_clip(clip, [picture.image for picture in pictures])
        clip.with_suffix(".csv").write_text(sequence_csv(pictures, frames_per_second=25.0))
        start += frames + 40


def _track_text(person: str, video: str, start: int, frames: int, side: int) -> str:
    """Where the face is in the video; the table's names end with a blank."""
    head = (f"Identity  : \t{person}", f"Reference : \t{video}", "Offset    : \t0", "FV Conf   : \t21.5 \t(1)",
            "ASD Conf  : \t4.2", "", "FRAME \tX \tY \tW \tH ")  # fmt: skip
    rows = (f"{start + k:06d} \t200 \t80 \t{side} \t{side}" for k in range(frames))
    return "\n".join([*head, *rows]) + "\n"


def _plan_voxceleb(
    root: Path, seeds: range, options: VoxCelebOptions
) -> list[tuple[Path, int, str, int, bool, VoxCelebOptions]]:
    if options.kind not in KINDS:
        raise UserError(f"kind={options.kind} is unknown; choose {', '.join(KINDS)}")
    names = [f"{_NAMES[k % len(_NAMES)]}_{k + 1:04d}" for k in range(len(seeds))]
    if options.defects:
        names[0] += "_Jr"
    return [
        (root, seed, name, 10001 + k, k == 0, options)
        for k, (seed, name) in enumerate(zip(seeds, names, strict=True))
    ]


def _write_meta(root: Path, names: list[str], options: VoxCelebOptions) -> None:
    """As in the real list, the test people are those whose names begin with E; cut clips have their folders."""
    if options.kind == "cut":
        return
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
lies in ``processed`` beside it, of each clip beside it; ``vox1_meta.csv`` in the root."""
