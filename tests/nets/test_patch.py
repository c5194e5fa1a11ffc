import torch

from facegan.nets.patch import MultiScaleDiscriminator


def test_it_is_pix2pixhd_s():
    net = MultiScaleDiscriminator()
    fine, coarse = net(torch.zeros(1, 3, 96, 96))
    assert fine.shape == (1, 1, 15, 15) and coarse.shape == (1, 1, 9, 9)
    assert round(sum(p.numel() for p in net.parameters()) / 1e6, 2) == 5.53
    assert len(MultiScaleDiscriminator(scales=3)(torch.zeros(1, 3, 96, 96))) == 3


def test_the_second_sees_the_picture_at_half_the_size():
    torch.manual_seed(0)
    net, x = MultiScaleDiscriminator(width=4), torch.randn(1, 3, 32, 32)
    half = torch.nn.functional.avg_pool2d(x, 3, 2, 1, count_include_pad=False)
    torch.testing.assert_close(net(x)[1], net.scales[1](half))
    assert torch.allclose(torch.ones(1, 3, 16, 16), torch.nn.functional.avg_pool2d(
        torch.ones(1, 3, 32, 32), 3, 2, 1, count_include_pad=False
    ))  # fmt: skip
