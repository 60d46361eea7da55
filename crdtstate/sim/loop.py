"""An asyncio loop with virtual time and a seeded order, in which whole processes can die.

Time jumps to the next timer whenever nothing is ready. Every callback belongs to a `Life`, found in
its context; once a life is over its callbacks are dropped, whatever they are in the middle of:
that is `kill -9`, and no `finally` block gets to run. A paused life's callbacks wait.

Source: FoundationDB's simulation testing (Zhou et al., SIGMOD 2021) for the idea; this one
simulates Python's own loop, so that the shipping coroutines run as they are.

Invariants:
    LOP-1  The order of callbacks depends on the seed alone: not on hash seeds, addresses or time.
    LOP-2  No callback of a life that is over runs.
    LOP-3  Real sockets, threads and name services raise.
"""

import asyncio
import contextvars
import heapq
import itertools
from collections.abc import Callable, Coroutine
from random import Random
from typing import Any, NoReturn, final

__all__ = ["LIFE", "Deadlock", "Life", "OutOfSteps", "SimLoop", "settle"]

_TIMERS_MIN = 512
START_S = 1_000.0  # A monotonic clock does not start at zero.


@final
class Deadlock(Exception):
    """Nothing is ready and there is no timer: everything waits for ever."""


@final
class OutOfSteps(Exception):
    """More turns of the loop than any sane run takes: a livelock or a storm."""


@final
class Life:
    """One life of one process, from its start to its end."""

    __slots__ = ("alive", "context", "deferred", "name", "number", "paused")

    def __init__(self, name: str, number: int) -> None:
        self.name, self.number = name, number
        self.alive, self.paused = True, False
        self.deferred: list[asyncio.Handle] = []
        self.context = contextvars.copy_context()
        self.context.run(LIFE.set, self)

    def __repr__(self) -> str:
        return f"{self.name}#{self.number}"


LIFE: contextvars.ContextVar[Life | None] = contextvars.ContextVar("life", default=None)


class _Task(asyncio.Task[Any]):
    """Sets of tasks (TaskGroup, asyncio.wait) iterate by hash, which by default is an address."""

    _count = itertools.count(1)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._sim_hash = next(_Task._count)
        self._log_destroy_pending = False
        super().__init__(*args, **kwargs)
        self._log_destroy_pending = False

    def __hash__(self) -> int:
        return self._sim_hash

    def __eq__(self, other: object) -> bool:
        return self is other


class _Future(asyncio.Future[Any]):
    _count = itertools.count(1)

    def __init__(self, *, loop: asyncio.AbstractEventLoop) -> None:
        self._sim_hash = next(_Future._count)
        super().__init__(loop=loop)

    def __hash__(self) -> int:
        return self._sim_hash

    def __eq__(self, other: object) -> bool:
        return self is other


def settle(future: asyncio.Future[None]) -> None:
    """Set a future that may be done already."""
    if not future.done():
        future.set_result(None)


@final
class SimLoop(asyncio.BaseEventLoop):
    """Run coroutines on virtual time.

    Args:
        shuffle: Draw the order of what is ready together, instead of first come, first served.
        steps_max: Turns after which the run is given up.
    """

    # Of BaseEventLoop; its own turn of the loop is replaced here.
    _ready: Any
    _scheduled: list[asyncio.TimerHandle]
    _timer_cancelled_count: int

    def __init__(self, rng: Random, *, shuffle: bool = False, steps_max: int = 50_000_000) -> None:
        self._now = START_S
        super().__init__()
        self._rng, self._shuffle, self._steps_max = rng, shuffle, steps_max
        self.steps = 0
        self.problems: list[dict[str, Any]] = []
        self._dead: list[asyncio.Handle] = []
        _Task._count, _Future._count = itertools.count(1), itertools.count(1)
        self.set_task_factory(_make_task)  # type: ignore[arg-type]
        self.set_exception_handler(lambda _loop, context: self.problems.append(context))

    def time(self) -> float:
        """Virtual seconds."""
        return self._now

    def create_future(self) -> asyncio.Future[Any]:
        """Return a future whose hash is a count."""
        return _Future(loop=self)

    def _run_once(self) -> None:
        self.steps += 1
        if self.steps > self._steps_max:
            raise OutOfSteps(f"{self.steps} turns at t={self._now:.3f} s")
        ready, timers = self._ready, self._scheduled
        self._drop_cancelled(timers)
        if not ready:
            if not timers:
                raise Deadlock(f"t={self._now:.3f} s")
            self._now = max(self._now, timers[0].when())
        while timers and timers[0].when() <= self._now:
            timer = heapq.heappop(timers)
            timer._scheduled = False  # type: ignore[attr-defined]
            ready.append(timer)
        if self._shuffle and len(ready) > 1:
            drawn = list(ready)
            self._rng.shuffle(drawn)
            ready.clear()
            ready.extend(drawn)
        for _ in range(len(ready)):
            self._run_handle(ready.popleft())

    def _run_handle(self, handle: asyncio.Handle) -> None:
        if handle.cancelled():
            return
        life = handle._context.get(LIFE)  # type: ignore[attr-defined]
        if life is not None and not (life.alive and not life.paused):
            # Kept, so that no coroutine is closed, and so runs on, by being collected.
            (life.deferred if life.alive else self._dead).append(handle)
            return
        handle._run()

    def _drop_cancelled(self, timers: list[asyncio.TimerHandle]) -> None:
        if len(timers) > _TIMERS_MIN and 2 * self._timer_cancelled_count > len(timers):
            timers[:] = [t for t in timers if not t.cancelled()]
            heapq.heapify(timers)
            self._timer_cancelled_count = 0
        while timers and timers[0].cancelled():
            self._timer_cancelled_count -= 1
            heapq.heappop(timers)._scheduled = False  # type: ignore[attr-defined]

    def resume(self, life: Life) -> None:
        """End a pause: everything that was due meanwhile runs now."""
        life.paused = False
        self._ready.extend(life.deferred)
        life.deferred = []

    def start(
        self, life: Life | None, work: Coroutine[Any, Any, Any], name: str | None = None
    ) -> asyncio.Task[Any]:
        """Start a coroutine in a life (None: in no life, so that it cannot be killed)."""
        context = life.context.copy() if life is not None else contextvars.Context()
        return self.create_task(work, name=name, context=context)

    def at(self, when_s: float, life: Life | None, call: Callable[..., object], *args: Any) -> None:
        """Call in a life at a time."""
        context = life.context if life is not None else contextvars.Context()
        self.call_at(max(when_s, self._now), call, *args, context=context)

    def _asyncgen_finalizer_hook(self, agen: Any) -> None:
        if not self.is_closed():
            self.call_soon(self.create_task, agen.aclose())

    # -- what a simulation may not do (LOP-3) --------------------------------------------------

    def _write_to_self(self) -> None:
        pass

    def _process_events(self, event_list: Any) -> None:
        pass

    def _refuse(self, what: str) -> NoReturn:
        raise RuntimeError(f"{what} in a simulation")

    def run_in_executor(self, *_: Any) -> NoReturn:  # type: ignore[override]
        """Raise: no threads."""
        self._refuse("a thread")

    def call_soon_threadsafe(self, *_: Any, **__: Any) -> NoReturn:  # type: ignore[override]
        """Raise: no threads."""
        self._refuse("a call from a thread")

    async def getaddrinfo(self, *_: Any, **__: Any) -> NoReturn:
        """Raise: no name service."""
        self._refuse("a name service")

    async def create_connection(self, *_: Any, **__: Any) -> NoReturn:
        """Raise: no sockets."""
        self._refuse("a real socket")

    async def create_server(self, *_: Any, **__: Any) -> NoReturn:
        """Raise: no sockets."""
        self._refuse("a real socket")

    async def create_datagram_endpoint(self, *_: Any, **__: Any) -> NoReturn:
        """Raise: no sockets."""
        self._refuse("a real socket")


def _make_task(
    loop: asyncio.AbstractEventLoop, work: Coroutine[Any, Any, Any], **kwargs: Any
) -> asyncio.Task[Any]:
    return _Task(work, loop=loop, **kwargs)
