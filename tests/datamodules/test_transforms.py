import numpy as np
import torch
from faces_on_disk import draw, landmarks

from datamodules.transforms import ColourJitter, Crops, mirror


def test_mirror_turns_picture_landmarks_and_pose_alike():
    points = np.stack([landmarks(120, turn=0.2, shift=(8, 0))] * 2).astype(np.float32)
    images = torch.from_numpy(np.stack([draw(p) for p in points]))
    before = images.clone()
    moved, pose = points.copy(), np.array([[0.1, 0.2, 0.3]] * 2, np.float32)
    mirror(images, moved, pose, np.array([False, True]))
    assert torch.equal(images[0], before[0]) and torch.equal(images[1], before[1].flip(1))
    np.testing.assert_array_equal(moved[0], points[0])
    np.testing.assert_allclose(pose, [[0.1, 0.2, 0.3], [0.1, -0.2, -0.3]])
    # The person's right eye is still in the picture's left half, and on the mirrored eye of the picture.
    assert moved[1, 36:42, 0].mean() < moved[1, 42:48, 0].mean()
    np.testing.assert_allclose(moved[1, 36], [119 - points[1, 45, 0], points[1, 45, 1]])
    np.testing.assert_allclose(moved[1, 48], [119 - points[1, 54, 0], points[1, 54, 1]])


def test_jitter_follows_its_draw_alone_and_keeps_the_shapes():
    faces = torch.from_numpy(np.stack([draw(landmarks(64), (64, 64), noise=k) for k in range(4)]))
    draws = np.array([0.1, 0.5, 0.9, 0.3])
    together, again = faces.clone(), faces.clone()
    ColourJitter(0.3)(together, draws)
    jitter = ColourJitter(0.3)
    for k in (2, 0, 3, 1):
        jitter(again[k : k + 1], draws[k : k + 1])
    assert torch.equal(together, again)
    for before, after in zip(faces.double(), together.double(), strict=True):
        assert 1 < (after - before).abs().mean() < 60
        assert np.corrcoef(before.ravel(), after.ravel())[0, 1] > 0.9


def faces(count: int, size: int = 86) -> tuple[torch.Tensor, np.ndarray]:
    points = np.stack([landmarks(size)] * count).astype(np.float32)
    return torch.from_numpy(np.stack([draw(points[0], (size, size))] * count)), points


def test_five_crops_are_the_middle_and_the_corners():
    images, points = faces(5)
    pose = np.zeros((5, 3), np.float32)
    draws = np.column_stack([(np.arange(5) + 0.5) / 5, np.zeros(5)])
    got, moved, _ = Crops(86, 75, [0.0]).draw(images, points, pose, draws)
    shifts = [[5, 5], [0, 0], [11, 0], [0, 11], [11, 11]]
    for crop, (left, top) in zip(got, shifts, strict=True):
        assert torch.equal(crop, images[0, top : top + 75, left : left + 75])
    np.testing.assert_allclose(
        points - moved, np.broadcast_to(np.array(shifts)[:, None], points.shape), atol=1e-4
    )


def test_a_turned_crop_turns_landmarks_and_roll_with_it():
    images, points = faces(2)
    pose = np.array([[0.1, 0.2, 0.0]] * 2, np.float32)
    got, moved, turned = Crops(86, 86, [-6.0, 6.0]).draw(images, points, pose, np.array([[0, 0.2], [0, 0.8]]))
    eyes = moved[:, 42:48].mean(1) - moved[:, 36:42].mean(1)
    angle = np.arctan2(eyes[:, 1], eyes[:, 0])
    np.testing.assert_allclose(np.degrees(angle), [-6, 6], atol=1e-3)
    # roll is positive where the line of the eyes falls to the picture's right
    np.testing.assert_allclose(turned, [[0.1, 0.2, angle[0]], [0.1, 0.2, angle[1]]], atol=1e-6)
    # and the picture has turned the same way: a face drawn at the turned landmarks is the same picture
    for crop, at in zip(got, moved, strict=True):
        inside = slice(15, 71)
        again = torch.from_numpy(draw(at, (86, 86)))
        assert (crop[inside, inside].float() - again[inside, inside].float()).abs().mean() < 9


def test_the_middle_is_cut_without_resampling():
    images, points = faces(1)
    got, moved = Crops(86, 75).middle(images, points)
    assert torch.equal(got[0], images[0, 5:80, 5:80])
    np.testing.assert_array_equal(moved, points - 5)
