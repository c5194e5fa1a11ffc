"""Where figures go: the CSV log, always, and Weights & Biases."""

import csv
import netrc
import os
import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from pytorch_lightning.loggers import CSVLogger, WandbLogger
from pytorch_lightning.loggers.csv_logs import ExperimentWriter

from facegan.config import LogConfig
from facegan.findings import FINDINGS, headlines, read_findings
from facegan.intervals import ASKED, READ
from facegan.runs import Run, first_rank

CONFIG_BESIDE = "run.yaml"
"""The run's config among the files of its evaluation."""


class RunCSVLogger(CSVLogger):
    """``metrics.csv`` right in the run folder, one row a logged batch; goes on where a resumed run left off.

    Args:
        run: the run.
        resume_at: batches that the checkpoint has seen; later rows are cut off. None starts a new file.
    """

    def __init__(self, run: Run, resume_at: int | None = None) -> None:
        super().__init__(str(run.folder), name="", version="", flush_logs_every_n_steps=1)
        self._run = run
        self._resume_at = resume_at
        self._writer: ExperimentWriter | None = None

    @property
    def log_dir(self) -> str:
        """The run folder."""
        return str(self._run.folder)

    @property
    def experiment(self) -> Any:
        """Lightning's writer, with the rows of before the resume in its file."""
        if not first_rank():
            return super().experiment
        if self._writer is None:
            header, rows = self._kept_rows()
            self._writer = _Writer(log_dir=self.log_dir)
            self._writer.metrics_keys = header
            if rows:
                _write(self._run.metrics, header, rows)
            elif self._run.metrics.exists():
                self._run.metrics.unlink()
        return self._writer

    def _kept_rows(self) -> tuple[list[str], list[dict[str, str]]]:
        if self._resume_at is None or not self._run.metrics.exists():
            return [], []
        with self._run.metrics.open(newline="") as file:
            reader = csv.DictReader(file)
            # a kill can tear the last row: it then has fewer fields, or no readable step
            rows = [row for row in reader if (row["step"] or "").isdigit() and None not in row.values()]
            header = list(reader.fieldnames or [])
        return header, [row for row in rows if int(row["step"]) < self._resume_at]


class _Writer(ExperimentWriter):
    """Lightning's writer without its check that the folder is empty: ours holds the whole run."""

    def _check_log_dir_exists(self) -> None:
        pass


def _write(path: Path, header: list[str], rows: list[dict[str, str]]) -> None:
    temporary = path.with_suffix(".tmp")
    with temporary.open("w", newline="") as file:
        writer = csv.DictWriter(file, fieldnames=header)
        writer.writeheader()
        writer.writerows(rows)
    temporary.replace(path)


def wandb_logger(
    config: LogConfig, run: Run, experiment: str, resolved: dict[str, Any]
) -> WandbLogger | None:
    """A W&B logger that keeps its run id in the run folder, so that a resume goes on in the same W&B run."""
    if config.wandb == "disabled":
        return None
    id_file = run.folder / "wandb_id.txt"
    run_id = id_file.read_text().strip() if id_file.exists() else os.urandom(4).hex()
    if first_rank():
        id_file.write_text(run_id + "\n")
    offline = _offline(config)
    logger = WandbLogger(
        name=f"{experiment}/{run.folder.name}", save_dir=str(run.folder), project=config.project, id=run_id,
        offline=offline, log_model=False, tags=tags(config, resolved), group=experiment, job_type="train",
        resume="allow",
    )  # fmt: skip
    logger.log_hyperparams(resolved)
    return logger


def tags(config: LogConfig, resolved: Mapping[str, Any]) -> list[str]:
    """Method, data set and variant (what the experiment's name adds to them), and the user's own."""
    method, data = resolved["method"]["name"], resolved["data"]["name"]
    words = [
        word for word in resolved["name"].split("_") if word not in (*method.split("_"), *data.split("_"))
    ]
    return list(dict.fromkeys([method, data, *(["_".join(words)] if words else []), *config.tags]))


def log_evaluation(config: LogConfig, run: Run, evaluation: Path) -> None:
    """Add an evaluation to the run's own W&B run: headline figures, figures, sample pairs with scores, and its files.

    A run without W&B is passed over. Offline, it is a second folder of the same run: ``wandb sync`` puts them together.
    """
    id_file = run.folder / "wandb_id.txt"
    if config.wandb == "disabled" or not id_file.exists() or os.environ.get("WANDB_MODE") == "disabled":
        return
    import wandb

    result = read_findings(evaluation / FINDINGS)
    with wandb.init(
        project=config.project, id=id_file.read_text().strip(), dir=str(run.folder), resume="allow",
        mode="offline" if _offline(config) else "online", settings=wandb.Settings(silent=True),
    ) as session:  # fmt: skip
        session.summary.update({f"eval/{name}": value for name, value in headlines(result).items()})
        pictures = {f"eval/{path.stem}": wandb.Image(str(path)) for path in sorted(evaluation.glob("*.png"))}
        table = _samples(evaluation)
        session.log(pictures | ({"eval/samples": table} if table is not None else {}))
        # W&B has a config.yaml of its own in every run
        shutil.copyfile(run.config, evaluation / CONFIG_BESIDE)
        kept = [evaluation / name for name in (FINDINGS, "pairs.csv", CONFIG_BESIDE)]
        for path in [*kept, *evaluation.glob("*.png")]:
            if path.exists():
                session.save(str(path), base_path=str(run.folder), policy="now")


def _samples(evaluation: Path) -> Any:
    """A W&B table of the sample pairs: source, target, result, and what was measured of each; None: there are none."""
    import pandas as pd
    import wandb

    if not (evaluation / "pairs.csv").exists():
        return None
    pairs = pd.read_csv(evaluation / "pairs.csv")
    kinds = ("source", "target", "result")
    scores = [name for name in pairs.columns[3:] if not name.startswith((ASKED, READ))]
    rows: list[Iterable[Any]] = []
    for k in range(len(pairs)):
        files = [evaluation / "samples" / f"{k:02d}-{kind}.png" for kind in kinds]
        if not all(file.exists() for file in files):
            break
        rows.append([*(wandb.Image(str(file)) for file in files), pairs.person[k], *pairs.loc[k, scores]])
    return wandb.Table(columns=[*kinds, "person", *scores], data=rows) if rows else None


def _offline(config: LogConfig) -> bool:
    return config.wandb == "offline" or (config.wandb == "auto" and not _logged_in())


def _logged_in() -> bool:
    """Whether W&B has a key, from the environment or from its login file, without asking for one."""
    if os.environ.get("WANDB_API_KEY"):
        return True
    try:
        return any("wandb" in host for host in netrc.netrc().hosts)
    except (OSError, netrc.NetrcParseError):
        return False
