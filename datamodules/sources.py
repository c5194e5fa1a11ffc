"""Whether raw data is still what it was when it was prepared, from the times of its folders alone.

Adding, deleting or renaming a file changes its folder's time, so the cost is one look a folder, not one a picture.
A file that is changed in place is not noticed, but for the tables right in a root.
"""

import hashlib
from collections.abc import Sequence
from pathlib import Path

from datamodules.records import Records

LIMIT = 20_000
"""Folders that are looked at, the highest ones: a start must not wait for a hundred thousand tracks."""
_TABLES = (".csv", ".json", ".txt")


def folders(records: Records, roots: Sequence[Path], au_root: Path | None = None) -> list[Path]:
    """What to look at: roots with their tables, the folders of all pictures, and those of OpenFace's CSVs."""
    roots = [root.absolute() for root in roots]
    seen: set[Path] = set()
    names, codes = records.names("root"), records.codes("root").tolist()
    parents = {
        (code, path.rpartition("/")[0])
        for code, path in zip(codes, records.table.column("path").to_pylist(), strict=True)
    }
    for code, below in parents:
        root = Path(names[code])
        for base in [root, au_root] if au_root else [root]:
            folder = base / below
            while folder not in seen:
                seen.add(folder)
                if folder != base:
                    folder = folder.parent
    places = sorted(seen | set(roots), key=lambda place: (len(place.parts), place))[:LIMIT]
    places += [place / "processed" for place in places if (place / "processed").is_dir()]
    for root in roots:
        if root.is_dir():
            places += sorted(
                file for file in root.iterdir() if file.suffix.lower() in _TABLES and file.is_file()
            )
    return places


def fingerprint(places: Sequence[Path]) -> str:
    """A short text that changes when one of the places does."""
    digest = hashlib.sha256()
    for place in places:
        time = place.stat().st_mtime_ns if place.exists() else "gone"
        digest.update(f"{place} {time}\n".encode())
    return digest.hexdigest()[:16]
