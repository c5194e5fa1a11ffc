"""The AU judge's network."""

import torch

from facegan.nets.au_regressor import AURegressor


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
