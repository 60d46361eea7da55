"""EDGE: small files, never half written: temporary, sync, rename, sync of the folder."""

import os
from collections.abc import Callable
from pathlib import Path

__all__ = ["remove_leftovers", "write_durably"]

_MARK = ".new-"  # then the number of the process


def write_durably(
    path: Path,
    content: Callable[[os.stat_result], bytes],
    *,
    mode: int = 0o644,
    replace: bool = True,
) -> None:
    """Make `path` in one step; `content` is given the new file's stat, which renaming keeps.

    Raises: OSError; FileExistsError when the file is there and not to be replaced.
    """
    temporary = path.with_name(f"{path.name}{_MARK}{os.getpid()}")
    try:
        _write(temporary, content, mode)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    if replace:
        temporary.rename(path)
    else:
        try:
            os.link(temporary, path)
        finally:
            temporary.unlink()
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _write(temporary: Path, content: Callable[[os.stat_result], bytes], mode: int) -> None:
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
    try:
        left = memoryview(content(os.fstat(descriptor)))
        while left:  # A disk that is almost full takes a part first, and refuses the rest.
            left = left[os.write(descriptor, left) :]
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def remove_leftovers(path: Path) -> None:
    """Remove what a power cut left of `write_durably(path)`; nobody else may be writing it now."""
    for leftover in path.parent.glob(f"{path.name}{_MARK}*"):
        leftover.unlink(missing_ok=True)
