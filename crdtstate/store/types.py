"""How intents on maps, sets, counters and flags become changes of paths (layout: `views`).

Each function plans one operation on a `Planner`; a record is created when there is none, and an
existing one keeps its life cell untouched (REC-4): an update cannot undo a removal that it has not
seen.

Source: [BZP12] for the add-wins set; a counter is one cell per origin, as in [ASB18] section 6.
"""

from typing import TYPE_CHECKING, Any

from crdtstate.crdt.codec import encode_value, read_value
from crdtstate.crdt.record import LIFE, Path, winner
from crdtstate.errors import InvalidError, TooLargeError
from crdtstate.store import operations as ops
from crdtstate.store.document import APPLIED, flatten, merge_patch, unflatten

if TYPE_CHECKING:
    from crdtstate.store.planner import Planner

__all__ = ["plan_counter", "plan_flag", "plan_map", "plan_set"]

_AMOUNT_MAX = 1 << 62


def plan_map(
    planner: "Planner", key: bytes, operation: ops.MapPut | ops.MapMerge | ops.Apply
) -> None:
    """Set what differs, drop what is to go, leave the rest unstamped (PLN-2)."""
    depth_max = planner.limits.path_depth_max
    value = operation.value
    given = flatten(
        merge_patch({}, value) if isinstance(operation, ops.MapMerge) else value, depth_max
    )
    record_id = planner.open(key, operation.key, "map")
    record = planner.record(record_id)
    content = [p for p in record if p != LIFE and p[0] != APPLIED]
    target = given
    if isinstance(operation, ops.MapMerge):
        target = flatten(merge_patch(unflatten(record), value), depth_max)
    if isinstance(operation, ops.Apply):
        gone = _applied_before(planner, record_id, operation.manager, given)
    else:
        gone = [p for p in content if p not in target]
    for path in gone:
        planner.drop_leaf(record_id, path)
    for path, leaf in target.items():
        _put_leaf(planner, record_id, path, encode_value(leaf), asserted=path in given)


def _applied_before(
    planner: "Planner", record_id: bytes, manager: str, given: dict[Path, Any]
) -> list[Path]:
    """Return what the manager gave before and no longer gives; remember what it gives."""
    place, record = (APPLIED, manager), planner.record(record_id)
    cell = record.get(place, {})
    before = {
        tuple(steps)
        for _, value in cell.values()
        for steps in read_value(value) or ()
        if type(steps) is list
    }
    if before != set(given) or len(cell) > 1:
        planner.put_path(record_id, place, encode_value([list(p) for p in sorted(given)]))
    # A scalar where there was an object, or the reverse, hides what is there: it goes too.
    above = {p[:depth] for p in given for depth in range(1, len(p))}
    hidden = {
        p
        for p in record
        if p != LIFE and p[0] != APPLIED and p not in given
        and (p in above or any(p[:depth] in given for depth in range(1, len(p))))
    }  # fmt: skip
    return sorted({p for p in before if p in record and p not in given} | hidden)


def _put_leaf(
    planner: "Planner", record_id: bytes, path: Path, value: bytes, *, asserted: bool
) -> None:
    cell = planner.record(record_id).get(path)
    if cell and winner(cell)[2] == value and not (asserted and len(cell) > 1):
        return  # PLN-2; but what is said again explicitly settles a conflict.
    planner.put_path(record_id, path, value)


def plan_set(planner: "Planner", key: bytes, operation: ops.SetAdd | ops.SetRemove) -> None:
    """Add or remove elements; each is a cell of its own."""
    limit = planner.limits.set_element_bytes_max
    for element in operation.elements:
        size = len(element.encode())
        if size > limit:
            raise TooLargeError(
                f"set element is {size} bytes, over set_element_bytes_max={limit}",
                limit=limit,
                value=size,
            )
    if isinstance(operation, ops.SetRemove) and planner.find(key) is None:
        return
    record_id = planner.open(key, operation.key, "set")
    for element in operation.elements:
        path = ("~" + element,)
        if isinstance(operation, ops.SetRemove):
            planner.drop_path(record_id, path)
        elif path not in planner.record(record_id):
            planner.put_path(record_id, path, encode_value(value=True))


def plan_counter(planner: "Planner", key: bytes, operation: ops.CounterAdd) -> int:
    """Add to this origin's own cell; return the value that a reader sees after it."""
    if not -_AMOUNT_MAX < operation.amount < _AMOUNT_MAX:
        raise InvalidError(f"amount {operation.amount} is not within -2**62 to 2**62")
    record_id = planner.open(key, operation.key, "counter")
    path = ("=" + f"{planner.dot[0]:016x}",)
    cell = planner.record(record_id).get(path)
    total = (read_value(winner(cell)[2]) if cell else 0) + operation.amount
    if operation.amount or cell is None:
        planner.put_path(record_id, path, encode_value(total))
    view = planner.view(key)
    return int(view.value) if view else total


def plan_flag(planner: "Planner", key: bytes, operation: ops.FlagSet) -> None:
    """Enable by setting a cell, disable by dropping what was observed of it."""
    record_id = planner.open(key, operation.key, "flag")
    on = ("!on",) in planner.record(record_id)
    if operation.value and not on:
        planner.put_path(record_id, ("!on",), encode_value(value=True))
    elif on and not operation.value:
        planner.drop_path(record_id, ("!on",))
