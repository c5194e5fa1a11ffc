"""VoxCeleb1: faces of people who are interviewed.

Data sheet
    What        1,251 people, 22,496 videos. Three things go by this name, and each is read: frames at one a second
                (``unzippedFaces``), frames about every quarter of a second (``unzippedIntervalFaces``, 5,078,961
                of them), and clips by id (the official release of sound and face tracks, and what is cut by it).
    Layout      ``unzippedFaces/A.J._Buckley/1.6/<video>/0001300.jpg``;
                ``unzippedIntervalFaces/data/A.J._Buckley/1.6/<video>/<track>/<frame>.jpg``;
                ``id10001/<video>/00001.mp4``, with the track's text in ``txt`` or beside it; or, as FOMM and its
                followers cut them, ``train/id10001#<video>#<start>#<end>.mp4`` (or a folder of pictures of that
                name). ``1.6`` is how much the face's box was enlarged. Crops are of all sizes, not always square.
    Labels      people by name or by id. No AUs: OpenFace (FeatureExtraction -fdir, or -f for a clip) gives them.
    Tracks      frames of one track show one shot. At one frame a second there are no tracks: a gap begins another.
    Split       ICface: 75 % of the people to train on; of the others a fifth for validation. Or, with
                ``data.split=official``, by ``vox1_meta.csv`` (which is separated by tabs, and whose names may end with
                a dot that no folder has), or by the clips' ``train`` and ``test`` folders. ``iden_split.txt`` has
                everybody in all parts.
    Defects     id10282 and id10306 are in both folders of the clips: only their training clips are used.
    Licence     research; the lists are CC BY 4.0.
    Access      University of Oxford, Visual Geometry Group: https://www.robots.ox.ac.uk/~vgg/data/voxceleb/
    Cite        Nagrani, Chung, Zisserman, "VoxCeleb: a large-scale speaker identification dataset", 2017.
"""

from collections import Counter
from dataclasses import dataclass
from itertools import groupby, pairwise
from pathlib import Path

import numpy as np

from datamodules.base import FaceDataModule
from datamodules.config import DataConfig
from datamodules.discovery import generated_by, not_here
from datamodules.preparation.pictures import UnreadablePicture
from datamodules.records import Found, Records
from datamodules.rows import Rows, Tables
from datamodules.splits import Split, by_part, by_person, draw_people
from datamodules.voxceleb_tree import KINDS, Place, clip_length, look_through, numbered_pictures, read_parts
from facegan.config import UserError, check
from facegan.faces import UNKNOWN_EXPRESSION

ACCESS = (
    "VoxCeleb's lists and tracks are given for research by the Visual Geometry Group, University of Oxford: "
    "https://www.robots.ox.ac.uk/~vgg/data/voxceleb/"
)
_SECOND = 25  # frames; the pictures at one a second are numbered by the frames of the video


@dataclass
class VoxCelebConfig(DataConfig):
    """Pairs of frames of one track; 75 % of the people to train on (ICface 3.2, 4)."""

    name: str = "voxceleb"
    needs_au: bool = False
    pairing: str = "same_track"
    frames: str = "auto"  # dense | 1fps | clips | auto: the first of these that is there
    step: int = 6  # of clips: every sixth frame, as in the dense pictures
    min_frames: int = 2  # shorter tracks hold no pair
    split: str = "people"  # people | official
    train_share: float = 0.75  # of the people; ICface 4
    val_share: float = 0.05  # of the people; ICface: "the rest for validation and testing"

    def __post_init__(self) -> None:
        super().__post_init__()
        check("data.frames", self.frames, ("auto", *KINDS))
        check("data.split", self.split, ("people", "official"))
        check("data.step", self.step, at_least=1)
        check("data.min_frames", self.min_frames, at_least=1)
        if not 0 < self.train_share <= 1 - self.val_share <= 1:
            raise UserError(
                f"data.train_share={self.train_share} and data.val_share={self.val_share}: write shares of the "
                "people, above 0 and together at most 1"
            )


class VoxCeleb(FaceDataModule):
    """VoxCeleb1; see the module's data sheet."""

    config: VoxCelebConfig
    raw_options = ("min_confidence", "frames", "step", "min_frames")

    def find(self) -> Found:
        """All frames of the chosen kind, by person and track.

        Raises:
            UserError: the root is missing, or holds no frames of that kind.
        """
        config, root = self.config, self.roots()[0]
        places, meta = look_through(root)
        there = [kind for kind in KINDS if any(place.kind == kind for place in places)]
        if not there:
            example = "A.J._Buckley/1.6/<video>/0001300.jpg or id10001/<video>/00001.mp4"
            raise UserError(not_here("VoxCeleb", "voxceleb", root, example, ACCESS))
        kind = there[0] if config.frames == "auto" else config.frames
        if kind not in there:
            raise UserError(
                f"{root.absolute()} holds no frames of data.frames={kind}; it has " + ", ".join(there)
            )
        parts = read_parts(meta)
        codes = {
            "folders and clips": Counter(place.kind for place in places),
            "official part": Counter(
                place.part or parts.get(place.person.rstrip("."), "none") for place in places
            ),
        }
        places = sorted(place for place in places if place.kind == kind)
        trained = {place.person for place in places if place.part == "train"}
        both = trained & {place.person for place in places if place.part == "test"}
        notes = [
            f"{name} is in both partitions: data.split=official uses only the training clips"
            for name in sorted(both)
        ]
        left_out: list[tuple[str, str]] = []
        tables: list[Records] = []
        for person, group in groupby(places, lambda place: place.person):
            # One table a person: five million rows must not be as many Python objects at once.
            rows = Rows(str(root.absolute()))
            for place in group:
                part = place.part or parts.get(person.rstrip("."), "")
                part = "" if part == "test" and person in both else part
                self._add(rows, place, part, root, left_out)
            if rows.paths:
                tables.append(rows.records())
        if not tables:
            raise UserError(
                f"no track below {root.absolute()} has data.min_frames={config.min_frames} frames"
            )
        records = Records.concatenate(tables)
        return Found(records, left_out, notes, codes, generated_by(records))

    def _add(self, rows: Rows, place: Place, part: str, root: Path, left_out: list[tuple[str, str]]) -> None:
        config, clip = self.config, place.path.is_file()
        folder = place.path.parent if clip else place.path
        below = f"{place.path.relative_to(root).as_posix()}"
        tables = Tables(folder.parent, folder, config.min_confidence, left_out, self.beside(folder))
        if clip:
            try:
                frames = range(0, clip_length(place.path, root), config.step)
            except UnreadablePicture as error:
                left_out.append((str(place.path), str(error)))
                return
            table = tables.of_file(place.path.name)
            if len(frames) < config.min_frames:
                left_out.append((str(place.path), "too few frames"))
                return
            for k in frames:
                rows.add(below, k, place.person, place.name, UNKNOWN_EXPRESSION, part)
                rows.label(table, k)
            return
        numbered = numbered_pictures(folder)[:: config.step if place.kind == "clips" else 1]
        # OpenFace took the pictures in the order of their names, as strings: 102.jpg before 12.jpg
        row_of = {name: k for k, name in enumerate(sorted(name for _, name in numbered_pictures(folder)))}
        cuts = [0, len(numbered)]
        if place.kind == "1fps":
            gaps = np.flatnonzero(np.diff([number for number, _ in numbered]) > _SECOND) + 1
            cuts = [0, *gaps.tolist(), len(numbered)]
        for shot, (start, end) in enumerate(pairwise(cuts)):
            if end - start < config.min_frames:
                left_out.append((str(folder), "too few frames"))
                continue
            track = f"{place.name}/{shot + 1}" if place.kind == "1fps" else place.name
            for k, (_, name) in enumerate(numbered[start:end]):
                rows.add(f"{below}/{name}", k, place.person, track, UNKNOWN_EXPRESSION, part)
                rows.label_picture(tables, name, row_of[name])

    def split(self, records: Records) -> Split:
        """By person: drawn at random, or as the authors' lists say."""
        config = self.config
        if config.split == "official":
            split = by_part(records)
            if not len(split.test) or not len(split.train):
                raise UserError(
                    "data.split=official needs vox1_meta.csv below the root, or clips in train and test; add it "
                    "and prepare again (delete the store), or set data.split=people"
                )
            people = records.select(split.train).people()
            held = draw_people(people, round(config.val_share * len(people)), 0, config.seed)
            trained = by_person(records, split.train, held)
            return Split(trained.train, trained.val, split.test)
        people = records.everybody()
        val = round(config.val_share * len(people))
        test = len(people) - val - max(1, round(config.train_share * len(people)))
        return by_person(
            records, np.arange(len(records)), draw_people(people, val, max(test, 0), config.seed)
        )
