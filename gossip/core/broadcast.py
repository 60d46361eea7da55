"""Updates about members, each sent a limited number of times, freshest first, under a byte budget.

Source: [DGM02] section 4.1, infection-style dissemination by piggybacking.

Invariants:
    BRO-1  At most one update per member is queued: the newest.
    BRO-2  An update is taken at most retransmit_mult * ceil(log10(n + 1)) times.
"""

import math
from typing import final

from gossip.core.wire import Update, update_bytes

__all__ = ["BroadcastQueue"]


@final
class BroadcastQueue:
    """The queue of one member."""

    def __init__(self, retransmit_mult: int) -> None:
        self._mult = retransmit_mult
        self._queued: dict[str, tuple[int, Update]] = {}  # name -> times taken, update

    def __len__(self) -> int:
        return len(self._queued)

    def push(self, update: Update) -> None:
        """Queue an update; it replaces an older one of the same member (BRO-1)."""
        self._queued[update.member.name] = (0, update)

    def drop(self, name: str) -> None:
        """Send nothing more about this name."""
        self._queued.pop(name, None)

    def clear(self) -> None:
        """Send nothing more: there is nobody to tell."""
        self._queued.clear()

    def take(self, budget_bytes: int, members: int, *, to: str) -> list[Update]:
        """Return updates for one packet, least sent first. Cost: O(queued log queued).

        Args:
            members: How many are to learn of it.
            to: Who gets the packet; it needs no news of itself.
        """
        limit = self._mult * math.ceil(math.log10(members + 1))
        taken: list[Update] = []
        for name, (times, update) in sorted(
            self._queued.items(), key=lambda item: (item[1][0], item[0])
        ):
            size = update_bytes(update)
            if name != to:  # If it is, it knows: that counts as told.
                if size > budget_bytes:
                    continue
                budget_bytes -= size
                taken.append(update)
            if times + 1 >= limit:
                del self._queued[name]
            else:
                self._queued[name] = (times + 1, update)
        return taken
