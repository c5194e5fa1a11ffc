import pytest
import torch
import torch.nn.functional as F

from facegan.nets.icface import Discriminator, Generator


def millions(module: torch.nn.Module) -> float:
    return round(sum(p.numel() for p in module.parameters()) / 1e6, 2)


def test_sizes_are_the_released_ones():
    """Counted from the list of layers that the authors released, not by this code."""
    assert millions(Generator()) == 31.44 and millions(Generator(64)) == 7.90
    assert millions(Discriminator(128)) == 5.07
    with torch.device("meta"):
        released = Discriminator(128, "released", 256)
    assert millions(released) == pytest.approx(77.4, abs=0.06)
    assert millions(Discriminator(128, "released", 64)) == pytest.approx(5.44, abs=0.01)


@pytest.mark.parametrize(("preset", "side"), [("patch", 14), ("released", 7)])
def test_heads_have_the_released_shapes(preset, side):
    realness, attributes = Discriminator(128, preset, 4)(torch.randn(2, 3, 128, 128))
    assert realness.shape == (2, 1, side, side) and attributes.shape == (2, 20)
    assert attributes.min() >= 0 and attributes.max() <= 1


@pytest.mark.parametrize("norm", ["batch", "instance"])
def test_the_result_depends_on_the_attributes(norm):
    """With InstanceNorm too, where reflecting padding would lose a constant plane (I2)."""
    torch.manual_seed(0)
    net, x = Generator(8, 2, norm, dropout=0), torch.rand(2, 3, 32, 32) * 2 - 1
    with torch.no_grad():
        # of different ones: what a whole batch shares, BatchNorm takes away
        fa = torch.stack([torch.zeros(20), torch.ones(20)])
        a, b = net(x, fa), net(x, fa.flip(0))
    assert a.shape == x.shape and a.abs().max() <= 1
    assert (a - b).abs().mean() > 1e-3


@pytest.mark.parametrize("norm", ["batch", "instance"])
def test_attributes_are_planes_behind_the_picture(norm):
    """Whatever is done to be cheaper: the picture is that of the planes put behind the image."""
    torch.manual_seed(0)
    net = Generator(4, 1, norm).eval()
    x, fa = torch.rand(1, 3, 16, 16), torch.rand(1, 20)
    planes = fa[:, :, None, None] * torch.ones(1, 20, 16, 16)
    torch.testing.assert_close(net(x, fa), net.layers(torch.cat([x, planes], 1)))


def test_dropout_is_for_training_alone():
    torch.manual_seed(0)
    net, x = Generator(4, 1), torch.rand(2, 3, 16, 16)
    fa = torch.zeros(2, 20)
    assert not torch.equal(net(x, fa), net(x, fa))
    net.eval()
    assert torch.equal(net(x, fa), net(x, fa))


def test_a_deconv_is_the_released_one():
    """Stride 2, padding 1, output padding 1: doubles exactly."""
    deconv = Generator(4, 0).layers[10]
    assert isinstance(deconv, torch.nn.ConvTranspose2d) and deconv.output_padding == (1, 1)
    assert F.conv_transpose2d(torch.zeros(1, 16, 8, 8), deconv.weight, None, 2, 1, 1).shape[-1] == 16


def test_too_small_a_picture_is_refused():
    with pytest.raises(ValueError, match="image_size=16"):
        Discriminator(16)


def test_a_step_of_the_paper_s_rate_leaves_c_2_able_to_learn():
    torch.manual_seed(0)
    D, images = Discriminator(128, width=16), torch.rand(4, 3, 128, 128) * 2 - 1
    optimizer = torch.optim.RMSprop(D.parameters(), 2e-4, 0.99)
    for _ in range(2):
        optimizer.zero_grad()
        D(images)[1].square().sum().backward()  # towards 0, where most AUs are
        optimizer.step()
    assert D(images)[1].min() > 0.05 and D(images)[1].mean() < 0.5
