"""What one client has seen: the join of every causal token that peers gave it.

Invariants:
    CTK-1  What is kept never shrinks: it includes every token that was observed.
"""

from threading import Lock
from typing import final

from crdtstate.tokens import decode_token, encode_token

__all__ = ["KeptToken"]


@final
class KeptToken:
    """Everything that one client has seen. Threads may share it."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._text: str | None = None
        self._vector: dict[int, int] = {}

    @property
    def text(self) -> str | None:
        """The token, None before the first answer."""
        return self._text

    def observe(self, token: str) -> None:
        """Include `token`. Raises: InvalidError (code invalid_token). Cost: O(origins)."""
        if token == self._text:
            return
        vector = decode_token(token)
        with self._lock:
            joined = dict(self._vector)
            for origin, seq in vector.items():
                joined[origin] = max(joined.get(origin, 0), seq)
            if joined == self._vector:
                return
            # The common case, a newer token of the same peer, is kept as it came.
            self._text = token if joined == vector else encode_token(joined)
            self._vector = joined
