"""Every data set by name: its config dataclass and its data module."""

from collections.abc import Callable
from typing import Any

from datamodules.base import FaceDataModule
from datamodules.bu4dfe import BU4DFE, BU4DFEConfig
from datamodules.celeba import CelebA, CelebAConfig
from datamodules.folder import Folder, FolderConfig
from datamodules.mmi import MMI, MMIConfig
from datamodules.oulu_casia import OuluCASIA, OuluCASIAConfig
from datamodules.rafd import RaFD, RaFDConfig
from datamodules.voxceleb import VoxCeleb, VoxCelebConfig

DATAMODULES: dict[str, tuple[type, Callable[[Any], FaceDataModule]]] = {
    "rafd": (RaFDConfig, RaFD),
    "oulu_casia": (OuluCASIAConfig, OuluCASIA),
    "bu4dfe": (BU4DFEConfig, BU4DFE),
    "mmi": (MMIConfig, MMI),
    "voxceleb": (VoxCelebConfig, VoxCeleb),
    "celeba": (CelebAConfig, CelebA),
    "folder": (FolderConfig, Folder),
}
