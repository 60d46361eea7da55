"""Whether this replica may write under its identity, and whether it is ready to be read.

A disk that was rolled back would write dots that others know with other contents. So before its
first own write a replica hears from one peer how much that peer has of it; when nobody answers, an
orderly end of the last life is proof enough, and otherwise a new identity costs eight bytes. An
identity that was made at random in this very start needs nobody's word.

Source: algorithms research page, section 5 (riak_kv #679 and its fixes).

Invariants:
    REP-3  No own write before a peer has confirmed this identity, or nobody could be asked.
    REP-5  A new identity is taken only when nothing of the old one is undurable.
"""

from typing import final

from crdtstate.crdt.dots import Vector

__all__ = ["Standing"]


@final
class Standing:
    """Identity: unknown, confirmed, or lost and then asked for. Readiness and its reason."""

    __slots__ = ("asked", "confirmed", "entered", "lost", "ready", "reason")

    def __init__(self) -> None:
        self.confirmed = False
        self.lost = False
        self.asked = False
        self.entered = False  # The replica set has this identity.
        self.ready, self.reason = False, "starting"

    def confirm(self) -> None:
        """Somebody who would know says that this identity is ours to use, or nobody can."""
        self.confirmed = not self.lost

    def doubt(self, reason: str) -> None:
        """This identity must not be used again."""
        self.confirmed, self.lost, self.reason = False, True, reason

    def check(self, origin: int, own: Vector, theirs: Vector) -> None:
        """A peer told its vector: does it know later writes of ours than we do?"""
        if theirs.get(origin, 0) > own.get(origin, 0):
            self.doubt("a peer knows later writes of this identity: it was rolled back or copied")

    def taken(self) -> None:
        """A new identity is durable."""
        self.lost = self.asked = self.entered = False
        self.confirmed = True
        if self.ready:
            self.reason = ""

    def become_ready(self) -> None:
        """This replica has all that a peer had, or there is no peer."""
        self.ready, self.reason = True, ""
