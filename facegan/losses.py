"""The losses that methods share, as small pure functions on tensors; pictures are in [-1, 1]."""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

from facegan.precision import full

GAN_LOSSES = ("wgan-gp", "eq2", "lsgan-gp")


def critic_loss(kind: str, real: Tensor, fake: Tensor) -> Tensor:
    """What D minimises, without its penalty.

    ``wgan-gp`` E[D(fake)] - E[D(real)] (Gulrajani et al. 2017); ``eq2`` the log form of EGGAN's eq. 2 on
    logits; ``lsgan-gp`` squared distance to 1 and 0 (EGGAN's released code).
    """
    if kind == "wgan-gp":
        return fake.mean() - real.mean()
    if kind == "eq2":
        return F.softplus(-real).mean() + F.softplus(fake).mean()
    return (real - 1).square().mean() + fake.square().mean()


def generator_loss(kind: str, fake: Tensor) -> Tensor:
    """What G minimises so that D calls its picture real; ``eq2`` in the non-saturating form."""
    if kind == "wgan-gp":
        return -fake.mean()
    if kind == "eq2":
        return F.softplus(-fake).mean()
    return (fake - 1).square().mean()


def gradient_penalty(critic: Callable[[Tensor], Tensor], images: Tensor) -> Tensor:
    """E[(||dD/dx||_2 - 1)^2], the norm over each picture, with autocast off.

    Args:
        critic: D; its output is averaged over the score map, so that the norm does not grow with the map.
        images: (B, 3, S, S), where the gradient is taken: interpolates (WGAN-GP) or real ones (EGGAN eq. 2).
    """
    images = full(images.detach()).requires_grad_(True)
    with torch.autocast(images.device.type, enabled=False):
        score = critic(images).flatten(1).mean(1)
        (gradient,) = torch.autograd.grad(score.sum(), images, create_graph=True)
    return (gradient.flatten(1).norm(dim=1) - 1).square().mean()


def interpolate(real: Tensor, fake: Tensor, alpha: Tensor) -> Tensor:
    """Points between real and fake, one ``alpha`` (B,) in [0, 1] for each picture."""
    return torch.lerp(full(fake.detach()), full(real.detach()), alpha.view(-1, 1, 1, 1))


def au_levels(au: Tensor, rounding: str = "nearest") -> Tensor:
    """AU intensities 0..5 -> classes 0..5 (long).

    ``nearest`` rounds half up, as EGGAN 3.3 says in words; ``floor`` truncates, as its brackets and its
    released code do (docs/eggan.md E3). ``torch.round`` would send 0.5 to 0 and 2.5 to 2.
    """
    return (au + 0.5 if rounding == "nearest" else au).floor().clamp(0, 5).long()


def au_loss(logits: Tensor, levels: Tensor, level_weights: Tensor | None = None) -> Tensor:
    """EGGAN eq. 3: cross entropy over the six levels, averaged over AUs and pictures.

    Args:
        logits: (B, 17, 6). levels: (B, 17) long. level_weights: (17, 6) of each AU's levels, or None.
    """
    per_au = F.cross_entropy(full(logits.transpose(1, 2)), levels, reduction="none")
    if level_weights is not None:
        per_au = per_au * level_weights.gather(1, levels.T).T
    return per_au.mean()


def au_expectation(logits: Tensor) -> Tensor:
    """The intensity 0..5 (B, 17) that a six-level classifier (B, 17, 6) expects."""
    levels = full(logits).softmax(-1)
    return levels @ torch.arange(6, device=levels.device, dtype=levels.dtype)


MS_SSIM_WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)


def ms_ssim(x: Tensor, y: Tensor) -> Tensor:
    """Multi-scale structural similarity (B,), 1 for equal pictures (Wang et al. 2003).

    Pictures of [-1, 1] are mapped to [0, 1]. Gaussian window 11, sigma 1.5, no padding. Five scales from 128 pixels
    on, where the last map may be smaller than the window, which then shrinks to it (docs/eggan.md E12); below, those
    whose map holds the window, with weights that sum to 1 (3 at 64 pixels: E21). Negative contrast terms are
    clamped.
    """
    with torch.autocast(x.device.type, enabled=False):  # variances are small differences of large numbers
        return _ms_ssim((full(x) + 1) / 2, (full(y) + 1) / 2)


def _ms_ssim(x: Tensor, y: Tensor) -> Tensor:
    every = range(len(MS_SSIM_WEIGHTS))
    side = x.shape[-1]
    scales = list(every) if side >= 128 else [i for i in every if side >> i >= 11] or [0]
    weights = x.new_tensor(MS_SSIM_WEIGHTS[: len(scales)])
    weights = weights / weights.sum()
    product = x.new_ones(len(x))
    for i in scales:
        luminance, contrast = _ssim_terms(x, y, min(11, x.shape[-1]))
        term = luminance * contrast if i == scales[-1] else contrast
        # the mean over the map of each channel, then over channels, clamped where a power needs it
        product = product * term.mean((2, 3)).mean(1).clamp(min=1e-6) ** weights[i]
        x, y = F.avg_pool2d(x, 2), F.avg_pool2d(y, 2)
    return product


def _ssim_terms(x: Tensor, y: Tensor, window: int) -> tuple[Tensor, Tensor]:
    """Luminance and contrast-structure maps of pictures in [0, 1]."""
    channels = x.shape[1]
    position = torch.arange(window, device=x.device, dtype=x.dtype) - (window - 1) / 2
    gauss = torch.exp(-position.square() / (2 * 1.5**2))
    gauss = (gauss / gauss.sum()).repeat(5 * channels, 1)
    maps = torch.cat([x, y, x * x, y * y, x * y], 1)
    maps = F.conv2d(maps, gauss[:, None, :, None], groups=5 * channels)
    maps = F.conv2d(maps, gauss[:, None, None, :], groups=5 * channels)
    mean_x, mean_y, xx, yy, xy = maps.chunk(5, 1)
    c1, c2 = 0.01**2, 0.03**2
    luminance = (2 * mean_x * mean_y + c1) / (mean_x.square() + mean_y.square() + c1)
    var_x, var_y, cov = xx - mean_x.square(), yy - mean_y.square(), xy - mean_x * mean_y
    return luminance, (2 * cov + c2) / (var_x + var_y + c2)
