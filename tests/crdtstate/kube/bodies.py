"""Bodies of the kind `sample`, over small domains so that they often meet."""

from typing import Any

from hypothesis import strategies as st

from crdtstate.kube.fieldset import item_key
from crdtstate.kube.schema import Schema, child

_TEXT = st.sampled_from(["a", "b"])
_NAMES = st.sampled_from(["x", "y"])
_NUMBERS = st.integers(0, 2)


def _unique(strategy: st.SearchStrategy[Any], *keys: str) -> st.SearchStrategy[list[Any]]:
    by = (lambda item: tuple(item.get(key) for key in keys)) if keys else None
    return st.lists(strategy, max_size=3, unique_by=by, unique=by is None)


def _struct(required: dict[str, Any] | None = None, **optional: Any) -> st.SearchStrategy[Any]:
    return st.fixed_dictionaries(required or {}, optional=optional)


_JSON = st.recursive(
    _TEXT | _NUMBERS | st.booleans() | st.none(),
    lambda below: st.lists(below, max_size=2) | st.dictionaries(_NAMES, below, max_size=2),
    max_leaves=4,
)


def bodies() -> st.SearchStrategy[dict[str, Any]]:
    """Return configurations that may be applied."""
    nested = _unique(_struct({"name": _NAMES}, value=_NUMBERS), "name")
    item = _struct({"name": _NAMES}, value=_NUMBERS, more=_TEXT, tags=_unique(_TEXT), nested=nested)
    return _struct(
        str=_TEXT,
        list=st.lists(_TEXT, max_size=2),
        set=_unique(_TEXT),
        items=_unique(item, "name"),
        ports=_unique(_struct({"port": _NUMBERS, "protocol": st.just("TCP")}, name=_TEXT), "port"),
        whole=_unique(_struct({"name": _NAMES}, a=_TEXT, b=_TEXT), "name"),
        map=st.dictionaries(_NAMES, _TEXT, max_size=2),
        maps=st.dictionaries(_NAMES, _struct(a=_TEXT, b=_TEXT), max_size=2),
        atom=st.dictionaries(_NAMES, _TEXT, max_size=2),
        sub=_struct(a=_TEXT, deep=_struct(c=_TEXT, d=_TEXT)),
        any=st.dictionaries(_NAMES, _JSON, max_size=2),
    )


MISSING = object()


def value_at(schema: Schema, value: Any, path: tuple[str, ...]) -> Any:
    """Return what is at a path of path elements, or MISSING."""
    for element in path:
        if element.startswith("f:"):
            if not isinstance(value, dict) or element[2:] not in value:
                return MISSING
            schema, value = child(schema, element[2:]), value[element[2:]]
        else:
            if not isinstance(value, list):
                return MISSING
            found = [each for each in value if item_key(schema, each) == element]
            if not found:
                return MISSING
            schema, value = schema.items or schema, found[0]
    return value
