"""JSON documents as record paths, so that concurrent edits join field by field.

    {"spec": {"replicas": 2}}             ".spec" ".replicas"          -> 2
    [{"name": "web", "image": "x"}]       "#web" ".name", "#web" ".image", and "@order" -> ["web"]
    {} and every other list               a leaf, replaced whole

A list whose items are all objects with a distinct text `name` is joined item by item, as
Kubernetes does for containers, ports and variables; every other list is atomic. The resource API
will direct the same walk by a schema instead of this one rule.

When a leaf and something below it survive concurrently (one side wrote a number, the other an
object) a read shows the side with the newest write.

Invariants:
    DOC-1  unflatten(flatten(x)) == x for every JSON object x.
    DOC-2  What a read shows is a function of the record alone.
"""

from typing import Any

from crdtstate.crdt.codec import read_value
from crdtstate.crdt.record import LIFE, Path, Record, winner
from crdtstate.errors import InvalidError, TooLargeError

__all__ = ["APPLIED", "ORDER", "display_path", "flatten", "merge_patch", "unflatten"]

FIELD, ITEM, HIDDEN = ".", "#", "@"
ORDER = "@order"
APPLIED = "@applied"


def flatten(document: dict[str, Any], depth_max: int) -> dict[Path, Any]:
    """Return {path: leaf}. Raises: TooLargeError when nested deeper than `depth_max`."""
    leaves: dict[Path, Any] = {}
    stack: list[tuple[Path, Any]] = [
        ((FIELD + name,), value) for name, value in reversed(document.items())
    ]
    while stack:
        path, value = stack.pop()
        if len(path) > depth_max:
            raise TooLargeError(
                f"path {display_path(path[:3])}… is over path_depth_max={depth_max}",
                code="path_too_deep",
                limit=depth_max,
                value=len(path),
            )
        if type(value) is dict and value:
            stack.extend(((*path, FIELD + k), v) for k, v in reversed(value.items()))
        elif (names := item_names(value)) is not None:
            leaves[*path, ORDER] = names
            stack.extend(
                ((*path, ITEM + name), item)
                for name, item in zip(reversed(names), reversed(value), strict=True)
            )
        else:
            leaves[path] = value
    return leaves


def item_names(value: Any) -> list[str] | None:
    """Return the names of a list whose items are joined one by one, else None."""
    if type(value) is not list or not value:
        return None
    names = [item.get("name") if type(item) is dict else None for item in value]
    if any(type(name) is not str for name in names) or len(set(names)) != len(names):
        return None
    return [str(name) for name in names]


def unflatten(record: Record) -> dict[str, Any]:
    """Return the document that a reader sees. Cost: O(cells)."""
    root = _Branch()
    for path, cell in record.items():
        if path == LIFE or path[0][:1] == HIDDEN:
            continue
        dot, stamp, value = winner(cell)
        branch = root
        for step in path:
            branch = branch.below.setdefault(step, _Branch())
        branch.leaf, branch.at = value, (stamp, dot)
    _settle(root)
    shown = root.render()
    return shown if type(shown) is dict else {}


class _Branch:
    """One path of the document while it is being put together."""

    __slots__ = ("at", "below", "leaf")

    def __init__(self) -> None:
        self.below: dict[str, _Branch] = {}
        self.leaf: bytes | None = None
        self.at: tuple[int, tuple[int, int]] = (0, (0, 0))  # Newest write at or below.

    def render(self) -> Any:
        """Return the JSON value; `_settle` has decided what is shown."""
        if self.leaf is not None:
            return read_value(self.leaf)
        items = {s[1:]: b for s, b in self.below.items() if s[:1] == ITEM}
        if not items:
            return {s[1:]: b.render() for s, b in sorted(self.below.items()) if s[:1] == FIELD}
        order = self.below.get(ORDER)
        names = read_value(order.leaf) if order and order.leaf is not None else []
        listed = [n for n in names if n in items] if type(names) is list else []
        rest = sorted(items.keys() - set(listed))
        return [items[name].render() for name in [*listed, *rest]]


def _settle(root: _Branch) -> None:
    """Where kinds of content met concurrently, keep the newest; order of visit does not matter."""
    order: list[_Branch] = [root]
    for branch in order:
        order.extend(branch.below.values())
    for branch in reversed(order):
        if not branch.below:
            continue
        newest = {FIELD: (0, (0, 0)), ITEM: (0, (0, 0))}
        for step, child in branch.below.items():
            if step[:1] in newest:
                newest[step[:1]] = max(newest[step[:1]], child.at)
        kind = max(newest, key=lambda k: (newest[k], k))
        if branch.leaf is not None and branch.at >= newest[kind]:
            branch.below = {}
            continue
        branch.leaf, branch.at = None, newest[kind]
        branch.below = {s: b for s, b in branch.below.items() if s[:1] == kind or s[:1] == HIDDEN}


def merge_patch(document: Any, patch: Any) -> Any:
    """Return `document` with `patch` merged into it. Source: RFC 7396 section 2."""
    if type(patch) is not dict:
        return patch
    merged = dict(document) if type(document) is dict else {}
    for name, value in patch.items():
        if value is None:
            merged.pop(name, None)
        else:
            merged[name] = merge_patch(merged.get(name), value)
    return merged


def display_path(path: Path) -> str:
    """Return the path as people read it: "/spec/containers/web/image"."""
    return "/" + "/".join(step[1:].replace("~", "~0").replace("/", "~1") for step in path)


def require_object(value: Any, what: str) -> dict[str, Any]:
    """Return `value` when it is a JSON object. Raises: InvalidError."""
    if type(value) is not dict:
        raise InvalidError(f"{what} is not a JSON object", code="invalid_json")
    return value
