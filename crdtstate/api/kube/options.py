"""Query parameters and DeleteOptions, checked. Parameters that are not known are ignored.

Source: Kubernetes API conventions; the validation of ListOptions in apimachinery.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, cast, final

from crdtstate.kube.statuses import StatusError

__all__ = [
    "DeleteOptions",
    "ListOptions",
    "WriteOptions",
    "parse_delete",
    "parse_list",
    "parse_write",
]

Validation = Literal["Strict", "Warn", "Ignore"]
Propagation = Literal["Background", "Foreground", "Orphan"]
MANAGER_CHARS_MAX = 128
LIMIT_MAX = 10_000
_VALIDATIONS = ("Strict", "Warn", "Ignore")
_PROPAGATIONS = ("Background", "Foreground", "Orphan")
_MATCHES = ("Exact", "NotOlderThan")


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class WriteOptions:
    """Of a write of any kind."""

    manager: str = "unknown"
    dry_run: bool = False
    force: bool = False
    validation: Validation = "Warn"


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class DeleteOptions:
    """Of a delete."""

    dry_run: bool = False
    propagation: Propagation = "Background"
    uid: str | None = None
    version: str | None = None
    grace_s: int | None = None
    """None: as the object says."""


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class ListOptions:
    """Of a list or watch. `version` "": what this peer has."""

    label_selector: str = ""
    field_selector: str = ""
    limit: int = 0
    proceed: str = ""
    version: str = ""
    match: str = ""
    watch: bool = False
    timeout_s: float | None = None
    bookmarks: bool = False
    initial_events: bool = False


def flag(query: Mapping[str, str], name: str) -> bool | None:
    """Return a boolean parameter, None when it is not given. Raises: StatusError (BadRequest)."""
    text = query.get(name)
    if text is None:
        return None
    if text.lower() in ("", "1", "t", "true"):
        return True
    if text.lower() in ("0", "f", "false"):
        return False
    raise StatusError("BadRequest", f"{name} is {text[:32]!r}, not true or false")


def _number(query: Mapping[str, str], name: str) -> int:
    text = query.get(name) or "0"
    if not (text.isascii() and text.isdigit() and len(text) < 10):
        raise StatusError("BadRequest", f"{name} is {text[:32]!r}, not a number from 0")
    return int(text)


def invalid_option(field: str, message: str) -> StatusError:
    """Return the refusal of one option."""
    cause = {"reason": "FieldValueInvalid", "message": message, "field": field}
    return StatusError("Invalid", f"{field}: {message}", causes=[cause])


def _dry_run(values: list[str]) -> bool:
    if any(value != "All" for value in values):
        raise invalid_option("dryRun", f"{values[0][:32]!r} is not supported, only All is")
    return bool(values)


def parse_write(query: Mapping[str, str], user_agent: str, *, apply: bool = False) -> WriteOptions:
    """Return the options of a write. Raises: StatusError (BadRequest, Invalid)."""
    manager = query.get("fieldManager", "")
    if not manager:
        if apply:
            raise invalid_option("fieldManager", "Required value: is required for apply patch")
        manager = user_agent.partition("/")[0].strip()[:MANAGER_CHARS_MAX] or "unknown"
    if len(manager) > MANAGER_CHARS_MAX or not manager.isprintable():
        raise invalid_option(
            "fieldManager",
            f"{manager[:32]!r} is {len(manager)} characters; at most {MANAGER_CHARS_MAX}, "
            "all printable, are taken",
        )
    if not apply and flag(query, "force") is not None:
        raise invalid_option("force", "Forbidden: may not be specified for non-apply patch")
    validation = query.get("fieldValidation") or "Warn"
    if validation not in _VALIDATIONS:
        raise invalid_option(
            "fieldValidation", f"{validation[:32]!r} is not one of {', '.join(_VALIDATIONS)}"
        )
    return WriteOptions(
        manager=manager,
        dry_run=_dry_run([query["dryRun"]] if query.get("dryRun") else []),
        force=bool(flag(query, "force")),
        validation=cast(Validation, validation),
    )


def parse_delete(query: Mapping[str, str], body: Mapping[str, Any]) -> DeleteOptions:
    """Return the options of a delete; the body counts more than the query.

    Raises: StatusError (BadRequest, Invalid).
    """
    kind = body.get("kind", "DeleteOptions")
    if kind != "DeleteOptions":
        raise StatusError("BadRequest", f"body is a {kind}, not DeleteOptions")
    dry = body.get("dryRun") or ([query["dryRun"]] if query.get("dryRun") else [])
    propagation = body.get("propagationPolicy") or query.get("propagationPolicy")
    orphan = body.get("orphanDependents", flag(query, "orphanDependents"))
    if propagation is None:
        propagation = "Orphan" if orphan else "Background"
    if propagation not in _PROPAGATIONS:
        raise invalid_option(
            "propagationPolicy",
            f"{str(propagation)[:32]!r} is not one of {', '.join(_PROPAGATIONS)}",
        )
    preconditions = body.get("preconditions") or {}
    if not isinstance(preconditions, dict) or not isinstance(dry, list):
        raise StatusError("BadRequest", "body is not DeleteOptions")
    uid, version = preconditions.get("uid"), preconditions.get("resourceVersion")
    return DeleteOptions(
        dry_run=_dry_run([str(value) for value in dry]),
        propagation=cast(Propagation, propagation),
        uid=None if uid is None else str(uid),
        version=None if version is None else str(version),
        grace_s=_grace(body.get("gracePeriodSeconds", query.get("gracePeriodSeconds"))),
    )


def _grace(given: Any) -> int | None:
    if given is None:
        return None
    text = str(given)
    if not text.isascii() or not text.isdigit() or len(text) > 9:
        raise invalid_option("gracePeriodSeconds", f"{text[:32]!r} is not a number from 0")
    return int(text)


def parse_list(query: Mapping[str, str]) -> ListOptions:
    """Return the options of a list or watch. Raises: StatusError (BadRequest, Invalid)."""
    watch = bool(flag(query, "watch"))
    match = query.get("resourceVersionMatch", "")
    version, proceed = query.get("resourceVersion", ""), query.get("continue", "")
    initial = flag(query, "sendInitialEvents")
    if match and match not in _MATCHES:
        raise invalid_option(
            "resourceVersionMatch", f"{match[:32]!r} is not one of {', '.join(_MATCHES)}"
        )
    if initial is not None:
        if not watch:
            raise invalid_option("sendInitialEvents", "Forbidden: is for watch only")
        if match != "NotOlderThan":
            raise invalid_option(
                "resourceVersionMatch", "Forbidden: sendInitialEvents needs NotOlderThan"
            )
    elif match and watch:
        raise invalid_option("resourceVersionMatch", "Forbidden: is forbidden for watch")
    elif match and not version:
        raise invalid_option("resourceVersionMatch", "Forbidden: needs resourceVersion")
    elif match and proceed:
        raise invalid_option("resourceVersionMatch", "Forbidden: is forbidden with continue")
    elif match == "Exact" and version == "0":
        raise invalid_option("resourceVersionMatch", "Forbidden: Exact needs a version over 0")
    if proceed and version not in ("", "0"):
        raise StatusError("BadRequest", "resourceVersion cannot be given together with continue")
    seconds = _number(query, "timeoutSeconds")
    return ListOptions(
        label_selector=query.get("labelSelector", ""),
        field_selector=query.get("fieldSelector", ""),
        limit=min(_number(query, "limit"), LIMIT_MAX),
        proceed=proceed,
        version=version,
        match=match,
        watch=watch,
        timeout_s=float(seconds) if seconds else None,
        bookmarks=bool(flag(query, "allowWatchBookmarks")),
        initial_events=bool(initial),
    )
