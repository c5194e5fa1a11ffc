"""One YAML and some overrides -> data, method, Trainer and run folder; fit and resume."""

import difflib
import logging
import re
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from omegaconf import MISSING, DictConfig, OmegaConf
from omegaconf.errors import ConfigKeyError, OmegaConfBaseException
from pytorch_lightning.accelerators import AcceleratorRegistry
from pytorch_lightning.strategies import StrategyRegistry
from pytorch_lightning.utilities.exceptions import MisconfigurationException
from yaml import YAMLError

from datamodules.all import DATAMODULES
from datamodules.base import FaceDataModule
from datamodules.generated.request import GenerateConfig, ensure_generated, wait_until_generated
from datamodules.splits import write_people
from facegan import callbacks
from facegan.config import LogConfig, TrainerConfig, UserError, check, check_ranges, judges_home
from facegan.logs import RunCSVLogger, wandb_logger
from facegan.methods import METHODS
from facegan.runs import EXPERIMENTS, Run, experiments, first_rank, new_run

OmegaConf.register_resolver("stem", lambda path: Path(path).stem, replace=True)


@dataclass
class ExperimentConfig:
    """Everything one run needs; ``method`` and ``data`` hold the dataclass of the one that is named."""

    name: str = ""  # of the experiment; the YAML's file name
    seed: int = 0
    method: Any = MISSING
    data: Any = MISSING
    generate: list[GenerateConfig] = field(default_factory=list)  # faces to generate where they are missing
    trainer: TrainerConfig = field(default_factory=TrainerConfig)
    log: LogConfig = field(default_factory=LogConfig)
    init_from: str | None = None  # a checkpoint to start the weights from
    test_data: Any = None  # data set of the protocol, where it is another one than that of training
    evaluate_after: bool = False  # end with the paper's protocol
    targets: int = 1392  # target pictures of that protocol, or as many as there are (EGGAN 4.2)
    judge: str | None = (
        None  # experiment that trains the judge of its protocol, first if need be; None: the one in judges_home()
    )
    judge_options: list[str] = field(default_factory=list)  # overrides of that experiment


def load_config(name: str, overrides: Sequence[str] = ()) -> ExperimentConfig:
    """The config of an experiment, a YAML file or a run's saved config, with ``key=value`` overrides.

    Raises:
        UserError: an unknown experiment, method or data set; an unknown key (names the nearest one); a value of
            the wrong type or out of range.
    """
    path = Path(name) if name.endswith((".yaml", ".yml")) else experiments().get(name)
    if path is None or not path.is_file():
        near = difflib.get_close_matches(name, experiments(), 1)
        hint = f"did you mean {near[0]}?" if near else "facegan list shows all"
        raise UserError(f"no experiment {name!r} in {EXPERIMENTS.name}/ ({hint})")
    given = _with_base(path)
    for item in overrides:
        _override(given, item)
    try:
        return _merge(path.stem, given)
    except UserError as error:
        raise _naming(error, path, overrides) from error


def _naming(error: UserError, path: Path, overrides: Sequence[str]) -> UserError:
    """An error with the override that makes it, where it does not name its key itself."""
    for item in overrides:
        if item.partition("=")[0] not in str(error):
            alone = _with_base(path)
            _override(alone, item)
            try:
                _merge(path.stem, alone)
            except UserError as same:
                if str(same) == str(error):
                    return UserError(f"{item}: {error}")
    return error


def _override(given: Any, item: str) -> None:
    """Set ``key=value`` in a config; a number in the key is a place in a list, from 0."""
    key, sign, text = item.partition("=")
    if not sign or not key:
        raise UserError(f"override {item!r}: write key=value, as in trainer.max_epochs=2")
    try:
        value = OmegaConf.from_dotlist([f"value={text}"]).value
    except YAMLError:
        raise UserError(
            f"override {item!r}: the value cannot be read; write a list as in 'key=[a,b]'"
        ) from None
    try:
        OmegaConf.update(given, key, value)
    except (OmegaConfBaseException, IndexError, ValueError, AssertionError, TypeError) as error:
        raise UserError(f"override {item!r}: there is no such place ({str(error).splitlines()[0]})") from None


def _with_base(path: Path) -> Any:
    """A YAML over the experiment that its key ``base`` names, if it has one."""
    own = OmegaConf.load(path)
    base = own.pop("base", None) if isinstance(own, DictConfig) else None
    if base is None:
        return own
    if base not in experiments() or base == path.stem:
        raise UserError(f"{path}: base={base} is no other experiment; facegan list shows all")
    return OmegaConf.merge(_with_base(experiments()[base]), own)


def _merge(name: str, given: Any) -> ExperimentConfig:
    test_data = _named("test_data", given, DATAMODULES)() if given.get("test_data") is not None else None
    schema = OmegaConf.structured(ExperimentConfig(
        name=name, method=_named("method", given, METHODS)(), data=_named("data", given, DATAMODULES)(),
        test_data=test_data,
    ))  # fmt: skip
    try:
        merged = OmegaConf.merge(schema, given)
        OmegaConf.resolve(merged)
        config = OmegaConf.to_object(merged)
    except ConfigKeyError as error:
        raise UserError(_unknown_key(given, schema) or str(error).splitlines()[0]) from error
    except OmegaConfBaseException as error:
        key = getattr(error, "full_key", None)
        if key and "is not a ListConfig" in str(error):
            raise UserError(f"{key}: write a list, as in '{key}=[a,b]'") from error
        raise UserError(
            f"{key}: {str(error).splitlines()[0]}" if key else str(error).splitlines()[0]
        ) from error
    except TypeError as error:  # a place in a list that is not there
        raise UserError(str(error)) from error
    assert isinstance(config, ExperimentConfig)
    _check_trainer(config.trainer)
    check_ranges("", config, seed=(0, 2**32 - 1), targets=(2, None))
    return config


def load_data_config(name: str, overrides: Sequence[str] = ()) -> Any:
    """The config of a data set alone, for preparing it without an experiment; same errors."""
    given = OmegaConf.merge(
        {"data": {"name": name}, "method": {"name": "eggan"}}, OmegaConf.from_dotlist([*overrides])
    )
    return _merge(name, given).data


def _named(part: str, given: DictConfig, table: dict[str, tuple[Any, Any]]) -> Any:
    name = OmegaConf.select(given, f"{part}.name")
    if name not in table:
        raise UserError(f"{part}.name={name}: choose one of {', '.join(sorted(table))}")
    return table[name][0]


def _unknown_key(given: Any, schema: Any, prefix: str = "") -> str | None:
    """A sentence on the first key that the schema does not have, with the nearest one that it has."""
    for key in given:
        if key not in schema:
            near = difflib.get_close_matches(str(key), [str(k) for k in schema], 1, 0.5)
            hint = (
                f"did you mean {prefix}{near[0]}?" if near else f"known: {', '.join(str(k) for k in schema)}"
            )
            return f"unknown key {prefix}{key}; {hint}"
        below = schema._get_node(key)
        if isinstance(below, DictConfig) and isinstance(given._get_node(key), DictConfig):
            found = _unknown_key(given[key], below, f"{prefix}{key}.")
            if found:
                return found
    return None


def _check_trainer(config: TrainerConfig) -> None:
    counts = (
        "log_every", "checkpoint_every", "validate_every", "sample_every", "num_nodes", "max_epochs", "max_batches",
        "threads",
    )  # fmt: skip
    check_ranges("trainer", config, **dict.fromkeys(counts, (1, None)))
    for key in ("limit_train_batches", "limit_val_batches"):
        value = getattr(config, key)
        if value is not None:
            check(f"trainer.{key}", value, above=0, at_most=1 if isinstance(value, float) else None)
    check(
        "trainer.accelerator",
        config.accelerator,
        ("auto", "gpu", *AcceleratorRegistry.available_accelerators()),
    )
    check("trainer.strategy", config.strategy, ("auto", *StrategyRegistry.available_strategies()))
    if not re.fullmatch(r"auto|-1|[1-9]\d*|\d+(,\d+)+,?", str(config.devices)):
        raise UserError(
            f"trainer.devices={config.devices}: write how many, auto, or a list of GPUs as in 0,2"
        )
    check("trainer.precision", config.precision, ("32-true", "bf16-mixed", "16-mixed", "32", "64-true"))


def plain(config: ExperimentConfig) -> dict[str, Any]:
    """The config as plain containers."""
    container = OmegaConf.to_container(OmegaConf.structured(config), resolve=True)
    assert isinstance(container, dict)
    return _listed(container)


def _listed(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(k): _listed(v) for k, v in value.items()}
    return [_listed(v) for v in value] if isinstance(value, list | tuple) else value


def build_data(config: ExperimentConfig, part: str = "data") -> FaceDataModule:
    """The data module, after generating the faces that the experiment asks for and that are not there yet.

    The first rank generates; the others wait for it. ``part``: "data" or "test_data".
    """
    for request in config.generate:
        if first_rank():
            ensure_generated(request, progress=config.trainer.progress)
        else:
            wait_until_generated(request)
    chosen = config.data if part == "data" else config.test_data
    chosen.seed = config.seed
    return DATAMODULES[chosen.name][1](chosen)


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
        _initialise(module, Path(config.init_from))
    return module


def _initialise(module: torch.nn.Module, path: Path) -> None:
    """Take over all weights of a checkpoint that fit; name what stays as it was."""
    state = torch.load(path, map_location="cpu", weights_only=True)["state_dict"]
    own = module.state_dict()
    fitting = {key: value for key, value in state.items() if key in own and own[key].shape == value.shape}
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
    """What would otherwise be said after an hour of preparing.

    Raises:
        UserError: pictures of a size that the networks cannot have, or no checkpoint ``init_from``.
    """
    data = DATAMODULES[config.data.name][1](config.data)
    try:
        with torch.device("meta"), warnings.catch_warnings(action="ignore"):
            METHODS[config.method.name][1](config.method, size=data.picture_size, identities=2)
    except ValueError as error:
        raise UserError(str(error)) from None
    except UserError:
        pass  # a missing file of weights: missing data is said before that
    if config.init_from and not Path(config.init_from).is_file():
        raise UserError(f"init_from={config.init_from}: no such checkpoint")


def train(config: ExperimentConfig, resume: Run | None = None, into: Run | None = None) -> Run:
    """Train an experiment from the start, in a new run or ``into`` one, or go on with a run from its last checkpoint.

    Returns the run; what is printed at its end is the caller's.
    """
    _quiet()
    if config.trainer.threads is not None:
        torch.set_num_threads(config.trainer.threads)
    _check_early(config)
    if first_rank():
        train_judge(config)
    pl.seed_everything(config.seed, workers=True, verbose=False)
    data = build_data(config)
    if all(root.exists() for root in data.roots()) and hasattr(config.method, "check_files"):
        config.method.check_files()  # not after an hour of preparing; missing data is said first
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
