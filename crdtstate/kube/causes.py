"""What is wrong with a body, field by field, worded as Kubernetes words it.

Source: apimachinery `field.Error` and `errors.NewInvalid`.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple, final

from crdtstate.kube.resources import Resource
from crdtstate.kube.statuses import StatusError

__all__ = [
    "TYPE_NAMES", "WRONG_TYPE", "Cause", "duplicate", "forbidden", "invalid", "invalid_error",
    "not_supported", "required", "shown", "too_long", "too_many", "type_invalid",
]  # fmt: skip

WRONG_TYPE = "FieldValueTypeInvalid"
CAUSES_MAX = 100
"""More than these say nothing new; the rest is counted."""


@final
class Cause(NamedTuple):
    """One fault. `as_dict` is an entry of a Status object's `details.causes`."""

    reason: str
    message: str
    field: str

    def as_dict(self) -> dict[str, str]:
        """Return {reason, message, field}."""
        return {"reason": self.reason, "message": self.message, "field": self.field}


def shown(value: Any) -> str:
    """Return a value as messages show it: JSON, cut at 200 characters."""
    if isinstance(value, dict | list):
        text = json.dumps(value, separators=(",", ":"), default=str)
    else:
        text = json.dumps(value, default=str, ensure_ascii=False)
    return text if len(text) <= 200 else text[:197] + "..."


def required(field: str, detail: str = "") -> Cause:
    """A value is missing."""
    text = "Required value"
    return Cause("FieldValueRequired", f"{text}: {detail}" if detail else text, field)


def invalid(field: str, value: Any, detail: str) -> Cause:
    """A value breaks a rule."""
    return Cause("FieldValueInvalid", f"Invalid value: {shown(value)}: {detail}", field)


def type_invalid(field: str, value: Any, wanted: str) -> Cause:
    """A value has another type than the schema declares."""
    found = "null" if value is None else TYPE_NAMES.get(type(value), "string")
    return Cause(
        WRONG_TYPE,
        f'Invalid value: "{found}": {field} in body must be of type {wanted}: "{found}"',
        field,
    )


TYPE_NAMES: Mapping[type, str] = {
    bool: "boolean", int: "integer", float: "number", str: "string", list: "array", dict: "object",
}  # fmt: skip


def not_supported(field: str, value: Any, supported: Iterable[Any]) -> Cause:
    """A value is not among those that exist."""
    names = ", ".join(shown(each) for each in supported)
    return Cause(
        "FieldValueNotSupported",
        f"Unsupported value: {shown(value)}: supported values: {names}",
        field,
    )


def duplicate(field: str, value: Any) -> Cause:
    """A value occurs twice where each may occur once."""
    return Cause("FieldValueDuplicate", f"Duplicate value: {shown(value)}", field)


def forbidden(field: str, detail: str) -> Cause:
    """A field may not be set, or not be changed."""
    return Cause("FieldValueForbidden", f"Forbidden: {detail}", field)


def too_long(field: str, bytes_max: int) -> Cause:
    """A value is longer than it may be."""
    return Cause(
        "FieldValueTooLong", f"Too long: may not be more than {bytes_max} bytes", field
    )  # fmt: skip


def too_many(field: str, found: int, most: int) -> Cause:
    """A list or map has more entries than it may have."""
    return Cause("FieldValueTooMany", f"Too many: {found}: must have at most {most} items", field)


def invalid_error(resource: Resource, name: str, causes: Sequence[Cause]) -> StatusError:
    """Return the refusal (422 Invalid) of a body for its faults, at least one."""
    kind = f"{resource.kind}.{resource.group}" if resource.group else resource.kind
    lines = [f"{c.field}: {c.message}" for c in causes[:CAUSES_MAX]]
    if len(causes) > CAUSES_MAX:
        lines.append(f"and {len(causes) - CAUSES_MAX} more")
    text = lines[0] if len(lines) == 1 else f"[{', '.join(lines)}]"
    return StatusError(
        "Invalid",
        f'{kind} "{name}" is invalid: {text}',
        causes=[cause.as_dict() for cause in causes[:CAUSES_MAX]],
        details={"name": name, "group": resource.group, "kind": resource.kind},
    )
