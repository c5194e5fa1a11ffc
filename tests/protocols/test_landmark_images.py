import numpy as np
import torch

from datamodules.preparation.identity_maps import landmark_images
from facegan.protocols.landmark_images import ShapeModel, error


def shapes(n: int, seed: int = 0) -> np.ndarray:
    """Landmarks (N, 68, 2) that vary in a few ways: a grid that is stretched, moved, and whose middle opens."""
    rng = np.random.default_rng(seed)
    rest = np.stack(np.meshgrid(np.linspace(12, 52, 17), np.linspace(16, 48, 4)), -1).reshape(68, 2)
    middle = np.exp(-(((rest - 32) / 8) ** 2).sum(1))[:, None] * np.sign(rest - 32.01) * [0, 1]
    moves = np.stack([rest - 32, np.ones_like(rest) * [6, 0], np.ones_like(rest) * [0, 6], 40 * middle])
    return rest + np.einsum("nk,kpc->npc", rng.normal(0, [0.08, 0.4, 0.4, 0.1], (n, 4)), moves)


def test_landmarks_are_read_off_their_own_picture():
    """Drawn by the data set's own code, which this one does not use."""
    model, true = ShapeModel.of(shapes(200)), shapes(8, seed=1)
    drawn = torch.from_numpy(landmark_images(true.astype(np.float32), 64))
    read = model.read(drawn)
    far = (read - torch.from_numpy(true)).norm(dim=2).mean(1)
    mean = (model.mean - torch.from_numpy(true)).norm(dim=2).mean(1)
    assert far.mean() < 0.5 and far.mean() < mean.mean() / 4, (far, mean)


def test_landmarks_a_pixel_apart_are_read_as_well():
    """Those of eyes and lips are, at 64 pixels: dots that run into one another."""
    close, middle = np.array([0.4, 0.3]), np.array([32, 32])
    learnt, true = (middle + (shapes(n, seed) - middle) * close for n, seed in ((200, 0), (8, 1)))
    read = ShapeModel.of(learnt).read(torch.from_numpy(landmark_images(true.astype(np.float32), 64)))
    assert (read - torch.from_numpy(true)).norm(dim=2).mean(1).max() < 0.15


def test_a_faint_picture_is_read_as_a_bright_one():
    """A network that is not sure draws faintly."""
    model, true = ShapeModel.of(shapes(200)), shapes(4, seed=1)
    drawn = torch.from_numpy(landmark_images(true.astype(np.float32), 64))
    assert (model.read(0.3 * drawn) - torch.from_numpy(true)).norm(dim=2).mean(1).max() < 0.5


def test_of_a_black_picture_the_mean_shape_is_read():
    model = ShapeModel.of(shapes(50))
    assert torch.allclose(model.read(torch.zeros(1, 1, 64, 64))[0], model.mean, atol=0.1)


def test_the_modes_are_deviations_long():
    """A shape that varies in one way, with a deviation of 2 pixels."""
    along = np.random.default_rng(0).normal(0, 2, 500)
    landmarks = np.zeros((500, 68, 2)) + 30
    landmarks[:, :, 0] += along[:, None]
    model = ShapeModel.of(landmarks, modes=3)
    assert abs(model.modes[0, :, 0].abs().mean().item() - 2) < 0.15 and model.modes[1:].abs().max() < 1e-3


def test_errors_are_in_distances_between_the_eyes():
    true = torch.zeros(1, 68, 2)
    true[:, 42:48, 0] = 20
    read = true.clone()
    read[:, :, 1] = 5
    assert error(read, true).item() == 0.25
