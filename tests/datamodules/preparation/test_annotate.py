import numpy as np
import torch
from faces_on_disk import write_people

from datamodules.folder import Folder, FolderConfig
from datamodules.preparation.annotate import annotate
from datamodules.store import Store


def test_a_judges_aus_take_the_place_of_others_and_the_store_says_so(tmp_path):
    root = write_people(tmp_path / "faces", people=3, pictures=4)
    config = FolderConfig(
        root=str(root), landmarks="openface", image_size=32, store=str(tmp_path / "store"), prepare_workers=1
    )
    data = Folder(config)
    store = data.prepare(progress=False).store
    calls = []

    def judge(images: torch.Tensor) -> torch.Tensor:
        calls.append(len(images))
        assert -1 <= images.min() < images.max() <= 1
        return images.mean((1, 2, 3))[:, None].expand(-1, 17) + 2

    annotate(store, judge, "a judge of means", batch_size=5, progress=False)
    assert calls == [5, 5, 2]
    again = Store(tmp_path / "store")
    means = again.images(np.arange(12)).float().mean((1, 2, 3)) / 127.5 - 1
    np.testing.assert_allclose(again.records.au[:, 3], means + 2, atol=1e-4)
    annotate(again, judge, "a judge of means", progress=False)
    assert len(calls) == 3  # once is enough
    data.setup()
    assert "AUs are by a judge of means" in data.describe()
