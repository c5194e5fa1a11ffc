"""Data sets: raw pictures to prepared faces to batches."""

from datamodules.folder import Folder, FolderConfig

DATAMODULES = {"folder": (FolderConfig, Folder)}
