"""Oulu-CASIA NIR&VIS facial expression database.

Data sheet
    What        80 people x 6 expressions, filmed by 2 cameras (VL visible, NI near infrared) under 3 lights at
                once: 2,880 sequences, 480 of them VL in strong light. 320 x 240, 25 frames a second, 9 to 72
                frames each, from neutral to the apex, where they stop.
    Layout      ``OriginalImg/VL/Strong/P001/Anger/000.jpeg``, also within ``B_OriginalImg`` once or twice, or
                without ``OriginalImg``; the cropped set lies below ``PreProcess Img`` (spellings differ) in
                ``VL_Acropped`` and ``NI_Acropped``. Frames of some copies are called ``FirstF_000.jpeg``.
    Labels      the folders' names, no neutral one: the first frame of a sequence is neutral, the last three
                are its expression. No AUs: OpenFace's FeatureExtraction (-fdir) on a sequence's folder gives them.
    Split       none official. ExprGAN, TER-GAN and AIP-GAN: P001-P072 to train on, P073-P080 to test on (1,296 and 144
                peak frames). Or k folds by person; who is in which fold differs between authors: ``fold_by``.
    Defects     empty folders, sequences missing after cropping: left out and counted.
    Licence     research only, signed.
    Access      University of Oulu, Center for Machine Vision and Signal Analysis (CMVS), Finland.
    Cite        Zhao et al., "Facial expression recognition from near-infrared videos", 2011.
"""

import re
from collections import Counter
from dataclasses import dataclass
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

EMOTIONS = ("Anger", "Disgust", "Fear", "Happiness", "Sadness", "Surprise")
LIGHTS = ("Dark", "Strong", "Weak")
ACCESS = (
    "Oulu-CASIA is given for research, on a signed licence, by the University of Oulu, Center for Machine Vision "
    "and Signal Analysis (CMVS)."
)
_CAMERA = re.compile(r"^(?P<camera>NI|VL)(?P<cropped>_Acropped)?$")
PEOPLE = tuple(f"P{k:03d}" for k in range(1, 81))
_FEW_MISSING = 8  # people; with more missing, folds are made of those that are there
_PERSON = re.compile(r"^P(?:00[1-9]|0[1-7][0-9]|080)$")
_FRAME = re.compile(r"^(?P<prefix>[A-Za-z]+_)?(?P<frame>[0-9]{3})\.jpe?g$", re.IGNORECASE)


@dataclass
class OuluCASIAConfig(DataConfig):
    """Visible light, strong; the last three frames of each sequence and its first one as neutral."""

    name: str = "oulu_casia"
    needs_au: bool = False
    camera: str = "VL"  # VL | NI
    light: str = "Strong"  # Strong | Weak | Dark
    pictures: str = "original"  # original | cropped: the cropped set is small and grey
    peak_frames: int = 3  # last frames of each sequence that show its expression
    # first: frame of each sequence | anger: the first three of Anger | none: six classes
    neutral: str = "first"
    folds: int = 10  # person-independent; fold -1 of 10 consecutive ones is P073-P080, ExprGAN's test people
    fold: int = -1  # the one that is tested on, from 0; -1 the last
    fold_by: str = "consecutive"  # consecutive | strided | shuffled (by data.seed)

    def __post_init__(self) -> None:
        super().__post_init__()
        check("data.camera", self.camera, ("VL", "NI"))
        check("data.light", self.light, LIGHTS)
        check("data.pictures", self.pictures, ("original", "cropped"))
        check("data.neutral", self.neutral, ("first", "anger", "none"))
        check("data.peak_frames", self.peak_frames, at_least=1)


class OuluCASIA(FaceDataModule):
    """Oulu-CASIA; see the module's data sheet."""

    config: OuluCASIAConfig
    raw_options = ("min_confidence", "camera", "light", "pictures", "peak_frames", "neutral")

    def find(self) -> Found:
        """Peak and neutral frames of all sequences of the chosen camera and light.

        Raises:
            UserError: the root is missing, holds no such sequence, or none of this camera and light.
        """
        config, root = self.config, self.roots()[0]
        levels = _levels(root)
        if not levels:
            raise UserError(
                not_here("Oulu-CASIA", "oulu_casia", root, "VL/Strong/P001/Anger/000.jpeg", ACCESS)
            )
        level = levels.get((config.camera, config.pictures))
        if level is None or not (level / config.light).is_dir():
            there = sorted(
                f"data.camera={camera} data.pictures={pictures} data.light={light.name}"
                for (camera, pictures), folder in levels.items()
                for light in folder.iterdir()
                if light.name in LIGHTS
            )
            raise UserError(
                f"{root.absolute()} holds no {config.pictures} pictures of camera {config.camera} in {config.light} "
                "light; it has " + ", ".join(there)
            )
        rows = Rows(str(root.absolute()))
        left_out: list[tuple[str, str]] = []
        prefixed = 0
        codes = {"sequences": Counter[str](), "frames": Counter[str]()}
        for person in sorted(
            folder for folder in (level / config.light).iterdir() if _PERSON.match(folder.name)
        ):
            for emotion in EMOTIONS:
                folder = person / emotion
                frames, odd = _frames(folder)
                prefixed += odd
                if not frames:
                    left_out.append((str(folder), "no frames" if folder.is_dir() else "missing sequence"))
                    continue
                codes["sequences"][emotion] += 1
                codes["frames"][emotion] += len(frames)
                # OpenFace took the files in the order of their names, in which FirstF_000 comes last
                names = sorted(path.name for path in folder.iterdir() if _FRAME.match(path.name))
                places = {name: k for k, name in enumerate(names)}
                tables = Tables(person, folder, config.min_confidence, left_out, self.beside(folder))
                for k, expression in self._chosen(emotion, len(frames)):
                    path = frames[k].relative_to(root)
                    rows.add(path, k, person.name, f"{person.name}/{emotion}", expression)
                    rows.label_picture(tables, path.name, places[path.name])
        if not rows.paths:
            raise UserError(
                f"{level / config.light} holds no frame of a sequence, such as P001/Anger/000.jpeg"
            )
        notes = (
            [f"{prefixed:,} frames have a word before their number, as in FirstF_000.jpeg"]
            if prefixed
            else []
        )
        records = rows.records()
        if len(records.people()) < len(PEOPLE):
            notes.append(f"{len(records.people())} of Oulu-CASIA's {len(PEOPLE)} people are here")
        return Found(records, left_out, notes, codes, generated_by(records))

    def _chosen(self, emotion: str, frames: int) -> list[tuple[int, int]]:
        """(frame, expression) of one sequence: neutral frames first, then the peak; no frame is both."""
        config = self.config
        peak = range(max(1, frames - config.peak_frames), frames)
        wanted = {"first": 1, "anger": 3 * (emotion == "Anger"), "none": 0}[config.neutral]
        neutral = [(k, EXPRESSIONS.index("neutral")) for k in range(min(wanted, peak.start))]
        return neutral + [(k, expression_index(emotion)) for k in peak]

    def split(self, records: Records) -> Split:
        """One fold of people is tested on, the others are trained on.

        Of a nearly whole copy the folds are those of the whole, whoever is missing.
        """
        config, people = self.config, records.everybody()
        if set(people) <= set(PEOPLE) and len(people) >= len(PEOPLE) - _FEW_MISSING:
            people = list(PEOPLE)
        parts = fold_parts(people, config.folds, config.fold, config.fold_by, config.seed)
        return by_person(records, np.arange(len(records)), parts)


def _levels(root: Path) -> dict[tuple[str, str], Path]:
    """The folders ``VL``, ``NI_Acropped`` … that hold lights, by camera and kind of pictures; the first of each."""
    found: dict[tuple[str, str], Path] = {}
    for place, folders, _ in walk(root):
        match = _CAMERA.match(place.name)
        if match and set(LIGHTS) & set(folders):
            found.setdefault((match["camera"], "cropped" if match["cropped"] else "original"), place)
            folders.clear()
    return found


def _frames(folder: Path) -> tuple[list[Path], int]:
    """Frames by number, and how many have a prefix; of two with one number and equal bytes the second goes."""
    if not folder.is_dir():
        return [], 0
    named = [(match, path) for path in folder.iterdir() if (match := _FRAME.match(path.name))]
    named.sort(key=lambda item: (int(item[0]["frame"]), item[0]["prefix"] is None, item[1].name))
    frames: list[Path] = []
    last: tuple[int, Path] | None = None
    for match, path in named:
        number = int(match["frame"])
        if last is None or last[0] != number or path.read_bytes() != last[1].read_bytes():
            frames.append(path)
        last = (number, path)
    return frames, sum(match["prefix"] is not None for match, _ in named)
