"""What goes with a picture: a target AU row, or a second picture.

Every choice is drawn from (seed, epoch, index), see ``draws.py``.
"""

import numpy as np

from datamodules.draws import CANDIDATE, PARTNER, TARGET, uniform
from facegan.config import UserError

PAIRINGS = ("single", "same_identity", "cross_identity", "same_track")


def target_rows(seed: int, epoch: np.ndarray, index: np.ndarray, n: int) -> np.ndarray:
    """Which of n AU rows is the target of each (epoch, index): (B,) int64."""
    return (uniform(seed, TARGET, epoch, index)[:, 0] * n).astype(np.int64)


class Partners:
    """Draws a second picture for each picture, from its own group or from all the others.

    A group is a person or a track; of a person with a single picture the partner is that picture itself.
    """

    def __init__(self, groups: np.ndarray) -> None:
        self._order = np.argsort(groups, kind="stable")
        codes, first, counts = np.unique(groups[self._order], return_index=True, return_counts=True)
        group = np.searchsorted(codes, groups)
        self._place = np.empty(len(groups), np.int64)
        self._place[self._order] = np.arange(len(groups))
        self._start, self._count = first[group], counts[group]

    def draw(
        self, seed: int, epoch: np.ndarray, index: np.ndarray, cross_probability: float, again: int = 0
    ) -> np.ndarray:
        """Index (B,) of each partner: of another group with ``cross_probability``, else of the same.

        Args:
            again: 0, or k for the k-th partner beside the first.
        """
        u = uniform(seed, CANDIDATE + again if again else PARTNER, epoch, index)
        start, count, place = self._start[index], self._count[index], self._place[index]
        others = len(self._order) - count
        same = (u[:, 0] * np.maximum(count - 1, 1)).astype(np.int64) + start
        same = np.where(count > 1, same + (same >= place), place)
        cross = (u[:, 0] * others).astype(np.int64)
        cross += np.where(cross >= start, count, 0)
        crossing = (u[:, 1] < cross_probability) & (others > 0)
        return self._order[np.where(crossing, cross, same)]


def farthest(candidates: np.ndarray, theirs: np.ndarray, own: np.ndarray) -> np.ndarray:
    """Of candidates (K, B) with poses (K, B, 3), those (B,) that are turned farthest from ``own`` (B, 3).

    Angles are added up; an unknown pose is no distance.
    """
    turned = np.nan_to_num(np.abs(theirs - own).sum(-1))
    return np.take_along_axis(candidates, turned.argmax(0)[None], 0)[0]


def partners(pairing: str, identity: np.ndarray, sequence: np.ndarray) -> Partners | None:
    """The drawer of a pairing; None for ``single``.

    Raises:
        UserError: an unknown pairing.
    """
    if pairing not in PAIRINGS:
        raise UserError(f"data.pairing={pairing} is unknown; choose one of {', '.join(PAIRINGS)}")
    if pairing == "single":
        return None
    return Partners(sequence if pairing == "same_track" else identity)
