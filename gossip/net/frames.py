"""The inside of an authenticated stream: sealed frames, and the items packed in them. No I/O.

    frame: length of what follows (4) | sealed items | tag (16)
    item:  kind (1) | body; the body of DATA starts with its length (4)

The nonce of a frame is its number in its direction, so that a frame which was replayed, moved,
dropped or altered does not open, and the stream ends. The length is associated data.

Invariants:
    FRM-1  A direction's key seals no two frames under one nonce.
    FRM-2  No read makes the receiver hold more than one frame and one read of unparsed bytes.
"""

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

PAYLOAD_BYTES_MAX = 65 * 1024
"""64 KiB, and 1 KiB for the header that the layer above puts before its frame."""

_LENGTH = struct.Struct(">I")
_DATA_HEAD = struct.Struct(">BI")
_ACK = struct.Struct(">BQ")
_PROBE = struct.Struct(">BI")
TAG_BYTES = 16
ITEM_HEAD_BYTES = _DATA_HEAD.size
PLAINTEXT_BYTES_MAX = PAYLOAD_BYTES_MAX + ITEM_HEAD_BYTES
CONTROL_FRAME_BYTES_MAX = 1024  # A frame over it must carry data.

_KIND_DATA, _KIND_ACK, _KIND_PING, _KIND_PONG = 1, 2, 3, 4


class StreamRefused(Exception):
    """The other end did what no member does; `reason` is the name under which it is counted."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@final
@dataclass(frozen=True, slots=True)
class Ack:
    """So many bytes of this stream have arrived since the handshake."""

    received_bytes: int

    def encode(self) -> bytes:
        return _ACK.pack(_KIND_ACK, self.received_bytes)


@final
@dataclass(frozen=True, slots=True)
class Ping:
    """Answer with a Pong of the same token."""

    token: int

    def encode(self) -> bytes:
        return _PROBE.pack(_KIND_PING, self.token)


@final
@dataclass(frozen=True, slots=True)
class Pong:
    """The answer to a Ping."""

    token: int

    def encode(self) -> bytes:
        return _PROBE.pack(_KIND_PONG, self.token)


Item = bytes | Ack | Ping | Pong
"""Bytes are a payload."""


def data_head(size: int) -> bytes:
    """Return what precedes a payload of `size` bytes."""
    return _DATA_HEAD.pack(_KIND_DATA, size)


def decode_items(plaintext: bytes) -> list[Item]:
    """Split a frame into its items.

    Raises:
        StreamRefused: They do not fill the frame exactly, or one is of no known kind.
    """
    items: list[Item] = []
    at = 0
    size = len(plaintext)
    try:
        while at < size:
            kind = plaintext[at]
            if kind == _KIND_DATA:
                end = at + ITEM_HEAD_BYTES + _DATA_HEAD.unpack_from(plaintext, at)[1]
                if end > size:
                    raise StreamRefused("bad_item")
                items.append(plaintext[at + ITEM_HEAD_BYTES : end])
                at = end
            elif kind == _KIND_ACK:
                items.append(Ack(_ACK.unpack_from(plaintext, at)[1]))
                at += _ACK.size
            elif kind in (_KIND_PING, _KIND_PONG):
                token = _PROBE.unpack_from(plaintext, at)[1]
                items.append(Ping(token) if kind == _KIND_PING else Pong(token))
                at += _PROBE.size
            else:
                raise StreamRefused("bad_item")
    except struct.error:
        raise StreamRefused("bad_item") from None
    return items


@final
class Sealer:
    """One direction, the sending end."""

    def __init__(self, key: bytes) -> None:
        self._cipher = AESGCM(key)
        self._frames = 0

    def seal(self, parts: Sequence[bytes]) -> bytes:
        """Return one frame that holds the concatenation of `parts`."""
        plaintext = b"".join(parts)
        assert len(plaintext) <= PLAINTEXT_BYTES_MAX, "frame over PLAINTEXT_BYTES_MAX"
        head = _LENGTH.pack(len(plaintext) + TAG_BYTES)
        nonce = self._frames.to_bytes(12, "big")
        self._frames += 1
        return head + self._cipher.encrypt(nonce, plaintext, head)


@final
class Opener:
    """One direction, the receiving end."""

    def __init__(self, key: bytes) -> None:
        self._cipher = AESGCM(key)
        self._frames = 0
        self._rest = bytearray()

    @property
    def unfinished_bytes(self) -> int:
        """Bytes of a frame of which the end has not arrived."""
        return len(self._rest)

    def feed(self, data: bytes) -> list[bytes]:
        """Take what has arrived and return the plaintexts of the frames that are now whole.

        Raises:
            StreamRefused: A frame does not open or is over the limit. What preceded it in
                `data` is lost with it: the stream is over.
        """
        self._rest += data
        plaintexts: list[bytes] = []
        at = 0
        while len(self._rest) - at >= _LENGTH.size:
            size = _LENGTH.unpack_from(self._rest, at)[0]
            if not TAG_BYTES <= size <= PLAINTEXT_BYTES_MAX + TAG_BYTES:
                raise StreamRefused("oversized_frame" if size > TAG_BYTES else "bad_frame")
            end = at + _LENGTH.size + size
            if end > len(self._rest):
                break
            plaintexts.append(self._open(at, end))
            at = end
        del self._rest[:at]
        return plaintexts

    def _open(self, start: int, end: int) -> bytes:
        head = bytes(self._rest[start : start + _LENGTH.size])
        nonce = self._frames.to_bytes(12, "big")
        try:
            plaintext = self._cipher.decrypt(
                nonce, bytes(self._rest[start + _LENGTH.size : end]), head
            )
        except InvalidTag:
            raise StreamRefused("bad_seal") from None
        self._frames += 1
        return plaintext
