"""From a person and a shot to a picture with its exact truth."""

import math
from dataclasses import dataclass, field, replace
from functools import lru_cache

import cv2
import numpy as np

from datamodules.generated import raster, shading
from datamodules.generated.chart import chart_of
from datamodules.generated.hair import grow, strands
from datamodules.generated.head import EYE_LEFT, EYE_RIGHT, GUMS, HAIR, MOUTH, TEETH, HeadModel
from datamodules.generated.paint import IRIS_RAMP, hair_colour, linear, paint_skin, ramp
from datamodules.generated.person import Person
from facegan.faces import AU_MAX, EXPRESSIONS, N_AUS, prototype

# From head (x left, y up, z front) to camera coordinates (x right in the picture, y down, z away).
_FACE_CAMERA = np.diag([1.0, -1.0, -1.0])
_FACE = np.array([0.0, 0.4, 7.0])
_WALL = 0.55  # brightness of the studio's
KID_SCALE = np.array([0.93, 0.86])


@dataclass(frozen=True)
class Body:
    """A person made ready to be rendered: neutral vertices, skin texture, hair; made once, used for every shot."""

    head: HeadModel
    person: Person
    rest: np.ndarray  # (N + H, 3)
    triangles: np.ndarray
    material: np.ndarray
    uv: np.ndarray
    visibility: np.ndarray  # (N + H, 9)
    open_sky: np.ndarray  # (N + H,) unoccluded share of the ambient light
    recess: np.ndarray  # (N + H,) cm by which the z-buffer sees a vertex too far away
    stiff: np.ndarray  # (N + H,) 1 turns with the head, 0 stays with the body
    eye_centres: np.ndarray
    eye_radius: np.ndarray
    surfaces: shading.Surfaces


@dataclass(frozen=True)
class Shot:
    """Everything that changes from picture to picture.

    Args:
        au: (17,) intensities 0..5.
        pose: (3,) radians, OpenFace's signs (``faces.POSE``).
        gaze: (2,) radians away from the camera, to the picture's right and down.
        lights: in camera coordinates.
        background: (h, w, 3) linear colours, stretched over the picture.
        frame: width of the picture in cm at the face.
        offset: (2,) where the face lies, in cm right and down of the middle of the picture.
        distance: camera to head, cm.
        grain: standard deviation of the sensor's noise in grey levels; ``grain_seed`` picks it.
    """

    au: np.ndarray
    pose: np.ndarray
    lights: shading.Lights
    background: np.ndarray
    gaze: np.ndarray = field(default_factory=lambda: np.zeros(2))
    frame: float = 24.0
    offset: tuple[float, float] = (0.0, 0.0)
    distance: float = 90.0
    grain: float = 1.5
    grain_seed: int = 0
    expression: str = ""


@dataclass(frozen=True)
class Picture:
    """A rendered face and the truth about it.

    ``image`` (H, W, 3) uint8 RGB; ``au`` (17,) 0..5; ``pose`` (3,) radians; ``landmarks`` (68, 2) pixels;
    ``translation`` (3,) mm from the camera to the head; ``expression`` "" where it is not one of the eight.
    """

    image: np.ndarray
    au: np.ndarray
    pose: np.ndarray
    landmarks: np.ndarray
    translation: np.ndarray
    expression: str
    identity: str


def embody(head: HeadModel, person: Person, texture: int | None = None) -> Body:
    """Work out a person's vertices, paint and hair (about 20 ms); ``texture``: side of the painted skin."""
    n = len(head.vertices)
    shift = np.tensordot(person.shape, head.identity_modes.reshape(len(person.shape), -1), 1).reshape(n, 3)
    rest = (head.vertices + shift).astype(np.float32)
    if person.group == "kid":
        rest = _child(rest)
    rest = np.ascontiguousarray(rest * person.stature, np.float32)
    centres, radii = [], []
    for kind, mean in zip((EYE_RIGHT, EYE_LEFT), head.eye_centres, strict=True):
        ball = np.unique(head.triangles[head.material == kind])
        moved, was = rest[ball], head.vertices[ball]
        centre = mean + (moved - was).mean(0)
        # The scan's eyes stretch with the face; the renderer wants round ones, which also keep the lids outside.
        radius = (
            head.eye_radius
            * np.linalg.norm(moved - centre, axis=1).mean()
            / np.linalg.norm(was - mean, axis=1).mean()
        )
        centres.append(centre)
        radii.append(radius)

    triangles, material, uv, visibility = [head.triangles], [head.material], [head.uv], [head.visibility]
    hair = grow(head, person, rest)
    if hair is not None:
        triangles.append(hair.triangles + n)
        material.append(np.full(len(hair.triangles), HAIR, np.uint8))
        uv.append(hair.uv)
        visibility.append(np.c_[hair.openness, np.zeros((len(hair.openness), 8))])
        rest = np.concatenate([rest, hair.vertices])
    # Gums and teeth must not come through the lips of an unusual face.
    recess = np.zeros(len(rest), np.float32)
    recess[np.unique(head.triangles[np.isin(head.material, (TEETH, GUMS, MOUTH))])] = 0.35
    # The bust ends below the shoulders: stretched, it reaches the lower edge of a portrait.
    rest[:n, 1] -= 7 * np.maximum(-15 - rest[:n, 1], 0)
    stiff = np.clip((rest[:, 1] + 15) / 6.5, 0, 1)
    light = np.ascontiguousarray(np.concatenate(visibility), np.float32)
    return Body(
        head=head,
        person=person,
        rest=np.ascontiguousarray(rest, np.float32),
        triangles=np.ascontiguousarray(np.concatenate(triangles), np.int32),
        material=np.concatenate(material),
        uv=np.ascontiguousarray(np.concatenate(uv), np.float32),
        visibility=light,
        open_sky=np.clip(1.25 * light[:, 0], 0.12, 1).astype(np.float32),
        recess=recess,
        stiff=(stiff * stiff * (3 - 2 * stiff)).astype(np.float32),
        eye_centres=np.array(centres, np.float32),
        eye_radius=np.array(radii, np.float32),
        surfaces=_surfaces(head, person, texture or head.texels),
    )


def _child(rest: np.ndarray) -> np.ndarray:
    """A child's proportions: a smaller lower face and nose below a large forehead."""
    x, y, z = rest.T.copy()
    low = 1 / (1 + np.exp(y - 1.0))
    face = np.clip(z / 8, 0, 1)
    scaled = np.stack([x * (1 + (KID_SCALE[0] - 1) * low), y.copy(), z], 1)
    scaled[:, 1] = np.where(y < 3, 3 + (y - 3) * KID_SCALE[1], 3 + (y - 3) * 1.05)
    scaled[:, 2] -= 0.9 * face * np.exp(-((x / 1.6) ** 2) - ((y - 0.6) / 1.6) ** 2)
    return scaled.astype(np.float32)


def _surfaces(head: HeadModel, person: Person, texture: int) -> shading.Surfaces:
    hair = hair_colour(person)
    iris = ramp(IRIS_RAMP, person.iris) * person.iris_light
    yellow = person.sclera
    return shading.Surfaces(
        skin=paint_skin(head, person, texture),
        strands=strands(int(person.hair_curl * 3.99)),
        hair=linear(hair * 0.55),
        hair_light=linear(np.clip(hair * 1.35 + 0.02, 0, 1)),
        iris=linear(iris),
        iris_rim=linear(iris * (0.75 - 0.6 * person.iris_rim)),
        sclera=linear([0.90 - 0.03 * yellow, 0.87 - 0.06 * yellow, 0.85 - 0.11 * yellow]),
        teeth=linear([0.93, 0.91 - 0.05 * person.teeth, 0.86 - 0.16 * person.teeth]),
        iris_angle=float(person.iris_size),
        pupil_angle=float(0.44 * person.iris_size),
        gloss=float(person.gloss * (0.7 + 0.6 * person.skin)),
    )


def rotation(pose: np.ndarray) -> np.ndarray:
    """The head's rotation (3, 3) in camera coordinates, Rx(pitch) Ry(yaw) Rz(roll) as in OpenFace."""
    (sx, sy, sz), (cx, cy, cz) = np.sin(pose), np.cos(pose)
    rx = np.array([[1, 0, 0], [0, cx, -sx], [0, sx, cx]])
    ry = np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]])
    rz = np.array([[cz, -sz, 0], [sz, cz, 0], [0, 0, 1]])
    return rx @ ry @ rz


def au_weights(person: Person, au: np.ndarray) -> np.ndarray:
    """Weights (34,) of the head's modes, right side first: the person's own strength of each AU on each side."""
    return (np.asarray(au) / AU_MAX * person.gains).astype(np.float32).ravel()


def render(body: Body, shot: Shot, size: tuple[int, int] | int = 128, scale: int | None = None) -> Picture:
    """Render one picture.

    Args:
        body: the person, from ``embody``.
        shot: what the picture shows.
        size: (height, width) pixels, or one number for a square.
        scale: rendered so many times larger and filtered down; None: twice, large pictures once.

    Returns:
        The picture with its exact truth; landmarks behind the face's contour are given as well.
    """
    height, width = (size, size) if isinstance(size, int) else size
    scale = scale or (2 if width <= 400 else 1)
    head, person = body.head, body.person
    turn = rotation(shot.pose) @ _FACE_CAMERA
    body_turn = rotation(shot.pose * [0.15, 0.45, 0.15]) @ _FACE_CAMERA
    focal = width * shot.distance / shot.frame
    shift = -0.8 * (turn @ _FACE) + [*shot.offset, 0]
    shift[2] = shot.distance + 0.8 * 7.0
    weights = au_weights(person, shot.au)
    points = raster.deform(
        body.rest, weights, head.mode_start, head.mode_vertex, head.mode_shift, head.lid_vertices,
        body.eye_centres, body.eye_radius,
    )  # fmt: skip
    f32 = np.float32
    camera = raster.to_camera(points, turn.astype(f32), body_turn.astype(f32), body.stiff, shift.astype(f32))
    normal = raster.normals(camera, body.triangles)
    place, screen, near = raster.project(
        camera, body.recess, f32(focal), f32(width / 2 - 0.5), f32(height / 2 - 0.5), scale
    )
    index = raster.rasterise(screen, near, body.triangles, height * scale, width * scale)[0]
    lit = raster.light_visibility(body.visibility, (shot.lights.direction @ turn).astype(f32))
    background = _stretched(shot.background, height, width)
    colours = shading.shade(
        index, screen, body.triangles, body.material, body.rest, normal, body.uv, body.open_sky, lit,
        turn.astype(f32), _furrowed(body, shot.au), shot.lights, _gaze(body, shot, turn, shift),
        body.eye_centres, background, scale,
    )  # fmt: skip
    return Picture(
        image=shading.develop(
            colours.ravel(), _grain(height, width, shot.grain_seed).ravel(), f32(shot.grain)
        ).reshape(height, width, 3),
        au=np.asarray(shot.au, f32),
        pose=np.asarray(shot.pose, f32),
        landmarks=place[head.landmarks],
        translation=(shift * 10).astype(f32),
        expression=shot.expression,
        identity=person.name,
    )


@lru_cache(maxsize=32)
def _cubic(few: int, many: int) -> np.ndarray:
    """Weights (many, few) of a cubic filter that enlarges a row."""
    return cv2.resize(np.eye(few, dtype=np.float32), (few, many), interpolation=cv2.INTER_CUBIC)


def _stretched(background: np.ndarray, height: int, width: int) -> np.ndarray:
    """The background (h, w, 3) stretched to (3, height, width); four times as fast as OpenCV for a few patches."""
    h, w = background.shape[:2]
    planes = np.ascontiguousarray(background.transpose(2, 0, 1), np.float32)
    return _cubic(h, height) @ planes @ _cubic(w, width).T


def _furrowed(body: Body, au: np.ndarray) -> shading.Surfaces:
    """The skin with the grooves that the AUs draw."""
    skin = body.surfaces.skin
    active = [(k, au[k] / AU_MAX) for k in range(N_AUS) if au[k] > 0.3]
    chart = chart_of(body.head, skin.shape[0])
    active = [(k, strength) for k, strength in active if chart.boxes[k, 1]]
    if not active:
        return body.surfaces
    depth = 0.75 + 0.5 * body.person.age
    aus = np.array([k for k, _ in active])
    depths = np.array([depth * strength for _, strength in active], np.float32)
    return body.surfaces._replace(skin=shading.furrow(skin, chart.furrows, chart.boxes, aus, depths))


def _gaze(body: Body, shot: Shot, turn: np.ndarray, shift: np.ndarray) -> np.ndarray:
    """Unit gaze (3,) in head coordinates; eyes turn at most 35 degrees in the head."""
    eyes = turn @ body.eye_centres.mean(0) + shift
    right, down = shot.gaze
    away = math.sqrt(eyes @ eyes)
    x, y, z = turn.T @ (eyes / -away + (math.tan(right), math.tan(down), 0.0))
    aside, limit = math.hypot(x, y), math.radians(35)
    angle = min(math.atan2(aside, z), limit)
    turned = math.sin(angle) / max(aside, 1e-9)
    return np.array([x * turned, y * turned, math.cos(angle)], np.float32)


_GRAIN = np.random.default_rng(23).normal(size=(1024, 1024, 3)).astype(np.float32)


def _grain(height: int, width: int, seed: int) -> np.ndarray:
    y, x = seed % 1024, seed // 1024 % 1024
    if height <= 512 and width <= 512:
        y, x = y % 512, x % 512
        return _GRAIN[y : y + height, x : x + width]
    rows, columns = (np.arange(height) + y) % 1024, (np.arange(width) + x) % 1024
    return _GRAIN[rows[:, None], columns]


def apex(person: Person, expression: str, strength: float = 1.0, variation: float = 1.0) -> np.ndarray:
    """The person's own version (17,) of an expression's prototype, scaled by ``strength``."""
    habit = person.habits[EXPRESSIONS.index(expression)]
    return np.clip(prototype(expression) * np.exp(variation * habit) * strength, 0, AU_MAX).astype(np.float32)


def draw_lights(rng: np.random.Generator, spread: float = 1.0) -> shading.Lights:
    """Random light: a key from above and one side, a weaker fill, sky and ground; ``spread`` 0 is a plain
    studio."""
    side, up = rng.uniform(-1.15, 1.15) * spread, 0.55 + rng.uniform(-0.45, 0.4) * spread
    key = np.array([np.sin(side), -up, -np.cos(side)])
    fill = np.array([-np.sign(side + 1e-9) * rng.uniform(0.5, 1), rng.uniform(-0.5, 0.2), -0.7])
    warm = rng.normal(0, 0.07) * spread
    tint = np.array([1 + warm, 1, 1 - warm])
    level = rng.uniform(0.8, 1.12) if spread else 1.0
    ambient = rng.uniform(0.25, 0.5) if spread else 0.42
    directions = np.stack([v / np.linalg.norm(v) for v in (key, fill)])
    colours = np.stack([tint * 0.78 * level, (2 - tint) * 0.2 * level * rng.uniform(0.3, 1.4)])
    sky = ambient * (2 - tint)
    ground = ambient * rng.uniform(0.35, 0.75) * np.array([1.05, 0.97, 0.9])
    f32 = np.float32
    return shading.Lights(directions.astype(f32), colours.astype(f32), sky.astype(f32), ground.astype(f32))


_RAMP = np.linspace(-1, 1, 12)


def draw_background(rng: np.random.Generator) -> np.ndarray:
    """A blurred room (12, 12, 3) in linear colours: a gradient with a few soft patches."""
    base = rng.uniform(0.05, 0.75) * (1 + 0.09 * rng.normal(size=3))
    slope_y, slope_x = rng.normal(0, 0.2, 2)
    picture = base * (1 + slope_y * _RAMP[:, None, None] + slope_x * _RAMP[None, :, None])
    for y, x, h, w, level, *tint in rng.random((rng.integers(0, 5), 8)):
        top, left = int(12 * y), int(12 * x)
        colour = (0.02 + 0.78 * level) * (0.75 + 0.5 * np.array(tint))
        picture[top : top + 2 + int(6 * h), left : left + 2 + int(6 * w)] = colour
    # enlarged, a cubic filter makes patches soft; they are softened once more here
    picture = cv2.blur(picture.astype(np.float32), (3, 3))
    return np.clip(picture, 0.01, 0.95, out=picture)


def draw_shot(
    rng: np.random.Generator,
    au: np.ndarray,
    expression: str = "",
    pose_spread: tuple[float, float, float] = (6, 12, 4),
    light_spread: float = 1.0,
) -> Shot:
    """A picture of an action: random pose (degrees of standard deviation, at most 30), light, gaze and camera.

    ``light_spread``: 0 is a studio with a grey wall, 1 any light before anything.
    """
    pose = np.radians(np.clip(rng.normal(0, pose_spread), -30, 30))
    return Shot(
        au=au,
        pose=pose,
        lights=draw_lights(rng, light_spread),
        background=light_spread * draw_background(rng) + np.float32((1 - light_spread) * _WALL),
        gaze=rng.normal(0, 0.12, 2),
        frame=rng.uniform(22.5, 26.5),
        offset=(rng.normal(0, 0.5), rng.normal(0, 0.5)),
        distance=rng.uniform(55, 130),
        grain=rng.uniform(0.3, 2.5),
        grain_seed=int(rng.integers(0, 2**31)),
        expression=expression,
    )


def studio(au: np.ndarray, expression: str = "", **changes: object) -> Shot:
    """A frontal picture in even studio light before a grey wall; ``changes`` are fields of ``Shot``."""
    rng = np.random.default_rng(0)
    shot = Shot(
        au=np.asarray(au, np.float32),
        pose=np.zeros(3),
        lights=draw_lights(rng, 0),
        background=np.full((12, 12, 3), _WALL, np.float32),
        expression=expression,
        grain=0.0,
    )
    return replace(shot, **changes)  # type: ignore[arg-type]
