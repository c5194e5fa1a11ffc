"""OpenFace run for the user, where its programs are on the PATH; else the commands to type.

A thin wrapper: FaceLandmarkImg for folders of single pictures, FeatureExtraction for folders of frames and for
videos. Its CSVs go into a tree like that of the raw data, where ``data.au_root`` finds them (or into ``processed``
beside the pictures). A recording on its side is written upright first, for OpenFace looks for upright faces only.
"""

import shlex
import shutil
import subprocess
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image
from rich.progress import track

from datamodules.preparation.pictures import UnreadablePicture, count_frames, is_picture, look, read_frames
from datamodules.records import Records
from facegan.config import UserError

STILLS, SEQUENCE = "FaceLandmarkImg", "FeatureExtraction"
_BLOCKS = ("-aus", "-pose", "-2Dfp")


@dataclass(frozen=True)
class Job:
    """One call of OpenFace: ``source`` is a folder of pictures or a video, ``csv`` what it writes.

    Of stills ``csv`` is a folder. ``view`` is how the recording must be looked at before (``pictures.VIEWS``).
    """

    program: str
    source: Path
    csv: Path
    view: str = ""

    @property
    def command(self) -> list[str]:
        """The command line."""
        if self.program == STILLS:
            return [STILLS, "-fdir", str(self.source), "-out_dir", str(self.csv), *_BLOCKS]
        kind = "-f" if self.source.is_file() else "-fdir"
        return [
            SEQUENCE,
            kind,
            str(self.source),
            "-of",
            self.csv.stem,
            "-out_dir",
            str(self.csv.parent),
            *_BLOCKS,
        ]

    @property
    def is_done(self) -> bool:
        """Whether its CSV (of stills: one for each picture) is there."""
        if self.program == SEQUENCE:
            return self.csv.is_file()
        pictures = [path for path in self.source.iterdir() if is_picture(path)]
        return all((self.csv / f"{path.stem}.csv").is_file() for path in pictures)


def jobs(records: Records, out: Path | None = None, stills: bool = False) -> list[Job]:
    """What to run for the pictures of a table, in their order, each folder or video once.

    Halves of a dual view are left out: OpenFace would track one of their two faces.

    Args:
        records: of raw data.
        out: folder of the CSVs; None: ``processed`` beside the pictures.
        stills: pictures are single ones; otherwise those of a folder with frames above 0 are taken for a sequence.
    """
    roots, paths = (records.table.column(name).to_pylist() for name in ("root", "path"))
    views = [records.names("view")[code] for code in records.codes("view")]
    frames = records.numbers("frame").tolist()
    folders: dict[Path, bool] = {}
    made: dict[tuple[Path, str], Job] = {}
    for root, path, view, frame in zip(roots, paths, views, frames, strict=True):
        file = Path(root) / path
        if is_picture(file):
            folders[file.parent] = folders.get(file.parent, False) or (frame > 0 and not stills)
        elif (file, view) not in made and view not in ("left", "right"):
            where = _beside(file.parent, Path(root), out)
            made[file, view] = Job(SEQUENCE, file, where / f"{file.stem}.csv", view)
    for folder, is_sequence in folders.items():
        root = Path(next(root for root in dict.fromkeys(roots) if folder.is_relative_to(root)))
        if is_sequence:
            job = Job(SEQUENCE, folder, _beside(folder.parent, root, out) / f"{folder.name}.csv")
        else:
            job = Job(STILLS, folder, _beside(folder, root, out))
        made[folder, ""] = job
    return list(made.values())


def _beside(folder: Path, root: Path, out: Path | None) -> Path:
    if out is None:
        return folder / "processed"
    return out / folder.relative_to(root) if folder.is_relative_to(root) else out


def run(work: Sequence[Job], workers: int = 1, progress: bool = True) -> list[tuple[Job, str]]:
    """Run OpenFace on all that is not done; (job, reason) of those that failed.

    Raises:
        UserError: its programs are not on the PATH; the message has the commands.
    """
    to_do = [job for job in work if not job.is_done]
    missing = sorted({job.program for job in to_do if shutil.which(job.program) is None})
    if missing:
        lines = "\n".join(shlex.join(job.command) for job in to_do[:5])
        more = f"\n… and {len(to_do) - 5:,} more like these" if len(to_do) > 5 else ""
        raise UserError(
            f"OpenFace is not here: looked for {' and '.join(missing)} on the PATH. Put its bin folder there, or run "
            f"where it is (https://github.com/TadasBaltrusaitis/OpenFace):\n{lines}{more}"
        )
    with ThreadPoolExecutor(workers) as pool:
        results = pool.map(_run_one, to_do)
        waiting = track(results, "OpenFace", total=len(to_do), disable=not progress)
        return [(job, reason) for job, reason in zip(to_do, waiting, strict=True) if reason]


def _run_one(job: Job) -> str:
    """Run one job; the reason where it failed, else an empty text."""
    where = job.csv if job.program == STILLS else job.csv.parent
    where.mkdir(parents=True, exist_ok=True)
    upright = None
    try:
        if job.view:
            upright = job.csv.with_suffix(".upright")
            _write_upright(job, upright)
            command = Job(SEQUENCE, upright, job.csv).command
        else:
            command = job.command
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except (OSError, UnreadablePicture) as error:
        return str(error)
    finally:
        if upright is not None:
            shutil.rmtree(upright, ignore_errors=True)
    if done.returncode:
        last = (done.stderr or done.stdout).strip().splitlines()[-1:] or ["no message"]
        return f"{command[0]} ended with {done.returncode}: {last[0][:200]}"
    return "" if job.is_done else f"{command[0]} wrote no {job.csv.name}"


def _write_upright(job: Job, folder: Path) -> None:
    """The frames of a video that lies on its side, upright, as pictures in a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for number, image in read_frames(job.source, np.arange(count_frames(job.source))):
        Image.fromarray(look(image, job.view)).save(folder / f"{number:06d}.png")
