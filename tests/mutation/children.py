"""Work in a fork of this process: what it changes is gone with it, and it cannot take for ever."""

import os
import resource
import time
from collections.abc import Callable, Iterator

__all__ = ["DIED", "child_cpu_s", "in_child", "limit_cpu", "lines_of"]

DIED = "no end"  # It was stopped at its limit of CPU time, or took all memory.
_MEMORY_BYTES_MAX = 6 << 30


def lines_of(work: Callable[[Callable[[str], None]], None]) -> Iterator[str]:
    """Fork; yield what the child gives to the function that its work is called with."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.close(reading)
            quiet = os.open(os.devnull, os.O_WRONLY)
            os.dup2(quiet, 1)
            os.dup2(quiet, 2)
            with os.fdopen(writing, "w", buffering=1) as pipe:
                work(lambda line: print(line, file=pipe))
        finally:
            os._exit(0)  # Nothing of the parent's may end here: no test, no buffer, no fixture.
    os.close(writing)
    with os.fdopen(reading) as pipe:
        for line in pipe:
            yield line.rstrip("\n")
    os.waitpid(child, 0)


def in_child(work: Callable[[], str], cpu_s_max: float) -> str:
    """Fork; return what the work returns, or the kind of what it raises, or DIED."""

    def said(say: Callable[[str], None]) -> None:
        limit_cpu(cpu_s_max)
        resource.setrlimit(resource.RLIMIT_AS, (_MEMORY_BYTES_MAX, resource.RLIM_INFINITY))
        try:
            say(work())
        except BaseException as error:  # noqa: BLE001 - whatever it is, it is the child's.
            say(type(error).__name__)

    return next(iter([*lines_of(said), DIED]))


def limit_cpu(seconds: float) -> None:
    """End this process when it has used so much more CPU time."""
    limit = int(time.process_time() + seconds) + 1
    resource.setrlimit(resource.RLIMIT_CPU, (limit, resource.RLIM_INFINITY))


def child_cpu_s() -> float:
    """Return the CPU time of all children so far."""
    return resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime
