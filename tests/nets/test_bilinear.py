import numpy as np
import pytest
import torch

from facegan.nets.bilinear import CompactBilinear, CountSketch


def test_a_count_sketch_adds_each_channel_with_its_sign_to_its_place():
    net = CountSketch(9, 4, torch.Generator().manual_seed(3))
    x = torch.randn(5, 9)
    wanted = torch.zeros(5, 4)
    for channel in range(9):
        wanted[:, net.place[channel]] += net.sign[channel] * x[:, channel]
    torch.testing.assert_close(net(x), wanted)
    assert set(net.sign.tolist()) <= {-1.0, 1.0}


def test_it_is_the_sketch_of_the_explicit_outer_product():
    """Entry (i, j) of the outer product goes, with both signs, to place h1(i) + h2(j) modulo d."""
    torch.manual_seed(0)
    net = CompactBilinear([6, 5], out=7, seed=1)
    x, y = torch.randn(2, 6, 3, 3), torch.randn(2, 5, 3, 3)
    first, second = net.sketches
    wanted = np.zeros((2, 3, 3, 7))
    for i in range(6):
        for j in range(5):
            place = (first.place[i] + second.place[j]).item() % 7
            sign = (first.sign[i] * second.sign[j]).item()
            wanted[..., place] += sign * (x[:, i] * y[:, j]).numpy()
    np.testing.assert_allclose(net.pooled(x, y).numpy(), wanted, atol=1e-5)


def test_products_of_sketches_estimate_products_of_outer_products():
    """<psi(x, y), psi(u, v)> has the mean <x, u><y, v>, and errs less the more numbers it has."""
    g = torch.Generator().manual_seed(0)
    x, y, u, v = (torch.randn(1, 32, 1, 1, generator=g) for _ in range(4))
    u, v = x + 0.5 * u, y + 0.5 * v
    exact = ((x * u).sum() * (y * v).sum()).item()
    scale = (x.norm() * u.norm() * y.norm() * v.norm()).item()
    errors = {}
    for out in (64, 256, 1024):
        nets = [CompactBilinear([32, 32], out, seed) for seed in range(60)]
        found = torch.tensor([(n.pooled(x, y) * n.pooled(u, v)).sum().item() for n in nets])
        assert abs(found.mean().item() - exact) < 4 * found.std().item() / 60**0.5, "the estimate is unbiased"
        errors[out] = (found - exact).square().mean().sqrt().item() / scale
    assert errors[256] < 0.75 * errors[64] and errors[1024] < 0.75 * errors[256], errors
    assert errors[1024] < 3 / 1024**0.5


def test_of_three_inputs_it_sketches_the_triple_product():
    torch.manual_seed(0)
    net = CompactBilinear([3, 2, 4], out=5)
    x, y, z = (torch.randn(1, c, 1, 1) for c in (3, 2, 4))
    wanted = np.zeros(5)
    a, b, c = net.sketches
    for i in range(3):
        for j in range(2):
            for k in range(4):
                place = (a.place[i] + b.place[j] + c.place[k]).item() % 5
                sign = (a.sign[i] * b.sign[j] * c.sign[k]).item()
                wanted[place] += sign * (x[0, i] * y[0, j] * z[0, k]).item()
    np.testing.assert_allclose(net.pooled(x, y, z).flatten().numpy(), wanted, atol=1e-5)


def test_what_comes_out_is_the_signed_root_of_length_one():
    torch.manual_seed(0)
    net, x, y = CompactBilinear([6, 6], 16), torch.randn(2, 6, 2, 2), torch.randn(2, 6, 2, 2)
    pooled = net.pooled(x, y)
    root = pooled.sign() * pooled.abs().sqrt()
    wanted = (root / root.norm(dim=-1, keepdim=True)).permute(0, 3, 1, 2)
    torch.testing.assert_close(net(x, y), wanted, atol=2e-3, rtol=2e-3)


def test_gradients_are_finite_at_zero_and_right_elsewhere():
    net = CompactBilinear([3, 3], 6).double()
    zero = torch.zeros(1, 3, 1, 1, dtype=torch.double, requires_grad=True)
    net(zero, zero).sum().backward()
    assert torch.isfinite(zero.grad).all()
    x = torch.randn(
        1, 3, 2, 2, dtype=torch.double, generator=torch.Generator().manual_seed(0)
    ).requires_grad_()
    y = torch.randn(
        1, 3, 2, 2, dtype=torch.double, generator=torch.Generator().manual_seed(1)
    ).requires_grad_()
    assert torch.autograd.gradcheck(net, (x, y))


def test_autocast_changes_nothing_but_the_outcome_s_precision():
    net, x, y = CompactBilinear([8, 8], 32), torch.randn(2, 8, 2, 2), torch.randn(2, 8, 2, 2)
    exact = net(x.bfloat16().float(), y.bfloat16().float())
    with torch.autocast("cpu", torch.bfloat16):
        under = net(x.bfloat16(), y.bfloat16())
    assert under.dtype == torch.bfloat16
    torch.testing.assert_close(under.float(), exact, atol=4e-3, rtol=1e-2)


@pytest.mark.parametrize("seed", [0, 5])
def test_places_and_signs_come_from_the_seed_and_are_saved(seed):
    torch.manual_seed(seed)
    a, b = CompactBilinear([8, 8], 32, seed=2), CompactBilinear([8, 8], 32, seed=3)
    assert torch.equal(a.sketches[0].place, CompactBilinear([8, 8], 32, seed=2).sketches[0].place)
    assert not torch.equal(a.sketches[0].place, b.sketches[0].place)
    b.load_state_dict(a.state_dict())
    assert torch.equal(a.sketches[1].sign, b.sketches[1].sign)
