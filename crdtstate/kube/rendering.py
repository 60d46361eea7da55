"""From cells back to what a reader sees; a function of the record alone (layout: `cells`).

What is shown where concurrent writes disagree on the kind of content (a leaf here, an object there)
is the side with the newest write. An item is shown when any sibling of its presence says so.

Invariants:
    OBC-3  Equal records render equally, whatever the order in which they were joined.
    OBC-4  An item without a presence that says so is not shown, and none of its fields.
"""

from collections.abc import Iterable
from typing import Any

import msgspec

from crdtstate.crdt.dots import Dot
from crdtstate.crdt.record import LIFE, Cell, Record, winner
from crdtstate.kube.cells import (
    DERIVED,
    EMPTY,
    FIELD,
    ITEM,
    MEMBER,
    ORDER,
    WHOLE,
    leaf_of,
    present_of,
    value_of,
)

__all__ = ["list_order", "render_content"]

_MISSING: Any = type("Missing", (), {})()
_Branch = dict[str, Any]  # step -> branch; under "" the branch's own cell
_Newest = tuple[int, Dot]
_OLDEST: _Newest = (-1, (0, 0))
_DEPTH_MAX = 128  # Nobody writes deeper ones; a peer that is not one of ours might.


def render_content(record: Record) -> dict[str, Any]:
    """Return the object without what its derived cells say. Cost: O(cells)."""
    root: _Branch = {}
    for path, cell in record.items():
        if path == LIFE or path[0][:1] == DERIVED or len(path) > _DEPTH_MAX or "" in path:
            continue
        branch = root
        for step in path:
            below = branch.get(step)
            if below is None:
                below = branch[step] = {}
            branch = below
        branch[""] = cell
    whole = root.pop(WHOLE[0], None)
    shown = _show_fields(root, [step for step in root if step[:1] == FIELD])
    fields: dict[str, Any] = {} if shown is _MISSING else shown
    return fields if whole is None else _show_whole(whole, root, fields)


def _show_whole(whole: _Branch, root: _Branch, fields: dict[str, Any]) -> dict[str, Any]:
    """The whole register, and the finalizers, which are cells in every object."""
    rest = {step: branch for step, branch in root.items() if step != FIELD + "metadata"}
    content = leaf_of(whole[""]) if "" in whole else None
    if type(content) is not dict or _newest(rest) > _newest(whole):
        return fields
    finalizers = fields.get("metadata", {}).get("finalizers")
    metadata = content.get("metadata")
    content["metadata"] = dict(metadata) if type(metadata) is dict else {}
    if finalizers is not None:
        content["metadata"]["finalizers"] = finalizers
    return content


def list_order(cell: Cell | None, shown: Iterable[str]) -> list[str]:
    """Return the steps of a list in the order that a reader sees.

    As the newest writer of an order had it, then those that only other writers knew as they had
    them, then the rest by name.
    """
    left = dict.fromkeys(sorted(shown))
    if cell is None or len(left) < 2:
        return list(left)
    ordered: list[str] = []
    for dot in sorted(cell, key=lambda d: (cell[d][0], d), reverse=True):
        steps = value_of(cell[dot][1])
        for step in steps if type(steps) is list else ():
            if type(step) is str and step in left:
                del left[step]
                ordered.append(step)
    return ordered + list(left)


def _show(branch: _Branch) -> Any:
    cell: Cell | None = branch.get("")
    if cell is not None and len(branch) == 1:
        return leaf_of(cell)
    kinds: dict[str, list[str]] = {}
    for step in branch:
        kinds.setdefault(step[:1], []).append(step)
    below = [kind for kind in (FIELD, ITEM, MEMBER) if kind in kinds]
    if cell is None and len(below) == 1:
        return _show_kind(branch, below[0], kinds[below[0]])
    if cell is None and not below:
        return _empty_of(branch)
    return _settle(branch, cell, {kind: kinds[kind] for kind in below})


def _settle(branch: _Branch, cell: Cell | None, kinds: dict[str, list[str]]) -> Any:
    """Several kinds of content met: the one with the newest write, of those that show anything."""
    best, value = (_OLDEST, ""), _MISSING
    if cell is not None:
        best, value = (_newest({"": cell}), ""), leaf_of(cell)
    for kind, steps in kinds.items():
        shown = _show_kind(branch, kind, steps)
        at = (_newest({step: branch[step] for step in steps}), kind)
        if shown is not _MISSING and at > best:
            best, value = at, shown
    return value


def _show_kind(branch: _Branch, kind: str, steps: list[str]) -> Any:
    if kind == FIELD:
        return _show_fields(branch, steps)
    if kind == ITEM:
        return _show_items(branch, steps)
    return _in_order(branch, {step: _element(step) for step in steps})


def _show_fields(branch: _Branch, steps: list[str]) -> Any:
    fields = {}
    for step in sorted(steps):
        value = _show(branch[step])
        if value is not _MISSING:
            fields[step[1:]] = value
    return fields if fields or _empty_of(branch) == {} else _MISSING


def _show_items(branch: _Branch, steps: list[str]) -> Any:
    shown = {}
    for step in steps:
        value = _show_item(branch[step])
        if value is not _MISSING:
            shown[step] = value
    return _in_order(branch, shown)


def _show_item(item: _Branch) -> Any:
    cell: Cell | None = item.get("")
    present = present_of(cell) if cell else None
    if not present:
        return _MISSING  # OBC-4
    presence = value_of(winner(present)[2])
    if presence is not True:
        return presence
    fields = _show_fields(item, [step for step in item if step[:1] == FIELD])
    return {} if fields is _MISSING else fields


def _in_order(branch: _Branch, shown: dict[str, Any]) -> Any:
    if not shown:
        return [] if _empty_of(branch) == [] else _MISSING
    order = branch.get(ORDER)
    return [shown[step] for step in list_order(order.get("") if order else None, shown)]


def _empty_of(branch: _Branch) -> Any:
    cell = branch[EMPTY].get("") if EMPTY in branch else None
    return leaf_of(cell) if cell else _MISSING


def _element(step: str) -> Any:
    try:
        return msgspec.json.decode(step[1:])
    except msgspec.DecodeError:
        return step[1:]


def _newest(branch: _Branch) -> _Newest:
    """Return (stamp, dot) of the newest write at or below."""
    newest = _OLDEST
    for step, below in branch.items():
        if step == "":
            dot, stamp, _ = winner(below)
            newest = max(newest, (stamp, dot))
        else:
            newest = max(newest, _newest(below))
    return newest
