"""What a parametric head is: geometry, identity modes, action-unit modes and landmark vertices, as arrays.

Units are centimetres in head coordinates: x to the person's left, y up, z out of the face. The renderer, the
painter and the hair know a head only through ``HeadModel``.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from facegan.config import UserError
from facegan.faces import AUS

HEADS = ("procedural", "ict")

SKIN, EYE_RIGHT, EYE_LEFT, TEETH, MOUTH, GUMS, HAIR = range(7)
"""Materials of a triangle. The person's right eye comes first, as in the landmarks."""

CHART_HALF = 16.0
"""The face chart covers -16..16 cm in both directions; ``uv`` 0..1 maps onto it."""
CHART_CENTRE_Y = -1.5
CHART_AXIS_Z = -2.0
CHART_RADIUS = 12.0


@dataclass(frozen=True, eq=False)
class HeadModel:
    """A linear head: ``vertices + sum identity + sum action units``, with its materials and landmarks.

    Args:
        name: "procedural" or "ict".
        vertices: (N, 3) float32, the neutral mean head.
        triangles: (T, 3) int32, counter-clockwise seen from outside.
        material: (T,) uint8, one of the constants above.
        identity_modes: (K, N, 3) float32, displacement for one standard deviation of coefficient k.
        mode_start, mode_vertex, mode_shift: sparse displacements at intensity 5 of the 17 AUs of the right
            side,
            then of the left: mode m moves ``mode_vertex[mode_start[m]:mode_start[m + 1]]``.
        landmarks: (68,) int32, a vertex for each landmark.
        uv: (N, 2) float32, place in the face chart, 0..1.
        visibility: (N, 9) float32, spherical harmonics of the unoccluded sky (see ``occlusion``).
        eye_centres: (2, 3) float32 and ``eye_radius``: spheres of the right and the left eye.
        lid_vertices: (2, L) int32, vertices that must stay outside the eyeball.
        texels: side of the painted skin in pictures up to some 300 pixels.
    """

    name: str
    vertices: np.ndarray
    triangles: np.ndarray
    material: np.ndarray
    identity_modes: np.ndarray
    mode_start: np.ndarray
    mode_vertex: np.ndarray
    mode_shift: np.ndarray
    landmarks: np.ndarray
    uv: np.ndarray
    visibility: np.ndarray
    eye_centres: np.ndarray
    eye_radius: float
    lid_vertices: np.ndarray
    texels: int

    @property
    def chart_landmarks(self) -> np.ndarray:
        """Landmarks (68, 2) of the mean head in chart centimetres (x, y up)."""
        return chart(self.vertices[self.landmarks])


def chart(points: np.ndarray) -> np.ndarray:
    """Head coordinates (..., 3) to chart centimetres (..., 2): a cylinder unrolled around the face."""
    angle = np.arctan2(points[..., 0], np.maximum(points[..., 2] - CHART_AXIS_Z, 1e-3))
    return np.stack([angle * CHART_RADIUS, points[..., 1] - CHART_CENTRE_Y], -1)


def chart_uv(points: np.ndarray) -> np.ndarray:
    """Head coordinates (N, 3) to texture coordinates (N, 2) in 0..1, v downwards."""
    place = np.clip(chart(points) / CHART_HALF, -0.99, 0.99)
    return np.ascontiguousarray((place * [1, -1] + 1) / 2, np.float32)


def sparse_modes(
    modes: Mapping[int, Sequence[np.ndarray]], threshold: float = 1e-3
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Dense displacements ``{AU: (right (N, 3), left (N, 3))}`` to ``mode_start, mode_vertex, mode_shift``."""
    starts, vertices, shifts = [0], [], []
    for side in range(2):
        for au in AUS:
            dense = modes[au][side]
            moved = np.flatnonzero(np.abs(dense).max(1) > threshold)
            vertices.append(moved)
            shifts.append(dense[moved])
            starts.append(starts[-1] + len(moved))
    return (
        np.array(starts, np.int32),
        np.concatenate(vertices).astype(np.int32),
        np.ascontiguousarray(np.concatenate(shifts), np.float32),
    )


def sides(vertices: np.ndarray, blend: float = 1.2) -> tuple[np.ndarray, np.ndarray]:
    """Weights (N, 1) of the right and the left half of the head; they add up to one."""
    left = 1 / (1 + np.exp(-4 * vertices[:, :1] / blend))
    return 1 - left, left


@lru_cache(maxsize=2)
def load_head(name: str = "procedural") -> HeadModel:
    """The head of that name, built or read once per process.

    Raises:
        UserError: an unknown name, or the ict head has not been fetched.
    """
    if name == "procedural":
        from datamodules.generated.procedural import procedural_head

        return procedural_head()
    if name == "ict":
        from datamodules.generated.ict import ict_head

        return ict_head()
    raise UserError(f"there is no head {name!r}; the heads are {', '.join(HEADS)}. Type --head procedural")
