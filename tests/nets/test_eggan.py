import pytest
import torch
from torch import nn

from facegan.nets import eggan
from facegan.nets.blocks import ResidualUp, doublings, instance_norm
from facegan.nets.vgg import VGG19_FILE, VGG19Features, VGGClassifier

WIDTHS_G = (512, 512, 256, 128, 64, 32)
WIDTHS_D = (64, 128, 256, 512, 1024, 2048)


def millions(module: nn.Module) -> float:
    return sum(p.numel() for p in module.parameters()) / 1e6


def test_parameter_counts_at_128_are_those_of_the_fact_sheet():
    with torch.device("meta"):
        assert millions(eggan.Encoder(128, 512, (16, 32, 64, 128, 256))) == pytest.approx(2.80, abs=0.01)
        assert millions(eggan.Generator(128, 512, 17, WIDTHS_G)) == pytest.approx(13.6, abs=0.1)
        assert millions(eggan.ImageDiscriminator(128, WIDTHS_D)) == pytest.approx(44.7, abs=0.1)
        assert millions(eggan.LatentDiscriminator(512, (256, 128, 64, 32, 16))) == pytest.approx(
            0.175, abs=0.002
        )
        assert millions(VGGClassifier(102)) == pytest.approx(5.0, abs=0.1)
        assert millions(eggan.ReleasedEncoder(128, 512)) == pytest.approx(45.6, abs=0.2)
        assert millions(eggan.ReleasedGenerator(128, 512, 17)) == pytest.approx(112.4, abs=0.3)
        assert millions(eggan.ReleasedDiscriminator(128)) == pytest.approx(44.6, abs=0.2)
        assert millions(eggan.LatentDiscriminator(512, (128, 64, 32, 16))) == pytest.approx(0.077, abs=0.001)


@pytest.mark.parametrize(("size", "convs"), [(32, 3), (64, 4), (128, 5)])
def test_depth_follows_the_picture_size(size, convs):
    encoder = eggan.Encoder(size, 7, (2, 2, 2, 2, 2))
    generator = eggan.Generator(size, 7, 17, (2, 2, 2, 2, 2, 2))
    critic = eggan.ImageDiscriminator(size, (2, 2, 2, 2, 2, 2))
    images = torch.rand(2, 3, size, size) * 2 - 1
    code = encoder(images)
    made = generator(code, torch.rand(2, 17) * 5)
    assert sum(isinstance(m, nn.Conv2d) for m in encoder.convs) == convs
    assert sum(isinstance(m, ResidualUp) for m in generator.blocks) == convs + 1
    assert code.shape == (2, 7)
    assert made.shape == images.shape
    assert made.abs().max() <= 1
    assert critic(images).shape == (2, 1, 2, 2)


def test_released_networks_fit_together_at_128():
    images = torch.rand(1, 3, 128, 128) * 2 - 1
    code = eggan.ReleasedEncoder(128, 8, (2, 2, 2, 2, 2))(images)
    assert 0 < code.min() <= code.max() < 1
    assert eggan.ReleasedGenerator(128, 8, 17, (2,) * 6)(code, torch.zeros(1, 17)).shape == images.shape
    assert eggan.ReleasedDiscriminator(128, (2,) * 5)(images).shape == (1, 1, 1, 1)


def test_sizes_that_are_no_power_of_two_are_refused():
    with pytest.raises(ValueError, match="96"):
        doublings(96, 2)
    with pytest.raises(ValueError, match="generator_widths has 2"):
        eggan.Generator(64, 4, 17, (8, 8))


def test_instance_norm_is_pytorch_s():
    torch.manual_seed(0)
    x = torch.randn(3, 6, 5, 5)
    assert torch.allclose(instance_norm(6)(x), nn.InstanceNorm2d(6)(x), atol=1e-5)


def test_the_shortcut_before_up_sampling_equals_the_one_after():
    torch.manual_seed(0)
    block, x = ResidualUp(4, 3), torch.randn(2, 4, 5, 5)
    up = nn.functional.interpolate(x, scale_factor=2.0)
    late = block.norm2(block.conv2(block.act1(block.norm1(block.conv1(up))))) + block.shortcut(up)
    assert torch.allclose(block(x), block.act2(late), atol=1e-5)


def test_a_constant_condition_reaches_the_picture():
    torch.manual_seed(0)
    generator = eggan.Generator(32, 8, 17, (16, 16, 16, 16)).requires_grad_(False)
    code = torch.randn(1, 8)
    assert (
        generator(code, torch.zeros(1, 17)) - generator(code, torch.full((1, 17), 3.0))
    ).abs().max() > 1e-3


def test_view_is_the_same_for_equal_draws_and_moves_whole_pixels():
    torch.manual_seed(0)
    images = torch.rand(2, 3, 32, 32) * 2 - 1
    still = torch.tensor([[0.5, 0.5, 0.0, 0.0]]).expand(2, -1)
    assert torch.allclose(eggan.shift_blur_noise(images, still, 1.0), images, atol=1e-5)
    aside = torch.tensor([[1.0, 0.5, 0.0, 0.0]]).expand(2, -1)
    moved = eggan.shift_blur_noise(images, aside, 1.0)
    assert torch.allclose(moved[..., :-2], images[..., 2:], atol=1e-5), "a draw of 1 shifts by S / 16"
    noisy = torch.tensor([[0.5, 0.5, 0.0, 0.9], [0.5, 0.5, 0.0, 0.3]])
    both = eggan.shift_blur_noise(images, noisy, 1.0)
    second = eggan.shift_blur_noise(images[1:], noisy[1:], 1.0)
    assert torch.equal(both[1:], second), "a picture's noise must not depend on its batch"
    added = (both - images)[0]
    assert added.mean().abs() < 0.01
    assert 0.07 < added.std() < 0.11


def test_classifier_perceptual_features_are_its_third_stage():
    net = VGGClassifier(5, 0.125)
    x = torch.rand(1, 3, 32, 32)
    assert net.perceptual_features(x).shape == (1, 32, 8, 8)
    net.perceptual_features(x).sum().backward()
    assert net.stages[2][0].weight.grad is not None
    assert net.stages[2][3].weight.grad is None


def test_published_vgg19_file_is_loaded_into_its_places(tmp_path):
    torch.manual_seed(0)
    from torchvision.models import vgg19

    published = vgg19(weights=None)
    file = tmp_path / VGG19_FILE
    torch.save(published.state_dict(), file)
    ours = VGG19Features(file)
    x = torch.rand(1, 3, 32, 32) * 2 - 1
    assert torch.allclose(ours.perceptual_features(x), published.features[:12](x), atol=1e-6)
    assert not any(p.requires_grad for p in ours.parameters())
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    normed = ((x + 1) / 2 - mean[:, None, None]) / std[:, None, None]
    by_imagenet = VGG19Features(file, imagenet_norm=True).perceptual_features(x)
    assert torch.allclose(by_imagenet, published.features[:12](normed), atol=1e-5)


def test_classifier_takes_fewer_convs_and_a_whole_map():
    full = VGGClassifier(4, 0.125)
    assert sum(isinstance(m, nn.Conv2d) for m in full.modules()) == 16, "VGG19 has 16 convolutions"
    small = VGGClassifier(4, 0.125, convs=(1, 1, 2), flatten=32)
    assert sum(isinstance(m, nn.Conv2d) for m in small.modules()) == 4
    assert small.head.in_features == 32 * 8 * 8
    assert small(torch.rand(2, 3, 32, 32)).shape == (2, 4)


def test_layer_norm_in_the_encoder_keeps_what_instance_norm_removes():
    """A tint of the whole picture changes the code more when the norm looks at all channels together."""
    torch.manual_seed(0)
    x = torch.rand(4, 3, 32, 32) * 0.5
    tint = torch.tensor([0.4, 0.0, -0.4]).view(3, 1, 1)
    change = {}
    for norm in ("instance", "layer"):
        torch.manual_seed(1)
        encoder = eggan.Encoder(32, 16, (8, 8, 8), norm)
        a, b = encoder(x), encoder(x + tint)
        change[norm] = ((a - b).norm() / a.norm()).item()
    assert change["layer"] > 1.2 * change["instance"]
