"""What happens beside training: checkpoints, sample grids of fixed people, the judges' opinion, stopping."""

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Callback, Checkpoint
from torch import Tensor

from facegan import figures
from facegan.config import UserError
from facegan.faces import AU_NAMES, EXPRESSIONS, prototype
from facegan.judges import GEOMETRY, Judges
from facegan.metrics import Agreement
from facegan.pixels import to_uint8
from facegan.runs import Run

SHORT_EPOCH = 60.0
"""Seconds since the last checkpoint before an epoch's end is worth another one."""


class RunCheckpoint(Checkpoint):
    """Saves ``last.ckpt`` every so many batches, at the end of epochs, and ``best.ckpt`` by a quality metric.

    A file is written under another name and renamed, so a kill leaves the previous one whole.

    Args:
        run: its folder; rank 0's is handed to the other ranks.
        every: batches between two saves.
        monitor: logged metrics, the first that exists decides; a leading "-" means lower is better.
    """

    def __init__(self, run: Run, every: int, monitor: tuple[str, ...]) -> None:
        self.run, self.every, self.monitor = run, every, monitor
        self.best: float | None = None
        self._due = False
        self._saved = time.monotonic()

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        """Agree on one run folder."""
        self.run = Run(Path(trainer.strategy.broadcast(str(self.run.folder))))

    def on_train_batch_end(self, trainer: pl.Trainer, pl_module: Any, *args: Any) -> None:
        """Save every ``every`` batches, and where training was asked to stop."""
        self._due |= pl_module.batches_seen % self.every == 0 or trainer.should_stop
        # after an epoch's last batch its end is still to be counted: wait for it
        if self._due and not trainer.is_last_batch:
            self._save(trainer, pl_module, self.run.last)
            self._due = False

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Save the best one so far, of equals the latest; rank 0 decides, for it alone has the judges' figures."""
        quality = trainer.strategy.broadcast(self._quality(trainer.callback_metrics))
        if quality is not None and (self.best is None or quality >= self.best):
            self.best = quality
            self._save(trainer, pl_module, self.run.best)

    def _quality(self, metrics: dict[str, Tensor]) -> float | None:
        for name in self.monitor:
            value = metrics.get(name.removeprefix("-"))
            if value is not None and torch.isfinite(value):
                return float(value) * (-1 if name.startswith("-") else 1)
        return None

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Save, after the module's own hook; the ends of short epochs that are not the last are passed over."""
        last = trainer.is_last_batch and trainer.current_epoch + 1 == trainer.max_epochs
        long_ago = trainer.strategy.broadcast(time.monotonic() - self._saved > SHORT_EPOCH)
        if self._due or last or long_ago:
            self._save(trainer, pl_module, self.run.last)
            self._due = False

    def _save(self, trainer: pl.Trainer, pl_module: Any, path: Path) -> None:
        temporary = path.with_suffix(".tmp")
        trainer.save_checkpoint(temporary, weights_only=False)
        if trainer.is_global_zero:
            os.replace(temporary, path)
        if path == self.run.last:
            self._saved = time.monotonic()

    def state_dict(self) -> dict[str, Any]:
        """The best value so far."""
        return {"best": self.best}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on comparing with the best value so far."""
        self.best = state_dict["best"]


class StopAfter(Callback):
    """Stop after ``max_batches`` batches in all, counted over resumes."""

    def __init__(self, max_batches: int) -> None:
        self.max_batches = max_batches

    def on_train_batch_end(self, trainer: pl.Trainer, pl_module: Any, *args: Any) -> None:
        """Ask Lightning to stop once the count is reached."""
        if pl_module.batches_seen >= self.max_batches:
            trainer.should_stop = True


class FiniteLosses(Callback):
    """Stops a run whose losses are no longer finite; looked at when they are logged, so it costs nothing.

    Figures of validation may be undefined, as a correlation is over a few faces that do not differ.
    """

    def on_train_batch_end(self, trainer: pl.Trainer, pl_module: Any, *args: Any) -> None:
        """Look at the logged losses."""
        if trainer._logger_connector.should_update_logs:
            logged = trainer.logged_metrics.items()
            bad = [key for key, value in logged if key.startswith("train/") and not torch.isfinite(value)]
            if bad:
                raise UserError(
                    f"{', '.join(bad)} is no longer finite at batch {pl_module.batches_seen}; the last checkpoint "
                    "is from before. Try trainer.precision=32-true, a lower method.lr, or method.clip_gradient=10"
                )


class SampleGrid(Callback):
    """Draws what a method does to fixed validation people, after validation, into the run and W&B.

    Args:
        run: where to.
        every: epochs between two grids.
        draw: (module, data module) -> picture: ``edits``, ``transfers`` or ``reenactments``.
    """

    def __init__(self, run: Run, every: int, draw: Callable[[Any, Any], np.ndarray]) -> None:
        self.run, self.every, self.draw = run, every, draw

    @torch.no_grad()
    def on_validation_end(self, trainer: pl.Trainer, pl_module: Any) -> None:
        """Draw, on rank 0."""
        if not trainer.is_global_zero or trainer.sanity_checking or (trainer.current_epoch + 1) % self.every:
            return
        picture = self.draw(pl_module, trainer.datamodule)  # type: ignore[attr-defined]
        self.run.samples.mkdir(exist_ok=True)
        path = self.run.samples / f"batch-{pl_module.batches_seen:07d}.png"
        figures.save(path, picture)
        for logger in trainer.loggers:
            if isinstance(logger, pl.loggers.WandbLogger):
                logger.log_image("samples", [str(path)])


def edits(module: Any, data: Any, people: int = 6) -> np.ndarray:
    """Validation people, each edited to the eight expressions."""
    images = data.val.batch(_one_row_a_person(data.val, people))["image"].to(module.device)
    return expression_grid(module.edit, images, figures.provenance(data.generated))


def transfers(module: Any, data: Any, people: int = 6) -> np.ndarray:
    """Validation people (rows), each with the expressions (columns) of pictures of other people."""
    val = data.val
    expressions = [int(code) for code in np.unique(val.expression)]
    # the last picture of each expression: in the order of the records, seldom one of the first people
    sources = [int(np.flatnonzero(val.expression == code)[-1]) for code in expressions]
    targets = _one_row_a_person(val, people)
    x_s, x_t = (val.batch(rows)["image"].to(module.device) for rows in (sources, targets))
    results = in_pieces(module.transfer, x_s.repeat(len(x_t), 1, 1, 1), x_t.repeat_interleave(len(x_s), 0))
    table = to_uint8(results).reshape(len(x_t), len(x_s), *x_t.shape[2:], 3)
    rows: list[list[np.ndarray | None]] = [[None, *to_uint8(x_s)]]
    rows += [[target, *row] for target, row in zip(to_uint8(x_t), table, strict=True)]
    columns = ["target", *(EXPRESSIONS[code] for code in expressions)]
    return figures.grid(rows, columns=columns, caption=figures.provenance(data.generated))


def reenactments(module: Any, data: Any, people: int = 6) -> np.ndarray:
    """Validation people (rows), neutral and with the poses and AUs of frames of the other people (columns)."""
    val = data.val
    rows = _one_row_a_person(val, people)
    faces = val.batch(rows)["image"].to(module.device)
    # a frame from the middle of what each person has: seldom one that begins a track
    drivers = val.batch([int(np.flatnonzero(val.identity == val.identity[row]).mean()) for row in rows])
    neutral = module.neutralise(faces)
    pose, au = (drivers[key].to(module.device) for key in ("pose", "au"))
    table = [
        module.animate(neutral, pose[k : k + 1].expand(len(faces), -1), au[k : k + 1].expand(len(faces), -1))
        for k in range(len(pose))
    ]
    pictures: list[list[np.ndarray | None]] = [[None, None, *to_uint8(drivers["image"])]]
    columns = [to_uint8(part) for part in (faces, neutral, *table)]
    pictures += [list(row) for row in zip(*columns, strict=True)]
    names = ["source", "neutral", *("driver" for _ in table)]
    return figures.grid(pictures, names, caption=figures.provenance(data.generated))


class JudgeEdits(Callback):
    """Both AU judges' opinion of edits of fixed validation faces: ``val/au_pcc_judge`` and the geometry's.

    A judge whose weights are missing is left out, and one line says so.

    Args:
        au_weights: of the AU judge; None for the one in ``judges_home()``.
        faces: how many are edited.
    """

    def __init__(self, au_weights: Path | None = None, faces: int = 96) -> None:
        self.au_weights, self.faces = au_weights, faces
        self._judges: Judges | None = None
        self._target_geometry: Tensor | None = None

    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Load the judges, on rank 0."""
        if not trainer.is_global_zero:
            return
        self._judges = Judges(pl_module.device, au_path=self.au_weights)
        try:
            _ = self._judges.au
        except UserError as error:
            pl_module.print(f"No AU judge during training: {error}")
            self._judges.__dict__["au"] = None

    @torch.no_grad()
    def on_validation_epoch_end(self, trainer: pl.Trainer, pl_module: Any) -> None:
        """Edit, judge, log."""
        if self._judges is None or trainer.sanity_checking:
            return
        val = trainer.datamodule.val  # type: ignore[attr-defined]
        n = min(self.faces, len(val))
        rows = torch.linspace(0, len(val) - 1, n).long().numpy()
        # each face takes the expression of the face half the list away
        sources, targets = val.batch(rows), val.batch(rows[(torch.arange(n) + n // 2).numpy() % n])
        edited = in_pieces(
            pl_module.edit, sources["image"].to(pl_module.device), targets["au"].to(pl_module.device)
        )
        if self._judges.au is not None:
            score = Agreement(AU_NAMES, sync_on_compute=False)
            score.update(self._judges.au(edited), targets["au"])
            result = score.compute()
            pl_module.log("val/au_mse_judge", result["mse_mean"].float(), rank_zero_only=True)
            pl_module.log("val/au_pcc_judge", result["pcc_mean"].float(), rank_zero_only=True)
        if self._target_geometry is None:
            self._target_geometry = self._judges.geometry(targets["image"])
        score = Agreement(GEOMETRY, sync_on_compute=False)
        score.update(self._judges.geometry(edited.cpu()), self._target_geometry)
        result = score.compute()
        # a correlation over a handful of faces would pass for quality while there are hardly any faces
        if torch.isfinite(result["pcc_mean"]) and result["rejected"] <= n / 2:
            pl_module.log("val/geometry_pcc", result["pcc_mean"].float(), rank_zero_only=True)
        pl_module.log("val/no_face_found", result["rejected"].float() / n, rank_zero_only=True)


def in_pieces(step: Callable[[Tensor, Tensor], Tensor], one: Tensor, other: Tensor, size: int = 64) -> Tensor:
    """``step`` on any number of rows in pieces of ``size``, so that memory does not grow with them."""
    return torch.cat([step(a, b) for a, b in zip(one.split(size), other.split(size), strict=True)])


def expression_grid(
    edit: Callable[[Tensor, Tensor], Tensor], images: Tensor, caption: str = ""
) -> np.ndarray:
    """A picture of sources (B, 3, S, S) x eight expressions, each source first as it is."""
    au = torch.stack([torch.from_numpy(prototype(name)) for name in EXPRESSIONS]).to(images.device)
    edited = in_pieces(edit, images.repeat_interleave(len(au), 0), au.repeat(len(images), 1))
    edits = to_uint8(edited).reshape(len(images), len(au), *images.shape[2:], 3)
    rows = [[source, *row] for source, row in zip(to_uint8(images), edits, strict=True)]
    return figures.grid(rows, columns=["source", *EXPRESSIONS], caption=caption)


def _one_row_a_person(dataset: Any, people: int) -> list[int]:
    """The first picture of each of the first people of a split."""
    rows: dict[int, int] = {}
    for row, person in enumerate(dataset.identity.tolist()):
        rows.setdefault(person, row)
    chosen = list(rows.values())[:people]
    # fewer people than rows: more pictures of the same
    return chosen + [row for row in range(len(dataset)) if row not in chosen][: people - len(chosen)]
