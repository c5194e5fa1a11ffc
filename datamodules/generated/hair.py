"""Hair as a shell: meridians run from the crown over the scalp and, for long styles, hang down from it."""

from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np
from scipy.spatial import cKDTree

from datamodules.generated.chart import soft
from datamodules.generated.head import SKIN, HeadModel
from datamodules.generated.person import Person

MERIDIANS, STEPS = 72, 26
CENTRE = np.array([0, 4.2, -0.5], np.float32)
STRAND_TEXELS = 128


@dataclass(frozen=True)
class Style:
    """A hair style; lengths and thicknesses in cm, angles in degrees from the crown.

    ``front``, ``sides``, ``back``: where the scalp's hair ends; ``top``, ``round``: thickness above and at the
    sides; ``fringe``: how far the front falls over the forehead (degrees); ``hang``: shortest and longest free
    length at the sides and back; ``opening``: azimuth where hanging hair begins; ``knot``: a bun on top.
    """

    front: float = 52
    sides: float = 88
    back: float = 112
    top: float = 1.2
    round: float = 0.5
    fringe: float = 0
    hang: tuple[float, float] = (0, 0)
    opening: float = 62
    knot: bool = False
    lift: float = 0  # extra thickness over the forehead


STYLES: dict[str, Style | None] = {
    "bald": None,
    "horseshoe": Style(front=56, sides=98, back=112, top=-1.6, round=0.35),
    "buzz": Style(top=0.22, round=0.15, sides=84),
    "short": Style(top=1.1, round=0.45),
    "parted": Style(top=1.5, round=0.6, lift=0.5),
    "quiff": Style(top=1.5, round=0.3, lift=1.5),
    "fringe": Style(top=1.4, round=0.8, fringe=17, sides=92),
    "long": Style(top=1.2, round=0.8, hang=(8, 18)),
    "long_fringe": Style(top=1.3, round=0.8, hang=(8, 18), fringe=20),
    "bob": Style(top=1.4, round=1.1, hang=(3, 7)),
    "bob_fringe": Style(top=1.5, round=1.1, hang=(3, 7), fringe=20),
    "tied": Style(top=0.5, round=0.3),
    "bun": Style(top=0.6, round=0.35, knot=True),
    "afro": Style(top=3.4, round=3.0, front=56, sides=92, back=118),
}


@dataclass(frozen=True)
class Hair:
    """Grown hair: vertices (H, 3), triangles into them, uv (H, 2) of the strands, and how open it lies (H,)."""

    vertices: np.ndarray
    triangles: np.ndarray
    uv: np.ndarray
    openness: np.ndarray


_POLAR, _AROUND = 48, 73


@lru_cache(maxsize=2)
def _scalp(head: HeadModel) -> tuple[np.ndarray, np.ndarray]:
    """Skin vertices (P, A, 4) without the ears nearest to a grid of directions, and their weights."""
    skin = np.unique(head.triangles[head.material == SKIN])
    p = head.vertices[skin]
    ear = (np.abs(p[:, 0]) > 7.75) & (p[:, 1] < 5.5) & (p[:, 1] > -3) & (p[:, 2] < 4)
    skin = skin[~ear & (p[:, 1] > -7)]
    away = head.vertices[skin] - CENTRE
    tree = cKDTree(away / np.linalg.norm(away, axis=1, keepdims=True))
    polar, around = np.meshgrid(
        np.linspace(0, np.pi, _POLAR), np.linspace(-np.pi, np.pi, _AROUND), indexing="ij"
    )
    d = np.stack([np.sin(polar) * np.sin(around), np.cos(polar), np.sin(polar) * np.cos(around)], -1)
    distance, near = tree.query(d, k=4)
    weight = 1 / (np.asarray(distance) + 0.01)
    return skin[near], weight / weight.sum(-1, keepdims=True)


def _radius(head: HeadModel, rest: np.ndarray, directions: np.ndarray) -> np.ndarray:
    """Distance (H, W) from ``CENTRE`` to the person's scalp along unit directions (H, W, 3)."""
    near, weight = _scalp(head)
    table = (np.linalg.norm(rest[near] - CENTRE, axis=-1) * weight).sum(-1).astype(np.float32)
    polar = np.arccos(np.clip(directions[..., 1], -1, 1)) / np.pi * (_POLAR - 1)
    around = (np.arctan2(directions[..., 0], directions[..., 2]) / np.pi + 1) / 2 * (_AROUND - 1)
    return cv2.remap(table, around.astype(np.float32), polar.astype(np.float32), cv2.INTER_LINEAR)


def _bell(angle: np.ndarray, centre: float, width: float) -> np.ndarray:
    away = (angle - centre + np.pi) % (2 * np.pi) - np.pi
    return np.exp(-((away / width) ** 2))


def grow(head: HeadModel, person: Person, rest: np.ndarray) -> Hair | None:
    """The hair of a person whose neutral vertices are ``rest`` (N, 3); None for a bald head."""
    style = STYLES[person.hair_style]
    if style is None:
        return None
    rng = np.random.default_rng([person.seed, 13])
    around = np.linspace(-np.pi, np.pi, MERIDIANS + 1)
    t = np.linspace(0, 1, STEPS)[:, None]
    front = _bell(around, 0, 0.75)
    wide = np.abs(around)
    end = np.interp(wide, np.radians([0, 35, 62, 85, 110, 150, 180]), [
        style.front, style.front + 3, style.front + 14, style.sides, style.sides + 6, style.back, style.back
    ])  # fmt: skip
    end = end - 4.5 * person.hairline * front - person.recession * 13 * (
        _bell(wide, 0.55, 0.35) + 0.5 * front
    )  # fmt: skip
    jagged = np.interp(
        np.arange(MERIDIANS + 1), np.arange(0, MERIDIANS + 1, 2), rng.normal(size=MERIDIANS // 2 + 1)
    )
    jagged[-1] = jagged[0]
    fringe = style.fringe * (0.75 + 0.5 * person.hair_length) * np.exp(-((wide / 0.85) ** 4))
    end = end + fringe + (0.8 + 0.08 * style.fringe) * jagged * (style.top < 3)

    hang = np.zeros(MERIDIANS + 1)
    if style.hang[1]:
        full = style.hang[0] + person.hair_length * (style.hang[1] - style.hang[0])
        opening = np.radians(style.opening + 11 * np.sin(7 * person.hair_length))
        hang = full * np.clip((wide - opening) / 0.3, 0, 1) + 0.25 * jagged
        hang = np.maximum(hang, 0)
    scalp_share = np.where(hang > 1, 0.55, 1.0)
    theta = np.radians(end) * np.clip(t / scalp_share, 0, 1)
    free = np.clip((t - scalp_share) / np.maximum(1 - scalp_share, 1e-6), 0, 1)

    toward = np.stack([np.sin(theta) * np.sin(around), np.cos(theta), np.sin(theta) * np.cos(around)], -1)
    radius = _radius(head, rest, toward)

    volume = person.hair_volume
    top = np.cos(np.clip(theta, 0, np.pi / 2)) ** 1.2
    thickness = volume * (style.round + (style.top - style.round) * top)
    lifted = style.lift * volume * front * np.exp(-(((theta - np.radians(style.front) * 0.85) / 0.3) ** 2))
    part = _bell(around, 0.75 * person.part, 0.1) * np.clip(1.4 - np.abs(theta - 0.5), 0, 1)
    thickness = thickness + lifted - 0.5 * part * (style.top > 0.8) * (style.top < 3) * (1 - fringe / 40)
    edge = np.clip((np.radians(end) - theta) / 0.16, 0, 1)
    falls = np.maximum(hang > 1, fringe > 5)
    thickness = np.where(falls, thickness, thickness * np.sqrt(edge) - 0.1 * (edge < 0.02))
    curl = person.hair_curl * (0.1 + 0.12 * min(style.top, 3)) * min(volume, 1.2)
    if style.top > 0.3:
        ripple = np.sin(5 * theta * 4 + 3 * np.sin(9 * around)) * np.sin(13 * around + 4 * theta)
        thickness = thickness + curl * ripple * edge
        thickness = thickness + 0.12 * jagged * np.sin(3 * theta) * edge
    p = CENTRE + (radius + thickness)[..., None] * toward

    drop = hang * free
    outward = np.stack([np.sin(around), np.zeros_like(around), np.cos(around)], -1)
    sway = (0.35 * volume - 0.06 * drop) * np.sin(np.pi * np.clip(free, 0, 1) * 0.9)
    sway = sway + (0.1 + person.hair_curl) * 0.45 * np.sin(drop * 1.5 + 2 * jagged) * free
    p = p + sway[..., None] * outward - drop[..., None] * np.array([0, 1, 0])
    covered = soft(theta, np.radians(62), np.radians(84)) * _bell(wide, 1.85, 0.6) * (hang > 1)
    p[..., 0] += np.sign(p[..., 0]) * covered * np.clip(9.4 * person.stature[0] - np.abs(p[..., 0]), 0, 3)
    keep_out = np.clip(free * 3, 0, 1) * np.clip(5.2 + 0.1 * drop - np.abs(p[..., 0]), 0, 3) * (wide < 2.2)
    p[..., 0] += np.sign(np.sin(around)) * keep_out

    index = np.arange(STEPS * (MERIDIANS + 1)).reshape(STEPS, MERIDIANS + 1)
    a, b, c, e = index[:-1, :-1], index[:-1, 1:], index[1:, :-1], index[1:, 1:]
    triangles = np.concatenate([np.stack(q, -1).reshape(-1, 3) for q in ((a, c, b), (b, c, e))])
    uv = np.stack(np.broadcast_arrays((around + np.pi) / (2 * np.pi) * 2, (theta + 0.15 * drop) * 0.35), -1)
    openness = np.clip(
        0.45 + 0.6 * np.clip((radius + thickness - radius.mean()) / 3 + 0.6, 0, 1) - 0.25 * free, 0.3, 1
    )
    openness = openness * (0.6 + 0.4 * np.clip(edge + (hang > 1), 0, 1))
    parts = [(p.reshape(-1, 3), triangles, uv.reshape(-1, 2), openness.ravel())]
    if style.hang[1]:
        # The inside of hanging hair is seen beside the face and the neck.
        inside = triangles[(theta.ravel()[triangles] > np.radians(50)).any(1)][:, ::-1]
        parts.append((p.reshape(-1, 3), inside, uv.reshape(-1, 2), 0.35 * openness.ravel()))
    if style.knot:
        parts.append(_knot(person, p[0, 0]))
    start, vertices, faces, strands, light = 0, [], [], [], []
    for points, tri, st, op in parts:
        vertices.append(points)
        faces.append(tri + start)
        strands.append(st)
        light.append(op)
        start += len(points)
    return Hair(
        np.concatenate(vertices).astype(np.float32),
        np.concatenate(faces).astype(np.int32),
        np.concatenate(strands).astype(np.float32),
        np.concatenate(light).astype(np.float32),
    )


def _knot(person: Person, crown: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """A ball of hair on the crown."""
    polar, around = np.meshgrid(np.linspace(0, np.pi, 12), np.linspace(0, 2 * np.pi, 19), indexing="ij")
    d = np.stack([np.sin(polar) * np.sin(around), np.cos(polar), np.sin(polar) * np.cos(around)], -1)
    size = 2.2 + 1.2 * person.hair_length
    points = crown + [0, 0.6 * size, -0.5] + size * d * [1.1, 0.85, 1.0]
    index = np.arange(12 * 19).reshape(12, 19)
    a, b, c, e = index[:-1, :-1], index[:-1, 1:], index[1:, :-1], index[1:, 1:]
    triangles = np.concatenate([np.stack(q, -1).reshape(-1, 3) for q in ((a, c, b), (b, c, e))])
    uv = np.stack([around / 4 + polar / 3, polar / 3], -1)
    return points.reshape(-1, 3), triangles, uv.reshape(-1, 2), (0.55 + 0.4 * d[..., 1]).ravel()


@lru_cache(maxsize=8)
def strands(curl: int) -> np.ndarray:
    """Brightness (S, S) 0..1 of hair across (columns) and along (rows) the strands; ``curl`` 0..3."""
    rng = np.random.default_rng([17, curl])
    s = STRAND_TEXELS
    fine, broad = rng.normal(size=s), np.repeat(rng.normal(size=s // 8), 8)
    base = 0.6 * fine + 0.7 * np.convolve(np.r_[broad, broad], np.ones(5) / 5, "same")[:s]
    along = np.arange(s)[:, None]
    wave = curl * 3 * np.sin(2 * np.pi * along * 4 / s) + 2 * np.sin(2 * np.pi * along / s)
    place = (np.arange(s)[None, :] + wave) % s
    value = np.interp(place, np.arange(s + 1), np.r_[base, base[0]]) + 0.2 * rng.normal(size=(s, s))
    return np.clip(0.35 + 0.22 * value, 0, 1).astype(np.float32)
