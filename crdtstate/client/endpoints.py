"""Where the peers are, which one was good last, and how many retries are left.

Source: the retry budget is that of Finagle and of gRPC's retry throttling: retries are paid for by
first tries, so that clients of a cluster in trouble send at most a tenth more than they would.

Invariants:
    END-1  Over any time, retries ≤ RETRY_BURST + first tries / 10.
"""

from collections.abc import Sequence
from threading import Lock
from typing import final
from urllib.parse import urlsplit

from crdtstate.errors import InvalidError

__all__ = ["Endpoints", "RetryBudget"]

RETRY_BURST = 10
_PER_RETRY = 10  # First tries that pay for one retry.


@final
class RetryBudget:
    """A bucket of retries that first tries fill. Threads may share it."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._tenths = RETRY_BURST * _PER_RETRY

    def deposit(self) -> None:
        """Count a first try."""
        with self._lock:
            self._tenths = min(self._tenths + 1, RETRY_BURST * _PER_RETRY)

    def withdraw(self) -> bool:
        """Pay for one retry; False when there is nothing left to pay with."""
        with self._lock:
            if self._tenths < _PER_RETRY:
                return False
            self._tenths -= _PER_RETRY
            return True


@final
class Endpoints:
    """Addresses of the peers in the order given, sticky to the last good one."""

    def __init__(self, given: str | Sequence[str]) -> None:
        """Take "127.0.0.1:7480", "http://host:port", several with commas, or a sequence of them.

        Raises: InvalidError (code invalid_parameter).
        """
        texts = given.split(",") if isinstance(given, str) else list(given)
        self.all: tuple[str, ...] = tuple(dict.fromkeys(_normal(text) for text in texts))
        if not self.all:
            raise InvalidError("no endpoint is given; 1 is needed", code="invalid_parameter")
        self._current = self.all[0]

    @property
    def current(self) -> str:
        """The endpoint to try first."""
        return self._current

    def next_of(self, tried: set[str]) -> str:
        """Return the best endpoint not tried yet, or the current one when all were."""
        start = self.all.index(self._current)
        for endpoint in self.all[start:] + self.all[:start]:
            if endpoint not in tried:
                return endpoint
        return self._current

    def failed(self, endpoint: str) -> None:
        """Stop starting with `endpoint`, if that is what is done now."""
        if endpoint == self._current:
            self._current = self.all[(self.all.index(endpoint) + 1) % len(self.all)]

    def answered(self, endpoint: str) -> None:
        """Start with `endpoint` from now on."""
        self._current = endpoint


def _normal(text: str) -> str:
    text = text.strip()
    try:
        parts = urlsplit(text if "://" in text else f"http://{text}")
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise InvalidError(f"endpoint {text!r}: {error}", code="invalid_parameter") from error
    if parts.scheme != "http" or not host or not port or parts.path not in ("", "/"):
        raise InvalidError(
            f"endpoint {text!r} is not host:port or http://host:port", code="invalid_parameter"
        )
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
