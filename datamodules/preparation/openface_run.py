"""OpenFace run for the user, where its programs are on the PATH; else the commands to type.

A thin wrapper: FaceLandmarkImg for folders of single pictures, FeatureExtraction for folders of frames and for
videos. Its CSVs go into a tree like that of the raw data, where ``data.au_root`` finds them (or into ``processed``
beside the pictures). A recording on its side is written upright first, for OpenFace looks for upright faces only.
What a program leaves behind when it fails or is killed is thrown away.
"""

import shlex
import shutil
import subprocess
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
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
    """One call of OpenFace on a folder of pictures, or on a video.

    Args:
        program: ``STILLS`` or ``SEQUENCE``.
        source: the folder or the video.
        out: folder of what it writes.
        view: how the recording must be looked at before (``pictures.VIEWS``).
    """

    program: str
    source: Path
    out: Path
    view: str = ""

    def command(self, source: Path | None = None, out: Path | None = None) -> list[str]:
        """The command line; with another source or folder for what it writes where they are given."""
        source, out = source or self.source, out or self.out
        if self.program == STILLS:
            return [STILLS, "-fdir", str(source), "-out_dir", str(out), *_BLOCKS]
        kind = "-f" if source.is_file() else "-fdir"
        return [SEQUENCE, kind, str(source), "-of", self._name, "-out_dir", str(out), *_BLOCKS]

    @property
    def _name(self) -> str:
        return self.source.stem if self.source.is_file() else self.source.name

    @property
    def done(self) -> Path:
        """The file that is there when the job is done: the CSV; of stills, some of which have no face, a note."""
        return self.out / (".openface" if self.program == STILLS else f"{self._name}.csv")

    @property
    def is_done(self) -> bool:
        """Whether it was done, for all pictures that are there now."""
        if not self.done.is_file():
            return False
        return self.program == SEQUENCE or self.done.read_text() == _listed(self.source)


def _listed(folder: Path) -> str:
    return "\n".join(sorted(path.name for path in folder.iterdir() if is_picture(path)))


def jobs(records: Records, out: Path | None = None, stills: bool = False) -> list[Job]:
    """What to run for the pictures of a table, each folder or video once.

    Halves of a dual view are passed over: OpenFace would track one of their two faces.

    Args:
        records: of raw data.
        out: folder of the CSVs; None: ``processed`` beside the pictures.
        stills: pictures are single ones; otherwise those of a folder with frames above 0 are taken for a sequence.
    """
    roots, paths = (records.table.column(name).to_pylist() for name in ("root", "path"))
    views, codes = records.names("view"), records.codes("view").tolist()
    frames = records.numbers("frame").tolist()
    folders: dict[tuple[str, str], bool] = {}
    videos: dict[tuple[str, str, str], None] = {}
    for root, path, code, frame in zip(roots, paths, codes, frames, strict=True):
        folder, _, name = path.rpartition("/")
        if is_picture(Path(name)):
            folders[root, folder] = folders.get((root, folder), False) or (frame > 0 and not stills)
        elif views[code] not in ("left", "right"):
            videos[root, path, views[code]] = None
    made = []
    for (name, below), is_sequence in folders.items():
        root, folder = Path(name), Path(name, below)
        # a sequence's CSV lies beside its folder, as FeatureExtraction -fdir is mostly told; not outside the root
        place = folder.parent if is_sequence and folder != root else folder
        made.append(Job(SEQUENCE if is_sequence else STILLS, folder, _beside(place, root, out)))
    for name, path, view in videos:
        video = Path(name) if path == "." else Path(name, path)
        root = video.parent if path == "." else Path(name)
        made.append(Job(SEQUENCE, video, _beside(video.parent, root, out), view))
    return made


def _beside(folder: Path, root: Path, out: Path | None) -> Path:
    return folder / "processed" if out is None else out / folder.relative_to(root)


def run(
    work: Sequence[Job], workers: int = 1, progress: bool = True, script: Path = Path("openface.sh")
) -> list[tuple[Job, str]]:
    """Run OpenFace on all that is not done; (job, reason) of those that failed.

    Raises:
        UserError: its programs are not on the PATH; the message has the commands, and ``script`` gets them where they
            are many.
    """
    to_do = [job for job in work if not job.is_done]
    missing = sorted({job.program for job in to_do if shutil.which(job.program) is None})
    if missing:
        lines = [line for job in to_do for line in _typed(job)]
        shown = "\n".join(lines[:5])
        if len(lines) > 5:
            script.write_text("\n".join(["set -e", *lines, ""]))
            shown += f"\n… all {len(to_do):,} are in {script.absolute()}: bash {script.name}"
        raise UserError(
            f"OpenFace is not here: looked for {' and '.join(missing)} on the PATH. Put its bin folder there, or run "
            f"where it is (https://github.com/TadasBaltrusaitis/OpenFace):\n{shown}"
        )
    with ThreadPoolExecutor(workers) as pool:
        results = pool.map(_run_one, to_do)
        waiting = track(results, "OpenFace", total=len(to_do), disable=not progress)
        return [(job, reason) for job, reason in zip(to_do, waiting, strict=True) if reason]


def _typed(job: Job) -> list[str]:
    """The command lines of a job for somebody to type; ffmpeg turns a recording that lies on its side."""
    if not job.view:
        return [shlex.join(job.command())]
    upright = job.out / f"{job.source.stem}.mp4"  # the CSV has its name
    turn = {"clockwise": "transpose=1", "counterclockwise": "transpose=2"}[job.view]
    return [
        shlex.join(["mkdir", "-p", str(job.out)]),
        shlex.join(["ffmpeg", "-i", str(job.source), "-vf", turn, str(upright)]),
        shlex.join([SEQUENCE, "-f", str(upright), "-of", upright.stem, "-out_dir", str(job.out), *_BLOCKS]),
        shlex.join(["rm", str(upright)]),
    ]


def _run_one(job: Job) -> str:
    """Run one job in a folder apart, and move what it wrote when it has ended well; the reason if it has not."""
    apart = job.out / f".{job.source.name}.part"
    shutil.rmtree(apart, ignore_errors=True)
    written, upright = apart / "written", apart / job.source.stem
    listed = _listed(job.source) if job.program == STILLS else ""
    try:
        written.mkdir(parents=True)
        if job.view:
            _write_upright(job, upright)
        command = job.command(upright if job.view else None, written)
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            last = (done.stderr or done.stdout).strip().splitlines()[-1:] or ["no message"]
            return f"{job.program} ended with {done.returncode}: {last[0][:200]}"
        tables = sorted(written.glob("*.csv"))
        for table in tables:
            table.replace(job.out / table.name)
        if job.program == STILLS:
            job.done.write_text(listed)
        return "" if job.is_done else f"{job.program} wrote no {job.done.name}"
    except (OSError, UnreadablePicture) as error:
        return str(error)
    finally:
        shutil.rmtree(apart, ignore_errors=True)


def _write_upright(job: Job, folder: Path) -> None:
    """The frames of a video that lies on its side, upright, as pictures in a folder; up to where it is damaged."""
    folder.mkdir(parents=True)
    frames = read_frames(job.source, np.arange(count_frames(job.source)))
    number, image = next(frames, (0, None))
    if image is None:
        raise UnreadablePicture("no frame can be read")
    Image.fromarray(look(image, job.view)).save(folder / f"{number:06d}.png")
    with suppress(UnreadablePicture):
        for number, image in frames:
            Image.fromarray(look(image, job.view)).save(folder / f"{number:06d}.png")
