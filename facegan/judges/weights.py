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


def weights_note(about: Mapping[str, Any]) -> str:
    """The part of a judge's description that says where its weights come from."""
    return f"trained here on {about['trained_on']}; sha256 {about['sha256'][:12]}"
