"""The files of judges trained here: weights as safetensors, and what is known about them as JSON beside them."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.torch import save_file
from torch import nn

from facegan.config import UserError

AU_WEIGHTS = "judge_au.safetensors"
EXPRESSION_WEIGHTS = "judge_expression.safetensors"
POSE_WEIGHTS = "judge_pose.safetensors"
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


WEAK = "a weak judge"
"""What a description says of a judge that is below what ``TRUSTED`` asks for."""
IN_LOSS = "also in the loss"
"""What it says of a network that the method was trained to please: no judge, though a paper measures by it."""

TRUSTED: Mapping[str, tuple[str, float]] = {
    "pcc_mean": ("PCC", 0.8), "accuracy": ("accuracy", 0.8), "balanced_accuracy": ("balanced accuracy", 0.95),
}  # fmt: skip
"""Of each measure its name, and the least that a judge must reach on people that it did not learn from."""


def weights_note(about: Mapping[str, Any]) -> str:
    """The part of a judge's description that says where its weights come from, and what it is worth."""
    return f"trained here on {about['trained_on']}; {worth(about)}; sha256 {about['sha256'][:12]}"


def worth(about: Mapping[str, Any]) -> str:
    """A judge's accuracy on people that it did not learn from, in words; marked where it is weak."""
    measured = about.get("measured") or about.get("validation") or {}
    for key in ("pcc_mean", "balanced_accuracy", "accuracy"):
        if key in measured:
            name, least = TRUSTED[key]
            weak = f", {WEAK}" if measured[key] < least else ""
            people = f" of {measured['people']:,} others" if measured.get("people") else " of others"
            return f"{name} {measured[key]:.2f} on pictures{people}{weak}"
    return f"its accuracy was never measured, {WEAK}"
