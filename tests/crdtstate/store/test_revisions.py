"""A revision names a place in one replica's log, in one life of it, and nothing else."""

import pytest

from crdtstate.crdt.dots import ORIGIN_MIN
from crdtstate.errors import CompactedError, InvalidError
from crdtstate.storage.memory import MemoryStorage
from crdtstate.store import operations as ops
from crdtstate.store.store import Store, StoreConfig
from crdtstate.store.watch import format_revision, parse_revision, read_touched
from tests.models.durable import make_durable

ME = ORIGIN_MIN | 0xAB


@pytest.mark.parametrize("number", [0, 1, 10**17])
def test_a_revision_is_read_by_who_minted_it(number: int) -> None:
    text = format_revision(ME, number)
    assert text == f"80000000000000ab-{number}"
    assert parse_revision(text, ME) == number


@pytest.mark.parametrize(
    "text",
    ["", "7", "80000000000000ab", "80000000000000ab-", "80000000000000ab-x", "0000000000ab-7",
     "80000000000000ab--1", "80000000000000ab-+1", "80000000000000ab-1.0",
     "80000000000000ab-\u0663", "80000000000000ab-" + "1" * 19, "80000000000000ab_7", "-7"],
)  # fmt: skip
def test_what_no_peer_gave_is_refused(text: str) -> None:
    with pytest.raises(InvalidError, match="is not one that a peer gave") as raised:
        parse_revision(text, ME)
    assert raised.value.code == "invalid_parameter"


def test_a_number_of_eighteen_digits_is_still_one() -> None:
    assert parse_revision("80000000000000ab-" + "9" * 18, ME) == 10**18 - 1


def test_another_peer_s_revision_says_list_again() -> None:
    with pytest.raises(CompactedError, match="was minted by another peer") as raised:
        parse_revision(format_revision(ME + 1, 7), ME)
    assert raised.value.code == "foreign_revision"


def test_a_revision_beyond_the_last_says_list_again() -> None:
    store = Store(MemoryStorage(), ME, StoreConfig())
    store.submit([ops.Put("k", value="v")], [], 1_000)
    make_durable(store)
    snapshot = store.table.snapshot()
    last = store.index.revision

    assert read_touched(snapshot, last, b" ", b"\xff", 10) == (last, {})
    with pytest.raises(CompactedError, match=f"{last + 1} is beyond the last, {last}") as raised:
        read_touched(snapshot, last + 1, b" ", b"\xff", 10)
    assert raised.value.code == "foreign_revision"
