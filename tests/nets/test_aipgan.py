import pytest
import torch
import torch.nn.functional as F

from facegan.methods.aipgan import Generator
from facegan.methods.aipgan_config import AIPGANConfig
from facegan.nets import aipgan as nets


def millions(*modules: torch.nn.Module) -> float:
    return round(sum(p.numel() for m in modules for p in m.parameters()) / 1e6, 2)


def test_sizes_and_parameters_are_the_paper_s():
    """Computed by hand from the text of the paper (4.2), not by this code."""
    g = Generator(AIPGANConfig(), 96)
    assert nets.level_sizes(96, 7, 5) == [96, 48, 24, 12, 6, 3, 3, 3]
    assert millions(g.G_es) == 5.50 and millions(g.G_et) == 5.58
    assert millions(g.G_de) == 12.10
    assert millions(g.landmarks) == 4.74 and millions(g.identity_map) == 14.21


def test_the_ceb_blocks_fuse_the_levels_of_their_size():
    """Blocks 1, 3, 5, 6 read levels 7, 5, 3, 2 (4.2, A2)."""
    decoder, seen = nets.Decoder(96, 80, AIPGANConfig().widths, 5, 16, "cbp"), {}
    for k, module in decoder.ceb.items():
        module.register_forward_hook(
            lambda m, inputs, out, k=k: seen.update({int(k): tuple(i.shape[1:] for i in inputs)})
        )
    shapes = list(zip(AIPGANConfig().widths, nets.level_sizes(96, 7, 5)[1:], strict=True))
    maps = [torch.zeros(1, c, s, s) for c, s in shapes]
    assert decoder(torch.zeros(1, 80), maps, maps).shape == (1, 3, 96, 96)
    levels = {1: 7, 3: 5, 5: 3, 6: 2}
    assert seen.keys() == levels.keys()
    for k, level in levels.items():
        channels, side = shapes[level - 1]
        assert seen[k][1] == (channels, side, side) and seen[k][0][1:] == (side, side)


@pytest.mark.parametrize("size", [33, 48, 64, 75])
def test_any_size_comes_out_as_it_went_in(size):
    c = AIPGANConfig(widths=(4, 4, 4, 8, 8, 8, 8), bilinear=8, head=8)
    g, x = Generator(c, size), torch.rand(2, 3, size, size)
    assert g(x, x).shape == x.shape
    e = g.G_es(x)
    assert len(e.logits) == len(e.attention) == len(e.maps) == 7
    assert g.landmarks(e.code).shape == (2, 1, size, size)


def test_too_small_a_picture_is_refused():
    with pytest.raises(ValueError, match="image_size=32"):
        nets.level_sizes(32, 7, 5)


def test_the_result_depends_on_both_pictures_through_codes_and_maps():
    torch.manual_seed(0)
    c = AIPGANConfig(widths=(4, 4, 4, 8, 8, 8, 8), bilinear=16, head=8)
    g, x, y = Generator(c, 64), torch.rand(1, 3, 64, 64), torch.rand(1, 3, 64, 64)
    e, (h, maps), other = g.G_es(x), g.G_et(y), g.G_es(y)
    result = g.decode(e, h, maps)
    assert not torch.allclose(result, g.decode(nets.ExpressionFeatures(e.code, other.maps, [], []), h, maps))
    assert not torch.allclose(result, g.decode(nets.ExpressionFeatures(other.code, e.maps, [], []), h, maps))
    assert not torch.allclose(result, g.decode(e, h, g.G_et(x)[1]))


@pytest.mark.parametrize("ceb", ["cbp", "mcb3", "concat"])
def test_each_kind_of_ceb_trains(ceb):
    c = AIPGANConfig(widths=(4, 4, 4, 8, 8, 8, 8), bilinear=16, head=8, ceb=ceb)
    g, x = Generator(c, 64), torch.rand(2, 3, 64, 64)
    g(x, x.flip(0)).square().mean().backward()
    for name, p in g.named_parameters():
        if not name.startswith(("landmarks", "identity_map")):
            assert p.grad is not None and torch.isfinite(p.grad).all(), name


@pytest.fixture
def narrow():
    torch.manual_seed(0)
    g = Generator(AIPGANConfig(widths=(4, 4, 4, 8, 8, 8, 8), bilinear=8, head=8), 64)
    return g, torch.rand(2, 3, 64, 64) * 2 - 1


def _normed(x):
    return (x - x.mean((2, 3), keepdim=True)) / (x.var((2, 3), keepdim=True, unbiased=False) + 1e-5).sqrt()


@pytest.mark.parametrize("encoder", ["G_es", "G_et"])
def test_a_block_is_conv_norm_leaky_relu_average_pool_then_attention(encoder, narrow):
    """4.2, A1, A3; the next block and CEB get what attention leaves."""
    g, x = narrow
    net = getattr(g, encoder)
    maps = net(x).maps if encoder == "G_es" else net(x)[1]
    for level, (block, attend, given) in enumerate(zip(net.blocks, net.attention, maps, strict=True)):
        y = _normed(F.conv2d(x, block[0].weight, block[0].bias, padding=1))
        y = torch.maximum(y, 0.2 * y)
        y = F.avg_pool2d(y, 2) if level < 5 else y
        x = attend(y)[0] if encoder == "G_es" else attend(y)
        torch.testing.assert_close(given, x, atol=1e-4, rtol=1e-3)


def test_a_head_is_an_mlp_of_one_hidden_layer(narrow):
    g, _ = narrow
    code, (first, _, second) = torch.randn(2, 50), g.identity_map.layers
    hidden = (code @ first.weight.T + first.bias).clamp(min=0)
    by_hand = torch.tanh(hidden @ second.weight.T + second.bias).view(2, 3, 64, 64)
    torch.testing.assert_close(g.identity_map(code), by_hand, atol=1e-5, rtol=1e-4)


def test_the_decoder_enlarges_by_the_nearest_and_adds_bilinear_maps_where_4_2_says(narrow):
    g, x = narrow
    e, (h, maps) = g.G_es(x), g.G_et(x.flip(0))
    de, sizes = g.G_de, [2, 2, 2, 4, 8, 16, 32, 64]
    y = F.relu(de.seed(torch.cat([e.code, h], 1))).view(2, 8, 2, 2)
    for k, block in enumerate(de.blocks, 1):
        if k in (1, 3, 5, 6):
            y = torch.cat([y, de.ceb[str(k)].pooling(e.maps[7 - k], maps[7 - k])], 1)
        y = F.relu(_normed(F.conv2d(y, block[0].weight, block[0].bias, padding=1)))
        y = y.repeat_interleave(sizes[k] // y.shape[2], 2).repeat_interleave(sizes[k] // y.shape[3], 3)
    by_hand = torch.tanh(F.conv2d(y, de.picture.weight, de.picture.bias, padding=1))
    torch.testing.assert_close(g.decode(e, h, maps), by_hand, atol=1e-4, rtol=1e-3)


def test_each_kind_of_ceb_joins_what_it_says():
    """A12; "concat" is the ablation row: everything side by side."""
    x, e, i = (torch.randn(2, 4, 3, 3) for _ in range(3))
    beside = nets.CrossEncoderBilinear(4, 4, 8, "concat", seed=1)
    assert torch.equal(beside(x, e, i), torch.cat([x, e, i], 1))
    for kind, factor in (("cbp", False), ("mcb3", True)):
        pooled = nets.CrossEncoderBilinear(4, 4, 8, kind, seed=1)
        one, other = pooled(x, e, i)[:, 4:], pooled(2 * x.roll(1, 1), e, i)[:, 4:]
        assert torch.allclose(one, other) != factor, kind
        assert not torch.allclose(one, pooled(x, e.roll(1, 1), i)[:, 4:])
        assert not torch.allclose(one, pooled(x, e, i.roll(1, 1))[:, 4:])


def test_the_ceb_blocks_have_sketches_of_their_own():
    g = Generator(AIPGANConfig(widths=(8,) * 7, bilinear=16, head=8), 64)
    e = i = torch.randn(1, 8, 4, 4)
    sketches = [g.G_de.ceb[k].pooling(e, i) for k in ("1", "3", "5", "6")]
    assert not any(torch.allclose(a, b) for k, a in enumerate(sketches) for b in sketches[:k])


def test_the_landmark_head_is_not_bounded(narrow):
    """A15: Z ends in nothing."""
    g, _ = narrow
    code, (first, _, second) = 100 * torch.randn(2, 30), g.landmarks.layers
    by_hand = ((code @ first.weight.T + first.bias).clamp(min=0) @ second.weight.T + second.bias).view(
        2, 1, 64, 64
    )
    assert by_hand.abs().max() > 2
    torch.testing.assert_close(g.landmarks(code), by_hand, atol=1e-3, rtol=1e-4)
