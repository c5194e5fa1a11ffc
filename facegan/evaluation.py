"""A run through a protocol: loads the run, its data and the judges, and calls the protocol that fits.

Of a method that edits: where people are held out that is EGGAN's (4.2). Of one that reenacts, ICface's (4.1, 4.2). Of
both, where the test pictures are later frames of people trained on, it is that of held-out frames. Of a method that
transfers, TER-GAN's (4.2) or AIP-GAN's (4.4).
"""

import hashlib
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

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
    can = "transfer" if transfers else "reenact" if reenacts else "edit"
    module = load_module(run, checkpoint, can)
    device = torch.device(
        "cuda" if torch.cuda.is_available() and config.trainer.accelerator != "cpu" else "cpu"
    )
    module = module.to(device).eval().requires_grad_(False)
    data = build_data(config)
    data.prepare_data()
    data.setup()
    tested, trained_on = data, None
    if config.test_data is not None:
        tested, trained_on = build_data(config, "test_data"), config.data.name
        tested.prepare_data()
        tested.setup()
        if tested.picture_size != data.picture_size:
            raise UserError(
                f"test_data.image_size: the run's pictures have {data.picture_size} pixels, those of the test "
                f"{tested.picture_size}"
            )

    def edit(images: Tensor, au: Tensor) -> Tensor:
        with torch.inference_mode():
            return module.edit(images.to(device), au.to(device)).float()

    command = _command(run, checkpoint, overrides, targets)
    out = _folder(run, command)
    own_judge = judge_weights(config)
    protocol = Protocol(targets=config.targets, progress=config.trainer.progress)
    said: dict[str, Any] = {
        "method": _title(config),
        "command": command,
        "log": run.metrics,
        "protocol": protocol,
    }
    if config.method.name == "aipgan":
        judge = ExpressionJudge(own_judge, device)
        saved = torch.load(run.checkpoint(checkpoint), map_location="cpu", weights_only=True)
        try:
            module.take_recognisers(config.method, saved["state_dict"])
        except UserError as error:
            print(f"Table 1 without the networks of the losses: {error}")
        module.to(device)
        aipgan.evaluate(
            module, tested, judge, Judges(device), out, trained=data.train, trained_on=trained_on, **said
        )
        written = {
            "grid": "grid.png", "editing": "editing.png", "attention": "attention.png", "heads": "heads.png",
            "table 1": "table1.md", "table": "table.md",
        }  # fmt: skip
    elif transfers:

        def move(source: Tensor, target: Tensor) -> Tensor:
            with torch.inference_mode():
                return module.transfer(source.to(device), target.to(device)).float()

        transfer.evaluate(move, tested, ExpressionJudge(own_judge, device), Judges(device), out, **said)
        written = {"grid": "grid.png", "editing": "editing.png", "table": "table.md"}
    elif reenacts:

        def move_head(images: Tensor, pose: Tensor, au: Tensor) -> Tensor:
            with torch.inference_mode():
                return module.reenact(images.to(device), pose.to(device), au.to(device)).float()

        judges = Judges(device, au_path=own_judge)
        if frames.later_frames(tested):

            def towards(images: Tensor, target: Mapping[str, Tensor]) -> Tensor:
                return move_head(images, target["pose"], target["au"])

            frames.evaluate(towards, tested, judges, out, turns=True, **said)
            written = _OF_FRAMES
        else:
            reenactment.evaluate(move_head, tested, judges, out, **said)
            written = {
                "grid": "grid.png", "errors": "errors.png", "quality table": "table1.md", "AU table": "table2.md",
            }  # fmt: skip
    else:
        judges = Judges(device, au_path=own_judge)
        if frames.later_frames(tested):
            frames.evaluate(lambda images, target: edit(images, target["au"]), tested, judges, out, **said)
            interpolation_figure(edit, tested, out / "interpolation.png", protocol)
            written = _OF_FRAMES | {"interpolation": "interpolation.png"}
        else:
            eggan.evaluate(edit, tested, judges, out, **said)
            written = {
                "grid": "grid.png", "interpolation": "interpolation.png", "AU table": "table1.md",
                "identity table": "table2.md",
            }  # fmt: skip
    log_evaluation(config.log, run, out)
    return {key: out / name for key, name in (written | _ALWAYS).items() if (out / name).exists()}


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
