"""An experiment's config -> data, method, Trainer and run folder; fit and resume."""

import logging
import warnings
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.utilities.exceptions import MisconfigurationException

from datamodules.all import DATAMODULES
from datamodules.base import FaceDataModule
from datamodules.generated.request import ensure_generated, wait_until_generated
from datamodules.splits import write_people
from facegan import callbacks
from facegan.config import TrainerConfig, UserError, judges_home
from facegan.experiment_config import ExperimentConfig, differences, load_config, plain
from facegan.logs import RunCSVLogger, wandb_logger
from facegan.methods import METHODS
from facegan.runs import WEIGHTS, Run, experiments, find_run, first_rank, new_run


def build_data(config: ExperimentConfig, part: str = "data") -> FaceDataModule:
    """The data module, after generating the faces that the experiment asks for and that are not there yet.

    Faces that lie in no folder of ``data`` or ``test_data``, where overrides name others, are not generated. The
    first rank generates; the others wait for it. ``part``: "data" or "test_data".
    """
    given = {"data": config.data, "test_data": config.test_data}
    modules = {key: DATAMODULES[one.name][1](one) for key, one in given.items() if one is not None}
    read = [root.resolve() for module in modules.values() for root in module.roots()]
    for request in config.generate:
        asked = Path(request.root).resolve()
        if not any(asked.is_relative_to(root) or root.is_relative_to(asked) for root in read):
            continue
        if first_rank():
            ensure_generated(request, progress=config.trainer.progress)
        else:
            wait_until_generated(request)
    return modules[part]


def judge_weights(config: ExperimentConfig) -> Path | None:
    """The weights of the judge that the experiment names, of AUs or of expressions; None: it names none."""
    if config.judge is None:
        return None
    method = load_config(config.judge, config.judge_options).method
    return Path(method.weights) if method.weights else judges_home() / f"{method.name}.safetensors"


def train_judge(config: ExperimentConfig) -> None:
    """Train the experiment's own judge unless its weights are there."""
    weights = judge_weights(config)
    if weights is None or weights.exists():
        return
    print(f"training the judge first ({config.judge}), once: {weights}")
    options = [*config.judge_options, f"trainer.accelerator={config.trainer.accelerator}"]
    judge = load_config(str(config.judge), options)
    judge.log.wandb = "disabled"
    train(judge)


def _tell_of_judge(config: ExperimentConfig) -> None:
    """Say before the training which judge the evaluation after it will look for in vain."""
    if not config.evaluate_after or config.judge is not None:
        return
    name = "judge_expression" if hasattr(METHODS[config.method.name][1], "transfer") else "judge_au"
    weights = judges_home() / f"{name}.safetensors"
    if not weights.exists():
        first = f"Before this training ends, type: facegan train {name}"
        _say(f"evaluate_after: its judge, {weights}, is not there yet. {first}")


def build_method(config: ExperimentConfig, data: FaceDataModule) -> Any:
    """The method's LightningModule for this data, with weights from ``init_from`` if given."""
    try:
        module = METHODS[config.method.name][1](
            config.method, size=data.picture_size, identities=data.n_identities,
            batch_size=config.data.batch_size, seed=config.seed,
        )  # fmt: skip
    except ValueError as error:  # a network that cannot have this size
        raise UserError(str(error)) from error
    if config.init_from:
        _initialise(module, starting_point(config.init_from), data.identities)
    return module


def starting_point(init_from: str) -> Path:
    """The checkpoint that ``init_from`` names: a file, or the last one of a run or of an experiment's newest run.

    Raises:
        UserError: there is none, or it is packed.
    """
    try:
        found = Path(init_from) if Path(init_from).is_file() else find_run(init_from).checkpoint()
    except UserError as error:
        first = f"train it first: facegan train {init_from}"
        what = first if init_from in experiments() else f"no such checkpoint file, and {error}"
        raise UserError(f"init_from={init_from}: {what}") from None
    if found.name == WEIGHTS:
        raise UserError(f"init_from={init_from}: packed for use, without what training needs; name a run")
    return found


def check_same(run: Run, config: ExperimentConfig) -> None:
    """Refuse to go on with a run, or to take it as done, that was trained otherwise than ``config`` says.

    Raises:
        UserError: it was; names what differs.
    """
    if not run.config.is_file():
        return
    if config.init_from:
        config.init_from = str(starting_point(config.init_from))
    differ = differences(run.config, config)
    if differ:
        more = f"; and {len(differ) - 4} more" if len(differ) > 4 else ""
        raise UserError(
            f"{run.folder} was trained otherwise: {'; '.join(differ[:4])}{more}. Move that folder away to train anew, "
            "or type the old values as key=value"
        )


def _initialise(module: Any, path: Path, people: list[str]) -> None:
    """Take over all weights of a checkpoint that fit; name what stays as it was.

    The last layers for people, and those for expressions, are new where those of the checkpoint are others (TER-GAN,
    T14).
    """
    try:
        saved = torch.load(path, map_location="cpu", weights_only=True)
        state = saved["state_dict"]
    except (KeyError, RuntimeError, UnpicklingError) as error:
        raise UserError(
            f"init_from={path}: no checkpoint of facegan train ({type(error).__name__})"
        ) from None
    own = module.state_dict()
    heads: list[str] = []
    if saved.get("people") != people:
        heads += getattr(module, "of_people", ())
    told = saved.get("hyper_parameters", {}).get("config", {}).get("expressions")
    if told != getattr(module.config, "expressions", None):
        heads += getattr(module, "of_expressions", ())
    fitting = {
        key: value
        for key, value in state.items()
        if key in own and own[key].shape == value.shape and not any(part in key for part in heads)
    }
    if not fitting:
        raise UserError(
            f"init_from={path}: none of its weights fits; it is of another method, or its networks have other widths"
        )
    module.load_state_dict(fitting, strict=False)
    fresh = [key for key in own if key not in fitting]
    _say(f"init_from {path}: {len(fitting)} of {len(own)} tensors" + (f"; new: {fresh}" if fresh else ""))


def build_trainer(
    config: ExperimentConfig, run: Run, module: Any, resume_at: int | None = None
) -> pl.Trainer:
    """Lightning's Trainer with our loggers and callbacks."""
    t = config.trainer
    loggers: list[Any] = [RunCSVLogger(run, resume_at)]
    wandb = wandb_logger(config.log, run, config.name, plain(config))
    if wandb is not None:
        loggers.append(wandb)
    parts: list[Any] = [
        callbacks.RunCheckpoint(run, t.checkpoint_every, tuple(module.monitor)),
        callbacks.FiniteLosses(),
    ]
    if hasattr(module, "edit"):
        parts += [
            callbacks.JudgeEdits(judge_weights(config)),
            callbacks.SampleGrid(run, t.sample_every, callbacks.edits),
        ]
    if hasattr(module, "transfer"):
        parts.append(callbacks.SampleGrid(run, t.sample_every, callbacks.transfers))
    if hasattr(module, "reenact"):
        parts.append(callbacks.SampleGrid(run, t.sample_every, callbacks.reenactments))
    if t.max_batches is not None:
        parts.append(callbacks.StopAfter(t.max_batches))
    if t.progress:
        parts.append(pl.callbacks.RichProgressBar(refresh_rate=10, leave=False))
    (run.folder / "checkpoints").mkdir(exist_ok=True)
    limits = {
        key: value
        for key in ("limit_train_batches", "limit_val_batches")
        if (value := getattr(t, key)) is not None
    }
    return pl.Trainer(
        max_epochs=t.max_epochs or config.method.total_epochs, accelerator=t.accelerator, devices=t.devices,
        num_nodes=t.num_nodes, strategy=_strategy(t), precision=t.precision,  # type: ignore[arg-type]
        log_every_n_steps=t.log_every, check_val_every_n_epoch=t.validate_every, num_sanity_val_steps=0,
        deterministic="warn" if t.deterministic else None, use_distributed_sampler=False,
        enable_checkpointing=True, enable_progress_bar=t.progress, enable_model_summary=False,
        logger=loggers, callbacks=parts, default_root_dir=run.folder, **limits,
    )  # fmt: skip


def _strategy(t: TrainerConfig) -> str:
    """A GAN's step leaves some networks without gradients: plain DDP would wait for them."""
    if t.strategy != "auto":
        return t.strategy
    several = t.num_nodes > 1 or (
        t.devices not in ("auto", 1, "1") if t.accelerator == "cpu" or not torch.cuda.is_available()
        else torch.cuda.device_count() > 1 if t.devices in ("auto", -1, "-1") else t.devices not in (1, "1")
    )  # fmt: skip
    return "ddp_find_unused_parameters_true" if several else "auto"


def _say(text: str) -> None:
    if first_rank():
        print(text, flush=True)


def _quiet() -> None:
    """Leave out what Lightning says of every run, and its advice that does not fit a GAN."""
    logging.getLogger("pytorch_lightning.utilities.rank_zero").setLevel(logging.WARNING)
    for text in (
        ".*treespec, LeafSpec.*", "Found .* in eval mode.*", ".*does not have many workers.*",
        ".*ended before the epoch ended and your dataloader is not resumable.*",  # ours is: see EpochBatchSampler
        ".*all_gather is deprecated.*", "The number of training batches .* is smaller than the logging interval.*",
    ):  # fmt: skip
        warnings.filterwarnings("ignore", text)


def _check_early(config: ExperimentConfig) -> None:
    """What would otherwise be said after an hour of generating or preparing.

    Raises:
        UserError: pictures of a size that the networks cannot have, weights that are missing or are others, or no
            checkpoint ``init_from``.
    """
    data = DATAMODULES[config.data.name][1](config.data)
    try:
        with torch.device("meta"), warnings.catch_warnings(action="ignore"):
            METHODS[config.method.name][1](config.method, size=data.picture_size, identities=2)
    except ValueError as error:
        raise UserError(str(error)) from None
    except UserError:  # of a file of weights; data that are missing, and will be, are said before that
        if config.generate or all(root.exists() for root in data.roots()):
            raise
    if config.init_from:
        starting_point(config.init_from)


def train(config: ExperimentConfig, resume: Run | None = None, into: Run | None = None) -> Run:
    """Train an experiment from the start, in a new run or ``into`` one, or go on with a run from its last checkpoint.

    Returns the run; what is printed at its end is the caller's.

    Raises:
        UserError: ``resume`` is packed; or what building data and method raises.
    """
    if resume is not None and resume.last.name == WEIGHTS:
        raise UserError(
            f"{resume.folder} is packed for use, without what training needs; anew: facegan train {config.name}"
        )
    _quiet()
    if config.trainer.threads is not None:
        torch.set_num_threads(config.trainer.threads)
    _check_early(config)
    if config.init_from:
        config.init_from = str(starting_point(config.init_from))  # as found now: a newer run may come
    _tell_of_judge(config)
    if first_rank():
        train_judge(config)
    pl.seed_everything(config.seed, workers=True, verbose=False)
    data = build_data(config)
    data.prepare_data()
    data.setup("fit")
    _say(data.describe())
    # data and splits may have drawn numbers: the weights must not depend on that
    pl.seed_everything(config.seed, workers=True, verbose=False)
    module = build_method(config, data)
    # only now: a mistake in the config or a missing file leaves no empty run behind
    run = resume or into or (new_run(config.name) if first_rank() else Run(Path(".")))
    checkpoint = run.checkpoint() if resume else None
    resume_at = None
    if checkpoint is not None:
        resume_at = int(
            torch.load(checkpoint, map_location="cpu", weights_only=True, mmap=True)["batches_seen"]
        )
    if first_rank():
        run.write_config(plain(config))
        write_people(run.people, data.people())
    try:
        trainer = build_trainer(config, run, module, resume_at)
    except MisconfigurationException as error:  # no GPU, too few devices
        run.discard()
        raise UserError(f"trainer: {error}") from None
    trainer.fit(module, datamodule=data, ckpt_path=checkpoint, weights_only=True)
    if any(isinstance(logger, pl.loggers.WandbLogger) for logger in trainer.loggers):
        import wandb

        wandb.finish()  # now: else its last words come after ours, which name what was written
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        # gloo's threads abort a process that ends before they do
        torch.distributed.barrier()
        torch.distributed.destroy_process_group()
    return run
