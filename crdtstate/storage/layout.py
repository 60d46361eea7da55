"""EDGE: the data directory: lock, format, identity.

    lock            held by the daemon that uses the directory
    identity.json   format, name, cluster, origin, machine, and the inode of this very file
    cluster.keys    see crdtstate.storage.keyfile
    db/             RocksDB
    restored        left by a restore; the next start takes a new identity

Source: DESIGN section 4; riak's history of reused actor ids is why (research page, section 5).

Invariants:
    IDN-1  An origin names one history of one directory: an empty, restored, copied or moved-to-
           another-machine directory takes a new one before its first write.
    IDN-2  Two processes never have one directory open.
"""

import fcntl
import os
import secrets
import time
from pathlib import Path
from typing import IO, final

import msgspec

from crdtstate.errors import StorageError
from crdtstate.storage.files import remove_leftovers, write_durably

__all__ = ["FORMAT_VERSION", "DataDirectory", "Identity"]

FORMAT_VERSION = 1
_ORIGIN_TOP_BIT = 1 << 63
_MACHINE_ID = Path("/etc/machine-id")


@final
class _IdentityFile(msgspec.Struct, kw_only=True):
    format: int
    name: str
    cluster: str
    origin: str
    previous: list[str]
    machine: str
    device: int
    inode: int
    created_ms: int
    clean: bool


@final
class Identity(msgspec.Struct, frozen=True, kw_only=True):
    """Who the directory is in this life."""

    origin: int
    previous: tuple[int, ...]
    reason: str | None  # why the origin is new, or None
    fresh: bool  # nothing was there before
    clean: bool  # the last life ended in order


@final
class DataDirectory:
    """An open, locked data directory."""

    def __init__(self, path: Path, lock: IO[str], file: _IdentityFile, identity: Identity) -> None:
        self.path, self._lock, self._file = path, lock, file
        self.identity = identity

    @property
    def db_path(self) -> Path:
        """Where the database is."""
        return self.path / "db"

    @classmethod
    def open(cls, path: Path, *, name: str, cluster_id: bytes | None) -> "DataDirectory":
        """Lock the directory and settle its identity.

        Raises: StorageError naming the path and the cause.
        """
        try:
            path.mkdir(parents=True, exist_ok=True)
            lock = (path / "lock").open("a+", encoding="ascii")
        except OSError as error:
            raise StorageError(f"data directory {path} cannot be used: {error}") from error
        try:
            _take_lock(lock, path)
            remove_leftovers(path / "identity.json")
            file, identity = _settle(path, name, cluster_id)
            directory = cls(path, lock, file, identity)
            directory._write()
            (path / "restored").unlink(missing_ok=True)
        except OSError as error:
            lock.close()
            raise StorageError(f"data directory {path} cannot be used: {error}") from error
        except BaseException:
            lock.close()
            raise
        return directory

    def adopt_cluster(self, default: bytes) -> bytes:
        """Return the cluster id; the first start takes `default` for good."""
        if not self._file.cluster:
            self._file.cluster = default.hex()
            self._write()
        return bytes.fromhex(self._file.cluster)

    def new_origin(self, reason: str) -> int:
        """Take a new identity now, durably (IDN-1). Raises: StorageError."""
        self._file.previous.append(self._file.origin)
        origin = _random_origin()
        self._file.origin = f"{origin:016x}"
        self._write()
        self.identity = msgspec.structs.replace(self.identity, origin=origin, reason=reason)
        return origin

    def mark_clean(self) -> None:
        """The life ended in order: all that was written is on disk."""
        self._file.clean = True
        self._write()

    def _write(self) -> None:
        def content(stat: os.stat_result) -> bytes:
            self._file.device, self._file.inode = stat.st_dev, stat.st_ino
            return msgspec.json.format(msgspec.json.encode(self._file)) + b"\n"

        try:
            write_durably(self.path / "identity.json", content)
        except OSError as error:
            raise StorageError(f"identity of {self.path} cannot be written: {error}") from error

    def close(self) -> None:
        """Release the lock."""
        self._lock.close()


def _take_lock(lock: IO[str], path: Path) -> None:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        lock.seek(0)
        holder = lock.read(32).strip() or "unknown"
        raise StorageError(
            f"data directory {path} is in use by process {holder}", code="directory_in_use"
        ) from error
    lock.seek(0)
    lock.truncate()
    lock.write(f"{os.getpid()}\n")
    lock.flush()


def _settle(path: Path, name: str, cluster_id: bytes | None) -> tuple[_IdentityFile, Identity]:
    place = path / "identity.json"
    machine = _machine_id()
    try:
        raw = place.read_bytes()
        stat = place.stat()
    except FileNotFoundError:
        if (path / "db").exists():
            raise StorageError(
                f"data directory {path} holds a database but no identity.json: restore the file, "
                "or move the directory away"
            ) from None
        origin = _random_origin()
        file = _IdentityFile(
            format=FORMAT_VERSION, name=name, cluster=cluster_id.hex() if cluster_id else "",
            origin=f"{origin:016x}", previous=[], machine=machine, device=0, inode=0,
            created_ms=time.time_ns() // 1_000_000, clean=False,
        )  # fmt: skip
        return file, Identity(
            origin=origin, previous=(), reason="empty directory", fresh=True, clean=True
        )
    file = _decode(place, raw)
    _check_belongs(place, file, cluster_id)
    reason = _why_new(path, file, machine, stat)
    if reason is not None:
        file.previous.append(file.origin)
        file.origin = f"{_random_origin():016x}"
        file.machine = machine
    clean = file.clean
    file.clean, file.name = False, name
    previous = tuple(int(origin, 16) for origin in file.previous)
    return file, Identity(
        origin=int(file.origin, 16), previous=previous, reason=reason, fresh=False, clean=clean
    )


def _decode(place: Path, raw: bytes) -> _IdentityFile:
    try:
        found = msgspec.json.decode(raw, type=dict[str, object]).get("format")
        if type(found) is int and found > FORMAT_VERSION:
            raise StorageError(
                f"{place} is of format {found}, newer than {FORMAT_VERSION}: use a newer crdtstate"
            )
        file = msgspec.json.decode(raw, type=_IdentityFile)
        if int(file.origin, 16) < _ORIGIN_TOP_BIT:
            raise ValueError(f"origin {file.origin!r} is out of range")
    except (msgspec.DecodeError, ValueError) as error:
        raise StorageError(f"{place} is not an identity file: {error}") from error
    return file


def _check_belongs(place: Path, file: _IdentityFile, cluster_id: bytes | None) -> None:
    if cluster_id is not None and file.cluster and cluster_id.hex() != file.cluster:
        raise StorageError(f"{place} belongs to cluster {file.cluster}, not to {cluster_id.hex()}")


def _why_new(path: Path, file: _IdentityFile, machine: str, stat: os.stat_result) -> str | None:
    if (path / "restored").exists():
        return "restored from a backup"
    if file.machine != machine:
        return "the machine is another one"
    if (file.device, file.inode) != (stat.st_dev, stat.st_ino):
        return "the directory was copied"
    return None


def _machine_id() -> str:
    try:
        return _MACHINE_ID.read_text(encoding="ascii").strip() or "unknown"
    except (OSError, UnicodeDecodeError):
        return "unknown"


def _random_origin() -> int:
    return _ORIGIN_TOP_BIT | secrets.randbits(63)
