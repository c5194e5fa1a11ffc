"""The painter: a person's skin, lips, brows, beard and make-up as a texture over the face chart.

Colours are mixed in sRGB and handed over in linear light.
"""

import colorsys

import numpy as np

from datamodules.generated import shading
from datamodules.generated.chart import Chart, chart_of, soft
from datamodules.generated.head import HeadModel
from datamodules.generated.person import Person
from facegan.faces import BROW_LEFT

SKIN_RAMP = np.array([
    [0.95, 0.80, 0.72], [0.90, 0.72, 0.61], [0.80, 0.60, 0.47], [0.66, 0.46, 0.34], [0.50, 0.33, 0.23],
    [0.36, 0.23, 0.16], [0.25, 0.16, 0.12],
])  # fmt: skip
HAIR_RAMP = np.array([
    [0.86, 0.74, 0.52], [0.70, 0.53, 0.32], [0.46, 0.31, 0.18], [0.28, 0.18, 0.11], [0.15, 0.10, 0.07],
    [0.06, 0.05, 0.05],
])  # fmt: skip
IRIS_RAMP = np.array([
    [0.36, 0.52, 0.68], [0.40, 0.54, 0.48], [0.46, 0.42, 0.24], [0.36, 0.22, 0.10], [0.17, 0.09, 0.05]
])  # fmt: skip
COLLAR = -9.7


def ramp(colours: np.ndarray, value: float) -> np.ndarray:
    """A colour (3,) at ``value`` 0..1 along a table (K, 3)."""
    place = np.linspace(0, 1, len(colours))
    return np.array([np.interp(value, place, colours[:, c]) for c in range(3)])


def linear(colour: np.ndarray | list[float]) -> np.ndarray:
    """sRGB-like 0..1 to linear light, with the renderer's gamma of 2."""
    return np.square(np.asarray(colour, np.float32))


def hair_colour(person: Person) -> np.ndarray:
    """sRGB (3,) of the hair on the head."""
    if person.dye >= 0:
        return np.array(colorsys.hsv_to_rgb(person.dye, 0.55, 0.5))
    colour = ramp(HAIR_RAMP, person.hair_pigment)
    colour = colour + person.hair_red * (np.array([0.50, 0.21, 0.08]) - colour) * 0.8
    grey = person.grey * min(1.0, person.age * 1.6)
    return colour + grey * (np.array([0.68, 0.67, 0.66]) - colour)


class _Canvas:
    """A person's texture while it is painted: ``colour`` (S, S, 3) sRGB and ``height`` (S, S) cm."""

    def __init__(self, chart: Chart, person: Person) -> None:
        size = len(chart.x)
        rng = np.random.default_rng([person.seed, 11])
        self.chart, self.person, self.rng = chart, person, rng
        self.noise = [np.roll(n, tuple(rng.integers(0, size, 2)), (0, 1)) for n in chart.noise]
        base = ramp(SKIN_RAMP, person.skin)
        warm, gold = person.redness, person.yellowness
        self.base = base * np.array([1 + 0.018 * warm, 1 - 0.012 * warm, 1 - 0.012 * warm - 0.03 * gold])
        self.hair = hair_colour(person)
        natural = self.hair if person.dye < 0 else ramp(HAIR_RAMP, person.hair_pigment)
        self.whiskers = np.minimum(natural, self.base)
        self.colour = np.empty((size, size, 3), np.float32)
        self.height = (
            0.004 * self.noise[2] + (0.003 + 0.005 * person.unevenness) * self.noise[3]
        ) * chart.throat

    def blend(self, mask: np.ndarray, target: np.ndarray, strength: float = 1.0) -> None:
        shading.blend(self.colour, mask, np.float32(strength), np.asarray(target, np.float32))

    def skin(self) -> None:
        """Tone, unevenness, flush, rings under the eyes, freckles, moles."""
        c, p, base = self.chart, self.person, self.base
        uneven = (0.022 * self.noise[0] + 0.018 * self.noise[1] + 0.008 * self.noise[2]) * c.throat
        uneven *= p.unevenness
        flush = (0.05 + 0.09 * p.ruddy) * (1.1 - 0.6 * p.skin) * (0.8 * c.cheeks + c.nose)
        flush += 0.22 * p.blush * c.cheeks + 0.02 * p.unevenness * self.noise[1]
        for k, (tint, even) in enumerate(((0.25, 0.7), (-0.8, 1.1), (-0.6, 1.2))):
            self.colour[..., k] = base[k] * (1 + even * uneven + tint * flush)
        self.blend(c.socket, base * [0.62, 0.48, 0.5], 0.08 + 0.22 * p.eye_rings)
        if p.freckles:
            spots = soft(0.5 * self.noise[2] + 0.8 * self.noise[3], 1.2, 1.8) * (
                1.2 * c.cheeks + 1.2 * c.nose + 0.1
            )
            self.blend(spots, base * [0.66, 0.5, 0.4], 0.5 * p.freckles)
        for _ in range(p.moles):
            (x, y), radius = self.rng.uniform([-7, -6], [7, 9]), self.rng.uniform(0.09, 0.2)
            row, column = np.abs(c.y[:, 0] - y) < 0.5, np.abs(c.x[0] - x) < 0.5
            if row.any() and column.any():
                at = (slice(*np.flatnonzero(row)[[0, -1]]), slice(*np.flatnonzero(column)[[0, -1]]))
                mask = np.exp(-((((c.x[at] - x) ** 2 + (c.y[at] - y) ** 2) / radius**2) ** 2))
                self.colour[at] += 0.8 * mask[..., None] * (base * [0.4, 0.3, 0.27] - self.colour[at])

    def beard(self) -> None:
        c, p = self.chart, self.person
        if not p.stubble:
            return
        speckle = 0.8 + 0.15 * self.noise[3]
        region = np.maximum(c.beard, c.moustache)
        self.blend(
            region * speckle, self.whiskers * 0.6 + self.base * 0.15, 0.42 * p.stubble * (1 - 0.5 * p.skin)
        )
        grown = np.maximum(p.moustache * c.moustache, p.chin_beard * c.goatee)
        grown = np.maximum(grown, p.full_beard * region)
        if grown.any():
            grown = soft(grown + 0.05 * self.noise[3] + 0.03 * self.noise[2], 0.12, 0.62) * (grown > 0.02)
            self.blend(grown * (0.86 + 0.1 * self.noise[3]), self.whiskers * 0.9)
            self.height += grown * (0.05 + 0.012 * self.noise[3])

    def mouth(self) -> None:
        c, p = self.chart, self.person
        lip = self.base * [0.88, 0.58, 0.56] * (1.05 - 0.28 * p.lip_depth) + 0.03 * p.lip_hue * np.array(
            [1, 0, 0.5]
        )
        stick = np.array(colorsys.hsv_to_rgb((0.9 + 0.16 * p.lipstick_hue) % 1, 0.72, 0.75 - 0.25 * p.skin))
        self.blend(c.lips, lip + 0.85 * p.lipstick * (stick - lip), 0.85)
        self.blend(c.nostrils, self.base * [0.3, 0.2, 0.18], 0.75)

    def eyes(self) -> None:
        c, p = self.chart, self.person
        if p.eye_shadow:
            self.blend(c.lid, np.array(colorsys.hsv_to_rgb(p.shadow_hue, 0.45, 0.45)), 0.7 * p.eye_shadow)
        liner = self.base * [0.55, 0.38, 0.35] * (1 - 0.6 * p.eyeliner)
        self.blend(c.rim, liner, 0.25 + 0.5 * p.eyeliner)
        lashes = 0.45 + 0.4 * p.eyeliner + 0.15 * (p.sex == "female")
        self.blend(c.lash, np.array([0.07, 0.05, 0.045]), lashes)

    def brows(self) -> None:
        c, p, rows = self.chart, self.person, self.chart.brow_rows
        fine, finer = self.noise[2][rows], self.noise[3][rows]
        along = c.brow_along
        line = p.brow_arch * np.sin(np.pi * np.clip(along, 0, 1)) + p.brow_height - 0.15
        taper = np.interp(along, [-0.6, -0.1, 0.25, 0.7, 1.0], [0.5, 0.8, 1.0, 0.75, 0.25]).astype(np.float32)
        off = (c.brow_off - line) / (p.brow_width * taper)
        mask = np.exp(-np.square(np.square(off))) * np.clip(0.86 + 0.2 * finer + 0.1 * fine, 0, 1)
        mask *= soft(along, -0.06, 0.1) + 0.6 * p.unibrow * soft(along, -0.5, -0.1) * (along < 0.1)
        mask *= 1 - soft(along, p.brow_length - 0.25, p.brow_length)
        tone = np.clip(np.minimum(self.hair, 0.5) * (0.75 + 0.4 * p.brow_pigment), 0.03, 0.7)
        whole = np.zeros_like(self.height)
        whole[rows] = mask
        self.blend(whole, np.minimum(tone, self.base * 0.7), p.brow_density)
        self.height += 0.02 * whole

    def age(self) -> None:
        p = self.person
        crease = p.age * (0.4 + 0.6 * p.wrinkles) * self.chart.folds
        self.colour *= (1 - 0.14 * crease)[..., None]
        self.height -= 0.05 * crease

    def scalp(self) -> None:
        c, p = self.chart, self.person
        density = {"bald": 0.08, "horseshoe": 0.25, "buzz": 0.8, "tied": 0.95}.get(p.hair_style, 0.85)
        top = c.marks[BROW_LEFT][:, 1].max() + 4.6
        edge = hairline(c.x[0], p, top)
        mask = soft(c.y - edge + 0.2 * self.noise[2], -0.4, 0.7) * (0.9 + 0.1 * self.noise[3])
        if p.hair_style == "horseshoe":
            mask = mask * (0.1 + 0.9 * soft(np.abs(c.x[0]), 8, 10))
        self.blend(mask, self.hair * 0.8, density)

    def clothes(self) -> None:
        self.blend(soft(COLLAR - self.chart.y, 0, 0.15), self.person.clothes)


def hairline(x: np.ndarray, person: Person, top: float) -> np.ndarray:
    """Height in chart cm of the painted hairline at places ``x`` across the face."""
    ax = np.abs(x)
    middle = top + person.hairline + 1.2 * person.recession
    heights = [middle, middle - 0.2, middle - 1.6, 5.8, 4.0, 3.4, 6.4, 7]
    temples = 1.6 * person.recession * np.exp(-(((ax - 5) / 2) ** 2))
    return (np.interp(ax, [0, 4, 7, 9.2, 10.2, 11.3, 12.2, 16], heights) + temples).astype(np.float32)


def paint_skin(head: HeadModel, person: Person, size: int = 256) -> np.ndarray:
    """Texture (S, S, 4) float32 of the face chart: linear albedo, and height in cm."""
    canvas = _Canvas(chart_of(head, size), person)
    canvas.skin()
    canvas.beard()
    canvas.mouth()
    canvas.eyes()
    canvas.brows()
    canvas.age()
    canvas.scalp()
    canvas.clothes()
    out = np.empty((size, size, 4), np.float32)
    np.clip(canvas.colour, 0.01, 1, out=out[..., :3])
    np.square(out[..., :3], out=out[..., :3])
    out[..., 3] = canvas.height
    return out
