"""EDGE: backup while running, restore as a new identity.

A backup is a checkpoint of the database and a manifest; it holds no identity that could be used
again. A restore copies it into a new data directory and leaves the mark that makes the next start
take a new origin (IDN-1), so that nothing is resurrected and no dot is reused.
"""

import shutil
import time
from pathlib import Path
from typing import Any, final

import msgspec

from crdtstate.errors import InvalidError, StorageError
from crdtstate.storage.files import write_durably
from crdtstate.storage.layout import FORMAT_VERSION, DataDirectory
from crdtstate.store.ports import Storage

__all__ = ["BackupInfo", "backup", "restore"]


@final
class BackupInfo(msgspec.Struct, frozen=True):
    """What a backup wrote."""

    path: str
    files: int
    bytes: int

    def to_json(self) -> dict[str, Any]:
        """Return the fields of POST /backup's answer."""
        return {"path": self.path, "files": self.files, "bytes": self.bytes}


def backup(storage: Storage, directory: DataDirectory, destination: Path) -> BackupInfo:
    """Write a consistent copy to `destination`, which is new or empty. Blocks.

    Raises: InvalidError for a path that cannot be; StorageError naming the path and the cause.
    """
    if not destination.is_absolute():
        raise InvalidError(f"backup path {destination} is not absolute", code="invalid_parameter")
    try:
        destination.mkdir(parents=True, exist_ok=True)
        if any(destination.iterdir()):
            raise InvalidError(f"backup path {destination} is not empty", code="invalid_parameter")
        storage.checkpoint(str(destination / "db"))
        shutil.copy2(directory.path / "identity.json", destination / "identity.json")
        manifest = {"format": FORMAT_VERSION, "created_ms": time.time_ns() // 1_000_000}
        write_durably(destination / "manifest.json", lambda _stat: msgspec.json.encode(manifest))
        files = [file for file in destination.rglob("*") if file.is_file()]
        return BackupInfo(str(destination), len(files), sum(f.stat().st_size for f in files))
    except OSError as error:
        raise StorageError(f"backup to {destination}: {error}") from error


def restore(source: Path, destination: Path) -> None:
    """Make a data directory out of a backup. Raises: StorageError."""
    if not (source / "manifest.json").is_file():
        raise StorageError(f"{source} is not a backup: it has no manifest.json")
    try:
        if destination.exists() and any(destination.iterdir()):
            raise StorageError(f"data directory {destination} is not empty")
        destination.mkdir(parents=True, exist_ok=True)
        shutil.copytree(source / "db", destination / "db", copy_function=shutil.copy2)
        write_durably(destination / "restored", lambda _stat: b"")
        shutil.copy2(source / "identity.json", destination / "identity.json")
    except OSError as error:
        raise StorageError(f"restore of {source} to {destination}: {error}") from error
