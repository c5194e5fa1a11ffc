"""Who moves a face: OpenFace's CSV, or a film or a picture that somebody looks at (ICface, Figs. 1 and 4)."""

from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import av
import numpy as np
from rich.progress import track as progress_bar
from torch import Tensor

from datamodules.preparation.pictures import UnreadablePicture, upright
from facegan.config import UserError
from facegan.driving import NAMES, Track, filled, read_track
from facegan.editing import FaceEditor
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
        said: a line for each driver that had no CSV, on who looked at it.

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

    def track(self, file: str, option: str) -> Track:
        """What a CSV (.csv), a film or a picture does, frame by frame.

        Args:
            option: that named it, for messages.

        Raises:
            UserError: no such file, nothing that can be read, or no face in it.
        """
        if Path(file).suffix.lower() == ".csv":
            return read_track(file)
        self.said.append(f"{file} has no CSV: its poses and AUs are those seen by {self._who}")
        rows: list[np.ndarray] = []
        with ExitStack() as stack:
            source = opened(stack, file, option)
            total = source.streams.video[0].frames or None
            for frame in progress_bar(
                source.decode(video=0), f"Looking at {file}", total=total, disable=not self.progress
            ):
                try:
                    pose, au = self._look(self.editor.cut_picture(upright(frame)).image[None])
                    rows.append(np.concatenate([pose[0].numpy(), au[0].numpy()]))
                except UnreadablePicture:
                    rows.append(np.full(len(NAMES), np.nan, np.float32))
        return filled(np.array(rows, np.float32).reshape(-1, len(NAMES)), file)


def opened(stack: ExitStack, film: str, option: str = "--driving") -> Any:
    """A film or picture by PyAV, to be closed by the stack.

    Raises:
        UserError: it cannot be read, or has no pictures.
    """
    kinds = "give one that FFmpeg reads, such as .mp4 or .jpg; a CSV of OpenFace ends in .csv"
    try:
        container = stack.enter_context(av.open(film))
    except (av.FFmpegError, OSError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else type(error).__name__
        raise UserError(f"{option} {film}: no film that can be read ({reason}); {kinds}") from None
    if not container.streams.video:
        raise UserError(f"{option} {film}: it has no pictures; {kinds}")
    return container
