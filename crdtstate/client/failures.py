"""What can go wrong between a client and its peers, and how an error answer is raised again."""

from typing import Any, ClassVar, Literal, final

import msgspec

from crdtstate.client.answer import Answer
from crdtstate.errors import (
    AlreadyExistsError,
    BehindError,
    CompactedError,
    ConflictError,
    CrdtstateError,
    InvalidError,
    NotFoundError,
    PreconditionError,
    TooLargeError,
    UnavailableError,
    WrongTypeError,
)

__all__ = [
    "AuthenticationError",
    "LinkError",
    "UnknownOutcomeError",
    "error_of",
    "status_error",
    "unreachable",
]


@final
class AuthenticationError(CrdtstateError):
    """The peer wants a bearer token that it knows."""

    status = 401
    default_code: ClassVar[str] = "unauthorized"


@final
class UnknownOutcomeError(CrdtstateError):
    """A write was sent, and no answer came: it may or may not have happened.

    Read before you decide to repeat it. `data["repeatable"]` tells whether repeating is harmless.
    """

    status = 504
    default_code: ClassVar[str] = "unknown_outcome"


@final
class LinkError(Exception):
    """A try that got no answer. Between the shells and the retry rules; no user sees it."""

    def __init__(self, reason: str, *, sent: bool) -> None:
        super().__init__(reason)
        self.reason = reason
        self.sent = sent


_BY_STATUS: dict[int, type[CrdtstateError]] = {
    400: InvalidError,
    401: AuthenticationError,
    403: InvalidError,
    404: NotFoundError,
    405: InvalidError,
    409: WrongTypeError,
    410: CompactedError,
    412: PreconditionError,
    413: TooLargeError,
    429: UnavailableError,
    502: UnavailableError,
    503: UnavailableError,
    504: BehindError,
}

_BY_REASON: dict[str, type[CrdtstateError]] = {
    "AlreadyExists": AlreadyExistsError,
    "Conflict": ConflictError,
    "Invalid": InvalidError,
}
"""Reasons of the resource API whose status does not tell them."""


class _StatusShape(msgspec.Struct):
    """A Status object of the resource API."""

    kind: Literal["Status"]
    message: str = ""
    reason: str = ""
    code: int = 500
    details: dict[str, Any] = {}


def status_error(body: bytes) -> CrdtstateError | None:
    """Return the exception that a Status object means; None when `body` is none.

    Its code is the reason, its data are the details.
    """
    try:
        found = msgspec.json.decode(body, type=_StatusShape)
    except msgspec.DecodeError:
        return None
    kind = _BY_REASON.get(found.reason) or _BY_STATUS.get(found.code, CrdtstateError)
    error = kind(found.message, code=found.reason or f"http_{found.code}")
    error.status, error.data = found.code, found.details
    return error


def error_of(answer: Answer) -> CrdtstateError:
    """Return the exception that the peer meant, with its code, message and data."""
    told = status_error(answer.body)
    if told is not None:
        return told
    data: dict[str, Any]
    try:
        data = msgspec.json.decode(answer.body, type=dict[str, dict[str, Any]])["error"]
        code, message = str(data.pop("code")), str(data.pop("message"))
    except (msgspec.DecodeError, KeyError):
        # Not our API: a proxy, or another service behind the address.
        data, code = {}, f"http_{answer.status}"
        text = answer.body[:200].decode("utf-8", "replace")
        message = f"HTTP status {answer.status} without an error body: {text!r}"
    error = _BY_STATUS.get(answer.status, CrdtstateError)(message, code=code)
    error.data = data
    return error


def unreachable(endpoint: str, reason: str) -> UnavailableError:
    """Return the error for an endpoint that gave no answer."""
    return UnavailableError(
        f"no answer from {endpoint}: {reason}", code="unreachable", endpoint=endpoint
    )
