"""What an operation answers, what a store says that it did, and what life values mean."""

from typing import Any

import pytest

from crdtstate.crdt.codec import decode_record, encode_record, encode_register, encode_value
from crdtstate.crdt.dots import ORIGIN_MIN
from crdtstate.crdt.record import LIFE, Record
from crdtstate.errors import InvalidError, NotFoundError, TooLargeError, WrongTypeError
from crdtstate.store import operations as ops
from crdtstate.store.document import require_object
from crdtstate.store.limits import Limits, check_key, check_value
from crdtstate.store.store import HELD_AGE_MS_MAX, StoreConfig
from crdtstate.store.transaction import decode_frame
from crdtstate.store.views import (
    Life,
    decode_life,
    encode_life,
    integer_at,
    life_of,
    rights_of,
    value_of,
    view_of,
)
from tests.laws.play import Play, put
from tests.models.world import Peer

O1, O2 = ORIGIN_MIN, ORIGIN_MIN + 1
ME, OTHER, THIRD = (f"{ORIGIN_MIN + n:016x}" for n in range(3))


def answers(play: Play, peer: Peer, *operations: ops.Operation) -> list[Any]:
    committed = peer.store.submit(operations, [], play.wall_ms(peer))
    peer.make_durable()
    return list(committed.results)


# -- results -----------------------------------------------------------------------------------


def test_a_put_answers_with_the_record_that_it_leaves() -> None:
    play = Play(peers=1)
    a = play.peers[0]

    (first,) = answers(play, a, put("k", "v"))
    (again,) = answers(play, a, put("k", "v"))
    (other,) = answers(play, a, put("k", "w"))

    assert first == again == encode_register((a.store.origin, 1), view_stamp(first), b"\0v")
    assert other == a.storage.get(b"rk\0")
    assert other != first


def view_stamp(data: bytes) -> int:
    view = view_of(data, 0)
    assert view is not None
    return view.stamp[0]


def test_a_delete_answers_whether_there_was_something() -> None:
    play = Play(peers=1)
    a = play.peers[0]
    answers(play, a, put("k", "v"))

    assert answers(play, a, ops.Delete("k"), ops.Delete("k"), ops.Delete("never")) == [
        True, False, False,
    ]  # fmt: skip


def test_a_counter_answers_with_its_value_after_each_addition() -> None:
    play = Play(peers=2)
    a, b = play.peers
    play.give(b, play.write(a, ops.CounterAdd("n", 5)))

    assert answers(play, b, ops.CounterAdd("n", 2), ops.CounterAdd("n", -10)) == [7, -3]
    assert answers(play, a, ops.CounterAdd("n", 0)) == [5]
    assert answers(play, a, ops.CounterAdd("new", 0)) == [0]


def test_a_bounded_counter_answers_with_its_value_and_the_rights_here() -> None:
    play = Play(peers=2)
    a, b = play.peers
    a.store.resolve_member = {"b": b.store.origin}.get

    assert answers(play, a, ops.BoundedCreate("n", 10)) == [{"value": 10, "available": 10}]
    assert answers(play, a, ops.BoundedTake("n", 3)) == [{"value": 7, "available": 7}]
    assert answers(play, a, ops.BoundedTransfer("n", 2, "b")) == [{"value": 7, "available": 5}]
    assert answers(play, a, ops.BoundedAdd("n", 1)) == [{"value": 8, "available": 6}]
    play.fetch(b, a)
    assert answers(play, b, ops.BoundedTake("n", 2)) == [{"value": 6, "available": 0}]
    with pytest.raises(WrongTypeError, match="1 wanted, this peer holds rights for 0"):
        answers(play, b, ops.BoundedTake("n", 1))


@pytest.mark.parametrize(
    ("operation", "error", "words"),
    [
        (ops.BoundedAdd("there", 0), InvalidError, "amount 0 is not within 1"),
        (ops.BoundedTake("there", -1), InvalidError, "amount -1 is not within 1"),
        (ops.BoundedCreate("new", -1), InvalidError, "amount -1 is not within 0"),
        (ops.BoundedAdd("there", 1 << 62), InvalidError, "not within 1 to"),
        (ops.BoundedCreate("there", 1), WrongTypeError, "created once"),
        (ops.BoundedAdd("absent", 1), NotFoundError, "there is no key 'absent'"),
        (ops.BoundedAdd("text", 1), WrongTypeError, "text"),
        (ops.BoundedTransfer("there", 1, "nobody"), NotFoundError, "there is no member 'nobody'"),
        (ops.CounterAdd("new", 1 << 62), InvalidError, "amount"),
        (ops.CounterAdd("new", -(1 << 62)), InvalidError, "amount"),
        (ops.Put("k", value="v", ttl_ms=0), InvalidError, "ttl_ms is 0, not within 1"),
        (ops.Put("k", value="v", ttl_ms=1 << 42), InvalidError, "not within 1 to 2"),
    ],
)
def test_what_is_out_of_bounds_is_refused_with_the_value(
    operation: ops.Operation, error: type[Exception], words: str
) -> None:
    play = Play(peers=1)
    a = play.peers[0]
    play.write(a, ops.BoundedCreate("there", 5), put("text", "v"))

    with pytest.raises(error, match=words):
        answers(play, a, operation)


@pytest.mark.parametrize(
    "operation",
    [
        ops.BoundedCreate("new", 0), ops.BoundedCreate("new", (1 << 62) - 1),
        ops.BoundedAdd("there", 1), ops.BoundedTake("there", 5), ops.CounterAdd("n", (1 << 62) - 1),
        ops.CounterAdd("n", 1 - (1 << 62)), ops.Put("k", value="v", ttl_ms=1),
        ops.Put("k", value="v", ttl_ms=(1 << 42) - 1),
    ],
)  # fmt: skip
def test_what_is_just_within_bounds_is_taken(operation: ops.Operation) -> None:
    play = Play(peers=1)
    play.write(play.peers[0], ops.BoundedCreate("there", 5))

    assert play.write(play.peers[0], operation)


def test_a_commit_says_what_it_changed() -> None:
    play = Play(peers=1)
    a = play.peers[0]

    def commit(*operations: ops.Operation) -> tuple[int | None, int, int]:
        done = a.store.submit(operations, [], play.wall_ms(a))
        a.make_durable()
        return done.seq, done.revision, done.changed

    assert commit(put("a", "1"), put("b", "1")) == (1, 1, 2)
    assert commit(put("a", "1")) == (None, 1, 0)
    assert commit(ops.MapPut("m", {"x": 1, "y": {"z": 2}})) == (2, 2, 3)
    assert commit(ops.MapPut("m", {"x": 1}), ops.Delete("a")) == (3, 3, 2)
    assert commit(ops.SetAdd("s", ["p", "q"]), ops.SetRemove("s", ["p"])) == (4, 4, 2)


# -- frames of others --------------------------------------------------------------------------


def frames(play: Play, peer: Peer, count: int) -> list[bytes]:
    return [play.write(peer, put(f"k{n}", str(n))) for n in range(count)]


def test_what_arrives_out_of_order_is_held_and_counted_when_it_is_applied() -> None:
    play = Play(peers=2)
    a, b = play.peers
    one, two, three, four = map(decode_frame, frames(play, a, 4))
    store, now = b.store, play.wall_ms(b)

    assert store.receive(three, now) == (0, True, False, False)
    assert store.receive(two, now) == (0, True, False, False)
    assert store.receive(two, now) == (0, True, False, False)
    assert (store.held_count, store.held_dropped) == (2, 0)
    assert store.receive(one, now) == (3, False, False, False)
    assert store.held_count == 0
    assert store.receive(two, now) == (0, False, False, False)
    assert store.receive(four, now) == (1, False, False, False)
    assert store.held == {}


def test_a_frame_of_the_own_future_is_told_and_not_applied() -> None:
    play = Play(peers=2)
    a = play.peers[0]
    (one,) = frames(play, a, 1)
    frame = decode_frame(one)._replace(first=2)

    assert a.store.receive(decode_frame(one), play.wall_ms(a)) == (0, False, False, False)
    assert a.store.receive(frame, play.wall_ms(a)) == (0, False, True, False)


def test_held_transactions_are_bounded_in_number_and_age() -> None:
    """STR-3"""
    play = Play(peers=2)
    a, b = play.peers
    later = [decode_frame(frame) for frame in frames(play, a, 5)[1:]]
    store, now = b.store, play.wall_ms(b)
    store.config = StoreConfig(held_max=3)

    for frame in later:
        store.receive(frame, now)
    assert (store.held_count, store.held_dropped) == (3, 1)
    store.drop_stale_held(now + HELD_AGE_MS_MAX)
    assert store.held_count == 3
    store.drop_stale_held(now + HELD_AGE_MS_MAX + 1)
    assert (store.held_count, store.held_dropped, store.held) == (0, 4, {})


def test_an_age_is_told_from_a_clock_that_was_set_back_too() -> None:
    play = Play(peers=2)
    a, b = play.peers
    later = decode_frame(frames(play, a, 2)[1])
    now = play.wall_ms(b)
    b.store.receive(later, now)

    b.store.drop_stale_held(now - HELD_AGE_MS_MAX)
    assert b.store.held_count == 1
    b.store.drop_stale_held(now - HELD_AGE_MS_MAX - 1)
    assert b.store.held_count == 0


# -- life values -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("life", "encoded"),
    [
        (Life("register", b"v"), b"\0v"),
        (Life("register", b"v", 258), b"\x01\0\0\0\0\0\0\x01\x02v"),
        (Life("map"), b"\x02"), (Life("set"), b"\x03"), (Life("counter"), b"\x04"),
        (Life("flag"), b"\x05"), (Life("bounded"), b"\x06"), (Life("object", b"x"), b"\x07x"),
    ],
)  # fmt: skip
def test_the_bytes_of_each_life_are_fixed(life: Life, encoded: bytes) -> None:
    assert encode_life(*life) == encoded
    assert decode_life(encoded) == life


@pytest.mark.parametrize("later", [b"", b"\x08", b"\xffabc"])
def test_a_type_of_a_later_version_is_kept_and_not_understood(later: bytes) -> None:
    life = decode_life(later)
    assert life == Life("unknown", later[1:])
    assert value_of(life.type_name, {}) is None


def cell(value: Any, seq: int = 1) -> dict[tuple[int, int], tuple[int, bytes]]:
    return {(O1, seq): (seq, encode_value(value))}


RECORD: Record = {
    ("+" + ME,): cell(10), ("+" + OTHER,): cell(4), ("-" + ME,): cell(3),
    (">" + ME, OTHER): cell(2), (">" + OTHER, ME): cell(1), (">" + OTHER, THIRD): cell(3),
    ("<" + OTHER, ME): cell(50), ("=" + ME, ME): cell(70), (">" + ME,): cell(90),
    (">" + ME, OTHER, ME): cell(99),
}  # fmt: skip


def test_rights_are_what_was_granted_and_received_less_what_was_given_and_taken() -> None:
    assert rights_of(RECORD, ME) == 10 + 1 - 2 - 3
    assert rights_of(RECORD, OTHER) == 4 + 2 - 1 - 3
    assert rights_of(RECORD, THIRD) == 3
    assert value_of("bounded", RECORD) == 14 - 3


@pytest.mark.parametrize(
    ("type_name", "value"),
    [("map", {}), ("set", []), ("counter", 0), ("flag", False), ("bounded", 0), ("register", b"")],
)
def test_what_is_empty_has_the_value_of_its_type(type_name: str, value: Any) -> None:
    """Its life alone is encoded as a plain register is."""
    view = view_of(encode_register((O1, 1), 5, encode_life(type_name)), 0)

    assert view is not None
    assert (view.type_name, view.value) == (type_name, value)


def test_a_leaf_that_is_no_integer_counts_nothing() -> None:
    for wrong in ("7", 1.5, None, True, [1]):
        assert integer_at({("=x",): cell(wrong)}, ("=x",)) == 0
    assert integer_at({}, ("=x",)) == 0
    assert integer_at({("=x",): {**cell(7), **cell(8, 2)}}, ("=x",)) == 8
    record: Record = {("=a",): cell(2), ("=b",): cell(3), ("=c", "d"): cell(5), ("~e",): cell(9)}
    assert value_of("counter", record) == 5
    assert value_of("set", {("~b",): cell(1), ("~a",): cell(1), ("~c", "d"): cell(1),
                                  (".f",): cell(1)}) == ["a", "b"]  # fmt: skip
    assert value_of("flag", {("!on",): cell(1)}) is True
    assert value_of("flag", {("!off",): cell(1)}) is False


def test_a_record_without_a_life_is_not_shown() -> None:
    orphan = encode_record({(".x",): cell(1)})
    assert view_of(orphan, 0) is None
    assert life_of(orphan) is None
    assert view_of(None, 0) is view_of(b"", 0) is life_of(None) is life_of(b"") is None
    both = encode_record({LIFE: {(O1, 1): (1, b"\x02"), (O2, 1): (2, b"\x03")}})
    assert life_of(both) == Life("set")
    view = view_of(both, 0)
    assert view is not None
    assert (view.type_name, view.stamp, view.record) == ("set", (2, (O2, 1)), decode_record(both))


# -- limits ------------------------------------------------------------------------------------


def test_a_limit_s_value_is_within_it_and_the_next_is_not() -> None:
    limits = Limits(key_bytes_max=4, value_bytes_max=10)
    assert check_key("ключ"[:2], limits) == "кл".encode()
    check_value(10, limits)
    for refused in (lambda: check_key("abcde", limits), lambda: check_value(11, limits)):
        with pytest.raises(TooLargeError, match=r"over .*_bytes_max="):
            refused()
    with pytest.raises(InvalidError, match="key is empty"):
        check_key("", limits)
    with pytest.raises(InvalidError, match="not valid UTF-8"):
        check_key("\ud800", limits)
    for control in ("\0", "a\x1f", "\x7f"):
        with pytest.raises(InvalidError, match="control character"):
            check_key(control, limits)
    assert check_key(" ~", limits) == b" ~"


def test_an_object_is_required_where_one_is() -> None:
    assert require_object({"a": 1}, "it") == {"a": 1}
    for wrong in ([], "x", None, 1):
        with pytest.raises(InvalidError, match="it is not a JSON object") as caught:
            require_object(wrong, "it")
        assert caught.value.code == "invalid_json"
