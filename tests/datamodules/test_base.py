"""Batches through Lightning: resume, ranks, mirroring, pairs."""

import numpy as np
import pytest
import pytorch_lightning as pl
import torch
from faces_on_disk import write_people

from datamodules.folder import Folder, FolderConfig
from datamodules.generated.folder import FOLDER_LAYOUT
from datamodules.splits import PARTS
from facegan.config import UserError
from facegan.faces import LANDMARK_MIRROR


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return write_people(tmp_path_factory.mktemp("raw"), people=6, pictures=5)


@pytest.fixture
def module(root, tmp_path):
    def build(**options) -> Folder:
        options = {"batch_size": 4, "val_fraction": 0.0, "test_fraction": 0.17} | options
        dm = Folder(
            FolderConfig(
                root=str(root), landmarks="openface", image_size=32,
                store=str(tmp_path / "store"), prepare_workers=1, **options,
            )
        )  # fmt: skip
        return dm

    return build


class Recorder(pl.LightningModule):
    """Writes down what it is given; stops itself by an error after ``die_after`` batches."""

    def __init__(self, die_after: int | None = None):
        super().__init__()
        self.automatic_optimization = False
        self.weight = torch.nn.Parameter(torch.zeros(1))
        self.batches_seen = 0
        self.die_after = die_after
        self.seen: list[tuple] = []

    def training_step(self, batch, batch_idx):
        if self.batches_seen == self.die_after:
            raise KeyboardInterrupt
        assert (
            batch["image"].dtype == torch.float32 and -1 <= batch["image"].min() < batch["image"].max() <= 1
        )
        self.seen.append((self.current_epoch, batch["index"].tolist(), batch["target_au"].sum().item()))
        self.batches_seen += 1

    def on_save_checkpoint(self, checkpoint):
        checkpoint["batches_seen"] = self.batches_seen

    def on_load_checkpoint(self, checkpoint):
        self.batches_seen = checkpoint["batches_seen"]

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), 0.1)


def fit(model, data, tmp_path, ckpt=None, **options):
    trainer = pl.Trainer(
        max_epochs=3, accelerator="cpu", devices=1, logger=False, enable_checkpointing=False,
        use_distributed_sampler=False, enable_progress_bar=False, enable_model_summary=False,
        default_root_dir=tmp_path, **options,
    )  # fmt: skip
    trainer.fit(model, datamodule=data, ckpt_path=ckpt)
    return trainer


@pytest.mark.parametrize("workers", [0, 1])
@pytest.mark.parametrize("stop", [2, 6])
def test_a_resumed_run_sees_the_batches_that_the_first_would_have_seen(module, tmp_path, workers, stop):
    whole = Recorder()
    fit(whole, module(), tmp_path)
    assert len(whole.seen) == 18 and [epoch for epoch, *_ in whole.seen] == [0] * 6 + [1] * 6 + [2] * 6

    class Save(pl.Callback):
        def on_train_batch_end(self, trainer, model, outputs, batch, batch_idx):
            if model.batches_seen == stop and stop % 6:
                trainer.save_checkpoint(tmp_path / "a.ckpt")

        def on_train_epoch_end(self, trainer, model):
            if model.batches_seen == stop:
                trainer.save_checkpoint(tmp_path / "a.ckpt")

    first = Recorder(die_after=stop + 1)
    with pytest.raises((KeyboardInterrupt, SystemExit)):
        fit(first, module(num_workers=workers), tmp_path, callbacks=[Save()])
    second = Recorder()
    fit(second, module(num_workers=workers), tmp_path, ckpt=tmp_path / "a.ckpt")
    assert first.seen[:stop] + second.seen == whole.seen


def test_loader_has_an_epochs_length_wherever_it_starts(module):
    dm = module()
    dm.setup()
    dm._batches_seen = lambda: 4
    assert len(dm.train_dataloader()) == 6 and len(list(dm.train_dataloader())) == 6


def test_batch_keys_ranges_and_labels(module):
    dm = module()
    dm.setup()
    batch = next(iter(dm.train_dataloader()))
    assert {key: tuple(value.shape[1:]) for key, value in batch.items()} == {
        "image": (3, 32, 32), "au": (17,), "target_au": (17,), "pose": (3,), "landmarks": (68, 2),
        "expression": (), "identity": (), "index": (),
    }  # fmt: skip
    assert {len(value) for value in batch.values()} == {4} and batch["image"].dtype == torch.uint8
    assert {batch[key].dtype for key in ("expression", "identity", "index")} == {torch.int64}
    assert {batch[key].dtype for key in ("au", "target_au", "pose", "landmarks")} == {torch.float32}
    records = dm.train.store.records
    rows = batch["index"].numpy()
    names = [records.names("identity")[code] for code in records.codes("identity")[rows]]
    assert [dm.identities[i] for i in batch["identity"].tolist()] == names
    np.testing.assert_array_equal(batch["au"], records.au[rows])
    train = {tuple(row) for row in dm.train.au.tolist()}
    assert all(tuple(row) in train for row in batch["target_au"].tolist())
    assert max(len({tuple(r) for r in b["target_au"].tolist()}) for b in dm.train_dataloader()) > 1
    floats = dm.on_after_batch_transfer(dict(batch), 0)["image"]
    assert floats.is_contiguous() and torch.equal(
        ((floats + 1) * 127.5).round().to(torch.uint8), batch["image"]
    )


def test_batch_by_index_is_the_plain_picture(module):
    dm = module(flip=1.0)
    dm.setup()
    batch = dm.test.batch([2, 0])
    images = dm.test.store.images(dm.test.rows[[2, 0]])
    assert torch.equal(((batch["image"] + 1) * 127.5).round().to(torch.uint8), images.permute(0, 3, 1, 2))
    assert "target_au" not in batch and batch["identity"].tolist() == [0, 0]


def test_flips_follow_the_place_not_the_process_and_turn_everything(module):
    plain, flipped, half = module(), module(flip=1.0), module(flip=0.5)
    for dm in (plain, flipped, half):
        dm.setup()
    items = [(0, i) for i in range(20)]
    a, b, c = (dm.train.__getitems__(items) for dm in (plain, flipped, half))
    assert torch.equal(b["image"], a["image"].flip(3))
    assert torch.equal(b["pose"], a["pose"] * torch.tensor([1.0, -1, -1]))
    torch.testing.assert_close(b["landmarks"][..., 1], a["landmarks"][:, LANDMARK_MIRROR][..., 1])
    turned = (c["image"] != a["image"]).flatten(1).any(1)
    assert 4 <= int(turned.sum()) <= 16
    later = half.train.__getitems__([(1, i) for i in range(20)])
    assert not torch.equal(later["image"], c["image"])
    one = torch.cat([half.train[item]["image"] for item in items])
    assert torch.equal(one, c["image"])
    assert torch.equal(
        half.val.__getitems__(items)["image"], a["image"][:20]
    )  # nothing is turned in validation


def test_pairs_carry_all_keys_twice(module):
    dm = module(pairing="cross_identity", cross_probability=1.0)
    dm.setup()
    batch = next(iter(dm.train_dataloader()))
    single = {"image", "au", "pose", "expression", "identity", "landmarks", "index"}
    assert set(batch) == {f"{side}_{key}" for side in ("source", "target") for key in single}
    assert (batch["source_identity"] != batch["target_identity"]).all()
    floats = dm.on_after_batch_transfer(batch, 0)
    assert floats["target_image"].dtype == floats["source_image"].dtype == torch.float32
    dm = module(pairing="same_identity")
    dm.setup()
    batch = next(iter(dm.train_dataloader()))
    assert torch.equal(batch["source_identity"], batch["target_identity"])
    assert (batch["source_index"] != batch["target_index"]).all()
    assert "same_identity" in dm.describe()


def test_of_several_partners_the_one_that_looks_farthest_away_is_trained_on(module):
    """Validation keeps its pairs, or its figures could not be compared."""
    turned = {}
    for candidates in (1, 4):
        dm = module(pairing="same_identity", candidates=candidates)
        dm.setup()
        items = [(epoch, k) for epoch in range(5) for k in range(len(dm.train))]
        batch, same = dm.train.__getitems__(items), dm.val.__getitems__(items[:10])
        turned[candidates] = (batch["source_pose"] - batch["target_pose"]).abs().sum(1).mean(), same
        assert torch.equal(batch["source_identity"], batch["target_identity"])
        assert (batch["source_index"] != batch["target_index"]).all()
    assert turned[4][0] > 1.2 * turned[1][0]
    assert torch.equal(turned[4][1]["target_index"], turned[1][1]["target_index"])
    assert "farthest" in dm.describe()


def test_validation_and_test_are_the_same_every_time(module):
    dm = module()
    dm.setup()
    for loader in (dm.val_dataloader, dm.test_dataloader):
        first, second = list(loader()), list(loader())
        assert all(torch.equal(a[key], b[key]) for a, b in zip(first, second, strict=True) for key in a)
    assert sum(len(batch["index"]) for batch in dm.test_dataloader()) == len(dm.test) == 5


def test_jitter_is_for_training_only(module):
    plain, changed = module(), module(jitter=0.3)
    plain.setup()
    changed.setup()
    items = [(0, 0), (0, 1)]
    assert not torch.equal(
        plain.train.__getitems__(items)["image"], changed.train.__getitems__(items)["image"]
    )
    assert torch.equal(plain.val.__getitems__(items)["image"], changed.val.__getitems__(items)["image"])
    assert torch.equal(plain.train.batch([0])["image"], changed.train.batch([0])["image"])


def test_training_pictures_are_one_of_five_crops_and_the_others_the_middle(module):
    data = module(crop=24, rotate=[-3.0, 0.0, 3.0])
    data.setup()
    assert data.picture_size == 24
    batch, again = (next(iter(data.train_dataloader())) for _ in range(2))
    assert batch["image"].shape == (4, 3, 24, 24) and torch.equal(batch["image"], again["image"])
    index = torch.searchsorted(torch.as_tensor(data.train.rows), batch["index"])
    middle = data.train.batch(index)
    offsets = (batch["landmarks"] - middle["landmarks"]).abs().mean((1, 2))
    assert (offsets > 0.5).any()  # not the middle every time
    tested = next(iter(data.test_dataloader()))
    stored = data.test.store.images(tested["index"].numpy())[:, 4:28, 4:28].permute(0, 3, 1, 2)
    assert torch.equal(tested["image"], stored)


def test_the_two_pictures_of_a_pair_are_mirrored_and_cropped_alike(module):
    """Of one person the source is the truth for what is made of the target: it must lie as that lies."""
    data = module(crop=24, flip=0.5, pairing="same_identity", batch_size=16)
    data.setup()
    batch = next(iter(data.train_dataloader()))
    still = data.train.batch(np.arange(len(data.train.au)))["landmarks"]
    place = torch.as_tensor(data.train.rows)
    shifts = {}
    for side in ("source", "target"):
        own = still[torch.searchsorted(place, batch[f"{side}_index"])]
        mirrored = own[:, list(LANDMARK_MIRROR)].clone()
        mirrored[..., 0] = 23 - mirrored[..., 0]
        got = batch[f"{side}_landmarks"]
        # a shift moves all points alike; of the two, mirrored or not, only the true one leaves no spread
        spread = torch.stack([(got - own).std(1).sum(1), (got - mirrored).std(1).sum(1)])
        flipped = spread.argmin(0)
        chosen = torch.where(flipped[:, None, None] == 1, mirrored, own)
        shifts[side] = torch.cat([flipped[:, None].float(), (got - chosen).mean(1)], 1)
        assert spread.min(0).values.max() < 1e-3
    torch.testing.assert_close(shifts["source"], shifts["target"], atol=1e-3, rtol=0)
    assert len(shifts["source"].round().unique(dim=0)) > 4
    assert (batch["source_index"] != batch["target_index"]).all()


def test_a_crop_that_cannot_be_cut(module):
    with pytest.raises(UserError, match=r"data\.crop=.*data\.image_size=32"):
        module(crop=33).setup()
    with pytest.raises(UserError, match=r"data\.rotate=\[\]: write at least one number"):
        module(crop=16, rotate=[])


def test_identity_maps_and_landmark_images_come_with_the_pictures(module):
    module().prepare(progress=False)  # without maps at first: they are added
    data = module(
        identity_maps="own", landmark_images=True, flip=0.5, pairing="cross_identity", batch_size=16
    )
    data.setup()
    batch = next(iter(data.train_dataloader()))
    assert batch["source_identity_map"].shape == (16, 3, 32, 32)
    still = data.train.batch(np.arange(len(data.train.au)))
    rows = {int(row): k for k, row in enumerate(still["index"])}
    moved = set()
    for side in ("source", "target"):
        for k, row in enumerate(batch[f"{side}_index"].tolist()):
            flipped = not torch.equal(batch[f"{side}_landmarks"][k], still["landmarks"][rows[row]])
            moved.add(flipped)
            expected = still["identity_map"][rows[row]]
            expected = expected.flip(2) if flipped else expected
            got = batch[f"{side}_identity_map"][k].float() / 127.5 - 1
            assert torch.allclose(got, expected, atol=1e-6)
            dots, points = batch[f"{side}_landmark_map"][k, 0], batch[f"{side}_landmarks"][k]
            column, row_ = points[30].round().long().tolist()
            assert dots[row_, column] > 0.7
    assert moved == {True, False}


def test_maps_of_crops_are_refused(module):
    with pytest.raises(UserError, match=r"data\.identity_maps goes with whole faces"):
        module(identity_maps="own", crop=24).setup()


def test_changed_raw_data_is_noticed_however_deep_it_lies(tmp_path, monkeypatch):
    root = write_people(tmp_path / "raw" / "deep" / "deeper", people=3, pictures=4).parent.parent
    config = FolderConfig(root=str(root), landmarks="openface", image_size=32, prepare_workers=1)
    data = Folder(config)
    data.prepare_data()

    def find(self):
        raise UserError("looked through it again")

    monkeypatch.setattr(Folder, "find", find)
    Folder(config).prepare_data()  # nothing has changed
    (root / "deep" / "deeper" / "p000001" / "000004.png").unlink()
    with pytest.raises(UserError, match="looked through it again"):
        Folder(config).prepare_data()


def test_an_au_root_that_is_not_there(tmp_path, module):
    with pytest.raises(UserError, match=r"data\.au_root=.*nowhere: looked for OpenFace's CSVs"):
        module(au_root=str(tmp_path / "nowhere")).prepare(progress=False)


def test_a_split_does_not_depend_on_whose_face_was_found(tmp_path):
    """Of one person no picture can be read: the others have the parts that a list of the raw data gives them."""
    root = FOLDER_LAYOUT.write(tmp_path / "faces", people=8, pictures=2, size=64, workers=1)
    options = {"test_fraction": 0.4, "val_fraction": 0.2, "image_size": 32, "prepare_workers": 1}
    data = Folder(FolderConfig(root=str(root), landmarks="openface", **options))
    records = data.find().records
    names, codes = records.names("identity"), records.codes("identity")
    parts = {part: {names[k] for k in codes[getattr(data.parts(records), part)]} for part in PARTS}
    lost = sorted(parts["test"])[0]
    for picture in (root / lost).glob("*.jpg"):
        picture.write_bytes(b"")
    data.setup()
    assert {part: set(getattr(data, part).identities) for part in PARTS} == parts | {
        "test": parts["test"] - {lost}
    }
    assert data.people()[sorted(parts["val"])[0]] == "val" and lost not in data.people()


def test_nothing_left_to_train_on_says_why(tmp_path):
    root = FOLDER_LAYOUT.write(tmp_path / "faces", people=3, pictures=2, size=64, workers=1)
    options = {"root": str(root), "image_size": 32, "prepare_workers": 1, "val_fraction": 0.0}
    everybody_tested = Folder(FolderConfig(landmarks="openface", test_roots=[str(root)], **options))
    with pytest.raises(UserError, match="12 prepared") as error:
        everybody_tested.setup()
    assert "all of people who are validated or tested on" in str(error.value)
    assert "OpenFace" not in str(error.value)
    for table in root.rglob("*.csv"):
        if table.name != "labels.csv":
            table.unlink()
    no_au = Folder(FolderConfig(landmarks="dlib", **options))
    with pytest.raises(UserError, match="of them without AU intensities"):
        no_au.setup()
