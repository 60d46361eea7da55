"""Inputs of a replica (what happened) and its effects (what it asks the driver to do).

The driver performs effects in list order. `Persist` is a barrier by construction: replies, pushes
and notices that depend on a batch are effects of the `Durable` that reports it (REP-1).
"""

from collections.abc import Sequence
from typing import Any, final

import msgspec

from crdtstate.errors import CrdtstateError
from crdtstate.store import operations as ops
from crdtstate.store.ports import Batch
from crdtstate.store.store import Committed

__all__ = [
    "Again",
    "DigestSeen",
    "Durable",
    "Effect",
    "Forget",
    "Forgotten",
    "IdentityTaken",
    "Input",
    "LinkDown",
    "LinkUp",
    "NewIdentity",
    "Outcome",
    "PeerMessage",
    "Persist",
    "Reply",
    "RevisionDurable",
    "RunAgain",
    "Send",
    "Submit",
    "Tick",
    "Wait",
    "WakeAt",
]


class _Value(msgspec.Struct, frozen=True):
    pass


@final
class Submit(_Value, frozen=True):
    """A client's transaction; `request` is the driver's own handle, given back in the Reply."""

    request: Any
    operations: Sequence[ops.Intent]
    preconditions: Sequence[ops.Precondition] = ()
    replicas: int | str = 1  # how many must have it durable: a number, "majority" or "all"
    deadline_ms: int = 0  # monotonic; only looked at when replicas is not 1


@final
class Wait(_Value, frozen=True):
    """Reply when so many replicas have all of `vector` durable."""

    request: Any
    vector: dict[int, int]
    replicas: int | str
    deadline_ms: int


@final
class Forget(_Value, frozen=True):
    """Remove a member from the replica set, for good."""

    request: Any
    name: str


@final
class Durable(_Value, frozen=True):
    """The batch of the last Persist is durable."""


@final
class LinkUp(_Value, frozen=True):
    """An authenticated stream with a peer is open."""

    name: str


@final
class LinkDown(_Value, frozen=True):
    """It is gone."""

    name: str


@final
class PeerMessage(_Value, frozen=True):
    """One payload from a peer, in order."""

    name: str
    payload: bytes


@final
class DigestSeen(_Value, frozen=True):
    """A probe of a peer carried its digest."""

    name: str
    digest: bytes


@final
class IdentityTaken(_Value, frozen=True):
    """The storage has a new identity, durable; answer to NewIdentity."""

    origin: int


@final
class Tick(_Value, frozen=True):
    """Time passed; due at the last WakeAt."""


@final
class Again(_Value, frozen=True):
    """Continue the work that RunAgain named."""

    work: str


Input = (
    Submit | Wait | Forget | Durable | LinkUp | LinkDown | PeerMessage | DigestSeen
    | IdentityTaken | Tick | Again
)  # fmt: skip


@final
class Outcome(_Value, frozen=True):
    """What became of a Submit, Wait or Forget."""

    committed: Committed | None
    have: tuple[str, ...]  # names of the replicas known to have it durable


@final
class Persist(_Value, frozen=True):
    """Make the batch durable off the loop, then give `Durable` in."""

    batch: Batch


@final
class Reply(_Value, frozen=True):
    """Answer a request."""

    request: Any
    outcome: Outcome | CrdtstateError


@final
class Send(_Value, frozen=True):
    """Send one message to a linked peer; `name` None means the push targets."""

    name: str | None
    message: bytes


@final
class RevisionDurable(_Value, frozen=True):
    """Readers see a new state: wake watchers and those who wait for a token."""


@final
class NewIdentity(_Value, frozen=True):
    """This storage's identity is spent: make a new one durable, then give IdentityTaken in."""

    reason: str


@final
class Forgotten(_Value, frozen=True):
    """The member is forgotten by a decision of the replica set: gossip must refuse it."""

    name: str


@final
class OtherVersion(_Value, frozen=True):
    """A linked peer speaks another version of the protocol: tell whoever runs this peer."""

    name: str
    version: int


@final
class RunAgain(_Value, frozen=True):
    """Give `Again(work)` in soon; when `peer` is set, once its link has room."""

    work: str
    peer: str | None = None


@final
class WakeAt(_Value, frozen=True):
    """Give a Tick at this monotonic time."""

    at_ms: int


Effect = (
    Persist | Reply | Send | RevisionDurable | NewIdentity | Forgotten | OtherVersion | RunAgain
    | WakeAt
)  # fmt: skip
