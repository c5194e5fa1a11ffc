"""Frozen evaluators: AU regressor, landmark geometry, face recognisers. Never the network of a loss.

Every judge takes pictures as float tensors (B, 3, S, S) in [-1, 1] of any size and says in ``description``
what it is and where its weights come from, for the tables. What cannot be judged (no face found) is a row of
NaN.
"""

import hashlib
import importlib.util
import json
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from facegan import faces
from facegan.config import UserError, judges_home
from facegan.nets import lightcnn
from facegan.nets.au_regressor import AURegressor, to_size

GEOMETRY = ("mouth opening", "corner spread", "brow height", "eye opening")
AU_WEIGHTS = "judge_au.safetensors"
EXPRESSION_WEIGHTS = "judge_expression.safetensors"
IDENTITY_WEIGHTS = "judge_identity.safetensors"


def checksum(path: Path) -> str:
    """SHA-256 of a file in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def save_judge(path: Path, net: nn.Module, about: Mapping[str, Any]) -> None:
    """Write a judge's weights as safetensors and what is known about them as JSON beside it.

    Args:
        path: ``….safetensors``.
        about: plain values; ``trained_on`` (a sentence) goes into the judge's description.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file({key: value.detach().cpu().contiguous() for key, value in net.state_dict().items()}, path)
    about = {**about, "sha256": checksum(path)}
    path.with_suffix(".json").write_text(json.dumps(about, indent=2) + "\n")


def training_note(data: Any) -> str:
    """What a judge was trained on, in a few words: ``50,000 generated pictures (ict head) of 5,000 people``.

    Args:
        data: a data module, with ``train`` and ``generated`` (the head's name, or None).
    """
    people = len(np.unique(np.asarray(data.train.identity)))
    kind = f"generated pictures ({data.generated} head)" if data.generated else "pictures"
    return f"{len(data.train.identity):,} {kind} of {people:,} {'person' if people == 1 else 'people'}"


def load_about(path: Path, recipe: str) -> dict[str, Any]:
    """The JSON beside a judge's weights.

    Raises:
        UserError: the weights or the JSON are missing, or the weights are not those that the JSON describes.
    """
    beside = path.with_suffix(".json")
    for file in (path, beside):
        if not file.is_file():
            raise UserError(
                f"a judge's {file.name} is missing: looked for {file}. Train it with: facegan train {recipe} "
                f"(or point FACEGAN_JUDGES to the folder that has it)"
            )
    about: dict[str, Any] = json.loads(beside.read_text())
    if about.get("sha256") != checksum(path):
        raise UserError(
            f"{path} is not the file that {beside.name} describes (SHA-256 differs). Copy both again, "
            f"or train anew: facegan train {recipe}"
        )
    return about


def _weights_note(about: Mapping[str, Any]) -> str:
    return f"trained here on {about['trained_on']}; sha256 {about['sha256'][:12]}"


class _CNNJudge:
    """A trained ``AURegressor`` and what is known of it.

    Raises:
        UserError: the weights are missing or damaged.
    """

    def __init__(self, path: Path, recipe: str, device: str | torch.device) -> None:
        self.about = load_about(path, recipe)
        self.device = torch.device(device)
        self.net = AURegressor(self.about["channels"], len(self.about.get("expressions", faces.AUS)))
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
        self.description = f"AU regressor (CNN, 128x128), {_weights_note(self.about)}"

    @torch.no_grad()
    def __call__(self, images: Tensor) -> Tensor:
        """(B, 3, S, S) in [-1, 1] -> AU intensities (B, 17), 0..5, on the CPU."""
        return self._answer(images).clamp(0, faces.AU_MAX).cpu()


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
        self.description = f"expression classifier (CNN, 128x128), {_weights_note(self.about)}"

    @torch.no_grad()
    def __call__(self, images: Tensor) -> Tensor:
        """(B, 3, S, S) in [-1, 1] -> probabilities (B, len(expressions)), on the CPU."""
        return self._answer(images).softmax(1).cpu()

    @torch.no_grad()
    def features(self, images: Tensor) -> Tensor:
        """The last conv map as vectors (B, F), on the CPU: what expressions are compared by (AIP-GAN 4.4)."""
        return self.net.features(to_size(images.to(self.device, torch.float32))).flatten(1).cpu()


def geometry(landmarks: np.ndarray) -> np.ndarray:
    """Four measures of a face's expression from its landmarks, in units of the distance between the eyes.

    Mouth opening: gap of the inner lips, mean of three places. Corner spread: distance of the mouth's
    corners. Brow height: mean distance of a brow from its eye. Eye opening: gap of the lids, mean of four
    places. An eye's place is the middle of its corners, so that a blink does not move it.

    Args:
        landmarks: (..., 68, 2) in pixels; NaN gives NaN.

    Returns:
        (..., 4) in the order of ``GEOMETRY``.
    """

    def point(*numbers: int) -> np.ndarray:
        return landmarks[..., list(numbers), :].mean(-2)

    def distance(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        return np.linalg.norm(a - b, axis=-1)

    def gaps(*pairs: tuple[int, int]) -> np.ndarray:
        return np.mean([distance(point(a), point(b)) for a, b in pairs], axis=0)

    right, left = point(36, 39), point(42, 45)
    brows = landmarks[..., faces.BROW_RIGHT, :].mean(-2), landmarks[..., faces.BROW_LEFT, :].mean(-2)
    measures = [
        gaps((61, 67), (62, 66), (63, 65)),
        gaps((48, 54)),
        (distance(brows[0], right) + distance(brows[1], left)) / 2,
        gaps((37, 41), (38, 40), (43, 47), (44, 46)),
    ]
    return np.stack(measures, -1) / distance(right, left)[..., None]


def _dlib_models() -> tuple[Any, Path]:
    """The dlib module and the folder of its published models.

    Raises:
        UserError: the extra ``dlib`` is not installed.
    """
    models = importlib.util.find_spec("face_recognition_models")  # its import needs pkg_resources: only look
    try:
        import dlib
    except ImportError:
        models = None
    if models is None or not models.submodule_search_locations:
        raise UserError(
            "landmarks and face recognition with dlib: looked for the packages dlib-bin and "
            "face_recognition_models, which are not installed. Type: pip install 'facegan[dlib]'"
        )
    return dlib, Path(models.submodule_search_locations[0]) / "models"


def to_uint8(images: Tensor) -> np.ndarray:
    """(B, 3, H, W) in [-1, 1] -> RGB uint8 (B, H, W, 3)."""
    pixels = ((images.detach().float().clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8)
    return np.ascontiguousarray(pixels.permute(0, 2, 3, 1).cpu().numpy())


def _enlarged(picture: np.ndarray, side: int) -> tuple[np.ndarray, float]:
    """The picture with its shorter side at least ``side`` pixels, and the factor.

    Pixel edges stay in place, so a point p goes to ``(p + 0.5) * factor - 0.5``.
    """
    scale = max(1.0, side / min(picture.shape[:2]))
    if scale == 1:
        return picture, scale
    return cv2.resize(picture, None, fx=scale, fy=scale, interpolation=cv2.INTER_CUBIC), scale


class FaceFinder:
    """The 68 landmarks by dlib: its frontal detector, then its shape predictor. No face found means NaN.

    Small pictures are enlarged to ``side`` pixels and given a border, since the detector was trained on whole
    heads of 80 pixels and more; where it still finds nothing it looks once more at twice the size.
    """

    side = 256
    border = 64

    def __init__(self) -> None:
        dlib, models = _dlib_models()
        self.dlib = dlib
        self.detector = dlib.get_frontal_face_detector()
        self.predictor = dlib.shape_predictor(str(models / "shape_predictor_68_face_landmarks.dat"))
        self.description = f"dlib {dlib.__version__} frontal detector and 68-landmark predictor"

    def __call__(self, images: Tensor) -> Tensor:
        """(B, 3, S, S) in [-1, 1] -> landmarks (B, 68, 2) in their pixels, NaN where there is no face."""
        found = [self._landmarks(picture) for picture in to_uint8(images)]
        return torch.from_numpy(np.stack(found)) if found else torch.zeros(0, faces.N_LANDMARKS, 2)

    def _landmarks(self, picture: np.ndarray) -> np.ndarray:
        large, scale = _enlarged(picture, self.side)
        framed = np.pad(large, ((self.border,) * 2, (self.border,) * 2, (0, 0)), "edge")
        boxes = self.detector(framed, 0) or self.detector(framed, 1)
        if not boxes:
            return np.full((faces.N_LANDMARKS, 2), np.nan, np.float32)
        shape = self.predictor(framed, max(boxes, key=lambda box: box.area()))
        points = np.array([(p.x, p.y) for p in shape.parts()], np.float32)
        return (points - self.border + 0.5) / scale - 0.5


class LandmarkGeometry:
    """Expression from the landmarks that dlib finds: texture that fools a CNN does not move them (E4).

    Raises:
        UserError: the extra ``dlib`` is not installed.
    """

    def __init__(self, finder: FaceFinder | None = None) -> None:
        self.finder = finder or FaceFinder()
        self.description = f"landmark geometry by {self.finder.description}"

    def __call__(self, images: Tensor, landmarks: Tensor | None = None) -> Tensor:
        """(B, 3, S, S) in [-1, 1] -> (B, 4) in the order of ``GEOMETRY``; NaN rows where there is no face.

        Args:
            landmarks: (B, 68, 2), if the finder has been asked already.
        """
        landmarks = self.finder(images) if landmarks is None else landmarks
        return torch.from_numpy(geometry(landmarks.double().numpy())).float()


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
            note = f"width {about['width']:g}, {_weights_note(about)}"
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


SAME_PERSON = (
    0.6  # distance of two of dlib's features below which it calls them one person (its authors' value)
)


class DlibJudge:
    """Identity by dlib's published ResNet, trained on photographs of 7,485 people (99.38 % on LFW).

    Raises:
        UserError: the extra ``dlib`` is not installed.
    """

    name = "dlib"

    def __init__(self, finder: FaceFinder | None = None) -> None:
        dlib, models = _dlib_models()
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
                large, scale = _enlarged(picture, self.finder.side)
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


class Judges:
    """The judges of one evaluation, loaded when first asked for; those of landmarks share one finder.

    Args:
        au_path, lightcnn_path: weights other than those in ``judges_home()``.

    Attributes:
        missing: name of each identity judge that could not be loaded -> what to do about it.
    """

    def __init__(
        self,
        device: str | torch.device = "cpu",
        au_path: Path | None = None,
        lightcnn_path: Path | None = None,
    ) -> None:
        self.device = torch.device(device)
        self.au_path, self.lightcnn_path = au_path, lightcnn_path
        self.missing: dict[str, str] = {}

    @cached_property
    def finder(self) -> FaceFinder:
        """The landmark finder that the others share."""
        return FaceFinder()

    @cached_property
    def au(self) -> AUJudge:
        """The AU regressor."""
        return AUJudge(self.au_path, self.device)

    @cached_property
    def geometry(self) -> LandmarkGeometry:
        """The landmark geometry."""
        return LandmarkGeometry(self.finder)

    @cached_property
    def identity(self) -> list[IdentityJudge]:
        """LightCNN-29v2, if weights of it are there (else ``missing`` says what to do), and dlib's ResNet."""
        found: list[IdentityJudge] = []
        try:
            found.append(LightCNNJudge(self.lightcnn_path, self.device, self.finder))
        except UserError as error:
            self.missing[LightCNNJudge.name] = str(error)
        return [*found, DlibJudge(self.finder)]
