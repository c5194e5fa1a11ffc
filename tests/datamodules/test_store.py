import json
import os
import pickle

import numpy as np
import pytest

from datamodules.records import Records
from datamodules.store import FORMAT, Store
from facegan.config import UserError


def write_store(path, shards=(4, 3, 5), size=6):
    path.mkdir()
    n = sum(shards)
    faces = np.random.default_rng(0).integers(0, 256, (n, size, size, 3), np.uint8)
    names = []
    for k, part in enumerate(np.split(faces, np.cumsum(shards)[:-1])):
        names.append(f"faces-{k:05d}.npy")
        np.save(path / names[-1], part)
    np.save(path / "landmarks.npy", np.zeros((n, 68, 2), np.float32))
    Records.build({"path": [str(i) for i in range(n)], "identity": ["a"] * n}).write(path / "records.arrow")
    (path / "store.json").write_text(json.dumps({"format": FORMAT, "image_size": size, "shards": names}))
    return faces


@pytest.mark.parametrize("shards", [(12,), (4, 3, 5)])
def test_gather_over_shards_in_any_order_with_repeats(tmp_path, shards):
    faces = write_store(tmp_path / "s", shards)
    store = Store(tmp_path / "s")
    rows = np.array([11, 0, 4, 3, 6, 7, 4, 0, 11])
    np.testing.assert_array_equal(store.images(rows).numpy(), faces[rows])
    store.images(rows).zero_()  # a copy: the store cannot be written to
    np.testing.assert_array_equal(store.images(rows).numpy(), faces[rows])


def test_pickling_hands_over_the_path_not_the_pictures(tmp_path):
    faces = write_store(tmp_path / "s", size=32)
    data = pickle.dumps(Store(tmp_path / "s"))
    assert len(data) < 500
    np.testing.assert_array_equal(pickle.loads(data).images(np.arange(12)).numpy(), faces)


def test_another_format_or_a_lost_shard_is_a_clear_error(tmp_path):
    write_store(tmp_path / "s")
    meta = json.loads((tmp_path / "s" / "store.json").read_text())
    (tmp_path / "s" / "store.json").write_text(json.dumps(meta | {"shards": meta["shards"][:2]}))
    with pytest.raises(UserError, match="damaged"):
        Store(tmp_path / "s")
    os.truncate(tmp_path / "s" / meta["shards"][0], 200)
    with pytest.raises(UserError, match="damaged"):
        Store(tmp_path / "s")
    (tmp_path / "s" / "store.json").write_text(json.dumps(meta | {"format": 0}))
    with pytest.raises(UserError, match="another format"):
        Store(tmp_path / "s")
