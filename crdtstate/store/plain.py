"""The short way of the commonest transaction: puts of plain registers, decided on the bytes.

A store spends most of its time on such puts, its own and other replicas'. They need no record
decoded, no view, no change objects; where anything else is met (a time to live, another type,
siblings, a key that was removed, the same key twice) the whole transaction goes the general way.

Invariants:
    PLA-1  What the short way does is what the general way would do, to the byte.
"""

from collections.abc import Sequence
from typing import NamedTuple, final

from crdtstate.crdt.codec import (
    head,
    is_register,
    register_dot_prefix,
    register_prefix,
    split_register,
)
from crdtstate.errors import InvalidError, TooLargeError
from crdtstate.store import operations as ops
from crdtstate.store.limits import Limits, check_key
from crdtstate.store.table import Table
from crdtstate.store.transaction import Transaction

__all__ = ["Plan", "Row", "plan_puts", "read_puts", "row_of", "rows_of_puts"]


Row = tuple[bytes, bytes, bytes]
"""Record id, bytes before (empty: it was not there), bytes after."""

_REGISTER = b"\0"  # First byte of the life value of a register without a time to live.
_USER_KEYS = 0x20  # Smaller first bytes are the system's own keys, and objects.
_CHANGE_BYTES = 24  # As the planner counts a change's own size.


@final
class Plan(NamedTuple):
    """What one request of puts does."""

    rows: list[Row]
    changes: list[bytes]  # encoded
    results: list[bytes]  # the register that each put finds or leaves


def plan_puts(table: Table, prefix: bytes, wanted: dict[bytes, bytes]) -> Plan | None:
    """Plan a request of puts, or return None when the general way has to.

    Args:
        prefix: What its registers start with: dot and stamp of the transaction.
        wanted: Of `read_puts`.
    """
    if table.has_graves and any(table.grave(r[:-1]) is not None for r in wanted):
        return None
    rows: list[Row] = []
    changes: list[bytes] = []
    results: list[bytes] = []
    for (record_id, value), before in zip(wanted.items(), table.read_records(wanted), strict=True):
        observed = b"\x80"
        if before:
            there = split_register(before)
            if there is None or there[1][:1] != _REGISTER:
                return None
            if there[1] == value:
                results.append(before)
                continue
            observed = b"\x82" + there[0]
        content = head(0x40, len(value)) + value
        after = prefix + content
        rows.append((record_id, before, after))
        results.append(after)
        changes.append(
            b"\x84" + head(0x40, len(record_id)) + record_id + b"\x80" + content + observed
        )
    return Plan(rows, changes, results)


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


def rows_of_puts(table: Table, transaction: Transaction) -> list[Row] | None:
    """Return what a transaction of others does, when it is puts of plain registers that replace
    all that is there; else None.
    """
    changes = transaction.changes
    for record_id, path, value, observed in changes:
        if (
            path
            or value is None
            or value[:1] != _REGISTER
            or record_id[0] < _USER_KEYS
            or record_id.find(b"\0") != len(record_id) - 1
            or len(observed) > 1
        ):
            return None
    prefix = register_prefix(transaction.dot, transaction.stamp)
    rows: list[Row] = []
    found = table.read_records([change.record_id for change in changes])
    for (record_id, _, value, observed), before in zip(changes, found, strict=True):
        # Nobody else wrote it: the one dot that is there is the one that the writer saw.
        if before and not (observed and before.startswith(register_dot_prefix(observed[0]))):
            return None
        assert value is not None
        rows.append((record_id, before, prefix + head(0x40, len(value)) + value))
    return rows
