"""The face chart: where on the unrolled face the painter finds lips, brows, beard, wrinkles.

It is laid out by the 68 landmarks of a head's neutral mean, so one painter serves every head. Lengths are
centimetres on the face, x to the person's left and y up.
"""

from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise

import cv2
import numpy as np
from scipy.interpolate import PchipInterpolator

from datamodules.generated.head import CHART_HALF, HeadModel
from facegan.faces import AUS, BROW_LEFT, BROW_RIGHT, EYE_LEFT, MOUTH_OUTER

Points = list[tuple[float, float]]


@dataclass(frozen=True)
class Chart:
    """Stencils of a head at one resolution, each (S, S) float32 0..1 unless said otherwise."""

    x: np.ndarray  # cm
    y: np.ndarray  # cm
    marks: np.ndarray  # (68, 2) landmarks, cm
    lips: np.ndarray
    lash: np.ndarray  # rim of the upper lid
    rim: np.ndarray  # rims of both lids
    lid: np.ndarray  # between upper lid and brow
    socket: np.ndarray
    brow_rows: slice  # rows that hold the brows; the next two cover only these
    brow_along: np.ndarray  # 0 at the inner end, 1 at the outer end of the nearer brow
    brow_off: np.ndarray  # cm above the brow's line
    beard: np.ndarray
    moustache: np.ndarray
    goatee: np.ndarray
    cheeks: np.ndarray
    nose: np.ndarray
    nostrils: np.ndarray
    throat: np.ndarray  # 1 on the face, 0 below the chin, where the chart is stretched
    furrows: np.ndarray  # (17, S, S) grooves that each AU draws
    # (17, 4) int32: first and last row and column of each groove, zeros where there is none
    boxes: np.ndarray
    folds: np.ndarray  # grooves of age
    noise: np.ndarray  # (4, S, S) standard noise from coarse to fine


def soft(value: np.ndarray, low: float, high: float) -> np.ndarray:
    """Smooth step from 0 below ``low`` to 1 above ``high``."""
    t = np.clip((value - low) / (high - low), 0, 1)
    return t * t * (3 - 2 * t)


def _polyline(x: np.ndarray, y: np.ndarray, line: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Distance to a polyline (K, 2), share 0..1 along it (extended at both ends), signed height above it."""
    best = np.full(x.shape, np.inf)
    along, above = np.zeros(x.shape), np.zeros(x.shape)
    steps = np.linalg.norm(np.diff(line, axis=0), axis=1)
    walked = np.concatenate([[0], np.cumsum(steps)])
    last = len(steps) - 1
    for k, (a, b) in enumerate(pairwise(line)):
        d = (b - a) / steps[k]
        t = (x - a[0]) * d[0] + (y - a[1]) * d[1]
        inside = np.clip(t, 0, steps[k])
        distance = np.hypot(x - a[0] - inside * d[0], y - a[1] - inside * d[1])
        free = np.clip(t, -9 if k == 0 else 0, steps[k] + (9 if k == last else 0))
        nearer = distance < best
        best = np.where(nearer, distance, best)
        along = np.where(nearer, (walked[k] + free) / walked[-1], along)
        above = np.where(nearer, ((x - a[0]) * -d[1] + (y - a[1]) * d[0]) * np.sign(d[0]), above)
    return best, along, above


def _smooth(line: np.ndarray, points: int = 12) -> np.ndarray:
    return PchipInterpolator(np.arange(len(line)), line)(np.linspace(0, len(line) - 1, points))


def _noise(size: int) -> np.ndarray:
    rng = np.random.default_rng(20)
    layers = []
    for cells in (10, 28, 80, size // 2):
        coarse = rng.normal(size=(cells, cells)).astype(np.float32)
        layer = cv2.resize(coarse, (size, size), interpolation=cv2.INTER_CUBIC)
        layers.append(layer / layer.std())
    return np.stack(layers)


class _Drawing:
    """The chart's plane with tools to draw on it; everything is drawn on both halves of the face."""

    def __init__(self, marks: np.ndarray, size: int) -> None:
        line = (np.arange(size) / (size - 1) * 2 - 1) * CHART_HALF
        self.x, self.y = np.meshgrid(line, -line)
        self.ax = np.abs(self.x)
        self.marks, self.size = marks, size

    def groove(self, points: Points | np.ndarray, width: float) -> np.ndarray:
        """A soft line that fades at its ends."""
        _, along, above = _polyline(self.ax, self.y, _smooth(np.array(points, float)))
        return soft(along, -0.02, 0.2) * (1 - soft(along, 0.8, 1.02)) * np.exp(-((above / width) ** 2))

    def spot(self, at: tuple[float, float], half: tuple[float, float]) -> np.ndarray:
        """A soft ellipse."""
        return np.exp(-(((self.ax - at[0]) / half[0]) ** 2) - ((self.y - at[1]) / half[1]) ** 2)

    def lips(self) -> np.ndarray:
        fine = 4 * self.size
        outline = (self.marks[MOUTH_OUTER] / CHART_HALF * [1, -1] + 1) / 2 * (fine - 1)
        mask = cv2.fillPoly(np.zeros((fine, fine), np.float32), [outline.astype(np.int32)], (1.0,))
        mask = cv2.resize(mask, (self.size, self.size), interpolation=cv2.INTER_AREA)
        return cv2.GaussianBlur(mask, (0, 0), 0.07 * self.size / (2 * CHART_HALF))

    def beards(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Full beard, moustache, goatee."""
        m, ax, y = self.marks, self.ax, self.y
        mouth, corner, nose_low, chin = m[MOUTH_OUTER].mean(0), m[54], m[33], m[8]
        across = [corner[0], corner[0] + 1.6, 8.5, 10.5, 16]
        upper_edge = np.interp(ax, across, [corner[1] + 0.3, corner[1] - 0.4, -0.6, 3.0, 4])
        full = soft(upper_edge - y, -0.6, 1.0) * soft(y, chin[1] - 4.2, chin[1] - 0.8)
        full = full * (1 - soft(ax, 10.3, 11.6))
        middle = (nose_low[1] + m[51, 1]) / 2 - 0.05 * ax
        moustache = np.exp(-(((y - middle) / 0.6) ** 4) - (ax / (corner[0] + 0.35)) ** 6)
        goatee = (
            np.exp(-((ax / 2.3) ** 4))
            * soft(mouth[1] - 0.9 - y, 0, 0.5)
            * soft(y, chin[1] - 2, chin[1] - 0.5)
        )
        goatee = goatee * (1 - 0.7 * np.exp(-((ax / 1.6) ** 4)) * (1 - soft(mouth[1] - 1.1 - y, 0, 0.6)))
        beside = np.exp(-(((ax - corner[0] - 0.35) / 0.42) ** 2) - ((y - corner[1] + 0.6) / 1.5) ** 4)
        return full, moustache, np.maximum(goatee, 0.8 * beside)

    def furrows(self) -> np.ndarray:
        """The grooves (17, S, S) of each AU."""
        m, x, y, ax = self.marks, self.x, self.y, self.ax
        out = np.zeros((len(AUS), self.size, self.size))
        top = m[BROW_LEFT][:, 1].max()
        corner, wing, chin = m[54], m[35], m[8]
        eye, half = m[EYE_LEFT].mean(0), (m[45, 0] - m[42, 0]) / 2

        def add(au: int, groove: np.ndarray) -> None:
            out[AUS.index(au)] = np.maximum(out[AUS.index(au)], groove)

        for k, height in enumerate((1.0, 1.85, 2.7)):
            crease = np.exp(-(((y - top - height + 0.012 * x**2 - 0.1 * np.sin(1.3 * x + k)) / 0.13) ** 2))
            add(1, crease * np.exp(-((x / 2.6) ** 4)))
            add(2, crease * np.exp(-(((ax - 3.6) / 2.0) ** 4)))
        add(4, self.groove([(0.5, top - 1.7), (0.62, top - 0.8), (0.75, top + 0.4)], 0.13))
        add(4, 0.5 * self.groove([(0.1, top - 1.5), (0.12, top - 0.6), (0.15, top + 0.1)], 0.1))
        for k in range(3):
            level = m[28, 1] - 0.5 * k
            add(9, self.groove([(0.0, level + 0.9), (0.5, level + 0.8), (1.1, level + 0.45 - 0.1 * k)], 0.1))
        start = m[45] + [0.3, 0]
        for slope in (0.6, 0.0, -0.55):
            add(6, self.groove(start + np.array([[0, 0], [0.8, slope * 0.7], [1.7, slope * 1.6]]), 0.09))
        under = self.groove(eye + np.array([[-half, -0.75], [0, -1.05], [half, -0.7]]), 0.13)
        add(6, 0.8 * under)
        add(7, 0.5 * under)
        fold = self.groove(
            [
                *(wing + np.array([[0.15, 0.7], [1.0, -0.6]])),
                *(corner + np.array([[0.75, 0.3], [0.7, -0.9]])),
            ],
            0.2,
        )
        for au, strength in ((6, 0.5), (9, 0.7), (10, 0.9), (12, 1.0), (20, 0.4)):
            add(au, strength * fold)
        add(14, 1.5 * self.spot((corner[0] + 0.5, corner[1]), (0.25, 0.65)))
        add(15, self.groove(corner + np.array([[0.1, -0.1], [0.35, -0.8], [0.3, -1.6]]), 0.18))
        add(20, self.groove(corner + np.array([[0.3, 0.5], [0.55, -0.2], [0.4, -1.2]]), 0.16))
        add(17, np.clip(_noise(self.size)[2], 0, 1) * self.spot((0, chin[1] + 1.3), (1.3, 0.8)))
        out[out < 0.004] = 0
        return out


def _boxes(furrows: np.ndarray) -> np.ndarray:
    boxes = np.zeros((len(furrows), 4), np.int32)
    for box, groove in zip(boxes, furrows, strict=True):
        rows, columns = np.flatnonzero(groove.any(1)), np.flatnonzero(groove.any(0))
        if len(rows):
            box[:] = rows[0], rows[-1] + 1, columns[0], columns[-1] + 1
    return boxes


@lru_cache(maxsize=4)
def chart_of(head: HeadModel, size: int) -> Chart:
    """The chart of a head at ``size`` texels, drawn once per process."""
    m = head.chart_landmarks
    d = _Drawing(m, size)
    x, y, ax = d.x, d.y, d.ax
    eye, half = m[EYE_LEFT].mean(0), (m[45, 0] - m[42, 0]) / 2
    upper, lash_along, _ = _polyline(ax, y, _smooth(m[EYE_LEFT][:4]))
    lower, _, _ = _polyline(ax, y, _smooth(m[EYE_LEFT][[0, 5, 4, 3]]))
    brow = (m[BROW_LEFT] + m[BROW_RIGHT][::-1] * [-1, 1]) / 2
    rows = np.flatnonzero(np.abs(y[:, 0] - brow[:, 1].mean()) < 2.2)
    brow_rows = slice(int(rows[0]), int(rows[-1]) + 1)
    _, brow_along, brow_off = _polyline(ax[brow_rows], y[brow_rows], _smooth(brow))
    full, moustache, goatee = d.beards()
    socket = d.spot((eye[0], eye[1] + 0.15), (1.35 * half, 1.1))
    furrows = d.furrows()
    nasolabial, between, forehead, crow = (furrows[AUS.index(au)] for au in (12, 4, 1, 6))

    def single(a: np.ndarray) -> np.ndarray:
        return np.ascontiguousarray(a, np.float32)

    return Chart(
        x=single(x),
        y=single(y),
        marks=m,
        lips=single(d.lips()),
        lash=single(np.exp(-((upper / 0.13) ** 2)) * soft(lash_along, -0.3, 0.3)),
        rim=single(np.exp(-((np.minimum(upper, lower) / 0.22) ** 2))),
        lid=single(socket**1.5 * soft(y, m[42, 1] - 0.2, m[42, 1] + 0.1)),
        socket=single(socket),
        brow_rows=brow_rows,
        brow_along=single(brow_along),
        brow_off=single(brow_off),
        beard=single(full),
        moustache=single(moustache),
        goatee=single(goatee),
        cheeks=single(d.spot((eye[0] + 0.9, m[30, 1] + 0.2), (2.1, 1.6))),
        nose=single(d.spot((0, m[30, 1]), (1.5, 1.3))),
        nostrils=single(d.spot((0.55 * m[35, 0], m[33, 1] + 0.12), (0.32, 0.17))),
        throat=single(soft(y, m[8, 1] - 1.0, m[8, 1] + 0.3)),
        furrows=single(furrows),
        boxes=_boxes(furrows),
        folds=single(np.maximum.reduce([0.9 * nasolabial, 0.5 * between, 0.6 * forehead, 0.7 * crow])),
        noise=_noise(size),
    )
