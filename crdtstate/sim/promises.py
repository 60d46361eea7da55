"""What a peer promises step by step beside its state: every request answered, true claims about
others, sane clocks, nothing removed before its time, bounded buffers.

Invariants (checked here, of the shipping code):
    REP-4  Every request is answered; at the end none is left.
    WTG-1  Who is named as having something has it on its disk.
    REP-1  A probe's digest is of a state that was durable.
    HLC-2  No stamp is further ahead than AHEAD_MS_MAX of what its host's clock ever said.
    EXP-1  Expiry removes only what has expired by the clock of who removes it.
    SMX-3  No link buffers more than it may.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, final

from crdtstate.crdt.clock import AHEAD_MS_MAX, stamp_ms
from crdtstate.crdt.dots import Vector, covers_all
from crdtstate.replica import events as ev
from crdtstate.replica.machine import Replica
from crdtstate.sim.violation import Violation, require
from crdtstate.storage.memory import MemoryStorage
from crdtstate.store.index import read_vector
from crdtstate.store.views import life_of
from gossip import PAYLOAD_BYTES_MAX

if TYPE_CHECKING:
    from crdtstate.sim.world import Host, World

__all__ = ["Promises"]


@final
class Promises:
    """Watches every life of one world."""

    def __init__(self, world: "World") -> None:
        self._world = world
        self.waiting: dict[str, dict[Any, tuple[float, ev.Input]]] = {}
        self._shown: dict[int, None] = {}  # Hashes of every vector that was durable somewhere.
        self._wall_ms: dict[int, int] = {}  # By origin, the latest that its host's clock said.

    def watch(self, host: "Host", replica: Replica) -> None:
        """Look at what goes into and comes out of a new life."""
        self._watch_stamps(host, replica)
        self._watch_expiry(host, replica)
        step, waiting = replica.step, self.waiting.setdefault(host.name, {})
        waiting.clear()
        self._shown[replica.shown.vector_hash] = None

        def observed(now_ms: int, wall_ms: int, event: ev.Input) -> list[ev.Effect]:
            origin = replica.store.origin
            self._wall_ms[origin] = max(wall_ms, self._wall_ms.get(origin, 0))
            if isinstance(event, ev.Submit | ev.Wait | ev.Forget):
                waiting[event.request] = self._world.loop.time(), event
            effects = step(now_ms, wall_ms, event)
            self._shown[replica.shown.vector_hash] = None
            try:
                if type(event) is ev.DigestSeen:
                    self._check_digest(host, event)
                self._check_effects(host, replica, waiting, effects)
            except Violation as violation:
                self._world.checkers.fail(violation)
            return effects

        setattr(replica, "step", observed)  # noqa: B010 - a hook of no use outside a simulation.

    # -- claims --------------------------------------------------------------------------------

    def _check_digest(self, host: "Host", event: ev.DigestSeen) -> None:
        told = int.from_bytes(event.digest[:8], "big")
        require(
            told in self._shown, "REP-1",
            f"{event.name} told {host.name} the digest of a state that was never durable",
        )  # fmt: skip

    def _check_effects(
        self, host: "Host", replica: Replica, waiting: Any, effects: Sequence[ev.Effect]
    ) -> None:
        for effect in effects:
            if type(effect) is not ev.Reply:
                continue
            _, event = waiting.pop(effect.request, (0.0, None))
            if type(effect.outcome) is not ev.Outcome:
                continue
            committed, origin = effect.outcome.committed, replica.store.origin
            if type(event) is ev.Wait:
                self._check_have(host, replica, event.vector, effect.outcome.have)
            elif committed is not None and committed.seq is not None:
                vector = {origin: committed.seq}
                self._check_have(host, replica, vector, effect.outcome.have)

    def _check_have(
        self, host: "Host", replica: Replica, vector: Vector, names: Sequence[str]
    ) -> None:
        for other in self._world.hosts:
            if other.name not in names or other is host or other.gone:
                continue
            # Of a disk that was lost a peer may not have heard yet; then it is another origin, at
            # the latest once the host starts again.
            if not other.disk.moved and replica.peers.view(other.name).origin == other.disk.origin:
                has = read_vector(MemoryStorage(other.disk.database))
                what = f"{host.name} says that {other.name} has {vector}, which has {has}"
                require(covers_all(has, vector), "WTG-1", what)

    def check_buffers(self, host: "Host") -> None:
        """SMX-3."""
        if host.peer is not None:
            mesh = host.peer.mesh
            most = mesh._config.stream.out_buffer_bytes_max + 2 * PAYLOAD_BYTES_MAX
            for name, stream in mesh._links._streams.items():
                size = stream.buffered_bytes()
                require(size <= most, "SMX-3", f"{host.name} buffers {size} bytes for {name}")

    # -- time ----------------------------------------------------------------------------------

    def _watch_stamps(self, host: "Host", replica: Replica) -> None:
        clock, tick = replica.store.clock, replica.store.clock.tick
        disk = host.disk

        def observed(wall_ms: int) -> int:
            stamp = tick(wall_ms)
            said = [self._wall_ms.get(origin, 0) for origin in (disk.origin, *disk.previous)]
            ahead_ms = stamp_ms(stamp) - max(wall_ms, *said)
            if ahead_ms > AHEAD_MS_MAX + 1:
                what = f"{host.name} stamps {ahead_ms} ms ahead of its own clock"
                self._world.checkers.fail(Violation("HLC-2", what))
            return stamp

        replica.store.clock = _Observed(clock, observed)  # type: ignore[assignment]

    def _watch_expiry(self, host: "Host", replica: Replica) -> None:
        store = replica.store
        expire = store.expire

        def observed(record_ids: Sequence[bytes], wall_ms: int) -> Any:
            early = {}
            for record_id in record_ids:
                life = life_of(store.table.get_encoded(record_id))
                if life is not None and (life.expires_ms is None or life.expires_ms > wall_ms):
                    early[record_id] = life
            done = expire(record_ids, wall_ms)
            for record_id, life in early.items():
                if life_of(store.table.get_encoded(record_id)) is None:
                    what = f"{host.name} removed {record_id!r} at {wall_ms}, due {life.expires_ms}"
                    self._world.checkers.fail(Violation("EXP-1", what))
            return done

        setattr(store, "expire", observed)  # noqa: B010 - the same.


@final
class _Observed:
    """A hybrid clock (which has slots) whose stamps are looked at."""

    def __init__(self, clock: Any, tick: Any) -> None:
        self._clock, self.tick = clock, tick
        self.absorb, self.next = clock.absorb, clock.next

    @property
    def last(self) -> int:
        """As the clock has it."""
        return int(self._clock.last)
