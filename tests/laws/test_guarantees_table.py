"""The table of docs/guarantees.md, row by row: what two concurrent operations become.

b's side always comes later by the clock. Both orders of meeting are played, with pull and repair.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from crdtstate.store import operations as ops
from tests.laws.play import Play, put

MAP = ops.MapPut("k", {"x": 1, "y": 1})

# The row's first two cells; what was there; a's side; b's side; what everybody shows; conflicts.
Row = tuple[str, str, Sequence[ops.Operation], ops.Operation, ops.Operation, Any, list[str]]
ROWS: list[Row] = [
    ("puts a key", "puts another value", [], put("k", "1"), put("k", "2"), b"2",
     ["concurrent_values"]),
    ("puts a key", "puts the same value", [], put("k", "1"), put("k", "1"), b"1", []),
    ("puts a register", "deletes it", [put("k", "0")], put("k", "1"), ops.Delete("k"), b"1", []),
    ("changes field x of a map", "changes field y", [MAP], ops.MapMerge("k", {"x": 2}),
     ops.MapMerge("k", {"y": 2}), {"x": 2, "y": 2}, []),
    ("changes field x", "sets field x to another value", [MAP], ops.MapMerge("k", {"x": 2}),
     ops.MapMerge("k", {"x": 3}), {"x": 3, "y": 1}, ["concurrent_values"]),
    ("changes a field of a map, a set, a counter", "deletes the key", [MAP],
     ops.MapMerge("k", {"x": 2}), ops.Delete("k"), None, ["update_after_delete"]),
    ("changes a field of a map, a set, a counter", "deletes the key", [ops.SetAdd("k", ["e"])],
     ops.SetAdd("k", ["f"]), ops.Delete("k"), None, ["update_after_delete"]),
    ("changes a field of a map, a set, a counter", "deletes the key", [ops.CounterAdd("k", 1)],
     ops.CounterAdd("k", 1), ops.Delete("k"), None, ["update_after_delete"]),
    ("changes a field", "removes that field, or one above it", [MAP],
     ops.MapMerge("k", {"x": 2}), ops.MapMerge("k", {"x": None}), {"x": 2, "y": 1}, []),
    ("adds an element to a set", "removes it", [ops.SetAdd("k", ["e"])],
     ops.SetAdd("k", ["f"]), ops.SetRemove("k", ["e", "f"]), ["f"], []),
    ("adds 2 to a counter", "adds 3", [ops.CounterAdd("k", 1)], ops.CounterAdd("k", 2),
     ops.CounterAdd("k", 3), 6, []),
    ("switches a flag on", "switches it off", [ops.FlagSet("k", False)], ops.FlagSet("k", True),
     ops.FlagSet("k", False), True, []),
    ("creates a map at a new key", "creates a map at the same key", [],
     ops.MapPut("k", {"x": 1, "same": 0}), ops.MapPut("k", {"y": 2, "same": 0}),
     {"x": 1, "y": 2, "same": 0}, []),
    ("creates a map at a new key", "creates a map at the same key", [], ops.MapPut("k", {"x": 1}),
     ops.MapPut("k", {"x": 2}), {"x": 2}, ["concurrent_values"]),
    ("creates a map", "creates a counter", [], ops.MapPut("k", {"x": 1}), ops.CounterAdd("k", 3),
     3, ["concurrent_values"]),
    ("lets a key expire", "refreshes its time", [ops.Put("k", value="v", ttl_ms=1)],
     put("other", "v"), ops.Put("k", value="v", ttl_ms=1 << 40), b"v", []),
]  # fmt: skip


@pytest.mark.parametrize("repair", [False, True], ids=["pull", "repair"])
@pytest.mark.parametrize("row", ROWS, ids=[f"{row[0]} / {row[1]}" for row in ROWS])
def test_a_row_of_the_table(row: Row, repair: bool) -> None:
    _, _, before, ours, theirs, shown, kinds = row
    for first in (0, 1):
        play = Play(repair=True)
        a, b, _ = play.peers
        for operation in before:
            play.write(a, operation)
        play.fetch(b, a)
        if "expire" in row[0]:
            play.now_ms += 10
        play.write(a, ours)
        play.write(b, theirs)
        left, right = (a, b) if first else (b, a)
        play.fetch(left, right, repair=repair)
        play.fetch(right, left, repair=repair)
        play.meet()
        for peer in play.peers:
            assert play.value(peer, "k") == shown
            assert [conflict.kind for conflict in play.conflicts(peer)] == kinds


def test_every_row_is_in_the_document() -> None:
    text = (Path(__file__).resolve().parents[2] / "docs" / "guarantees.md").read_text()
    missing = [row[:2] for row in ROWS if f"| {row[0]} | {row[1]} |" not in text]
    assert not missing
