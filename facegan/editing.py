"""Use a trained run on pictures, without a Trainer: ``facegan.editing.load(run).edit(images, au)``.

``FaceEditor`` does what the run's method can: EGGAN edits, TER-GAN and AIP-GAN transfer and recognise
(``transferring.py``), ICface reenacts (``reenacting.py``).
"""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from omegaconf import OmegaConf
from torch import Tensor

from datamodules.preparation.alignment import alignment_matrix, crop, paste
from datamodules.preparation.landmarks import landmark_finder
from datamodules.preparation.openface import read_openface
from datamodules.preparation.pictures import UnreadablePicture, read_picture
from facegan import figures
from facegan.config import UserError
from facegan.faces import EXPRESSIONS, N_AUS, N_LANDMARKS, parse_aus, prototype
from facegan.judges import SAME_PERSON, DlibJudge
from facegan.methods import METHODS
from facegan.pixels import to_uint8
from facegan.releases import read_weights
from facegan.runs import PRETRAINED, WEIGHTS, Run, find_run

ABILITIES = ("edit", "transfer", "recognise", "reenact")
"""What methods do with pictures; each has some."""

PICTURES = (".png", ".jpg", ".jpeg")


@dataclass(frozen=True)
class Face:
    """A face cut out of a picture as in training."""

    picture: np.ndarray  # (H, W, 3) uint8, the whole picture
    matrix: np.ndarray  # (2, 3), picture to crop
    image: Tensor  # (3, S, S) in [-1, 1], the crop

    def paste(self, edited: Tensor) -> np.ndarray:
        """The whole picture (H, W, 3) uint8 with an edited crop (3, S, S) in the face's place."""
        return paste(self.picture, to_uint8(edited[None])[0], self.matrix)


class FaceEditor:
    """A trained method, and the crop and alignment it was trained with.

    Attributes:
        half: whether faces are animated in bfloat16: faster where the processor has units for it.
    """

    def __init__(self, module: Any, config: dict[str, Any], device: str | torch.device = "cpu") -> None:
        self.half = False
        self.module = module.to(device).eval().requires_grad_(False)
        self.device = torch.device(device)
        self._aligned: int = config["data"]["image_size"]
        self.size: int = config["data"].get("crop") or self._aligned
        self.align: str = config["data"]["align"]
        # a new picture has no OpenFace CSV; dlib's landmarks of the eyes and the mouth give the same crop
        method = config["data"]["landmarks"]
        self._landmarks = landmark_finder("dlib" if method == "openface" else method)

    @torch.inference_mode()
    def edit(self, images: Tensor, au: Tensor) -> Tensor:
        """Edit crops (B, 3, S, S) in [-1, 1] to AUs (B, 17) 0..5; the result is on the CPU."""
        return self.module.edit(images.to(self.device), au.to(self.device, torch.float32)).float().cpu()

    @torch.inference_mode()
    def transfer(self, source: Tensor, target: Tensor) -> Tensor:
        """The faces of ``target`` with the expressions of ``source``, both crops (B, 3, S, S) in [-1, 1]."""
        return self.module.transfer(source.to(self.device), target.to(self.device)).float().cpu()

    @torch.inference_mode()
    def attention(self, images: Tensor) -> list[Tensor]:
        """Where the expression encoder looks in crops (B, 3, S, S): of each level (B, s, s) in 0..1.

        Raises:
            UserError: the method has no attention.
        """
        if not hasattr(self.module, "attention"):
            raise UserError(f"{self.module.config.name} has no attention to show; aipgan has")
        return [level[:, 0].float().cpu() for level in self.module.attention(images.to(self.device))]

    @torch.inference_mode()
    def recognise(self, images: Tensor) -> Tensor:
        """Probabilities (B, N) of ``self.expressions``."""
        return self.module.recognise(images.to(self.device)).float().cpu()

    @torch.inference_mode()
    def neutralise(self, images: Tensor) -> Tensor:
        """Crops (B, 3, S, S) facing the camera and without expression: what ``animate`` works on."""
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.half):
            return self.module.neutralise(images.to(self.device))

    def quicken(self) -> None:
        """Get ready for many frames: some preparation, and memory, after which ``animate`` is faster on a CPU."""
        if self.device.type == "cpu" and not self.half and hasattr(self.module, "quicken"):
            self.module.quicken()

    @torch.inference_mode()
    def animate(self, neutral: Tensor, pose: Tensor, au: Tensor) -> Tensor:
        """Neutral faces (B, 3, S, S) with poses (B, 3) in radians and AUs (B, 17) 0..5; the result is on the CPU."""
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.half):
            return self.module.animate(neutral, pose.to(self.device), au.to(self.device)).float().cpu()

    @torch.inference_mode()
    def estimate(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Poses (B, 3) and AUs (B, 17) of crops (B, 3, S, S), in the method's own opinion."""
        pose, au = self.module.estimate(images.to(self.device))
        return pose.float().cpu(), au.float().cpu()

    @property
    def expressions(self) -> tuple[str, ...]:
        """What ``recognise`` tells apart."""
        return tuple(self.module.config.expressions)

    @torch.inference_mode()
    def estimate_aus(self, images: Tensor) -> Tensor:
        """The method's own opinion of the AUs (B, 17) 0..5 of crops (B, 3, S, S)."""
        return self.module.estimate_aus(images.to(self.device)).float().cpu()

    @property
    def reach(self) -> list[float]:
        """Radians to either side that a method which turns heads was taught: of pitch, yaw and roll."""
        return list(self.module.config.pose_range)

    def cut(self, path: str | Path) -> Face:
        """Find, align and crop the largest face of a picture file, as in training.

        Raises:
            UserError: the picture cannot be read, or no face is found in it.
        """
        try:
            return self.cut_picture(read_picture(path))
        except UnreadablePicture as error:
            raise UserError(
                f"{path}: {error}; give a picture in which a face is seen from the front"
            ) from None

    def cut_picture(self, picture: np.ndarray) -> Face:
        """The largest face of a picture (H, W, 3) uint8, aligned and cropped.

        Raises:
            UnreadablePicture: no face is found in it.
        """
        landmarks = self._landmarks(picture, np.full((N_LANDMARKS, 2), np.nan, np.float32))
        matrix = alignment_matrix(landmarks, self._aligned, self.align)
        start = (self._aligned - self.size) // 2  # the middle, as in ``data.crop``
        inside = slice(start, start + self.size)
        aligned = crop(picture, matrix, self._aligned)[inside, inside]
        face = torch.from_numpy(np.ascontiguousarray(aligned)).permute(2, 0, 1)
        matrix[:, 2] -= start
        return Face(picture, matrix, face.float() / 127.5 - 1)


def load(
    run: str | Path | Run,
    checkpoint: str = "last",
    device: str | torch.device = "cpu",
    can: str | None = None,
) -> FaceEditor:
    """A trained run's editor, with its averaged weights.

    Args:
        run: a run folder, or an experiment's name for its newest run.
        checkpoint: "last", "best" or a file.
        can: what its method must be able to do, one of ``ABILITIES``; None: any of them.

    Raises:
        UserError: no such run or checkpoint, or its method cannot do that.
    """
    run = run if isinstance(run, Run) else find_run(str(run))
    config = OmegaConf.to_container(OmegaConf.load(run.config))
    assert isinstance(config, dict)
    editor = FaceEditor(load_module(run, checkpoint, can), config, device)  # type: ignore[arg-type]
    if run.folder.parent == PRETRAINED:
        told = f"a small model that knows generated faces only; its figures and limits: {run.folder / 'README.md'}"
        print(f"{run.folder.name}: {told}", file=sys.stderr)
    elif _generated_alone(config):
        told = "trained on generated faces only; a photograph mostly comes out as somebody else"
        print(f"{run.folder.name}: {told}", file=sys.stderr)
    return editor


def _generated_alone(config: Mapping[Any, Any]) -> bool:
    """Whether all faces that a run's config reads are ones that it has had written."""
    written = [Path(str(request["root"])) for request in config.get("generate") or ()]
    data = config["data"]
    read = [Path(str(root)) for root in (data.get("root"), *(data.get("roots") or ())) if root]
    return bool(read) and all(any(root.is_relative_to(own) for own in written) for root in read)


def load_module(run: Run, checkpoint: str = "last", can: str | None = None) -> Any:
    """The LightningModule of a run, from the plain containers of its checkpoint.

    Raises:
        UserError: the run's method cannot do that.
    """
    name = OmegaConf.load(run.config).method.name
    method: Any = METHODS[name][1]
    wanted = ABILITIES if can is None else (can,)
    if not any(hasattr(method, ability) for ability in wanted):
        able = [other for other, (_, kind) in METHODS.items() if any(hasattr(kind, a) for a in wanted)]
        raise UserError(
            f"{run.folder} is a run of {name}, which cannot {' or '.join(wanted)}; {' and '.join(able)} can"
        )
    path = run.checkpoint(checkpoint)
    parameters, state = read_weights(path)
    module = method.for_use(parameters)
    needed = module.state_dict()  # without what only the losses of training need
    if path.name == WEIGHTS:  # what is not used is not there
        needed = {key: value for key, value in needed.items() if key.startswith(method.in_use)}
    module.load_state_dict({key: state[key] for key in needed}, strict=path.name != WEIGHTS)
    return module


def result_path(
    out: str, *inputs: str | None, kinds: Sequence[str] = PICTURES, option: str = "--out"
) -> Path:
    """Where a result goes.

    Args:
        inputs: files that it is made from.
        kinds: endings that it may have.

    Raises:
        UserError: another ending; one of the inputs would be written over.
    """
    path = Path(out)
    if path.suffix.lower() not in kinds:
        *others, last = [kind for kind in kinds if kind != ".jpeg"]
        raise UserError(f"{option} {out}: name a {', '.join(others)} or {last} file")
    if any(file is not None and Path(file).resolve() == path.resolve() for file in inputs):
        raise UserError(
            f"{option} {out}: that would write over what the result is made from; name another file"
        )
    return path


def target_aus(source: Tensor, changes: Sequence[str]) -> Tensor:
    """AUs (17,) of the source with ``["AU12=4", …]`` changed; raises UserError for what is no AU."""
    target = source.clone()
    try:
        for index, value in parse_aus(changes).items():
            target[index] = value
    except ValueError as error:
        raise UserError(f"--au: {error}") from None
    return target


def csv_aus(path: str | Path) -> Tensor:
    """AUs (17,) of the most confident face of an OpenFace CSV.

    Raises:
        UserError: no CSV of OpenFace, or no valid row with AU intensities.
    """
    table = read_openface(Path(path))
    rows = np.flatnonzero(table.valid & np.isfinite(table.au).all(1))
    if not len(rows):
        raise UserError(
            f"{path}: no row with 17 AU intensities and enough confidence; run OpenFace with -aus"
        )
    return torch.from_numpy(table.au[rows[np.argmax(table.confidence[rows])]].astype(np.float32))


def edit_file(
    run: str,
    image: str,
    out: str,
    *,
    aus: Sequence[str] = (),
    like: str | None = None,
    like_au: str | None = None,
    image_au: str | None = None,
    steps: int = 1,
    paste_back: bool = False,
    checkpoint: str = "last",
) -> str:
    """Edit the face of a picture file and write the result; gives one line on what was done.

    The target is the source's AUs, or those of ``like`` / ``like_au``, with ``aus`` changed. AUs come from
    an OpenFace CSV where one is given, else from the method's own classifier.

    Args:
        steps: pictures from the source's AUs to the target's (eq. 8); more than 1 makes a strip (.png, .jpg)
            or an animation (.gif, .mp4).
        paste_back: write the whole picture instead of the crop.

    Raises:
        UserError: nothing to change, or something that cannot be read.
    """
    if not (aus or like or like_au):
        raise UserError(
            "nothing to change: give --au AU12=4 AU25=2, or --like other.jpg, or --like-au other.csv"
        )
    if steps < 1:
        raise UserError(f"--steps {steps}: must be 1 or more")
    path = result_path(out, image, like, like_au, image_au, kinds=(*PICTURES, *figures.ANIMATIONS))
    editor = load(run, checkpoint, can="edit")
    face = editor.cut(image)
    source = csv_aus(image_au) if image_au else editor.estimate_aus(face.image[None])[0]
    target = source
    if like_au:
        target = csv_aus(like_au)
    elif like:
        target = editor.estimate_aus(editor.cut(like).image[None])[0]
    target = target_aus(target, aus)
    assert len(target) == N_AUS

    alphas = torch.linspace(0, 1, steps)[:, None] if steps > 1 else torch.ones(1, 1)
    edited = editor.edit(face.image.expand(len(alphas), -1, -1, -1), torch.lerp(source, target, alphas))
    frames = [face.paste(e) for e in edited] if paste_back else list(to_uint8(edited))
    if path.suffix.lower() in figures.ANIMATIONS:
        figures.save_animation(path, figures.there_and_back(frames))
    elif steps == 1:
        figures.save(path, frames[0])
    else:
        before = face.picture if paste_back else to_uint8(face.image[None])[0]
        figures.save(path, np.concatenate(_same_height([before, *frames]), 1))
    return (
        f"{path}: {len(frames)} picture{'s' * (len(frames) > 1)} of {frames[0].shape[1]}x{frames[0].shape[0]}"
    )


def edit_to_expressions(run: str, images: Sequence[str], out: str, checkpoint: str = "last") -> str:
    """A grid of picture files x eight expressions, on each face dlib's verdict on whose it is.

    A picture without a face is named and left out. Gives a few lines on what was done.

    Raises:
        UserError: no picture has a face.
    """
    path = result_path(out, *images)
    editor, judge = load(run, checkpoint, can="edit"), DlibJudge()
    targets = torch.from_numpy(np.stack([prototype(name) for name in EXPRESSIONS]))
    pictures, notes, left_out = [], [], []
    for image in images:
        try:
            face = editor.cut(image).image
        except UserError as error:
            left_out.append(str(error))
            continue
        edited = editor.edit(face.expand(len(targets), -1, -1, -1), targets)
        features = judge(torch.cat([face[None], edited]))
        distances = (features[1:] - features[0]).norm(dim=1).tolist()
        pictures.append(list(to_uint8(torch.cat([face[None], edited]))))
        notes.append(["", *map(verdict, distances)])
    if not pictures:
        raise UserError(f"nothing to edit: {'; '.join(left_out)}")
    columns = ["input", *EXPRESSIONS]
    figures.save(path, figures.grid(pictures, columns, notes=notes))
    verdicts = [note.split()[0] for row in notes for note in row[1:]]
    lines = [
        f"{path}: {len(pictures)} faces x {len(EXPRESSIONS)} expressions",
        f"{judge.description}, distance to the input below {SAME_PERSON} is the same person: "
        + ", ".join(f"{verdicts.count(word)} {meaning}" for word, meaning in _MEANINGS.items()),
        *(f"left out: {reason}" for reason in left_out),
    ]
    return "\n".join(lines)


_MEANINGS = {"same": "the same", "other": "another", "none": "without a face that dlib finds"}


def verdict(distance: float) -> str:
    """A word and the distance of two of dlib's features: "same 0.41", "other 0.70", "none" where there is no face."""
    if not np.isfinite(distance):
        return "none"
    return f"{'same' if distance < SAME_PERSON else 'other'} {distance:.2f}"


def _same_height(pictures: list[np.ndarray]) -> list[np.ndarray]:
    height = pictures[0].shape[0]
    return [
        p if p.shape[0] == height else cv2.resize(p, (round(p.shape[1] * height / p.shape[0]), height))
        for p in pictures
    ]
