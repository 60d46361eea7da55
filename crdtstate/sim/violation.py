"""A broken promise, with the name of the invariant."""

from typing import final

__all__ = ["Violation", "require"]


@final
class Violation(Exception):
    """What was promised did not hold."""

    def __init__(self, invariant: str, message: str) -> None:
        super().__init__(f"{invariant}: {message}")
        self.invariant = invariant


def require(holds: bool, invariant: str, message: str) -> None:
    """Raise unless it holds. Raises: Violation."""
    if not holds:
        raise Violation(invariant, message)
