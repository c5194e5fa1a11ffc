import pytest
import torch
from torch import nn

from facegan.nets.icface import Generator
from facegan.nets.winograd import WinogradConv, quicken


@pytest.mark.parametrize("sides", [(6, 6), (34, 18), (9, 16), (3, 3)])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_it_is_the_plain_conv(sides, layout):
    """In double precision, so that nothing but rounding is forgiven; sides that tiles do not fill as well."""
    torch.manual_seed(0)
    conv = nn.Conv2d(5, 7, 3).double()
    x = torch.randn(2, 5, *sides, dtype=torch.float64).contiguous(memory_format=layout)
    assert torch.allclose(WinogradConv(conv)(x), conv(x), atol=1e-12)


def test_in_single_precision_rounding_stays_small():
    torch.manual_seed(0)
    conv, x = nn.Conv2d(256, 64, 3, bias=False), torch.randn(1, 256, 34, 34)
    with torch.inference_mode():
        plain = conv(x)
        assert (WinogradConv(conv)(x) - plain).abs().max() < 1e-4 * plain.std()


def test_under_autocast_it_is_the_plain_conv_to_the_bit():
    torch.manual_seed(0)
    conv, x = nn.Conv2d(8, 8, 3), torch.randn(1, 8, 10, 10)
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(WinogradConv(conv)(x), conv(x))


@pytest.mark.parametrize("options", [{"stride": 2}, {"padding": 1}, {"groups": 2}, {"dilation": 2}])
def test_other_convs_are_refused(options):
    with pytest.raises(ValueError, match="stride 1 without padding"):
        WinogradConv(nn.Conv2d(4, 4, 3, **options))


def test_a_generator_makes_the_same_pictures_with_its_wide_convs_replaced():
    torch.manual_seed(0)
    net = Generator(width=8, blocks=2).eval()
    images, attributes = torch.rand(2, 3, 32, 32) * 2 - 1, torch.rand(2, 20)
    with torch.inference_mode():
        before = net(images, attributes)
        quicken(net, least=32)  # of the residual blocks, and no other
        quicken(net, least=32)  # what is replaced stays as it is
        assert sum(isinstance(part, WinogradConv) for part in net.modules()) == 4
        assert torch.allclose(net(images, attributes), before, atol=1e-5)


def test_narrow_convs_are_left_as_they_are():
    net = Generator(width=8, blocks=1)
    quicken(net)
    assert not any(isinstance(part, WinogradConv) for part in net.modules())
