import numpy as np
import pytest
import torch
import torch.nn.functional as F
from scipy.signal import convolve2d
from torchmetrics.functional.image import multiscale_structural_similarity_index_measure as reference_ms_ssim

from facegan import losses


def test_levels_round_half_up_and_floor():
    au = torch.tensor([0.0, 0.49, 0.5, 1.5, 2.5, 4.5, 5.0])
    assert losses.au_levels(au).tolist() == [0, 0, 1, 2, 3, 5, 5]
    assert losses.au_levels(au, "floor").tolist() == [0, 0, 0, 1, 2, 4, 5]


def test_au_loss_is_eq_3_written_out():
    torch.manual_seed(0)
    logits, levels = torch.randn(3, 17, 6), torch.randint(0, 6, (3, 17))
    probability = torch.softmax(logits.double(), -1).numpy()
    by_hand = np.mean([[-np.log(probability[b, j, levels[b, j]]) for j in range(17)] for b in range(3)])
    assert losses.au_loss(logits, levels).item() == pytest.approx(by_hand, rel=1e-5)


def test_level_weights_weigh_their_own_au_and_level():
    logits = torch.zeros(1, 17, 6)
    levels = torch.zeros(1, 17, dtype=torch.long)
    levels[0, 3] = 2
    weights = torch.zeros(17, 6)
    weights[3, 2] = 17.0
    assert losses.au_loss(logits, levels, weights).item() == pytest.approx(np.log(6), rel=1e-5)


def test_expectation_of_certain_logits_is_the_level():
    logits = F.one_hot(torch.arange(6), 6).float()[None] * 100
    assert torch.allclose(losses.au_expectation(logits), torch.arange(6.0)[None], atol=1e-4)


@pytest.mark.parametrize("kind", losses.GAN_LOSSES)
def test_gan_losses_pull_the_right_way(kind):
    real = torch.zeros(4, requires_grad=True)
    fake = torch.zeros(4, requires_grad=True)
    losses.critic_loss(kind, real, fake).backward()
    down_real, down_fake = -real.grad.sum(), -fake.grad.sum()
    assert down_real > 0, "the critic must raise real scores"
    assert down_fake < 0 or kind == "lsgan-gp", "the critic must lower fake scores"
    score = torch.zeros(4, requires_grad=True)
    losses.generator_loss(kind, score).backward()
    assert score.grad.sum() < 0, "the generator must raise the score of its pictures"


def test_least_squares_targets_are_one_and_zero():
    ones, zeros = torch.ones(3), torch.zeros(3)
    assert losses.critic_loss("lsgan-gp", ones, zeros) == 0
    assert losses.generator_loss("lsgan-gp", ones) == 0


def test_log_form_equals_binary_cross_entropy():
    real, fake = torch.randn(5), torch.randn(5)
    expected = F.binary_cross_entropy_with_logits(real, torch.ones(5)) + F.binary_cross_entropy_with_logits(
        fake, torch.zeros(5)
    )
    assert torch.isclose(losses.critic_loss("eq2", real, fake), expected)
    assert torch.isclose(
        losses.generator_loss("eq2", fake), F.binary_cross_entropy_with_logits(fake, torch.ones(5))
    )


def test_gradient_penalty_of_a_linear_critic_is_known():
    torch.manual_seed(0)
    weight = torch.randn(3 * 8 * 8) * 0.1

    def critic(x):
        return (x.flatten(1) @ weight)[:, None].expand(-1, 4)  # a score map of four equal places

    expected = (weight.norm() - 1) ** 2
    assert torch.isclose(losses.gradient_penalty(critic, torch.randn(5, 3, 8, 8)), expected, rtol=1e-5)


def test_gradient_penalty_reaches_the_critic_s_weights():
    critic = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.LeakyReLU(), torch.nn.Conv2d(4, 1, 3))
    losses.gradient_penalty(critic, torch.randn(2, 3, 8, 8)).backward()
    assert critic[0].weight.grad.abs().sum() > 0


def test_interpolates_use_one_alpha_for_each_picture():
    real, fake = torch.ones(3, 3, 4, 4), torch.zeros(3, 3, 4, 4)
    points = losses.interpolate(real, fake, torch.tensor([0.0, 0.25, 1.0]))
    assert points.amin((1, 2, 3)).tolist() == points.amax((1, 2, 3)).tolist() == [0.0, 0.25, 1.0]


def test_ms_ssim_matches_torchmetrics_with_all_five_scales():
    torch.manual_seed(0)
    x = F.avg_pool2d(torch.rand(2, 3, 400, 400), 2)
    y = (x + 0.1 * torch.randn_like(x)).clamp(0, 1)
    ours = losses.ms_ssim(x * 2 - 1, y * 2 - 1)
    theirs = reference_ms_ssim(y, x, data_range=1.0, normalize="relu", reduction="none")
    assert torch.allclose(ours, theirs, atol=2e-3)


def reference_terms(x, y):
    """Luminance and contrast maps by SciPy, where the window (11, or as large as the map) lies inside the picture."""
    place = np.arange(min(11, len(x)))
    gauss = np.exp(-((place - place.mean()) ** 2) / (2 * 1.5**2))
    window = np.outer(gauss, gauss) / gauss.sum() ** 2

    def smooth(a):
        return convolve2d(a, window, mode="valid")

    mean_x, mean_y = smooth(x), smooth(y)
    var_x, var_y = smooth(x * x) - mean_x**2, smooth(y * y) - mean_y**2
    luminance = (2 * mean_x * mean_y + 1e-4) / (mean_x**2 + mean_y**2 + 1e-4)
    return luminance, (2 * (smooth(x * y) - mean_x * mean_y) + 9e-4) / (var_x + var_y + 9e-4)


@pytest.mark.parametrize(
    ("size", "weights"),
    [(192, losses.MS_SSIM_WEIGHTS), (128, losses.MS_SSIM_WEIGHTS), (64, (0.0448, 0.2856, 0.3001))],
)
def test_ms_ssim_matches_scipy(size, weights):
    torch.manual_seed(0)
    x = F.avg_pool2d(torch.rand(1, 3, 2 * size, 2 * size), 2)
    y = (x + 0.1 * torch.randn_like(x)).clamp(0, 1)
    a, b = x[0].double().numpy(), y[0].double().numpy()
    expected = 1.0
    for scale, weight in enumerate(weights):
        terms = [reference_terms(p, q) for p, q in zip(a, b, strict=True)]
        last = scale == len(weights) - 1
        term = np.mean([(lum * con if last else con).mean() for lum, con in terms])
        expected *= term ** (weight / sum(weights))
        a, b = (p.reshape(3, len(p[0]) // 2, 2, -1, 2).mean((2, 4)) for p in (a, b))
    assert losses.ms_ssim(x * 2 - 1, y * 2 - 1).item() == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize(("size", "scales"), [(32, 2), (64, 3), (96, 4), (128, 5), (256, 5)])
def test_ms_ssim_has_five_scales_from_128_on_and_those_that_fit_below(size, scales, monkeypatch):
    seen = []
    terms = losses._ssim_terms
    monkeypatch.setattr(losses, "_ssim_terms", lambda x, y, w: seen.append(x.shape[-1]) or terms(x, y, w))
    x = torch.rand(1, 3, size, size) * 2 - 1
    assert losses.ms_ssim(x, x).item() == pytest.approx(1.0)
    assert seen == [size >> i for i in range(scales)]


def test_ms_ssim_is_the_same_under_autocast():
    """In half precision the variances of a nearly flat picture would be rounding, and the loss NaN."""
    torch.manual_seed(0)
    x = torch.full((2, 3, 64, 64), 0.3) + 0.02 * torch.randn(2, 3, 64, 64)
    y = x + 0.02 * torch.randn_like(x)
    alone = losses.ms_ssim(x, y)
    with torch.autocast("cpu", torch.bfloat16):
        torch.testing.assert_close(losses.ms_ssim(x, y), alone)


def test_ms_ssim_of_opposite_pictures_has_a_finite_gradient():
    x = torch.rand(1, 3, 32, 32) * 2 - 1
    y = (-x).clone().requires_grad_(True)
    (1 - losses.ms_ssim(x, y)).sum().backward()
    assert y.grad.isfinite().all()
