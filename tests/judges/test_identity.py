import cv2
import numpy as np
import pytest
import torch
from drawn import face_points

from facegan.judges import DlibJudge, LightCNNJudge, similarity
from facegan.nets.lightcnn import LightCNN29v2


def test_lightcnn_leaves_rows_without_a_face_empty(lightcnn_weights):
    pytest.importorskip("dlib")
    judge = LightCNNJudge(lightcnn_weights)
    images = torch.rand(3, 3, 64, 64) * 2 - 1
    points = torch.from_numpy(np.stack([face_points() / 2] * 3)).float()
    points[1] = torch.nan
    features = judge(images, points)
    assert features.shape == (3, 256)
    assert features.isnan().any(1).tolist() == [False, True, False]
    likeness = similarity(features, features)
    torch.testing.assert_close(likeness[[0, 2]], torch.ones(2, dtype=torch.float64))
    assert likeness[1].isnan()


def test_published_lightcnn_gets_the_crop_of_its_authors(tmp_path):
    """Eyes 40 - 8 and the mouth's corners 48 below, in the middle of 128 pixels, however the face lies."""
    pytest.importorskip("dlib")
    path = tmp_path / "LightCNN_29Layers_V2_checkpoint.pth.tar"
    torch.save({"state_dict": LightCNN29v2().state_dict()}, path)
    judge = LightCNNJudge(path)
    angle = 0.3
    turn = 1.5 * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    points = face_points() @ turn.T + [60, 20]
    picture = np.zeros((300, 300, 3), np.uint8)
    eyes, mouth = points[36:48].mean(0), points[[48, 54]].mean(0)
    for spot in (eyes, mouth):
        cv2.circle(picture, tuple(int(v) for v in spot.round()), 3, (255, 255, 255), -1)
    images = torch.from_numpy(picture).permute(2, 0, 1)[None].float() / 127.5 - 1
    crop = judge._crop(images, torch.from_numpy(points[None]).float())[0, 0].numpy()
    assert crop.shape == (128, 128)
    rows, columns = np.nonzero(crop > 0.5)
    upper = rows < 56
    np.testing.assert_allclose([columns[upper].mean(), rows[upper].mean()], [64, 32], atol=1)
    np.testing.assert_allclose([columns[~upper].mean(), rows[~upper].mean()], [64, 80], atol=1)


def test_dlib_knows_a_person_again_at_half_the_size(generated_faces):
    pytest.importorskip("dlib")
    images, _ = generated_faces
    judge = DlibJudge()
    whole = judge(images)
    half = judge(torch.nn.functional.interpolate(images, (64, 64), mode="area"))
    assert whole.shape == (2, 128)
    assert (similarity(whole, half) > 0.97).all()
