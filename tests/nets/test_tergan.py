import pytest
import torch

from facegan.methods.tergan import TERGAN
from facegan.methods.tergan_config import TERGANConfig
from facegan.nets.tergan import CodeDiscriminator, Decoder, Discriminator, Encoder, halvings, reverse_gradient

WIDTHS = (64, 128, 256, 512, 1024)


def parameters(module: torch.nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


def test_seventy_five_is_halved_upwards():
    assert halvings(75, 5) == [75, 38, 19, 10, 5, 3] and halvings(96, 5) == [96, 48, 24, 12, 6, 3]


def test_sizes_of_the_paper():
    """The counts, worked out by hand from the numbers of the paper (4.1)."""
    with torch.device("meta"):
        module = TERGAN(TERGANConfig(), size=75, identities=80)
    G = module.generator
    assert [round(parameters(part) / 1e6, 2) for part in (G.G_es, G.G_et, G.G_de, module.D)] == [
        6.55, 6.74, 7.02, 4.88,
    ]  # fmt: skip
    assert (parameters(module.D_es), parameters(module.D_et)) == (1537, 2177)


@pytest.mark.parametrize("down", ["avg", "max", "stride"])
@pytest.mark.parametrize("size", [75, 96, 48])
def test_maps_and_pictures_have_the_sizes_asked_for(size, down):
    encoder, decoder = (
        Encoder(size, 30, (4, 4, 8, 8, 16), down, tanh=True),
        Decoder(size, 80, (4, 4, 8, 8, 16)),
    )
    maps = encoder.features(torch.zeros(2, 3, size, size))
    sides = halvings(size, 5)
    assert [tuple(m.shape) for m in maps] == [
        (2, width, side, side)
        for width, side in zip((4, 4, 8, 8, 16), sides[1:] if down == "stride" else sides, strict=False)
    ]
    code = encoder(torch.randn(2, 3, size, size) * 50)
    assert code.shape == (2, 30) and code.abs().max() <= 1
    picture = decoder(torch.randn(2, 80) * 50)
    assert picture.shape == (2, 3, size, size) and picture.abs().max() <= 1


def test_the_discriminator_s_branches_share_their_trunk():
    D = Discriminator(75, 6, 80, (16, 32, 64, 128), 1024, "batch")
    expression, identity = D(torch.randn(2, 3, 75, 75))
    assert expression.shape == (2, 7) and identity.shape == (2, 80)
    expression.sum().backward()
    assert all(p.grad is not None for p in D.trunk.parameters())
    assert all(p.grad is None for p in D.identity.parameters())


def test_group_norm_does_not_look_at_the_others_in_the_batch():
    torch.manual_seed(0)
    D = Discriminator(32, 6, 4, (8, 8, 8, 8), 16, "group")
    images = torch.randn(4, 3, 32, 32)
    torch.testing.assert_close(D(images)[0][:2], D(images[:2])[0])


def test_the_reversal_keeps_values_and_turns_gradients():
    x = torch.randn(3, requires_grad=True)
    y = reverse_gradient(x, 0.25)
    assert torch.equal(x, y)
    y.square().sum().backward()
    torch.testing.assert_close(x.grad, -0.25 * 2 * x.detach())


def test_the_code_discriminator_learns_while_the_code_learns_the_opposite():
    """Its own parameters get the plain gradient, the code the reversed one: against finite differences."""
    torch.manual_seed(0)
    critic, code = CodeDiscriminator(5).double(), torch.randn(4, 5, dtype=torch.double, requires_grad=True)
    critic(code).sum().backward()
    with torch.no_grad():
        step = torch.zeros_like(code)
        step[1, 2] = 1e-6
        slope = (critic(code + step).sum() - critic(code - step).sum()) / 2e-6
        torch.testing.assert_close(code.grad[1, 2], -slope, rtol=1e-5, atol=1e-9)
        bias = critic.layers[-1].bias
        assert bias.grad == 4  # d sum / d bias: not turned
