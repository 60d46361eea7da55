"""Planted bugs of what replicas tell each other: pushes, pulls, repairs, vectors, digests."""

from collections.abc import Iterable
from typing import Any

from crdtstate.crdt.codec import decode_record
from crdtstate.daemon.driver import Driver
from crdtstate.replica import antientropy, waiting
from crdtstate.replica import events as ev
from crdtstate.replica.antientropy import AntiEntropy
from crdtstate.replica.conversation import Conversation
from crdtstate.replica.machine import Replica
from crdtstate.replica.messages import Kind, vector_message
from crdtstate.replica.peers import Peers, PeerView
from crdtstate.replica.standing import Standing
from crdtstate.store.catchup import Joiner
from crdtstate.store.index import Index, read_vector
from crdtstate.store.parts import End
from crdtstate.store.store import Store
from tests.zoo.bugs import HISTORIES, REPAIRS, Patch, bug

_MACHINE = "tests.crdtstate.replica.test_machine"


@bug(tight=True)
def the_target_is_read_at_the_end(patch: Patch) -> None:
    """A pull ends with the vector of now, not with that of what was read [CAT-2; P-b4]."""
    step = AntiEntropy.serve_step
    encode = antientropy._encode_item
    current: list[Store] = []

    def late(serving: Any, item: Any) -> bytes:
        if isinstance(item, End) and item.buckets is None:
            item = End(read_vector(current[-1].table.storage), None)
        return encode(serving, item)

    def remembered(self: AntiEntropy, name: str) -> list[ev.Effect]:
        current[:] = [self._store]
        return step(self, name)

    patch.setattr(AntiEntropy, "serve_step", remembered)
    patch.setattr(antientropy, "_encode_item", late)


@bug(test=f"{_MACHINE}_histories:test_a_part_that_was_lost_is_not_taken_for_a_removal")
def a_lost_part_is_accepted(patch: Patch) -> None:
    """The end of a session is believed although a part was dropped on the way [AE-2; P-a2]."""
    on_reply = AntiEntropy.on_reply

    def credulous(self: AntiEntropy, view: PeerView, kind: int, fields: Any, now_ms: int) -> Any:
        if kind == Kind.END and self._session is not None:
            fields[3] = self._session.parts
        return on_reply(self, view, kind, fields, now_ms)

    patch.setattr(AntiEntropy, "on_reply", credulous)


@bug(tight=True)
def writes_go_on_during_a_join(patch: Patch) -> None:
    """Pushes and requests change the store while a join is being written [AE-1]."""
    step = Replica.step

    def careless(self: Any, *args: Any) -> list[ev.Effect]:
        held = self.antientropy._session
        applying = held is not None and held.applying
        if applying and type(args[2]) in (ev.PeerMessage, ev.Submit):
            held.applying = False
            try:
                return step(self, *args)
            finally:
                held.applying = True
        return step(self, *args)

    patch.setattr(Replica, "step", careless)


@bug(tight=True)
def a_batch_closes_in_the_middle_of_a_join(patch: Patch) -> None:
    """Half of a catch-up becomes durable and is shown [REP-2; P-g4]."""
    on_again = Replica._on_again

    def hasty(self: Replica, event: ev.Again, effects: list[ev.Effect]) -> None:
        on_again(self, event, effects)
        if self.antientropy.joining and self._in_flight is None and len(self.store.table):
            self._close_batch(effects)

    patch.setattr(Replica, "_on_again", hasty)


@bug()
def what_was_pulled_is_not_named(patch: Patch) -> None:
    """A write after a pull does not name what the pull brought [STR-1]."""
    learn = Store.learn

    def forgetful(self: Store, *args: Any) -> None:
        before = dict(self._news)
        learn(self, *args)
        self._news = before

    patch.setattr(Store, "learn", forgetful)


@bug(REPAIRS)
def a_repair_takes_their_state(patch: Patch) -> None:
    """A repair replaces what is here by what the other has: live records are lost [P-b2]."""
    join = Joiner._join

    def replacing(self: Joiner, record_id: bytes, theirs: Any, target: Any) -> Any:
        if self._base is None:
            return join(self, record_id, theirs, target)
        data = self._records.get(record_id, theirs[0])
        return data or b"", decode_record(data) if data else None

    patch.setattr(Joiner, "_join", replacing)


@bug(HISTORIES)
def held_ones_are_never_drained(patch: Patch) -> None:
    """What waited for its past is not applied when the past has come [P-g2]."""
    patch.setattr(Store, "drain", lambda *_: (0, False))


@bug(tight=True, loss=0.3, rate=3.0)
def what_is_held_has_no_bound(patch: Patch) -> None:
    """Every transaction that comes too early is kept [STR-3]."""
    hold = Store._hold

    def unbounded(self: Any, transaction: Any, wall_ms: int) -> None:
        count, self.held_count = self.held_count, -(1 << 30)
        hold(self, transaction, wall_ms)
        self.held_count += count + (1 << 30)

    patch.setattr(Store, "_hold", unbounded)


@bug()
def a_gap_is_accepted(patch: Patch) -> None:
    """A push is applied although its origin's previous transaction is missing [P-a6, P-b6]."""
    ready, record = Store._is_ready, Index.record

    def gaps(self: Store, transaction: Any) -> bool:
        origin, seq = transaction.dot
        known = self.vector.get(origin, 0)
        if seq <= known:
            return ready(self, transaction)
        self.vector[origin] = seq - 1
        try:
            return ready(self, transaction)
        finally:
            self.vector[origin] = known

    def jump(self: Index, dot: Any, *args: Any) -> None:
        self.vector[dot[0]] = dot[1] - 1
        record(self, dot, *args)

    patch.setattr(Store, "_is_ready", gaps)
    patch.setattr(Index, "record", jump)


@bug()
def the_digest_is_of_the_open_batch(patch: Patch) -> None:
    """Probes carry a digest of what is in memory [REP-1]."""

    def digest(self: Driver) -> bytes:
        shown, store = self.replica.shown, self.replica.store
        kept = shown.vector, shown.revision, shown.root
        shown.update(dict(store.vector), kept[1], store.table.fingerprint.root)
        data = shown.digest(self.wall_ms())
        shown.update(*kept)
        return data

    patch.setattr(Driver, "digest", digest)


@bug()
def a_push_is_confirmed_before_it_is_durable(patch: Patch) -> None:
    """A peer that is asked (w=2) says that it has what it has only in memory [REP-1]."""

    def eager(self: Conversation, *args: Any) -> list[ev.Effect]:
        effects = push(self, *args)
        vector = vector_message(Kind.VECTOR, dict(self._store.vector))
        return [*effects, ev.Send(args[0].name, vector)]

    push = Conversation._push
    patch.setattr(Conversation, "_push", eager)


@bug()
def who_is_linked_counts_as_having_it(patch: Patch) -> None:
    """w=2 is answered when it was sent to two [WTG-1]."""

    def having(self: Peers, _vector: Any, names: Iterable[str]) -> list[str]:
        linked = {view.name for view in self.linked()}
        return [name for name in names if name in linked]

    patch.setattr(Peers, "having", having)


@bug(test=f"{_MACHINE}:test_who_comes_back_with_an_empty_disk_counts_once_it_has_caught_up")
def a_wiped_peer_is_taken_for_what_it_was(patch: Patch) -> None:
    """What a peer had under an earlier identity is believed of the next one [PEER-1]."""

    def meet(self: PeerView, origin: int) -> None:
        self.origin = origin

    patch.setattr(PeerView, "meet", meet)


@bug(kill_every_s=4.0, cut_every_s=8.0, peers=2, clients=4, rate=3.0)
def the_first_write_waits_for_a_peer(patch: Patch) -> None:
    """After an unclean end nothing is written before a peer has confirmed the identity [AVL-1]."""
    patch.setattr(Replica, "_nobody_confirms", lambda _: None)


@bug(wipe_every_s=20.0)
def a_new_identity_is_not_announced(patch: Patch) -> None:
    """The replica set keeps the identity that a member gave up [REP-5, REP-6]."""
    is_to_enter = Standing.is_to_enter

    def once(self: Standing, now_ms: int) -> bool:
        return not self._enter_ms and is_to_enter(self, now_ms)

    def taken(self: Standing) -> None:
        self.lost = self.asked = False
        self.confirmed = True

    patch.setattr(Standing, "is_to_enter", once)
    patch.setattr(Standing, "taken", taken)


@bug()
def who_waits_is_never_told(patch: Patch) -> None:
    """A write with w=2 is not answered at its deadline: its request waits for ever [WTG-1]."""
    check = waiting.Waiters.check

    def patient(self: waiting.Waiters, now_ms: int) -> list[ev.Effect]:
        return check(self, min(now_ms, 0))

    patch.setattr(waiting.Waiters, "check", patient)


@bug(tight=True)
def requests_of_a_busy_replica_are_dropped(patch: Patch) -> None:
    """What was queued while a join was written, or before a peer's word, is forgotten [REP-4]."""

    def drain(self: Replica, _effects: list[ev.Effect]) -> None:
        if self.standing.confirmed:
            self._backlog.clear()

    patch.setattr(Replica, "_drain_backlog", drain)


@bug()
def nobody_pulls(patch: Patch) -> None:
    """Pushes are all there is: what was lost on the way stays lost [dst no anti-entropy]."""
    patch.setattr(AntiEntropy, "consider", lambda *_: [])
