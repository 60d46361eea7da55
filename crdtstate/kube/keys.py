"""Where objects live in the store: reserved keys that no client of plain keys can name.

    0x10 stored_as 0x01 namespace 0x01 name       an object
    0x11 …                                        an object of a kind that is forgotten within hours

A namespace is empty for what has none. All versions of a kind share `stored_as`, its group and
plural ("apps/deployments", "/configmaps").
"""

from typing import NamedTuple, final

from crdtstate.errors import InvalidError
from crdtstate.store.table import LASTING

__all__ = ["KEYS_FIRST", "KEYS_STOP", "ObjectKey", "decode_key"]

KEYS_FIRST, KEYS_STOP = LASTING, b"\x12"
_FLEETING_PREFIX = b"\x11"
FLEETING = frozenset({"/events", "events.k8s.io/events"})
_SEPARATOR = b"\x01"


@final
class ObjectKey(NamedTuple):
    """The place of an object; what is there may be one object after another."""

    stored_as: str
    namespace: str
    name: str

    def encode(self) -> bytes:
        """Return the store's key. Raises: InvalidError for control characters."""
        for part in self:
            if any(character < " " for character in part):
                raise InvalidError(f"{part!r} holds a control character", code="invalid_key")
        prefix = _FLEETING_PREFIX if self.stored_as in FLEETING else KEYS_FIRST
        return prefix + _SEPARATOR.join(part.encode() for part in self)

    @property
    def fleeting(self) -> bool:
        """Whether its kind lives for an hour, and its removals are not remembered."""
        return self.stored_as in FLEETING


def decode_key(key: bytes) -> ObjectKey | None:
    """Return the place that a store's key names, None when it names none."""
    if not KEYS_FIRST <= key < KEYS_STOP:
        return None
    parts = key[1:].decode().split("\x01")
    return ObjectKey(*parts) if len(parts) == 3 else None
