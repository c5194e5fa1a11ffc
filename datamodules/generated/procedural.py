"""The embedded head, built by formula: a grid around an egg, slit at the eyes and the mouth.

Rows are heights, columns are angles around the vertical axis. The row through the eyes and the row through the
lips are doubled between the corners, so that lids and lips can part.
"""

import numpy as np
from scipy.interpolate import PchipInterpolator

from datamodules.generated.head import (
    EYE_LEFT,
    EYE_RIGHT,
    MOUTH,
    SKIN,
    TEETH,
    HeadModel,
    chart_uv,
    sides,
    sparse_modes,
)  # fmt: skip
from datamodules.generated.occlusion import sky_visibility
from facegan.faces import AUS

EYE_Y, EYE_X, EYE_HALF = 3.3, 3.15, 1.36
MOUTH_Y, MOUTH_HALF = -3.35, 2.4
EYE_RADIUS = 1.25
EYE_CENTRES = np.array([[-EYE_X, EYE_Y + 0.15, 7.95], [EYE_X, EYE_Y + 0.15, 7.95]], np.float32)
COLUMNS = 81

# Half width, front and back depth of the egg by height; above CROWN_Y an ellipsoid closes it.
CROWN_Y, CROWN_HEIGHT = 6.0, 7.6
_HEIGHTS = [-19, -16, -13, -11, -9.5, -8.6, -7.7, -6.2, -4.5, -2.4, 0, 3, 6]
_WIDTH = PchipInterpolator(_HEIGHTS, [13, 10.8, 6.2, 5.0, 4.7, 4.6, 4.7, 5.0, 5.7, 6.5, 7.0, 7.4, 7.5])
_FRONT = PchipInterpolator(_HEIGHTS, [5.2, 4.6, 4.2, 4.3, 5.0, 6.9, 9.6, 10.2, 10.2, 10.5, 10.6, 10.3, 10.2])
_BACK = PchipInterpolator(_HEIGHTS, [5.5, 5.5, 5.6, 5.8, 6.2, 6.6, 7.0, 7.6, 8.2, 8.7, 9.0, 9.2, 9.2])
_NOSE = PchipInterpolator(
    [-1.6, -1.2, -0.9, -0.2, 0.4, 1.6, 2.6, 3.7, 4.8], [0, 0.5, 1.5, 2.3, 2.6, 1.9, 1.25, 0.65, 0.2]
)

# (x, y) of the landmarks of the left half; the right half mirrors them.
_JAW = [
    (7.3, 3.6),
    (7.2, 1.5),
    (6.9, -0.5),
    (6.5, -2.4),
    (5.7, -4.5),
    (4.4, -6.1),
    (3.05, -6.9),
    (1.55, -7.3),
    (0, -7.5),
]
_BROW = [(1.1, 5.6), (2.4, 6.1), (3.8, 6.1), (4.9, 5.8), (5.8, 5.1)]
_BRIDGE = [(0, 3.7), (0, 2.6), (0, 1.6), (0, 0.45)]
_BASE = [(0, -1.2), (0.6, -1.1), (1.25, -1.0)]
_LIP_TOP = [(0, -2.55), (0.75, -2.45), (1.65, -2.8), (MOUTH_HALF, MOUTH_Y)]
_LIP_BOTTOM = [(0, -4.45), (1.0, -4.35), (1.8, -4.0)]


def bump(p: np.ndarray, x: float, y: float, sx: float, sy: float) -> np.ndarray:
    """Gaussian (N,) over x and y of points (N, 3), centred on (x, y), on the front half only."""
    front = 1 / (1 + np.exp(-2 * (p[:, 2] - 1)))
    return front * np.exp(-(((p[:, 0] - x) / sx) ** 2) - ((p[:, 1] - y) / sy) ** 2)


def pair(p: np.ndarray, x: float, y: float, sx: float, sy: float) -> np.ndarray:
    """The bump on both sides of the face."""
    return bump(p, x, y, sx, sy) + bump(p, -x, y, sx, sy)


def surface(angle: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Points (N, 3) of the closed-eyed, closed-mouthed head at azimuth ``angle`` (0 in front) and height
    ``y``."""
    low = np.minimum(y, CROWN_Y)
    close = np.sqrt(np.maximum(1 - (np.maximum(y - CROWN_Y, 0) / CROWN_HEIGHT) ** 2.1, 0))
    depth = np.where(np.cos(angle) > 0, _FRONT(low), _BACK(low))
    p = np.stack([_WIDTH(low) * close * np.sin(angle), y, depth * close * np.cos(angle)], 1)
    x, z = np.abs(p[:, 0]), np.zeros(len(p))
    nose_half = np.interp(y, [-1, 0.4, 3.7], [0.95, 0.85, 0.6])
    nose = np.where((y > -1.6) & (y < 4.8), _NOSE(np.clip(y, -1.6, 4.8)), 0)
    z += nose * np.exp(-((x / nose_half) ** 2)) * (p[:, 2] > 0)
    z += 0.95 * pair(p, 1.05, -0.45, 0.5, 0.55)
    z -= 0.75 * pair(p, 2.7, 3.5, 1.9, 1.15)
    z += 0.45 * pair(p, 3.0, 5.4, 2.4, 0.75) + 0.25 * bump(p, 0, 5.4, 1.5, 0.8)
    z += 0.45 * pair(p, 4.3, 0.7, 1.8, 1.6) - 0.25 * pair(p, 4.4, -2.7, 1.3, 1.5)
    z += 0.5 * bump(p, 0, -3.1, 2.7, 2.0)
    z += 0.45 * bump(p, 0, -2.8, 1.5, 0.42) + 0.5 * bump(p, 0, -3.95, 1.35, 0.45)
    z -= 0.3 * bump(p, 0, MOUTH_Y, 2.6, 0.18) + 0.12 * bump(p, 0, -1.9, 0.35, 0.6)
    z -= 0.45 * bump(p, 0, -5.3, 1.7, 0.45) - 0.65 * bump(p, 0, -6.7, 1.6, 0.9)
    p[:, 2] += z
    ear = np.exp(-(((np.abs(angle) - 1.72) / 0.16) ** 2) - ((y - 1.7) / 2.1) ** 4)
    p[:, 0] += np.sign(p[:, 0]) * 1.5 * ear
    p[:, 2] -= 0.7 * ear
    return p


def eye_profile(x: np.ndarray) -> np.ndarray:
    """0..1 across an eye: 0 at its corners and outside."""
    return np.maximum(1 - ((np.abs(x) - EYE_X) / EYE_HALF) ** 2, 0) ** 0.75


def mouth_profile(x: np.ndarray, power: float = 0.7) -> np.ndarray:
    """0..1 across the mouth: 0 at its corners and outside."""
    return np.maximum(1 - (x / MOUTH_HALF) ** 2, 0) ** power


class _Grid:
    """The grid's vertices before they have places: row, column, and which lip of a slit."""

    def __init__(self) -> None:
        turn = np.linspace(-1, 1, COLUMNS)
        self.angle = np.pi * (0.42 * turn + 0.58 * turn**5)
        crown = CROWN_Y + CROWN_HEIGHT * np.sin(np.linspace(0.42, np.pi / 2, 8))
        self.y = np.concatenate([
            crown[::-1], np.linspace(8.3, 4.9, 8), np.linspace(4.55, EYE_Y, 6), np.linspace(3.0, -1.9, 15),
            np.linspace(-2.15, MOUTH_Y, 6), np.linspace(-3.6, -4.9, 6), np.linspace(-5.4, -8.6, 7),
            [-9.6, -11, -12.5, -14.5, -16.5, -19],
        ])  # fmt: skip
        eye_row = int(np.argmin(np.abs(self.y - EYE_Y)))
        mouth_row = int(np.argmin(np.abs(self.y - MOUTH_Y)))
        x = surface(self.angle, np.full(COLUMNS, EYE_Y))[:, 0]
        front = np.abs(self.angle) < 1.2
        eyes = front & (np.abs(np.abs(x) - EYE_X) < EYE_HALF)
        x = surface(self.angle, np.full(COLUMNS, MOUTH_Y))[:, 0]
        mouth = front & (np.abs(x) < MOUTH_HALF)
        rows = len(self.y)
        self.index = np.arange(rows * COLUMNS).reshape(rows, COLUMNS)
        self.row, self.column = (a.ravel() for a in np.indices(self.index.shape))
        self.below = self.index.copy()  # the copy that the quads below a row use
        extra = rows * COLUMNS
        for row, columns in ((eye_row, eyes), (mouth_row, mouth)):
            where = np.flatnonzero(columns)
            self.below[row, where] = extra + np.arange(len(where))
            extra += len(where)
            self.row = np.concatenate([self.row, np.full(len(where), row)])
            self.column = np.concatenate([self.column, where])
        lower = np.arange(extra) >= rows * COLUMNS
        self.under_eye = (self.row > eye_row) | (lower & (self.row == eye_row))
        self.under_mouth = (self.row > mouth_row) | (lower & (self.row == mouth_row))

    def triangles(self) -> np.ndarray:
        a, b = self.below[:-1, :-1], self.below[:-1, 1:]
        c, d = self.index[1:, :-1], self.index[1:, 1:]
        return np.concatenate([np.stack(t, -1).reshape(-1, 3) for t in ((a, c, b), (b, c, d))])

    def vertices(self) -> np.ndarray:
        """Places (N, 3) with open eyes; the mouth is closed."""
        y, angle = self.y[self.row], self.angle[self.column]
        x = surface(angle, y)[:, 0]
        near = np.maximum(1 - np.abs(y - EYE_Y) / 1.7, 0) * (np.abs(angle) < 1.2)
        y = y + near * eye_profile(x) * np.where(self.under_eye, -0.3, 0.66)
        y = y + 0.12 * np.maximum(1 - np.abs(y - EYE_Y) / 2, 0) * np.clip(
            (np.abs(x) - EYE_X) / EYE_HALF, -1, 1
        )
        bow = 0.06 * np.cos(2.6 * x) * mouth_profile(x) * np.maximum(1 - np.abs(y - MOUTH_Y) / 1.5, 0)
        return surface(angle, y + np.where(np.abs(angle) < 1.2, bow, 0))


def _strip(outline: np.ndarray, top: np.ndarray, bottom: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A wall of quads facing outwards along ``outline`` (K, 2) of (x, z), from height ``bottom`` to
    ``top`` (K,)."""
    k = len(outline)
    points = np.concatenate([np.c_[outline[:, 0], h, outline[:, 1]] for h in (top, bottom)])
    i = np.arange(k - 1)
    triangles = np.concatenate([np.stack([i, i + k, i + 1], 1), np.stack([i + 1, i + k, i + k + 1], 1)])
    return points, triangles


def _eyeball(centre: np.ndarray, rings: int = 9, spokes: int = 20) -> tuple[np.ndarray, np.ndarray]:
    """The front half of a sphere; (V, 3) and (T, 3)."""
    polar, around = np.meshgrid(
        np.linspace(0.01, 1.5, rings), np.linspace(0, 2 * np.pi, spokes + 1), indexing="ij"
    )
    points = np.stack([np.sin(polar) * np.cos(around), np.sin(polar) * np.sin(around), np.cos(polar)], -1)
    index = np.arange(rings * (spokes + 1)).reshape(rings, spokes + 1)
    a, b, c, d = index[:-1, :-1], index[:-1, 1:], index[1:, :-1], index[1:, 1:]
    triangles = np.concatenate([np.stack(t, -1).reshape(-1, 3) for t in ((a, c, b), (b, c, d))])
    return centre + EYE_RADIUS * points.reshape(-1, 3), triangles


def _assemble() -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, _Grid]:
    """Vertices, triangles, material, and for each vertex its part (0 skin, 1 upper inside, 2 lower inside)."""
    grid = _Grid()
    parts = [(grid.vertices(), grid.triangles(), SKIN, 0)]
    for centre, kind in zip(EYE_CENTRES, (EYE_RIGHT, EYE_LEFT), strict=True):
        parts.append((*_eyeball(centre), kind, 1))
        x = np.linspace(centre[0] - 1.7, centre[0] + 1.7, 4)
        flat = np.full(4, 1.0)
        parts.append(
            (*_strip(np.c_[x, 7.7 - 0.25 * np.abs(x - EYE_X * np.sign(x))], 5 * flat, 1.8 * flat), MOUTH, 1)
        )
    b = np.linspace(-1.35, 1.35, 15)
    arch = np.c_[2.3 * np.sin(b), 7.4 + 2.9 * np.cos(b)]
    one = np.ones(len(b))
    parts.append((*_strip(arch, -2.6 * one, MOUTH_Y * one - 0.12), TEETH, 1))
    parts.append((*_strip(arch * [0.95, 0.985], MOUTH_Y * one - 0.2, -4.3 * one), TEETH, 2))
    parts.append((*_strip(arch * [1.25, 1] - [0, 2.2], -1.5 * one, -8.0 * one), MOUTH, 1))
    vertices, triangles, material, part, start = [], [], [], [], 0
    for points, faces, kind, where in parts:
        vertices.append(points)
        triangles.append(faces + start)
        material.append(np.full(len(faces), kind, np.uint8))
        part.append(np.full(len(points), where))
        start += len(points)
    return (
        np.concatenate(vertices).astype(np.float32),
        np.concatenate(triangles).astype(np.int32),
        np.concatenate(material),
        np.concatenate(part),
        grid,
    )


def _action_units(p: np.ndarray, part: np.ndarray, grid: _Grid) -> dict[int, np.ndarray]:
    """Displacement (N, 3) of each AU at intensity 5, both sides together, as FACS describes them."""
    skin = (part == 0).astype(float)
    pad = np.zeros(len(p) - len(grid.row), bool)
    under_eye, under_mouth = np.concatenate([grid.under_eye, pad]), np.concatenate([grid.under_mouth, pad])
    x, y = p[:, 0], p[:, 1]
    side = np.sign(x)
    over_eye = skin * ~under_eye
    front = skin / (1 + np.exp(-2 * (p[:, 2] - 2)))

    def move(weight: np.ndarray, dx: float = 0, dy: float = 0, dz: float = 0) -> np.ndarray:
        """``dx`` is away from the middle of the face."""
        return (skin * weight)[:, None] * np.stack([dx * side, np.full(len(p), dy), np.full(len(p), dz)], 1)

    # Lids: the edge moves by its share of the opening, the skin behind it follows less and less.
    height = np.abs(y - EYE_Y)
    lid = front * eye_profile(x) * np.clip(1.55 - 0.75 * height, 0, 1)
    upper_lid, lower_lid = lid * ~under_eye, lid * under_eye
    lip_up = front * mouth_profile(x) * ~under_mouth * np.clip(1.2 - 0.8 * (y - MOUTH_Y), 0, 1)
    lip_down = front * mouth_profile(x) * under_mouth * np.clip(1.2 - 0.8 * (MOUTH_Y - y), 0, 1)
    chin = (
        np.clip((MOUTH_Y - 0.1 - y) / 1.6, 0, 1) * np.exp(-((x / 5.2) ** 4)) * np.clip((y + 11.5) / 3, 0, 1)
    )
    jaw = front * under_mouth * np.maximum(mouth_profile(x, 0.5) * np.clip((y + 6) / 2, 0, 1), chin)
    jaw = np.where(part == 2, 1.0, jaw)
    corner = pair(p, 2.4, MOUTH_Y, 1.1, 1.0)
    inner_brow, outer_brow = pair(p, 1.5, 6.0, 1.5, 1.5), pair(p, 4.8, 6.0, 1.6, 1.6)
    jaw_drop = jaw[:, None] * np.array([0, -2.2, -0.5])
    return {
        1: move(over_eye * inner_brow, dy=1.5) + move(over_eye * bump(p, 0, 6.0, 1.2, 1.5), dy=0.6),
        2: move(over_eye * outer_brow, dy=1.6) + move(over_eye * pair(p, 3.2, 6.2, 1.2, 1.4), dy=0.4),
        4: move(over_eye * pair(p, 2.0, 5.8, 2.4, 1.1), dx=-0.6, dy=-1.0, dz=0.15),
        5: move(upper_lid, dy=0.42) + move(lower_lid, dy=-0.05),
        6: move(pair(p, 3.6, 1.2, 2.2, 1.4), dy=0.7, dz=0.45) + move(lower_lid, dy=0.2)
        + move(pair(p, 4.9, 3.5, 0.9, 1.2), dx=-0.15, dy=-0.1),
        7: move(lower_lid, dy=0.36) + move(upper_lid, dy=-0.3),
        9: move(pair(p, 1.1, -0.2, 1.2, 1.4), dx=0.2, dy=0.7, dz=0.15)
        + move(over_eye * pair(p, 1.2, 5.4, 1.3, 1.0), dx=-0.15, dy=-0.4) + move(lip_up, dy=0.25),
        10: move(lip_up, dy=0.65, dz=0.1) + move(pair(p, 1.9, -1.4, 1.2, 1.3), dy=0.4, dz=0.15),
        12: move(corner, dx=1.3, dy=1.4, dz=-0.7) + move(pair(p, 4.0, -1.0, 1.6, 1.6), dy=0.4, dz=0.4),
        14: move(corner, dx=0.85, dy=0.2, dz=-0.7),
        15: move(corner, dx=0.3, dy=-1.35, dz=-0.15) + move(pair(p, 2.6, -5.0, 1.0, 1.2), dy=-0.4),
        17: move(lip_down, dy=0.3, dz=0.3) + move(bump(p, 0, -4.4, 2.0, 0.7) * under_mouth, dy=0.3,
            dz=0.1) + move(lip_up, dy=0.3, dz=0.15)
        + move(bump(p, 0, -6.2, 1.8, 1.3), dy=0.7, dz=0.3),
        20: move(corner, dx=1.4, dy=-0.3, dz=-0.7) + move(pair(p, 3.6, -4.6, 1.4, 1.8), dx=0.4),
        23: move(corner, dx=-0.45) + move(front * bump(p, 0, -2.6, 2.0, 0.5) * ~under_mouth, dy=-0.3, dz=-0.3)
        + move(front * bump(p, 0, -4.2, 2.0, 0.5) * under_mouth, dy=0.3, dz=-0.3),
        25: move(lip_up, dy=0.22) + move(lip_down, dy=-0.75),
        26: jaw_drop,
        45: move(upper_lid, dy=-0.84) + move(lower_lid, dy=0.12),
    }  # fmt: skip


def _identity_modes(p: np.ndarray, part: np.ndarray) -> np.ndarray:
    """Displacements (K, N, 3) for one standard deviation; eyeballs move as wholes with the face around them."""
    where = p.copy()
    for centre in EYE_CENTRES:
        near = (part == 1) & (np.linalg.norm(p - centre, axis=1) < EYE_RADIUS * 1.01)
        where[near] = centre + np.array([0, 0, 1])
    x, y, z = where.T
    s, zero = np.sign(x) * np.minimum(np.abs(x), 1), np.zeros(len(p))

    def v(dx: np.ndarray = zero, dy: np.ndarray = zero, dz: np.ndarray = zero) -> np.ndarray:
        return np.stack([dx, dy, dz], 1)

    def b(at_x: float, at_y: float, sx: float, sy: float) -> np.ndarray:
        return pair(where, at_x, at_y, sx, sy) if at_x else bump(where, 0, at_y, sx, sy)

    low = 1 / (1 + np.exp((y + 3.5) / 1.2)) / (1 + np.exp(-(y + 10.5)))
    high = 1 / (1 + np.exp(-(y - 6) / 1.2))
    mouth = b(0, -3.3, 3.4, 2.2)
    eyes = b(3.1, 3.5, 2.2, 2.0)
    nose_low = b(0, -0.2, 1.6, 1.6)
    modes = [
        v(0.045 * x), v(dy=0.035 * y), v(dz=0.04 * z), v(0.06 * x * low), v(dy=-0.45 * low),
            v(dz=0.4 * low * (z > 4)),
        v(0.05 * x * high), v(dy=0.6 * high), v(dz=0.35 * b(0, 8, 5, 2.5)),
        v(0.22 * s * eyes), v(dy=0.22 * eyes), v(dy=0.12 * s * (x - 3.1 * np.sign(x)) * eyes),
            v(dz=-0.25 * eyes),
        v(dz=0.4 * b(0, 1.2, 1.2, 2.4)), v(dz=0.45 * b(0, 0.2, 1.2, 1.1)), v(0.25 * s * b(1.1, -0.5, 0.9,
            1.0)),
        v(dy=-0.35 * nose_low), v(dy=0.3 * b(0, 0.4, 0.8, 0.8)), v(dz=0.35 * b(0, 2.8, 0.9, 1.3)),
        v(0.1 * x * b(0, 2.4, 1.5, 1.6)), v(0.11 * x * mouth), v(dy=0.3 * mouth), v(dz=0.28 * mouth),
        v(dy=0.16 * b(0, -2.6, 1.9, 0.4), dz=0.16 * b(0, -2.7, 1.8, 0.5)),
        v(dy=-0.18 * b(0, -4.2, 1.8, 0.45), dz=0.18 * b(0, -4.1, 1.7, 0.5)),
        v(0.35 * s * b(4.6, 0.6, 2, 1.8), dz=0.3 * b(4.4, 0.6, 2, 1.8)), v(0.4 * s * b(4.8, -3, 1.8, 2.2)),
        v(0.45 * s * b(5.4, -5.0, 1.8, 1.8)), v(dz=0.3 * b(2.6, 5.5, 2.4, 0.9)), v(dy=0.25 * b(3.0, 5.8, 3,
            1.3)),
        v(dz=0.45 * b(0, -6.8, 1.8, 1.3)), v(0.14 * x * b(0, -6.8, 2.6, 1.3)),
            v(0.05 * x / (1 + np.exp(y + 9))),
        v(0.12 * b(0, 0, 2, 6)), v(dy=0.1 * b(3.0, 3.4, 5, 6) * np.sign(x)),
    ]  # fmt: skip
    return np.stack(modes).astype(np.float32)


def _landmarks(p: np.ndarray, grid: _Grid) -> np.ndarray:
    """Vertices (68,) nearest to the places listed above; lids and lips on the right edge of their slit."""
    skin = p[: len(grid.row)]

    def nearest(places: list[tuple[float, float]], allowed: np.ndarray) -> list[int]:
        far = np.where(allowed & (skin[:, 2] > 0), 0, 1e6)
        return [int(np.argmin(((skin[:, :2] - place) ** 2).sum(1) + far)) for place in places]

    def mirrored(places: list[tuple[float, float]]) -> list[tuple[float, float]]:
        return [(-x, y) for x, y in places]

    eye_edge = [(EYE_X + t * EYE_HALF, EYE_Y) for t in (-0.42, 0.42)]
    rest = np.abs(grid.y[grid.row] - EYE_Y) < 1e-6
    lips = np.abs(grid.y[grid.row] - MOUTH_Y) < 1e-6
    every = np.ones(len(skin), bool)
    flat = skin.copy()
    over, under = ~grid.under_eye & rest, grid.under_eye & rest

    def lid(allowed: np.ndarray, x: float) -> int:
        return int(np.argmin(np.abs(flat[:, 0] - x) + np.where(allowed & (flat[:, 2] > 0), 0, 1e6)))

    inner, outer = EYE_X - EYE_HALF, EYE_X + EYE_HALF
    low, high = eye_edge[0][0], eye_edge[1][0]
    eye_right = [
        lid(over, -outer),
        lid(over, -high),
        lid(over, -low),
        lid(over, -inner),
        lid(under, -low),
        lid(under, -high),
    ]
    eye_left = [
        lid(over, inner),
        lid(over, low),
        lid(over, high),
        lid(over, outer),
        lid(under, high),
        lid(under, low),
    ]
    above, beneath = ~grid.under_mouth & lips, grid.under_mouth & lips
    top, bottom = _LIP_TOP, _LIP_BOTTOM
    outline = [*mirrored(top)[:0:-1], *top, *bottom[:0:-1], *mirrored(bottom)]
    inside = [lid(above, x) for x in (-2.15, -1.0, 0, 1.0, 2.15)] + [lid(beneath, x) for x in (1.0, 0, -1.0)]
    return np.array(
        [
            *nearest(mirrored(_JAW)[:-1] + _JAW[::-1], every),
            *nearest(mirrored(_BROW)[::-1] + _BROW, every),
            *nearest(_BRIDGE + mirrored(_BASE)[:0:-1] + _BASE, every),
            *eye_right, *eye_left, *nearest(outline, every), *inside,
        ],
        np.int32,
    )  # fmt: skip


def procedural_head() -> HeadModel:
    """Build the embedded head (about a second, most of it the soft shadows)."""
    vertices, triangles, material, part, grid = _assemble()
    left_right = sides(vertices)
    both = _action_units(vertices, part, grid)
    start, moved, shift = sparse_modes({au: tuple(both[au] * side for side in left_right) for au in AUS})
    skin = np.arange(len(grid.row))
    lids = [
        skin[(np.linalg.norm(vertices[skin] - c, axis=1) < 2.1) & (vertices[skin, 2] > c[2])]
        for c in EYE_CENTRES
    ]
    length = min(map(len, lids))
    return HeadModel(
        name="procedural",
        vertices=vertices,
        triangles=triangles,
        material=material,
        identity_modes=_identity_modes(vertices, part),
        mode_start=start,
        mode_vertex=moved,
        mode_shift=shift,
        landmarks=_landmarks(vertices, grid),
        uv=chart_uv(vertices),
        visibility=sky_visibility(vertices, triangles),
        eye_centres=EYE_CENTRES,
        eye_radius=EYE_RADIUS,
        lid_vertices=np.stack([lid[:length] for lid in lids]).astype(np.int32),
        texels=192,
    )
