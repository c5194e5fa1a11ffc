"""What is below a root of VoxCeleb: folders of frames, clips and the authors' lists (see ``datamodules.voxceleb``)."""

import csv
import os
import re
from pathlib import Path
from typing import NamedTuple

import numpy as np

from datamodules.discovery import walk
from datamodules.preparation.pictures import count_frames

KINDS = ("dense", "1fps", "clips")
_VIDEO = r"[A-Za-z0-9_-]{11}"
_FRAMES = re.compile(rf"(?:^|/)(?P<person>[^/]+)/1\.6/(?P<video>{_VIDEO})(?:/(?P<track>\d+))?$")
_CLIPS = re.compile(rf"(?:^|/)(?P<person>id1\d{{4}})/(?P<video>{_VIDEO})$")
_CUT = re.compile(rf"^(?P<person>id1\d{{4}})#(?P<video>{_VIDEO})#(?P<start>\d+)#(?P<end>\d+)(?:\.(?i:mp4))?$")
_NUMBER = re.compile(r"^(?P<number>\d+)\.(?:jpe?g|png)$", re.IGNORECASE)


class Place(NamedTuple):
    """A folder of pictures, or a clip; ``name`` is the person and the video, and the track where it has one."""

    person: str
    name: str
    path: Path
    kind: str
    part: str = ""


def look_through(root: Path) -> tuple[list[Place], Path | None]:
    """All places of all kinds, and the authors' list of people; no names of pictures are kept."""
    places: list[Place] = []
    meta = None
    for folder, folders, files in walk(root):
        if "vox1_meta.csv" in files:
            meta = meta or folder / "vox1_meta.csv"
        below = folder.relative_to(root).as_posix()
        if match := _FRAMES.search(below):
            if any(_NUMBER.match(file) for file in files):
                kind = "dense" if match["track"] else "1fps"
                name = "/".join(filter(None, match.group("person", "video", "track")))
                places.append(Place(match["person"], name, folder, kind))
        elif match := _CLIPS.search(below):
            for file in files:
                if file.lower().endswith(".mp4"):
                    name = f"{match['person']}/{match['video']}/{file[:-4]}"
                    places.append(Place(match["person"], name, folder / file, "clips"))
        else:
            part = folder.name if folder.name in ("train", "test") else ""
            for match in filter(None, map(_CUT.match, [*folders, *files])):
                name = "/".join(match.group("person", "video", "start"))
                places.append(Place(match["person"], name, folder / match.string, "clips", part))
    return places, meta


def numbered_pictures(folder: Path) -> list[tuple[int, str]]:
    """Pictures by number."""
    with os.scandir(folder) as entries:
        return sorted(
            (int(match["number"]), match.string)
            for match in (_NUMBER.match(entry.name) for entry in entries)
            if match
        )


def clip_length(clip: Path, root: Path) -> int:
    """Frames of a clip: by its track's text where that is at hand, else counted in the clip."""
    below = clip.with_suffix(".txt")
    parts = below.relative_to(root).parts
    trees = [root.joinpath(*parts[:-4], "txt", *parts[-3:])] if len(parts) >= 3 else []
    for text in (below, *trees):
        if text.is_file() and len(rows := read_track(text)):
            return len(rows)
    return count_frames(clip, exact=False)


def read_track(path: Path) -> np.ndarray:
    """Rows (N, 5) of a track's text: frame at 25 a second, and x, y, width, height of the face's box.

    Boxes are pixels of the video at 360 lines. Before the table stand lines of the form ``Identity : id10001``;
    the table's names end with a blank.
    """
    lines = [line.split() for line in path.read_text().splitlines()]
    start = next((k + 1 for k, words in enumerate(lines) if words[:1] == ["FRAME"]), len(lines))
    rows = [words for words in lines[start:] if len(words) == 5]
    return np.array(rows, np.float64).reshape(-1, 5)


def read_parts(meta: Path | None) -> dict[str, str]:
    """Part by person, under the id and under the name as folders have it (without a dot at the end)."""
    parts: dict[str, str] = {}
    if meta is None:
        return parts
    with meta.open(newline="") as file:
        for row in csv.DictReader(file, delimiter="\t"):
            values = {key.strip(): value.strip() for key, value in row.items() if key and value}
            part = {"dev": "train", "test": "test"}.get(values.get("Set", ""), "")
            parts[values.get("VoxCeleb1 ID", "")] = part
            parts[values.get("VGGFace1 ID", "").rstrip(".")] = part
    return parts
