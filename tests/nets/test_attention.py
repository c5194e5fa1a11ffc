import pytest
import torch
import torch.nn.functional as F

from facegan.nets.attention import ExpressionAttention, SqueezeExcite


@pytest.mark.parametrize("merge", ["sum", "max"])
def test_scse_is_the_cited_block(merge):
    torch.manual_seed(0)
    net, x = SqueezeExcite(6, merge), torch.randn(2, 6, 5, 4)
    first, _, second = net.channel
    squeezed = x.mean((2, 3))
    gate = torch.sigmoid(torch.relu(squeezed @ first.weight.T + first.bias) @ second.weight.T + second.bias)
    place = torch.sigmoid(torch.einsum("bchw,c->bhw", x, net.spatial.weight[0, :, 0, 0]) + net.spatial.bias)
    by_channel, by_place = x * gate[:, :, None, None], x * place[:, None]
    wanted = by_channel + by_place if merge == "sum" else torch.maximum(by_channel, by_place)
    assert first.weight.shape == (3, 6)
    torch.testing.assert_close(net(x), wanted)


def test_alpha_is_the_sum_of_the_maps_by_their_probability():
    torch.manual_seed(0)
    net, x = ExpressionAttention(8, 6), torch.randn(3, 8, 7, 7)
    attended, logits, alpha = net(x)
    maps = F.conv2d(net.attend(x), net.maps.weight, net.maps.bias)
    torch.testing.assert_close(logits, maps.mean((2, 3)))
    p = logits.softmax(1)
    for b in range(3):
        raw = sum(p[b, i] * maps[b, i] for i in range(6))
        torch.testing.assert_close(
            alpha[b, 0], (raw - raw.min()) / (raw.max() - raw.min()), atol=1e-4, rtol=1e-4
        )
    torch.testing.assert_close(attended, x * alpha)
    assert alpha.min() >= 0 and 0.999 < alpha.max() <= 1


def test_a_flat_map_gives_no_nan_and_residual_keeps_what_is_not_attended():
    net = ExpressionAttention(4, 6)
    assert torch.isfinite(net(torch.ones(1, 4, 3, 3))[2]).all()
    residual, x = ExpressionAttention(4, 6, norm="sigmoid", residual=True), torch.rand(1, 4, 3, 3)
    attended, _, alpha = residual(x)
    assert ((alpha > 0) & (alpha < 1)).all()
    torch.testing.assert_close(attended, x * (1 + alpha))
