"""The durable state as others may see it: vector, revision, fingerprint, digest.

Everything that leaves the process speaks of this, never of the open batch (REP-1).
"""

from typing import final

from xxhash import xxh3_64_intdigest

from crdtstate.crdt.codec import dumps
from crdtstate.crdt.dots import encode_flat

__all__ = ["DIGEST_BYTES", "Digest", "Shown", "decode_digest"]

DIGEST_BYTES = 24
_MASK = (1 << 64) - 1
Digest = tuple[int, int, int]  # hash of the vector, low half of the root, wall clock in ms


@final
class Shown:
    """What the last durable batch made visible."""

    __slots__ = ("objects_revision", "revision", "root", "vector", "vector_hash")

    def __init__(self, vector: dict[int, int], revision: int, root: int) -> None:
        self.update(vector, revision, root)

    def update(
        self, vector: dict[int, int], revision: int, root: int, objects_changed: bool = True
    ) -> None:
        """A batch became durable. Cost: O(origins)."""
        self.vector, self.revision, self.root = vector, revision, root
        if objects_changed:
            self.objects_revision = revision
        self.vector_hash = xxh3_64_intdigest(dumps(encode_flat(vector)))

    def digest(self, wall_ms: int) -> bytes:
        """Return the bytes that ride on every probe. Cost: O(1)."""
        parts = (self.vector_hash, self.root & _MASK, wall_ms & _MASK)
        return b"".join(part.to_bytes(8, "big") for part in parts)

    def equals(self, digest: Digest) -> tuple[bool, bool]:
        """Return whether a digest has this vector, and whether it has this root."""
        return digest[0] == self.vector_hash, digest[1] == self.root & _MASK


def decode_digest(data: bytes) -> Digest | None:
    """Return a digest's parts, or None for one of another version."""
    if len(data) != DIGEST_BYTES:
        return None
    vector_hash, root, wall_ms = (int.from_bytes(data[i : i + 8], "big") for i in (0, 8, 16))
    return vector_hash, root, wall_ms
