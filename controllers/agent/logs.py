"""EDGE: the output of containers, read back from the files that shims write.

Source: the pod log endpoint of Kubernetes: container, previous, tailLines, sinceSeconds,
sinceTime, timestamps, limitBytes, follow.
"""

import asyncio
import os
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from pathlib import Path
from typing import final

from controllers.agent.records import Attempt
from crdtstate.podaccess import LogQuery

__all__ = ["read_log"]

BLOCK_BYTES, PERIOD_S = 64 << 10, 0.2


def _files(attempt: Attempt) -> list[Path]:
    """Return the files, the oldest first."""
    base = attempt.path / "log"
    numbered = [p for p in attempt.path.glob("log.*") if p.suffix[1:].isdigit()]
    older = sorted(numbered, key=lambda p: int(p.suffix[1:]), reverse=True)
    return [*older, *([base] if base.exists() else [])]


def _shown(line: bytes, query: LogQuery) -> bytes:
    """Return what a line of a file says: a part of a line has no end."""
    stamp, _, rest = line.partition(b" ")
    _, _, rest = rest.partition(b" ")
    tag, _, text = rest.partition(b" ")
    if not tag or stamp.decode("ascii", "replace") < query.since:
        return b""
    end = b"\n" if tag == b"F" else b""
    return (stamp + b" " if query.stamped else b"") + text + end


def _tail_start(files: list[Path], tail: int) -> tuple[int, int]:
    """Return the file and the offset from which there are `tail` lines. Cost: O(bytes skipped)."""
    missing = tail
    for at in reversed(range(len(files))):
        data = files[at].read_bytes()  # Of bounded size, as each is rotated.
        place = len(data) - data.endswith(b"\n")  # The last line's end begins no other.
        while missing and data:
            place = data.rfind(b"\n", 0, place)
            missing -= 1
            if place < 0:
                break
        if not missing:
            return at, place + 1
    return 0, 0


async def read_log(
    attempt: Attempt, query: LogQuery, running: Callable[[], bool]
) -> AsyncGenerator[bytes]:
    """Yield the output of one process, and what it goes on to say while it runs.

    Args:
        running: Whether the process is still there.
    """
    files, current = _files(attempt), attempt.path / "log"
    at, offset = 0, 0
    if query.tail == 0:
        at, offset = len(files), current.stat().st_size if current.exists() else 0
    elif query.tail is not None:
        at, offset = _tail_start(files, query.tail)
    left = query.bytes_max
    for path in [*files[at:-1], current]:
        last = path == current
        shown = _follow(path, offset, query, running if last else lambda: False)
        async with aclosing(shown):
            async for chunk in shown:
                if chunk:
                    yield chunk[:left]
                left = None if left is None else left - len(chunk)
                if left is not None and left <= 0:
                    return
        offset = 0


async def _follow(
    path: Path, offset: int, query: LogQuery, running: Callable[[], bool]
) -> AsyncGenerator[bytes]:
    """Yield what a file shows, across rotations, until the process has ended."""
    reader = _Reader(path, offset)
    try:
        while True:
            last = not query.follow or not running()
            while reader.more():
                yield reader.show(query)
                await asyncio.sleep(0)
            if query.follow and reader.rotated():
                reader.close()
                reader = _Reader(path, 0)
            elif last:
                return
            else:
                await asyncio.sleep(PERIOD_S)
    finally:
        reader.close()


@final
class _Reader:
    """One file, in whole lines."""

    def __init__(self, path: Path, offset: int) -> None:
        self._path = path
        try:
            self._file = path.open("rb", buffering=0)
        except FileNotFoundError:
            self._file = open(os.devnull, "rb", buffering=0)  # noqa: SIM115 - closed by `close`.
        self._file.seek(offset)
        self._rest = b""
        self._ready = b""

    def more(self) -> bool:
        """Read on; True when there are new whole lines."""
        block = self._file.read(BLOCK_BYTES)
        if not block:
            return False
        whole, found, rest = (self._rest + block).rpartition(b"\n")
        self._rest = rest
        self._ready = whole + found
        return True

    def show(self, query: LogQuery) -> bytes:
        """Return what the new lines show."""
        return b"".join(_shown(line, query) for line in self._ready.split(b"\n") if line)

    def rotated(self) -> bool:
        """Whether another file has taken the place of this one."""
        try:
            return self._path.stat().st_ino != os.fstat(self._file.fileno()).st_ino
        except FileNotFoundError:
            return False

    def close(self) -> None:
        """Close the file."""
        self._file.close()
