"""What a place gives: addresses for members, a way to start them there, and links that can be cut.

Members have two networks: one between members, which faults cut, and one to their clients, which
stays whole, as a client on the same side of a cut as its member has it.
"""

from collections.abc import Iterable
from typing import Protocol

MEMBERS_MAX = 3


class Place(Protocol):
    """One network of members, numbered from 0."""

    kind: str
    """In the report: how members are joined and how links are cut."""

    def client_address(self, member: int) -> tuple[str, int]:
        """Return where the member listens for clients."""

    def peer_address(self, member: int) -> tuple[str, int]:
        """Return where the member listens for other members."""

    def dial_address(self, member: int) -> tuple[str, int]:
        """Return where other members dial it."""

    def command(self, member: int, command: list[str]) -> list[str]:
        """Return the command that runs `command` where the member lives."""

    def started(self, member: int, pid: int) -> None:
        """A process of the member runs."""

    def cut(self, pairs: Iterable[tuple[int, int]]) -> None:
        """Let nothing more arrive from the first to the second of each pair, silently."""

    def heal(self) -> None:
        """Join all links again."""

    def bytes_sent(self) -> int:
        """Return the bytes that members have sent to each other, headers included if known."""

    def close(self) -> None:
        """Take it all down."""


def both_ways(pairs: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    """Return each link in both directions."""
    return [directed for a, b in pairs for directed in ((a, b), (b, a))]
