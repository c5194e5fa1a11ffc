"""Batches of prepared faces: a whole batch is read from the store at once, and a few indexed arrays."""

from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from datamodules.draws import AUGMENT, CROP, FLIP, uniform
from datamodules.pairing import farthest, partners, target_rows
from datamodules.preparation.identity_maps import landmark_images as dots
from datamodules.records import Records
from datamodules.store import Store
from datamodules.transforms import ColourJitter, Crops, mirror

Batch = dict[str, Tensor]

PICTURE_KEYS = ("image", "identity_map")
"""Ends of the keys that hold pictures, bytes until they are on the device."""


class FaceDataset(Dataset[Batch]):
    """The pictures of one split; ``dataset[[(epoch, index), …]]`` through ``__getitems__`` is a batch.

    Args:
        store: prepared faces.
        rows: rows (N,) of the store that belong to this split, in the order of the indices.
        targets: rows (M,) of the store whose AUs targets are drawn from (the training split's).
        pairing: "single", "same_identity", "cross_identity" or "same_track", see ``pairing.py``.
        cross_probability: for "cross_identity", the share of pairs of two different people.
        candidates: in training, partners drawn for each picture, of which the one that looks farthest away is taken.
        crop: the part of each face that is used, see ``transforms.Crops``: one of five in training, else the middle.
        identity_maps: "none", or the appearance of AIP-GAN's identity maps, which are then in a batch.
        landmark_images: whether landmark images are, too.
        flip: probability of mirroring a picture.
        jitter: strength of random brightness, contrast and saturation, 0 to 1.
        seed: of all draws.
        training: whether pictures are augmented.

    A batch holds, for B pictures of side S: ``image`` (B, 3, S, S) uint8, ``au`` (B, 17) 0..5 (NaN unknown),
    ``pose`` (B, 3) radians (NaN unknown), ``expression`` (B,) int64 (-1 unknown), ``identity`` (B,) int64
    index in ``identities``, ``landmarks`` (B, 68, 2) pixels of the crop, ``index`` (B,) int64 row of the
    store's records. With pairing "single" also ``target_au`` (B, 17), where there are AUs to draw from; with
    another pairing all keys stand twice, under ``source_`` and ``target_``. Where they are asked for,
    ``identity_map`` (B, 3, S, S) uint8 and ``landmark_map`` (B, 1, S, S) float32 in [0, 1].
    """

    def __init__(
        self,
        store: Store,
        rows: np.ndarray,
        targets: np.ndarray,
        *,
        pairing: str = "single",
        cross_probability: float = 0.0,
        candidates: int = 1,
        crop: Crops | None = None,
        identity_maps: str = "none",
        landmark_images: bool = False,
        flip: float = 0.0,
        jitter: float = 0.0,
        seed: int = 0,
        training: bool = True,
    ) -> None:
        self.store = store
        self.rows = rows.astype(np.int64)
        self.targets = targets
        self.training = training
        self.crop = crop
        self._appearance = identity_maps
        self._landmark_images = landmark_images
        self.flip = flip
        self._jitter = ColourJitter(jitter) if jitter > 0 else None
        self.seed = seed
        self.cross_probability = cross_probability if pairing == "cross_identity" else 0.0
        self.candidates = candidates if training else 1
        records = store.records
        codes, self.identity = np.unique(records.codes("identity")[self.rows], return_inverse=True)
        names = records.names("identity")
        self.identities = [names[code] for code in codes]
        self.expression = records.numbers("expression")[self.rows].astype(np.int64)
        self._partners = partners(pairing, self.identity, records.codes("sequence")[self.rows])

    def __len__(self) -> int:
        return len(self.rows)

    @cached_property
    def records(self) -> Records:
        """The record table of this split."""
        return self.store.records.select(self.rows)

    @cached_property
    def au(self) -> np.ndarray:
        """AU intensities (N, 17), 0..5, NaN unknown."""
        return self.store.records.au[self.rows]

    def __getitem__(self, item: tuple[int, int]) -> Batch:
        return self.__getitems__([item])

    def __getitems__(self, items: list[tuple[int, int]]) -> Batch:
        epoch, index = np.array(items, np.int64).reshape(-1, 2).T
        if self._partners is None:
            batch = self._faces(epoch, index, augment=True)
            if len(self.targets):
                chosen = self.targets[target_rows(self.seed, epoch, index, len(self.targets))]
                batch["target_au"] = torch.from_numpy(self.store.au[chosen])
            return batch
        partner = self._partner(epoch, index)
        source = self._faces(epoch, index, augment=True)
        # augmented alike, or the one could not be the truth for what is made of the other
        target = self._faces(epoch, partner, augment=True, like=index)
        return {f"source_{key}": value for key, value in source.items()} | {
            f"target_{key}": value for key, value in target.items()
        }

    def _partner(self, epoch: np.ndarray, index: np.ndarray) -> np.ndarray:
        assert self._partners is not None
        drawn = np.stack(
            [
                self._partners.draw(self.seed, epoch, index, self.cross_probability, k)
                for k in range(self.candidates)
            ]
        )
        if len(drawn) == 1:
            return drawn[0]
        return farthest(drawn, self.store.pose[self.rows[drawn]], self.store.pose[self.rows[index]])

    def batch(self, indices: Any) -> Batch:
        """Pictures by index in this split, without augmentation or partner; ``image`` float in [-1, 1]."""
        index = np.atleast_1d(np.asarray(indices, np.int64))
        batch = self._faces(np.zeros_like(index), index, augment=False)
        return batch | {key: to_float(batch[key]) for key in PICTURE_KEYS if key in batch}

    def _faces(
        self, epoch: np.ndarray, index: np.ndarray, augment: bool, like: np.ndarray | None = None
    ) -> Batch:
        """Pictures by index, each augmented by the draws of the index ``like`` (None: its own)."""
        rows, drawn = self.rows[index], index if like is None else like
        images = self.store.images(rows)
        landmarks, pose = self.store.landmarks[rows], self.store.pose[rows]
        if self.crop is not None and augment and self.training:
            draws = uniform(self.seed, CROP, epoch, drawn)[:, :2]
            images, landmarks, pose = self.crop.draw(images, landmarks, pose, draws)
        elif self.crop is not None:
            images, landmarks = self.crop.middle(images, landmarks)
        maps = None
        if self._appearance != "none":
            maps = torch.from_numpy(self.store.identity_maps(self._appearance)[rows])
        if augment and self.flip > 0:
            flipped = uniform(self.seed, FLIP, epoch, drawn)[:, 0] < self.flip
            mirror(images, landmarks, pose, flipped)
            if maps is not None:
                maps[flipped] = maps[flipped].flip(2)
        if augment and self._jitter is not None:
            self._jitter(images, uniform(self.seed, AUGMENT, epoch, drawn)[:, 0])
        extra: Batch = {}
        if maps is not None:
            extra["identity_map"] = maps.permute(0, 3, 1, 2)
        if self._landmark_images:
            extra["landmark_map"] = torch.from_numpy(dots(landmarks, images.shape[1]))
        return extra | {
            "image": images.permute(0, 3, 1, 2),
            "au": torch.from_numpy(self.store.au[rows]),
            "pose": torch.from_numpy(pose),
            "expression": torch.from_numpy(self.expression[index]),
            "identity": torch.from_numpy(self.identity[index]),
            "landmarks": torch.from_numpy(landmarks),
            "index": torch.from_numpy(rows),
        }


def to_float(images: Tensor, dtype: torch.dtype = torch.float32) -> Tensor:
    """uint8 pictures (B, 3, S, S) as floats in [-1, 1], in plain memory order."""
    return images.to(dtype, memory_format=torch.contiguous_format).div_(127.5).sub_(1)
