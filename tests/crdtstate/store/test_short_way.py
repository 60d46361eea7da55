"""What goes the short way of puts, and what does not, one case each (PLA-1)."""

from typing import Any

import pytest

from crdtstate.crdt.codec import encode_record, encode_register
from crdtstate.crdt.dots import ORIGIN_MIN
from crdtstate.crdt.record import LIFE
from crdtstate.storage.memory import MemoryStorage
from crdtstate.store.limits import Limits
from crdtstate.store.plain import life_cell, read_puts, row_of, rows_of_puts
from crdtstate.store.table import Table
from crdtstate.store.transaction import Change, Transaction, decode_frame, encode_frame
from tests.crdtstate.store.alone import frame_of, put, shown, store_of

ME, OTHER, THIRD = ORIGIN_MIN, ORIGIN_MIN + 1, ORIGIN_MIN + 2


def test_puts_of_exactly_the_largest_transaction_go_the_short_way() -> None:
    """Each counts as its record id, its value, the byte before that, and 24."""
    puts = [put("k", "v" * 100), put("long", "w")]
    size = (2 + 100 + 1 + 24) + (5 + 1 + 1 + 24)
    assert read_puts(puts, Limits(transaction_bytes_max=size)) == {
        b"k\0": b"\0" + b"v" * 100, b"long\0": b"\0w",
    }  # fmt: skip
    assert read_puts(puts, Limits(transaction_bytes_max=size - 1)) is None
    assert read_puts(puts, Limits(value_bytes_max=100)) is not None
    assert read_puts(puts, Limits(value_bytes_max=99)) is None


def transaction(*changes: Change) -> Transaction:
    return Transaction((OTHER, 7), 7, {}, list(changes))


def test_of_others_the_short_way_takes_what_replaces_one_register_or_none() -> None:
    table = Table(MemoryStorage())
    table.put(b"k\0", {LIFE: {(ME, 3): (3, b"\0v")}})
    seen, other = (ME, 3), (THIRD, 1)

    def rows(*observed: tuple[int, int], key: bytes = b"k\0", value: bytes = b"\0w") -> Any:
        change = Change(key, LIFE, value, list(observed))
        found, rest = rows_of_puts(table, transaction(change))
        assert rest == ([] if found else [change])
        return found or None

    assert [row[0] for row in rows(seen)] == [b"k\0"]
    assert [row[:2] for row in rows(key=b"new\0")] == [(b"new\0", b"")]
    assert rows(seen, other) is None, "two were seen: there may be one left"
    assert rows(other) is None
    assert rows() is None
    assert rows(seen, value=b"\1w") is None, "it has a time to live"
    assert rows(key=b"k\0\0\0\0\1") is None, "a later life"
    assert rows(key=b"\x1fk\0") is None, "one of the system's own"
    assert [row[0] for row in rows(key=b" k\0")] == [b" k\0"]


def test_only_what_meets_something_concurrent_goes_the_general_way() -> None:
    table = Table(MemoryStorage())
    for key in (b"k\0", b"l\0"):
        table.put(key, {LIFE: {(ME, 3): (3, b"\0v")}})
    seen = Change(b"k\0", LIFE, b"\0w", [(ME, 3)])
    unseen = Change(b"l\0", LIFE, b"\0w", [])
    wide = Change(b"m\0", (".x",), b"\1", [])

    rows, rest = rows_of_puts(table, transaction(wide, seen, unseen))

    assert [row[0] for row in rows] == [b"k\0"]
    assert rest == [wide, unseen]
    both = [seen, unseen, Change(b"k\0", (".x",), b"\1", [])]
    assert rows_of_puts(table, transaction(*both)) == ([], both), "one record at once"


@pytest.mark.parametrize("count", [1, 2, 5])
def test_siblings_of_a_register_are_read_without_the_rest(count: int) -> None:
    cell = {(ME + n, 1): (n, b"\0%d" % n) for n in range(count)}
    assert life_cell(encode_record({LIFE: cell})) == cell
    assert life_cell(encode_record({LIFE: cell, (".x",): cell})) is None
    assert life_cell(encode_record({(".x",): cell})) is None


@pytest.mark.parametrize("count", [2, 5, 6, 30])
def test_a_put_in_the_place_of_many_siblings_replaces_them_all(count: int) -> None:
    store = store_of()
    for n in range(count):
        store.receive(frame_of(ME + 1 + n, 1, [Change(b"k\0", LIFE, b"\0%d" % n, [])]), 1)
    assert store.table.conflicts == 1

    committed = store.submit([put("k", "mine"), put("l")], [], 1)
    first, bodies = store.take_outbox()

    assert (committed.changed, committed.results[0]) == (2, None)
    assert store.table.conflicts == 0
    assert shown(store, b"k") == b"mine"
    change = decode_frame(encode_frame(ME, first, bodies)).transaction(first).changes[0]
    assert change.observed == [(ME + 1 + n, 1) for n in range(count)]


def test_a_put_beside_a_sibling_that_is_no_plain_register_goes_the_general_way() -> None:
    store = store_of()
    for origin, value in ((OTHER, b"\0v"), (THIRD, b"\1" + (9_000).to_bytes(8, "big") + b"w")):
        store.receive(frame_of(origin, 1, [Change(b"k\0", LIFE, value, [])]), 1)
    store.submit([put("k", "mine")], [], 1)
    assert shown(store, b"k") == b"mine"
    assert store.table.conflicts == 0


def test_only_a_plain_register_in_the_place_of_a_plain_one_or_of_nothing_goes_the_short_way() -> (
    None
):
    """PLA-1"""
    old, new = encode_register((ME, 1), 1, b"\0v"), encode_register((OTHER, 1), 2, b"\0w")
    wide = encode_record({LIFE: {(ME, 1): (1, b"\0v")}, (".x",): {(ME, 2): (2, b"\1")}})

    assert row_of(b"k\0", None, new) == (b"k\0", b"", new)
    assert row_of(b"k\0", old, new) == (b"k\0", old, new)
    assert row_of(b" \0", old, new) == (b" \0", old, new)
    assert row_of(b"k\0", wide, new) is None, "its conflict, or cells, must go from the index"
    assert row_of(b"k\0", old, wide) is None
    assert row_of(b"k\0", old, encode_register((OTHER, 1), 2, b"\1w")) is None, "a time to live"
    assert row_of(b"k\0", old, encode_register((OTHER, 1), 2, b"\2")) is None, "a map"
    assert row_of(b"k\0\0\0\0\1", None, new) is None, "a later life"
    assert row_of(b"\x1fk\0", None, new) is None, "one of the system's own"
