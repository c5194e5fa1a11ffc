import json

import cv2
import numpy as np
import pytest
import torch

from facegan.config import UserError
from facegan.judges import (
    GEOMETRY,
    AUJudge,
    DlibJudge,
    FaceFinder,
    Judges,
    LandmarkGeometry,
    LightCNNJudge,
    geometry,
    save_judge,
    similarity,
    to_uint8,
)
from facegan.nets.au_regressor import AURegressor, augment
from facegan.nets.lightcnn import LightCNN29v2


def face_points():
    """A drawn face in units where the eyes are 60 apart."""
    points = np.zeros((68, 2))
    t = np.linspace(np.pi, 0, 17)
    points[0:17] = np.stack([64 + 50 * np.cos(t), 60 + 60 * np.sin(t)], 1)
    points[17:22] = np.stack([np.linspace(20, 48, 5), np.full(5, 30)], 1)
    points[22:27] = np.stack([np.linspace(80, 108, 5), np.full(5, 30)], 1)
    points[27:36] = [(64, 48), (64, 56), (64, 64), (64, 70), (56, 76), (60, 77), (64, 78), (68, 77), (72, 76)]
    for start, x in ((36, 34), (42, 94)):
        points[start : start + 6] = [
            (x - 9, 48),
            (x - 3, 45),
            (x + 3, 45),
            (x + 9, 48),
            (x + 3, 51),
            (x - 3, 51),
        ]
    points[48:60] = [(44, 95), (52, 91), (60, 90), (64, 91), (68, 90), (76, 91),
                     (84, 95), (76, 101), (68, 103), (64, 103), (60, 103), (52, 101)]  # fmt: skip
    points[60:68] = [(48, 95), (58, 94), (64, 94), (70, 94), (80, 95), (70, 97), (64, 97), (58, 97)]
    return points


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


@pytest.fixture
def au_weights(tmp_path):
    torch.manual_seed(0)
    path = tmp_path / "judge_au.safetensors"
    about = {"channels": [8, 8, 16, 16], "trained_on": "10 generated pictures (procedural head) of 2 people"}
    save_judge(path, AURegressor([8, 8, 16, 16]), about)
    return path


def test_au_judge_answers_alike_alone_and_in_a_batch_and_at_any_size(au_weights):
    judge = AUJudge(au_weights)
    images = torch.rand(3, 3, 64, 64) * 2 - 1
    answer = judge(images)
    assert answer.shape == (3, 17) and answer.min() >= 0 and answer.max() <= 5
    torch.testing.assert_close(answer[1:2], judge(images[1:2]), atol=1e-5, rtol=1e-4)
    assert "10 generated pictures (procedural head)" in judge.description
    assert judge.about["sha256"][:12] in judge.description


def test_au_judge_cuts_to_the_range_of_openface(au_weights):
    judge = AUJudge(au_weights)
    with torch.no_grad():
        judge.net.head[-1].bias.copy_(torch.linspace(-20, 20, 17))
    answer = judge(torch.zeros(1, 3, 128, 128))
    assert answer[0, 0] == 0 and answer[0, -1] == 5


def test_missing_or_changed_weights_say_what_to_type(au_weights, tmp_path, monkeypatch):
    monkeypatch.setenv("FACEGAN_JUDGES", str(tmp_path / "elsewhere"))
    with pytest.raises(UserError, match=r"judge_au\.safetensors.*facegan train judge_au"):
        AUJudge()
    with pytest.raises(UserError, match="facegan train judge_identity"):
        LightCNNJudge()
    about = json.loads(au_weights.with_suffix(".json").read_text())
    about["sha256"] = "0" * 64
    au_weights.with_suffix(".json").write_text(json.dumps(about))
    with pytest.raises(UserError, match="SHA-256 differs"):
        AUJudge(au_weights)


def test_no_face_is_nan_not_a_guess():
    pytest.importorskip("dlib")
    finder = FaceFinder()
    images = torch.zeros(2, 3, 64, 64)
    images[1, :, ::8, ::8] = 1  # a pattern that fools networks is no face
    assert finder(images).isnan().all()
    assert LandmarkGeometry(finder)(images).isnan().all()
    assert DlibJudge(finder)(images).isnan().all()


@pytest.fixture
def lightcnn_weights(tmp_path):
    torch.manual_seed(0)
    path = tmp_path / "judge_identity.safetensors"
    save_judge(path, LightCNN29v2(0.125), {"width": 0.125, "trained_on": "pictures"})
    return path


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


def test_pictures_to_uint8_round_and_cut():
    values = torch.tensor([-2.0, -1.0, 0.0, 1.0, 3.0]).view(1, 1, 1, 5).expand(1, 3, 1, 5)
    assert to_uint8(values)[0, 0, :, 0].tolist() == [0, 0, 128, 255, 255]


def test_augmentation_is_drawn_from_its_generator_and_keeps_the_range():
    images = torch.rand(9, 3, 32, 32) * 2 - 1
    before = images.clone()
    first, second = (augment(images, torch.Generator().manual_seed(5)) for _ in range(2))
    other = augment(images, torch.Generator().manual_seed(6))
    assert torch.equal(first, second) and not torch.equal(first, other)
    assert torch.equal(images, before)
    assert first.min() >= -1 and first.max() <= 1 and first.shape == images.shape


def test_augmentation_takes_fine_texture_from_most_pictures():
    """A chequerboard of single pixels must be gone in the blurred and halved thirds."""
    rows, columns = torch.meshgrid(torch.arange(64), torch.arange(64), indexing="ij")
    board = ((rows + columns) % 2).float().mul(2).sub(1).expand(30, 3, 64, 64)
    result = augment(board.clone(), torch.Generator().manual_seed(0))
    contrast = (result[..., 1:] - result[..., :-1]).abs().mean((1, 2, 3))
    assert (contrast < 0.5).sum() >= 15


def test_missing_lightcnn_leaves_dlib_and_says_so(tmp_path, monkeypatch):
    pytest.importorskip("dlib")
    monkeypatch.setenv("FACEGAN_JUDGES", str(tmp_path))
    judges = Judges()
    assert [judge.name for judge in judges.identity] == ["dlib"]
    assert "facegan train judge_identity" in judges.missing["LightCNN"]


def test_judges_share_one_finder_and_load_when_asked(au_weights, lightcnn_weights):
    pytest.importorskip("dlib")
    judges = Judges(au_path=au_weights, lightcnn_path=lightcnn_weights)
    assert judges.geometry.finder is judges.identity[0].finder is judges.identity[1].finder
    assert [judge.name for judge in judges.identity] == ["LightCNN", "dlib"]
    assert judges.au(torch.zeros(1, 3, 32, 32)).shape == (1, 17)
    assert len(GEOMETRY) == 4


@pytest.fixture(scope="module")
def generated_faces():
    """One person with the mouth shut and open, at 128 pixels: pictures and their exact landmarks."""
    from datamodules.generated.head import load_head
    from datamodules.generated.person import Person
    from datamodules.generated.render import embody, render, studio
    from facegan.faces import AUS

    head = load_head("procedural")
    body = embody(head, Person.draw(head, 500003))
    pictures = []
    for opening in (0, 4):
        au = np.zeros(17, np.float32)
        au[[AUS.index(25), AUS.index(26)]] = opening
        pictures.append(render(body, studio(au), 128))
    images = torch.from_numpy(np.stack([p.image for p in pictures])).permute(0, 3, 1, 2).float() / 127.5 - 1
    return images, np.stack([p.landmarks for p in pictures])


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


def test_dlib_knows_a_person_again_at_half_the_size(generated_faces):
    pytest.importorskip("dlib")
    images, _ = generated_faces
    judge = DlibJudge()
    whole = judge(images)
    half = judge(torch.nn.functional.interpolate(images, (64, 64), mode="area"))
    assert whole.shape == (2, 128)
    assert (similarity(whole, half) > 0.97).all()
