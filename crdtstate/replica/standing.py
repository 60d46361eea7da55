"""Whether this replica may write under its identity, and whether it is ready to be read.

A disk that was rolled back would write dots that others know with other contents. So before its
first own write a replica hears from one peer how much that peer has of it; when nobody answers, an
orderly end of the last life is proof enough, and otherwise a new identity costs eight bytes. An
identity that was made at random in this very start needs nobody's word.

Source: algorithms research page, section 5 (riak_kv #679 and its fixes).

Invariants:
    REP-3  No own write before a peer has confirmed this identity, or nobody could be asked.
    REP-5  A new identity is taken only when nothing of the old one is undurable.
    REP-6  Who writes is, sooner or later, a member under the identity that it writes with: an
           earlier life of its name, whose clock was ahead, may have won, and is written over. Of
           two living processes of one name neither gives way, so the wait doubles each time.
"""

from typing import final

from crdtstate.crdt.dots import Vector

__all__ = ["Standing"]

_ENTER_MS_MIN, _ENTER_MS_MAX = 1_000, 3_600_000


@final
class Standing:
    """Identity: unknown, confirmed, or lost and then asked for. Readiness and its reason."""

    __slots__ = ("_enter_ms", "_enter_wait_ms", "asked", "confirmed", "lost", "ready", "reason")

    def __init__(self) -> None:
        self.confirmed = False
        self.lost = False
        self.asked = False
        self._enter_ms, self._enter_wait_ms = 0, _ENTER_MS_MIN
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
        self.lost = self.asked = False
        self.confirmed, self._enter_ms = True, 0
        if self.ready:
            self.reason = ""

    def is_to_enter(self, now_ms: int) -> bool:
        """Whether it is time to look whether the replica set has this identity."""
        return self.confirmed and now_ms >= self._enter_ms

    def entered(self, now_ms: int, *, again: bool) -> None:
        """The replica set has it, or was told `again` just now (REP-6)."""
        self._enter_ms = now_ms + self._enter_wait_ms
        if again:
            self._enter_wait_ms = min(2 * self._enter_wait_ms, _ENTER_MS_MAX)

    def become_ready(self) -> None:
        """This replica has all that a peer had, or there is no peer."""
        self.ready, self.reason = True, ""
