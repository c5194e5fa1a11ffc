"""One process at a time, where several would write the same files."""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


@contextmanager
def lock(out: Path, name: str) -> Iterator[None]:
    """Hold a lock beside ``out`` against other processes; ``name`` tells locks on the same path apart."""
    out.parent.mkdir(parents=True, exist_ok=True)
    with open(out.with_name(f".{out.name}.{name}.lock"), "w") as file:
        # Some cluster file systems know no locks: work is then done twice at worst, files appear by renaming.
        with suppress(OSError):
            fcntl.flock(file, fcntl.LOCK_EX)
        yield
