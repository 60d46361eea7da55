"""Own puts of plain registers: those that follow each other share one transaction.

A transaction is what the other replicas decode, apply and index, so a group of puts costs them a
fraction of what the puts alone would. It takes requests of whoever sent them, as long as their keys
differ and nothing else happens in between; each of them is a batch's guest anyway, durable and
acknowledged with it. The first thing that is no such put settles the transaction; until then its
dot is in nobody's vector, its own replica's included.

Invariants:
    PUT-1  Nothing enters the vector while a transaction is open: its past is that of all its puts.
    PUT-2  A request that settles a transaction leaves none open: vector and table agree after it.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, final

from crdtstate.crdt.codec import register_prefix
from crdtstate.crdt.dots import Dot
from crdtstate.store import operations as ops
from crdtstate.store.plain import Plan, plan_puts, read_puts
from crdtstate.store.transaction import join_body

if TYPE_CHECKING:
    from crdtstate.store.store import Store

__all__ = ["Committed", "Puts"]

OPEN_BYTES_MAX = 24 << 10  # One message carries it, and no put waits for the sake of many.


@final
class Committed(NamedTuple):
    """What a submitted intent became; `seq` is None when nothing had to change."""

    seq: int | None
    revision: int
    changed: int
    results: list[Any]


@final
class _Open:
    """The open transaction: puts of one replica under one dot."""

    __slots__ = ("changes", "dot", "past", "prefix", "size", "stamp", "touched", "wall_ms")

    def __init__(self, dot: Dot, stamp: int, wall_ms: int) -> None:
        self.dot, self.stamp, self.wall_ms = dot, stamp, wall_ms
        self.past: dict[int, int] = {}
        self.prefix = register_prefix(dot, stamp)
        self.changes: list[bytes] = []
        self.touched: dict[bytes, None] = {}
        self.size = 0

    def has_room(self, wanted: dict[bytes, bytes]) -> bool:
        """Whether these puts may join: none of their keys is here, and it does not grow large."""
        size = sum(map(len, wanted.values()))
        return self.size + size <= OPEN_BYTES_MAX and self.touched.keys().isdisjoint(wanted)

    def add(self, plan: Plan) -> None:
        """Take a request in."""
        self.changes += plan.changes
        for record_id in plan.touched:
            self.touched[record_id] = None
        self.size += sum(map(len, plan.changes))


@final
class Puts:
    """The open transaction of one store, if there is one."""

    def __init__(self, store: "Store") -> None:
        self._store = store
        self._open: _Open | None = None

    @property
    def is_open(self) -> bool:
        """Whether a transaction is open."""
        return self._open is not None

    def submit(self, operations: Sequence[ops.Intent], wall_ms: int) -> Committed | None:
        """Commit a request of plain puts; None: nothing is done, the general way has to."""
        store = self._store
        wanted = read_puts(operations, store.config.limits)
        if wanted is None:
            return None
        fits = self._open is None or self._open.has_room(wanted)
        if not fits:
            self.settle()
        into = self._open
        if into is None:
            dot = (store.origin, store.vector.get(store.origin, 0) + 1)
            into = _Open(dot, store.clock.next(wall_ms), wall_ms)
        plan = plan_puts(store.table, into.prefix, wanted)
        if plan is None:
            return None
        if not plan.changes:
            revision = store.index.revision + self.is_open
            return Committed(None, revision, 0, plan.results)
        if self._open is None:
            store.clock.tick(wall_ms)
            into.past = store.take_news()
            self._open = into
        into.add(plan)
        store.table.put_registers(plan.rows)
        for row in plan.settled:
            store.table.put_encoded(*row)
        if store.touched_during_join is not None:
            store.touched_during_join.update(dict.fromkeys(plan.touched))
        if not fits:  # PUT-2
            self.settle()
        revision = store.index.revision + self.is_open
        return Committed(into.dot[1], revision, len(plan.changes), plan.results)

    def settle(self) -> None:
        """End the open transaction: it is in the vector from now on (PUT-1)."""
        opened, self._open = self._open, None
        if opened is not None:
            store = self._store
            body = join_body(opened.stamp, opened.past, len(opened.changes), opened.changes)
            store.enter(opened.dot[1], body)
            store.index.record(opened.dot, list(opened.touched), [], opened.wall_ms)
