"""EDGE: feeds the replica its inputs and performs its effects, in order. It decides nothing else.

Duties (house contract): effects in list order; completion comes back as an input; between two
inputs the wake-up asked for; the clock read once a step.

Invariants:
    DRV-1  After a storage failure nothing is acknowledged any more: every request gets the reason.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, final

import structlog

from crdtstate.api.ports import Cluster, NoCluster
from crdtstate.crdt.dots import covers_all, missing
from crdtstate.daemon.committer import Committer, Done, ThreadCommitter
from crdtstate.daemon.outgoing import Links, Outgoing
from crdtstate.errors import BehindError, CrdtstateError, StorageError, UnavailableError
from crdtstate.replica import events as ev
from crdtstate.replica.machine import Replica
from crdtstate.replica.messages import PROTOCOL_VERSION, fragments
from crdtstate.store import operations as ops
from crdtstate.store.index import read_revision
from crdtstate.store.limits import Limits
from crdtstate.store.ports import Snapshot, Storage
from crdtstate.tokens import decode_token, encode_token, name_lacking
from gossip import PAYLOAD_BYTES_MAX, Member

__all__ = ["Driver", "Links", "system_wall_ms"]

_log = structlog.get_logger("crdtstate.daemon")


def system_wall_ms() -> int:
    """The wall clock of this machine."""
    return time.time_ns() // 1_000_000


@final
class Driver:
    """Owns one replica.

    Args:
        take_origin: Makes a new identity durable and returns it.
        committer: Made with the storage and what to call when a batch is durable or has failed.
    """

    def __init__(
        self,
        replica: Replica,
        storage: Storage,
        take_origin: Callable[[str], Awaitable[int]],
        *,
        watches_max: int = 4096,
        committer: Callable[[Storage, Done], Committer] = ThreadCommitter,
        wall_ms: Callable[[], int] = system_wall_ms,
    ) -> None:
        self.replica = replica
        self.name = replica.config.name
        self.limits: Limits = replica.config.store.limits
        self.watches_max = watches_max
        self.failure: StorageError | None = None
        self.cluster: Cluster = NoCluster()
        self.failed: asyncio.Event = asyncio.Event()
        self._storage, self._take_origin = storage, take_origin
        self._loop = asyncio.get_running_loop()
        self._committer = committer(storage, self._committed)
        self.wall_ms = wall_ms
        self._links: Links | None = None
        self._outgoing: Outgoing | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at_ms = 0
        self._tasks: set[asyncio.Task[None]] = set()
        self._changed = self._loop.create_future()
        self._token: str | None = None
        self._token_revision = -1
        self._stopping = False
        self.persists = 0
        # A table, not a match: msgspec's instance checks cost more than some of the effects.
        self._performers: dict[type, Callable[[Any], object]] = {
            ev.Reply: lambda effect: self._settle(effect.request, effect.outcome),
            ev.Persist: self._perform_persist,
            ev.Send: self._send,
            ev.RevisionDurable: self._perform_revision,
            ev.WakeAt: lambda effect: self._wake_at(effect.at_ms),
            ev.RunAgain: self._run_again,
            ev.NewIdentity: lambda effect: self._start(self._new_identity(effect.reason)),
            ev.Forgotten: self._perform_forgotten,
            ev.OtherVersion: lambda effect: _log.warning(
                "other_protocol_version",
                peer=effect.name,
                theirs=effect.version,
                ours=PROTOCOL_VERSION,
            ),
        }

    def start(self, links: Links | None) -> None:
        """Begin; `links` None is a replica without a network."""
        self._links = links
        self._outgoing = Outgoing(links, self._start) if links is not None else None
        self.step(ev.Tick())

    async def stop(self) -> None:
        """Finish the batch in flight, then release everything."""
        self._stopping = True
        if self._timer is not None:
            self._timer.cancel()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._committer.stop()
        self.replica.antientropy.stop()
        self._wake()

    # -- the loop between inputs and effects ---------------------------------------------------

    def now_ms(self) -> int:
        """The monotonic clock of the loop."""
        return int(self._loop.time() * 1000)

    def step(self, event: ev.Input) -> None:
        """Give one input and perform what the replica asks for."""
        if self._is_over():
            if isinstance(event, ev.Submit | ev.Wait | ev.Forget):
                self._settle(event.request, self._refusal())
            return
        try:
            effects = self.replica.step(self.now_ms(), self.wall_ms(), event)
        except StorageError as error:  # The disk's thread knows before the loop is told.
            self._fail(error)
            return
        for effect in effects:
            self._performers[type(effect)](effect)

    def _perform_persist(self, effect: ev.Persist) -> None:
        self.persists += 1
        self._committer.commit(effect.batch)

    def _perform_revision(self, _effect: ev.RevisionDurable) -> None:
        self._token = None
        self._wake()
        if self._links is not None:
            self._links.digest_changed()

    def _perform_forgotten(self, effect: ev.Forgotten) -> None:
        if self._links is not None:
            self._links.forget(effect.name)

    def _settle(self, request: Any, outcome: ev.Outcome | CrdtstateError) -> None:
        if request.done():  # Its client has gone.
            return
        if type(outcome) is not ev.Outcome:
            request.set_exception(outcome)
        else:
            request.set_result(outcome)

    def _send(self, effect: ev.Send) -> None:
        if self._links is None or self._outgoing is None:
            return
        names = self._links.linked() if effect.name is None else [effect.name]
        payloads = fragments(effect.message, PAYLOAD_BYTES_MAX)
        for name in names:
            self._outgoing.send(name, payloads)

    def _committed(self, error: StorageError | None) -> None:
        if error is None:
            self.step(ev.Durable())
        elif self.failure is None:
            self._fail(error)

    def _fail(self, error: StorageError) -> None:
        """DRV-1: fail-stop. What was not acknowledged may or may not be on disk."""
        _log.error("storage_failed", error=error.message)
        self.failure = error
        self.failed.set()
        self._wake()
        for request in self.replica.abandon():
            self._settle(request, self._refusal())

    def _is_over(self) -> bool:
        return self.failure is not None or self._stopping

    def _refusal(self) -> CrdtstateError:
        if self.failure is not None:
            return UnavailableError(
                f"this peer's storage failed and it has stopped: {self.failure.message}",
                code="storage_failed",
            )
        return UnavailableError("this peer is stopping", code="stopping")

    def _wake_at(self, at_ms: int) -> None:
        if self._timer is not None:
            if self._timer_at_ms <= at_ms:
                return
            self._timer.cancel()
        self._timer_at_ms = at_ms
        delay_s = max(0.001, (at_ms - self.now_ms()) / 1000)
        self._timer = self._loop.call_later(delay_s, self._tick)

    def _tick(self) -> None:
        self._timer = None
        self.step(ev.Tick())

    def _run_again(self, effect: ev.RunAgain) -> None:
        again = ev.Again(effect.work)
        if effect.peer is None or self._links is None:
            self._loop.call_soon(self.step, again)
        else:
            self._start(self._when_writable(effect.peer, again))

    async def _when_writable(self, peer: str, again: ev.Again) -> None:
        assert self._outgoing is not None
        await self._outgoing.wait_writable(peer)
        self.step(again)  # In a later round of the loop: this is a task of its own.

    async def _new_identity(self, reason: str) -> None:
        origin = await self._take_origin(reason)
        _log.warning("identity_taken", origin=f"{origin:016x}", reason=reason)
        self.step(ev.IdentityTaken(origin))

    def _start(self, work: Any) -> asyncio.Task[None]:
        task: asyncio.Task[None] = self._loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def _wake(self) -> None:
        changed, self._changed = self._changed, self._loop.create_future()
        changed.set_result(None)

    # -- gossip's application (see gossip.core.ports) ------------------------------------------

    def digest(self) -> bytes:
        """Return the digest of the durable state."""
        return self.replica.shown.digest(self.wall_ms())

    def on_digest(self, name: str, digest: bytes) -> None:
        """A probe carried a member's digest."""
        self.step(ev.DigestSeen(name, digest))

    def on_member(self, member: Member) -> None:
        """A member's liveness or address changed; the replica set is another matter."""
        _log.info("member_changed", peer=member.name, liveness=member.liveness.name.lower())

    def on_link_up(self, name: str) -> None:
        """A link is open."""
        _log.info("link_opened", peer=name)
        self.step(ev.LinkUp(name))

    def on_link_down(self, name: str, reason: str) -> None:
        """A link is gone."""
        _log.info("link_closed", peer=name, reason=reason)
        if self._outgoing is not None:
            self._outgoing.link_down(name)
        self.step(ev.LinkDown(name))

    def on_message(self, name: str, payload: bytes) -> None:
        """A payload arrived."""
        self.step(ev.PeerMessage(name, payload))

    # -- the API's backend (see crdtstate.api.ports) -------------------------------------------

    @property
    def storage(self) -> Storage:
        """Durable state. Raises: UnavailableError after a failure."""
        if self.failure is not None:
            raise self._refusal()
        return self._storage

    def snapshot(self) -> Snapshot:
        """Return an unchanging durable state."""
        return self.storage.snapshot()

    @property
    def origin(self) -> int:
        """The identity of this replica."""
        return self.replica.store.origin

    @property
    def token(self) -> str:
        """The causal token of the durable state."""
        shown = self.replica.shown
        if self._token is None or self._token_revision != shown.revision:
            # Not only when a revision is announced: the answers of a batch are made before that,
            # and each must cover its own write.
            self._token, self._token_revision = encode_token(shown.vector), shown.revision
        return self._token

    @property
    def revision(self) -> int:
        """The durable revision."""
        return self.replica.shown.revision

    @property
    def objects_revision(self) -> int:
        """The last durable revision that changed an object."""
        return self.replica.shown.objects_revision

    @property
    def ready(self) -> tuple[bool, str]:
        """Whether this peer is ready, else why not."""
        if self._is_over():
            return False, self._refusal().message
        return self.replica.standing.ready, self.replica.standing.reason

    def peer_name(self, origin: int) -> str | None:
        """Return the member that writes under `origin`."""
        return self.replica.members.name_of(origin)

    async def submit(
        self,
        operations: Sequence[ops.Intent],
        preconditions: Sequence[ops.Precondition],
        replicas: int | str,
        timeout_ms: int,
    ) -> ev.Outcome:
        """Commit one transaction; see the port."""
        request: asyncio.Future[ev.Outcome] = self._loop.create_future()
        self.begin(request, operations, preconditions, replicas, timeout_ms)
        return await request

    def begin(
        self,
        request: Any,
        operations: Sequence[ops.Intent],
        preconditions: Sequence[ops.Precondition],
        replicas: int | str,
        timeout_ms: int,
    ) -> None:
        """Commit one transaction for `request`; see the port."""
        deadline_ms = 0 if replicas == 1 else self.now_ms() + timeout_ms
        self.step(ev.Submit(request, operations, preconditions, replicas, deadline_ms))

    def covers(self, token: str) -> bool:
        """Whether the durable state includes the token."""
        return covers_all(self.replica.shown.vector, decode_token(token))

    async def forget(self, name: str) -> ev.Outcome:
        """Forget a member for good."""
        request: asyncio.Future[ev.Outcome] = self._loop.create_future()
        self.step(ev.Forget(request, name))
        return await request

    async def wait_covered(self, token: str, timeout_ms: int) -> None:
        """Return once the durable state includes the token."""
        vector = decode_token(token)
        deadline = self._loop.time() + timeout_ms / 1000
        while not covers_all(self.replica.shown.vector, vector):
            if not await self._wait_change(deadline):
                lacking = missing(self.replica.shown.vector, vector)
                raise BehindError(
                    f"after {timeout_ms} ms this peer still lacks writes that the token includes: "
                    + name_lacking(lacking),
                    missing={f"{o:016x}": s for o, s in lacking.items()},
                )

    async def wait_replicas(self, token: str, replicas: int | str, timeout_ms: int) -> ev.Outcome:
        """Return once so many replicas have all of the token durable."""
        request: asyncio.Future[ev.Outcome] = self._loop.create_future()
        deadline_ms = self.now_ms() + timeout_ms
        self.step(ev.Wait(request, decode_token(token), replicas, deadline_ms))
        return await request

    def is_stable(self, vector: Mapping[int, int]) -> bool:
        """Tell whether everyone has `vector`, and nothing concurrent with it is still to come."""
        return self.replica.waiters.is_stable(dict(vector))

    async def announced(self) -> None:
        """Return once all that `storage` holds by now is covered by the token."""
        while not self.is_announced:
            await self._wait_change(None)

    @property
    def is_announced(self) -> bool:
        """Whether the token covers all that `storage` holds by now."""
        return not self.replica.committing or read_revision(self.storage)[0] <= self.revision

    async def wait_revision(self, after: int, timeout_ms: int) -> bool:
        """Return True once the durable revision is greater than `after`."""
        deadline = self._loop.time() + timeout_ms / 1000
        while self.revision <= after:
            if not await self._wait_change(deadline):
                return False
        return True

    async def _wait_change(self, deadline: float | None) -> bool:
        if self._is_over():
            raise self._refusal()
        try:
            async with asyncio.timeout_at(deadline):
                await asyncio.shield(self._changed)
        except TimeoutError:
            return False
        if self._is_over():
            raise self._refusal()
        return True
