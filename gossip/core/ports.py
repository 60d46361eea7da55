"""What gossip asks of the application above it, and offers to it. Payloads are bytes throughout.

Source: the delegate idea of memberlist; `Application` is its narrow form.
"""

import enum
from dataclasses import dataclass
from typing import Protocol, final

__all__ = ["Application", "Liveness", "Member"]


class Liveness(enum.IntEnum):
    """What the group believes of a member; the order is the precedence at equal incarnation."""

    ALIVE = 0
    SUSPECT = 1
    DEAD = 2
    LEFT = 3


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """One entry of the membership table; a lattice value ordered by (incarnation, liveness)."""

    name: str
    host: str
    port: int
    incarnation: int
    liveness: Liveness
    metadata: bytes = b""  # Opaque to gossip, at most METADATA_BYTES_MAX.


class Application(Protocol):
    """The state above. All calls come from the event loop's thread and must not block."""

    def digest(self) -> bytes:
        """Return at most 64 bytes that summarise the state; they ride on every probe and ack."""

    def on_digest(self, name: str, digest: bytes) -> None:
        """A probe or an ack of member `name` carried `digest`."""

    def on_member(self, member: Member) -> None:
        """A member is new, or its liveness, address or metadata changed."""

    def on_link_up(self, name: str) -> None:
        """An authenticated stream with `name` is open."""

    def on_link_down(self, name: str, reason: str) -> None:
        """That stream is gone; whatever was in flight may be lost."""

    def on_message(self, name: str, payload: bytes) -> None:
        """One payload arrived, in order, on the stream with `name`."""
