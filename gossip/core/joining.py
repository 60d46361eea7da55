"""First contact: addresses that may belong to members are asked until somebody answers.

Invariants:
    JOIN-1  Nothing is asked again once any other member is known.
"""

from typing import final

from gossip.core import effects as fx
from gossip.core.group import Address, Group

__all__ = ["Joining"]

ADDRESSES_MAX = 64


@final
class Joining:
    """The addresses that have not answered; over ADDRESSES_MAX, the rest is asked once."""

    def __init__(self, group: Group) -> None:
        self._group = group
        self._waiting: dict[Address, tuple[int, int]] = {}  # -> (due, wait before the next)

    def ask(self, now_ms: int, address: Address, effects: list[fx.Effect]) -> None:
        """Introduce ourselves to an address now."""
        effects.append(self._group.join(address))
        if len(self._group.table) == 1 and len(self._waiting) < ADDRESSES_MAX:
            retry_ms = self._group.config.join_retry_ms
            self._waiting.setdefault(address, (now_ms + retry_ms, 2 * retry_ms))

    def advance(self, now_ms: int, effects: list[fx.Effect]) -> None:
        """Ask again where it is due (JOIN-1)."""
        if len(self._group.table) > 1:
            self._waiting.clear()
        for address, (due_ms, wait_ms) in self._waiting.items():
            if now_ms >= due_ms:
                wait_ms = min(wait_ms, self._group.config.join_retry_max_ms)
                self._waiting[address] = (now_ms + wait_ms, 2 * wait_ms)
                effects.append(self._group.join(address))

    def due_ms(self) -> list[int]:
        """Return when `advance` has something to do."""
        return [due_ms for due_ms, _ in self._waiting.values()]
