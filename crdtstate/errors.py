"""The exception tree. Every error names the thing, the limit and the value, as data too.

`code` is the stable machine-readable name that the HTTP API sends and the client raises again;
`status` is its HTTP status. Three kinds of wrong: the caller's mistake and the world's refusal are
`CrdtstateError`s; our own bug is an `AssertionError` with an invariant id.
"""

from typing import Any, ClassVar

__all__ = [
    "AlreadyExistsError",
    "BehindError",
    "CompactedError",
    "ConflictError",
    "CorruptStorageError",
    "CrdtstateError",
    "InvalidError",
    "NotFoundError",
    "PreconditionError",
    "RemoteProtocolError",
    "StorageError",
    "TooLargeError",
    "UnavailableError",
    "WrongTypeError",
]


class CrdtstateError(Exception):
    """Base of all. `data` holds the fields that the message names."""

    status: int = 500
    default_code: ClassVar[str] = "internal"

    def __init__(self, message: str, *, code: str | None = None, **data: Any) -> None:
        super().__init__(message)
        self.message = message
        self.code = code or self.default_code
        self.data = data


class InvalidError(CrdtstateError):
    """The request cannot be understood; retrying will not help."""

    status = 400
    default_code = "invalid_operation"


class NotFoundError(CrdtstateError):
    """There is no such key, member or route."""

    status = 404
    default_code = "key_not_found"


class WrongTypeError(CrdtstateError):
    """The key holds another type, or a bounded counter holds too few rights."""

    status = 409
    default_code = "wrong_type"


class AlreadyExistsError(CrdtstateError):
    """An object of this name is there already, on the peer that answered."""

    status = 409
    default_code = "AlreadyExists"


class ConflictError(CrdtstateError):
    """The object is no longer what the request says, or another manager owns a field."""

    status = 409
    default_code = "Conflict"


class CompactedError(CrdtstateError):
    """The revision is no longer remembered, or was never minted here: list again."""

    status = 410
    default_code = "revision_compacted"


class PreconditionError(CrdtstateError):
    """A precondition on this peer's local state does not hold."""

    status = 412
    default_code = "precondition_failed"


class TooLargeError(CrdtstateError):
    """Over a limit of the configuration."""

    status = 413
    default_code = "value_too_large"


class UnavailableError(CrdtstateError):
    """This peer cannot do it now; another peer, or a retry, may."""

    status = 503
    default_code = "overloaded"


class BehindError(CrdtstateError):
    """The deadline passed before this peer, or enough peers, had what was asked for."""

    status = 504
    default_code = "behind"


class StorageError(CrdtstateError):
    """The disk failed. The peer stops serving; nothing unacknowledged was promised."""

    status = 503
    default_code = "storage_failed"


class CorruptStorageError(StorageError):
    """What is on disk is not what was written."""

    default_code = "storage_corrupt"


class RemoteProtocolError(CrdtstateError):
    """A peer sent what no correct peer sends. Counted against it; never shown to a user."""

    status = 500
    default_code = "remote_protocol"
