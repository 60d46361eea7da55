"""Inputs of the membership machine: what happened."""

from dataclasses import dataclass
from typing import final

__all__ = [
    "DigestChanged",
    "Forget",
    "Input",
    "Join",
    "LagObserved",
    "Leave",
    "LinkObserved",
    "MetadataChanged",
    "Received",
    "Started",
    "StreamProbeResult",
    "Tick",
]


@final
@dataclass(frozen=True, slots=True)
class Started:
    """The driver runs; sockets are open."""


@final
@dataclass(frozen=True, slots=True)
class Tick:
    """The time of the last WakeAt has come."""


@final
@dataclass(frozen=True, slots=True)
class Received:
    """A datagram arrived; `data` is its plaintext."""

    sender: tuple[str, int]
    data: bytes


@final
@dataclass(frozen=True, slots=True)
class Join:
    """Contact an address that may belong to a member."""

    host: str
    port: int


@final
@dataclass(frozen=True, slots=True)
class MetadataChanged:
    """What others are told of this member is another."""

    metadata: bytes


@final
@dataclass(frozen=True, slots=True)
class DigestChanged:
    """Pings and acks carry this digest from now on."""

    digest: bytes


@final
@dataclass(frozen=True, slots=True)
class LinkObserved:
    """An authenticated stream delivered bytes from the member: it is alive."""

    name: str


@final
@dataclass(frozen=True, slots=True)
class StreamProbeResult:
    """The answer to ProbeStream."""

    name: str
    ok: bool


@final
@dataclass(frozen=True, slots=True)
class LagObserved:
    """Our own event loop was late by so much: do not blame others for it."""

    lag_ms: int


@final
@dataclass(frozen=True, slots=True)
class Forget:
    """This name may never be a member again."""

    name: str


@final
@dataclass(frozen=True, slots=True)
class Leave:
    """This member goes, in order."""


Input = (
    Started | Tick | Received | Join | MetadataChanged | DigestChanged | LinkObserved
    | StreamProbeResult | LagObserved | Forget | Leave
)  # fmt: skip
