"""What is common to all experiments: the dataclasses under ``data`` and ``trainer``, and their checks.

A YAML in ``experiments/`` states only what differs from these defaults and from the defaults of the
method's and the data module's own dataclasses.
"""

import errno
import math
import os
from dataclasses import dataclass, field
from pathlib import Path


class UserError(Exception):
    """A mistake that its user can mend: says what was looked for, where, and what to type next."""


def disk_trouble(error: OSError) -> str:
    """What is the matter with a disk that cannot be written, and what to do, in words."""
    short = "written" in str(error)  # NumPy's own error of a write that was cut off has no number
    if short or error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return f"the disk is full ({error.strerror or error}). What is finished is kept: make room, or choose"
    if error.errno in (errno.EROFS, errno.EACCES, errno.EPERM):
        return f"{error.strerror}, so nothing can be written there. What is finished is kept: choose"
    return f"{error.strerror or error}. What is finished is kept: choose"


def data_home() -> Path:
    """Folder of raw data and prepared stores: ``FACEGAN_DATA``, else ``data`` below the working folder."""
    return Path(os.environ.get("FACEGAN_DATA", "data"))


def runs_home() -> Path:
    """Folder of the runs: ``FACEGAN_RUNS``, else ``runs`` below the working folder."""
    return Path(os.environ.get("FACEGAN_RUNS", "runs"))


def judges_home() -> Path:
    """Folder of the judges' weights: ``FACEGAN_JUDGES``, else ``judges`` in the user's cache."""
    return Path(os.environ.get("FACEGAN_JUDGES", Path.home() / ".cache" / "facegan" / "judges"))


def assets_home() -> Path:
    """Folder of fetched assets (the ict head): ``FACEGAN_ASSETS``, else ``assets`` in the user's cache."""
    return Path(os.environ.get("FACEGAN_ASSETS", Path.home() / ".cache" / "facegan" / "assets"))


@dataclass
class PrepareConfig:
    """How raw pictures become prepared faces; every field is part of the store's key."""

    image_size: int = 128  # EGGAN 4.1
    landmarks: str = "dlib"  # dlib | face_alignment | openface (the CSVs' own)
    align: str = "similarity"  # similarity (eyes and mouth on a template) | box (ICface)


@dataclass
class TrainerConfig:
    """What goes to Lightning's Trainer, and the rhythm of saving and looking."""

    max_epochs: int | None = None  # None: all stages of the method
    max_batches: int | None = None  # stop after so many batches in all; None: no limit
    accelerator: str = "auto"
    devices: int | str = "auto"
    num_nodes: int = 1
    strategy: str = "auto"  # DDP where there is more than one device
    precision: str = "32-true"
    limit_train_batches: int | float | None = None
    limit_val_batches: int | float | None = None
    deterministic: bool = False
    log_every: int = 10  # batches between two rows of the CSV log
    # batches between two checkpoints (besides the ends of epochs of a minute or more)
    checkpoint_every: int = 1000
    validate_every: int = 1  # epochs between two validations
    sample_every: int = 1  # epochs between two sample grids
    progress: bool = True
    threads: int | None = None  # CPU threads of PyTorch; None: PyTorch's own choice


@dataclass
class LogConfig:
    """Weights & Biases; the CSV log is always written."""

    wandb: str = "auto"  # auto (online if logged in, else offline) | online | offline | disabled
    project: str = "facegan"
    tags: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        check("log.wandb", self.wandb, ("auto", "online", "offline", "disabled"))


def check(
    key: str,
    value: object,
    choices: tuple[str, ...] | None = None,
    *,
    at_least: float | None = None,
    at_most: float | None = None,
    above: float | None = None,
) -> None:
    """Refuse a config value outside its choices or range.

    Raises:
        UserError: one sentence with the key, the value and what is allowed.
    """
    if choices is not None:
        if value not in choices:
            raise UserError(f"{key}={value}: choose one of {', '.join(choices)}")
        return
    number = float(value)  # type: ignore[arg-type]
    if not math.isfinite(number):
        raise UserError(f"{key}={value}: must be a number")
    if at_least is not None and not number >= at_least:
        raise UserError(f"{key}={value}: must be {at_least} or more")
    if at_most is not None and not number <= at_most:
        raise UserError(f"{key}={value}: must be {at_most} or less")
    if above is not None and not number > above:
        raise UserError(f"{key}={value}: must be above {above}")


def check_ranges(part: str, config: object, **ranges: tuple[float, float | None]) -> None:
    """Refuse fields of a config outside their (least, greatest) values; None is no end.

    Of a list every entry is looked at, and there must be one; a field that is None is passed over.

    Raises:
        UserError: as ``check``; an empty list.
    """
    for name, (least, greatest) in ranges.items():
        key, value = f"{part}.{name}" if part else name, getattr(config, name)
        if isinstance(value, list | tuple) and not value:
            raise UserError(f"{key}={value}: write at least one number")
        for entry in value if isinstance(value, list | tuple) else [value]:
            if entry is not None:
                check(key, entry, at_least=least, at_most=greatest)
