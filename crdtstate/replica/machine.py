"""One peer as a single state machine: intents, pushes, pulls, durability, in one order.

    step(now_ms, wall_ms, input) -> effects

The open batch collects everything that arrives while the last one is being made durable (group
commit); replies, pushes and notices of a batch are effects of the `Durable` that reports it.

Invariants:
    REP-1  No dot leaves the process before it is durable: Reply, Send of a push and
           RevisionDurable of a batch come only after its Durable.
    REP-2  At most one batch is in flight; while a join is being written, none is closed.
    REP-3  The first own write waits until a peer has confirmed this identity, or nobody can.
    REP-4  A request that cannot be kept is answered with a reason; none is dropped.
"""

from collections import deque
from typing import Any, assert_never, final

import msgspec
from xxhash import xxh3_64_intdigest

from crdtstate.errors import (
    BehindError,
    CrdtstateError,
    NotFoundError,
    RemoteProtocolError,
    UnavailableError,
)
from crdtstate.replica import events as ev
from crdtstate.replica.antientropy import PULL_DELAY_MS, AntiEntropy
from crdtstate.replica.expiry import Expiry
from crdtstate.replica.membership import MemberRecord, ReplicaSet, announce, retire
from crdtstate.replica.messages import (
    PROTOCOL_VERSION,
    Kind,
    decode_message,
    encode_message,
    vector_message,
)
from crdtstate.replica.peers import CLOCK_OFFSET_MS_MAX, Digest, Peers, PeerView
from crdtstate.crdt.dots import covers_all, encode_flat
from crdtstate.store.ports import Storage
from crdtstate.store.store import Committed, Store, StoreConfig
from crdtstate.store.transaction import decode_frame, encode_frame

__all__ = ["Replica", "ReplicaConfig"]


@final
class ReplicaConfig(msgspec.Struct, frozen=True, kw_only=True):
    """Knobs of one replica."""

    name: str
    api: str = ""
    clean: bool = True  # The last life ended in order.
    store: StoreConfig = StoreConfig()
    identity_check_ms: int = 1_500  # How long the first write waits for a peer's word (REP-3).
    alone_ready_ms: int = 3_000  # With no peer linked for so long, this replica is ready.
    backlog_max: int = 10_000
    push_bytes_max: int = 56 << 10
    message_bytes_max: int = 64 << 20


@final
class _Waiting(msgspec.Struct):
    """A request that needs more replicas than this one."""

    request: Any
    vector: dict[int, int]
    replicas: int | str
    deadline_ms: int
    committed: Committed | None


@final
class Replica:
    """The state machine. `storage` is read here; it is written only through Persist."""

    def __init__(self, storage: Storage, origin: int, config: ReplicaConfig) -> None:
        self.config = config
        self.store = Store(storage, origin, config.store)
        self.peers = Peers(config.message_bytes_max)
        self.members = ReplicaSet()
        self.members.load(storage)
        self.store.resolve_member = self.members.origin_of
        self.durable_vector = dict(self.store.vector)
        self.durable_revision = self.store.index.revision
        self.antientropy = AntiEntropy(self.store, self.peers, lambda: self.durable_vector)
        self.expiry = Expiry(self.store)
        self.ready, self.reason = False, "starting"
        self.rejected = 0
        self._started_ms: int | None = None
        self._identity_known = False
        self._identity_lost = False  # A new one is needed, and asked for once it is safe.
        self._identity_asked = False
        self._must_enter = True  # The replica set does not have this identity yet.
        self._in_flight: _Batch | None = None
        self._replies: list[tuple[Any, Committed]] = []
        self._waiting: list[_Waiting] = []
        self._wanted: list[tuple[Any, Committed, int | str, int]] = []
        self._backlog: deque[ev.Submit | ev.Forget | ev.PeerMessage] = deque()
        self._root = self.store.table.fingerprint.root
        self._digest_hash = 0
        self._hash_vector()

    @property
    def durable_root(self) -> int:
        """The fingerprint of the durable state."""
        return self._root

    # -- the one mutating method ---------------------------------------------------------------

    def step(self, now_ms: int, wall_ms: int, event: ev.Input) -> list[ev.Effect]:
        """Take one input. Cost: bounded by the input's own size."""
        self._now_ms, self._wall_ms = now_ms, wall_ms
        if self._started_ms is None:
            self._started_ms = now_ms
        effects: list[ev.Effect] = []
        match event:
            case ev.Submit() | ev.Forget():
                self._submit_or_queue(event, effects)
            case ev.PeerMessage():
                self._on_payload(event, effects)
            case ev.Durable():
                self._on_durable(effects)
            case ev.DigestSeen():
                self._on_digest(self.peers.view(event.name), event.digest, effects)
            case ev.Tick():
                self._on_tick(effects)
            case ev.Again():
                self._on_again(event.work, effects)
            case ev.Wait():
                self._on_wait(event, effects)
            case ev.LinkUp():
                self._on_link_up(self.peers.view(event.name), effects)
            case ev.LinkDown():
                self.peers.view(event.name).linked = False
                self.antientropy.link_down(event.name)
            case ev.IdentityTaken():
                self.store.adopt_origin(event.origin)
                self._identity_lost = self._identity_asked = False
                self._identity_known = self._must_enter = True
                self.reason = "" if self.ready else self.reason
            case _:
                assert_never(event)
        if not self.antientropy.joining:
            self._settle(effects)
        return effects

    # -- writes --------------------------------------------------------------------------------

    def _submit_or_queue(self, event: ev.Submit | ev.Forget, effects: list[ev.Effect]) -> None:
        if self._identity_known and not self.antientropy.joining:
            self._submit(event, effects)
        elif len(self._backlog) < self.config.backlog_max:
            self._backlog.append(event)
        else:
            effects.append(
                ev.Reply(
                    event.request,
                    UnavailableError(
                        f"{len(self._backlog)} requests wait, over "
                        f"backlog_max={self.config.backlog_max}",
                        code="overloaded",
                    ),
                )
            )

    def _submit(self, event: ev.Submit | ev.Forget, effects: list[ev.Effect]) -> None:
        offset = self.peers.clock_offset_ms()
        try:
            if offset is not None and abs(offset) > CLOCK_OFFSET_MS_MAX:
                raise UnavailableError(
                    f"this peer's clock is {-offset} ms from the median of its peers, over "
                    f"{CLOCK_OFFSET_MS_MAX} ms: it refuses own writes and serves reads",
                    code="clock_skew",
                    offset_ms=-offset,
                )
            if isinstance(event, ev.Forget):
                committed = self._forget(event.name)
                replicas, deadline_ms = 1, 0
            else:
                committed = self.store.submit(event.operations, event.preconditions, self._wall_ms)
                replicas, deadline_ms = event.replicas, event.deadline_ms  # type: ignore[assignment]
        except CrdtstateError as error:
            effects.append(ev.Reply(event.request, error))
            return
        if replicas == 1:
            self._replies.append((event.request, committed))
        else:
            self._wanted.append((event.request, committed, replicas, deadline_ms))

    def _forget(self, name: str) -> Committed:
        member = self.members.members.get(name)
        if member is None or name == self.config.name:
            raise NotFoundError(
                f"there is no other member {name!r}", code="no_such_member", name=name
            )
        seq = self.store.vector.get(int(member.origin, 16), 0)
        return self.store.submit_system(
            retire(MemberRecord(name, member.origin, member.api, seq)), self._wall_ms
        )

    def _settle(self, effects: list[ev.Effect]) -> None:
        """Do what waited for an identity or for the end of a join, then close the batch."""
        if self._identity_known:
            if self._must_enter:
                self._must_enter = False
                self._enter_replica_set()
            if self._backlog:
                self._drain_backlog(effects)
        elif self._identity_lost and not self._identity_asked and self._in_flight is None:
            if not self.store.outbox:
                self._identity_asked = True
                effects.append(ev.NewIdentity(self.reason))
        self._close_if_idle(effects)

    def _enter_replica_set(self) -> None:
        mine = MemberRecord(self.config.name, f"{self.store.origin:016x}", self.config.api)
        if self.members.members.get(mine.name) != mine:
            self.store.submit_system([announce(mine)], self._wall_ms)

    def _drain_backlog(self, effects: list[ev.Effect]) -> None:
        for _ in range(len(self._backlog)):
            event = self._backlog.popleft()
            if isinstance(event, ev.PeerMessage):
                self._on_payload(event, effects)
            else:
                self._submit_or_queue(event, effects)

    # -- durability ----------------------------------------------------------------------------

    def _close_if_idle(self, effects: list[ev.Effect]) -> None:
        if self._in_flight is not None:  # REP-2
            return
        if not len(self.store.table):
            if self._replies or self._wanted:  # Nothing had to change, and all is durable.
                self._release(self._replies, self._wanted, effects)
                self._replies, self._wanted = [], []
            return
        first, bodies = self.store.take_outbox()
        index = self.store.index
        batch = self.store.close_batch()
        self._in_flight = _Batch(
            first, bodies, dict(index.vector), index.revision, self.store.table.fingerprint.root,
            self._replies, self._wanted, self.store.table.take_system_changed(),
        )  # fmt: skip
        self._replies, self._wanted = [], []
        effects.append(ev.Persist(batch))

    def _on_durable(self, effects: list[ev.Effect]) -> None:
        batch = self._in_flight
        assert batch is not None, "REP-2"
        self._in_flight = None
        self.store.batch_durable()
        self.durable_vector, self.durable_revision = batch.vector, batch.revision
        self._root = batch.root
        self._hash_vector()
        if batch.system_changed:
            self._reload_members(effects)
        for frame in self._frames(batch):
            effects.append(ev.Send(None, bytes((Kind.PUSH,)) + frame))
        self._release(batch.replies, batch.wanted, effects)
        effects.append(ev.RevisionDurable())
        self._answer_wants(effects)
        self._check_waiting(effects)

    def _frames(self, batch: "_Batch") -> list[bytes]:
        """Pack the batch's own transactions into frames that fit a payload where they can."""
        frames: list[bytes] = []
        start, size = 0, 0
        for at, body in enumerate(batch.bodies):
            if size and size + len(body) > self.config.push_bytes_max:
                frames.append(self._frame(batch, start, at))
                start, size = at, 0
            size += len(body)
        if batch.bodies:
            frames.append(self._frame(batch, start, len(batch.bodies)))
        return frames

    def _frame(self, batch: "_Batch", start: int, end: int) -> bytes:
        return encode_frame(self.store.origin, batch.first + start, batch.bodies[start:end])

    def _release(
        self,
        replies: list[tuple[Any, Committed]],
        wanted: list[tuple[Any, Committed, int | str, int]],
        effects: list[ev.Effect],
    ) -> None:
        me = (self.config.name,)
        for request, committed in replies:
            effects.append(ev.Reply(request, ev.Outcome(committed, me)))
        last = 0
        for request, committed, replicas, deadline_ms in wanted:
            seq = committed.seq or self.durable_vector.get(self.store.origin, 0)
            vector = {self.store.origin: seq} if seq else {}
            self._waiting.append(_Waiting(request, vector, replicas, deadline_ms, committed))
            last = max(last, seq)
        if last:
            want = vector_message(Kind.WANT, {self.store.origin: last})
            effects.extend(ev.Send(v.name, want) for v in self.peers.linked())
        if wanted:
            self._check_waiting(effects)

    def _reload_members(self, effects: list[ev.Effect]) -> None:
        before = set(self.members.retired)
        self.members.load(self.store.table.storage)
        for name in sorted(self.members.retired.keys() - before):
            self.peers.drop(name)
            if name != self.config.name:
                effects.append(ev.Forgotten(name))

    # -- waiting for others --------------------------------------------------------------------

    def _on_wait(self, event: ev.Wait, effects: list[ev.Effect]) -> None:
        self._waiting.append(
            _Waiting(event.request, event.vector, event.replicas, event.deadline_ms, None)
        )
        want = vector_message(Kind.WANT, event.vector)
        effects.extend(ev.Send(v.name, want) for v in self.peers.linked())
        self._check_waiting(effects)
        effects.append(ev.WakeAt(event.deadline_ms))

    def having(self, vector: dict[int, int]) -> list[str]:
        """Return the members known to have all of `vector` durable, this one included."""
        others = sorted(self.members.members.keys() - {self.config.name})
        mine = [self.config.name] if covers_all(self.durable_vector, vector) else []
        return mine + self.peers.having(vector, others)

    def _check_waiting(self, effects: list[ev.Effect]) -> None:
        if not self._waiting:
            return
        still: list[_Waiting] = []
        for waiting in self._waiting:
            have = self.having(waiting.vector)
            needed = self.members.needed(waiting.replicas, self.config.name)
            if len(have) >= needed:
                effects.append(
                    ev.Reply(waiting.request, ev.Outcome(waiting.committed, tuple(have)))
                )
            elif waiting.deadline_ms <= self._now_ms:
                effects.append(
                    ev.Reply(
                        waiting.request,
                        BehindError(
                            f"{len(have)} of the {needed} replicas asked for have it durable; "
                            "nothing is undone",
                            code="not_enough_replicas",
                            replicas=len(have),
                            wanted=needed,
                            have=have,
                        ),
                    )
                )
            else:
                still.append(waiting)
                effects.append(ev.WakeAt(waiting.deadline_ms))
        self._waiting = still

    def _answer_wants(self, effects: list[ev.Effect]) -> None:
        for view in self.peers.linked():
            if view.wants and covers_all(self.durable_vector, view.wants):
                answer = {o: self.durable_vector[o] for o in view.wants}
                view.wants = {}
                effects.append(ev.Send(view.name, vector_message(Kind.VECTOR, answer)))

    # -- peers ---------------------------------------------------------------------------------

    def _on_link_up(self, view: PeerView, effects: list[ev.Effect]) -> None:
        view.linked = True
        view.wants = {}
        hello = encode_message(
            Kind.HELLO, PROTOCOL_VERSION, self.store.origin, encode_flat(self.durable_vector)
        )
        effects.append(ev.Send(view.name, hello))

    def _on_payload(self, event: ev.PeerMessage, effects: list[ev.Effect]) -> None:
        if self.antientropy.joining:
            self._backlog.append(event)  # In order, after the join.
            return
        view = self.peers.view(event.name)
        try:
            message = view.assembler.feed(event.payload)
            if message is not None:
                self._on_message(view, message, effects)
        except RemoteProtocolError:
            self.rejected += 1

    def _on_message(self, view: PeerView, message: bytes, effects: list[ev.Effect]) -> None:
        if message[0] == Kind.PUSH:
            self._on_push(view, message[1:])
            return
        kind, fields = decode_message(message)
        match kind:
            case Kind.HELLO:
                self._on_hello(view, fields[1], fields[2], effects)
            case Kind.VECTOR:
                self._on_vector(view, fields[0], effects)
            case Kind.WANT:
                view.wants = {o: max(s, view.wants.get(o, 0)) for o, s in fields[0].items()}
                self._answer_wants(effects)
            case Kind.PULL | Kind.GROUPS | Kind.BUCKETS:
                effects.extend(self.antientropy.on_request(view, kind, fields))
            case _:
                effects.extend(self.antientropy.on_reply(view, kind, fields, self._now_ms))

    def _on_push(self, view: PeerView, data: bytes) -> None:
        frame = decode_frame(data)
        received = self.store.receive(frame, self._wall_ms)
        if received.own_future:
            self._doubt_identity()
        if received.held and view.pull_after_ms is None:
            view.vector = {**view.vector, frame.origin: frame.last}
            view.pull_after_ms = self._now_ms + PULL_DELAY_MS

    def _on_hello(
        self, view: PeerView, origin: int, vector: dict[int, int], effects: list[ev.Effect]
    ) -> None:
        if view.origin != origin:
            view.origin, view.vector = origin, {}
        self._check_identity(vector)
        self._identity_known = not self._identity_lost
        self._on_vector(view, vector, effects, at_once=True)

    def _on_vector(
        self,
        view: PeerView,
        vector: dict[int, int],
        effects: list[ev.Effect],
        *,
        at_once: bool = False,
    ) -> None:
        view.learn(vector)
        self._check_identity(vector)
        if covers_all(self.store.vector, view.vector):
            self._become_ready()
        elif view.pull_after_ms is None or at_once:
            view.pull_after_ms = self._now_ms + (0 if at_once else PULL_DELAY_MS)
            effects.append(ev.WakeAt(view.pull_after_ms))
        if at_once:
            effects.extend(self.antientropy.consider(self._now_ms))
        self._check_waiting(effects)

    def digest(self, wall_ms: int) -> bytes:
        """Return the digest of the durable state, for probes. Cost: O(1)."""
        return Digest.encode(self._digest_hash, self._root, wall_ms)

    def _hash_vector(self) -> None:
        flat = encode_flat(self.durable_vector)
        self._digest_hash = xxh3_64_intdigest(msgspec.msgpack.encode(flat))

    def _on_digest(self, view: PeerView, data: bytes, effects: list[ev.Effect]) -> None:
        digest = Digest.decode(data)
        if digest is None:
            return
        their_hash, their_root, their_wall_ms = digest
        view.offset_ms = their_wall_ms - self._wall_ms
        if their_hash == self._digest_hash:
            view.pull_after_ms = None if not self.antientropy.repair_due else self._now_ms
            self._become_ready()
            if their_root != self._root & ((1 << 64) - 1) and not self.antientropy.busy:
                # Equal vectors, other bytes: a bug, or one identity in two places.
                self.antientropy.repair_due = True
                view.pull_after_ms = self._now_ms
                effects.append(ev.WakeAt(self._now_ms))
        elif view.linked and self._now_ms - view.digest_vector_sent_ms >= 200:
            view.digest_vector_sent_ms = self._now_ms
            effects.append(ev.Send(view.name, vector_message(Kind.VECTOR, self.durable_vector)))

    # -- identity and readiness ----------------------------------------------------------------

    def _check_identity(self, vector: dict[int, int]) -> None:
        if vector.get(self.store.origin, 0) > self.store.vector.get(self.store.origin, 0):
            self._doubt_identity()

    def _doubt_identity(self) -> None:
        self._identity_known, self._identity_lost = False, True
        self.reason = "a peer knows later writes of this identity: it was rolled back or copied"

    def _become_ready(self) -> None:
        if not self.antientropy.repair_due:
            self.ready, self.reason = True, ""

    def _on_tick(self, effects: list[ev.Effect]) -> None:
        assert self._started_ms is not None
        age_ms = self._now_ms - self._started_ms
        if not self._identity_known and age_ms >= self.config.identity_check_ms:
            self._nobody_confirms()
        if not self.ready and (age_ms >= self.config.alone_ready_ms or self._is_alone()):
            if not self.peers.linked():
                self._become_ready()
            else:
                self.reason = "catching up"
        effects.extend(self.antientropy.consider(self._now_ms))
        self._check_waiting(effects)
        if not self.antientropy.joining:
            if self._identity_known:
                self.expiry.tick(self._wall_ms)
            self.store.index.trim(self.durable_revision, self._wall_ms)
        effects.append(ev.WakeAt(self._next_wake_ms()))

    def _is_alone(self) -> bool:
        return not (self.members.members.keys() - {self.config.name})

    def _nobody_confirms(self) -> None:
        """REP-3: nobody can be asked; what was synced is trusted after an orderly end."""
        if self._identity_lost:
            return
        if self.config.clean or self._is_alone() or self.store.origin not in self.store.vector:
            self._identity_known = True
        else:
            self._identity_lost = True
            self.reason = "the last life did not end in order and no peer answers"

    def _next_wake_ms(self) -> int:
        due = self.antientropy.next_due_ms()
        regular = self._now_ms + (200 if not self.ready or self._waiting else 1000)
        return regular if due is None else max(self._now_ms + 10, min(due, regular))

    # -- work in slices ------------------------------------------------------------------------

    def _on_again(self, work: str, effects: list[ev.Effect]) -> None:
        if work != "join":
            effects.extend(self.antientropy.serve_step(work.removeprefix("serve:")))
            return
        ended, more = self.antientropy.join_step(self._now_ms, self._wall_ms)
        effects.extend(more)
        if ended:
            self._become_ready()
            effects.append(ev.WakeAt(self._now_ms))

    def abandon(self) -> list[Any]:
        """Return every request that still waits; the storage has failed (REP-4)."""
        batch = self._in_flight
        requests = [request for request, _ in self._replies]
        requests += [request for request, *_ in self._wanted]
        if batch is not None:
            requests += [request for request, _ in batch.replies]
            requests += [request for request, *_ in batch.wanted]
        requests += [waiting.request for waiting in self._waiting]
        requests += [e.request for e in self._backlog if not isinstance(e, ev.PeerMessage)]
        return requests

    def check(self) -> None:
        """Assert what is redundant: for tests and the simulator. Cost: O(records)."""
        table = self.store.table
        assert covers_all(self.store.vector, self.durable_vector), "VEC-1"
        assert self._in_flight is None or not table.conflicts < 0, "TAB-1"


@final
class _Batch(msgspec.Struct, frozen=True):
    """What waits for the batch in flight."""

    first: int
    bodies: list[bytes]
    vector: dict[int, int]
    revision: int
    root: int
    replies: list[tuple[Any, Committed]]
    wanted: list[tuple[Any, Committed, int | str, int]]
    system_changed: bool
