"""Sets of fields: who owns what, in the shape that `fieldsV1` has on the wire.

A set is a tree of dicts whose keys are path elements: `f:name` a field or map entry,
`k:{"port":80}` an item of a keyed list, `v:"a"` a member of a set. An empty dict is a member; a
node with children is a member only if it holds `"."`.

Source: structured-merge-diff `fieldpath`; KEP-555.

Invariants:
    FLD-1  Union, minus and intersection are those of the sets of paths.
    FLD-2  to_v1 of from_v1 gives the same members, whatever the order and spacing of keys.
"""

import json
from collections.abc import Iterator
from functools import lru_cache
from typing import Any, Self, final

from crdtstate.kube.schema import Schema

__all__ = ["FieldSet", "Tree", "intersect_trees", "item_key", "join_trees", "subtract_trees"]

Tree = dict[str, Any]
"""Path element to Tree."""
Path = tuple[str, ...]

_ELEMENTS_MAX = 100_000
"""Path elements that a manager's set may hold; larger sets are refused where they enter."""


@final
class FieldSet:
    """An immutable set of paths below an object's root."""

    __slots__ = ("tree",)

    def __init__(self, tree: Tree | None = None) -> None:
        self.tree: Tree = tree or {}

    @classmethod
    def from_v1(cls, fields: Any) -> Self:
        """Read `fieldsV1`. ValueError: it is none."""
        count = [0]
        return cls(_canonical(fields, count))

    def to_v1(self) -> Tree:
        """Return `fieldsV1`, sorted. It shares nothing."""
        return _sorted(self.tree)

    def union(self, other: "FieldSet") -> "FieldSet":
        """Return the paths of either."""
        return FieldSet(join_trees(self.tree, other.tree))

    def minus(self, other: "FieldSet") -> "FieldSet":
        """Return the paths of this set that are not paths of the other."""
        return FieldSet(subtract_trees(self.tree, other.tree))

    def intersection(self, other: "FieldSet") -> "FieldSet":
        """Return the paths of both."""
        return FieldSet(intersect_trees(self.tree, other.tree))

    def intersects(self, other: "FieldSet") -> bool:
        """Whether there is a path in both."""
        return bool(intersect_trees(self.tree, other.tree))

    def has(self, path: Path) -> bool:
        """Whether the path (of path elements) is a member."""
        node = self.tree
        for element in path:
            found = node.get(element)
            if found is None:
                return False
            node = found
        return bool(path) and _is_member(node)

    def members(self) -> Iterator[Path]:
        """Yield the members, parents first."""
        yield from _members(self.tree, ())

    def paths(self) -> list[str]:
        """Return the members as text: `.spec.ports[port=80,protocol="TCP"].name`."""
        return ["".join(map(element_text, path)) for path in self.members()]

    def __bool__(self) -> bool:
        return bool(self.tree)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, FieldSet) and self.tree == other.tree

    __hash__ = None  # type: ignore[assignment]  # It holds dicts.

    def __repr__(self) -> str:
        return f"FieldSet({', '.join(self.paths())})"


def item_key(schema: Schema, item: Any) -> str | None:
    """Return the path element of an item of a set or keyed list.

    None: the item lacks a key field that has no default, or has no scalar there.
    """
    if schema.list_type == "set":
        return "v:" + json.dumps(item, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    if not isinstance(item, dict):
        return None
    values = []
    for name in schema.list_keys:
        value = item.get(name)
        if value is None and schema.items is not None:
            below = schema.items.properties.get(name)
            value = below.default if below is not None and below.has_default else None
        if value is None or isinstance(value, dict | list):
            return None
        values.append(value)
    return _key_element(schema.list_keys, *values)


@lru_cache(maxsize=16384, typed=True)  # Typed, and one argument a value: True is not 1.
def _key_element(names: tuple[str, ...], *values: Any) -> str:
    fields = dict(zip(names, values, strict=True))
    return "k:" + json.dumps(fields, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


@lru_cache(maxsize=16384)
def element_text(element: str) -> str:
    """Return a path element as conflicts show it: `.name`, `[port=80]`, `[="a"]`, `[0]`."""
    kind, text = element[:2], element[2:]
    if kind == "f:":
        return "." + text
    if kind == "v:":
        return f"[={text}]"
    if kind == "i:":
        return f"[{text}]"
    pairs = json.loads(text).items()
    inner = ",".join(f"{name}={json.dumps(value, ensure_ascii=False)}" for name, value in pairs)
    return f"[{inner}]"


def _is_member(node: Tree) -> bool:
    return not node or "." in node


def join_trees(a: Tree, b: Tree) -> Tree:
    """Return the union of two sets of siblings. The result shares with both."""
    if a is b or not b:
        return a
    if not a:
        return b
    result = dict(a)
    for element, below in b.items():
        mine = a.get(element)
        if mine is None:
            result[element] = below
        elif mine is not below:
            result[element] = _join_nodes(mine, below)
    return result


def _join_nodes(a: Tree, b: Tree) -> Tree:
    if not a:
        return b if not b or "." in b else {".": {}, **b}
    if not b:
        return a if "." in a else {".": {}, **a}
    return join_trees(a, b)


def subtract_trees(a: Tree, b: Tree) -> Tree:
    """Return the members of `a` that are not members of `b`."""
    if not b:
        return a
    result: Tree = {}
    for element, mine in a.items():
        if element == ".":
            continue
        theirs = b.get(element)
        if theirs is None:
            result[element] = mine
            continue
        keep = _is_member(mine) and not _is_member(theirs)
        left = subtract_trees(mine, theirs) if mine and theirs else mine
        if left and keep:
            left = {".": {}, **left} if "." not in left else left
        elif left and "." in left:
            left = {name: below for name, below in left.items() if name != "."}
        if left or keep:
            result[element] = left
    return result


def intersect_trees(a: Tree, b: Tree) -> Tree:
    """Return the members of both."""
    if a is b:
        return a
    result: Tree = {}
    for element, mine in a.items():
        if element == ".":
            continue
        theirs = b.get(element)
        if theirs is None:
            continue
        both = _is_member(mine) and _is_member(theirs)
        left = intersect_trees(mine, theirs) if mine and theirs else {}
        if left and both:
            left = {".": {}, **left}
        elif left and "." in left:
            left = {name: below for name, below in left.items() if name != "."}
        if left or both:
            result[element] = left
    return result


def _members(tree: Tree, prefix: Path) -> Iterator[Path]:
    for element, below in tree.items():
        if element == ".":
            continue
        path = (*prefix, element)
        if _is_member(below):
            yield path
        if below:
            yield from _members(below, path)


def _sorted(tree: Tree) -> Tree:
    return {element: _sorted(tree[element]) for element in sorted(tree)}


def _canonical(fields: Any, count: list[int], depth: int = 0) -> Tree:
    if not isinstance(fields, dict):
        raise ValueError(f"fieldsV1 holds a {type(fields).__name__} where an object belongs")
    count[0] += len(fields)
    if count[0] > _ELEMENTS_MAX:
        raise ValueError(f"fieldsV1 has over {_ELEMENTS_MAX} path elements")
    if depth > 64:
        raise ValueError("fieldsV1 is nested over 64 deep")
    result: Tree = {}
    for element, below in fields.items():
        if element == ".":
            result["."] = {}
            continue
        if element[:2] in ("k:", "v:"):
            element = _canonical_element(element)
        elif element[:2] not in ("f:", "i:"):
            raise ValueError(f"fieldsV1 has the path element {element!r}, of no known kind")
        result[element] = _canonical(below, count, depth + 1)
    # A node that holds "." alone is the member that an empty node is.
    return {} if len(result) == 1 and "." in result and depth else result


@lru_cache(maxsize=16384)
def _canonical_element(element: str) -> str:
    value = json.loads(element[2:])
    if element[0] == "k" and not isinstance(value, dict):
        raise ValueError(f"fieldsV1 has the key element {element!r}, which is no object")
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return element[:2] + text
