"""Causal tokens as a client needs them: join what several peers gave, keep the result.

    "1." + base64url without padding of CBOR [origin, seq, origin, seq, …], by origin

Invariants:
    CTK-1  `join_tokens` is a join: commutative, associative, idempotent.
    CTK-2  What is kept never shrinks: it includes every token that was observed.
"""

from base64 import urlsafe_b64encode
from binascii import Error as Base64Error
from binascii import a2b_base64
from itertools import pairwise
from threading import Lock
from typing import final

import cbor2

from crdtstate.errors import InvalidError

__all__ = ["KeptToken", "join_tokens"]

_VERSION = "1."
_CHARACTERS_MAX = 1 << 16
_TO_STANDARD = bytes.maketrans(b"-_", b"+/")


def _decode(token: str) -> dict[int, int]:
    try:
        if not token.startswith(_VERSION) or len(token) > _CHARACTERS_MAX:
            raise ValueError("unknown version or length")
        text = token[len(_VERSION) :].encode("ascii")
        if b"+" in text or b"/" in text or b"=" in text:
            raise ValueError("not base64url without padding")
        padded = text.translate(_TO_STANDARD) + b"=" * (-len(text) % 4)
        flat = cbor2.loads(a2b_base64(padded, strict_mode=True) if text else b"")
        if type(flat) is not list or len(flat) % 2:
            raise ValueError("not a list of pairs")
        if any(type(n) is not int or not 0 <= n < 1 << 64 for n in flat):
            raise ValueError("not integers of 64 bits")
        origins = flat[::2]
        if any(left >= right for left, right in pairwise(origins)):
            raise ValueError("origins are not in order")
    except (ValueError, Base64Error, cbor2.CBORError, RecursionError) as error:
        raise InvalidError(
            f"causal token {token[:40]!r} is not one that a peer gave: {error}",
            code="invalid_token",
        ) from error
    return dict(zip(origins, flat[1::2], strict=True))


def _encode(vector: dict[int, int]) -> str:
    flat = [n for origin in sorted(vector) for n in (origin, vector[origin])]
    return _VERSION + urlsafe_b64encode(cbor2.dumps(flat)).rstrip(b"=").decode()


def _join(left: dict[int, int], right: dict[int, int]) -> dict[int, int]:
    # A missing entry and one of 0 say the same; both spellings are kept as they came.
    joined = dict(left)
    for origin, seq in right.items():
        joined[origin] = max(joined.get(origin, 0), seq)
    return joined


def join_tokens(a: str | None, b: str | None) -> str | None:
    """Return the least token that includes both; None is the empty one.

    Raises: InvalidError (code invalid_token).
    """
    left, right = _decode(a) if a else None, _decode(b) if b else None
    if left is None or right is None:
        return a or b
    return _encode(_join(left, right))


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
        vector = _decode(token)
        with self._lock:
            joined = _join(self._vector, vector)
            if joined == self._vector:
                return
            # The common case, a newer token of the same peer, is kept as it came.
            self._text = token if joined == vector else _encode(joined)
            self._vector = joined
