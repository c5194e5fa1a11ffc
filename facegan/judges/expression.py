"""AUs, expressions and head pose by a small convolutional net on aligned faces."""

from collections.abc import Sequence
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor

from facegan import faces
from facegan.config import judges_home
from facegan.judges.landmarks import FaceFinder
from facegan.judges.weights import AU_WEIGHTS, EXPRESSION_WEIGHTS, POSE_WEIGHTS, load_about, weights_note
from facegan.nets.au_regressor import POSE_SIDES, AURegressor, to_size


class _CNNJudge:
    """A trained ``AURegressor`` and what is known of it.

    Raises:
        UserError: the weights are missing or damaged.
    """

    def __init__(
        self, path: Path, recipe: str, device: str | torch.device, sides: Sequence[float] | None = None
    ) -> None:
        self.about = load_about(path, recipe)
        self.device = torch.device(device)
        self.net = AURegressor(self.about["channels"], len(self.about.get("expressions", faces.AUS)), sides)
        self.net.load_state_dict(load_file(path))
        self.net.to(self.device).eval().requires_grad_(False)

    def _answer(self, images: Tensor) -> Tensor:
        return self.net(to_size(images.to(self.device, torch.float32)))


class AUJudge(_CNNJudge):
    """AU intensities by a small convolutional net on aligned faces, resized to 128x128.

    Args:
        path: its weights; default ``judge_au.safetensors`` in ``facegan.config.judges_home()``.

    Raises:
        UserError: the weights are missing or damaged.
    """

    def __init__(self, path: Path | None = None, device: str | torch.device = "cpu") -> None:
        super().__init__(path or judges_home() / AU_WEIGHTS, "judge_au", device)
        self.description = f"AU regressor (CNN, 128x128), {weights_note(self.about)}"

    @torch.no_grad()
    def __call__(self, images: Tensor) -> Tensor:
        """(B, 3, S, S) in [-1, 1] -> AU intensities (B, 17), 0..5, on the CPU."""
        return self._answer(images).clamp(0, faces.AU_MAX).cpu()

    @torch.no_grad()
    def features(self, images: Tensor) -> Tensor:
        """The last conv map, its mean over places (B, C), on the CPU: what sets of pictures are compared by."""
        return self.net.features(to_size(images.to(self.device, torch.float32))).mean((2, 3)).cpu()


class ExpressionJudge(_CNNJudge):
    """Expressions by the same kind of net, trained by ``judge_expression`` on people of its own.

    Args:
        path: its weights; default ``judge_expression.safetensors`` in ``facegan.config.judges_home()``.

    Attributes:
        expressions: the classes that it knows, in the order of its answers.

    Raises:
        UserError: the weights are missing or damaged.
    """

    def __init__(self, path: Path | None = None, device: str | torch.device = "cpu") -> None:
        super().__init__(path or judges_home() / EXPRESSION_WEIGHTS, "judge_expression", device)
        self.expressions: tuple[str, ...] = tuple(self.about["expressions"])
        self.description = f"expression classifier (CNN, 128x128), {weights_note(self.about)}"

    @torch.no_grad()
    def __call__(self, images: Tensor) -> Tensor:
        """(B, 3, S, S) in [-1, 1] -> probabilities (B, len(expressions)), on the CPU."""
        return self._answer(images).softmax(1).cpu()

    @torch.no_grad()
    def features(self, images: Tensor) -> Tensor:
        """The last conv map as vectors (B, F), on the CPU: what expressions are compared by (AIP-GAN 4.4)."""
        return self.net.features(to_size(images.to(self.device, torch.float32))).flatten(1).cpu()


class PoseJudge(_CNNJudge):
    """The head's angles by the same kind of net, trained by ``judge_pose`` on generated tracks of people of its own.

    It knows the crop that it was trained on (``align``) and generated faces; of others ``HeadPose`` reads the angles.

    Args:
        path: its weights; default ``judge_pose.safetensors`` in ``facegan.config.judges_home()``.

    Raises:
        UserError: the weights are missing or damaged.
    """

    def __init__(
        self, path: Path | None = None, device: str | torch.device = "cpu", finder: FaceFinder | None = None
    ) -> None:
        super().__init__(path or judges_home() / POSE_WEIGHTS, "judge_pose", device, POSE_SIDES)
        self.align: str = self.about["align"]
        self.finder = finder or FaceFinder()
        self.description = f"head pose (CNN, 128x128), {weights_note(self.about)}"

    @torch.no_grad()
    def __call__(self, images: Tensor, landmarks: Tensor | None = None) -> Tensor:
        """(B, 3, S, S) in [-1, 1] -> pitch, yaw, roll (B, 3) in radians; NaN rows where no face is found.

        Args:
            landmarks: (B, 68, 2), if the finder has been asked already.
        """
        landmarks = self.finder(images) if landmarks is None else landmarks
        angles = self._answer(images).cpu()
        angles[~landmarks.isfinite().flatten(1).all(1)] = torch.nan
        return angles
