"""Data sets: raw pictures to prepared faces to batches."""

from datamodules.folder import Folder, FolderConfig
from datamodules.rafd import RaFD, RaFDConfig

DATAMODULES = {"rafd": (RaFDConfig, RaFD), "folder": (FolderConfig, Folder)}
