"""How two members prove to each other that they hold a key of the same cluster.

    1. dialler:  header, frame sealed for this dialler's salt:   its name, the name it expects
    2. acceptor: header, frame sealed for both salts:            its name
    3. dialler:  an empty frame sealed for both salts

    header: "CS" (2) | version (1) | cluster (8) | key id (4) | salt (16)

Both use the key that the dialler chose. Message 1 can be replayed, and a replay gets an answer
but no link: the link counts as up at the acceptor only with message 3, at the dialler only with
message 2, and both prove that the other end is there now. There is no forward secrecy: who has
the cluster key can read what was recorded.
"""

import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import final

from gossip.net.envelope import CLUSTER_BYTES, Rejection, cluster_prefix
from gossip.net.frames import (
    CONTROL_FRAME_BYTES_MAX,
    TAG_BYTES,
    Opener,
    Sealer,
    StreamRefused,
)
from gossip.net.keyring import KEY_ID_BYTES, Keyring
from gossip.net.ports import Connection

STREAM_MAGIC = b"CS"
STREAM_VERSION = 1
SALT_BYTES = 16
_HEADER = struct.Struct(f">2sB{CLUSTER_BYTES}s{KEY_ID_BYTES}s{SALT_BYTES}s")
_LENGTH_BYTES = 4


@final
@dataclass(frozen=True)
class Identity:
    """What a member brings to a handshake."""

    name: str
    cluster_id: bytes
    keyring: Keyring
    random_bytes: Callable[[int], bytes]


@final
@dataclass(frozen=True)
class Session:
    """A connection whose other end is known. A dialler's first frame is message 3."""

    connection: Connection
    name: str
    dialled: bool
    sealer: Sealer
    opener: Opener
    opened: list[bytes]
    """Frames that came in the same read as the end of the handshake."""
    received_bytes: int
    """What had arrived by then of what the other end counts as sent: all but the hellos."""


@final
class _Intake:
    """Reads exact sizes off a connection during the handshake."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.rest = b""

    async def exactly(self, size: int) -> bytes:
        while len(self.rest) < size:
            data = await self.connection.read()
            if not data:
                raise StreamRefused("truncated")
            self.rest += data
        taken, self.rest = self.rest[:size], self.rest[size:]
        return taken

    async def header(self, identity: Identity) -> tuple[bytes, bytes, bytes]:
        """Return the header with its key id and salt."""
        magic = await self.exactly(len(STREAM_MAGIC))
        if magic != STREAM_MAGIC:
            # Something else talks, perhaps HTTP: do not wait for a whole header of it.
            raise StreamRefused("not_our_protocol")
        raw = magic + await self.exactly(_HEADER.size - len(magic))
        _, version, cluster, key_id, salt = _HEADER.unpack(raw)
        if version != STREAM_VERSION:
            raise StreamRefused(Rejection.WRONG_VERSION)
        if cluster != cluster_prefix(identity.cluster_id):
            raise StreamRefused(Rejection.WRONG_CLUSTER)
        if key_id not in identity.keyring:
            raise StreamRefused(Rejection.UNKNOWN_KEY)
        return raw, key_id, salt

    async def frame(self) -> bytes:
        """Return one whole sealed frame, its length included."""
        head = await self.exactly(_LENGTH_BYTES)
        size = int.from_bytes(head, "big")
        if not TAG_BYTES <= size <= CONTROL_FRAME_BYTES_MAX:
            raise StreamRefused("oversized_frame" if size > TAG_BYTES else "bad_frame")
        return head + await self.exactly(size)


def _header(identity: Identity, key_id: bytes, salt: bytes) -> bytes:
    cluster = cluster_prefix(identity.cluster_id)
    return _HEADER.pack(STREAM_MAGIC, STREAM_VERSION, cluster, key_id, salt)


def _hello_key(identity: Identity, key_id: bytes, header: bytes) -> bytes:
    return identity.keyring.derive(key_id, salt=header, info=b"crdtstate stream 1 hello")


def _session_keys(
    identity: Identity, key_id: bytes, dialler: bytes, acceptor: bytes
) -> tuple[bytes, bytes]:
    """Return the keys of the two directions: from the dialler, from the acceptor."""
    both = identity.keyring.derive(
        key_id, salt=dialler + acceptor, info=b"crdtstate stream 1 session", size=64
    )
    return both[:32], both[32:]


def _encode_hello(name: str, expected: str) -> list[bytes]:
    parts = [text.encode() for text in (name, expected)]
    return [bytes([len(part)]) + part for part in parts]


def _decode_hello(plaintext: bytes) -> tuple[str, str]:
    try:
        middle = 1 + plaintext[0]
        end = middle + 1 + plaintext[middle]
        name, expected = plaintext[1:middle].decode(), plaintext[middle + 1 : end].decode()
    except (IndexError, UnicodeDecodeError):
        raise StreamRefused("bad_hello") from None
    if end != len(plaintext) or not name:
        raise StreamRefused("bad_hello")
    return name, expected


async def dial(connection: Connection, identity: Identity, *, expected: str) -> Session:
    """Send message 1 and check message 2. Message 3 is the caller's first frame.

    Args:
        expected: The member that should live at this address.

    Raises:
        StreamRefused: The other end is not that member; the caller closes the connection.
    """
    key_id = identity.keyring.primary
    ours = _header(identity, key_id, identity.random_bytes(SALT_BYTES))
    hello = Sealer(_hello_key(identity, key_id, ours))
    connection.write(ours + hello.seal(_encode_hello(identity.name, expected)))
    intake = _Intake(connection)
    theirs, their_key_id, _ = await intake.header(identity)
    if their_key_id != key_id:
        raise StreamRefused(Rejection.UNKNOWN_KEY)
    to_acceptor, to_dialler = _session_keys(identity, key_id, ours, theirs)
    opener = Opener(to_dialler)
    name, _ = _decode_hello(opener.feed(await intake.frame())[0])
    if name != expected:
        raise StreamRefused("wrong_name")
    return Session(
        connection=connection,
        name=name,
        dialled=True,
        sealer=Sealer(to_acceptor),
        opener=opener,
        opened=opener.feed(intake.rest),
        received_bytes=len(intake.rest),
    )


async def accept(
    connection: Connection,
    identity: Identity,
    *,
    admit: Callable[[str, Connection], Connection],
) -> Session:
    """Check message 1, send message 2, check message 3.

    Args:
        admit: Called with the dialler's name before the answer. Returns the connection to go on
            with, which lets a fault layer in; raises StreamRefused to refuse the name.

    Raises:
        StreamRefused: The other end is no member; the caller closes the connection.
    """
    intake = _Intake(connection)
    theirs, key_id, _ = await intake.header(identity)
    hello = Opener(_hello_key(identity, key_id, theirs))
    name, expected = _decode_hello(hello.feed(await intake.frame())[0])
    if expected != identity.name:
        raise StreamRefused("wrong_name")
    connection = intake.connection = admit(name, connection)
    ours = _header(identity, key_id, identity.random_bytes(SALT_BYTES))
    to_acceptor, to_dialler = _session_keys(identity, key_id, theirs, ours)
    sealer = Sealer(to_dialler)
    connection.write(ours + sealer.seal(_encode_hello(identity.name, name)))
    opener = Opener(to_acceptor)
    confirmation = await intake.frame()
    if opener.feed(confirmation) != [b""]:
        raise StreamRefused("bad_hello")
    return Session(
        connection=connection,
        name=name,
        dialled=False,
        sealer=sealer,
        opener=opener,
        opened=opener.feed(intake.rest),
        received_bytes=len(confirmation) + len(intake.rest),
    )
