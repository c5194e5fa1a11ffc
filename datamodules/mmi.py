"""MMI facial expression database.

Data sheet
    What        over 2,900 videos and stills of 75 people, 19 to 62 years, from the front, in profile, or both at
                once by way of a mirror; 24 or 25 frames a second, mostly 720 x 576.
    Layout      ``Sessions/<number>/S001-002.avi`` with ``S001-002.xml`` (emotion), ``session.xml`` (view) and, where
                AUs were coded, ``S001-002-oao_aucs.xml``; below a folder with the date of the download. The
                session's number says nothing about the person, who is in the file's name.
    Labels      emotion codes 1 to 6, as below; higher ones are none of the six, and sessions of single AUs have none.
                Coded AUs have onset, apex and offset frames, counted from 1, and no intensities: those OpenFace gives
                (FeatureExtraction -f on the clip, turned upright first).
    Shape       neutral, apex, neutral: the peak is the coded apex, else the middle of the clip; the first frame is
                neutral.
    Split       none official; k folds by person.
    Defects     most frontal clips lie on their side and are turned clockwise, profiles the other way; a few are
                upright: those of 480 lines, of S053 and S054, or with coded AUs (by ``data.turn`` for all alike). In
                dual clips the half with the profile differs: both halves are looked at, and the finder of
                landmarks keeps the face. Some clips end before the number of frames they state. Stills among them.
    Licence     research, signed, with an account.
    Access      https://mmifacedb.eu
    Cite        Pantic et al., "Web-based database for facial expression analysis", 2005.
"""

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from datamodules.base import FaceDataModule
from datamodules.config import DataConfig
from datamodules.discovery import generated_by, not_here
from datamodules.mmi_sessions import SIDES, Session, read_sessions
from datamodules.preparation.pictures import (
    UnreadablePicture,
    frame_size_and_count,
    is_picture,
    stated_frames,
)
from datamodules.records import Found, Records
from datamodules.rows import Rows, Tables
from datamodules.splits import Split, by_person, fold_parts
from facegan.config import UserError, check
from facegan.faces import EXPRESSIONS, UNKNOWN_EXPRESSION

ACCESS = (
    "The MMI database is given for research, on a signed agreement and with an account: https://mmifacedb.eu"
)
_UPRIGHT_PEOPLE = ("S053", "S054")
_UPRIGHT_LINES = 480
_FEWEST = 3  # frames of a clip


@dataclass
class MMIConfig(DataConfig):
    """Peak frames and the first, neutral one of the frontal clips with one of six emotions."""

    name: str = "mmi"
    needs_au: bool = False
    sides: list[str] = field(default_factory=lambda: ["frontal"])  # of frontal, profile, dual
    # peak: with the first frame as neutral | all: every step-th of every clip, for EGGAN
    frames: str = "peak"
    peak_frames: int = 3
    neutral: bool = True  # the first frame of each clip too
    step: int = 1  # frames=all: every step-th frame
    turn: str = "auto"  # auto | none | clockwise | counterclockwise
    folds: int = 10  # person-independent
    fold: int = -1  # the one that is tested on, from 0; -1 the last
    fold_by: str = "consecutive"  # consecutive | strided | shuffled (by data.seed)

    def __post_init__(self) -> None:
        super().__post_init__()
        check("data.frames", self.frames, ("peak", "all"))
        check("data.turn", self.turn, ("auto", "none", "clockwise", "counterclockwise"))
        check("data.peak_frames", self.peak_frames, at_least=1)
        check("data.step", self.step, at_least=1)
        for side in self.sides:
            check("data.sides", side, SIDES)


class MMI(FaceDataModule):
    """MMI; see the module's data sheet."""

    config: MMIConfig
    raw_options = ("min_confidence", "sides", "frames", "peak_frames", "neutral", "step", "turn")

    def find(self) -> Found:
        """Frames of all sessions of the chosen sides.

        Raises:
            UserError: the root is missing, holds no session, or none of these sides with an emotion.
        """
        config, root = self.config, self.roots()[0]
        rows = Rows(str(root.absolute()))
        left_out: list[tuple[str, str]] = []
        sessions = list(read_sessions(root, left_out))
        if not sessions:
            raise UserError(not_here("MMI", "mmi", root, "Sessions/2/S001-002.avi with S001-002.xml", ACCESS))
        codes = {
            "emotion": Counter(session.code for session in sessions),
            "view": Counter(session.side for session in sessions),
            "AUs coded": Counter("yes" if session.coded else "no" for session in sessions),
        }
        for session in sessions:
            if session.side not in config.sides:
                left_out.append((str(session.media), f"{session.side} view"))
            elif session.expression == UNKNOWN_EXPRESSION and config.frames == "peak":
                left_out.append((str(session.media), "no emotion of the six"))
            else:
                try:
                    self._add(rows, session, root, left_out)
                except UnreadablePicture as error:
                    left_out.append((str(session.media), str(error)))
        if not rows.paths:
            raise UserError(
                f"none of the {len(sessions):,} sessions below {root.absolute()} can be used with "
                f"data.sides={config.sides} and data.frames={config.frames}: "
                + "; ".join(sorted({reason for _, reason in left_out}))
            )
        records = rows.records()
        return Found(records, left_out, [], codes, generated_by(records))

    def _add(self, rows: Rows, session: Session, root: Path, left_out: list[tuple[str, str]]) -> None:
        path, folder = session.media.relative_to(root), session.media.parent
        if is_picture(session.media):
            size, chosen = None, [(0, session.expression)]
        else:
            size, frames = frame_size_and_count(session.media)
            chosen = self._chosen(session, frames, stated_frames(session.media))
        tables = Tables(root, folder, self.config.min_confidence, left_out, self.beside(folder))
        table = tables.of_file(session.media)
        name = f"{folder.name}/{session.media.stem}"
        for view in self._views(session, size):
            half = view in ("left", "right")
            sequence = f"{name}/{view}" if half else name
            for frame, expression in chosen:
                rows.add(path, frame, session.person, sequence, expression, view=view)
                if not half:  # the one face that OpenFace tracked may be in either half
                    rows.label(table, frame)

    def _views(self, session: Session, size: tuple[int, int] | None) -> tuple[str, ...]:
        """How to look at a recording whose frames are ``size`` (height, width); None: a still."""
        if session.side == "dual":
            return ("left", "right")
        if self.config.turn != "auto":
            return ("" if self.config.turn == "none" else self.config.turn,)
        if size is None or size[0] > size[1]:  # stills and portraits stand already
            return ("",)
        if session.side == "profile":
            return ("counterclockwise",)
        upright = session.coded or session.person in _UPRIGHT_PEOPLE or size[0] == _UPRIGHT_LINES
        return ("" if upright else "clockwise",)

    def _chosen(self, session: Session, frames: int, stated: int) -> list[tuple[int, int]]:
        """(frame, expression) of one clip; a frame is neutral, peak, or of no known expression.

        Args:
            frames: that can be read.
            stated: that the clip says it has: the middle of those is the peak where none is coded.

        Raises:
            UnreadablePicture: the clip is too short for a peak, or ends before it.
        """
        config, neutral = self.config, EXPRESSIONS.index("neutral")
        if frames < _FEWEST:
            raise UnreadablePicture(f"fewer than {_FEWEST} frames")
        whole = max(stated, frames)
        start, end = session.apex or (1, whole)
        start, end = max(start, 1), min(end, whole)
        count = min(config.peak_frames, end - start)
        first = max(1, start + (end - start - count) // 2)
        peak = range(first, min(first + count, frames))
        if not peak:
            raise UnreadablePicture(
                "ends early, before its peak" if frames < whole else "ends before its coded apex"
            )
        if config.frames == "all":
            return [
                (k, session.expression if k in peak else neutral if k == 0 else UNKNOWN_EXPRESSION)
                for k in range(0, frames, config.step)
            ]
        return [(0, neutral)] * config.neutral + [(k, session.expression) for k in peak]

    def split(self, records: Records) -> Split:
        """One fold of people is tested on, the others are trained on."""
        config = self.config
        parts = fold_parts(records.everybody(), config.folds, config.fold, config.fold_by, config.seed)
        return by_person(records, np.arange(len(records)), parts)
