"""`crdtstate.open`: the store inside a process, as its page and the README show it."""

import doctest
from pathlib import Path

import pytest

import crdtstate
from crdtstate import embedded
from crdtstate.errors import InvalidError, PreconditionError, StorageError
from crdtstate.store import operations as ops
from tests.crdtstate.store.alone import commit, put, store_of

NOW_MS = 1_700_000_000_000
KEYS = 1_200  # More than two pages.


def test_the_example_of_the_module_is_true() -> None:
    assert doctest.testmod(embedded).failed == 0


def test_what_was_written_is_there_in_the_next_life_under_the_same_identity(tmp_path: Path) -> None:
    with crdtstate.open(tmp_path) as store:
        store.put("greeting", "hello")
        store.apply("doc", {"a": {"b": 1}})
        first = store.put("greeting", b"hello again")
        assert not store.delete("nobody")
    with crdtstate.open(tmp_path) as store:
        found = {entry.key: entry.value for entry in store.list()}
        assert found == {"doc": {"a": {"b": 1}}, "greeting": b"hello again"}
        assert store.delete("greeting")
        assert store.get("greeting") is None
        second = store.put("greeting", "back")
    assert first.seq is not None
    assert second.seq == first.seq + 2  # One identity, one sequence: the removal, and this.


def test_what_was_acknowledged_survives_a_life_that_did_not_end_in_order(tmp_path: Path) -> None:
    store = crdtstate.open(tmp_path)
    first = store.put("k", "v")
    store._storage.close()
    store._directory.close()  # Without its mark.
    with crdtstate.open(tmp_path) as after:
        entry = after.get("k")
        assert entry is not None
        assert entry.value == b"v"
        second = after.put("k", "w")
    # There was never another member that could know of more (REP-3).
    assert first.seq is not None
    assert second.seq == first.seq + 1


def test_what_is_refused_says_why_and_changes_nothing(tmp_path: Path) -> None:
    with crdtstate.open(tmp_path) as store:
        store.put("k", "v")
        with pytest.raises(InvalidError, match="key is empty"):
            store.put("", "v")
        with pytest.raises(PreconditionError, match="'k' is at version"):
            store.transact([ops.Put("k", value="w")], [ops.Precondition("k", absent=True)])
        with pytest.raises(StorageError, match=f"{tmp_path} is in use by process"):
            crdtstate.open(tmp_path)
        assert [entry.value for entry in store.list("k")] == [b"v"]
    store.close()
    with pytest.raises(StorageError, match="closed"):
        store.put("k", "w")


def test_listings_go_on_over_their_pages(tmp_path: Path) -> None:
    names = [f"k{n:04}" for n in range(KEYS)]
    with crdtstate.open(tmp_path) as store:
        for start in range(0, KEYS, 400):
            store.transact([ops.Put(name, value="v") for name in names[start : start + 400]])
        store.put("other", "v")
        assert [entry.key for entry in store.list("k")] == names


def test_conflicts_go_on_over_their_pages(tmp_path: Path) -> None:
    names = [f"k{n:04}" for n in range(KEYS)]
    elsewhere = store_of()
    with crdtstate.open(tmp_path) as store:
        for start in range(0, KEYS, 400):
            puts = [ops.Put(name, value="mine") for name in names[start : start + 400]]
            store.transact(puts)
            theirs = [put(name, "theirs") for name in names[start : start + 400]]
            store._replica.store.receive(commit(elsewhere, *theirs), NOW_MS)
        store.put("other", "makes durable what came from elsewhere")
        assert [conflict.key for conflict in store.conflicts("k")] == names
        assert list(store.conflicts("other")) == []
