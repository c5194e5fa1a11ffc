"""A run through a protocol: loads the run, its data and the judges, and calls the protocol that fits.

Of a method that edits: where people are held out that is EGGAN's (4.2). Of one that reenacts, ICface's (4.1, 4.2). Of
both, where the test pictures are later frames of people trained on, it is that of held-out frames. Of a method that
transfers, TER-GAN's (4.2) or AIP-GAN's (4.4).
"""

import hashlib
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from datamodules.base import FaceDataModule
from facegan.config import UserError
from facegan.editing import load_module
from facegan.experiment import build_data, judge_weights
from facegan.experiment_config import ExperimentConfig, load_config
from facegan.judges import ExpressionJudge, Judges
from facegan.logs import log_evaluation
from facegan.methods import METHODS, TITLES
from facegan.protocols import aipgan, eggan, frames, reenactment, transfer
from facegan.protocols.common import Protocol, interpolation_figure
from facegan.runs import WEIGHTS, Run


def evaluate_run(
    run: Run, checkpoint: str = "last", overrides: Sequence[str] = (), targets: int | None = None
) -> dict[str, Path]:
    """Evaluate a run and write tables and figures into its folder; see the module on which protocol.

    Asked in another way than the run's own (another checkpoint, other data or targets), they go to a folder of their
    own, named after the command, so that the first ones stay.

    Args:
        run: the run; its saved config says which data.
        checkpoint: "last", "best" or a file.
        overrides: config keys to change, such as ``data.root=…``.
        targets: target pictures; None: as many as the experiment says.

    Returns:
        What was written, by name.

    Raises:
        UserError: no such checkpoint, no data, no test people, a judge's weights are missing, or the run is packed.
    """
    if run.last.name == WEIGHTS:
        raise UserError(
            f"{run.folder} is packed for use, without what evaluation needs; its figures are in its README.md. "
            f"By one protocol with others: facegan compare {run.folder} --on EXPERIMENT"
        )
    config = load_config(
        str(run.config), [*overrides, *([f"targets={targets}"] if targets is not None else [])]
    )
    method = METHODS[config.method.name][1]
    transfers, reenacts = hasattr(method, "transfer"), hasattr(method, "reenact")
    module = load_module(run, checkpoint, "transfer" if transfers else "reenact" if reenacts else "edit")
    device = torch.device(
        "cuda" if torch.cuda.is_available() and config.trainer.accelerator != "cpu" else "cpu"
    )
    trained, tested = _faces(config)
    command = _command(run, checkpoint, overrides, targets)
    case = _Case(
        module=module.to(device).eval().requires_grad_(False), device=device, config=config, trained=trained,
        tested=tested, checkpoint=run.checkpoint(checkpoint), out=_folder(run, command),
        said={
            "method": _title(config), "command": command,
            "log": run.metrics if run.metrics.is_file() else None,  # too short a training writes none
            "protocol": Protocol(
                targets=config.targets, strong=config.sources == "strong", progress=config.trainer.progress
            ),
        },
    )  # fmt: skip
    if config.method.name == "aipgan":
        written = _aipgan(case)
    elif transfers:
        written = _transfer(case)
    elif reenacts:
        written = _reenact(case)
    else:
        written = _edit(case)
    log_evaluation(config.log, run, case.out)
    return {key: case.out / name for key, name in (written | _ALWAYS).items() if (case.out / name).exists()}


@dataclass(frozen=True)
class _Case:
    """A trained network, its faces, and what a protocol is told of both."""

    module: Any
    device: torch.device
    config: ExperimentConfig
    trained: FaceDataModule
    tested: FaceDataModule
    checkpoint: Path
    out: Path
    said: dict[str, Any]

    def ask(self, method: str, *given: Tensor) -> Tensor:
        """What the network's ``edit``, ``transfer`` or ``reenact`` makes of ``given``."""
        with torch.inference_mode():
            result: Tensor = getattr(self.module, method)(*(x.to(self.device) for x in given))
            return result.float()


def _aipgan(case: _Case) -> dict[str, str]:
    judge = ExpressionJudge(judge_weights(case.config), case.device)
    saved = torch.load(case.checkpoint, map_location="cpu", weights_only=True)
    try:
        case.module.take_recognisers(case.config.method, saved["state_dict"])
    except UserError as error:
        print(f"Table 1 without the networks of the losses: {error}")
    case.module.to(case.device)
    aipgan.evaluate(
        case.module, case.tested, judge, Judges(case.device), case.out, trained=case.trained.train,
        trained_on=case.config.data.name if case.config.test_data is not None else None, **case.said,
    )  # fmt: skip
    return {
        "grid": "grid.png", "editing": "editing.png", "attention": "attention.png", "heads": "heads.png",
        "table 1": "table1.md", "table": "table.md",
    }  # fmt: skip


def _transfer(case: _Case) -> dict[str, str]:
    judge = ExpressionJudge(judge_weights(case.config), case.device)

    def recognise(images: Tensor) -> list[str]:
        return [case.config.method.expressions[k] for k in case.ask("recognise", images).argmax(1).tolist()]

    transfer.evaluate(
        partial(case.ask, "transfer"), case.tested, judge, Judges(case.device), case.out,
        recognise=recognise if hasattr(case.module, "recognise") else None, **case.said,
    )  # fmt: skip
    return {"grid": "grid.png", "editing": "editing.png", "table": "table.md"}


def _reenact(case: _Case) -> dict[str, str]:
    judges = Judges(case.device, au_path=judge_weights(case.config))
    if frames.later_frames(case.tested):

        def towards(images: Tensor, target: Mapping[str, Tensor]) -> Tensor:
            return case.ask("reenact", images, target["pose"], target["au"])

        frames.evaluate(towards, case.tested, judges, case.out, turns=True, **case.said)
        return _OF_FRAMES
    neutralise = partial(case.ask, "neutralise") if case.config.method.neutralizer else None
    reenactment.evaluate(
        partial(case.ask, "reenact"), case.tested, judges, case.out, neutralise=neutralise,
        reach=case.config.method.pose_range, **case.said,
    )  # fmt: skip
    return {
        "grid": "grid.png", "pose and expression apart": "apart.png", "views": "views.png",
        "expressions": "expressions.png", "neutral faces": "neutral.png", "errors": "errors.png",
        "errors of AUs": "aus.png",         "quality table": "table1.md", "AU table": "table2.md",
    }  # fmt: skip


def _edit(case: _Case) -> dict[str, str]:
    judges, edit = Judges(case.device, au_path=judge_weights(case.config)), partial(case.ask, "edit")
    if frames.later_frames(case.tested):

        def towards(images: Tensor, target: Mapping[str, Tensor]) -> Tensor:
            return edit(images, target["au"])

        frames.evaluate(towards, case.tested, judges, case.out, **case.said)
        interpolation_figure(edit, case.tested, case.out / "interpolation.png", case.said["protocol"])
        return _OF_FRAMES | {"interpolation": "interpolation.png"}
    eggan.evaluate(edit, case.tested, judges, case.out, **case.said)
    return {
        "grid": "grid.png", "interpolation": "interpolation.png", "AU table": "table1.md",
        "identity table": "table2.md",
    }  # fmt: skip


def _faces(config: ExperimentConfig) -> tuple[FaceDataModule, FaceDataModule]:
    """The data that the run was trained on, and the data it is tested on: the same, unless ``test_data`` is given."""
    trained = build_data(config)
    trained.prepare_data()
    trained.setup()
    if config.test_data is None:
        return trained, trained
    tested = build_data(config, "test_data")
    tested.prepare_data()
    tested.setup()
    if tested.picture_size != trained.picture_size:
        raise UserError(
            f"test_data.image_size: the run's pictures have {trained.picture_size} pixels, those of the test "
            f"{tested.picture_size}"
        )
    return trained, tested


_OF_FRAMES = {"grid": "grid.png", "film": "film.mp4", "table": "table.md"}
_ALWAYS = {"curves": "curves.png", "all figures": "evaluation.json"}


def _title(config: ExperimentConfig) -> str:
    return f"{TITLES.get(config.method.name, config.method.name)} ({config.name})"


def _folder(run: Run, command: str) -> Path:
    """Where the answer to a command goes: the run's own question has the plain name."""
    if command == _command(run):
        return run.evaluation
    return run.evaluation.with_name(f"evaluation-{hashlib.sha256(command.encode()).hexdigest()[:6]}")


def _command(
    run: Run, checkpoint: str = "last", overrides: Sequence[str] = (), targets: int | None = None
) -> str:
    """What to type to have the same figures again."""
    extra = list(overrides)
    extra += ["--checkpoint", checkpoint] if checkpoint != "last" else []
    extra += ["--targets", str(targets)] if targets else []
    return shlex.join(["facegan", "evaluate", f"{run.folder.parent.name}/{run.folder.name}", *extra])
