"""Keys with a time to live: hidden at once on every replica, removed by one of them.

Readers compare with their own clock. The writer of the winning sibling removes the record when it
is due; any other replica does after a grace, should the writer be gone. Two removals are harmless,
and a concurrent refresh survives both, since a removal removes only what it observed.

Invariants:
    EXP-1  A tick looks at most at EXPIRIES_PER_TICK queue entries, whatever is stored.
"""

from typing import final

from crdtstate.crdt.codec import decode_record, register_dot
from crdtstate.crdt.record import LIFE, winner
from crdtstate.store.ports import Family
from crdtstate.store.store import Store
from crdtstate.store.views import life_of

__all__ = ["Expiry"]

EXPIRIES_PER_TICK = 256
GRACE_MS = 10_000


@final
class Expiry:
    """The expiry queue of one replica: storage keys (time, record id) in order of time."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def tick(self, wall_ms: int) -> int:
        """Remove what is due; return how many records went."""
        table = self._store.table
        stop = Family.EXPIRY + (wall_ms + 1).to_bytes(8, "big")
        due: list[bytes] = []
        for n, (key, _) in enumerate(table.storage.scan(Family.EXPIRY, stop), 1):
            if n > EXPIRIES_PER_TICK:
                break
            record_id = key[9:]
            data = table.get_encoded(record_id)
            life = life_of(data)
            gone = life is None or life.expires_ms is None or life.expires_ms > wall_ms
            overdue = int.from_bytes(key[1:9], "big") + GRACE_MS <= wall_ms
            if gone or overdue or self._is_mine(data or b""):
                table.write(key, None)
                if not gone:
                    due.append(record_id)
        return self._store.expire(due, wall_ms).changed if due else 0

    def _is_mine(self, data: bytes) -> bool:
        dot = register_dot(data) or winner(decode_record(data)[LIFE])[0]
        return dot[0] == self._store.origin
