"""Effects of the membership machine: what it asks of its driver, performed in list order."""

from dataclasses import dataclass
from typing import final

from gossip.core.ports import Member

__all__ = [
    "DigestSeen",
    "Effect",
    "MemberChanged",
    "ProbeStream",
    "Rejected",
    "SendDatagram",
    "WakeAt",
]


@final
@dataclass(frozen=True, slots=True)
class SendDatagram:
    """Send this plaintext."""

    host: str
    port: int
    data: bytes


@final
@dataclass(frozen=True, slots=True)
class ProbeStream:
    """Ask over the stream whether the member lives; answer with StreamProbeResult."""

    name: str


@final
@dataclass(frozen=True, slots=True)
class MemberChanged:
    """A member is new, or its liveness, address or metadata changed."""

    member: Member


@final
@dataclass(frozen=True, slots=True)
class DigestSeen:
    """A member's probe or ack carried this digest."""

    name: str
    digest: bytes


@final
@dataclass(frozen=True, slots=True)
class WakeAt:
    """Give a Tick at this time; replaces the last one."""

    at_ms: int


@final
@dataclass(frozen=True, slots=True)
class Rejected:
    """A packet was refused."""

    sender: tuple[str, int]
    reason: str


Effect = SendDatagram | ProbeStream | MemberChanged | DigestSeen | WakeAt | Rejected
