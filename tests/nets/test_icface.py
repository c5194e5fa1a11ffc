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


@pytest.mark.parametrize(("norm", "mode"), [("batch", "reflect"), ("instance", "constant")])
def test_the_generator_layer_by_layer(norm, mode):
    """Section 3.1's list as the authors released it, from the weights in their order, by functions alone."""
    torch.manual_seed(0)
    net = Generator(4, 2, norm, dropout=0.5).eval()
    for buffer in net.buffers():  # running statistics that do something
        buffer.copy_(torch.rand_like(buffer.float()) + 0.5)
    state = list(net.state_dict().items())
    convs = iter([value for name, value in state if value.dim() == 4])
    bias = next(value for name, value in reversed(state) if value.shape == (3,))
    norms = iter([part for part in net.modules() if isinstance(part, torch.nn.BatchNorm2d)])

    def normed(x):
        if norm == "instance":
            return F.instance_norm(x)
        n = next(norms)
        return F.batch_norm(x, n.running_mean, n.running_var, n.weight, n.bias)

    def padded(x, by):
        return F.pad(x, (by,) * 4, mode)

    images, fa = torch.rand(2, 3, 16, 16) * 2 - 1, torch.rand(2, 20)
    x = torch.cat([images, fa[:, :, None, None].expand(-1, -1, 16, 16)], 1)
    x = F.relu(normed(F.conv2d(padded(x, 3), next(convs))))
    for _ in range(2):
        x = F.relu(normed(F.conv2d(x, next(convs), stride=2, padding=1)))
    for _ in range(2):
        inner = F.relu(normed(F.conv2d(padded(x, 1), next(convs))))
        x = x + normed(F.conv2d(padded(inner, 1), next(convs)))
    for _ in range(2):
        x = F.relu(normed(F.conv_transpose2d(x, next(convs), stride=2, padding=1, output_padding=1)))
    x = torch.tanh(F.conv2d(padded(x, 3), next(convs), bias))
    torch.testing.assert_close(net(images, fa), x, rtol=1e-4, atol=1e-5)


def test_the_discriminators_layer_by_layer():
    """The text's: CycleGAN's trunk, normed without offsets; the released one: pairs of convs with one ReLU (I3)."""
    torch.manual_seed(0)
    x = torch.rand(2, 3, 64, 64) * 2 - 1
    net = Discriminator(64, "patch", 4)
    w = [p for name, p in net.named_parameters() if name.startswith("trunk")]
    seen = F.leaky_relu(F.conv2d(x, w[0], w[1], 2, 1), 0.2)
    for weight, stride in zip(w[2:], (2, 2, 1), strict=True):
        seen = F.leaky_relu(F.instance_norm(F.conv2d(seen, weight, None, stride, 1)), 0.2)
    heads(net, x, seen, 1 / 7**2)

    net = Discriminator(64, "released", 4)
    w = [p for name, p in net.named_parameters() if name.startswith("trunk")]
    seen = x
    for k in range(0, 12, 4):
        seen = F.relu(F.conv2d(F.conv2d(seen, w[k], w[k + 1], 1, 1), w[k + 2], w[k + 3], 2, 1))
    seen = F.relu(F.conv2d(seen, w[12], w[13], 1, 1))
    seen = F.conv2d(F.conv2d(seen, w[14], w[15], 1, 1), w[16], w[17], 2, 1)
    heads(net, x, seen, 1.0)


def heads(net: Discriminator, x: torch.Tensor, seen: torch.Tensor, share: float) -> None:
    realness, attributes = net(x)
    c1, c2 = net.realness, net.attributes
    torch.testing.assert_close(realness, F.conv2d(seen, c1.weight, c1.bias, 1, 1))
    wanted = torch.sigmoid(share * F.conv2d(seen, c2.weight, c2.bias)).flatten(1)
    torch.testing.assert_close(attributes, wanted)
