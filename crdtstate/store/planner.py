"""From intents to changes: a planner plans one transaction on the table as the writer sees it.

It works on copies of the records that it touches, so that a transaction that is refused half-way
has changed nothing. A later operation of the same transaction sees the earlier ones; of two changes
of one path the last one stays (TXN-1).

Invariants:
    PLN-1  A change's `observed` holds exactly the dots that were there before the transaction.
    PLN-2  An operation that would change nothing adds no change.
"""

from collections.abc import Callable, Sequence
from typing import Any, assert_never, final

from crdtstate.crdt.codec import encode_register, is_register, register_value
from crdtstate.crdt.dots import Dot
from crdtstate.crdt.record import (
    LIFE,
    Path,
    Record,
    apply_drop,
    apply_drops,
    apply_set,
    observed_at,
    observed_below,
)
from crdtstate.errors import InvalidError, PreconditionError, TooLargeError, WrongTypeError
from crdtstate.store import operations as ops
from crdtstate.store.limits import Limits, check_key, check_value
from crdtstate.store.rights import plan_bounded
from crdtstate.store.table import Table
from crdtstate.store.transaction import Change, make_record_id, split_record_id
from crdtstate.store.types import plan_counter, plan_flag, plan_map, plan_set
from crdtstate.store.views import View, encode_life, life_of, view_of, view_of_record

__all__ = ["Planner", "put_content"]


@final
class Planner:
    """Plans the transaction `dot`; afterwards `changes` and `records` hold what to apply."""

    def __init__(
        self,
        table: Table,
        dot: Dot,
        stamp: int,
        wall_ms: int,
        limits: Limits,
        resolve_member: Callable[[str], int | None],
    ) -> None:
        self.table, self.dot, self.stamp, self.wall_ms = table, dot, stamp, wall_ms
        self.limits, self.resolve_member = limits, resolve_member
        self.changes: dict[tuple[bytes, Path], Change] = {}
        self.before: dict[bytes, bytes | None] = {}  # what the table held, as far as looked at
        self.plain: dict[bytes, bytes] = {}  # record id -> encoded register
        self.records: dict[bytes, Record] = {}  # record id -> everything else
        self._encoded: dict[bytes, bytes] = {}  # of those, as long as they do not change
        self._ended: dict[bytes, int] = {}  # key -> greatest incarnation ended here
        self._fresh: dict[bytes, list[bytes]] = {}  # key -> later lives begun here
        self.bytes = 0
        self.results: list[Any] = []

    # -- preconditions -------------------------------------------------------------------------

    def require(self, condition: ops.Precondition) -> None:
        """Check one precondition. Raises: PreconditionError, InvalidError."""
        given = (condition.version is not None) + condition.absent + condition.exists
        if given != 1:
            raise InvalidError(
                f"precondition on {condition.key!r} names {given} of version, absent, exists; "
                "one is needed"
            )
        view = self.view(check_key(condition.key, self.limits))
        found = view.version if view else None
        if condition.absent:
            holds, wanted = view is None, "absent"
        elif condition.exists:
            holds, wanted = view is not None, "present"
        else:
            holds, wanted = found == condition.version, f"at version {condition.version}"
        if not holds:
            state = f"at version {found}" if found else "absent"
            raise PreconditionError(
                f"key {condition.key!r} is {state} on this peer, not {wanted}",
                key=condition.key,
                version=found,
            )

    # -- what is there -------------------------------------------------------------------------

    def encoded(self, record_id: bytes) -> bytes | None:
        """Return the record's bytes, with this transaction's earlier changes."""
        if record_id in self.records:
            data = self._encoded.get(record_id)
            if data is None:
                record = self.records[record_id]
                data = self.table.wide.encode(record_id, record) if record else b""
                self._encoded[record_id] = data
            return data or None
        if record_id in self.plain:
            return self.plain[record_id]
        if record_id in self.before:
            return self.before[record_id]
        data = self.before[record_id] = self.table.get_encoded(record_id)
        return data

    def record(self, record_id: bytes) -> Record:
        """Return the working copy of a record."""
        record = self.records.get(record_id)
        if record is None:
            data = self.encoded(record_id)
            self.plain.pop(record_id, None)
            record = self.table.wide.decode(record_id, data) if data else {}
            self.records[record_id] = record
            self._encoded[record_id] = data or b""
        return record

    def lives(self, key: bytes) -> list[bytes]:
        """Return the ids under which `key` may have a record, this transaction's included."""
        ids = self.table.lives(key)
        fresh = self._fresh.get(key)
        return sorted({*ids, *fresh}) if fresh else ids

    def find(self, key: bytes) -> tuple[bytes, View] | None:
        """Return the id and view of the readable life of `key`: the one created last."""
        best: tuple[bytes, View] | None = None
        for record_id in self.lives(key):
            view = self._view_of(record_id)
            if view is not None and (best is None or view.stamp > best[1].stamp):
                best = record_id, view
        return best

    def _view_of(self, record_id: bytes) -> View | None:
        if record_id not in self.records:
            data = self.encoded(record_id)
            if not data or is_register(data):
                return view_of(data, self.wall_ms)
        # Neither encoded for the sake of a look, nor decoded twice.
        record = self.record(record_id)
        return view_of_record(record, self._encoded.get(record_id), self.wall_ms)

    def view(self, key: bytes) -> View | None:
        """Return what a reader would see of `key`."""
        found = self.find(key)
        return found[1] if found else None

    def fresh_life(self, key: bytes) -> bytes:
        """Return the record id under which `key` is to be created.

        After a removal that is known here, the next incarnation; and never one that still holds
        what late updates left in it.
        """
        grave = self.table.grave(key)
        number = 0 if grave is None else grave + 1
        number = max(number, self._ended.get(key, -1) + 1)
        while True:
            record_id = make_record_id(key, number)
            data = self.encoded(record_id)
            if not data or register_value(data) is not None or LIFE in self.record(record_id):
                if number:
                    self._fresh.setdefault(key, []).append(record_id)
                return record_id
            number += 1

    def begin_life(self, key: bytes) -> tuple[bytes, int]:
        """Return the record id and incarnation of a new life beside whatever is there."""
        number = self.next_incarnation(key)
        record_id = make_record_id(key, number)
        if number:
            self._fresh.setdefault(key, []).append(record_id)
        return record_id, number

    def next_incarnation(self, key: bytes) -> int:
        """Return the incarnation that `begin_life` takes: greater than every one known here."""
        grave = self.table.grave(key)
        known = [-1 if grave is None else grave, self._ended.get(key, -1)]
        known += [split_record_id(r)[1] for r in self.lives(key) if self.encoded(r)]
        return max(known) + 1

    # -- changes -------------------------------------------------------------------------------

    def put_path(self, record_id: bytes, path: Path, value: bytes) -> None:
        """Set one path, replacing what is there."""
        check_value(len(value), self.limits)
        record = self.record(record_id)
        observed = [d for d in observed_at(record, path) if d != self.dot]
        apply_set(record, path, self.dot, self.stamp, value, observed_at(record, path))
        self._note(Change(record_id, path, value, observed))

    def drop_path(self, record_id: bytes, path: Path) -> None:
        """Remove one path and all below it."""
        dots = observed_below(self.record(record_id), path)
        depth = len(path)
        earlier = [t for t in self.changes if t[0] == record_id and t[1][:depth] == path]
        self._drop(record_id, path, dots, earlier)

    def drop_leaf(self, record_id: bytes, path: Path) -> None:
        """Remove the cell at `path` and leave what lies below it."""
        dots = observed_at(self.record(record_id), path)
        earlier = [(record_id, path)] if (record_id, path) in self.changes else []
        self._drop(record_id, path, dots, earlier)

    def drop_leaves(self, record_id: bytes, paths: Sequence[Path]) -> None:
        """Do `drop_leaf` for each path. Cost: O(cells), however many paths."""
        record = self.record(record_id)
        drops = {path: observed_at(record, path) for path in paths}
        apply_drops(record, drops)
        for path, dots in drops.items():
            earlier = [(record_id, path)] if (record_id, path) in self.changes else []
            self._note_drop(record_id, path, dots, earlier)

    def _drop(
        self, record_id: bytes, path: Path, dots: list[Dot], earlier: list[tuple[bytes, Path]]
    ) -> None:
        apply_drop(self.record(record_id), path, dots)
        self._note_drop(record_id, path, dots, earlier)

    def _note_drop(
        self, record_id: bytes, path: Path, dots: list[Dot], earlier: list[tuple[bytes, Path]]
    ) -> None:
        self._encoded.pop(record_id, None)
        observed = set(dots)
        for place in earlier:  # PLN-1: what they removed was observed by this transaction.
            observed.update(self.changes.pop(place).observed)
        observed.discard(self.dot)
        if observed:
            self._note(Change(record_id, path, None, sorted(observed)))

    def _note(self, change: Change) -> None:
        self._encoded.pop(change.record_id, None)
        place = (change.record_id, change.path)
        earlier = self.changes.pop(place, None)
        if earlier is not None:  # PLN-1: what the earlier change removed is still observed.
            merged = sorted({*earlier.observed, *change.observed})
            change = change._replace(observed=merged)
        self.changes[place] = change
        self.bytes += len(change.record_id) + len(change.value or b"") + 24
        if self.bytes > self.limits.transaction_bytes_max:
            raise TooLargeError(
                f"transaction is over transaction_bytes_max={self.limits.transaction_bytes_max}",
                code="transaction_too_large",
                limit=self.limits.transaction_bytes_max,
                value=self.bytes,
            )

    # -- operations ----------------------------------------------------------------------------

    def plan(self, operation: ops.Intent) -> None:
        """Plan one operation. Raises: InvalidError, TooLargeError, WrongTypeError, StatusError."""
        if isinstance(operation, ops.Edit):
            self.results.append(operation.plan(self, operation.key))
        else:
            self.plan_at(check_key(operation.key, self.limits), operation)

    def plan_at(self, key: bytes, operation: ops.Operation) -> None:
        """Plan one operation on a key that is already checked, or is one of the system's."""
        match operation:
            case ops.Put():
                self._put(key, operation)
            case ops.Delete():
                self.results.append(self.delete(key))
            case ops.MapPut() | ops.MapMerge() | ops.Apply():
                plan_map(self, key, operation)
            case ops.SetAdd() | ops.SetRemove():
                plan_set(self, key, operation)
            case ops.CounterAdd():
                self.results.append(plan_counter(self, key, operation))
            case ops.FlagSet():
                plan_flag(self, key, operation)
            case ops.BoundedCreate() | ops.BoundedAdd() | ops.BoundedTake() | ops.BoundedTransfer():
                self.results.append(plan_bounded(self, key, operation))
            case _:
                assert_never(operation)

    def _put(self, key: bytes, operation: ops.Put) -> None:
        content = put_content(operation)
        check_value(len(content), self.limits)
        expires_ms = None
        if operation.ttl_ms is not None:
            if not 0 < operation.ttl_ms < 1 << 42:
                raise InvalidError(f"ttl_ms is {operation.ttl_ms}, not within 1 to 2**42")
            expires_ms = self.wall_ms + operation.ttl_ms
        life = encode_life("register", content, expires_ms)
        found = self.find(key)
        if found is None:
            record_id = self.fresh_life(key)
            self._put_life(record_id, life)
        else:
            record_id, view = found
            self.require_type(operation.key, view, "register")
            same = view.value == content and view.record is None
            if same and expires_ms is None and view.expires_ms is None:
                self.results.append(view.data)
                return  # PLN-2
            if view.record is None and record_id not in self.records:
                self._put_plain(record_id, life, view.stamp[1])
            else:
                self._put_life(record_id, life)
        self.results.append(self.plain.get(record_id))

    def _put_life(self, record_id: bytes, value: bytes) -> None:
        """Set the life cell; the commonest change of all, so it avoids decoding."""
        data = self.encoded(record_id) if record_id not in self.records else b""
        plain = register_value(data) if data else None
        if data is not None and plain is None:
            self.put_path(record_id, LIFE, value)
            return
        self._put_plain(record_id, value, plain[0] if plain else None)

    def _put_plain(self, record_id: bytes, value: bytes, there: Dot | None) -> None:
        """Set the life cell of a record that has one sibling at most, of the dot `there`."""
        observed = [] if there is None or there == self.dot else [there]
        self.plain[record_id] = encode_register(self.dot, self.stamp, value)
        self._note(Change(record_id, LIFE, value, observed))

    def delete(self, key: bytes) -> bool:
        """Remove every readable life of `key`; tell whether there was one."""
        ended = False
        for record_id in self.lives(key):
            data = self.encoded(record_id)
            if data and (register_value(data) is not None or LIFE in self.record(record_id)):
                self.drop_path(record_id, LIFE)
                self._ended[key] = split_record_id(record_id)[1]
                ended = True
        return ended

    def expire(self, record_id: bytes) -> None:
        """Remove a record whose life has expired, and no other."""
        life = life_of(self.encoded(record_id))
        if life and life.expires_ms is not None and life.expires_ms <= self.wall_ms:
            self.drop_path(record_id, LIFE)

    def require_type(self, key: str, view: View, wanted: str) -> None:
        """Raise WrongTypeError unless `view` is of the type."""
        if view.type_name != wanted:
            raise WrongTypeError(
                f"key {key!r} holds a {view.type_name}, not a {wanted}",
                key=key,
                type=view.type_name,
                wanted=wanted,
            )

    def open(self, key: bytes, name: str, type_name: str) -> bytes:
        """Return the id of the record of `key`, created with a life cell when there is none."""
        found = self.find(key)
        if found is not None:
            self.require_type(name, found[1], type_name)
            return found[0]
        record_id = self.fresh_life(key)
        self.put_path(record_id, LIFE, encode_life(type_name))
        return record_id


def put_content(operation: ops.Put) -> bytes:
    """Return the bytes that a put gives. Raises: InvalidError unless exactly one form is given."""
    if (operation.value is None) == (operation.value_base64 is None):
        raise InvalidError(f"put of {operation.key!r} needs one of value and value_base64")
    if operation.value is not None:
        return operation.value.encode()
    assert operation.value_base64 is not None
    return operation.value_base64
