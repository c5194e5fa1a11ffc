"""Experiments by name, and run folders ``<runs home>/<experiment>/<time>/`` with config, version, logs and results."""

import hashlib
import json
import os
import platform
import re
import shutil
import subprocess
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from difflib import get_close_matches
from importlib.metadata import version
from pathlib import Path
from typing import Any

from lightning_utilities.core.rank_zero import rank_zero_only
from omegaconf import OmegaConf

from facegan.config import UserError, runs_home

EXPERIMENTS = Path(__file__).parent.parent / "experiments"
PRETRAINED = Path(__file__).parent / "pretrained"
"""Packed runs that come with the package, by name."""
WEIGHTS = "weights.safetensors"
"""What a packed run has instead of checkpoints (``facegan.releases``)."""


def pretrained() -> list["Run"]:
    """The packed runs that come with the package."""
    return [Run(path.parent) for path in sorted(PRETRAINED.glob("*/config.yaml"))]


def experiments() -> dict[str, Path]:
    """The shipped experiments by name."""
    return {path.stem: path for path in sorted(EXPERIMENTS.glob("*.yaml"))}


def find_experiment(name: str) -> Path:
    """The YAML of an experiment, or of a path that ends in .yaml.

    Raises:
        UserError: neither exists; names the nearest.
    """
    path = Path(name) if name.endswith((".yaml", ".yml")) else experiments().get(name)
    if path is None or not path.is_file():
        near = get_close_matches(name, experiments(), 1)
        hint = f"did you mean {near[0]}?" if near else "facegan list shows all"
        raise UserError(f"no experiment {name!r} in {EXPERIMENTS.name}/ ({hint})")
    return path


@dataclass(frozen=True)
class Run:
    """One run's folder and the names of what it holds."""

    folder: Path

    @property
    def config(self) -> Path:
        """The resolved config."""
        return self.folder / "config.yaml"

    @property
    def last(self) -> Path:
        """The newest checkpoint, or the weights of a packed run."""
        packed = self.folder / WEIGHTS
        return packed if packed.is_file() else self.folder / "checkpoints" / "last.ckpt"

    @property
    def best(self) -> Path:
        """The checkpoint with the best quality metric so far."""
        return self.folder / "checkpoints" / "best.ckpt"

    @property
    def metrics(self) -> Path:
        """The CSV log."""
        return self.folder / "metrics.csv"

    @property
    def samples(self) -> Path:
        """Sample grids of fixed people."""
        return self.folder / "samples"

    @property
    def people(self) -> Path:
        """Who was trained on, and who is tested on; as ``data.splits`` takes it."""
        return self.folder / "people.csv"

    @property
    def evaluation(self) -> Path:
        """Tables and figures of the protocol."""
        return self.folder / "evaluation"

    def checkpoint(self, which: str = "last") -> Path:
        """``last``, ``best`` or a file of this run.

        Raises:
            UserError: there is no such checkpoint.
        """
        path = {"last": self.last, "best": self.best}.get(which, Path(which))
        if not path.is_file():
            known = sorted(p.name for p in (self.folder / "checkpoints").glob("*.ckpt"))
            known += (
                [WEIGHTS + " alone (--checkpoint last)"]
                if self.last.name == WEIGHTS and self.last.is_file()
                else []
            )
            raise UserError(f"no checkpoint {path}; this run has {', '.join(known) or 'none yet'}")
        return path

    def write_config(self, config: dict[str, Any]) -> None:
        """Save the resolved config and the code's version."""
        self.folder.mkdir(parents=True, exist_ok=True)
        OmegaConf.save(OmegaConf.create(config), self.config)
        path, version = self.folder / "version.json", code_version()
        if path.exists():  # gone on with: what it was begun by stays
            begun = json.loads(path.read_text())
            last = begun.get("resumed", [begun])[-1]
            if any(last.get(key) != value for key, value in version.items()):
                begun.setdefault("resumed", []).append(version)
            version = begun
        path.write_text(json.dumps(version, indent=1) + "\n")

    def discard(self) -> None:
        """Remove the folder of a run that never began, if there is no checkpoint in it."""
        if not self.last.exists():
            shutil.rmtree(self.folder)


def first_rank() -> bool:
    """Whether this process is the first of the run, or the only one; known before there is a Trainer."""
    return getattr(rank_zero_only, "rank", 0) == 0


def new_run(experiment: str) -> Run:
    """A folder for a new run, named by the time; made at once so that no other run takes it."""
    stamp = datetime.now().strftime("%Y-%m-%d_%H-%M-%S")
    for suffix in ("", *(f"-{i}" for i in range(2, 1000))):
        folder = runs_home() / experiment / (stamp + suffix)
        try:
            folder.mkdir(parents=True)
        except FileExistsError:
            continue
        return Run(folder)
    raise UserError(f"could not make a new run folder in {runs_home() / experiment}")


def family(name: str, overrides: Sequence[str]) -> Path:
    """The folder of runs that belong together (folds, ablations): other overrides, another folder."""
    key = f"-{hashlib.sha256(json.dumps(sorted(overrides)).encode()).hexdigest()[:6]}" if overrides else ""
    return runs_home() / f"{name}{key}"


def find_run(name: str) -> Run:
    """A run by its folder, the newest run of an experiment or of a folder, or a packed one that came with the package.

    Raises:
        UserError: neither exists; names what does.
    """
    for folder in (Path(name), runs_home() / name, PRETRAINED / name):  # a path, or EXPERIMENT/TIME
        if (folder / "config.yaml").is_file():
            return Run(folder)
    runs = [run for run in all_runs() if run.folder.parent.name == name] or _runs_in(Path(name))
    if runs:  # one that was stopped before its first checkpoint hides no other
        return next((run for run in reversed(runs) if run.last.exists()), runs[-1])
    known = sorted({run.folder.parent.name for run in all_runs()})
    first = name if name in experiments() else "eggan_demo"
    if len(known) > 8:
        known = [*(get_close_matches(name, known, 8) or known[:8]), "others"]
    raise UserError(
        f"no run folder {name!r} and no run of an experiment of that name in {runs_home()}; "
        + (f"there are runs of {', '.join(known)}" if known else f"train one first: facegan train {first}")
        + f"; {', '.join(run.folder.name for run in pretrained())} came with the package"
    )


def all_runs() -> list[Run]:
    """All runs, oldest first."""
    return _by_time(runs_home().glob("*/*/config.yaml"))


def _runs_in(folder: Path) -> list[Run]:
    return _by_time(folder.glob("*/config.yaml"))


def _by_time(configs: Iterable[Path]) -> list[Run]:
    def key(run: Run) -> list[str | int]:  # fold-10 after fold-9
        return [int(part) if part.isdigit() else part for part in re.split(r"(\d+)", run.folder.name)]

    return sorted((Run(path.parent) for path in configs), key=key)


def code_version() -> dict[str, Any]:
    """Versions of this package, its commit if it runs from a checkout, and of the libraries that matter."""
    names = ("facegan", "torch", "pytorch-lightning", "torchmetrics", "numpy")
    return {
        **{name: version(name) for name in names},
        "python": platform.python_version(),
        "commit": _git("rev-parse", "HEAD"),
        "changed_files": (_git("status", "--porcelain", "--untracked-files=no") or "").splitlines(),
    }


def _git(*args: str) -> str | None:
    here = Path(__file__).parent
    try:
        done = subprocess.run(
            ["git", *args], cwd=here, capture_output=True, text=True, timeout=10, check=True,
            env={**os.environ, "GIT_OPTIONAL_LOCKS": "0"},
        )  # fmt: skip
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()
