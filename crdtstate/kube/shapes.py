"""Whether the upper levels of a body are objects and lists where the schema says so.

Everything that looks into a body before it is validated as a whole may then rely on it. Upstream
refuses such a body while it decodes, with 400; what is wrong further down is 422 with its path.
"""

from collections.abc import Mapping
from typing import Any

from crdtstate.kube.schema import Schema
from crdtstate.kube.statuses import StatusError

__all__ = ["check_shapes"]

DEPTH = 3
_TYPES: Mapping[str, type] = {"object": dict, "array": list}
_SAID: Mapping[type, str] = {
    dict: "an object", list: "a list", str: "a text", bool: "a boolean", int: "a number",
    float: "a number",
}  # fmt: skip


def check_shapes(schema: Schema, body: Mapping[str, Any], path: str = "") -> None:
    """Raises: StatusError (BadRequest) naming the field, what it is and what it is not."""
    for name, value in body.items():
        below = schema.properties.get(name)
        if value is None or below is None or below.kind not in _TYPES:
            continue
        wanted = _TYPES[below.kind]
        here = f"{path}.{name}".lstrip(".")
        if not isinstance(value, wanted):
            found = _SAID.get(type(value), "something else")
            raise StatusError("BadRequest", f"{here} is {found}, not {_SAID[wanted]}")
        if isinstance(value, dict) and here.count(".") < DEPTH - 1:
            check_shapes(below, value, here)
