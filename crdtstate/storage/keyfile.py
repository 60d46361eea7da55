"""EDGE: the file of cluster keys: base64, one a line, the first seals; its owner's alone."""

import base64
import binascii
import contextlib
import os
import secrets
from collections.abc import Sequence
from pathlib import Path

import structlog

from crdtstate.errors import StorageError
from crdtstate.storage.files import write_durably

__all__ = ["KEY_BYTES", "load_or_create_keys", "save_keys"]

KEY_BYTES = 32
_log = structlog.get_logger("crdtstate.storage")


def load_or_create_keys(path: Path) -> list[bytes]:
    """Return the keys, a fresh one when there is no file. Raises: StorageError."""
    try:
        text = path.read_text(encoding="ascii")
    except FileNotFoundError:
        # Another peer of this machine may be faster: then its key is the cluster's.
        with contextlib.suppress(FileExistsError):
            save_keys(path, [secrets.token_bytes(KEY_BYTES)], replace=False)
        return load_or_create_keys(path)
    except (OSError, UnicodeDecodeError) as error:
        raise StorageError(f"key file {path} cannot be read: {error}") from error
    if os.stat(path).st_mode & 0o077:
        _log.warning("key_file_readable_by_others", path=str(path))
    lines = [line.strip() for line in text.splitlines() if line.strip() and line[:1] != "#"]
    try:
        keys = [base64.b64decode(line, validate=True) for line in lines]
    except binascii.Error as error:
        raise StorageError(f"key file {path} is not base64, one key a line: {error}") from error
    if not keys or any(len(key) != KEY_BYTES for key in keys):
        sizes = [len(key) for key in keys]
        raise StorageError(
            f"key file {path} holds keys of {sizes} bytes; one or more of {KEY_BYTES} are needed"
        )
    return keys


def save_keys(path: Path, keys: Sequence[bytes], *, replace: bool = True) -> None:
    """Write the key file in one step.

    Raises: StorageError; FileExistsError when it is there and not to be replaced.
    """
    text = "".join(base64.b64encode(key).decode() + "\n" for key in keys)
    try:
        write_durably(path, lambda _stat: text.encode(), mode=0o600, replace=replace)
    except FileExistsError:
        raise
    except OSError as error:
        raise StorageError(f"key file {path} cannot be written: {error}") from error
