from types import SimpleNamespace

import numpy as np
import pytest
import torch
from drawn import face_points

from datamodules.generated.head import load_head
from datamodules.generated.person import Person
from datamodules.generated.render import apex, embody, render, studio
from facegan.judges import FaceFinder, HeadPose, LandmarkGeometry, geometry

NOBODY = SimpleNamespace(description="nobody")  # landmarks are given


def test_geometry_measures_what_it_names_in_eye_distances():
    points = face_points()
    np.testing.assert_allclose(geometry(points), np.array([3, 40, 18, 6]) / 60, rtol=1e-6)
    jaw = points.copy()
    jaw[[55, 56, 57, 58, 59, 65, 66, 67], 1] += 12
    smile = points.copy()
    smile[48, 0] -= 6
    smile[54, 0] += 6
    brows = points.copy()
    brows[17:27, 1] -= 6
    blink = points.copy()
    blink[[37, 38, 43, 44], 1] += 5
    changes = np.abs(np.stack([geometry(p) for p in (jaw, smile, brows, blink)]) - geometry(points))
    expected = np.diag([12, 12, 6, 5]) / 60
    np.testing.assert_allclose(changes, expected, atol=0.005)


def test_geometry_does_not_depend_on_size_place_or_roll():
    points = face_points()
    turn = np.array([[0.8, -0.6], [0.6, 0.8]])
    np.testing.assert_allclose(geometry(3 * points @ turn.T + 17), geometry(points), rtol=1e-6)
    batch = np.stack([points, np.full_like(points, np.nan)])
    assert np.isnan(geometry(batch)[1]).all() and not np.isnan(geometry(batch)[0]).any()


@pytest.mark.parametrize("size", [128, 64])
def test_finder_gives_landmarks_in_pixels_of_the_picture_it_got(generated_faces, size):
    pytest.importorskip("dlib")
    images, truth = generated_faces
    images = torch.nn.functional.interpolate(images, (size, size), mode="area")
    found = FaceFinder()(images).numpy()
    expected = (truth + 0.5) * size / 128 - 0.5
    eyes = np.linalg.norm(expected[0, 36:42].mean(0) - expected[0, 42:48].mean(0))
    error = np.linalg.norm(found - expected, axis=-1)[:, 17:].mean() / eyes
    assert error < 0.12, f"{error:.3f} of the distance between the eyes"
    shut, opened = LandmarkGeometry()(images)
    assert opened[0] > shut[0] + 0.1, "the mouth opening of pictures"


@pytest.mark.parametrize(
    "turn", [(0, 0, 0), (15, 0, 0), (-15, 0, 0), (0, 25, 0), (0, -25, 0), (0, 0, 20), (10, -20, 15)]
)
def test_head_pose_is_read_off_exact_landmarks_of_other_people_with_openface_s_signs(turn):
    """People's own shapes, expressions and a near camera are what is left of the error."""
    head = load_head("procedural")
    asked, errors = np.radians(turn), []
    for seed in (500001, 500002, 500003, 500004):
        body = embody(head, Person.draw(head, seed))
        picture = render(body, studio(apex(body.person, "surprise"), pose=asked), 128)
        found = HeadPose(finder=NOBODY)(
            torch.zeros(1, 3, 128, 128), torch.from_numpy(picture.landmarks)[None]
        )
        errors.append(np.degrees(found[0].numpy() - asked))
    assert np.abs(np.mean(errors, 0)).max() < 5, np.round(errors, 1)


def test_head_pose_of_no_face_is_nan():
    found = HeadPose(finder=NOBODY)(torch.zeros(2, 3, 64, 64), torch.full((2, 68, 2), torch.nan))
    assert found.shape == (2, 3) and found.isnan().all()
