"""EDGE: one controller at work: changes become keys, keys become reconciles, some at a time."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from random import Random
from typing import final

import structlog

from controllers.errors import StaleError, TerminalError
from controllers.runtime.backoff import Backoff
from controllers.runtime.cache import Change
from controllers.runtime.damping import Budget
from controllers.runtime.informer import Informer
from controllers.runtime.mapping import Caches
from controllers.runtime.membership import Membership
from controllers.runtime.objects import annotations_of
from controllers.runtime.ports import Clock
from controllers.runtime.queue import WorkQueue
from controllers.runtime.registry import ControllerSpec, Watch
from controllers.runtime.request import Request
from controllers.runtime.scope import Desk, Scope
from controllers.runtime.view import POLICY_ANNOTATION, Policy, View
from crdtstate.errors import CrdtstateError, InvalidError
from crdtstate.model import Kind

__all__ = ["Controller", "gather_some"]

RECONCILE_S_MAX = 60.0
_TOGETHER = 8  # Writes under way at once, of one reconcile: group commit makes them one sync.
_OWN_WRITES_RETRY_MS, _OWN_WRITES_MS_MAX = 250, 10_000
_STALE_RETRY_MS = 20
_PACE_BURST, _PACE_MS = 20, 4_000  # Reconciles of one key: then five a second, for all changes.
_log = structlog.get_logger("controllers.controller")


async def gather_some(writes: Sequence[Awaitable[None]]) -> None:
    """Await all, some at a time, in order. Raises: the first error, when its batch has ended."""
    errors: list[BaseException] = []
    for at in range(0, len(writes), _TOGETHER):
        if errors:
            break
        batch = writes[at : at + _TOGETHER]
        found = await asyncio.gather(*batch, return_exceptions=True)
        errors += [result for result in found if isinstance(result, BaseException)]
    else:
        at = len(writes)
    for left in writes[at:]:
        if asyncio.iscoroutine(left):
            left.close()
    if errors:
        raise errors[0]


@final
class Controller:
    """The worker of one registration in one process.

    Args:
        refresh: Brings the beliefs up to date, if that may matter now.
    """

    def __init__(
        self,
        spec: ControllerSpec,
        desk: Desk,
        membership: Membership,
        refresh: Callable[[], Awaitable[None]],
        clock: Clock,
        rng: Random,
    ) -> None:
        self.spec, self._desk, self._refresh = spec, desk, refresh
        self._membership, self._clock = membership, clock
        self._reconciler = spec.make()
        self._queue: WorkQueue[Request] = WorkQueue()
        self._backoff: Backoff[Request] = Backoff(rng)
        self._pace: Budget[Request] = Budget(refill_ms=_PACE_MS)
        self._wake = asyncio.Event()
        self._own_writes_since: dict[Request, int] = {}
        self._informers: dict[Kind, Informer] = {}
        self._everything: list[Informer] = []
        self._self = Watch(spec.of, spec.mapper, spec.predicate)
        self.metrics = desk.metrics

    # -- what wakes it -------------------------------------------------------------------------

    def attach(self, informers: dict[Kind, Informer]) -> None:
        """Listen to the kinds that concern it."""
        self._informers = {kind: informers[kind] for kind in self.spec.kinds}
        for watch in (self._self, *self.spec.watches):
            informers[watch.kind].listen(self._listener_of(watch, self._desk.caches))

    def attach_to(self, informer: Informer, *, known: bool) -> None:
        """Listen to a kind that was found later, if all kinds are wanted."""
        if self.spec.everything is None or informer in self._everything:
            return
        self._everything.append(informer)
        watch = Watch(informer.kind, self.spec.everything)
        informer.listen(self._listener_of(watch, self._desk.caches))
        if known:
            self._look_at(watch)

    def _listener_of(self, watch: Watch, caches: Caches) -> Callable[[Change], None]:
        def listen(change: Change) -> None:
            if watch.predicate(change):
                for request in watch.mapper(change, caches):
                    self._add(request)

        return listen

    def _add(self, request: Request) -> None:
        self._queue.add(request)
        self._wake.set()

    def look_at_all(self) -> None:
        """Ask for every key: the view has changed, or who owns what."""
        self._look_at(self._self)
        if self.spec.everything is not None:
            for informer in self._everything:
                self._look_at(Watch(informer.kind, self.spec.everything))

    def _look_at(self, watch: Watch) -> None:
        listener = self._listener_of(watch, self._desk.caches)
        for body in self._desk.caches[watch.kind].list():
            listener(Change(watch.kind, "added", None, body))

    @property
    def is_idle(self) -> bool:
        """Whether there is nothing to do before a change or a time."""
        return self._queue.is_idle

    # -- work ----------------------------------------------------------------------------------

    async def run(self) -> None:
        """Reconcile, for ever, once all its caches are filled."""
        for informer in self._informers.values():
            await informer.synced.wait()
        running: set[asyncio.Task[None]] = set()

        def ended(task: asyncio.Task[None]) -> None:
            running.discard(task)  # Before the wake-up, so that it finds a free worker.
            self._wake.set()

        async with asyncio.TaskGroup() as group:
            while True:
                now_ms = self._clock.now_ms()
                while len(running) < self.spec.workers:
                    request = self._queue.take(now_ms)
                    if request is None:
                        break
                    task = group.create_task(self._work(request))
                    running.add(task)
                    task.add_done_callback(ended)
                self.metrics.ready = self._queue.stats().ready
                await self._wait(len(running) < self.spec.workers)

    async def _wait(self, free: bool) -> None:
        due_ms = self._queue.next_ms() if free else None
        timeout = None if due_ms is None else max(0, due_ms - self._clock.now_ms()) / 1000
        try:
            async with asyncio.timeout(timeout):
                await self._wake.wait()
        except TimeoutError:
            return
        self._wake.clear()

    async def _work(self, request: Request) -> None:
        retry_ms: int | None = None
        try:
            retry_ms = await self._turn(request)
        finally:
            self._queue.done(request)
            if retry_ms is not None:
                self._queue.add_at(request, self._clock.now_ms() + retry_ms)

    async def _turn(self, request: Request) -> int | None:
        """Do one reconcile; return when to come back, None for not before something changes."""
        await self._refresh()  # While somebody is silent, who comes back is to be known at once.
        now_ms = self._clock.now_ms()
        if not self._membership.acts_on(f"{self.spec.name}/{request}", now_ms):
            return None
        wait_ms = self._waits_for_own_writes(request, now_ms)
        if wait_ms is not None:
            return wait_ms
        if not self._pace.take(request, None, 1, _PACE_BURST, now_ms):
            return _PACE_MS // _PACE_BURST
        view = self._membership.view(now_ms)
        if not view.allows(self._policy_of(request)):
            self.metrics.held += 1
            return None  # A change of the view asks for every key.
        self.metrics.reconciles += 1
        retry_ms = await self._reconcile(request, view, now_ms)
        self.metrics.busy_ms += self._clock.now_ms() - now_ms
        return retry_ms

    async def _reconcile(self, request: Request, view: View, now_ms: int) -> int | None:
        scope = Scope(self._desk, request, view, now_ms=now_ms, wall_ms=self._clock.wall_ms())
        try:
            async with asyncio.timeout(RECONCILE_S_MAX):
                result = await self._reconciler.reconcile(request, scope)
        except StaleError:
            self.metrics.conflicts += 1
            return max(_STALE_RETRY_MS, self._backoff.failed(request))
        except TerminalError as error:
            self.metrics.failures += 1
            self._backoff.succeeded(request)
            _log.warning("reconcile_given_up", **self._facts(request), reason=str(error))
            return None
        except CrdtstateError as error:
            self.metrics.failures += 1
            retry_ms = self._backoff.failed(request)
            _log.info(
                "reconcile_refused", **self._facts(request), reason=error.message,
                retry_ms=retry_ms,
            )  # fmt: skip
            return retry_ms
        except Exception:  # noqa: BLE001 - a mistake in one reconciler stops no other.
            self.metrics.failures += 1
            retry_ms = self._backoff.failed(request)
            _log.exception("reconcile_failed", **self._facts(request), retry_ms=retry_ms)
            return retry_ms
        self._backoff.succeeded(request)
        return result.requeue_ms

    def _facts(self, request: Request) -> dict[str, str]:
        return {"controller": self.spec.name, "key": str(request)}

    def _waits_for_own_writes(self, request: Request, now_ms: int) -> int | None:
        kind = self._desk.written.missing(request)
        if kind is None:
            self._own_writes_since.pop(request, None)
            return None
        self.metrics.waits += 1
        since_ms = self._own_writes_since.setdefault(request, now_ms)
        if now_ms - since_ms > _OWN_WRITES_MS_MAX:
            # The watch says nothing, and does not end: what it shows cannot be trusted.
            del self._own_writes_since[request]
            self._informers[kind].relist()
        return _OWN_WRITES_RETRY_MS

    def _policy_of(self, request: Request) -> Policy:
        body = self._desk.caches[self.spec.of].get(request)
        text = annotations_of(body).get(POLICY_ANNOTATION) if body is not None else None
        if text is None:
            return self.spec.policy
        try:
            return Policy.parse(text)
        except InvalidError as error:
            _log.warning("policy_ignored", **self._facts(request), reason=error.message)
            return self.spec.policy
