"""How the work of a preparation is cut."""

import numpy as np
import pytest

from datamodules.preparation.chunks import chunk_rows, chunk_size
from datamodules.records import Records


@pytest.mark.parametrize(
    ("pictures", "size"), [(1, 32), (498, 32), (1595, 99), (8192, 512), (5_000_000, 512)]
)
def test_few_pictures_still_make_work_for_many_processes(pictures, size):
    assert chunk_size(pictures) == size


def test_every_row_is_in_one_chunk_and_a_film_s_frames_stay_in_order():
    paths = [*["a.mp4"] * 100, *(f"{k}.jpg" for k in range(60)), *["b.mp4"] * 40]
    frames = [*range(99, -1, -1), *[0] * 60, *range(40)]
    n = len(paths)
    records = Records.build({
        "root": ["/r"] * n, "path": paths, "frame": np.array(frames), "identity": ["p"] * n, "sequence": [""] * n,
    })  # fmt: skip
    chunks = chunk_rows(records)
    assert sorted(np.concatenate(chunks).tolist()) == list(range(n))
    assert max(map(len, chunks)) <= 32
    for rows in chunks:
        assert len({paths[row] if paths[row].endswith("mp4") else "" for row in rows}) == 1, (
            "one film, or pictures"
        )
        assert (np.diff(np.array(frames)[rows]) >= 0).all()
