"""What gossip raises: our own misuse, and what a remote peer did."""

__all__ = ["GossipError", "RemoteProtocolError"]


class GossipError(Exception):
    """The caller's mistake or the world's refusal; the text names the thing and the value."""


class RemoteProtocolError(GossipError):
    """A peer sent what no correct peer sends. Counted against it, never shown to a user."""
