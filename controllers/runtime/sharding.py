"""Who acts on a key: rendezvous hashing over the members that are there.

No election, no lock: everyone computes the same owner from the same members. Where beliefs differ,
as on two sides of a cut, each side has an owner of its own, and both create the same objects.

Source: [TR98] Thaler and Ravishankar, "Using name-based mappings to increase hit rates" (1998).

Invariants:
    OWN-1  Of the members of one set, exactly one owns a key.
    OWN-2  A member that goes moves only the keys that it owned.
"""

import hashlib
from collections.abc import Iterable

__all__ = ["owner_of", "weight"]


def weight(member: str, key: str) -> bytes:
    """Return what a member bids for a key."""
    return hashlib.blake2b(f"{member}\0{key}".encode(), digest_size=8).digest()


def owner_of(key: str, members: Iterable[str]) -> str | None:
    """Return the member that acts on `key`, None when there is none. Cost: O(members)."""
    return max(members, key=lambda member: (weight(member, key), member), default=None)
