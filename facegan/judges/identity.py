"""Who somebody is: LightCNN-29v2 and dlib's ResNet."""

from pathlib import Path

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from torch import Tensor

from datamodules.preparation.landmarks import dlib_models
from facegan import faces
from facegan.config import judges_home
from facegan.judges.landmarks import FaceFinder
from facegan.judges.weights import IDENTITY_WEIGHTS, checksum, load_about, weights_note
from facegan.nets import lightcnn
from facegan.pixels import enlarged, to_uint8

SAME_PERSON = 0.6
"""Distance of two of dlib's features below which it calls them one person (its authors' value)."""


class LightCNNJudge:
    """Identity by LightCNN-29v2: the published weights where they are at hand, else those trained here.

    The published net wants its own crop (eyes 48 pixels above the mouth, 40 below the upper edge of 144, of
    which the middle 128 are taken), which is cut by the landmarks; the net trained here takes the pictures as
    it learned them, aligned by the data module.

    Args:
        path: a published ``.pth.tar`` or an exported ``.safetensors``; default: what is in ``judges_home()``.

    Raises:
        UserError: no weights are there.
    """

    name = "LightCNN"

    def __init__(
        self, path: Path | None = None, device: str | torch.device = "cpu", finder: FaceFinder | None = None
    ) -> None:
        if path is None:
            published = judges_home() / lightcnn.PUBLISHED_FILE
            path = published if published.is_file() else judges_home() / IDENTITY_WEIGHTS
        self.finder = finder or FaceFinder()
        self.published = path.suffix != ".safetensors"
        if self.published:
            self.net = lightcnn.load_published(path)
            note = f"published weights, sha256 {checksum(path)[:12]}"
        else:
            about = load_about(path, "judge_identity")
            self.net = lightcnn.LightCNN29v2(about["width"])
            self.net.load_state_dict(load_file(path))
            note = f"width {about['width']:g}, {weights_note(about)}"
        self.device = torch.device(device)
        self.net.to(self.device).eval().requires_grad_(False)
        self.description = f"LightCNN-29v2 ({note})"

    @torch.no_grad()
    def __call__(self, images: Tensor, landmarks: Tensor | None = None) -> Tensor:
        """(B, 3, S, S) in [-1, 1] -> features (B, 256) on the CPU; NaN rows where there is no face."""
        landmarks = self.finder(images) if landmarks is None else landmarks
        found = landmarks.isfinite().all(dim=(1, 2))
        features = torch.full((len(images), lightcnn.FEATURES), torch.nan)
        if found.any():
            chosen = images[found.to(images.device)].to(self.device, torch.float32)
            grey = self._crop(chosen, landmarks[found]) if self.published else lightcnn.to_grey(chosen)
            features[found] = self.net(grey).cpu()
        return features

    def _crop(self, images: Tensor, landmarks: Tensor) -> Tensor:
        pixels, points = to_uint8(images), landmarks.numpy()
        eyes = (points[:, faces.EYE_RIGHT].mean(1), points[:, faces.EYE_LEFT].mean(1))
        mouths = points[:, [48, 54]].mean(1)
        crops = []
        for picture, right, left, mouth in zip(pixels, *eyes, mouths, strict=True):
            middle = (right + left) / 2
            across = (left - right) / np.linalg.norm(left - right)
            scale = 48 / max(abs(float(np.dot(mouth - middle, [-across[1], across[0]]))), 1.0)
            turn = scale * np.array([[across[0], across[1]], [-across[1], across[0]]])
            matrix = np.column_stack([turn, np.array([64, 40 - 8]) - turn @ middle])
            crop = cv2.warpAffine(
                picture, matrix, (128, 128), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
            )
            crops.append(cv2.cvtColor(crop, cv2.COLOR_RGB2GRAY))
        return torch.from_numpy(np.stack(crops))[:, None].to(self.device).float() / 255


class DlibJudge:
    """Identity by dlib's published ResNet, trained on photographs of 7,485 people (99.38 % on LFW).

    Raises:
        UserError: the extra ``dlib`` is not installed.
    """

    name = "dlib"

    def __init__(self, finder: FaceFinder | None = None) -> None:
        dlib, models = dlib_models()
        weights = models / "dlib_face_recognition_resnet_model_v1.dat"
        self.dlib = dlib
        self.finder = finder or FaceFinder()
        self.net = dlib.face_recognition_model_v1(str(weights))
        self.description = f"dlib ResNet v1 (published weights, sha256 {checksum(weights)[:12]})"

    def __call__(self, images: Tensor, landmarks: Tensor | None = None) -> Tensor:
        """(B, 3, S, S) in [-1, 1] -> features (B, 128); NaN rows where there is no face."""
        landmarks = self.finder(images) if landmarks is None else landmarks
        features = torch.full((len(images), 128), torch.nan)
        chips, rows = [], []
        for row, (picture, points) in enumerate(zip(to_uint8(images), landmarks.numpy(), strict=True)):
            if np.isfinite(points).all():
                large, scale = enlarged(picture, self.finder.side)
                corners = [self.dlib.point(*map(round, p)) for p in ((points + 0.5) * scale - 0.5).tolist()]
                box = self.dlib.rectangle(0, 0, large.shape[1], large.shape[0])
                face = self.dlib.full_object_detection(box, self.dlib.points(corners))
                chips.append(self.dlib.get_face_chip(large, face, size=150, padding=0.25))
                rows.append(row)
        if rows:
            found = self.net.compute_face_descriptor(chips)
            features[rows] = torch.tensor(np.array(found), dtype=torch.float32)
        return features


IdentityJudge = LightCNNJudge | DlibJudge


def similarity(a: Tensor, b: Tensor) -> Tensor:
    """Cosine of features (B, D) and (B, D) -> (B,); NaN where either could not be judged."""
    return F.cosine_similarity(a.double(), b.double(), dim=1)
