"""What an experiment is told: its YAML, overrides from the command line, and the checks of both."""

import difflib
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from omegaconf import MISSING, DictConfig, OmegaConf
from omegaconf.errors import ConfigKeyError, OmegaConfBaseException
from pytorch_lightning.accelerators import AcceleratorRegistry
from pytorch_lightning.strategies import StrategyRegistry
from yaml import YAMLError

from datamodules.all import DATAMODULES
from datamodules.generated.request import GenerateConfig
from facegan.config import LogConfig, TrainerConfig, UserError, check, check_ranges
from facegan.methods import METHODS
from facegan.runs import experiments, find_experiment

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
    # what to start the weights from: a checkpoint, a run, or an experiment's newest run
    init_from: str | None = None
    test_data: Any = None  # data set of the protocol, where it is another one than that of training
    evaluate_after: bool = False  # end with the paper's protocol
    sources: str = "calm"  # of it, where it edits or reenacts: each person's calmest picture, or "strong"
    targets: int = 1392  # target pictures of that protocol, or as many as there are (EGGAN 4.2)
    # experiment that trains the judge of its protocol, first if need be; None: the one in judges_home()
    judge: str | None = None
    judge_options: list[str] = field(default_factory=list)  # overrides of that experiment


def load_config(name: str, overrides: Sequence[str] = ()) -> ExperimentConfig:
    """The config of an experiment, a YAML file or a run's saved config, with ``key=value`` overrides.

    Raises:
        UserError: an unknown experiment, method or data set; an unknown key (names the nearest one); a value of
            the wrong type or out of range.
    """
    path = find_experiment(name)
    given = _with_base(path)
    for item in overrides:
        _override(given, item)
    try:
        config = _merge(path.stem, given)
    except UserError as error:
        raise _naming(error, path, overrides) from error
    for data in filter(None, (config.data, config.test_data)):
        data.seed = config.seed  # one seed for all draws
    return config


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
    """A YAML over the experiment that its key ``base`` names, if it has one.

    Keys of another method or data set than the base's are not taken over.
    """
    own = OmegaConf.load(path)
    base = own.pop("base", None) if isinstance(own, DictConfig) else None
    if base is None:
        return own
    if base not in experiments() or base == path.stem:
        raise UserError(f"{path}: base={base} is no other experiment; facegan list shows all")
    whole = _with_base(experiments()[base])
    for part in ("method", "data"):
        name = OmegaConf.select(own, f"{part}.name")
        if name is not None and name != OmegaConf.select(whole, f"{part}.name"):
            whole.pop(part)
    return OmegaConf.merge(whole, own)


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
    check("sources", config.sources, ("calm", "strong"))
    check_ranges("", config, seed=(0, 2**32 - 1), targets=(2, None))
    return config


def variants(experiment: str) -> list[str]:
    """The experiment and its ablations: experiments whose names go on with an underscore, on the same pictures.

    Raises:
        UserError: no such experiment.
    """
    own = _pictures(load_config(experiment))
    return [experiment] + [
        name
        for name in experiments()
        if name.startswith(f"{experiment}_") and _pictures(load_config(name)) == own
    ]


def _pictures(config: ExperimentConfig) -> tuple[Any, ...]:
    data = config.data
    return data.name, data.root, getattr(data, "roots", None), data.image_size


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


MAY_CHANGE = ("root", "roots", "test_roots", "au_root", "store", "splits", "num_workers", "prepare_workers")
"""Keys of ``data`` that say where and how, not what."""


def differences(saved: Path, config: ExperimentConfig) -> list[str]:
    """In what a run's ``config.yaml`` is of another training than ``config``: seed, starting point, method, data."""
    then, now = OmegaConf.to_container(OmegaConf.load(saved)), plain(config)
    assert isinstance(then, dict)
    keys = ["seed", "init_from"]
    for part in ("method", "data"):
        # a key that one of the two versions of the code does not know says nothing
        keys += [f"{part}.{key}" for key in now[part] if key in then[part] and key not in MAY_CHANGE]
    pairs = [(key, _at(then, key), _at(now, key)) for key in keys]
    return [f"{key}={was} then, {is_now} now" for key, was, is_now in pairs if was != is_now]


def _at(value: Any, key: str) -> Any:
    for part in key.split("."):
        value = value.get(part) if isinstance(value, dict) else None
    return value


def _listed(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(k): _listed(v) for k, v in value.items()}
    return [_listed(v) for v in value] if isinstance(value, list | tuple) else value
