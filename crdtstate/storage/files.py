"""EDGE: small files, never half written: temporary, sync, rename, sync of the folder."""

import os
from collections.abc import Callable
from pathlib import Path

__all__ = ["write_durably"]


def write_durably(
    path: Path, content: Callable[[os.stat_result], bytes], *, mode: int = 0o644
) -> None:
    """Replace `path` in one step; `content` is given the new file's stat, which renaming keeps.

    Raises: OSError.
    """
    temporary = path.with_name(path.name + ".new")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
    try:
        os.write(descriptor, content(os.fstat(descriptor)))
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    temporary.rename(path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
