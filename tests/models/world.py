"""Stores that write, push, pull, repair, trim, expire, crash and are wiped; checked at each step.

`schedule(rng)` plays one random history on tiny domains, where everything meets everything. After
every step the table of the replica that moved must be what the oracle says of its vector, and what
is kept beside the table must be what one computes from it. The choices come from `rng` alone, so a
seed, or hypothesis's random, names a history.
"""

from contextlib import suppress
from random import Random

from crdtstate.crdt.codec import decode_record, encode_record
from crdtstate.crdt.dots import Dot, covers
from crdtstate.crdt.record import LIFE, Path, Record
from crdtstate.errors import CrdtstateError
from crdtstate.replica.expiry import Expiry
from crdtstate.sim.oracle import Oracle
from crdtstate.storage.memory import MemoryDisk, MemoryStorage
from crdtstate.store import catchup
from crdtstate.store import operations as ops
from crdtstate.store.catchup import BelowFloor, Joiner, serve_pull, serve_repair
from crdtstate.store.conflicts import holds_conflict, is_readable
from crdtstate.store.fingerprint import print_of
from crdtstate.store.parts import End
from crdtstate.store.ports import Family, Snapshot
from crdtstate.store.store import Store, StoreConfig
from crdtstate.store.transaction import (
    Transaction,
    decode_frame,
    encode_frame,
    split_record_id,
)
from crdtstate.store.views import life_of
from tests.models.drawing import some_operation
from tests.models.small import small_slices, small_steps

WALL_MS = 1_700_000_000_000


class Peer:
    """One store, its disk, and what it has not yet pushed."""

    def __init__(self, name: str, number: int, config: StoreConfig) -> None:
        self.name, self.config = name, config
        self.origin = (1 << 63) | (number << 16)
        self.storage = MemoryStorage(MemoryDisk())
        self.store = self._open()
        self.pending: list[tuple[int, int]] = []  # own dots that are not durable
        self.wall_offset_ms = 0

    def _open(self) -> Store:
        return Store(self.storage, self.origin, self.config)

    def crash(self) -> list[tuple[int, int]]:
        """Lose what is not durable; return the own dots that never were."""
        lost, self.pending = self.pending, []
        self.storage = MemoryStorage(self.storage.disk)
        self.store = self._open()
        return lost

    def wipe(self) -> list[tuple[int, int]]:
        """Come back with an empty disk and another identity."""
        self.storage = MemoryStorage(MemoryDisk())
        self.origin += 1
        return self.crash()

    def make_durable(self) -> list[bytes]:
        """End the batch; return frames of the own transactions in it."""
        first, bodies = self.store.take_outbox()
        batch = self.store.close_batch()
        self.storage.write(batch)
        self.store.batch_durable()
        self.pending = []
        if not bodies:
            return []
        half = len(bodies) // 2
        parts = [(first, bodies[:half]), (first + half, bodies[half:])]
        return [encode_frame(self.origin, at, some) for at, some in parts if some]

    def records(self) -> dict[bytes, bytes]:
        """Return the table as the writer sees it, with the vector that goes with it."""
        self.store.settle()
        table = self.store.table
        found = {key[1:]: value for key, value in self.storage.scan(b"r", b"s")}
        for layer in (table._in_flight, table._open):
            for key, value in layer.items():
                if key[:1] == b"r":
                    found[key[1:]] = value
        return {record_id: data for record_id, data in found.items() if data}


class World:
    """All peers, the wire between them, and the oracle."""

    settling = 0.7
    """How often a check ends an open transaction first; else it is put off."""

    def __init__(self, rng: Random, *, repair: bool, peers: int = 3) -> None:
        self.rng, self.repair = rng, repair
        config = StoreConfig(event_entries_max=4 if repair else 1 << 30)
        self.peers = [Peer(chr(97 + n), n + 1, config) for n in range(peers)]
        for peer in self.peers:
            self._introduce(peer)
        self.oracle = Oracle()
        self.wire: list[tuple[Peer, bytes]] = []
        self.now_ms = WALL_MS
        self.roots: dict[tuple[tuple[int, int], ...], int] = {}
        self.gone: set[int] = set()  # origins whose disks were wiped
        self.ended: dict[str, set[tuple[bytes, Path, Dot]]] = {}  # what each has held and no more
        self.held_before: dict[str, set[tuple[bytes, Path, Dot]]] = {}

    def _introduce(self, peer: Peer) -> None:
        enter = peer.store.enter

        def observed(seq: int, body: bytes) -> None:
            enter(seq, body)
            self._note_own(peer, seq, body)

        setattr(peer.store, "enter", observed)  # noqa: B010 - where all ways to commit meet.
        peer.store.resolve_member = lambda name: next(
            (p.origin for p in self.peers if p.name == name), None
        )

    def wall_ms(self, peer: Peer) -> int:
        """The peer's own idea of the time."""
        return self.now_ms + peer.wall_offset_ms

    # -- moves ---------------------------------------------------------------------------------

    def step(self) -> None:
        """Make one random move, and check who moved."""
        rng = self.rng
        peer = rng.choice(self.peers)
        roll = rng.random()
        self.now_ms += rng.choice((0, 1, 400))
        if roll < 0.42:
            self.write(peer)
        elif roll < 0.62 and self.wire:
            peer = self.deliver()
        elif roll < 0.76:
            self.flush(peer)
        elif roll < 0.90:
            self.pull(peer, rng.choice(self.peers))
        elif roll < 0.93:
            Expiry(peer.store).tick(self.wall_ms(peer))
        elif roll < 0.95:
            self.crash(peer)
        elif roll < 0.96:
            peer.wall_offset_ms = rng.choice((0, -1_000_000, 5_000_000_000))
        elif self.repair:
            self._repair_move(peer, roll)
        self.check(peer)

    def _repair_move(self, peer: Peer, roll: float) -> None:
        if roll < 0.985:
            revision = int.from_bytes(peer.storage.get(b"mr") or b"", "big")
            peer.store.index.trim(revision, self.wall_ms(peer))
        elif roll < 0.995:
            self.catch_up(peer, self.rng.choice(self.peers), repair=True)
        else:
            self.gone.add(peer.origin)
            self.forget_undurable(peer, peer.wipe())

    def crash(self, peer: Peer) -> None:
        """Kill one peer and start it again."""
        self.forget_undurable(peer, peer.crash())

    def forget_undurable(self, peer: Peer, lost: list[tuple[int, int]]) -> None:
        """The transactions in `lost` have never been."""
        self._introduce(peer)
        self.ended.pop(peer.name, None)
        self.held_before.pop(peer.name, None)
        for dot in lost:
            self.oracle.remove(dot)
        self.roots.clear()

    def write(self, peer: Peer) -> None:
        """Submit a random transaction; what is refused must change nothing."""
        operations = [some_operation(self.rng, self.peers) for _ in range(self.rng.randint(1, 3))]
        self.submit(peer, *operations)

    def submit(self, peer: Peer, *operations: ops.Operation) -> None:
        """Submit a transaction and tell the oracle."""
        with suppress(CrdtstateError):
            peer.store.submit(operations, [], self.wall_ms(peer))

    def _note_own(self, peer: Peer, seq: int, body: bytes) -> None:
        """Tell the oracle of an own transaction that is being committed."""
        assert seq == peer.store.vector.get(peer.origin, 0) + 1
        past = dict(peer.store.vector)
        transaction = decode_frame(encode_frame(peer.origin, seq, [body])).transaction(seq)
        self._check_intent(transaction, past)
        self.oracle.add(transaction, past)
        peer.pending.append((peer.origin, seq))

    def _check_intent(self, transaction: Transaction, past: dict[int, int]) -> None:
        """What no state can show: an update leaves the life cell alone, a new life is a new id."""
        before = self.oracle.state(past)
        for change in transaction.changes:
            if change.path != LIFE or change.value is None:
                continue
            there = before.get(change.record_id, {})
            is_register = change.value[:1] in (b"\0", b"\1")
            assert is_register or LIFE not in there, "REC-4: an update has touched the life cell"
            if not self.repair and LIFE not in there:
                earlier = self.oracle.records.get(change.record_id, ())
                ended = [s for s in earlier if s.path == LIFE and covers(past, s.dot)]
                assert not ended, "a life begins under the id of one that has ended"

    def flush(self, peer: Peer) -> None:
        """Make one peer's batch durable, and push to some of the others."""
        for frame in peer.make_durable():
            for other in self.peers:
                if other is not peer and self.rng.random() < 0.7:
                    self.wire.append((other, frame))

    def deliver(self) -> Peer:
        """Give one pushed frame to its receiver; sometimes it comes again."""
        peer, frame = self.wire.pop(self.rng.randrange(len(self.wire)))
        if self.rng.random() < 0.2:
            self.wire.append((peer, frame))
        peer.store.receive(decode_frame(frame), self.wall_ms(peer))
        return peer

    def pull(self, peer: Peer, source: Peer) -> None:
        """Pull from another peer, or be repaired when its index does not reach back."""
        if peer is not source:
            self.catch_up(peer, source, repair=False)

    def catch_up(self, peer: Peer, source: Peer, *, repair: bool, cut: bool | None = None) -> None:
        """Run one session; it may be cut at any part, and the peer may move meanwhile."""
        if peer is source:
            return
        served, base = source.storage.snapshot(), None
        try:
            if not repair:
                try:
                    items = [i for i in serve_pull(served, peer.store.vector) if i is not None]
                except BelowFloor:
                    assert self.repair, "repair is off and an index does not reach back"
                    repair = True
            if repair:
                base = peer.storage.snapshot()
                buckets = differing_buckets(served, base)
                items = [i for i in serve_repair(served, buckets) if i is not None]
        finally:
            served.close()
        joiner = Joiner(peer.store, bytes_max=1 << 20, base=base)
        self.meanwhile(peer)
        if cut is None:
            cut = self.rng.random() < 0.2
        for item in items:
            if isinstance(item, End):
                if not cut:
                    self._join(peer, joiner, item)
            else:
                joiner.stage(item)
                if cut and self.rng.random() < 0.5:
                    break
            self.meanwhile(peer)

    def _join(self, peer: Peer, joiner: Joiner, end: End) -> None:
        for _ in joiner.prepare(end):
            self.meanwhile(peer)
        self.meanwhile(peer)
        for _ in joiner.apply(end, self.wall_ms(peer)):
            pass
        assert not joiner.alarm, "CAT-4"

    def meanwhile(self, peer: Peer) -> None:
        """What may happen to a peer during a session of its own."""
        roll = self.rng.random()
        if roll < 0.15:
            self.write(peer)
        elif roll < 0.2:
            self.flush(peer)
        elif roll < 0.35 and (mine := [w for w in self.wire if w[0] is peer]):
            peer.store.receive(decode_frame(self.rng.choice(mine)[1]), self.wall_ms(peer))

    # -- checks --------------------------------------------------------------------------------

    def check(self, peer: Peer) -> None:
        """Compare one peer with the oracle, and what it keeps with what it keeps it about."""
        if self.rng.random() > self.settling:
            return  # Let the open transaction grow.
        peer.store.settle()
        store, found = peer.store, peer.records()
        wanted = self.oracle.state(store.vector)
        decoded = {record_id: decode_record(data) for record_id, data in found.items()}
        assert decoded == wanted, f"REC-3: {peer.name} differs from the oracle"
        for record_id, record in decoded.items():
            assert encode_record(record) == found[record_id], "COD-1"
        root = sum(print_of(record_id, data) for record_id, data in found.items()) % (1 << 128)
        assert root == store.table.fingerprint.root, "FPR-1"
        vector = tuple(sorted((o, s) for o, s in store.vector.items() if s))
        assert self.roots.setdefault(vector, root) == root, "equal vectors, unequal state"
        self._check_derived(peer, decoded)
        self._check_no_resurrection(peer, decoded)

    def _check_no_resurrection(self, peer: Peer, records: dict[bytes, Record]) -> None:
        """Laws 10 and 11: what is live is covered, and what has gone never comes back."""
        live = {
            (r, p, d) for r, cells in records.items() for p, cell in cells.items() for d in cell
        }
        assert all(covers(peer.store.vector, d) for _, _, d in live), "law 11"
        ended = self.ended.setdefault(peer.name, set())
        ended |= self.held_before.get(peer.name, set()) - live
        assert not live & ended, "law 10: a removed sibling is back"
        self.held_before[peer.name] = live

    def _check_derived(self, peer: Peer, records: dict[bytes, Record]) -> None:
        table = peer.store.table
        indexed = {
            record_id for record_id in self._ids(peer, records)
            if table.read(Family.CONFLICT + record_id) is not None
        }  # fmt: skip
        assert indexed == conflicting(records), "TAB-1: the index of conflicts"
        assert table.conflicts == len(indexed), "TAB-1: the number of conflicts"
        for record_id in records:
            key, incarnation = split_record_id(record_id)
            assert incarnation == 0 or (table.grave(key) or 0) >= incarnation - 1, "TAB-2"
        assert peer.store.held_count == sum(map(len, peer.store.held.values())) <= 4096, "STR-3"

        for key, data in peer.storage.scan(Family.RECORD, bytes((Family.RECORD[0] + 1,))):
            life = life_of(data)
            if life is not None and life.expires_ms is not None:
                due = Family.EXPIRY + life.expires_ms.to_bytes(8, "big")
                assert peer.storage.get(due + key[1:]) is not None, "STR-4"

    def _ids(self, peer: Peer, records: dict[bytes, Record]) -> set[bytes]:
        family = Family.CONFLICT
        found = {key[1:] for key, _ in peer.storage.scan(family, bytes((family[0] + 1,)))}
        return found | set(records) | set(self.oracle.records)

    def finish(self) -> None:
        """Let everybody meet: all become equal, and nothing is held."""
        self.settling = 1.0
        for _ in range(3):
            for peer in self.peers:
                self.flush(peer)
            for peer in self.peers:
                for source in self.peers:
                    self.catch_up(peer, source, repair=False, cut=False)
                    self.flush(peer)
                    self.check(peer)
        # Writes in the middle of the last sessions are still under way: meet once more, quietly.
        quiet = World.meanwhile
        try:
            World.meanwhile = lambda _self, _peer: None  # type: ignore[method-assign]
            for _ in range(3):
                for peer in self.peers:
                    for source in self.peers:
                        self.catch_up(peer, source, repair=False, cut=False)
                        self.flush(peer)
        finally:
            World.meanwhile = quiet  # type: ignore[method-assign]
        first, *rest = self.peers
        for peer in rest:
            assert peer.store.vector == first.store.vector, "vectors do not converge"
            assert peer.records() == first.records(), "states do not converge"
        for peer in self.peers:
            assert self.gone.issuperset(peer.store.held), "what a living origin wrote is held"
            peer.store.drop_stale_held(self.wall_ms(peer) + 100_000)
            assert peer.store.held_count == 0, "STR-3"


def conflicting(records: dict[bytes, Record]) -> set[bytes]:
    """Return the ids that hold a conflict: by value, by lost life, by two lives at once."""
    found = {r for r, record in records.items() if holds_conflict(record)}
    lives: dict[bytes, list[bytes]] = {}
    for record_id, record in records.items():
        if is_readable(record):
            lives.setdefault(split_record_id(record_id)[0], []).append(record_id)
    return found.union(*(ids for ids in lives.values() if len(ids) > 1))


def differing_buckets(theirs: Snapshot, mine: Snapshot) -> list[int]:
    """Return the buckets of two durable states that differ, as a repair finds them."""
    sums = []
    for snapshot in (theirs, mine):
        *_, last = catchup.read_buckets(snapshot)
        assert last is not None
        sums.append(last)
    return sorted(b for b in sums[0].keys() | sums[1].keys() if sums[0].get(b) != sums[1].get(b))


@small_steps()
def schedule(rng: Random, *, repair: bool, steps: int = 60, peers: int = 3) -> World:
    """Play one history to its end; raises AssertionError at the first thing that is wrong."""
    small_slices()
    world = World(rng, repair=repair, peers=peers)
    for _ in range(steps):
        world.step()
    world.finish()
    return world
