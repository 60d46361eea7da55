"""EDGE: small files, never half written: temporary, sync, rename, sync of the folder."""

import os
from collections.abc import Callable
from pathlib import Path

__all__ = ["write_durably"]


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
    temporary = path.with_name(f"{path.name}.new-{os.getpid()}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
    try:
        os.write(descriptor, content(os.fstat(descriptor)))
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
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
