"""Whom to push to: everybody in a small cluster, a few in a large one, who push on what is new.

Source: epidemic push with a fan-out of ceil(ln n) + 1 (DESIGN section 3); who was missed pulls.

Invariants:
    SPR-1  What is pushed on is durable here, so the sender of a push always has it (REP-1).
"""

from collections.abc import Iterable
from math import ceil, log

from xxhash import xxh3_64_intdigest

__all__ = ["PUSH_ALL_MAX", "choose_targets"]

PUSH_ALL_MAX = 16


def choose_targets(
    linked: Iterable[str], members: int, salt: bytes, but: str | None = None
) -> list[str]:
    """Return to whom a push goes; above PUSH_ALL_MAX members as random as the hash of `salt`.

    Cost: O(linked).
    """
    others = [name for name in linked if name != but]
    count = ceil(log(members)) + 1
    return sorted(others, key=lambda name: xxh3_64_intdigest(salt + name.encode()))[:count]
