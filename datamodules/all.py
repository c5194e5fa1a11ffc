"""Every data set by name: its config dataclass and its data module."""

from datamodules.folder import Folder, FolderConfig
from datamodules.rafd import RaFD, RaFDConfig

DATAMODULES = {"rafd": (RaFDConfig, RaFD), "folder": (FolderConfig, Folder)}
