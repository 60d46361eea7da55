"""The shared keys of a cluster: the first one seals, every one of them opens.

A key is replaced without a gap in three steps: `add` the new one on every peer, then `use` it on
every peer, then `remove` the old one on every peer.

Invariants:
    KEY-1  There is always at least one key, and the primary is one of them.
    KEY-2  No key is ever in a repr, a log line or an error's text; only its id is.
"""

import hashlib
from collections.abc import Sequence
from typing import final

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from gossip.errors import GossipError

KEY_BYTES = 32
KEY_ID_BYTES = 4


def key_id_of(key: bytes) -> bytes:
    """Return the name by which a key may be spoken of: 4 bytes of its BLAKE2b hash."""
    return hashlib.blake2b(key, digest_size=32, person=b"crdtstate-key-id").digest()[:4]


@final
class Keyring:
    """Between one and `KEYS_MAX` keys; the primary seals."""

    KEYS_MAX = 8

    def __init__(self, keys: Sequence[bytes]) -> None:
        if not keys:
            raise GossipError("keyring has 0 keys: at least 1 is needed")
        self._keys: dict[bytes, bytes] = {}
        for key in keys:
            self.add(key)
        self._primary = key_id_of(keys[0])

    def __repr__(self) -> str:
        return f"Keyring(primary={self._primary.hex()}, keys={len(self._keys)})"

    @property
    def primary(self) -> bytes:
        """The id of the key that seals."""
        return self._primary

    def ids(self) -> list[bytes]:
        """Return the ids of all keys, the primary first."""
        return [self._primary, *(kid for kid in self._keys if kid != self._primary)]

    def __contains__(self, key_id: object) -> bool:
        return key_id in self._keys

    def add(self, key: bytes) -> bytes:
        """Accept what is sealed with `key` from now on, and return its id; twice is harmless."""
        if len(key) != KEY_BYTES:
            raise GossipError(f"key has {len(key)} bytes: exactly {KEY_BYTES} are needed")
        key_id = key_id_of(key)
        if self._keys.get(key_id, key) != key:
            raise GossipError(f"key id {key_id.hex()} already names another key")
        if key_id not in self._keys and len(self._keys) >= self.KEYS_MAX:
            raise GossipError(f"keyring is full: {len(self._keys)} keys of {self.KEYS_MAX}")
        self._keys[key_id] = bytes(key)
        return key_id

    def use(self, key_id: bytes) -> None:
        """Seal with the key of this id from now on.

        Raises:
            GossipError: No such key; `add` it, on every peer, first.
        """
        if key_id not in self._keys:
            raise GossipError(f"key {key_id.hex()} is not in the keyring: add it first")
        self._primary = key_id

    def remove(self, key_id: bytes) -> None:
        """Stop accepting what is sealed with the key of this id.

        Raises:
            GossipError: It is the primary or the last key, or there is no such key.
        """
        if key_id not in self._keys:
            raise GossipError(f"key {key_id.hex()} is not in the keyring")
        if len(self._keys) == 1:
            raise GossipError(f"key {key_id.hex()} is the last one: it cannot be removed")
        if key_id == self._primary:
            raise GossipError(f"key {key_id.hex()} is the primary: use another one first")
        del self._keys[key_id]

    def derive(self, key_id: bytes, *, salt: bytes, info: bytes, size: int = 32) -> bytes:
        """Return `size` bytes that only holders of the key can know.

        Raises:
            KeyError: There is no key of this id.

        Source: HKDF with SHA-256, RFC 5869.
        Cost: about 10 us.
        """
        key = self._keys[key_id]
        return HKDF(algorithm=SHA256(), length=size, salt=salt, info=info).derive(key)
