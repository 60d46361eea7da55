"""The sealed form of one datagram: who may read it, and why one was dropped.

    magic and version (1) | cluster (8) | key id (4) | salt (6) | counter (6) | sealed | tag (16)

The first 13 bytes are the associated data. Every process draws a salt at its start and derives
its own AES-256-GCM key from (cluster key, salt), so a nonce repeats only if two processes draw
the same 48 bits; with plain random nonces a busy cluster would have to rotate every month.

An envelope says nothing of freshness: a replayed datagram opens again. That is left to the
incarnations and sequence numbers within.

Invariants:
    ENV-1  `open` raises nothing, whatever the bytes are.
"""

import enum
import hashlib
from collections import OrderedDict
from typing import final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from gossip.net.keyring import KEY_ID_BYTES, Keyring

DATAGRAM_VERSION = 0xD1  # High nibble: a datagram of ours. Low nibble: version 1.
CLUSTER_BYTES = 8
SALT_BYTES = 6
COUNTER_BYTES = 6
TAG_BYTES = 16
HEADER_BYTES = 1 + CLUSTER_BYTES + KEY_ID_BYTES
OVERHEAD_BYTES = HEADER_BYTES + SALT_BYTES + COUNTER_BYTES + TAG_BYTES
CIPHERS_MAX = 4096  # Derived keys kept: one per sender process and cluster key.


class Rejection(enum.StrEnum):
    """Why a datagram or a connection was not ours; each is counted under its own name."""

    TOO_SHORT = "too_short"
    WRONG_VERSION = "wrong_version"
    WRONG_CLUSTER = "wrong_cluster"
    UNKNOWN_KEY = "unknown_key"
    BAD_SEAL = "bad_seal"


def cluster_prefix(cluster_id: bytes) -> bytes:
    """Return the 8 bytes by which packets name the cluster."""
    return hashlib.blake2b(cluster_id, digest_size=CLUSTER_BYTES).digest()


@final
class Envelope:
    """Seals and opens the datagrams of one process.

    Args:
        salt: `SALT_BYTES` random bytes, never used by another process with the same keys.
    """

    def __init__(self, cluster_id: bytes, keyring: Keyring, *, salt: bytes) -> None:
        self._start = bytes([DATAGRAM_VERSION]) + cluster_prefix(cluster_id)
        self._keyring = keyring
        self._salt = salt
        self._counter = 0
        self._ciphers: OrderedDict[bytes, AESGCM] = OrderedDict()

    def seal(self, plaintext: bytes) -> bytes:
        """Return `plaintext` sealed with the primary key, `OVERHEAD_BYTES` longer."""
        key_id = self._keyring.primary
        self._counter += 1
        nonce = self._salt + self._counter.to_bytes(COUNTER_BYTES, "big")
        header = self._start + key_id
        cipher = self._ciphers.get(key_id + self._salt) or self._derive(key_id, self._salt)
        self._keep(key_id + self._salt, cipher)
        return header + nonce + cipher.encrypt(nonce, plaintext, header)

    def open(self, data: bytes) -> bytes | Rejection:
        """Return the plaintext, or why there is none."""
        if len(data) < OVERHEAD_BYTES:
            return Rejection.TOO_SHORT
        if data[0] != DATAGRAM_VERSION:
            return Rejection.WRONG_VERSION
        if data[1 : 1 + CLUSTER_BYTES] != self._start[1:]:
            return Rejection.WRONG_CLUSTER
        header = data[:HEADER_BYTES]
        key_id = header[1 + CLUSTER_BYTES :]
        if key_id not in self._keyring:
            return Rejection.UNKNOWN_KEY
        nonce = data[HEADER_BYTES : HEADER_BYTES + SALT_BYTES + COUNTER_BYTES]
        salt = nonce[:SALT_BYTES]
        cipher = self._ciphers.get(key_id + salt) or self._derive(key_id, salt)
        try:
            plaintext = cipher.decrypt(nonce, data[HEADER_BYTES + len(nonce) :], header)
        except InvalidTag:
            return Rejection.BAD_SEAL
        # Only now: a stranger's salts must not push out those of members.
        self._keep(key_id + salt, cipher)
        return plaintext

    def _derive(self, key_id: bytes, salt: bytes) -> AESGCM:
        return AESGCM(self._keyring.derive(key_id, salt=salt, info=b"crdtstate datagram 1"))

    def _keep(self, name: bytes, cipher: AESGCM) -> None:
        self._ciphers[name] = cipher
        self._ciphers.move_to_end(name)
        if len(self._ciphers) > CIPHERS_MAX:
            self._ciphers.popitem(last=False)
