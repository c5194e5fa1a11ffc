"""The AU judge's network."""

import torch

from facegan.nets.au_regressor import AURegressor, augment


def test_out_of_training_it_looks_at_the_mirror_image_too():
    torch.manual_seed(0)
    net, images = AURegressor([4, 4, 8, 8]), torch.randn(3, 3, 128, 128)
    net.eval()
    with torch.no_grad():
        plain, mirrored = (net.head(net.trunk(views)) for views in (images, images.flip(-1)))
        torch.testing.assert_close(net(images), (plain + mirrored) / 2)
        assert (plain - mirrored).abs().max() > 1e-3
    net.train()
    assert not torch.allclose(net(images), net(images.flip(-1)))


def test_augmentation_is_drawn_from_its_generator_and_keeps_the_range():
    images = torch.rand(9, 3, 32, 32) * 2 - 1
    before = images.clone()
    first, second = (augment(images, torch.Generator().manual_seed(5)) for _ in range(2))
    other = augment(images, torch.Generator().manual_seed(6))
    assert torch.equal(first, second) and not torch.equal(first, other)
    assert torch.equal(images, before)
    assert first.min() >= -1 and first.max() <= 1 and first.shape == images.shape


def test_augmentation_is_the_same_under_autocast():
    images = torch.rand(6, 3, 64, 64, generator=torch.Generator().manual_seed(0)) * 2 - 1
    wanted = augment(images.clone(), torch.Generator().manual_seed(5))
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(augment(images.clone(), torch.Generator().manual_seed(5)), wanted)


def test_augmentation_takes_fine_texture_from_most_pictures():
    """A chequerboard of single pixels must be gone in the blurred and halved thirds."""
    rows, columns = torch.meshgrid(torch.arange(64), torch.arange(64), indexing="ij")
    board = ((rows + columns) % 2).float().mul(2).sub(1).expand(30, 3, 64, 64)
    result = augment(board.clone(), torch.Generator().manual_seed(0))
    contrast = (result[..., 1:] - result[..., :-1]).abs().mean((1, 2, 3))
    assert (contrast < 0.5).sum() >= 15
