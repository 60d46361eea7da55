"""With whom a member keeps a link: everybody in a small group, a few by hash in a large one.

Each member of a large group chooses `links_max // 2` others by rendezvous hashing, and is chosen
by as many on average, so that the links form a random graph with about `links_max` links a member:
connected with high probability, and of diameter about ln n / ln links_max. Nobody has to be asked,
and a member that comes or goes changes the choice of few.

Invariants:
    NBR-1  The choice depends on the names alone: not on their order, nor on chance or time.
    NBR-2  Up to `links_max` others, all are chosen; above, exactly `links_max // 2`.
"""

import hashlib
from collections.abc import Iterable

__all__ = ["choose_neighbours"]


def choose_neighbours(ours: str, members: Iterable[str], links_max: int) -> list[str]:
    """Return the members that `ours` links with.

    Args:
        members: The names of all others.

    Cost: O(members log members).
    """
    names = sorted(members)
    if len(names) <= links_max:
        return names
    salt = ours.encode() + b"\0"

    def weight(name: str) -> bytes:
        return hashlib.blake2b(salt + name.encode(), digest_size=8).digest()

    return sorted(names, key=weight)[: links_max // 2]
