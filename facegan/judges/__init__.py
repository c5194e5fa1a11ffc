"""Frozen evaluators: AU regressor, landmark geometry, face recognisers. Never the network of a loss.

Every judge takes pictures as float tensors (B, 3, S, S) in [-1, 1] of any size and says in ``description``
what it is and where its weights come from, for the tables. What cannot be judged (no face found) is a row of
NaN.
"""

from functools import cached_property
from pathlib import Path
from typing import Any

import torch

from facegan.config import UserError, judges_home
from facegan.judges.crops import as_judged
from facegan.judges.expression import AUJudge, ExpressionJudge, PoseJudge
from facegan.judges.identity import SAME_PERSON, DlibJudge, IdentityJudge, LightCNNJudge, similarity
from facegan.judges.landmarks import GEOMETRY, FaceFinder, HeadPose, LandmarkGeometry, geometry
from facegan.judges.weights import POSE_WEIGHTS

__all__ = [
    "GEOMETRY",
    "SAME_PERSON",
    "AUJudge",
    "DlibJudge",
    "ExpressionJudge",
    "FaceFinder",
    "HeadPose",
    "IdentityJudge",
    "Judges",
    "LandmarkGeometry",
    "LightCNNJudge",
    "PoseJudge",
    "as_judged",
    "geometry",
    "similarity",
]


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
    def pose(self) -> HeadPose:
        """The head's angles, by landmarks."""
        return HeadPose(self.finder)

    def pose_of(self, data: Any) -> HeadPose | PoseJudge:
        """The head's angles in a data module's pictures: by the trained judge, if it knows such faces in such a crop.

        Raises:
            UserError: its weights are damaged.
        """
        if (judges_home() / POSE_WEIGHTS).is_file():
            judge = PoseJudge(device=self.device, finder=self.finder)
            if (judge.about["head"], judge.align) == (data.generated, data.align):
                return judge
        return self.pose

    @cached_property
    def identity(self) -> list[IdentityJudge]:
        """LightCNN-29v2, if weights of it are there (else ``missing`` says what to do), and dlib's ResNet."""
        found: list[IdentityJudge] = []
        try:
            found.append(LightCNNJudge(self.lightcnn_path, self.device, self.finder))
        except UserError as error:
            self.missing[LightCNNJudge.name] = str(error)
        return [*found, DlibJudge(self.finder)]
