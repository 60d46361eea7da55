"""Take out of a new object the defaults that its writer has only read (KWR-1).

A client that reads, changes and puts back an object gives every default that it was shown as a
value of its own. Written, such a value would win over what somebody else sets at the same time, and
stay when the schema's default changes.
"""

from collections.abc import Mapping
from typing import Any

from crdtstate.kube.schema import Schema, child

__all__ = ["without_defaults"]


def without_defaults(
    schema: Schema, new: Mapping[str, Any], stored: Mapping[str, Any], shown: Mapping[str, Any]
) -> dict[str, Any]:
    """Return `new` without each value that is in `shown`, equal, and not in `stored`.

    Args:
        stored: The object before, without defaults.
        shown: The same with them, as the client read it.
    """
    kept: dict[str, Any] = {}
    for name, value in new.items():
        if name in shown and name not in stored and shown[name] == value:
            continue
        kept[name] = _below(child(schema, name), value, stored.get(name), shown.get(name))
    return kept


def _below(schema: Schema, new: Any, stored: Any, shown: Any) -> Any:
    if new == shown and stored is not None:
        return stored
    if isinstance(new, dict) and isinstance(stored, dict) and isinstance(shown, dict):
        return without_defaults(schema, new, stored, shown)
    if isinstance(new, list) and isinstance(stored, list) and isinstance(shown, list):
        return _items(schema, new, stored, shown)
    return new


def _items(schema: Schema, new: list[Any], stored: list[Any], shown: list[Any]) -> list[Any]:
    """Pair the items by key, or by what they were shown as; `stored` and `shown` go in step."""
    if schema.items is None or len(stored) != len(shown):
        return new
    kept: list[Any] = []
    for item in new:
        at = _find(schema.list_keys, item, shown)
        kept.append(item if at is None else _below(schema.items, item, stored[at], shown[at]))
    return kept


def _find(keys: tuple[str, ...], item: Any, shown: list[Any]) -> int | None:
    if not isinstance(item, dict):
        return None
    for at, other in enumerate(shown):
        if not isinstance(other, dict):
            return None
        if all(item.get(key) == other.get(key) for key in keys) if keys else item == other:
            return at
    return None
