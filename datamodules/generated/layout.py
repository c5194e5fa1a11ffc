"""How a tree of generated people is written: one after another by several processes, then what all of them share."""

import json
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, fields
from multiprocessing import get_context
from pathlib import Path
from typing import Any, Generic, TypeVar

import cv2
from rich.progress import track
from threadpoolctl import threadpool_limits

from datamodules.generated.head import load_head
from datamodules.generated.person import Person
from datamodules.generated.render import Body, embody
from datamodules.generated.request import MARK
from facegan.config import UserError


@dataclass(frozen=True)
class LayoutOptions:
    """What every layout lets one choose; stored in ``GENERATED.json``.

    ``seed``: of everything that is not the person; ``texture``: side of the painted skin, None: as the head has it.
    """

    head: str = "procedural"
    seed: int = 0
    texture: int | None = None

    def body(self, seed: int, *traits: str) -> Body:
        """The person with that seed, ready to be rendered; ``traits`` as of ``Person.draw``."""
        head = load_head(self.head)
        return embody(head, Person.draw(head, seed, *traits), self.texture)


Options = TypeVar("Options", bound=LayoutOptions)


@dataclass(frozen=True)
class Layout(Generic[Options]):
    """One data set's tree, and how generated people are laid out in it.

    Attributes:
        name: as the command line has it.
        title: as people write it.
        options: what can be varied.
        people: how many where nobody says.
        most: how many people the data set has; None: no end.
        plan: (root, seeds of the people, options) -> the arguments of ``write_person`` for each of them; makes the
            folders that they share.
        write_person: writes one person; its results come back in the order of the people.
        finish: (root, results, options): writes the lists over all people.
    """

    name: str
    title: str
    options: type[Options]
    people: int
    most: int | None
    plan: Callable[[Path, range, Options], Sequence[tuple[Any, ...]]]
    write_person: Callable[..., Any]
    finish: Callable[[Path, list[Any], Options], None] | None = None

    def write(
        self,
        root: Path | str,
        people: int | None = None,
        first_person: int = 0,
        workers: int | None = 2,
        progress: bool = False,
        **options: Any,
    ) -> Path:
        """Write the people with the seeds ``first_person`` ... into ``root``, and what they are in ``GENERATED.json``.

        Args:
            root: folder to write into; made if need be.
            people: how many; None: ``self.people``.
            first_person: seed of the first of them.
            workers: processes, None for one a core; the bytes written do not depend on it.
            progress: show a progress bar.
            options: fields of ``self.options``.

        Raises:
            UserError: more people than the data set has, an unknown option, or a value that it cannot have.
        """
        chosen, people, root = self._chosen(options), people or self.people, Path(root)
        if self.most is not None and people > self.most:
            raise UserError(
                f"{self.title} has {self.most} people, not {people}; for more: facegan generate folder --people N"
            )
        load_head(chosen.head)  # a missing head is reported once, here
        root.mkdir(parents=True, exist_ok=True)
        jobs = self.plan(root, range(first_person, first_person + people), chosen)
        results = _spread(self.write_person, jobs, workers, progress)
        if self.finish is not None:
            self.finish(root, results, chosen)
        about = {"generated": True, "layout": self.name, "people": people, "first_person": first_person}
        (root / MARK).write_text(json.dumps(about | asdict(chosen), indent=2) + "\n")
        return root

    def _chosen(self, values: dict[str, Any]) -> Options:
        known = [field.name for field in fields(self.options)]
        for name in values:
            if name not in known:
                raise UserError(f"unknown option {name!r}; the options are {', '.join(known)}")
        return self.options(**values)


def _spread(
    work: Callable[..., Any], jobs: Sequence[tuple[Any, ...]], workers: int | None, progress: bool
) -> list[Any]:
    """The results of ``work(*job)`` in order, worked out by ``workers`` processes."""
    if workers == 1:
        return [work(*job) for job in track(jobs, "generating", disable=not progress)]
    # Forked workers start at once and share the head. OpenCV's and BLAS's threads must be gone before the fork
    # (a worker would wait for them for ever), and within a worker they would only be in the way.
    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)
    context = get_context("fork" if sys.platform == "linux" else "spawn")
    try:
        with threadpool_limits(1), ProcessPoolExecutor(workers, context) as pool:
            futures = [pool.submit(work, *job) for job in jobs]
            waiting = track(futures, "generating", disable=not progress)
            return [future.result() for future in waiting]
    finally:
        cv2.setNumThreads(threads)
