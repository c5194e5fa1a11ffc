"""The data module all data sets share: raw pictures -> store -> split -> batches.

A data set adds how its raw pictures are found (``find``) and who is tested on (``split``).
"""

import hashlib
import json
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytorch_lightning as pl
import torch
from pytorch_lightning.utilities import rank_zero_only
from torch.utils.data import DataLoader

from datamodules import sources
from datamodules.config import DataConfig
from datamodules.dataset import PICTURE_KEYS, Batch, FaceDataset, to_float
from datamodules.discovery import PHOTOGRAPHS
from datamodules.preparation.chunks import replacing
from datamodules.preparation.identity_maps import add_identity_maps
from datamodules.preparation.landmarks import finder_version
from datamodules.preparation.prepare import Prepared, prepare
from datamodules.records import Found, Records
from datamodules.sampling import EpochBatchSampler, InOrderBatchSampler
from datamodules.splits import Split, by_person, read_people, sample
from datamodules.store import Store, maps_file, read_meta
from datamodules.transforms import Crops
from facegan.config import UserError, check, data_home
from facegan.faces import EXPRESSIONS

_PLACES = "sources.txt"  # of a store: the folders that it was made from


class FaceDataModule(pl.LightningDataModule, ABC):
    """Prepared faces of one data set, split and batched.

    After ``setup``: ``train``, ``val`` and ``test`` are ``FaceDataset``; ``identities`` are the training
    people's names; ``generated`` names the head where the pictures are generated faces, else None; where
    there are both, "ict + photographs".
    """

    raw_options: ClassVar[tuple[str, ...]] = ("min_confidence",)
    """Config keys that change what ``find`` finds: part of the store's key."""

    def __init__(self, config: DataConfig) -> None:
        super().__init__()
        self.config = config
        # Lightning asks rank 0 of all machines only: the store is on a disk that they share.
        self.prepare_data_per_node = False
        self._store: Store | None = None

    # What a data set says of itself

    def roots(self) -> list[Path]:
        """Folders (or files) of the raw data."""
        return [Path(self.config.root if self.config.root else data_home() / self.config.name).absolute()]

    def au_root(self) -> Path | None:
        """``data.au_root`` as a path.

        Raises:
            UserError: there is no such folder.
        """
        if not self.config.au_root:
            return None
        folder = Path(self.config.au_root).absolute()
        if not folder.is_dir():
            raise UserError(
                f"data.au_root={self.config.au_root}: looked for OpenFace's CSVs in {folder}, which is no folder"
            )
        return folder

    def beside(self, folder: Path) -> Path | None:
        """The folder of ``data.au_root`` that stands for a folder of the raw data."""
        au_root = self.au_root()
        return au_root / folder.relative_to(self.roots()[0]) if au_root else None

    @abstractmethod
    def find(self) -> Found:
        """Look through the raw data; raises UserError where there is none."""

    @abstractmethod
    def split(self, records: Records) -> Split:
        """Rows of train, val and test."""

    def parts(self, records: Records) -> Split:
        """Rows of train, val and test: by ``data.splits`` where there is one, else by the data set's protocol.

        Raises:
            UserError: the list is no such list, or names none of the people.
        """
        if not self.config.splits:
            return self.split(records)
        path, rows = Path(self.config.splits), np.arange(len(records))
        people = read_people(path)
        if not set(people) & set(records.everybody()):
            raise UserError(
                f"data.splits={path} names {_people(len(people))}, none of the {len(records.people()):,} of "
                f"{self.config.name}, who are called {', '.join(records.people()[:3])} …"
            )
        return by_person(records, rows, people)

    # Raw data -> store

    def store_path(self) -> Path:
        """Folder of the prepared faces: ``data.store``, or a name with the key of all that shapes it."""
        if self.config.store:
            return Path(self.config.store)
        key = [str(root.absolute()) for root in self.roots()]
        key += [f"{name}={getattr(self.config, name)}" for name in self.raw_options]
        key += [f"au_root={self.au_root()}"] if self.config.au_root else []
        key += [str(self.config.image_size), finder_version(self.config.landmarks), self.config.align]
        digest = hashlib.sha256(json.dumps(key).encode()).hexdigest()[:10]
        return data_home() / "prepared" / f"{self.config.name}-{digest}"

    def prepare(self, shard: tuple[int, int] = (1, 1), progress: bool = True) -> Prepared:
        """Find and prepare the raw data, or one share of it, see ``preparation.prepare``."""
        found = self.find()
        if self.config.au_root and not found.records.has_au.any():
            print(
                f"{self.config.name}: no CSV in data.au_root={self.config.au_root} belongs to any of the pictures"
            )
        places = sources.folders(found.records, self.roots(), self.au_root())
        prepared = prepare(
            found, self.config, self.store_path(),
            meta={"dataset": self.config.name, "source": sources.fingerprint(places)},
            workers=self.config.prepare_workers, shard=shard, progress=progress,
        )  # fmt: skip
        if prepared.store is not None:
            with replacing(prepared.store.path / _PLACES) as temporary:
                temporary.write_text("\n".join(map(str, places)))
            self._add_maps(prepared.store)
        return prepared

    def prepare_data(self) -> None:
        """Prepare where the store is missing or the raw data has changed; other ranks wait for rank 0."""
        first = getattr(rank_zero_only, "rank", 0) == 0
        path = self.store_path()
        while not self._is_prepared():
            if first:
                if (path / _PLACES).exists():
                    print(f"{self.config.name}: the raw data has changed; looking through it again")
                print(self.prepare().summary())
                break
            time.sleep(1)
        appearance = self.config.identity_maps
        while appearance != "none" and not (path / maps_file(appearance)).exists():
            if first:
                self._add_maps(Store(path))
            else:
                time.sleep(1)

    def _add_maps(self, store: Store) -> None:
        if self.config.identity_maps != "none":
            made, without = add_identity_maps(store, self.config.identity_maps)
            print(
                f"identity maps: {made:,}; {len(without):,} people have none, for want of a neutral picture"
            )

    def _is_prepared(self) -> bool:
        """Whether there is a store, made from the raw data as it is now (or as it was, where it is gone)."""
        path = self.store_path()
        if not (path / "store.json").exists():
            return False
        if not any(root.exists() for root in self.roots()):
            return True
        if not (path / _PLACES).exists():
            return False
        places = [Path(line) for line in (path / _PLACES).read_text().splitlines()]
        return bool(read_meta(path).get("source") == sources.fingerprint(places))

    # Store -> batches

    def setup(self, stage: str | None = None) -> None:
        """Open the store, preparing it first where need be, and split it."""
        if self._store is not None:
            return
        if self.trainer is None:
            self.prepare_data()
        self._store = store = Store(self.store_path())
        self._check(store)
        records = store.records
        split = self.parts(records)
        kept = records.has_au if self.config.needs_au else np.ones(len(records), bool)
        self.without_au = int((~kept).sum())
        kept = kept & self._shows_an_expression(records)
        train, val, test = (rows[kept[rows]] for rows in (split.train, split.val, split.test))
        if not len(train):
            raise UserError(self._nothing_to_train_on(len(records), len(split.train)))
        if not len(val):
            # The papers hold nobody out for validation; choosing by test people would be peeking.
            val = sample(train, 256)
        targets = train[records.has_au[train]]
        options: dict[str, Any] = {
            "pairing": self.config.pairing, "cross_probability": self.config.cross_probability,
            "candidates": self.config.candidates,
            "seed": self.config.seed, "crop": self._crop(),
            "identity_maps": self.config.identity_maps, "landmark_images": self.config.landmark_images,
        }  # fmt: skip
        self.train = FaceDataset(
            store, train, targets, flip=self.config.flip, jitter=self.config.jitter, **options
        )
        self.val = FaceDataset(store, val, targets, training=False, **options)
        self.test = FaceDataset(store, test, targets, training=False, **options)
        self.val_seen = bool(np.isin(self.val.rows, self.train.rows).all())
        self.generated: str | None = store.meta["generated"]
        self.identities = self.train.identities

    def _shows_an_expression(self, records: Records) -> np.ndarray:
        """(N,) bool: pictures of one of ``data.expressions``."""
        names = self.config.expressions
        for name in names:
            check("data.expressions", name, EXPRESSIONS)
        wanted = [EXPRESSIONS.index(name) for name in names]
        return np.isin(records.numbers("expression"), wanted) if names else np.ones(len(records), bool)

    def _crop(self) -> Crops | None:
        config = self.config
        if config.crop is None and config.rotate == [0.0]:
            return None
        crop = config.crop or config.image_size
        if not 8 <= crop <= config.image_size:
            raise UserError(
                f"data.crop={config.crop}: a crop is 8 to data.image_size={config.image_size} pixels wide"
            )
        if config.identity_maps != "none":
            raise UserError("data.identity_maps goes with whole faces: leave data.crop and data.rotate out")
        return Crops(config.image_size, crop, config.rotate)

    def _nothing_to_train_on(self, prepared: int, of_training_people: int) -> str:
        """Why, and what to do about it."""
        text = f"no picture of {self.config.name} is left to train on: {prepared:,} prepared"
        if not of_training_people:
            return f"{text}, all of people who are validated or tested on (data.splits, or the data set's own split)"
        text += f", {self.without_au:,} of them without AU intensities"
        if self.config.needs_au and self.without_au:
            text += (
                ". Run OpenFace on the pictures and put its CSVs beside them, or set data.needs_au=false for a method "
                "without AUs"
            )
        if self.config.expressions:
            text += f"; data.expressions={self.config.expressions} leaves out others"
        return text

    def _check(self, store: Store) -> None:
        """A store named by hand must be what the config asks for."""
        asked = (self.config.image_size, self.config.landmarks, self.config.align)
        held = (store.image_size, store.meta["landmarks"].split()[0], store.meta["align"])
        for key, want, have in zip(("image_size", "landmarks", "align"), asked, held, strict=True):
            if want != have:
                raise UserError(f"the store {store.path} was prepared with data.{key}={have}, not {want}; "
                                f"set data.{key}={have}, or drop data.store to prepare anew")  # fmt: skip

    @property
    def picture_size(self) -> int:
        """Side of the pictures in a batch."""
        return self.config.crop or self.config.image_size

    @property
    def align(self) -> str:
        """Which crop of a face the pictures are."""
        return self.config.align

    @property
    def n_identities(self) -> int:
        """Number of people to train on."""
        return len(self.identities)

    def people(self) -> dict[str, str]:
        """Part of each person whose pictures are used: train, val or test; of one split by time, train."""
        named = {"test": self.test, "val": self.val, "train": self.train}
        return {name: part for part, faces in named.items() for name in faces.identities}

    def describe(self) -> str:
        """One paragraph: what pictures are used, of whom, real or generated."""
        kinds = (self.generated or PHOTOGRAPHS).split(" + ")
        kind = " and ".join(
            name if name == PHOTOGRAPHS else f"generated faces (head {name})" for name in kinds
        )
        parts = ", ".join(
            f"{len(part):,} {name} pictures of {_people(len(part.identities))}"
            for name, part in (("training", self.train), ("validation", self.val), ("test", self.test))
        )
        text = f"{self.config.name}: {kind}, {self.config.image_size} px, {self.config.align} crop; {parts}."
        if "au" in self.train.store.meta:
            text += f" Their AUs are by {self.train.store.meta['au']}."
        if self.val_seen:
            text += " Validation pictures are from the training split."
        if self.config.pairing != "single":
            text += f" Pairs: {self.config.pairing}"
            text += (
                f" ({self.config.cross_probability:g})." if self.config.pairing == "cross_identity" else "."
            )
            if self.config.candidates > 1:
                text += f" Of {self.config.candidates} partners the one that looks farthest away."
        if self.config.needs_au and self.without_au:
            text += f" {self.without_au:,} pictures without AU intensities are left out."
        if self.n_identities == 1:
            text += " One person only: an identity loss has nothing to tell apart."
        return text

    def _batches_seen(self) -> int:
        return self.trainer.lightning_module.batches_seen if self.trainer else 0  # type: ignore[union-attr,return-value]

    def _loader(self, dataset: FaceDataset, sampler: Callable[..., Any], **options: Any) -> DataLoader[Batch]:
        trainer = self.trainer
        rank, world = (trainer.global_rank, trainer.world_size) if trainer else (0, 1)
        return DataLoader(
            dataset,
            batch_sampler=sampler(len(dataset), self.config.batch_size, rank=rank, world=world, **options),
            collate_fn=_collated,
            num_workers=self.config.num_workers,
            pin_memory=torch.cuda.is_available(),
            persistent_workers=self.config.num_workers > 0,
        )

    def train_dataloader(self) -> DataLoader[Batch]:
        """Batches of the training split from ``batches_seen`` of the module in training on."""
        options = {"seed": self.config.seed, "batches_seen": self._batches_seen}
        return self._loader(self.train, EpochBatchSampler, **options)

    def val_dataloader(self) -> DataLoader[Batch]:
        """The validation split in order; its draws are the same every time."""
        return self._loader(self.val, InOrderBatchSampler)

    def test_dataloader(self) -> DataLoader[Batch]:
        """The test split in order; its draws are the same every time."""
        return self._loader(self.test, InOrderBatchSampler)

    def on_after_batch_transfer(self, batch: Batch, dataloader_idx: int) -> Batch:
        """Pictures to float [-1, 1], on the device; in double precision where the networks are."""
        double = self.trainer is not None and self.trainer.precision == "64-true"
        dtype = torch.float64 if double else torch.float32
        return {
            key: to_float(value, dtype) if key.endswith(PICTURE_KEYS) else value
            for key, value in batch.items()
        }


def _people(n: int) -> str:
    return f"{n:,} {'person' if n == 1 else 'people'}"


def _collated(batch: Any) -> Any:
    return batch  # ``__getitems__`` has made one of it
