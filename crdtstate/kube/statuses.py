"""Refusals of the resource API: a reason, a code, and the Status object that says so.

Source: Kubernetes API conventions, "Response Status Kind".
"""

from collections.abc import Mapping, Sequence
from typing import Any, final

from crdtstate.errors import CrdtstateError

__all__ = ["CODES", "StatusError", "status_body"]

CODES: Mapping[str, int] = {
    "BadRequest": 400, "Unauthorized": 401, "Forbidden": 403, "NotFound": 404,
    "MethodNotAllowed": 405, "NotAcceptable": 406, "AlreadyExists": 409, "Conflict": 409,
    "Gone": 410, "Expired": 410, "RequestEntityTooLarge": 413, "UnsupportedMediaType": 415,
    "Invalid": 422, "TooManyRequests": 429, "InternalError": 500, "ServiceUnavailable": 503,
    "Timeout": 504,
}  # fmt: skip


@final
class StatusError(CrdtstateError):
    """A refusal with a reason of the Kubernetes API.

    Args:
        causes: Of `details.causes`: {reason, message, field}.
        details: The rest of `details`: name, group, kind, uid, retryAfterSeconds.
        proceed: What asks for the rest of a list whose beginning is no longer remembered.
    """

    def __init__(
        self,
        reason: str,
        message: str,
        *,
        causes: Sequence[Mapping[str, Any]] = (),
        details: Mapping[str, Any] | None = None,
        proceed: str = "",
    ) -> None:
        super().__init__(message, code=reason)
        self.status = CODES[reason]
        self.reason = reason
        self.causes = tuple(causes)
        self.details = dict(details or {})
        self.proceed = proceed


def status_body(error: StatusError) -> dict[str, Any]:
    """Return the Status object."""
    details = dict(error.details)
    if error.causes:
        details["causes"] = [dict(cause) for cause in error.causes]
    body: dict[str, Any] = {
        "kind": "Status", "apiVersion": "v1",
        "metadata": {"continue": error.proceed} if error.proceed else {}, "status": "Failure",
        "message": error.message, "reason": error.reason, "code": error.status,
    }  # fmt: skip
    if details:
        body["details"] = details
    return body
