"""Finding a data set's own level in whatever tree a user has unpacked, and recognising what else lies there."""

import itertools
import json
import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np

from datamodules.records import Records
from facegan.config import UserError

_JUNK = re.compile(r"^(__MACOSX|processed|\..*|Thumbs\.db)$")
_PACKED = (".zip", ".7z", ".tar", ".tar.gz", ".tgz", ".rar")
_CLIP = re.compile(r"^id1\d{4}#[\w-]{11}#\d+#\d+\.(?i:mp4)$")  # of VoxCeleb, all in one folder
_LOOK_AT = 5_000  # folders, before a root counts as unknown
_LOOK_FOR_HEAD = 32  # pictures of a root
PHOTOGRAPHS = "photographs"  # beside a head's name, where there are both

SIGNS: Mapping[str, tuple[str, str, str]] = {
    "rafd": ("RaFD", "file", r"^Rafd\d{3}_\d\d_"),
    "oulu_casia": ("Oulu-CASIA", "folder", r"^(NI|VL)(_Acropped)?$"),
    "bu4dfe": ("BU-4DFE", "path", r"(^|/)[FM]0\d\d/(Angry|Disgust|Fear|Happy|Sad|Surprise)$"),
    "mmi": ("MMI", "file", r"^S\d{3}-\d{3}(-oao_aucs)?\.xml$"),
    "voxceleb": ("VoxCeleb", "path", r"/1\.6/[\w-]{11}$|(^|/)id1\d{4}/[\w-]{11}$"),
    "celeba": ("CelebA", "file", r"^(list_attr_celeba|identity_CelebA|list_eval_partition)\.(txt|csv)$"),
}
"""What gives a data set away, by its name in ``data.name``: title, where to look, pattern."""


def walk(root: Path) -> Iterator[tuple[Path, list[str], list[str]]]:
    """Folders below a root in the order of names, each with the names of its folders and files.

    What archives, systems and OpenFace leave behind is passed over. Names taken out of the list of folders are
    not walked into. Links are followed, a folder is visited once.
    """
    visited: set[tuple[int, int]] = set()
    for name, folders, files in os.walk(root, followlinks=True):
        about = os.stat(name)
        if (about.st_dev, about.st_ino) in visited:
            folders.clear()
            continue
        visited.add((about.st_dev, about.st_ino))
        folders[:] = sorted(folder for folder in folders if not _JUNK.match(folder))
        yield Path(name), folders, sorted(file for file in files if not _JUNK.match(file))


def looks_like(root: Path) -> str | None:
    """The data set, by its name in ``data.name``, whose layout a root has; None where it has none that is known."""
    for place, folders, files in itertools.islice(walk(root), _LOOK_AT):
        below = place.relative_to(root).as_posix()
        seen = {"file": files, "folder": folders, "path": [below]}
        for name, (_, where, pattern) in SIGNS.items():
            if any(re.search(pattern, item) for item in seen[where]):
                return name
        if any(_CLIP.match(file) for file in files):
            return "voxceleb"
    return None


def not_here(title: str, name: str, root: Path, example: str, access: str) -> str:
    """The message for a root without the data set: what was looked for, where, who gives it, what to type instead."""
    if not root.exists():
        there = "there is no such folder"
    elif (other := looks_like(root)) not in (None, name):
        there = f"it looks like {SIGNS[other][0]} (data.name={other})"
    elif other == name:
        there = "it has the folders of that form, but no pictures (or clips) in them"
    elif packed := sorted(path.name for path in root.iterdir() if path.name.lower().endswith(_PACKED)):
        there = f"it holds {packed[0]}, still packed"
    else:
        there = "it holds nothing of that form"
    return (
        f"{title} is not here: looked for {example}, at any depth, in {root.absolute()}; {there}.\n"
        f"{access}\n"
        f"With the data at hand: data.root=<its folder>\n"
        f"Without it, write generated faces in its layout: facegan generate {name} --root <folder>"
    )


def generated_by(records: Records) -> str | None:
    """The head that drew a table's pictures, by the GENERATED.json of a folder that they lie below.

    None for photographs; where there are both, "ict + photographs". Some pictures of each root are looked at.
    """
    codes, found = records.codes("root"), set()
    for code in np.unique(codes):
        rows = np.flatnonzero(codes == code)
        some = rows[np.unique(np.linspace(0, len(rows) - 1, _LOOK_FOR_HEAD).astype(int))]
        for folder in {Path(records.path(row)).parent for row in some.tolist()}:
            marks = (place / "GENERATED.json" for place in (folder, *folder.parents))
            found.add(next((_head(mark) for mark in marks if mark.is_file()), PHOTOGRAPHS))
    return " + ".join(sorted(found)) if found - {PHOTOGRAPHS} else None


def _head(mark: Path) -> str:
    try:
        return str(json.loads(mark.read_text())["head"])
    except (KeyError, TypeError, json.JSONDecodeError):
        raise UserError(f"{mark} does not name the head; generate the faces again") from None
