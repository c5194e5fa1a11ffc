import numpy as np
import torch
from faces_on_disk import draw, landmarks

from datamodules.transforms import ColourJitter, mirror


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
