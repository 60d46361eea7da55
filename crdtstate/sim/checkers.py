"""What must hold at every step of every replica, whatever is done to the world.

The specification is evaluated, not remembered: what a replica holds must be what `Oracle` says of
the transactions that its vector covers. Only records that a step touched are compared at the step;
all of them at a start, now and then, and at the end.

Invariants (checked here, of the shipping code):
    REC-3  A replica's state is the specification of what its vector covers.
    SEC    Equal vectors, equal fingerprints, over all replicas and all time.
    STR-1  Whoever has a transaction has all that its origin had seen.
    IDX-2  A revision of an identity names one state, over restarts.
    REP-1  No dot is seen at another replica before it is durable at its own.
    IDN-1  A dot names one transaction for ever.
    HLC-1  The stamps of an origin grow, over restarts and whatever its wall clock does.
    ACK    What was acknowledged is there after any crash, and on as many replicas as was said.
    VEC    A vector never shrinks within a life, and names no transaction that nobody committed.
    BND    Queues and tables stay within their bounds.
"""

import hashlib
from collections import Counter
from typing import TYPE_CHECKING, Any, final

from crdtstate.crdt.codec import decode_record
from crdtstate.crdt.dots import Dot, Vector, covers, covers_all, join_vectors
from crdtstate.replica import events as ev
from crdtstate.replica.machine import Replica
from crdtstate.sim.oracle import Oracle, Written
from crdtstate.sim.promises import Promises
from crdtstate.sim.violation import Violation, require
from crdtstate.storage.memory import MemoryStorage
from crdtstate.store.index import read_vector
from crdtstate.store.transaction import Transaction, decode_frame, encode_frame

if TYPE_CHECKING:
    from crdtstate.sim.world import Host, World

__all__ = ["Checkers", "Violation"]

_FULL_EVERY = 400  # Steps with a change, of one replica, between two looks at all of its records.


@final
class _View:
    """What one life of one replica must hold: live siblings by record, kept up with its vector."""

    def __init__(self, replica: Replica) -> None:
        self.replica = replica
        self.vector: Vector = {}
        self.alive: dict[bytes, list[Written]] = {}
        self.changes = 0


@final
class Checkers:
    """All checks of one world. `violation` is the first failure."""

    def __init__(self, world: "World") -> None:
        self._world = world
        self.oracle = Oracle()
        self.promises = Promises(world)
        self.views: dict[str, _View] = {}
        self.violation: Violation | None = None
        self.durable_at_owner: dict[int, int] = {}
        self.acked: dict[int, int] = {}
        self._fresh: dict[Dot, dict[bytes, list[Written]]] = {}
        self._roots: dict[tuple[tuple[int, int], ...], int] = {}
        self._seen_elsewhere: dict[int, int] = {}
        self._shown: dict[tuple[int, int], Vector] = {}
        self._root_of: dict[tuple[int, int], int] = {}
        self._committed_at: dict[Dot, float] = {}
        self._past: dict[Dot, Vector] = {}
        self._stamps: dict[Dot, int] = {}
        self._ever_durable: dict[str, Vector] = {}
        self._owner: dict[int, str] = {}
        self.counts: Counter[str] = Counter()
        self.digest = hashlib.blake2b(digest_size=12)

    def fail(self, violation: Violation) -> None:
        """Note a failure, once; the run ends at its next turn."""
        if self.violation is None:
            self.violation = violation
            self._world.story.tell("world", "violation", str(violation))

    def identity_taken(self, host: "Host", origin: int) -> None:
        """A host writes under a new identity from now on."""
        self._owner[origin] = host.name

    # -- lives ---------------------------------------------------------------------------------

    def booted(self, host: "Host", replica: Replica, *, fresh: bool) -> None:
        """A life begins on what its disk holds."""
        origin = replica.store.origin
        try:
            self._recovered(host, replica, fresh=fresh)
        except Violation as violation:
            self.fail(violation)
        self._watch_commits(replica)
        self._watch_steps(host, replica)
        self.promises.watch(host, replica)
        self.counts["recoveries"] += 1
        self._note("boot", host.name, origin, replica.shown.root)

    def _recovered(self, host: "Host", replica: Replica, *, fresh: bool) -> None:
        vector, origin = replica.store.vector, replica.store.origin
        view = self.views[host.name] = _View(replica)
        have = vector.get(origin, 0)
        if fresh:
            require(have == 0, "IDN-1", f"{host.name} starts as {origin:x}, which has {have} dots")
        acked = self.acked.get(origin, 0)
        require(have >= acked, "ACK", f"{host.name} lost {acked - have} acknowledged transactions")
        self._forget_lost(origin, have)
        self._advance(host, view, check=False)
        self.check_all(host)

    def _forget_lost(self, origin: int, have: int) -> None:
        """A crash took own transactions that were not durable: they never were."""
        seen = self._seen_elsewhere.get(origin, 0)
        lost = sorted(d for d in self._fresh if d[0] == origin and d[1] > have)
        for dot in lost:
            require(dot[1] > seen, "REP-1", f"dot {dot} was lost, and others have it")
            self.oracle.remove(dot)
            del self._fresh[dot]
        if lost:
            self._roots = {
                v: root for v, root in self._roots.items() if dict(v).get(origin, 0) <= have
            }
        self.durable_at_owner[origin] = have

    def died(self, host: "Host") -> None:
        """A life ended."""
        view = self.views.pop(host.name, None)
        if view is not None:
            view.alive = {}

    def durable(self, host: "Host") -> None:
        """A batch is on the disk of a host."""
        origin, reached = host.disk.origin, read_vector(MemoryStorage(host.disk.database))
        self.durable_at_owner[origin] = reached.get(origin, 0)
        self._ever_durable[host.name] = join_vectors(reached, self._ever_durable.get(host.name, {}))
        self.counts["batches"] += 1

    # -- commits and steps ---------------------------------------------------------------------

    def _watch_commits(self, replica: Replica) -> None:
        """Own transactions are taken where all ways to commit one meet."""
        store = replica.store
        enter = store.enter

        def observed(seq: int, body: bytes) -> None:
            enter(seq, body)
            self._committed(store.origin, seq, body, dict(store.vector))

        setattr(store, "enter", observed)  # noqa: B010 - a hook of no use outside a simulation.

    def _committed(self, origin: int, seq: int, body: bytes, past: Vector) -> None:
        try:
            frame = decode_frame(encode_frame(origin, seq, [body]))
            transaction: Transaction = frame.transaction(seq)
            dot = (origin, seq)
            require(dot not in self._fresh, "IDN-1", f"dot {dot} names two transactions")
            earlier = self._stamps.get((origin, seq - 1), 0)
            require(earlier < transaction.stamp, "HLC-1", f"{dot} is not later than the one before")
            self._stamps[dot] = transaction.stamp
            try:
                added = self.oracle.add(transaction, past)
            except AssertionError as error:
                raise Violation("PLN-1", str(error)) from error
            self._fresh[dot] = added
            self._past[dot] = past
            self._committed_at[dot] = self._world.loop.time()
            self.counts["transactions"] += 1
        except Violation as violation:
            self.fail(violation)

    def _watch_steps(self, host: "Host", replica: Replica) -> None:
        step, view = replica.step, self.views[host.name]

        def observed(now_ms: int, wall_ms: int, event: ev.Input) -> list[ev.Effect]:
            effects = step(now_ms, wall_ms, event)
            self.counts["steps"] += 1
            try:
                self._stepped(host, view, effects)
            except Violation as violation:
                self.fail(violation)
            return effects

        setattr(replica, "step", observed)  # noqa: B010 - the same.

    def _stepped(self, host: "Host", view: _View, effects: list[ev.Effect]) -> None:
        replica = view.replica
        for effect in effects:
            if type(effect) is ev.Reply and type(effect.outcome) is ev.Outcome:
                self._acknowledged(host, replica, effect.outcome)
        shown = replica.shown
        named = (replica.store.origin, shown.revision)
        self._shown.setdefault(named, shown.vector)
        first = self._root_of.setdefault(named, shown.root)  # A join may only add to the vector.
        require(first == shown.root, "IDX-2", f"{host.name}: {named} names two states")
        store = replica.store
        if replica.antientropy.joining or view.vector == store.vector or not store.is_settled:
            return  # Table and vector do not agree while a join or a transaction is open.
        view.changes += 1
        self._advance(host, view, check=True)
        if view.changes % _FULL_EVERY == 0:
            self.check_all(host)
        self._check_bounds(host, replica)

    def _acknowledged(self, host: "Host", replica: Replica, outcome: ev.Outcome) -> None:
        committed = outcome.committed
        if committed is None or committed.seq is None:
            return
        origin, seq = replica.store.origin, committed.seq
        self.counts["acknowledged"] += 1
        durable = self.durable_at_owner.get(origin, 0)
        require(seq <= durable, "REP-1", f"{host.name} acknowledged {seq}, durable is {durable}")
        self.acked[origin] = max(seq, self.acked.get(origin, 0))
        for name in outcome.have:
            known = self._ever_durable.get(name, {}).get(origin, 0)
            require(seq <= known, "ACK", f"{host.name} says that {name} has {(origin, seq)}")

    def _advance(self, host: "Host", view: _View, *, check: bool) -> None:
        """Follow the vector, and compare every record that what is new has touched."""
        replica = view.replica
        before, vector = view.vector, dict(replica.store.vector)
        own, touched = replica.store.origin, dict[bytes, None]()
        for origin, seq in before.items():
            now = vector.get(origin, 0)
            require(now >= seq, "VEC", f"{host.name} went back from {seq} to {now}")
        for origin in sorted(vector):
            first, last = before.get(origin, 0) + 1, vector[origin]
            if origin != own and last >= first:
                durable = self.durable_at_owner.get(origin, 0)
                require(last <= durable, "REP-1", f"{host.name} has dot {(origin, last)} early")
                self._seen_elsewhere[origin] = max(last, self._seen_elsewhere.get(origin, 0))
                if check:
                    sent_s, owner = self._committed_at[origin, last], self._owner[origin]
                    self._world.story.arrow(owner, host.name, sent_s, f"{owner}:{last}")
            for seq in range(first, last + 1):
                fresh = self._fresh.get((origin, seq))
                require(fresh is not None, "VEC", f"{host.name} claims {(origin, seq)}, of nobody")
                assert fresh is not None
                for record_id, siblings in fresh.items():
                    touched[record_id] = None
                    view.alive.setdefault(record_id, []).extend(siblings)
            if last >= first:
                past = self._past[origin, last]
                require(
                    covers_all(vector, past), "STR-1",
                    f"{host.name} has {(origin, last)}, and of its past {vector}, not {past}",
                )  # fmt: skip
        view.vector = vector
        for record_id in touched:
            self._compare(host, view, record_id, check=check)
        self._check_root(host, replica)

    def _compare(self, host: "Host", view: _View, record_id: bytes, *, check: bool) -> None:
        vector = view.vector
        alive = [s for s in view.alive[record_id] if not any(covers(vector, k) for k in s.killers)]
        view.alive[record_id] = alive
        if check:
            self.counts["comparisons"] += 1
            self._compare_record(host, view, record_id, alive)

    def _compare_record(
        self, host: "Host", view: _View, record_id: bytes, alive: list[Written]
    ) -> None:
        wanted: dict[Any, dict[Dot, tuple[int, bytes]]] = {}
        for s in alive:
            wanted.setdefault(s.path, {})[s.dot] = (s.stamp, s.value)
        data = view.replica.store.table.read(b"r" + record_id)
        held = decode_record(data) if data else {}
        if held != wanted:
            raise Violation(
                "REC-3", f"{host.name}: record {record_id!r} holds {held}, specified is {wanted}"
            )

    def _check_root(self, host: "Host", replica: Replica) -> None:
        vector = tuple(sorted((o, s) for o, s in replica.store.vector.items() if s))
        root = replica.store.table.fingerprint.root
        first = self._roots.setdefault(vector, root)
        require(first == root, "SEC", f"{host.name}: equal vectors, another fingerprint")
        self._note(host.name, root)

    def check_all(self, host: "Host") -> None:
        """Compare every record of a host."""
        view = self.views[host.name]
        for record_id, alive in view.alive.items():
            self._compare_record(host, view, record_id, alive)
        self.counts["full_checks"] += 1

    def _check_bounds(self, host: "Host", replica: Replica) -> None:
        store = replica.store
        held, most = store.held_count, store.config.held_max
        require(held <= most, "BND", f"{host.name} holds {held} transactions of at most {most}")
        self.promises.check_buffers(host)
        known = len(self._world.identities)
        require(len(store.vector) <= known, "BND", f"{len(store.vector)} origins of {known}")

    def vector_at(self, origin: int, revision: int) -> Vector | None:
        """Return the vector that an identity showed at a revision."""
        vector = self._shown.get((origin, revision))
        return None if vector is None else {o: s for o, s in vector.items() if s}

    # -- what was lost with a disk -------------------------------------------------------------

    def disk_lost(self, host: "Host") -> None:
        """A disk is wiped or replaced: what only it had is gone, and the operator knows."""
        self._world.forgotten.clear()  # That somebody was forgotten may be lost with it.
        others = [h.disk.database for h in self._world.hosts if h is not host and not h.gone]
        have = [read_vector(MemoryStorage(database)) for database in others]
        for origin, seq in self.acked.items():
            self.acked[origin] = min(seq, max((v.get(origin, 0) for v in have), default=0))

    def _note(self, *facts: object) -> None:
        self.digest.update(repr((facts, f"{self._world.loop.time():.6f}")).encode())
