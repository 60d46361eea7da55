"""Every request about resources as a value, and how its answer is read. No I/O.

The two shells, `resources.py` and `blocking_resources.py`, only carry these.

Source: Kubernetes API concepts: paths, selectors, tables, patches, watches.
"""

from collections.abc import Mapping
from typing import Any, Literal, final
from urllib.parse import quote

import msgspec

from crdtstate.client.answer import Answer, decode_body
from crdtstate.client.attempt import CONNECT_MS_MAX, SLACK_MS, Session, Try
from crdtstate.client.calls import Call, check, encode_query
from crdtstate.client.failures import error_of, status_error
from crdtstate.client.watching import Lines
from crdtstate.errors import InvalidError, NotFoundError, UnavailableError
from crdtstate.model import Kind, ResourceEvent, ResourceRow, ResourceTable

__all__ = ["WATCH_IDLE_MS_MAX", "Media", "ResourceWatch"]

Body = Mapping[str, Any]
Media = Literal["merge", "json", "strategic"]
WATCH_IDLE_MS_MAX = 150_000  # Over twice a peer's interval of bookmarks: silence means a dead link.
_PAGE_LIMIT = 500
_MEDIA = {
    "merge": "application/merge-patch+json",
    "json": "application/json-patch+json",
    "strategic": "application/strategic-merge-patch+json",
    "apply": "application/apply-patch+yaml",
}
_JSON = {"Content-Type": "application/json", "Accept": "application/json"}
_TABLE = {"Accept": "application/json;as=Table;v=v1;g=meta.k8s.io"}


class _ListShape(msgspec.Struct):
    metadata: dict[str, Any]
    items: list[dict[str, Any]] | None = None


class _ColumnShape(msgspec.Struct):
    name: str
    priority: int = 0


class _RowShape(msgspec.Struct):
    cells: list[Any]
    object: dict[str, Any] = {}


class _TableShape(msgspec.Struct):
    columns: list[_ColumnShape] = msgspec.field(name="columnDefinitions", default_factory=list)
    rows: list[_RowShape] | None = None


class _LineShape(msgspec.Struct):
    type: Literal["ADDED", "MODIFIED", "DELETED", "BOOKMARK", "ERROR"]
    object: msgspec.Raw


def path_of(
    kind: Kind, namespace: str | None, name: str | None = None, subresource: str | None = None
) -> str:
    """Return the path of a collection, an object or a part of one.

    Raises: InvalidError when an object's namespace or name is missing, or has no place.
    """
    if name is not None and not name:
        raise InvalidError(f"name of a {kind.kind} is empty", code="invalid_parameter")
    if name is not None and kind.namespaced and not namespace:
        raise InvalidError(
            f"{kind.kind} {name!r} needs a namespace, and none is given", code="invalid_parameter"
        )
    if namespace and not kind.namespaced:
        raise InvalidError(
            f"{kind.kind} is not namespaced, and namespace {namespace!r} is given",
            code="invalid_parameter",
        )
    root = f"/apis/{quote(kind.group)}/{quote(kind.version)}" if kind.group else "/api/v1"
    parts = [root]
    if namespace:
        parts += ["namespaces", quote(namespace, safe="")]
    parts.append(quote(kind.plural))
    parts += [quote(part, safe="") for part in (name, subresource) if part is not None]
    return "/".join(parts)


def _query(**given: str | None) -> tuple[tuple[str, str], ...]:
    return tuple((name, text) for name, text in given.items() if text is not None)


def _object(answer: Answer) -> dict[str, Any]:
    if answer.status not in (200, 201, 202):
        raise error_of(answer)
    return decode_body(answer.body, dict[str, Any])


def _whole(kind: Kind, body: Body) -> tuple[dict[str, Any], str | None, str | None]:
    """Return the body with its type, its namespace and its name."""
    whole = {"apiVersion": kind.api_version, "kind": kind.kind, **body}
    metadata = body.get("metadata") or {}
    namespace = metadata.get("namespace")
    if kind.namespaced and not namespace:
        raise InvalidError(
            f"{kind.kind} {metadata.get('name')!r} needs metadata.namespace, and has none",
            code="invalid_parameter",
        )
    return whole, namespace, metadata.get("name")


def get(kind: Kind, name: str, namespace: str | None) -> Call[dict[str, Any] | None]:
    """GET one object; None when it is not there."""

    def parse(answer: Answer) -> dict[str, Any] | None:
        try:
            return _object(answer)
        except NotFoundError:
            return None

    return Call(method="GET", path=path_of(kind, namespace, name), headers=_JSON, parse=parse)


def was_deleted(kind: Kind, name: str, namespace: str | None, uid: str) -> Call[bool | None]:
    """GET one object, and ask about one uid; see `Resources.was_deleted`."""

    def parse(answer: Answer) -> bool | None:
        try:
            return False if _object(answer)["metadata"]["uid"] == uid else None
        except NotFoundError as error:
            return True if error.data.get("uid") == uid else None

    path = path_of(kind, namespace, name)
    return Call(method="GET", path=path, query=_query(uid=uid), headers=_JSON, parse=parse)


def page(
    kind: Kind,
    namespace: str | None,
    *,
    label_selector: str | None,
    field_selector: str | None,
    start: str | None,
) -> Call[tuple[list[dict[str, Any]], str, str | None]]:
    """GET one page of a collection: the items, the version, and where the next page starts."""

    def parse(answer: Answer) -> tuple[list[dict[str, Any]], str, str | None]:
        found = decode_body(check(answer).body, _ListShape)
        version = str(found.metadata.get("resourceVersion", ""))
        return found.items or [], version, found.metadata.get("continue") or None

    query = _query(
        labelSelector=label_selector, fieldSelector=field_selector, limit=str(_PAGE_LIMIT)
    ) + _query(**{"continue": start})
    path = path_of(kind, namespace)
    return Call(method="GET", path=path, query=query, headers=_JSON, parse=parse)


def table(
    kind: Kind, name: str | None, namespace: str | None, label_selector: str | None
) -> Call[ResourceTable]:
    """GET one object or a collection as the columns that people are shown."""

    def parse(answer: Answer) -> ResourceTable:
        found = decode_body(check(answer).body, _TableShape)
        shown = [n for n, column in enumerate(found.columns) if column.priority == 0]
        return ResourceTable(
            columns=tuple(found.columns[n].name for n in shown),
            rows=tuple(
                ResourceRow(
                    (row.object.get("metadata") or {}).get("namespace"),
                    tuple("" if row.cells[n] is None else str(row.cells[n]) for n in shown),
                )
                for row in found.rows or ()
            ),
        )

    path = path_of(kind, namespace, name)
    query = _query(labelSelector=label_selector)
    return Call(method="GET", path=path, query=query, headers=_TABLE, parse=parse)


def create(kind: Kind, body: Body, manager: str | None) -> Call[dict[str, Any]]:
    """POST a new object."""
    whole, namespace, name = _whole(kind, body)
    return Call(
        method="POST", path=path_of(kind, namespace), query=_query(fieldManager=manager),
        body=msgspec.json.encode(whole), headers=_JSON, parse=_object, write=True,
        repeatable=name is not None,
    )  # fmt: skip


def replace(
    kind: Kind, body: Body, subresource: str | None, manager: str | None
) -> Call[dict[str, Any]]:
    """PUT an object, or its status, scale or finalizers."""
    whole, namespace, name = _whole(kind, body)
    return Call(
        method="PUT", path=path_of(kind, namespace, name or "", subresource),
        query=_query(fieldManager=manager), body=msgspec.json.encode(whole), headers=_JSON,
        parse=_object, write=True,
    )  # fmt: skip


def patch(
    kind: Kind,
    name: str,
    change: object,
    namespace: str | None,
    *,
    subresource: str | None,
    media: Media,
    manager: str | None,
) -> Call[dict[str, Any]]:
    """PATCH an object, or a part of it."""
    return Call(
        method="PATCH", path=path_of(kind, namespace, name, subresource),
        query=_query(fieldManager=manager), body=msgspec.json.encode(change),
        headers={**_JSON, "Content-Type": _MEDIA[media]}, parse=_object, write=True,
        # A JSON patch may add to a list, and may test what it changes.
        repeatable=media != "json",
    )  # fmt: skip


def apply(
    kind: Kind, body: Body, *, manager: str, force: bool, subresource: str | None
) -> Call[dict[str, Any]]:
    """PATCH with a configuration: server-side apply."""
    whole, namespace, name = _whole(kind, body)
    return Call(
        method="PATCH", path=path_of(kind, namespace, name or "", subresource),
        query=_query(fieldManager=manager, force="true" if force else None),
        body=msgspec.json.encode(whole), headers={**_JSON, "Content-Type": _MEDIA["apply"]},
        parse=_object, write=True,
    )  # fmt: skip


def delete(
    kind: Kind,
    name: str,
    namespace: str | None,
    *,
    uid: str | None,
    propagation: str | None,
    grace_seconds: int | None,
) -> Call[bool]:
    """DELETE an object; False when it was not there."""

    def parse(answer: Answer) -> bool:
        try:
            _object(answer)
        except NotFoundError:
            return False
        return True

    options: dict[str, Any] = {"kind": "DeleteOptions", "apiVersion": "v1"}
    if uid is not None:
        options["preconditions"] = {"uid": uid}
    if propagation is not None:
        options["propagationPolicy"] = propagation
    if grace_seconds is not None:
        options["gracePeriodSeconds"] = grace_seconds
    return Call(
        method="DELETE", path=path_of(kind, namespace, name), body=msgspec.json.encode(options),
        headers=_JSON, parse=parse, write=True,
    )  # fmt: skip


@final
class ResourceWatch:
    """One connection of a watch: how it is opened, and what its lines mean."""

    def __init__(
        self,
        session: Session,
        kind: Kind,
        namespace: str | None,
        *,
        since: str,
        label_selector: str | None,
        field_selector: str | None,
    ) -> None:
        query = _query(
            watch="true", allowWatchBookmarks="true", resourceVersion=since,
            labelSelector=label_selector, fieldSelector=field_selector,
        )  # fmt: skip
        total_ms = session.timeout_ms
        self._lines = Lines()
        self.planned = Try(
            endpoint=session.endpoints.current, method="GET",
            target=f"{path_of(kind, namespace)}?{encode_query(query)}",
            headers=session.headers(_JSON), body=None, pause_ms=0,
            connect_ms=min(CONNECT_MS_MAX, total_ms), total_ms=total_ms + SLACK_MS,
        )  # fmt: skip

    def feed(self, chunk: bytes) -> list[ResourceEvent]:
        """Return the events that `chunk` completes.

        Raises: CompactedError when the caller must list, or what else the peer said.
        """
        return [self._event(line) for line in self._lines.feed(chunk)]

    def _event(self, data: bytes) -> ResourceEvent:
        line = decode_body(data, _LineShape)
        if line.type == "ERROR":
            raise status_error(bytes(line.object)) or UnavailableError(
                f"watch of {self.planned.endpoint} ended with an error without a Status",
                code="bad_answer",
            )
        return ResourceEvent(line.type, decode_body(bytes(line.object), dict[str, Any]))
