"""The painter: a person's skin, lips, brows, beard and make-up as a texture over the face chart.

The chart is laid out by the 68 landmarks of the head's neutral mean, so one painter serves every head. All
lengths are centimetres on the face; colours are mixed in sRGB and handed over in linear light.
"""

import colorsys
from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np

from datamodules.generated.head import CHART_HALF, HeadModel
from datamodules.generated.person import Person
from facegan.faces import AUS, BROW_LEFT, BROW_RIGHT, EYE_LEFT, MOUTH_OUTER

SKIN_RAMP = np.array([
    [0.95, 0.80, 0.72], [0.90, 0.72, 0.61], [0.80, 0.60, 0.47], [0.66, 0.46, 0.34], [0.50, 0.33, 0.23],
    [0.36, 0.23, 0.16], [0.25, 0.16, 0.12],
])  # fmt: skip
HAIR_RAMP = np.array(
    [
        [0.86, 0.74, 0.52],
        [0.70, 0.53, 0.32],
        [0.46, 0.31, 0.18],
        [0.28, 0.18, 0.11],
        [0.15, 0.10, 0.07],
        [0.06, 0.05, 0.05],
    ]
)
IRIS_RAMP = np.array(
    [[0.36, 0.52, 0.68], [0.40, 0.54, 0.48], [0.46, 0.42, 0.24], [0.36, 0.22, 0.10], [0.17, 0.09, 0.05]]
)


def ramp(colours: np.ndarray, value: float) -> np.ndarray:
    """A colour (3,) at ``value`` 0..1 along a table (K, 3)."""
    place = np.linspace(0, 1, len(colours))
    return np.array([np.interp(value, place, colours[:, c]) for c in range(3)])


def linear(colour: np.ndarray) -> np.ndarray:
    """sRGB-like 0..1 to linear light, with the renderer's gamma of 2."""
    return np.asarray(colour, np.float32) ** 2


def hair_colour(person: Person) -> np.ndarray:
    """sRGB (3,) of the hair on the head."""
    if person.dye >= 0:
        return np.array(colorsys.hsv_to_rgb(person.dye, 0.55, 0.55))
    colour = ramp(HAIR_RAMP, person.hair_pigment)
    colour = colour + person.hair_red * (np.array([0.50, 0.21, 0.08]) - colour) * 0.8
    grey = person.grey * min(1.0, person.age * 1.6)
    return colour + grey * (np.array([0.68, 0.67, 0.66]) - colour)


@dataclass(frozen=True)
class Chart:
    """What the painter needs of a head at one resolution; every array is (S, S) float32 unless said otherwise."""

    size: int
    x: np.ndarray  # cm to the person's left
    y: np.ndarray  # cm up
    marks: np.ndarray  # (68, 2) landmarks in the same centimetres
    lips: np.ndarray
    lash: np.ndarray  # near the rim of the upper lid
    rim: np.ndarray  # near the rim of either lid
    socket: np.ndarray
    brow_along: np.ndarray  # 0 at the inner end, 1 at the outer end of the nearer brow
    brow_off: np.ndarray  # cm above the brow's line
    beard: np.ndarray
    moustache: np.ndarray
    goatee: np.ndarray
    cheeks: np.ndarray
    nose: np.ndarray
    nostrils: np.ndarray
    furrows: np.ndarray  # (17, S, S) grooves that each AU draws, 0..1
    folds: np.ndarray  # grooves of age
    noise: np.ndarray  # (4, S, S) standard noise from coarse to fine


def _segments(x: np.ndarray, y: np.ndarray, line: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Distance to a polyline (K, 2), share 0..1 along it, and signed height above it, for every texel."""
    best = np.full(x.shape, np.inf, np.float32)
    along, above = np.zeros_like(x), np.zeros_like(x)
    steps = np.linalg.norm(np.diff(line, axis=0), axis=1)
    walked = np.concatenate([[0], np.cumsum(steps)])
    last = len(steps) - 1
    for k, (a, b) in enumerate(zip(line[:-1], line[1:], strict=True)):
        d = (b - a) / steps[k]
        t = (x - a[0]) * d[0] + (y - a[1]) * d[1]
        inside = np.clip(t, 0, steps[k])
        distance = np.hypot(x - a[0] - inside * d[0], y - a[1] - inside * d[1])
        free = np.clip(t, -9 if k == 0 else 0, steps[k] + (9 if k == last else 0))
        nearer = distance < best
        best = np.where(nearer, distance, best)
        along = np.where(nearer, (walked[k] + free) / walked[-1], along)
        height = (x - a[0]) * -d[1] + (y - a[1]) * d[0]
        above = np.where(nearer, height * np.sign(d[0]), above)
    return best, along.astype(np.float32), above.astype(np.float32)


def _smooth(line: np.ndarray, points: int = 12) -> np.ndarray:
    from scipy.interpolate import PchipInterpolator

    t = np.arange(len(line))
    return PchipInterpolator(t, line)(np.linspace(0, len(line) - 1, points))


def _soft(value: np.ndarray, low: float, high: float) -> np.ndarray:
    t = np.clip((value - low) / (high - low), 0, 1)
    return t * t * (3 - 2 * t)


def _noise(size: int) -> np.ndarray:
    rng = np.random.default_rng(20)
    layers = []
    for cells in (10, 28, 80, size // 2):
        layer = cv2.resize(
            rng.normal(size=(cells, cells)).astype(np.float32), (size, size), interpolation=cv2.INTER_CUBIC
        )
        layers.append(layer / layer.std())
    return np.stack(layers).astype(np.float32)


@lru_cache(maxsize=4)
def _chart(name: str, marks: tuple[tuple[float, float], ...], size: int) -> Chart:
    del name
    m = np.array(marks)
    line = (np.arange(size, dtype=np.float32) / (size - 1) * 2 - 1) * CHART_HALF
    x, y = np.meshgrid(line, -line)
    ax = np.abs(x)

    def groove(points: list[tuple[float, float]] | np.ndarray, width: float) -> np.ndarray:
        """A soft line on the person's left, and its mirror image."""
        _, along, above = _segments(ax, y, _smooth(np.array(points, float)))
        ends = _soft(along, -0.02, 0.2) * (1 - _soft(along, 0.8, 1.02))
        return ends * np.exp(-((above / width) ** 2))

    outline = ((m[MOUTH_OUTER] / CHART_HALF * [1, -1] + 1) / 2 * (size * 4 - 1)).astype(np.int32)
    lips = cv2.fillPoly(np.zeros((size * 4, size * 4), np.float32), [outline], 1.0)
    lips = cv2.GaussianBlur(
        cv2.resize(lips, (size, size), interpolation=cv2.INTER_AREA), (0, 0), 0.07 * size / 32
    )

    upper, lower = m[EYE_LEFT][:4], m[EYE_LEFT][[0, 5, 4, 3]]
    lash_distance, lash_along, lash_above = _segments(ax, y, _smooth(upper))
    low_distance, _, _ = _segments(ax, y, _smooth(lower))
    eye = m[EYE_LEFT].mean(0)
    half = (m[45, 0] - m[42, 0]) / 2
    brow = (m[BROW_LEFT] + m[BROW_RIGHT][::-1] * [-1, 1]) / 2
    _, brow_along, brow_off = _segments(ax, y, _smooth(brow))
    del lash_above

    mouth, corner, nose_low, chin = m[MOUTH_OUTER].mean(0), m[54], m[33], m[8]
    side = np.interp(
        ax, [corner[0], corner[0] + 1.6, 8.5, 10.5, 16], [corner[1] + 0.3, corner[1] - 0.2, 0.2, 3.5, 5]
    )
    beard = _soft(side - y, -0.4, 0.8) * _soft(y, chin[1] - 5, chin[1] - 1.2) * (1 - _soft(ax, 10.3, 11.6))
    moustache = np.exp(-(((y - (nose_low[1] + m[51, 1]) / 2) / 0.62) ** 4)) * np.exp(
        -((ax / (corner[0] + 0.35)) ** 6)
    )
    goatee = (
        np.exp(-((ax / 2.3) ** 4))
        * _soft(mouth[1] - 0.9 - y, 0, 0.4)
        * _soft(y, chin[1] - 2.2, chin[1] - 0.6)
    )
    below_lip = np.exp(-((ax / 1.6) ** 4)) * (1 - _soft(mouth[1] - 1.1 - y, 0, 0.6)) * (y < mouth[1])
    goatee = np.maximum(goatee * (1 - 0.7 * below_lip), 0.8 * np.exp(-(((ax - corner[0] - 0.35) / 0.4) ** 2))
                        * (np.abs(y - corner[1] + 0.6) < 1.6))  # fmt: skip
    nose_tip, wing = m[30], m[35]
    nostrils = np.exp(-(((ax - 0.55 * wing[0]) / 0.32) ** 2) - ((y - nose_low[1] - 0.12) / 0.17) ** 2)
    cheeks = np.exp(-(((ax - eye[0] - 0.9) / 2.1) ** 2) - ((y - nose_tip[1] - 0.2) / 1.6) ** 2)
    nose = np.exp(-((x / 1.5) ** 2) - ((y - nose_tip[1]) / 1.3) ** 2)

    furrows = np.zeros((len(AUS), size, size), np.float32)
    top = brow[:, 1].max()

    def furrow(au: int, value: np.ndarray) -> None:
        furrows[AUS.index(au)] = np.maximum(furrows[AUS.index(au)], value)

    for k, height in enumerate((1.0, 1.85, 2.7)):
        wave = y - (top + height - 0.012 * x**2 + 0.1 * np.sin(1.3 * x + k))
        crease = np.exp(-((wave / 0.13) ** 2))
        furrow(1, crease * np.exp(-((x / 2.6) ** 4)))
        furrow(2, crease * np.exp(-(((ax - 3.6) / 2.0) ** 4)))
    furrow(4, groove([(0.5, top - 1.7), (0.62, top - 0.8), (0.75, top + 0.4)], 0.13))
    furrow(4, 0.5 * groove([(0.1, top - 1.5), (0.12, top - 0.6), (0.15, top + 0.1)], 0.1))
    for k in range(3):
        furrow(
            9,
            groove(
                [
                    (0.0, m[28, 1] + 0.9 - 0.5 * k),
                    (0.5, m[28, 1] + 0.8 - 0.5 * k),
                    (1.1, m[28, 1] + 0.45 - 0.6 * k),
                ],
                0.1,
            ),
        )
    crow = m[45] + [0.3, 0]
    for slope in (0.55, 0.0, -0.5):
        furrow(
            6, groove([tuple(crow), tuple(crow + [0.8, slope * 0.7]), tuple(crow + [1.7, slope * 1.6])], 0.09)
        )
    under = [(eye[0] - half, eye[1] - 0.75), (eye[0], eye[1] - 1.05), (eye[0] + half, eye[1] - 0.7)]
    furrow(6, 0.8 * groove(under, 0.13))
    furrow(7, 0.6 * groove(under, 0.1))
    fold = [
        (wing[0] + 0.15, wing[1] + 0.7),
        (wing[0] + 1.0, wing[1] - 0.6),
        tuple(corner + [0.75, 0.3]),
        tuple(corner + [0.7, -0.9]),
    ]
    nasolabial = groove(fold, 0.2)
    for au, strength in ((6, 0.5), (9, 0.7), (10, 0.9), (12, 1.0), (20, 0.4)):
        furrow(au, strength * nasolabial)
    furrow(14, np.exp(-(((ax - corner[0] - 0.45) / 0.2) ** 2) - ((y - corner[1]) / 0.5) ** 2))
    furrow(
        15,
        groove(
            [tuple(corner + [0.1, -0.1]), tuple(corner + [0.35, -0.8]), tuple(corner + [0.3, -1.6])], 0.18
        ),
    )
    furrow(
        20,
        groove([tuple(corner + [0.3, 0.5]), tuple(corner + [0.55, -0.2]), tuple(corner + [0.4, -1.2])], 0.16),
    )
    dimples = _noise(size)[2] * np.exp(-((x / 1.3) ** 2) - ((y - chin[1] - 1.3) / 0.8) ** 2)
    furrow(17, np.clip(dimples, 0, 1))
    folds = np.maximum(0.9 * nasolabial, 0.6 * furrows[0] + 0.5 * furrows[4])
    folds = np.maximum(folds, np.maximum(0.5 * furrows[1], 0.7 * furrows[2]))

    def single(a: np.ndarray) -> np.ndarray:
        return np.ascontiguousarray(a, np.float32)

    return Chart(
        size=size, x=x, y=y, marks=m, lips=single(lips),
        lash=single(np.exp(-((lash_distance / 0.13) ** 2)) * _soft(lash_along, -0.3, 0.3)),
        rim=single(np.exp(-((np.minimum(lash_distance, low_distance) / 0.22) ** 2))),
        socket=single(np.exp(-(((ax - eye[0]) / (1.35 * half)) ** 2) - ((y - eye[1] - 0.15) / 1.1) ** 2)),
        brow_along=single(brow_along), brow_off=single(brow_off), beard=single(beard), moustache=single(moustache),
        goatee=single(goatee), cheeks=single(cheeks), nose=single(nose), nostrils=single(nostrils),
        furrows=furrows, folds=single(folds), noise=_noise(size),
    )  # fmt: skip


def chart_of(head: HeadModel, size: int) -> Chart:
    """The chart of a head at ``size`` texels, worked out once."""
    return _chart(head.name, tuple(map(tuple, head.chart_landmarks.round(4).tolist())), size)


def paint_skin(head: HeadModel, person: Person, size: int = 256) -> np.ndarray:
    """Texture (S, S, 4) float32 of the face chart: linear albedo, and height in cm."""
    c = chart_of(head, size)
    rng = np.random.default_rng([person.seed, 11])
    noise = [np.roll(n, tuple(rng.integers(0, size, 2)), (0, 1)) for n in c.noise]
    base = ramp(SKIN_RAMP, person.skin)
    warm, gold = person.redness, person.yellowness
    base = base * np.array([1 + 0.018 * warm, 1 - 0.012 * warm, 1 - 0.012 * warm - 0.03 * gold])
    colour = np.empty((size, size, 3), np.float32)
    uneven = person.unevenness * (0.022 * noise[0] + 0.018 * noise[1] + 0.008 * noise[2])
    flush = (0.05 + 0.09 * person.ruddy) * (0.8 * c.cheeks + c.nose) * (
        1.1 - 0.6 * person.skin
    ) + 0.25 * person.blush * c.cheeks
    flush = flush + person.unevenness * 0.02 * noise[1]
    for k, (tint, even) in enumerate(((0.25, 0.7), (-0.8, 1.1), (-0.6, 1.2))):
        colour[..., k] = base[k] * (1 + even * uneven + tint * flush)

    def blend(mask: np.ndarray, target: np.ndarray) -> None:
        nonlocal colour
        colour += np.clip(mask, 0, 1)[..., None] * (np.asarray(target, np.float32) - colour)

    rings = (0.08 + 0.22 * person.eye_rings) * c.socket
    blend(rings, base * [0.62, 0.48, 0.5])
    if person.eye_shadow:
        lid = c.socket**1.5 * (c.y > c.marks[42, 1] - 0.1)
        blend(person.eye_shadow * 0.75 * lid, np.array(colorsys.hsv_to_rgb(person.shadow_hue, 0.45, 0.45)))
    if person.freckles:
        spots = _soft(noise[2] + 0.4 * noise[3], 1.35, 1.9) * np.clip(
            1.2 * c.cheeks + 1.2 * c.nose + 0.15, 0, 1
        )
        blend(0.55 * person.freckles * spots, base * [0.66, 0.5, 0.4])
    for _ in range(person.moles):
        at, radius = rng.uniform([-7, -6], [7, 9]), rng.uniform(0.09, 0.2)
        blend(
            0.8 * np.exp(-((((c.x - at[0]) ** 2 + (c.y - at[1]) ** 2) / radius**2) ** 2)),
            base * [0.4, 0.3, 0.27],
        )

    hair = hair_colour(person)
    dark = np.minimum(hair if person.dye < 0 else ramp(HAIR_RAMP, person.hair_pigment), base)
    whisker = np.clip(0.75 + 0.25 * noise[3], 0, 1)
    region = np.maximum(c.beard, c.moustache)
    shadow = 0.5 * person.stubble * region * whisker
    grown = np.maximum.reduce([
        person.moustache * c.moustache, person.chin_beard * c.goatee, person.full_beard * c.beard
    ])  # fmt: skip
    blend(shadow * (1 - 0.5 * person.skin), dark * 0.6 + base * 0.12)
    grown = _soft(grown + 0.12 * noise[3] * (grown > 0.02), 0.12, 0.5) * (0.85 + 0.1 * noise[3])
    blend(grown, dark * 0.85)

    lip = base * [0.88, 0.58, 0.56] * (1.05 - 0.28 * person.lip_depth) + 0.03 * person.lip_hue * np.array(
        [1, 0, 0.5]
    )
    stick = np.array(
        colorsys.hsv_to_rgb((0.9 + 0.16 * person.lipstick_hue) % 1, 0.72, 0.5 + 0.25 * (1 - person.skin))
    )
    blend(c.lips * (0.85 + 0.04 * noise[2]), lip + person.lipstick * 0.85 * (stick - lip))
    blend(0.75 * c.nostrils, base * [0.3, 0.2, 0.18])
    blend(
        (0.25 + 0.5 * person.eyeliner) * c.rim * (c.rim > 0.05) + 0.0,
        base * [0.55, 0.38, 0.35] * (1 - 0.6 * person.eyeliner),
    )
    blend(
        (0.45 + 0.45 * person.eyeliner + 0.15 * (person.sex == "female")) * c.lash,
        np.array([0.07, 0.05, 0.045]),
    )

    arch = person.brow_arch * np.sin(np.pi * np.clip(c.brow_along, 0, 1)) + person.brow_height - 0.15
    taper = np.interp(c.brow_along, [0, 0.25, 0.7, 1.0], [0.8, 1.0, 0.75, 0.25])
    inside = np.exp(-(((c.brow_off - arch) / (person.brow_width * taper)) ** 4))
    start = -0.06 - 0.5 * person.unibrow
    inside = (
        inside
        * _soft(c.brow_along, start, start + 0.16)
        * (1 - _soft(c.brow_along, person.brow_length - 0.2, person.brow_length))
    )
    inside = inside * np.clip(0.86 + 0.22 * noise[3] + 0.1 * noise[2], 0, 1)
    brow = np.clip(np.minimum(hair, 0.5) * (0.75 + 0.4 * person.brow_pigment), 0.03, 0.7)
    blend(inside * person.brow_density, np.minimum(brow, base * 0.7))

    age = person.age * (0.4 + 0.6 * person.wrinkles)
    crease = age * c.folds
    colour *= (1 - 0.16 * crease)[..., None]
    _scalp(colour, c, person, hair, noise)
    cloth = _soft(-9.7 - 0.035 * c.x**2 * 0 - c.y, 0, 0.12)
    blend(cloth, person.clothes * (1 + 0.04 * noise[3].mean()))

    height = -0.055 * crease + 0.004 * noise[2] + (0.004 + 0.006 * person.unevenness) * noise[3] * (1 - cloth)
    height = height + 0.05 * grown * (1 + 0.3 * noise[3]) + 0.02 * inside
    return np.ascontiguousarray(np.dstack([linear(np.clip(colour, 0.01, 1)), height]), np.float32)


def hairline(c_x: np.ndarray, person: Person, top: float) -> np.ndarray:
    """Height in chart cm of the painted hairline at each place across the face."""
    ax = np.abs(c_x)
    middle = top + person.hairline + 1.2 * person.recession
    temples = 1.6 * person.recession * np.exp(-(((ax - 5) / 2) ** 2))
    return (
        np.interp(
            ax,
            [0, 4, 7, 9.2, 10.2, 11.3, 12.2, 16],
            [middle, middle - 0.2, middle - 1.6, 5.8, 4.0, 3.4, 6.4, 7],
        )
        + temples
    )


def _scalp(colour: np.ndarray, c: Chart, person: Person, hair: np.ndarray, noise: list[np.ndarray]) -> None:
    density = {"bald": 0.12, "horseshoe": 0.3, "buzz": 0.8}.get(person.hair_style, 0.9)
    top = c.marks[BROW_LEFT][:, 1].max() + 4.6
    mask = _soft(c.y - hairline(c.x, person, top) + 0.25 * noise[2], -0.5, 0.5) * density
    if person.hair_style == "horseshoe":
        mask = mask * (0.1 + 0.9 * _soft(np.abs(c.x), 8, 10))
    colour += (mask * np.clip(0.9 + 0.12 * noise[3], 0, 1))[..., None] * (
        hair.astype(np.float32) * 0.8 - colour
    )
