"""Strategic merge patch: lists merge by the key that their schema names, with directives.

`$patch` (replace, delete, merge), `$retainKeys`, `$setElementOrder/LIST` and
`$deleteFromPrimitiveList/LIST`. Built-in kinds only; custom resources answer 415.

Source: apimachinery `strategicpatch/patch.go`.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from crdtstate.kube.schema import Schema, child
from crdtstate.kube.statuses import StatusError

__all__ = ["strategic_merge"]

_PATCH = "$patch"
_RETAIN = "$retainKeys"
_ORDER = "$setElementOrder/"
_DELETE = "$deleteFromPrimitiveList/"


def strategic_merge(
    schema: Schema, live: Mapping[str, Any], patch: Mapping[str, Any]
) -> dict[str, Any]:
    """Return `live` with the patch. The result shares with both.

    Raises: StatusError BadRequest, a directive that is none or does not fit.
    """
    return _merge_map(schema, live, patch)


def _bad(text: str) -> StatusError:
    return StatusError("BadRequest", f"strategic merge patch: {text}")


def _merge_map(schema: Schema, live: Mapping[str, Any], patch: Mapping[str, Any]) -> dict[str, Any]:
    directive = patch.get(_PATCH)
    if directive == "replace":
        return {name: _plain(each) for name, each in patch.items() if name != _PATCH}
    if directive == "delete":
        return {}
    if directive not in (None, "merge"):
        raise _bad(f"unknown patch type {directive!r}")
    result = _retained(live, patch)
    ordered: set[str] = set()
    for name, each in patch.items():
        if name.startswith(_ORDER):
            field = name[len(_ORDER) :]
            ordered.add(field)
            _reorder(schema, field, result, patch, each)
    for name, each in patch.items():
        if name in (_PATCH, _RETAIN) or name in ordered or name.startswith(_ORDER):
            continue
        if name.startswith(_DELETE):
            _delete_scalars(result, name[len(_DELETE) :], each)
        elif each is None:
            result.pop(name, None)
        else:
            result[name] = _merge_value(child(schema, name), result.get(name), each)
    return result


def _retained(live: Mapping[str, Any], patch: Mapping[str, Any]) -> dict[str, Any]:
    if _RETAIN not in patch:
        return dict(live)
    names = patch[_RETAIN]
    if not isinstance(names, list):
        raise _bad(f"{_RETAIN} is no list")
    for name, each in patch.items():
        if each is not None and name not in names and not name.startswith("$"):
            raise _bad(f"the field {name!r} is patched and not among {_RETAIN}")
    return {name: each for name, each in live.items() if name in names}


def _merge_value(schema: Schema, live: Any, patch: Any) -> Any:
    if isinstance(patch, dict) and isinstance(live, dict):
        return _merge_map(schema, live, patch)
    if isinstance(patch, list) and isinstance(live, list) and schema.merge_key is not None:
        return _merge_list(schema, live, patch)
    return _plain(patch)


def _plain(value: Any) -> Any:
    """Return what a patch adds where nothing was: without nulls and directives."""
    if isinstance(value, dict):
        if value.get(_PATCH) == "delete":
            return {}
        return {
            name: _plain(each)
            for name, each in value.items()
            if each is not None and not name.startswith("$")
        }
    if isinstance(value, list):
        return [_plain(each) for each in value if not _is_special(each)]
    return value


def _is_special(item: Any) -> bool:
    return isinstance(item, dict) and item.get(_PATCH) in ("delete", "replace")


def _merge_list(schema: Schema, live: list[Any], patch: list[Any]) -> list[Any]:
    key = schema.merge_key
    if not key:
        # Without a key these are scalars; a dict keeps them once each, in order.
        return _in_order(list(dict.fromkeys(_scalars([*live, *patch]))), patch, live, "")
    live, patch = _without_special(live, patch, key)
    merged = list(live)
    places = {_key_of(each, key): i for i, each in reversed(list(enumerate(live)))}
    for each in patch:
        name = _key_of(each, key)
        if name is None:
            raise _bad(f"an item of a list lacks its merge key {key!r}")
        place = places.get(name)
        if place is None:
            places[name] = len(merged)
            merged.append(_merge_map(schema.items or schema, {}, each))
        else:
            merged[place] = _merge_map(schema.items or schema, merged[place], each)
    return _in_order(merged, patch, live, key)


def _without_special(
    live: list[Any], patch: list[Any], key: str
) -> tuple[list[Any], list[dict[str, Any]]]:
    """Carry out the items that are directives; return what is left of both lists."""
    rest = []
    deleted = set()
    replace = False
    for each in patch:
        if not isinstance(each, dict):
            raise _bad(f"an item of a list merged by {key!r} is no map")
        directive = each.get(_PATCH)
        if directive == "delete":
            name = each.get(key)
            if name is None:
                raise _bad(f"an item to delete lacks its merge key {key!r}")
            deleted.add(name)
        elif directive == "replace":
            replace = True
        elif directive in (None, "merge"):
            rest.append(each)
        else:
            raise _bad(f"unknown patch type {directive!r}")
    if replace:
        return [_plain(each) for each in rest], []
    return [item for item in live if _key_of(item, key) not in deleted] if deleted else live, rest


def _key_of(item: Any, key: str) -> Any:
    found = item.get(key) if key and isinstance(item, dict) else item
    return None if isinstance(found, dict | list) else found


def _reorder(
    schema: Schema, field: str, result: dict[str, Any], patch: Mapping[str, Any], order: Any
) -> None:
    """Merge a list and put it in the order that `$setElementOrder` gives."""
    below = child(schema, field)
    key = below.merge_key or ""
    live, change = result.get(field), patch.get(field)
    if not isinstance(order, list):
        raise _bad(f"{_ORDER}{field} is no list")
    if not isinstance(live, list | None) or not isinstance(change, list | None):
        raise _bad(f"{_ORDER}{field} is given for a field that is no list")
    if live is None and change is None:
        return
    wanted = {_key_of(each, key) for each in order} if key else set(_scalars(order))
    for each in change or []:
        if not _is_special(each) and _key_of(each, key) not in wanted:
            raise _bad(f"{_ORDER}{field} does not name every item of the patch")
    if live is None:
        merged = [_plain(each) for each in change or [] if not _is_special(each)]
    else:
        merged = live if change is None else _merge_value(below, live, change)
    result[field] = _in_order(merged, order, live or [], key)


def _in_order(
    items: Sequence[Any], order: Sequence[Any], live: Sequence[Any], key: str
) -> list[Any]:
    """Put items named in `order` in that order, and the others where `live` had them."""

    def name_of(item: Any) -> Any:
        return _key_of(item, key)

    ranks = {name_of(each): i for i, each in reversed(list(enumerate(order)))}
    places = {name_of(each): i for i, each in reversed(list(enumerate(live)))}
    patched = sorted((i for i in items if name_of(i) in ranks), key=lambda i: ranks[name_of(i)])
    others = [item for item in items if name_of(item) not in ranks]
    others.sort(key=lambda item: places.get(name_of(item), len(places)))
    result = []
    i = j = 0
    while i < len(others) and j < len(patched):
        left, right = places.get(name_of(others[i])), places.get(name_of(patched[j]))
        if left is not None and right is not None and left < right:
            result.append(others[i])
            i += 1
        else:
            result.append(patched[j])
            j += 1
    return result + others[i:] + patched[j:]


def _delete_scalars(result: dict[str, Any], field: str, names: Any) -> None:
    live = result.get(field)
    if not isinstance(names, list):
        raise _bad(f"{_DELETE}{field} is no list")
    if isinstance(live, list):
        gone = set(_scalars(names))
        result[field] = [each for each in _scalars(live) if each not in gone]


def _scalars(items: list[Any]) -> list[Any]:
    if any(isinstance(each, dict | list) for each in items):
        raise _bad("a list of scalars holds a map or a list")
    return items
