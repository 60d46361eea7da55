"""One peer as a single state machine: intents, pushes, pulls, durability, in one order.

    step(now_ms, wall_ms, input) -> effects

The open batch collects everything that arrives while the last one is being made durable (group
commit); replies, pushes and notices of a batch are effects of the `Durable` that reports it.

Invariants:
    REP-1  No dot leaves the process before it is durable: Reply, Send of a push and
           RevisionDurable of a batch come only after its Durable.
    REP-2  At most one batch is in flight; while a join is being written, none is closed.
    REP-4  A request that cannot be kept is answered with a reason; none is dropped.
"""

from collections import deque
from collections.abc import Callable
from typing import Any, final

import msgspec

from crdtstate.crdt.dots import covers_all
from crdtstate.errors import CrdtstateError, NotFoundError, StorageError, UnavailableError
from crdtstate.replica import events as ev
from crdtstate.replica.antientropy import AntiEntropy
from crdtstate.replica.batches import Batch, Wanted
from crdtstate.replica.conversation import Conversation
from crdtstate.replica.expiry import Expiry
from crdtstate.replica.membership import MemberRecord, ReplicaSet, announce, retire
from crdtstate.replica.messages import Kind
from crdtstate.replica.peers import CLOCK_OFFSET_MS_MAX, Peers
from crdtstate.replica.shown import Shown
from crdtstate.replica.spreading import PUSH_ALL_MAX, choose_targets
from crdtstate.replica.standing import Standing
from crdtstate.replica.waiting import Waiters
from crdtstate.store.ports import Storage
from crdtstate.store.store import Committed, Store, StoreConfig

# A batch is closed after the driver has come round so often, each time having read what arrived:
# clients whose writes were just acknowledged write again at once, and share one sync. Measured: a
# fifth more puts at 64 clients than closing at once, and no difference for one (bench/README.md).
CLOSE_ROUNDS = 4

__all__ = ["Replica", "ReplicaConfig"]


@final
class ReplicaConfig(msgspec.Struct, frozen=True, kw_only=True):
    """Knobs of one replica."""

    name: str
    api: str = ""  # Where this peer's API is, as others are told.
    clean: bool = True  # The last life ended in order.
    new_identity: bool = False  # Made just now, at random: nobody can know later writes of it.
    store: StoreConfig = StoreConfig()
    identity_check_ms: int = 1_500  # How long the first write waits for a peer's word.
    alone_ready_ms: int = 3_000  # With no peer linked for so long, this replica is ready.
    backlog_max: int = 10_000
    push_bytes_max: int = 56 << 10
    message_bytes_max: int = 64 << 20


@final
class Replica:
    """The state machine. `storage` is read here; it is written only through Persist."""

    def __init__(self, storage: Storage, origin: int, config: ReplicaConfig) -> None:
        self.config = config
        self.gossip = ""  # Where this peer's gossip is, as others are told: known once it is bound.
        self.store = store = Store(storage, origin, config.store)
        self.peers = Peers(config.message_bytes_max)
        self.members = ReplicaSet()
        self.members.load(storage)
        store.resolve_member = self.members.origin_of
        self.shown = Shown(dict(store.vector), store.index.revision, store.table.fingerprint.root)
        self.standing = Standing()
        self.waiters = Waiters(config.name, store, self.members, self.peers, self.shown)
        self.antientropy = AntiEntropy(store, self.peers, self.shown)
        self.conversation = Conversation(
            store, self.peers, self.antientropy, self.shown, self.standing, self.waiters,
            self.members,
        )  # fmt: skip
        self.expiry = Expiry(store)
        self._started_ms: int | None = None
        self._in_flight: Batch | None = None
        self._rounds = 0  # How often the driver comes back until the open batch is closed.
        self._replies: list[tuple[Any, Committed]] = []
        self._wanted: list[Wanted] = []
        self._backlog: deque[ev.Submit | ev.Forget | ev.PeerMessage] = deque()
        self._now_ms = self._wall_ms = 0
        # A table, not a match: msgspec's instance checks cost more than some of the inputs.
        self._takers: dict[type, Callable[[Any, list[ev.Effect]], None]] = {
            ev.Submit: self._submit_or_queue,
            ev.Forget: self._submit_or_queue,
            ev.PeerMessage: self._take_payload,
            ev.Durable: self._on_durable,
            ev.DigestSeen: self._on_digest,
            ev.Tick: self._on_tick,
            ev.Again: self._on_again,
            ev.Wait: self._on_wait,
            ev.LinkUp: self._on_link_up,
            ev.LinkDown: self._on_link_down,
            ev.IdentityTaken: self._on_identity,
        }
        if config.new_identity:
            self.standing.confirm()

    @property
    def committing(self) -> bool:
        """Whether a batch is on its way to the disk, so that storage may be ahead of `shown`."""
        return self._in_flight is not None

    # -- the one mutating method ---------------------------------------------------------------

    def step(self, now_ms: int, wall_ms: int, event: ev.Input) -> list[ev.Effect]:
        """Take one input. Raises: StorageError, then only `abandon`. Cost: as the input's size."""
        self._now_ms, self._wall_ms = now_ms, wall_ms
        if self._started_ms is None:
            self._started_ms = now_ms
        effects: list[ev.Effect] = []
        self._takers[type(event)](event, effects)
        if not self.antientropy.joining:
            self._settle(effects)
        return effects

    def _on_digest(self, event: ev.DigestSeen, effects: list[ev.Effect]) -> None:
        effects += self.conversation.digest(event.name, event.digest, self._now_ms, self._wall_ms)

    def _on_wait(self, event: ev.Wait, effects: list[ev.Effect]) -> None:
        self.waiters.add(event.request, event.vector, event.replicas, event.deadline_ms, None)
        effects += self.waiters.ask(event.vector)
        effects += self.waiters.check(self._now_ms)

    def _on_link_up(self, event: ev.LinkUp, effects: list[ev.Effect]) -> None:
        effects += self.conversation.link_up(event.name)

    def _on_link_down(self, event: ev.LinkDown, _effects: list[ev.Effect]) -> None:
        self.conversation.link_down(event.name)

    def _on_identity(self, event: ev.IdentityTaken, _effects: list[ev.Effect]) -> None:
        self.store.adopt_origin(event.origin)
        self.standing.taken()

    def _take_payload(self, event: ev.PeerMessage, effects: list[ev.Effect]) -> None:
        if self.antientropy.joining:
            self._backlog.append(event)  # In order, after the join.
        else:
            effects += self.conversation.payload(event, self._now_ms, self._wall_ms)

    def _settle(self, effects: list[ev.Effect]) -> None:
        """Do what waited for an identity or for the end of a join, then close the batch."""
        standing = self.standing
        if standing.is_to_enter(self._now_ms):
            self._enter_replica_set()
        if self._backlog:
            self._drain_backlog(effects)
        idle = self._in_flight is None and self.store.is_quiet
        if standing.lost and not standing.asked and idle:  # REP-5
            standing.asked = True
            effects.append(ev.NewIdentity(standing.reason))
        has_open = bool(len(self.store.table) or self._replies or self._wanted)
        if has_open and self._in_flight is None and not self._rounds:
            self._rounds = CLOSE_ROUNDS
            effects.append(ev.RunAgain("close"))

    def _drain_backlog(self, effects: list[ev.Effect]) -> None:
        """Take again what was queued; what still has to wait is queued again, in order."""
        for _ in range(len(self._backlog)):
            event = self._backlog.popleft()
            if type(event) is ev.PeerMessage:
                self._take_payload(event, effects)
            else:
                self._submit_or_queue(event, effects)

    # -- writes --------------------------------------------------------------------------------

    def _submit_or_queue(self, event: ev.Submit | ev.Forget, effects: list[ev.Effect]) -> None:
        if self.standing.confirmed and not self.antientropy.joining:
            self._submit(event, effects)
        elif len(self._backlog) < self.config.backlog_max:
            self._backlog.append(event)
        else:
            error = UnavailableError(
                f"{len(self._backlog)} requests wait, over backlog_max={self.config.backlog_max}",
                code="overloaded",
                limit=self.config.backlog_max,
                value=len(self._backlog),
            )
            effects.append(ev.Reply(event.request, error))

    def _submit(self, event: ev.Submit | ev.Forget, effects: list[ev.Effect]) -> None:
        try:
            self._check_clock()
            if type(event) is ev.Forget:
                self._replies.append((event.request, self._forget(event.name)))
                return
            committed = self.store.submit(event.operations, event.preconditions, self._wall_ms)
        except StorageError:
            # What is half done stays so: `abandon` is all that is left.
            self._backlog.append(event)
            raise
        except CrdtstateError as error:
            effects.append(ev.Reply(event.request, error))
            return
        if event.replicas == 1:
            self._replies.append((event.request, committed))
        else:
            self._wanted.append((event.request, committed, event.replicas, event.deadline_ms))

    @property
    def clock_offset_ms(self) -> int | None:
        """The median of the peers' clocks minus ours, as of the last step; None below three."""
        return self.peers.clock_offset_ms(self._now_ms, self._wall_ms)

    def _check_clock(self) -> None:
        offset = self.clock_offset_ms
        if offset is not None and abs(offset) > CLOCK_OFFSET_MS_MAX:
            raise UnavailableError(
                f"this peer's clock is {-offset} ms from the median of its peers, over "
                f"{CLOCK_OFFSET_MS_MAX} ms: it refuses own writes and serves reads",
                code="clock_skew",
                limit=CLOCK_OFFSET_MS_MAX,
                value=-offset,
            )

    def _forget(self, name: str) -> Committed:
        member = self.members.members.get(name)
        if member is None or name == self.config.name:
            raise NotFoundError(
                f"there is no other member {name!r}", code="no_such_member", name=name
            )
        seq = self.store.vector.get(int(member.origin, 16), 0)
        record = MemberRecord(name, member.origin, member.api, seq)
        return self.store.submit_system(retire(record), self._wall_ms)

    def _enter_replica_set(self) -> None:
        me, origin = self.config, f"{self.store.origin:016x}"
        mine = MemberRecord(me.name, origin, me.api, gossip=self.gossip)
        missing = not self.members.shows(mine)
        if missing:
            self.store.submit_system([announce(mine)], self._wall_ms)
        self.standing.entered(self._now_ms, again=missing)

    # -- durability ----------------------------------------------------------------------------

    def _close_batch(self, effects: list[ev.Effect]) -> None:
        if not len(self.store.table):
            if self._replies or self._wanted:  # Nothing had to change, and all is durable.
                replies, wanted = self._replies, self._wanted
                self._replies, self._wanted = [], []
                self._release(replies, wanted, effects)
            return
        store = self.store
        first, bodies = store.take_outbox()
        batch = store.close_batch()
        self._in_flight = Batch(
            first, bodies, dict(store.vector), store.index.revision,
            store.table.fingerprint.root, self._replies, self._wanted,
            *store.table.take_changed(), self.conversation.take_forwards(),
        )  # fmt: skip
        self._replies, self._wanted = [], []
        effects.append(ev.Persist(batch))

    def _on_durable(self, _event: ev.Durable, effects: list[ev.Effect]) -> None:
        batch = self._in_flight
        assert batch is not None, "REP-2"
        self._in_flight = None
        self.store.batch_durable()
        self.shown.update(batch.vector, batch.revision, batch.root, batch.objects_changed)
        if batch.system_changed:
            self._reload_members(effects)
        self._push(batch, effects)
        self._release(batch.replies, batch.wanted, effects)
        effects.append(ev.RevisionDurable())
        effects += self.waiters.answer_wants()
        effects += self.waiters.check(self._now_ms)

    def _push(self, batch: Batch, effects: list[ev.Effect]) -> None:
        """Push the batch's own transactions, and in a large cluster also on what was news."""
        frames = batch.frames(self.store.origin, self.config.push_bytes_max)
        pushes = [(self.config.name, bytes((Kind.PUSH,)) + frame) for frame in frames]
        members = len(self.members.members)
        if members <= PUSH_ALL_MAX:
            effects += [ev.Send(None, message) for _, message in pushes]
            return
        linked = [view.name for view in self.peers.linked()]
        for sender, message in pushes + batch.forwards:
            salt = self.config.name.encode() + message[:64]
            names = choose_targets(linked, members, salt, but=sender)
            effects += [ev.Send(name, message) for name in names]

    def _release(
        self,
        replies: list[tuple[Any, Committed]],
        wanted: list[Wanted],
        effects: list[ev.Effect],
    ) -> None:
        me, origin = (self.config.name,), self.store.origin
        effects += [ev.Reply(request, ev.Outcome(done, me)) for request, done in replies]
        last = 0
        for request, committed, replicas, deadline_ms in wanted:
            seq = committed.seq or self.shown.vector.get(origin, 0)
            own = {origin: seq} if seq else {}
            self.waiters.add(request, own, replicas, deadline_ms, committed)
            last = max(last, seq)
        if wanted:
            effects += self.waiters.ask({origin: last} if last else {})
            effects += self.waiters.check(self._now_ms)

    def _reload_members(self, effects: list[ev.Effect]) -> None:
        before = set(self.members.retired)
        self.members.load(self.store.table.storage)
        for name in sorted(self.members.retired.keys() - before):
            self.peers.drop(name)
            if name != self.config.name:
                effects.append(ev.Forgotten(name))

    # -- time and work in slices ---------------------------------------------------------------

    def _on_tick(self, _event: ev.Tick, effects: list[ev.Effect]) -> None:
        age_ms = self._now_ms - (self._started_ms or 0)
        standing = self.standing
        if not standing.confirmed and age_ms >= self.config.identity_check_ms:
            self._nobody_confirms()
        if not standing.ready and (self._is_alone() or age_ms >= self.config.alone_ready_ms):
            if not self.peers.linked():
                standing.become_ready()
            elif not standing.lost:
                standing.reason = "catching up"
        effects += self.antientropy.consider(self._now_ms)
        effects += self.waiters.check(self._now_ms)
        if not self.antientropy.joining:
            if standing.confirmed:
                self.expiry.tick(self._wall_ms)
            self.store.drop_stale_held(self._wall_ms)
            self.store.index.trim(self.shown.revision, self._wall_ms)
        effects.append(ev.WakeAt(self._next_wake_ms()))

    def _is_alone(self) -> bool:
        return not (self.members.members.keys() - {self.config.name})

    def _nobody_confirms(self) -> None:
        if self.standing.lost:
            return
        if self.config.clean or self._is_alone() or self.store.origin not in self.store.vector:
            self.standing.confirm()
        else:
            why = "the last life did not end in order and no peer can say how it ended"
            self.standing.doubt(why)

    def _next_wake_ms(self) -> int:
        trimming = self.store.index.entries > self.config.store.event_entries_max
        soon = not self.standing.ready or not self.standing.confirmed
        regular = self._now_ms + (20 if trimming else 200 if soon else 1000)
        due = self.antientropy.next_due_ms()
        return regular if due is None else max(self._now_ms + 10, min(due, regular))

    def _on_again(self, event: ev.Again, effects: list[ev.Effect]) -> None:
        match event.work:
            case "close":
                self._on_close(effects)
            case "drain":
                effects += self.conversation.drain_step(self._wall_ms)
            case "join":
                ended, more = self.antientropy.join_step(self._now_ms, self._wall_ms)
                effects += more
                if ended:
                    self.standing.become_ready()
                    effects.append(ev.WakeAt(self._now_ms))
            case work:
                effects += self.antientropy.serve_step(work.removeprefix("serve:"))

    def _on_close(self, effects: list[ev.Effect]) -> None:
        """One round has passed since the open batch began to wait for company."""
        if not self._rounds or self._in_flight is not None or self.antientropy.joining:
            self._rounds = 0
            return
        self._rounds -= 1
        if self._rounds:
            effects.append(ev.RunAgain("close"))
        else:
            self._close_batch(effects)

    # -- for the driver, tests and the simulator -----------------------------------------------

    def abandon(self) -> list[Any]:
        """Return every request that still waits: the storage has failed (REP-4)."""
        batch = self._in_flight
        requests = [request for request, *_ in (*self._replies, *self._wanted)]
        if batch is not None:
            requests += [request for request, _ in batch.replies]
            requests += [request for request, *_ in batch.wanted]
        requests += self.waiters.abandon()
        requests += [e.request for e in self._backlog if not isinstance(e, ev.PeerMessage)]
        return requests

    def check(self) -> None:
        """Assert what can be told without a walk over the records. Cost: O(origins)."""
        assert covers_all(self.store.vector, self.shown.vector), "REP-1"
        assert self.store.table.conflicts >= 0, "TAB-1"
        assert self.store.index.log_floor <= self.store.index.revision, "IDX-2"
