"""The bounds of everything that a client may send. DESIGN section 8; all configurable.

Over a bound: an error that names the thing, the limit and the value. Bounds hold where writes
enter, never where transactions from peers arrive, since a replica that refuses those diverges.
"""

import re
from typing import final

import msgspec

from crdtstate.errors import InvalidError, TooLargeError

__all__ = ["Limits", "check_key", "check_value"]

_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


@final
class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """Raising one costs memory in every peer; the formats themselves allow 64 MiB."""

    key_bytes_max: int = 1024
    value_bytes_max: int = 1 << 20
    transaction_bytes_max: int = 4 << 20
    operations_max: int = 1_000
    path_depth_max: int = 64
    set_element_bytes_max: int = 1024


def check_key(key: str, limits: Limits) -> bytes:
    """Return the key's bytes.

    Raises: InvalidError for an empty key or control characters, TooLargeError.
    """
    try:
        encoded = key.encode()
    except UnicodeEncodeError as error:
        raise InvalidError(f"key is not valid UTF-8: {error}", code="invalid_key") from error
    if len(encoded) > limits.key_bytes_max:
        raise TooLargeError(
            f"key is {len(encoded)} bytes, over key_bytes_max={limits.key_bytes_max}",
            code="key_too_long",
            limit=limits.key_bytes_max,
            value=len(encoded),
        )
    if not encoded:
        raise InvalidError("key is empty", code="invalid_key")
    if _CONTROL.search(key):
        raise InvalidError(
            f"key {key!r} holds a control character (U+0000 to U+001F, U+007F)",
            code="invalid_key",
        )
    return encoded


def check_value(size: int, limits: Limits) -> None:
    """Raise TooLargeError when a value of `size` bytes is over the limit."""
    if size > limits.value_bytes_max:
        raise TooLargeError(
            f"value is {size} bytes, over value_bytes_max={limits.value_bytes_max}",
            limit=limits.value_bytes_max,
            value=size,
        )
