"""Every operation, alone and several in one transaction; preconditions; limits and their words."""

from random import Random
from typing import Any

import pytest

from crdtstate.crdt.codec import dumps
from crdtstate.errors import (
    CrdtstateError,
    InvalidError,
    NotFoundError,
    PreconditionError,
    RemoteProtocolError,
    TooLargeError,
    WrongTypeError,
)
from crdtstate.store import operations as ops
from crdtstate.store.limits import Limits
from crdtstate.store.reading import find_view
from crdtstate.store.store import StoreConfig
from crdtstate.store.transaction import decode_frame, encode_frame
from tests.laws.play import Play, put
from tests.models.world import Peer

LIMITS = Limits(
    key_bytes_max=16, value_bytes_max=100, transaction_bytes_max=400, path_depth_max=4,
    set_element_bytes_max=10,
)  # fmt: skip


@pytest.fixture
def play() -> Play:
    return Play()


def version(play: Play, peer: Peer, key: str) -> str:
    found = find_view(peer.storage, key.encode(), play.wall_ms(peer))
    assert found is not None
    return found[0].version


def test_types_over_one_key_space(play: Play) -> None:
    a = play.peers[0]
    play.write(a, put("register", "v"), ops.Put("bytes", value_base64=b"\xff\0"))
    play.write(a, ops.MapPut("map", {"a": {"b": 1}, "l": [1, 2]}))
    play.write(a, ops.SetAdd("set", ["y", "x"]), ops.CounterAdd("counter", 3))
    play.write(a, ops.FlagSet("flag", True), ops.BoundedCreate("bounded", 5))
    play.write(a, ops.CounterAdd("counter", -1), ops.SetRemove("set", ["x"]))
    play.write(a, ops.BoundedTake("bounded", 2), ops.MapMerge("map", {"a": {"c": 2}, "l": None}))
    assert {k: play.value(a, k) for k in ("register", "bytes", "map", "set")} == {
        "register": b"v", "bytes": b"\xff\0", "map": {"a": {"b": 1, "c": 2}}, "set": ["y"],
    }  # fmt: skip
    assert (play.value(a, "counter"), play.value(a, "flag"), play.value(a, "bounded")) == (
        2,
        True,
        3,
    )


@pytest.mark.parametrize(
    "operation",
    [
        put("k", "v"), ops.MapPut("m", {"a": 1}), ops.MapMerge("m", {"a": 1}),
        ops.MapMerge("m", {"z": None}), ops.SetAdd("s", ["x"]), ops.SetRemove("s", ["y"]),
        ops.FlagSet("f", True), ops.CounterAdd("n", 0), ops.Delete("absent"),
        ops.SetRemove("absent", ["x"]),
    ],
)  # fmt: skip
def test_what_changes_nothing_writes_nothing(play: Play, operation: ops.Operation) -> None:
    """PLN-2"""
    a = play.peers[0]
    play.write(a, put("k", "v"), ops.MapPut("m", {"a": 1}), ops.SetAdd("s", ["x"]))
    play.write(a, ops.FlagSet("f", True), ops.CounterAdd("n", 1))
    before = dict(a.store.vector), a.store.index.revision

    committed = a.store.submit([operation], [], play.wall_ms(a))

    assert committed.seq is None
    assert (dict(a.store.vector), a.store.index.revision) == before
    assert not a.store.outbox


def test_of_two_changes_of_one_path_the_last_one_stays(play: Play) -> None:
    """TXN-1"""
    a, b, _ = play.peers
    frame = play.write(a, put("k", "1"), put("k", "2"), ops.SetAdd("s", ["x"]), put("k", "3"))
    changes = decode_frame(frame).transaction(1).changes
    assert len({(c.record_id, c.path) for c in changes}) == len(changes)
    play.give(b, frame)
    assert play.value(b, "k") == b"3"


def test_a_frame_that_changes_one_path_twice_is_refused(play: Play) -> None:
    """TXN-1"""
    change = [b"k\0", [], b"\0v", []]
    frame = decode_frame(encode_frame(1 << 63, 1, [dumps([1, [], [change, change]])]))
    with pytest.raises(RemoteProtocolError, match="twice"):
        play.peers[0].store.receive(frame, 1)
    assert play.peers[0].records() == {}


def test_delete_and_create_in_one_transaction_is_a_new_life(play: Play) -> None:
    a, b, c = play.peers
    play.give(b, play.write(a, ops.MapPut("m", {"old": 1})))
    play.write(b, ops.MapMerge("m", {"late": 2}))
    play.write(a, ops.Delete("m"), ops.MapPut("m", {"new": 1}))
    play.meet()
    assert play.value(c, "m") == {"new": 1}


def test_a_refused_operation_leaves_the_whole_transaction_undone(play: Play) -> None:
    a = play.peers[0]
    play.write(a, put("k", "1"), ops.SetAdd("s", ["x"]))
    with pytest.raises(WrongTypeError) as caught:
        a.store.submit([put("k", "2"), ops.CounterAdd("s", 1)], [], play.wall_ms(a))
    assert caught.value.message == "key 's' holds a set, not a counter"
    assert play.value(a, "k") == b"1"
    play.check(a)


def test_apply_removes_what_its_manager_no_longer_gives_and_nothing_of_others(play: Play) -> None:
    a = play.peers[0]
    play.write(a, ops.Apply("m", {"a": 1, "b": {"c": 2, "d": 3}}, "one"))
    play.write(a, ops.Apply("m", {"b": {"e": 4}}, "two"))
    play.write(a, ops.MapMerge("m", {"f": 5}))
    play.write(a, ops.Apply("m", {"b": {"c": 2}}, "one"))
    assert play.value(a, "m") == {"b": {"c": 2, "e": 4}, "f": 5}


def test_an_apply_on_each_side_of_a_cut_joins_field_by_field(play: Play) -> None:
    a, b, c = play.peers
    play.give(b, play.write(a, ops.Apply("m", {"image": "1", "replicas": 1}, "me")))
    play.write(a, ops.Apply("m", {"image": "2", "replicas": 1}, "me"))
    play.write(b, ops.Apply("m", {"image": "1", "replicas": 9}, "me"))
    play.meet()
    assert play.value(c, "m") == {"image": "2", "replicas": 9}
    assert play.conflicts(c) == []


@pytest.mark.parametrize(
    ("condition", "holds"),
    [
        ({"absent": True}, False), ({"exists": True}, True), ({"version": "0"}, False),
        ({"version": "now"}, True),
    ],
)  # fmt: skip
def test_preconditions_on_a_key_that_is_there(play: Play, condition: Any, holds: bool) -> None:
    a = play.peers[0]
    play.write(a, put("k", "1"))
    if condition.get("version") == "now":
        condition = {"version": version(play, a, "k")}
    wanted = ops.Precondition("k", **condition)
    if holds:
        assert a.store.submit([put("k", "2")], [wanted], play.wall_ms(a)).changed == 1
        return
    with pytest.raises(PreconditionError) as caught:
        a.store.submit([put("k", "2")], [wanted], play.wall_ms(a))
    assert "key 'k' is at version" in caught.value.message


def test_a_precondition_names_exactly_one_condition(play: Play) -> None:
    with pytest.raises(InvalidError, match="2 of version, absent, exists"):
        play.peers[0].store.submit([], [ops.Precondition("k", absent=True, exists=True)], 1)


@pytest.mark.parametrize(
    ("operation", "code", "words"),
    [
        (put("k" * 17, "v"), "key_too_long", "key is 17 bytes, over key_bytes_max=16"),
        (put("", "v"), "invalid_key", "key is empty"),
        (put("a\nb", "v"), "invalid_key", "control character"),
        (put("\ud800", "v"), "invalid_key", "not valid UTF-8"),
        (put("k", "v" * 101), "value_too_large", "value is 101 bytes, over value_bytes_max=100"),
        (ops.Put("k"), "invalid_operation", "needs one of value and value_base64"),
        (ops.Put("k", value="v", ttl_ms=0), "invalid_operation", "ttl_ms is 0"),
        (ops.SetAdd("s", ["x" * 11]), "value_too_large", "set_element_bytes_max=10"),
        (
            ops.MapPut("m", {"a": {"b": {"c": {"d": {"e": 1}}}}}), "path_too_deep",
            "path_depth_max=4",
        ),
        (
            ops.MapPut("m", {str(n): "v" * 50 for n in range(9)}), "transaction_too_large",
            "transaction_bytes_max=400",
        ),
        (ops.CounterAdd("n", 1 << 62), "invalid_operation", "is not within"),
        (ops.BoundedCreate("b", -1), "invalid_operation", "amount -1 is not within"),
        (ops.BoundedTake("b", 1), "key_not_found", "there is no key 'b'"),
    ],
)  # fmt: skip
def test_a_limit_is_named_with_its_value(operation: ops.Operation, code: str, words: str) -> None:
    peer = Peer("a", 1, StoreConfig(limits=LIMITS))
    with pytest.raises(CrdtstateError) as caught:
        peer.store.submit([operation], [], 1_700_000_000_000)
    assert caught.value.code == code
    assert words in caught.value.message
    assert isinstance(caught.value, InvalidError | TooLargeError | NotFoundError)
    assert peer.records() == {}


def test_bounded_counters_never_go_below_zero_in_any_partition() -> None:
    """ESC-1, ESC-2"""
    for seed in range(60):
        play, rng = Play(), Random(seed)
        play.write(play.peers[0], ops.BoundedCreate("b", 6))
        play.meet()
        taken = 0
        for _ in range(30):
            peer, amount = rng.choice(play.peers), rng.randint(1, 3)
            operation: ops.Operation = ops.BoundedTake("b", amount)
            if rng.random() < 0.3:
                operation = ops.BoundedTransfer("b", amount, rng.choice(play.peers).name)
            try:
                play.write(peer, operation)
            except WrongTypeError as found:
                refusal: WrongTypeError | None = found
            else:
                refusal = None
                taken += amount if isinstance(operation, ops.BoundedTake) else 0
            if refusal is not None:
                assert refusal.code == "insufficient_rights"
                assert refusal.data["available"] < amount
            if rng.random() < 0.3:
                play.fetch(rng.choice(play.peers), rng.choice(play.peers))
            assert taken <= 6
        play.meet()
        assert play.value(play.peers[0], "b") == 6 - taken


def test_a_key_with_a_time_to_live_is_hidden_by_each_reader_s_clock(play: Play) -> None:
    a = play.peers[0]
    play.write(a, ops.Put("k", value="v", ttl_ms=1_000))
    assert play.value(a, "k") == b"v"
    play.now_ms += 1_001
    assert play.value(a, "k") is None
    play.write(a, put("k", "again"))
    assert play.value(a, "k") == b"again"
