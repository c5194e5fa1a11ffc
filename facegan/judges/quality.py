"""How good a picture is: CNNIQA without a reference, DeepIQA beside one. Lower is better in both (I13)."""

from collections.abc import Callable

from torch import Tensor

from facegan.config import UserError, judges_home
from facegan.judges.weights import checksum
from facegan.nets import cnniqa, deepiqa

CNNIQA_FILE, DEEPIQA_FILE = "CNNIQA-LIVE", "DeepIQA-FR-LIVE-weighted"
"""Names of the published weights in ``judges_home()``; the second is whatever its authors call theirs, so renamed."""

Quality = Callable[[Tensor, Tensor], Tensor]
"""Pictures (B, 3, S, S) in [-1, 1] and what they are made from -> scores (B,)."""


def quality_judges() -> tuple[dict[str, Quality], dict[str, str]]:
    """The quality judges whose weights are there, and of each a description, or what to do where they are not."""
    found: dict[str, Quality] = {}
    said = {}
    try:
        plain = cnniqa.load_published(judges_home() / CNNIQA_FILE)
        found["CNNIQA"] = lambda images, reference: plain.score(images)
        said["CNNIQA"] = f"published weights, sha256 {checksum(judges_home() / CNNIQA_FILE)[:12]}"
    except UserError as error:
        said["CNNIQA"] = f"not measured, {error}"
    try:
        beside = deepiqa.load_published(judges_home() / DEEPIQA_FILE)
        found["DeepIQA"] = lambda images, reference: beside.score(images, reference)
        said["DeepIQA"] = f"published weights, sha256 {checksum(judges_home() / DEEPIQA_FILE)[:12]}"
    except UserError as error:
        said["DeepIQA"] = f"not measured, {error}"
    return found, said
