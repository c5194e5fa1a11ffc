"""What each AU moves, in both heads: FACS's direction, visibly at 3, monotonically from 0 to 5."""

import numpy as np
import pytest

from datamodules.generated.ict import ICT_FILE
from datamodules.generated.person import Person
from datamodules.generated.render import apex, au_weights, embody, render, studio
from facegan.faces import AUS, EXPRESSIONS, N_AUS

SIZE = 192
FRAME = 24.0  # cm


def eye_gap(p):
    return p[[40, 41, 46, 47], 1].mean() - p[[37, 38, 43, 44], 1].mean()


# What grows with the AU, measured on the landmarks (y is down), and by how many cm at least at intensity 3.
GROWS = {
    1: (lambda p: -p[[21, 22], 1].mean(), 0.3),  # inner brows up
    2: (lambda p: -p[[17, 18, 25, 26], 1].mean(), 0.25),  # outer brows up
    4: (lambda p: p[[20, 21, 22, 23], 1].mean() - (p[22, 0] - p[21, 0]), 0.4),  # brows down and together
    5: (eye_gap, 0.12),  # upper lids up
    6: (lambda p: -p[[40, 41, 46, 47], 1].mean(), 0.1),  # lower lids pushed up by the cheeks
    7: (lambda p: -eye_gap(p), 0.15),  # lids tightened
    9: (lambda p: -p[[31, 35], 1].mean(), 0.2),  # wings of the nose up
    10: (lambda p: -p[[50, 51, 52], 1].mean(), 0.15),  # upper lip up
    12: (lambda p: p[54, 0] - p[48, 0] - p[[48, 54], 1].mean(), 0.6),  # corners up and out
    14: (lambda p: p[54, 0] - p[48, 0], 0.1),  # corners in and back, mouth wider
    15: (lambda p: p[[48, 54], 1].mean(), 0.3),  # corners down
    17: (lambda p: -p[57, 1], 0.12),  # lower lip up
    20: (lambda p: p[54, 0] - p[48, 0], 0.7),  # corners out
    23: (lambda p: -(p[57, 1] - p[51, 1]) + (p[66, 1] - p[62, 1]), 0.12),  # lips narrow
    25: (lambda p: p[66, 1] - p[62, 1], 0.35),  # lips part
    26: (lambda p: p[8, 1], 0.8),  # chin down
    45: (lambda p: -eye_gap(p), 0.35),  # eyes close
}


@pytest.fixture(params=["procedural", "ict"])
def bodies(request, load):
    head = load(request.param)
    return [embody(head, Person.draw(head, seed), 128) for seed in (3, 500_004)]


@pytest.mark.parametrize("au", AUS)
def test_au_moves_what_facs_says(bodies, au):
    measure, at_three = GROWS[au]
    for body in bodies:
        values, images = [], []
        for intensity in range(6):
            row = np.zeros(N_AUS, np.float32)
            row[AUS.index(au)] = intensity
            picture = render(body, studio(row), SIZE)
            values.append(measure(picture.landmarks) * FRAME / SIZE)
            images.append(picture.image.astype(float))
        assert (np.diff(values) > 0).all()
        assert values[3] - values[0] > at_three
        changed = [np.abs(image - images[0]).mean() for image in images]
        assert (np.diff(changed) > 0).all()
        # Visible: enough pixels change by more than a tenth of the grey scale.
        assert (np.abs(images[3] - images[0]).max(-1) > 25).sum() > 12


def test_mouth_and_eyes_keep_apart(bodies):
    """AU26 leaves brows, nose and eyes, and AU2 the mouth, within 2.5 mm of where they are."""
    for body in bodies:
        neutral = render(body, studio(np.zeros(N_AUS)), SIZE).landmarks
        for au, still in ((26, slice(17, 48)), (2, slice(48, 68))):
            row = np.zeros(N_AUS, np.float32)
            row[AUS.index(au)] = 5
            moved = render(body, studio(row), SIZE).landmarks
            assert np.abs(moved - neutral)[still].max() < 0.25 * SIZE / FRAME


def test_sides_differ_and_belong_to_the_person(load):
    head = load("procedural")
    people = [Person.draw(head, seed) for seed in range(20)]
    ratios = np.array([p.gains[0] / p.gains[1] for p in people])
    assert (np.abs(np.log(ratios)).mean(0) > 0.02).all()
    assert np.abs(np.log(ratios)).max() < 0.5
    assert len({ratio.tobytes() for ratio in ratios}) == 20
    weights = au_weights(people[0], np.full(N_AUS, 5.0))
    np.testing.assert_allclose(weights, people[0].gains.ravel())


def test_apex_is_the_prototype_with_the_persons_variation(load):
    head = load("procedural")
    first, second = (Person.draw(head, seed) for seed in (1, 2))
    for name in EXPRESSIONS:
        a, b = apex(first, name), apex(second, name)
        assert ((a > 0) == (b > 0)).all()
        assert name == "neutral" or np.abs(a - b).max() > 0.05
        assert (a <= 5).all()
    np.testing.assert_array_equal(
        apex(first, "happiness", variation=0), apex(second, "happiness", variation=0)
    )


def test_ict_file_name_is_the_documented_one():
    assert ICT_FILE == "ict_face_model_light.npz"
