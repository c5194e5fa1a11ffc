"""Who moves a face: OpenFace's CSV, or a film or a picture that somebody looks at (ICface, Figs. 1 and 4)."""

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import numpy as np
from rich.progress import track as progress_bar
from torch import Tensor

from datamodules.preparation.pictures import UnreadablePicture
from facegan.config import UserError
from facegan.driving import NAMES, Track, filled, read_track
from facegan.editing import FaceEditor
from facegan.films import Footage
from facegan.judges import AUJudge, FaceFinder, HeadPose, as_judged

Look = Callable[[Tensor], tuple[Tensor, Tensor]]
"""Poses (B, 3) in radians and AUs (B, 17) of crops (B, 3, S, S) in [-1, 1]; NaN where nothing is seen."""


class Drivers:
    """Reads drivers of any kind into tracks.

    Args:
        editor: whose crop frames are cut to, and whose attribute head looks at them.
        au_judge: the weights of an AU judge that looks instead, with head poses from dlib's landmarks; "": the one
            in ``facegan.config.judges_home()``.

    Attributes:
        said: a line for each driver that had no CSV, on who looked at it, and for each with frames without a face.

    Raises:
        UserError: no such judge.
    """

    def __init__(self, editor: FaceEditor, au_judge: str | None = None, progress: bool = True) -> None:
        self.editor, self.progress = editor, progress
        self.said: list[str] = []
        self._look: Look = editor.estimate
        self._who = "the run's own attribute head"
        if au_judge is not None:
            judge, pose = AUJudge(Path(au_judge) if au_judge else None, editor.device), HeadPose(FaceFinder())
            self._look, self._who = self._judged_by(judge, pose), f"{judge.description}; {pose.description}"

    def _judged_by(self, judge: AUJudge, pose: HeadPose) -> Look:
        def look(images: Tensor) -> tuple[Tensor, Tensor]:
            points = pose.finder(images)
            return pose(images, points), judge(as_judged(images, points, self.editor.align)[0])

        return look

    def _seen(self, picture: np.ndarray | None) -> np.ndarray:
        """What a picture asks for (20,); NaN where there is no face."""
        if picture is not None:
            with suppress(UnreadablePicture):
                pose, au = self._look(self.editor.cut_picture(picture).image[None])
                return np.concatenate([pose[0].numpy(), au[0].numpy()])
        return np.full(len(NAMES), np.nan, np.float32)

    def track(self, file: str, option: str) -> Track:
        """What a CSV (.csv), a film or a picture does, frame by frame.

        Args:
            option: that named it, for messages.

        Raises:
            UserError: no such file, nothing that can be read, or no face in it.
        """
        if Path(file).suffix.lower() == ".csv":
            return self.table(file)
        self.said.append(f"{file} has no CSV: its poses and AUs are those seen by {self._who}")
        rows: list[np.ndarray] = []
        with Footage(file, option) as footage:
            for picture in progress_bar(
                footage.frames(), f"Looking at {file}", total=footage.count, disable=not self.progress
            ):
                rows.append(self._seen(picture))
        if not rows or footage.broken == len(rows):
            raise UserError(
                f"{option} {file}: none of its pictures can be read; name another film or picture"
            )
        self.said += footage.notes()
        return self._telling(filled(np.array(rows, np.float32).reshape(-1, len(NAMES)), file), file)

    def table(self, file: str) -> Track:
        """What a CSV of OpenFace says, frame by frame; errors as of ``read_track``."""
        return self._telling(read_track(file), file)

    def _telling(self, track: Track, file: str) -> Track:
        if track.lost:
            self.said.append(
                f"{file}: no face in {track.lost:,} of {len(track):,} frames, which are as the one before"
            )
        return track
