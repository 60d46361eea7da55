"""The bounded counter: it never goes below zero, under any partition, without asking anyone.

Each replica holds rights and may take at most those; rights move by transfer. Every cell has one
writer, the origin in its name, so there are no concurrent siblings and nothing to resolve.

Source: [BDF15].

Invariants:
    ESC-1  For every origin: granted + received - given - taken >= 0, checked where it is spent.
    ESC-2  The value, the sum of all rights, is never below 0.
"""

from typing import TYPE_CHECKING

from crdtstate.crdt.codec import encode_value
from crdtstate.errors import InvalidError, NotFoundError, WrongTypeError
from crdtstate.store import operations as ops
from crdtstate.store.views import integer_at, rights_of

if TYPE_CHECKING:
    from crdtstate.store.planner import Planner

__all__ = ["plan_bounded"]

_Bounded = ops.BoundedCreate | ops.BoundedAdd | ops.BoundedTake | ops.BoundedTransfer


def plan_bounded(planner: "Planner", key: bytes, operation: _Bounded) -> dict[str, int]:
    """Plan one operation; return the value and this replica's rights after it.

    Raises: WrongTypeError (code insufficient_rights), NotFoundError, InvalidError.
    """
    me = f"{planner.dot[0]:016x}"
    amount = operation.amount
    least = 0 if isinstance(operation, ops.BoundedCreate) else 1
    if not least <= amount < 1 << 62:
        raise InvalidError(f"amount {amount} is not within {least} to 2**62")
    found = planner.find(key)
    if isinstance(operation, ops.BoundedCreate):
        if found is not None:
            raise WrongTypeError(
                f"key {operation.key!r} exists: a bounded counter is created once",
                key=operation.key,
            )
        record_id = planner.open(key, operation.key, "bounded")
    else:
        if found is None:
            raise NotFoundError(f"there is no key {operation.key!r}", key=operation.key)
        planner.require_type(operation.key, found[1], "bounded")
        record_id = found[0]
    record = planner.record(record_id)
    if isinstance(operation, ops.BoundedTake | ops.BoundedTransfer):
        _require_rights(operation.key, amount, rights_of(record, me))
    path: tuple[str, ...]
    match operation:
        case ops.BoundedCreate() | ops.BoundedAdd():
            path = ("+" + me,)
        case ops.BoundedTake():
            path = ("-" + me,)
        case _:
            receiver = planner.resolve_member(operation.to)
            if receiver is None:
                raise NotFoundError(
                    f"there is no member {operation.to!r}",
                    code="no_such_member",
                    name=operation.to,
                )
            path = (">" + me, f"{receiver:016x}")
    planner.put_path(record_id, path, encode_value(integer_at(record, path) + amount))
    view = planner.view(key)
    return {
        "value": view.value if view else 0,
        "available": rights_of(planner.record(record_id), me),
    }


def _require_rights(key: str, amount: int, available: int) -> None:
    if amount > available:
        raise WrongTypeError(
            f"key {key!r}: {amount} wanted, this peer holds rights for {available}",
            code="insufficient_rights",
            key=key,
            available=available,
            wanted=amount,
        )
