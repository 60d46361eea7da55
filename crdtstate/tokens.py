"""Causal tokens: a version vector as text, opaque to users, carried in every request and response.

    "1." + base64url without padding of canonical CBOR [origin, seq, origin, seq, …] by origin

Invariants:
    TOK-1  decode(encode(v)) == v, and `join_tokens` is the join of the vectors: commutative,
           associative, idempotent.
"""

from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Mapping

import cbor2

from crdtstate.errors import InvalidError

__all__ = ["decode_token", "encode_token", "join_tokens"]

_VERSION = "1."
_CHARACTERS_MAX = 1 << 16


def encode_token(vector: Mapping[int, int]) -> str:
    """Return the token of a vector. Cost: O(origins)."""
    flat: list[int] = []
    for origin in sorted(vector):
        flat += (origin, vector[origin])
    return _VERSION + urlsafe_b64encode(cbor2.dumps(flat)).rstrip(b"=").decode()


def decode_token(token: str) -> dict[int, int]:
    """Return the vector of a token. Raises: InvalidError (code invalid_token)."""
    try:
        if not token.startswith(_VERSION) or len(token) > _CHARACTERS_MAX:
            raise ValueError("unknown version or length")
        text = token[len(_VERSION) :].encode("ascii")
        flat = cbor2.loads(urlsafe_b64decode(text + b"=" * (-len(text) % 4)))
        if type(flat) is not list or len(flat) % 2:
            raise ValueError("not a list of pairs")
        if any(type(n) is not int or not 0 <= n < 1 << 64 for n in flat):
            raise ValueError("not integers of 64 bits")
        vector = {flat[i]: flat[i + 1] for i in range(0, len(flat), 2)}
        if encode_token(vector) != token:
            raise ValueError("not in canonical form")
    except (ValueError, cbor2.CBORError, RecursionError) as error:
        raise InvalidError(
            f"causal token {token[:40]!r} is not one that a peer gave: {error}",
            code="invalid_token",
        ) from error
    return vector


def join_tokens(a: str | None, b: str | None) -> str | None:
    """Return the least token that includes both; None is the empty one."""
    if not a or not b or a == b:
        return a or b
    left, right = decode_token(a), decode_token(b)
    for origin, seq in right.items():
        left[origin] = max(left.get(origin, 0), seq)
    return encode_token(left)


def name_lacking(lacking: Mapping[int, int]) -> str:
    """Return in words which entries are missing, the first few."""
    named = [f"{origin:016x} up to {seq}" for origin, seq in sorted(lacking.items())[:3]]
    more = len(lacking) - len(named)
    return ", ".join(named) + (f" and {more} origins more" if more else "")
