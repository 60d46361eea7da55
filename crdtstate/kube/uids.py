"""An object's uid: a function of its name and of how many were deleted under it before.

Two sides of a partition that create the same object mint the same uid, so that it is one object and
its fields join; a re-creation after a deletion that both know is one object too. What follows a
deletion never has the uid of what was deleted.

Source: RFC 9562 section 5.5 (name-based UUID, version 5).
"""

import hashlib

from crdtstate.kube.keys import ObjectKey

__all__ = ["uid_bytes", "uid_text"]


def uid_bytes(cluster_id: bytes, key: ObjectKey, incarnation: int) -> bytes:
    """Return the 16 bytes of the uid of the `incarnation`-th object (from 0) under `key`."""
    named = b"\0".join((cluster_id, key.encode(), b"%d" % incarnation))
    raw = bytearray(hashlib.sha1(named, usedforsecurity=False).digest()[:16])
    raw[6] = raw[6] & 0x0F | 0x50
    raw[8] = raw[8] & 0x3F | 0x80
    return bytes(raw)


def uid_text(raw: bytes) -> str:
    """Return the usual text of a uid."""
    digits = raw.hex()
    return "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]))
