"""What moves a face in a reenactment: head poses and AUs over time, mixed from several drivers (ICface, Figs. 1, 4)."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from scipy.ndimage import gaussian_filter1d

from datamodules.preparation.openface import read_openface
from facegan.config import UserError, check
from facegan.faces import AU_MAX, AU_NAMES, N_AUS, POSE

NAMES = (*POSE, *AU_NAMES)
"""Of the 20 columns of a track."""

TURN = 0.5
"""Radians to either side that sweeps, figures and sliders show at most: landmarks are hardly found beyond."""

GROUPS = {
    "pose": POSE,
    "expression": AU_NAMES,
    "brows": ("AU01", "AU02", "AU04"),
    "eyes": ("AU01", "AU02", "AU04", "AU05", "AU06", "AU07", "AU45"),
    "mouth": ("AU09", "AU10", "AU12", "AU14", "AU15", "AU17", "AU20", "AU23", "AU25", "AU26"),
}
"""Columns that go together."""


SPARSE = 1000
"""Frames to a row of a CSV at which its numbers are no film's: a wrong one must not fill the memory."""


@dataclass(frozen=True)
class Track:
    """Angles in radians, with OpenFace's signs, and AUs 0..5: ``values`` (F, 20), ordered as ``NAMES``."""

    values: np.ndarray
    lost: int = 0  # frames without a face, which are as the one before

    def __len__(self) -> int:
        return len(self.values)

    @property
    def pose(self) -> np.ndarray:
        """Pitch, yaw, roll (F, 3)."""
        return self.values[:, : len(POSE)]

    @property
    def au(self) -> np.ndarray:
        """AU intensities (F, 17)."""
        return self.values[:, len(POSE) :]

    def taking(self, other: "Track", names: str) -> "Track":
        """With some columns of another track; where that is shorter, its last frame stays.

        Args:
            names: a column, a group, or several with commas between them: ``mouth``, ``AU05,AU45``.

        Raises:
            UserError: a name that is none.
        """
        rows = np.minimum(np.arange(len(self)), len(other) - 1)
        values = self.values.copy()
        chosen = columns(names)
        values[:, chosen] = other.values[rows][:, chosen]
        return replace(self, values=values)

    def holding(self, constants: Iterable[str]) -> "Track":
        """With columns held at a value: ``AU12=3``, ``yaw=0.2``; a group is held at one value, too.

        Raises:
            UserError: no such column, no number, an AU outside 0..5, or an angle beyond a right one.
        """
        values = self.values.copy()
        for item in constants:
            chosen, value = _assignment(item, "--set")
            aus = [c for c in chosen if c >= len(POSE)]
            if aus and not 0 <= value <= AU_MAX:
                raise UserError(f"--set {item}: an AU lies between 0 and {AU_MAX:g}")
            if len(aus) < len(chosen) and abs(value) > np.pi / 2:
                raise UserError(
                    f"--set {item}: angles are in radians; {value:g} degrees would be {np.radians(value):.3g}"
                )
            values[:, chosen] = value
        return replace(self, values=values)

    def scaled(self, factors: Iterable[str]) -> "Track":
        """With columns times a factor: ``expression=1.5``, ``pose=0.5``; AUs stay within 0..5.

        Raises:
            UserError: no such column, no number, or a negative one for an AU.
        """
        values = self.values.copy()
        for item in factors:
            chosen, factor = _assignment(item, "--scale")
            if factor < 0 and max(chosen) >= len(POSE):
                raise UserError(
                    f"--scale {item}: an AU has no negative side; only angles take a factor below 0"
                )
            values[:, chosen] *= factor
        values[:, len(POSE) :] = values[:, len(POSE) :].clip(0, AU_MAX)
        return replace(self, values=values)

    def smoothed(self, frames: float) -> "Track":
        """Averaged over time by a Gaussian of that standard deviation; 0 leaves it as it is.

        Raises:
            UserError: less than 0 or more than 1,000.
        """
        check("--smooth", frames, at_least=0, at_most=1000)
        if frames == 0:
            return self
        return replace(self, values=gaussian_filter1d(self.values, frames, axis=0, mode="nearest"))


def columns(names: str) -> list[int]:
    """Places in ``NAMES`` of columns and groups with commas between them.

    Raises:
        UserError: a name that is none.
    """
    found: list[int] = []
    for name in names.split(","):
        wanted = GROUPS.get(name.strip().lower()) or (_column(name.strip()),)
        found += [NAMES.index(column) for column in wanted]
    return found


def to_either_side(reach: Sequence[float]) -> list[float]:
    """Radians to either side that each angle is shown at: ``TURN``, or a network's reach where that is less."""
    return [min(TURN, angle) for angle in reach]


def _column(name: str) -> str:
    known = {column.lower(): column for column in NAMES} | {
        column.lower().replace("au0", "au"): column for column in AU_NAMES
    }
    if name.lower() not in known:
        raise UserError(f"{name!r} is no AU, angle or group; there are {', '.join((*GROUPS, *NAMES))}")
    return known[name.lower()]


def _assignment(item: str, option: str) -> tuple[list[int], float]:
    name, sign, text = item.partition("=")
    try:
        value = float(text)
    except ValueError:
        value = float("nan")
    if not sign or not np.isfinite(value):
        example = "AU12=3 yaw=0.2" if option == "--set" else "expression=1.5 yaw=0.5"
        raise UserError(f"{option} {item}: write a name and a number, as in {option} {example}")
    return columns(name), value


def read_track(path: str | Path) -> Track:
    """The track of an OpenFace CSV; a frame whose face was lost has the last one's values.

    Raises:
        UserError: no CSV of OpenFace's FeatureExtraction with every AU and angle, an AU outside 0..5, or no face.
    """
    table = read_openface(Path(path)).require("au", "pose").one_face_a_frame()
    if not len(table):
        raise UserError(f"{path} has a header and no frame below it; run OpenFace's FeatureExtraction again")
    outside = np.argwhere((table.au < 0) | (table.au > AU_MAX))
    if len(outside):
        row, au = outside[0]
        raise UserError(
            f"{path}: {AU_NAMES[au]}_r is {table.au[row, au]:g} in frame {table.frame[row]}; OpenFace's intensities "
            f"lie between 0 and {AU_MAX:g}"
        )
    last = int(table.frame.max())
    if last > SPARSE * len(table):
        raise UserError(
            f"{path}: frame {last} in a CSV of {len(table):,} rows; run OpenFace's FeatureExtraction on the film again"
        )
    first = 0 if (table.frame == 0).any() else 1  # OpenFace counts from 1, others from 0
    values = np.full((last + 1 - first, 3 + N_AUS), np.nan, np.float32)
    good = table.valid & np.isfinite(table.au).all(1) & np.isfinite(table.pose).all(1)
    values[table.frame[good] - first] = np.concatenate([table.pose, table.au], 1)[good]
    return filled(values, str(path))


def filled(values: np.ndarray, name: str) -> Track:
    """A track whose missing rows (NaN) repeat the one before; the first ones the first that is there.

    Raises:
        UserError: there is none at all.
    """
    there = np.isfinite(values).all(1)
    if not there.any():
        raise UserError(
            f"{name}: no frame with a face; name another driver, or hold columns with --set AU12=3"
        )
    last = np.maximum.accumulate(np.where(there, np.arange(len(values)), -1))
    return Track(values[np.where(last < 0, np.flatnonzero(there)[0], last)], int((~there).sum()))


def sweep(name: str, values: Sequence[float]) -> Track:
    """One column through some values, the others neutral (Fig. 5)."""
    track = np.zeros((len(values), len(NAMES)), np.float32)
    track[:, columns(name)] = np.asarray(values, np.float32)[:, None]
    return Track(track)
