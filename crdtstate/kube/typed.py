"""Two values side by side, by schema: what an apply merges, what changed, what is to go.

Lists are atomic, sets or keyed; maps granular or atomic. A value that does not have the shape of
its schema is a leaf, as are scalars, null and whatever is atomic.

Source: structured-merge-diff `typed` (merge, compare, remove, tofieldset, reconcile_schema).

Invariants:
    TYP-1  Comparing a value with itself finds nothing; comparing old with new finds in `changed`
           or `removed` every path at which they differ, and nothing that is equal.
    TYP-2  Merging a configuration twice gives what merging it once gives, and the result holds
           every path of the configuration with its value.
"""

from collections.abc import Callable, Mapping
from typing import Any

from crdtstate.kube.fieldset import Tree, element_text, item_key
from crdtstate.kube.schema import ANY, Schema, child

__all__ = [
    "compare", "is_leaf", "merge", "named_members", "remove", "same", "shape_faults", "to_tree",
    "without_atomic_insides",
]  # fmt: skip

_GONE: Any = object()


def is_leaf(schema: Schema, value: Any) -> bool:
    """Whether the value is one unit, never looked into."""
    if isinstance(value, dict):
        return not value or schema.map_type == "atomic" or schema.kind in ("scalar", "array")
    if isinstance(value, list):
        return not value or schema.kind != "array" or schema.list_type == "atomic"
    return True


def same(a: Any, b: Any) -> bool:
    """Whether two JSON values are equal; unlike `==`, true is not 1."""
    if a is b:
        return True
    if isinstance(a, dict):
        return (
            isinstance(b, dict)
            and a.keys() == b.keys()
            and all(same(each, b[name]) for name, each in a.items())
        )
    if isinstance(a, list):
        return isinstance(b, list) and len(a) == len(b) and all(map(same, a, b))
    return bool(a == b) and isinstance(a, bool) is isinstance(b, bool)


def to_tree(schema: Schema, body: Mapping[str, Any]) -> Tree:
    """Return what a configuration says: its leaves, list items and map entries."""
    tree: Tree = {}
    for name, each in body.items():
        below = child(schema, name)
        if is_leaf(below, each):
            tree["f:" + name] = {}
            continue
        inner = _below(below, each)
        if name not in schema.properties:
            inner = {".": {}, **inner} if inner else {}
            tree["f:" + name] = inner
        elif inner:
            tree["f:" + name] = inner
    return tree


def _below(schema: Schema, value: Any) -> Tree:
    return to_tree(schema, value) if isinstance(value, dict) else _items_tree(schema, value)


def _items_tree(schema: Schema, items: list[Any]) -> Tree:
    tree: Tree = {}
    below = schema.items or ANY
    seen: set[str] = set()
    for each in items:
        key = item_key(schema, each)
        if key is None:
            continue
        if key in seen or is_leaf(below, each):
            tree[key] = {}  # Twice the same key: the item is a leaf, whatever is in it.
        else:
            inner = _below(below, each)
            tree[key] = {".": {}, **inner} if inner else {}
        seen.add(key)
    return tree


def _full(schema: Schema, value: Any) -> Tree:
    """Return the node of a value that came or went: it and all below it are members."""
    if is_leaf(schema, value):
        return {}
    tree: Tree = {".": {}}
    if isinstance(value, dict):
        for name, each in value.items():
            tree["f:" + name] = _full(child(schema, name), each)
        return tree
    below = schema.items or ANY
    for each in value:
        key = item_key(schema, each)
        if key is not None:
            tree[key] = {} if key in tree else _full(below, each)
    return tree if len(tree) > 1 else {}


def compare(schema: Schema, old: Mapping[str, Any], new: Mapping[str, Any]) -> tuple[Tree, Tree]:
    """Return what is new or other in `new`, and what `old` alone has. Cost: O(what differs)."""
    changed: Tree = {}
    removed: Tree = {}
    _compare_maps(schema, old, new, changed, removed)
    return changed, removed


def _compare_maps(
    schema: Schema, old: Mapping[str, Any], new: Mapping[str, Any], changed: Tree, removed: Tree
) -> None:
    for name, after in new.items():
        before = old.get(name, _GONE)
        if before is after:
            continue
        below = child(schema, name)
        if before is _GONE:
            changed["f:" + name] = _full(below, after)
        else:
            _compare_nodes(below, "f:" + name, before, after, changed, removed)
    for name, before in old.items():
        if name not in new:
            removed["f:" + name] = _full(child(schema, name), before)


def _compare_nodes(
    schema: Schema, element: str, old: Any, new: Any, changed: Tree, removed: Tree
) -> None:
    if old == new and same(old, new):
        return
    more: Tree = {}
    less: Tree = {}
    leaves = is_leaf(schema, old) and is_leaf(schema, new)
    if isinstance(old, dict) and isinstance(new, dict) and not leaves:
        _compare_maps(schema, old, new, more, less)
    elif isinstance(old, list) and isinstance(new, list) and not leaves:
        _compare_lists(schema, old, new, more, less)
    else:
        changed[element] = _full(schema, new)
        less = _full(schema, old)
        less.pop(".", None)
    if more:
        changed[element] = more
    if less:
        removed[element] = less


def _compare_lists(
    schema: Schema, old: list[Any], new: list[Any], changed: Tree, removed: Tree
) -> None:
    before, after = _by_key(schema, old), _by_key(schema, new)
    below = schema.items or ANY
    for key, items in after.items():
        previous = before.get(key, [])
        if len(items) == 1 and len(previous) == 1:
            _compare_nodes(below, key, previous[0], items[0], changed, removed)
        elif len(items) == 1:
            changed[key] = _full(below, items[0])
            if previous:
                removed[key] = {}
        elif not same(items, previous):
            changed[key] = {}
            if len(previous) == 1:
                removed[key] = _full(below, previous[0])
    for key, items in before.items():
        if key not in after:
            removed[key] = _full(below, items[0]) if len(items) == 1 else {}


def _by_key(schema: Schema, items: list[Any]) -> dict[str, list[Any]]:
    found: dict[str, list[Any]] = {}
    for each in items:
        key = item_key(schema, each)
        if key is not None:
            found.setdefault(key, []).append(each)
    return found


def merge(schema: Schema, live: Any, config: Any) -> Any:
    """Return `live` with what `config` says. The result shares with both.

    `config` must have passed `shape_faults`; `live` may hold duplicates.
    """
    if isinstance(config, dict) and isinstance(live, dict) and not is_leaf(schema, config):
        if is_leaf(schema, live) and live:
            return config
        result = dict(live)
        for name, each in config.items():
            before = live.get(name, _GONE)
            result[name] = each if before is _GONE else merge(child(schema, name), before, each)
        return result
    if isinstance(config, list) and isinstance(live, list) and not is_leaf(schema, config):
        return _merge_lists(schema, live, config)
    if config is None or config == {} or config == []:
        # Nothing is said about what is below.
        return config if is_leaf(schema, live) else live
    return config


def _merge_lists(schema: Schema, live: list[Any], config: list[Any]) -> list[Any]:
    """Shared and new items in the order of `config`; what only `live` has keeps its place."""
    below = schema.items or ANY
    left = [(item_key(schema, each), each) for each in live]
    right = [(item_key(schema, each), each) for each in config]
    found: dict[str | None, Any] = {}
    for key, each in left:
        # An item that is there twice is replaced rather than merged.
        found[key] = None if key in found else each
    wanted = {key for key, _ in right}
    shared = [key for key, _ in right if key in found]
    taken: set[str | None] = set()
    result: list[Any] = []
    i = j = 0

    def take(key: str | None, item: Any) -> None:
        taken.add(key)
        result.append(merge(below, found.get(key), item) if key in found else item)
        if shared and shared[0] == key:
            shared.pop(0)

    while i < len(left) or j < len(right):
        if i < len(left) and j < len(right):
            key, _ = left[i]
            if key == right[j][0]:
                take(*right[j])
                i += 1
                j += 1
                continue
            if key in wanted and shared and shared[0] != key:
                i += 1  # Shared, but not the one whose turn it is: taken where `config` has it.
                continue
        if i < len(left):
            key, each = left[i]
            if key not in wanted:
                result.append(each)
                i += 1
                continue
            if key in taken:
                i += 1
        if j < len(right):
            take(*right[j])
            j += 1
    return result


def remove(schema: Schema, value: Any, tree: Tree, keep: Tree | None = None) -> Any:
    """Return the value without the members of `tree`, or None when nothing is left of it.

    Maps and lists that are members of `keep` stay, if need be empty.
    """
    if is_leaf(schema, value) or not tree:
        return value
    keep = keep or {}
    if isinstance(value, dict):
        kept: dict[str, Any] = {}
        for name, each in value.items():
            node = tree.get("f:" + name)
            if node is None:
                kept[name] = each
            elif node and "." not in node:
                wanted = keep.get("f:" + name)
                left = remove(child(schema, name), each, node, wanted)
                if left is None and wanted is not None and (not wanted or "." in wanted):
                    left = {} if isinstance(each, dict) else []
                if left is not None:
                    kept[name] = left
        return kept or None
    below = schema.items or ANY
    items = []
    for each in value:
        key = item_key(schema, each)
        node = tree.get(key) if key is not None else None
        if node is None:
            items.append(each)
        elif node and "." not in node:
            items.append(remove(below, each, node, keep.get(key) if key is not None else None))
    return items or None


def named_members(schema: Schema, tree: Tree) -> Tree:
    """Return the tree with every declared field on the way to a member a member itself."""
    result: Tree = {}
    for element, node in tree.items():
        if not node:
            result[element] = node
            continue
        field = element.startswith("f:")
        below = child(schema, element[2:]) if field else schema.items or ANY
        inner = named_members(below, node)
        if field and element[2:] in schema.properties and "." not in inner:
            inner = {".": {}, **inner}
        result[element] = inner
    return result


def without_atomic_insides(schema: Schema, tree: Tree) -> Tree:
    """Return the tree as if its owners had always known what is atomic now.

    A schema that became atomic leaves sets that name fields inside; they stand for the whole.
    """
    result = tree
    for element, node in tree.items():
        if not node:
            continue
        field = element.startswith("f:")
        below = child(schema, element[2:]) if field else schema.items or ANY
        atomic = (
            below.map_type == "atomic" or below.kind == "scalar"
            or (below.kind == "array" and below.list_type == "atomic")
        )  # fmt: skip
        inner = {} if atomic else without_atomic_insides(below, node)
        if inner is not node:
            result = {**result, element: inner}
    return result


def shape_faults(schema: Schema, config: Mapping[str, Any]) -> list[str]:
    """Return what a configuration to be applied has and may not: duplicates, items without key."""
    found: list[str] = []
    _faults(schema, config, "", found.append)
    return found


def _faults(schema: Schema, value: Any, path: str, report: Callable[[str], None]) -> None:
    if is_leaf(schema, value):
        return
    if isinstance(value, dict):
        for name, each in value.items():
            if isinstance(each, dict | list):
                _faults(child(schema, name), each, f"{path}.{name}", report)
        return
    seen: set[str] = set()
    for i, each in enumerate(value):
        key = item_key(schema, each)
        if key is None:
            names = ", ".join(schema.list_keys)
            report(f"{path}: element {i}: an item of this list needs the key fields {names}")
            continue
        if key in seen:
            report(f"{path}: duplicate entries for key {element_text(key)}")
        seen.add(key)
        _faults(schema.items or ANY, each, f"{path}{element_text(key)}", report)
