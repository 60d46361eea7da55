"""Names as functions of the owner: two peers that cannot talk give the same ones.

Invariants:
    NAM-1  The same owner and slot give the same name, on every peer, in every process.
"""

import hashlib
import json
from collections.abc import Iterator
from typing import Any

__all__ = ["content_hash", "pod_names", "slot_name"]

# As Kubernetes' rand.SafeEncodeString: no vowels, so that no word comes out.
_ALPHABET = "bcdfghjklmnpqrstvwxz2456789"
_PREFIX_MAX = 57  # With "-" and five characters a name is still a host name: 63.


def _encode(data: bytes, length: int) -> str:
    number = int.from_bytes(hashlib.blake2b(data, digest_size=16).digest(), "big")
    digits = []
    for _ in range(length):
        number, digit = divmod(number, len(_ALPHABET))
        digits.append(_ALPHABET[digit])
    return "".join(digits)


def content_hash(value: Any) -> str:
    """Return ten characters that stand for a JSON value; equal values have equal ones."""
    return _encode(json.dumps(value, sort_keys=True, separators=(",", ":")).encode(), 10)


def slot_name(owner: str, slot: str) -> str:
    """Return `owner-xxxxx`, where the suffix stands for the owner's whole name and the slot."""
    prefix = owner[:_PREFIX_MAX].rstrip("-.")
    return f"{prefix}-{_encode(f'{owner}/{slot}'.encode(), 5)}"


def pod_names(owner: str) -> Iterator[str]:
    """Yield names for slots 0, 1, 2, …, each name once."""
    given: set[str] = set()
    slot = 0
    while True:
        name = slot_name(owner, str(slot))
        slot += 1
        if name not in given:
            given.add(name)
            yield name
