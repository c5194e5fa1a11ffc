"""BU-4DFE, the Binghamton 3D dynamic facial expression database.

Data sheet
    What        6 expressions of 101 people (58 women, 43 men, 18 to 45 years): 606 sequences of about 100 frames, 25 a
                second; a colour portrait (about 1040 x 1329) and a mesh of about 35,000 vertices each.
    Layout      ``F001/Angry/000.jpg`` beside ``000.wrl``; landmarks (``.bnd``) in a tree of their own,
                ``BU4DFE_BND_V1.1``, or among the pictures. ``BU_WrlViewer_V2`` is a program, no person. Only the
                pictures are read.
    Labels      the folders' names: adjectives and nouns mixed. A sequence runs neutral, apex, neutral: the middle
                frames are the expression, the first is neutral. No AUs: OpenFace (FeatureExtraction -fdir) gives them.
    Split       none official. AIP-GAN: 90 % to train on and 10 % to test on, by person; here one of ten folds over
                the sorted people, women and men apart, so that both are in each.
    Defects     some sequences begin or end in the middle of an expression, or change it several times; a published list
                (Hannover) names them: give those to leave out in ``data.exclude``. Empty folders, and sequences
                of fewer than two frames, are left out and counted.
    Licence     signed agreement, research only; requested by a permanent faculty member.
    Access      Binghamton University (SUNY): https://www.cs.binghamton.edu/~lijun/Research/3DFE/3DFE_Analysis.html
    Cite        Yin et al., "A high-resolution 3D dynamic facial expression database", 2008.
"""

import re
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from datamodules.base import FaceDataModule
from datamodules.config import DataConfig
from datamodules.discovery import generated_by, not_here, walk
from datamodules.records import Found, Records, expression_index
from datamodules.rows import Rows, Tables
from datamodules.splits import Split, by_person, fold_parts
from facegan.config import UserError, check
from facegan.faces import EXPRESSIONS

N_PEOPLE = 101
EMOTIONS = ("Angry", "Disgust", "Fear", "Happy", "Sad", "Surprise")
ACCESS = (
    "BU-4DFE is given for research, on a signed agreement, by Binghamton University: "
    "https://www.cs.binghamton.edu/~lijun/Research/3DFE/3DFE_Analysis.html"
)
PERSON = re.compile(r"^(?:F0(?:0[1-9]|[1-4][0-9]|5[0-8])|M0(?:0[1-9]|[1-3][0-9]|4[0-3]))$")
_FRAME = re.compile(r"^(?P<frame>[0-9]{3})\.jpg$", re.IGNORECASE)


@dataclass
class BU4DFEConfig(DataConfig):
    """The three middle frames of each sequence, and its first one as neutral."""

    name: str = "bu4dfe"
    needs_au: bool = False
    peak_frames: int = 3  # in the middle of each sequence
    neutral: bool = True  # the first frame of each sequence too
    exclude: list[str] = field(default_factory=list)  # sequences to leave out, as in F012/Angry
    folds: int = 10  # person-independent: nine to train on, one to test on (AIP-GAN 4.1: 90 / 10)
    fold: int = -1  # the one that is tested on, from 0; -1 the last
    fold_by: str = "consecutive"  # consecutive | strided | shuffled (by data.seed)

    def __post_init__(self) -> None:
        super().__post_init__()
        check("data.peak_frames", self.peak_frames, at_least=1)


class BU4DFE(FaceDataModule):
    """BU-4DFE; see the module's data sheet."""

    config: BU4DFEConfig
    raw_options = ("min_confidence", "peak_frames", "neutral", "exclude")

    def find(self) -> Found:
        """Middle and first frames of all sequences.

        Raises:
            UserError: the root is missing or holds no such sequence, or data.exclude names none.
        """
        config, root = self.config, self.roots()[0]
        people = _people(root)
        rows = Rows(str(root.absolute()))
        left_out: list[tuple[str, str]] = []
        codes = {"sequences": Counter[str](), "frames": Counter[str]()}
        unused = set(config.exclude)
        for person in people:
            for emotion in EMOTIONS:
                folder, sequence = person / emotion, f"{person.name}/{emotion}"
                unused.discard(sequence)
                frames = _frames(folder)
                codes["sequences"][emotion] += bool(frames)
                codes["frames"][emotion] += len(frames)
                if sequence in config.exclude:
                    left_out.append((str(folder), "in data.exclude"))
                elif not folder.is_dir():
                    left_out.append((str(folder), "missing sequence"))
                elif len(frames) < 2:
                    left_out.append((str(folder), "fewer than 2 frames"))
                else:
                    tables = Tables(person, folder, config.min_confidence, left_out, self.beside(folder))
                    for k, expression in self._chosen(emotion, len(frames)):
                        rows.add(frames[k].relative_to(root), k, person.name, sequence, expression)
                        rows.label_picture(tables, frames[k].name, k)
        if not rows.paths:
            raise UserError(not_here("BU-4DFE", "bu4dfe", root, "F001/Angry/000.jpg", ACCESS))
        if unused:
            raise UserError(
                f"data.exclude names {', '.join(sorted(unused))}: write person/expression, as in F012/Angry, with "
                f"an expression of {', '.join(EMOTIONS)}, and a person that is there"
            )
        records = rows.records()
        there = len(records.people())
        notes = [f"{there} of BU-4DFE's {N_PEOPLE} people are here"] if there < N_PEOPLE else []
        return Found(records, left_out, notes, codes, generated_by(records))

    def _chosen(self, emotion: str, frames: int) -> list[tuple[int, int]]:
        """(frame, expression) of one sequence; no frame is both neutral and not."""
        count = min(self.config.peak_frames, frames - 1)
        start = max(1, (frames - count) // 2)
        neutral = [(0, EXPRESSIONS.index("neutral"))] if self.config.neutral else []
        return neutral + [(k, expression_index(emotion)) for k in range(start, start + count)]

    def split(self, records: Records) -> Split:
        """One fold of people is tested on, the others are trained on; women and men are dealt out apart."""
        config = self.config
        parts: dict[str, str] = {}
        for sex in "FM":
            people = [name for name in records.everybody() if name.startswith(sex)]
            if people:
                parts |= fold_parts(
                    people,
                    config.folds,
                    config.fold,
                    config.fold_by,
                    config.seed,
                    "women" if sex == "F" else "men",
                )
        return by_person(records, np.arange(len(records)), parts)


def _people(root: Path) -> list[Path]:
    """Folders of people with an expression's pictures, by name; the first of each name."""
    found: dict[str, Path] = {}
    for place, folders, _ in walk(root):
        if PERSON.match(place.name) and set(EMOTIONS) & set(folders):
            if any(_frames(place / emotion) for emotion in EMOTIONS):
                found.setdefault(place.name, place)
            folders.clear()
    return [found[name] for name in sorted(found)]


def _frames(folder: Path) -> list[Path]:
    if not folder.is_dir():
        return []
    named = {int(match["frame"]): path for path in folder.iterdir() if (match := _FRAME.match(path.name))}
    return [named[number] for number in sorted(named)]
