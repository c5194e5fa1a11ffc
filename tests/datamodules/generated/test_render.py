"""The renderer: pose signs, exact landmarks, z-buffer against a plain reference, soft shadows, people."""

from dataclasses import fields

import numpy as np
import pytest

from datamodules.generated import raster
from datamodules.generated.hair import STYLES
from datamodules.generated.head import EYE_LEFT, EYE_RIGHT
from datamodules.generated.occlusion import harmonics, sky_visibility
from datamodules.generated.person import GROUPS, Person
from datamodules.generated.render import draw_shot, embody, render, rotation, studio
from facegan.faces import LANDMARK_MIRROR, N_AUS

STILL = np.zeros(N_AUS, np.float32)


@pytest.fixture(params=["procedural", "ict"])
def head(request, load):
    return load(request.param)


def nose_from_eyes(landmarks):
    return landmarks[30] - landmarks[36:48].mean(0)


def test_pose_has_openface_signs(head):
    body = embody(head, Person.draw(head, 7), 64)

    def at(pose):
        return render(body, studio(STILL, pose=np.array(pose)), 96).landmarks

    frontal = at([0, 0, 0])
    assert abs(nose_from_eyes(frontal)[0]) < 2
    assert nose_from_eyes(at([0.4, 0, 0]))[1] > nose_from_eyes(frontal)[1] + 3  # pitch > 0: head down
    assert nose_from_eyes(at([0, 0.4, 0]))[0] < -5  # yaw > 0: nose to the picture's left
    right, left = (at([0, 0, 0.3])[s].mean(0) for s in (slice(36, 42), slice(42, 48)))
    assert np.arctan2(*(left - right)[::-1]) == pytest.approx(0.3, abs=0.05)  # roll > 0: falls to the right


def test_rotation_is_a_rotation_and_angles_come_back():
    pose = np.array([0.2, -0.5, 0.3])
    r = rotation(pose)
    np.testing.assert_allclose(r @ r.T, np.eye(3), atol=1e-12)
    # Rx Ry Rz, read off the matrix independently.
    np.testing.assert_allclose(
        [np.arctan2(-r[1, 2], r[2, 2]), np.arcsin(r[0, 2]), np.arctan2(-r[0, 1], r[0, 0])], pose, atol=1e-12
    )


def test_landmarks_lie_where_the_picture_shows_them(head):
    """The eyes' pixels, found by their white and dark, lie inside the eyes' landmarks."""
    body = embody(head, Person.draw(head, 11), 128)
    shot = studio(STILL, pose=np.array([0.05, 0.2, 0.1]))
    picture = render(body, shot, 256)
    plain = body.surfaces._replace(sclera=np.full(3, 50, np.float32))
    glowing = render(type(body)(**{**body.__dict__, "surfaces": plain}), shot, 256)
    y, x = np.nonzero((glowing.image.astype(int) - picture.image).max(-1) > 40)
    eyes = picture.landmarks[36:48]
    assert len(y) > 40
    assert x.min() > eyes[:, 0].min() - 2.5 and x.max() < eyes[:, 0].max() + 2.5
    assert y.min() > eyes[:, 1].min() - 2.5 and y.max() < eyes[:, 1].max() + 2.5


def test_mean_head_is_symmetric_and_numbered_like_multi_pie(head):
    marks = head.vertices[head.landmarks]
    mirrored = marks[LANDMARK_MIRROR] * [-1, 1, 1]
    assert np.abs(mirrored - marks).max() < 0.5
    assert (marks[0:8, 0] < 0).all()  # the person's right side first
    assert marks[8, 1] < marks[57, 1] < marks[51, 1] < marks[33, 1] < marks[27, 1] < marks[19, 1]


def test_same_seed_same_bytes_and_another_seed_another_face(head):
    def picture(seed):
        body = embody(head, Person.draw(head, seed), 64)
        return render(body, draw_shot(np.random.default_rng(5), STILL), 64).image

    first = picture(3)
    np.testing.assert_array_equal(first, picture(3))
    assert np.abs(first.astype(int) - picture(4)).mean() > 3


def test_zbuffer_agrees_with_a_plain_one():
    rng = np.random.default_rng(0)
    screen = rng.uniform(-4, 36, (60, 2)).astype(np.float32)
    near = rng.uniform(0.1, 1, 60).astype(np.float32)
    triangles = np.arange(60, dtype=np.int32).reshape(20, 3)
    index, depth = raster.rasterise(screen, near, triangles, 32, 32)
    best, nearest = np.full((32, 32), -1), np.zeros((32, 32))
    for t, corners in enumerate(triangles):
        a, b, c = screen[corners].astype(float)
        matrix = np.column_stack([b - a, c - a])
        if np.linalg.det(matrix) >= 0:
            continue  # turned away
        for y in range(32):
            for x in range(32):
                w = np.linalg.solve(matrix, np.array([x, y]) - a)
                z = near[corners] @ [1 - w.sum(), *w]
                if (w >= 0).all() and w.sum() <= 1 and z > nearest[y, x]:
                    best[y, x], nearest[y, x] = t, z
    assert (best >= 0).any()
    assert (index == best).mean() > 0.995  # pixels on an edge may go either way
    same = index == best
    np.testing.assert_allclose(depth[same], nearest[same], atol=1e-4)


def test_sky_visibility_of_a_ball_and_of_its_hidden_neighbour():
    """A ball alone sees light from everywhere in front; between two balls it is dark."""
    polar, around = np.meshgrid(np.linspace(0, np.pi, 30), np.linspace(0, 2 * np.pi, 41), indexing="ij")
    d = np.stack([np.sin(polar) * np.cos(around), np.sin(polar) * np.sin(around), np.cos(polar)], -1).reshape(
        -1, 3
    )
    i = np.arange(30 * 41).reshape(30, 41)
    faces = [
        np.stack(t, -1).reshape(-1, 3)
        for t in ((i[:-1, :-1], i[1:, :-1], i[:-1, 1:]), (i[:-1, 1:], i[1:, :-1], i[1:, 1:]))
    ]
    triangles = np.concatenate(faces)
    ball = (8 * d).astype(np.float32)
    two = np.concatenate([ball, ball + np.array([16.5, 0, 0])]).astype(np.float32)
    alone = sky_visibility(ball, triangles)
    beside = sky_visibility(two, np.concatenate([triangles, triangles + len(ball)]))
    at = int(np.argmax(ball[:, 0]))
    toward = harmonics(np.array([[1.0, 0, 0]]))[0]
    assert alone[at] @ toward > 0.75
    assert beside[at] @ toward < 0.35


def test_lids_stay_outside_the_eyeballs(head):
    body = embody(head, Person.draw(head, 2), 64)
    closed = np.zeros(2 * N_AUS, np.float32)
    closed[[N_AUS - 1, 2 * N_AUS - 1]] = 0.5
    points = raster.deform(
        body.rest, closed, head.mode_start, head.mode_vertex, head.mode_shift, head.lid_vertices,
        body.eye_centres, body.eye_radius,
    )  # fmt: skip
    for lids, centre, radius in zip(head.lid_vertices, body.eye_centres, body.eye_radius, strict=True):
        away = points[lids] - centre
        front = (away[:, 2] > 0) & (np.hypot(away[:, 0], away[:, 1]) < 0.9 * radius)
        assert (np.linalg.norm(away[front], axis=1) > radius).mean() > 0.9
    assert {EYE_RIGHT, EYE_LEFT} <= set(head.material)


def test_people_differ_in_at_least_twenty_ways_beside_the_shape(load):
    head = load("procedural")
    people = [Person.draw(head, seed) for seed in range(200)]
    beside = [f.name for f in fields(Person) if f.name not in ("seed", "shape", "gains", "habits", "stature")]
    values = {name: {str(getattr(p, name)) for p in people} for name in beside}
    assert sum(len(v) > 5 for v in values.values()) >= 20
    assert {p.sex for p in people} == {"female", "male"}
    assert {p.hair_style for p in people} == set(STYLES)
    assert not any(p.full_beard or p.stubble for p in people if p.sex == "female")


@pytest.mark.parametrize("group", GROUPS)
def test_every_group_and_hair_style_renders(load, group):
    head = load("procedural")
    for seed in range(3):
        person = Person.draw(head, seed, group=group)
        image = render(embody(head, person, 64), studio(STILL), 48).image
        assert image.shape == (48, 48, 3) and image.std() > 5
