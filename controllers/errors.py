"""What a reconciler may raise on purpose. Anything else it raises is retried with back-off."""

__all__ = ["StaleError", "TerminalError", "UnwatchedError"]


class TerminalError(Exception):
    """Trying again will not help until the object changes: no retry."""


class StaleError(Exception):
    """What was read is not new enough to act on; tried again soon, and not counted as a failure."""


class UnwatchedError(LookupError):
    """A reconciler reads a kind that its controller has not declared; its registration is wrong."""
