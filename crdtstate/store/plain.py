"""The short way of the commonest transaction: puts of plain registers, decided on the bytes.

A store spends most of its time on such puts, its own and other replicas'. They need no record
decoded, no view, no change objects. Concurrent puts are what this store is for: a put that settles
siblings is planned here too, and of a transaction that arrives only the changes that meet something
concurrent go the general way. Where anything else is met (a time to live, another type, a key that
was removed, the same key twice) the whole of an own transaction does.

Invariants:
    PLA-1  What the short way does is what the general way would do, to the byte.
"""

from collections.abc import Sequence
from typing import NamedTuple, final

from crdtstate.crdt.codec import (
    decode_record,
    head,
    is_register,
    register_dot_prefix,
    register_prefix,
    register_value,
    split_register,
)
from crdtstate.crdt.dots import Dot
from crdtstate.crdt.record import LIFE, Cell
from crdtstate.errors import InvalidError, TooLargeError
from crdtstate.store import operations as ops
from crdtstate.store.limits import Limits, check_key
from crdtstate.store.table import Table
from crdtstate.store.transaction import Change, Transaction, encode_dots

__all__ = ["Plan", "Row", "life_cell", "plan_puts", "read_puts", "row_of", "rows_of_puts"]


Row = tuple[bytes, bytes, bytes]
"""Record id, bytes before (empty: it was not there), bytes after."""

_REGISTER = b"\0"  # First byte of the life value of a register without a time to live.
_USER_KEYS = 0x20  # Smaller first bytes are the system's own keys, and objects.
_CHANGE_BYTES = 24  # As the planner counts a change's own size.
_ONE_CELL, _LIFE_PATH = b"\x81", b"\x80"  # A record of one cell; the head of the cell is between.


@final
class Plan(NamedTuple):
    """What one request of puts does."""

    rows: list[Row]
    settled: list[Row]  # in the place of more than one sibling
    touched: list[bytes]  # record ids, in the order of the operations
    changes: list[bytes]  # of these, encoded
    results: list[bytes | None]  # the register that each put finds or leaves; of settled ones none


def plan_puts(table: Table, prefix: bytes, wanted: dict[bytes, bytes]) -> Plan | None:
    """Plan a request of puts, or return None when the general way has to.

    Args:
        prefix: What its registers start with: dot and stamp of the transaction.
        wanted: Of `read_puts`.
    """
    if table.has_graves and any(table.grave(r[:-1]) is not None for r in wanted):
        return None
    rows: list[Row] = []
    settled: list[Row] = []
    touched: list[bytes] = []
    changes: list[bytes] = []
    results: list[bytes | None] = []
    for (record_id, value), before in zip(wanted.items(), table.read_records(wanted), strict=True):
        observed = b"\x80"
        content = head(0x40, len(value)) + value
        after = prefix + content
        there = split_register(before) if before else None
        if before and there is None:
            dots = _sibling_dots(before)
            if dots is None:
                return None
            observed = encode_dots(dots)
            settled.append((record_id, before, after))
            results.append(None)
        else:
            if there is not None:
                if there[1][:1] != _REGISTER:
                    return None
                if there[1] == value:
                    results.append(before)
                    continue
                observed = b"\x82" + there[0]
            rows.append((record_id, before, after))
            results.append(after)
        touched.append(record_id)
        changes.append(
            b"\x84" + head(0x40, len(record_id)) + record_id + b"\x80" + content + observed
        )
    return Plan(rows, settled, touched, changes, results)


def life_cell(data: bytes) -> Cell | None:
    """Return the siblings of a record that is its life alone, else None.

    None as well for more than five of them, whose cell has a longer head.
    """
    plain = register_value(data)
    if plain is not None:
        return {plain[0]: plain[1:]}
    if not data.startswith(_ONE_CELL) or data[2:3] != _LIFE_PATH:
        return None
    return decode_record(data)[LIFE]


def _sibling_dots(data: bytes) -> list[Dot] | None:
    """Return the dots of siblings that are plain registers alone, else None."""
    cell = life_cell(data)
    if cell is None or any(value[:1] != _REGISTER for _, value in cell.values()):
        return None
    return sorted(cell)


def read_puts(operations: Sequence[ops.Intent], limits: Limits) -> dict[bytes, bytes] | None:
    """Return record id to life value; None for anything but puts of different keys in bounds.

    What is out of bounds is refused the general way, with its reason.
    """
    value_max, room = limits.value_bytes_max, limits.transaction_bytes_max
    wanted: dict[bytes, bytes] = {}
    for operation in operations:
        if type(operation) is not ops.Put or operation.ttl_ms is not None:
            return None
        text, content = operation.value, operation.value_base64
        try:
            record_id = check_key(operation.key, limits) + b"\0"
            if text is not None:
                if content is not None:
                    return None
                content = text.encode()
        except (InvalidError, TooLargeError, UnicodeEncodeError):
            return None
        if content is None or len(content) > value_max or record_id in wanted:
            return None
        room -= len(record_id) + len(content) + 1 + _CHANGE_BYTES
        if room < 0:
            return None
        wanted[record_id] = _REGISTER + content
    return wanted


def row_of(record_id: bytes, before: bytes | None, after: bytes) -> Row | None:
    """Return the row of a plain register in the place of one or of nothing; None for all else."""
    there = split_register(after)
    if (
        there is None
        or there[1][:1] != _REGISTER
        or record_id[0] < _USER_KEYS
        or record_id.find(b"\0") != len(record_id) - 1
        or (before and not is_register(before))
    ):
        return None
    return record_id, before or b"", after


def rows_of_puts(table: Table, transaction: Transaction) -> tuple[list[Row], list[Change]]:
    """Return what a transaction of others does, where it puts plain registers that replace all that
    is there, and its other changes.
    """
    changes = transaction.changes
    simple: list[Change] = []
    rest: list[Change] = []
    for change in changes:
        record_id, path, value, observed = change
        if (
            path
            or value is None
            or value[:1] != _REGISTER
            or record_id[0] < _USER_KEYS
            or record_id.find(b"\0") != len(record_id) - 1
            or len(observed) > 1
        ):
            rest.append(change)
        else:
            simple.append(change)
    prefix = register_prefix(transaction.dot, transaction.stamp)
    rows: list[Row] = []
    found = table.read_records([change.record_id for change in simple])
    for change, before in zip(simple, found, strict=True):
        record_id, _, value, observed = change
        # Nobody else wrote it: the one dot that is there is the one that the writer saw.
        if before and not (observed and before.startswith(register_dot_prefix(observed[0]))):
            rest.append(change)
            continue
        assert value is not None
        rows.append((record_id, before, prefix + head(0x40, len(value)) + value))
    if rest and len({change.record_id for change in changes}) < len(changes):
        return [], changes  # What is done to one record is done at once.
    return rows, rest
