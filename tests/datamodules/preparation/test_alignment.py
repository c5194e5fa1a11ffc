import cv2
import numpy as np
import pytest
from faces_on_disk import draw, landmarks

from datamodules.preparation.alignment import (
    TEMPLATE,
    alignment_matrix,
    box_matrix,
    crop,
    paste,
    roll_of,
    similarity_matrix,
    transform_points,
    transform_pose,
)
from facegan.config import UserError


@pytest.mark.parametrize("turn", [-0.4, 0.0, 0.3])
@pytest.mark.parametrize("size", [64, 128])
def test_similarity_levels_the_eyes_and_puts_them_on_the_template(turn, size):
    points = landmarks(200, turn=turn, shift=(30, -10))
    moved = transform_points(points, similarity_matrix(points, size))
    right, left = moved[36:42].mean(axis=0), moved[42:48].mean(axis=0)
    assert right[1] == pytest.approx(left[1], abs=1e-6)
    assert (right[0] + left[0]) / 2 == pytest.approx(size / 2 - 0.5, abs=1e-6)
    mouth = (moved[48] + moved[54]) / 2
    np.testing.assert_allclose(np.stack([right, left, mouth]), TEMPLATE * size - 0.5, atol=0.06 * size)


def test_similarity_is_the_least_squares_fit_of_an_independent_solver():
    points = landmarks(150, turn=0.2) + np.random.default_rng(0).normal(0, 3, (68, 2))
    corners = [points[36:42].mean(0), points[42:48].mean(0), points[[48, 54]].mean(0)]
    rows, target = [], []
    for (x, y), (u, v) in zip(corners, TEMPLATE * 96 - 0.5, strict=True):
        rows += [[x, -y, 1, 0], [y, x, 0, 1]]
        target += [u, v]
    a, b, tx, ty = np.linalg.lstsq(np.array(rows), np.array(target), rcond=None)[0]
    np.testing.assert_allclose(similarity_matrix(points, 96), [[a, -b, tx], [b, a, ty]], atol=1e-8)


@pytest.mark.parametrize("turn", [-0.35, 0.2])
def test_the_roll_that_is_taken_out_is_taken_off_the_pose(turn):
    points = landmarks(200, turn=turn)  # turn > 0: the line of the eyes falls to the right, as roll > 0
    matrix = similarity_matrix(points, 128)
    pose = transform_pose(np.array([0.1, -0.2, turn], np.float32), matrix)
    np.testing.assert_allclose(pose, [0.1, -0.2, 0], atol=1e-6)
    assert roll_of(box_matrix(points, 128)) == 0


def test_box_is_square_upright_and_1_6_times_the_face():
    points = landmarks(200, shift=(40, 20))
    moved = transform_points(points, box_matrix(points, 160))
    assert np.ptp(moved, axis=0).max() == pytest.approx(160 / 1.6)
    np.testing.assert_allclose((moved.min(0) + moved.max(0)) / 2, [79.5, 79.5], atol=1e-6)


def test_crop_shows_the_picture_where_the_matrix_says():
    image = np.zeros((300, 400, 3), np.uint8)
    cv2.circle(image, (200, 150), 5, (255, 255, 255), -1)
    matrix = np.array([[0.8, 0, -110.0], [0, 0.8, -80.0]])
    y, x = np.argwhere(crop(image, matrix, 100)[..., 0] > 128).mean(axis=0)
    assert (x, y) == pytest.approx((0.8 * 200 - 110, 0.8 * 150 - 80), abs=0.2)


@pytest.mark.parametrize("scale", [0.11, 0.23, 0.45])
def test_strong_shrinking_keeps_place_and_does_not_alias(scale):
    big = np.indices((1200, 1000)).sum(axis=0) % 2 * 255
    image = np.repeat(big[..., None], 3, axis=2).astype(np.uint8)
    image[500:620, 400:520] = 255
    matrix = np.array([[scale, 0.0, 50 - scale * 459.5], [0.0, scale, 50 - scale * 559.5]])
    out = crop(image, matrix, 101)[..., 0].astype(float)
    background = out[:10, :10]
    assert background.std() < 12 and abs(background.mean() - 127.5) < 6  # a checkerboard averages to grey
    square = np.argwhere(out > 200)
    np.testing.assert_allclose(square.mean(axis=0), [50, 50], atol=0.3)


@pytest.mark.parametrize("shift", [(0, 0), (-60, -70), (80, 90)])
def test_a_face_at_or_beyond_the_edge_still_gives_a_full_crop(shift):
    points = landmarks(200, shift=shift)
    assert crop(draw(points, (200, 200)), similarity_matrix(points, 64), 64).shape == (64, 64, 3)


@pytest.mark.parametrize("turn", [0.0, 0.3])
def test_paste_puts_an_unchanged_crop_back_where_it_was(turn):
    points = landmarks(160, turn=turn)
    full = cv2.GaussianBlur(draw(points, (160, 160)), (0, 0), 2)
    matrix = similarity_matrix(points, 128)
    back = paste(full, crop(full, matrix, 128), matrix)
    assert back.shape == full.shape and back.dtype == np.uint8
    assert np.abs(back.astype(int) - full).mean() < 1.0


def test_paste_changes_the_face_and_fades_out_before_the_crops_edge():
    points = landmarks(300)
    full = draw(points, (300, 300))
    matrix = similarity_matrix(points, 96)
    back = paste(full, np.full((96, 96, 3), 255, np.uint8), matrix)
    centre = transform_points(np.array([[47.5, 47.5]]), cv2.invertAffineTransform(matrix))[0].astype(int)
    assert (back[centre[1], centre[0]] == 255).all()
    outside = crop(back, matrix, 96)[0].astype(int) - crop(full, matrix, 96)[0]
    assert np.abs(outside).max() < 12


def test_an_unknown_alignment_names_the_choices():
    with pytest.raises(UserError, match="similarity, box"):
        alignment_matrix(landmarks(), 64, "centre")
