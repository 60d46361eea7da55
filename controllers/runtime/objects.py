"""Reading Kubernetes objects, which are plain JSON: never changed in place, they are shared."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from controllers.runtime.request import Request
from crdtstate.model import Kind

__all__ = [
    "Object",
    "Objects",
    "annotations_of",
    "condition_of",
    "controller_of",
    "created_ms",
    "deep",
    "from_ms",
    "is_deleting",
    "labels_of",
    "meta",
    "name_of",
    "namespace_of",
    "owner_reference",
    "owners_of",
    "request_of",
    "selects",
    "spec_of",
    "status_of",
    "to_ms",
    "uid_of",
    "version_of",
    "with_condition",
]

Object = Mapping[str, Any]
Objects = list[Object]


def meta(body: Object) -> Mapping[str, Any]:
    """Return the metadata."""
    found: Mapping[str, Any] = body.get("metadata") or {}
    return found


def name_of(body: Object) -> str:
    """Return the name."""
    return str(meta(body).get("name", ""))


def namespace_of(body: Object) -> str:
    """Return the namespace, empty for a cluster-scoped object."""
    return str(meta(body).get("namespace") or "")


def uid_of(body: Object) -> str:
    """Return the uid."""
    return str(meta(body).get("uid", ""))


def request_of(body: Object) -> Request:
    """Return the key of an object."""
    return Request(namespace_of(body), name_of(body))


def version_of(body: Object) -> int:
    """Return the resourceVersion as a number, 0 when it is none."""
    text = str(meta(body).get("resourceVersion", ""))
    return int(text) if text.isascii() and text.isdigit() else 0


def labels_of(body: Object) -> Mapping[str, str]:
    """Return the labels."""
    return meta(body).get("labels") or {}


def annotations_of(body: Object) -> Mapping[str, str]:
    """Return the annotations."""
    return meta(body).get("annotations") or {}


def spec_of(body: Object) -> Mapping[str, Any]:
    """Return the spec."""
    return body.get("spec") or {}


def status_of(body: Object) -> Mapping[str, Any]:
    """Return the status."""
    return body.get("status") or {}


def is_deleting(body: Object) -> bool:
    """Whether the object is marked for deletion."""
    return bool(meta(body).get("deletionTimestamp"))


def deep(body: Object, *path: str) -> Any:
    """Return what is at a path of names, None where one is missing."""
    found: Any = body
    for name in path:
        if not isinstance(found, Mapping):
            return None
        found = found.get(name)
    return found


def to_ms(text: str | None) -> int | None:
    """Return an RFC 3339 time as milliseconds since 1970, None when it is none."""
    if not text:
        return None
    try:
        parsed = datetime.fromisoformat(text)
    except ValueError:
        return None
    aware = parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)
    return round(aware.timestamp() * 1000)


def from_ms(wall_ms: int) -> str:
    """Return RFC 3339 to the second, as Kubernetes writes times."""
    return datetime.fromtimestamp(wall_ms // 1000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def created_ms(body: Object) -> int:
    """Return when the object was created, 0 when it does not say."""
    return to_ms(meta(body).get("creationTimestamp")) or 0


# -- owners ----------------------------------------------------------------------------------------


def owners_of(body: Object) -> Sequence[Mapping[str, Any]]:
    """Return the owner references."""
    return meta(body).get("ownerReferences") or []


def controller_of(body: Object) -> Mapping[str, Any] | None:
    """Return the reference to the controlling owner."""
    return next((o for o in owners_of(body) if o.get("controller")), None)


def owner_reference(kind: Kind, owner: Object) -> dict[str, Any]:
    """Return the reference that says that `owner` controls an object."""
    return {
        "apiVersion": kind.api_version, "kind": kind.kind, "name": name_of(owner),
        "uid": uid_of(owner), "controller": True, "blockOwnerDeletion": True,
    }  # fmt: skip


# -- label selectors -------------------------------------------------------------------------------


def selects(selector: Mapping[str, Any] | None, labels: Mapping[str, str]) -> bool:
    """Whether a LabelSelector selects an object with these labels. None selects nothing."""
    if selector is None:
        return False
    wanted: Mapping[str, str] = selector.get("matchLabels") or {}
    if any(labels.get(name) != value for name, value in wanted.items()):
        return False
    return all(holds(rule, labels) for rule in selector.get("matchExpressions") or [])


def holds(rule: Mapping[str, Any], labels: Mapping[str, str]) -> bool:
    """Whether one expression (key, operator, values) holds. An unknown operator never does."""
    value = labels.get(rule["key"])
    values = rule.get("values") or []
    match rule.get("operator"):
        case "In":
            return value is not None and value in values
        case "NotIn":
            return value is None or value not in values
        case "Exists":
            return value is not None
        case "DoesNotExist":
            return value is None
        case "Gt" | "Lt" as operator:
            try:
                left, right = int(value or ""), int(values[0])
            except (ValueError, IndexError):
                return False
            return left > right if operator == "Gt" else left < right
        case _:
            return False


# -- conditions ------------------------------------------------------------------------------------


def condition_of(body: Object, kind: str) -> Mapping[str, Any] | None:
    """Return the condition of a type in the status."""
    conditions = status_of(body).get("conditions") or []
    return next((c for c in conditions if c.get("type") == kind), None)


def with_condition(
    conditions: Sequence[Mapping[str, Any]],
    kind: str,
    status: str,
    *,
    reason: str,
    message: str,
    now_ms: int,
) -> list[Mapping[str, Any]]:
    """Return the conditions with one set; its time of transition moves only with its status."""
    before = next((c for c in conditions if c.get("type") == kind), None)
    said = {"type": kind, "status": status, "reason": reason, "message": message}
    if before is not None and all(before.get(name) == text for name, text in said.items()):
        return list(conditions)
    same = before is not None and before.get("status") == status
    moved = before.get("lastTransitionTime") if before and same else None
    said["lastTransitionTime"] = str(moved or from_ms(now_ms))
    rest = [c for c in conditions if c.get("type") != kind]
    at = next((n for n, c in enumerate(conditions) if c.get("type") == kind), len(rest))
    return [*rest[:at], said, *rest[at:]]
