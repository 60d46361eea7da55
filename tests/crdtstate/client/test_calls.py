"""Requests as they are sent, byte for byte."""

from typing import Any

import pytest

from crdtstate.client import calls, cluster_calls
from crdtstate.client.answer import Answer
from crdtstate.client.calls import Call
from crdtstate.client.txn import Transaction
from crdtstate.errors import CrdtstateError, InvalidError, UnavailableError

GOLDEN: list[tuple[Call[Any], str, str, bytes | None, bool]] = [
    (calls.put("a/b", "é", None, {}), "PUT", "/kv/a/b", "é".encode(), True),
    (calls.put("a b", b"\x00", 0.25, {"w": "all", "if_absent": True}),
     "PUT", "/kv/a%20b?ttl_ms=250&if_absent=1&w=all", b"\x00", True),
    (calls.put("k", "", None, {"if_version": "v/1", "if_exists": True, "if_absent": False}),
     "PUT", "/kv/k?if_version=v%2F1&if_exists=1", b"", True),
    (calls.get("ß?#%"), "GET", "/kv/%C3%9F%3F%23%25", None, True),
    (calls.siblings("k"), "GET", "/kv/k?siblings=1", None, True),
    (calls.delete("k", {"w": 2}), "DELETE", "/kv/k?w=2", None, True),
    (calls.page("p/", 5, "Yw==", keys_only=True),
     "GET", "/kv/?prefix=p%2F&limit=5&continue=Yw%3D%3D&keys_only=1", None, True),
    (calls.page("", None, None, keys_only=False), "GET", "/kv/", None, True),
    (calls.json_write("PATCH", "map", "m", {"a": None}, {}),
     "PATCH", "/map/m", b'{"a":null}', True),
    (calls.apply("m", {"a": 1}, "me & you", {}),
     "POST", "/apply/m?manager=me%20%26%20you", b'{"a":1}', True),
    (calls.change_set("s", ["x"], (), {}), "POST", "/set/s", b'{"add":["x"],"remove":[]}', True),
    (calls.json_write("PUT", "flag", "f", False, {}), "PUT", "/flag/f", b"false", True),
    (calls.add_to_counter("n", -1, {}), "POST", "/counter/n", b'{"add":-1}', False),
    (calls.change_bounded("b", {"transfer": 1, "to": "p"}, {}),
     "POST", "/bounded/b", b'{"transfer":1,"to":"p"}', False),
    (cluster_calls.forget("n/1"), "DELETE", "/members/n/1", None, True),
    (cluster_calls.wait("1.gA", "majority"), "POST", "/wait?peers=majority", None, True),
    (cluster_calls.conflict_page("p", None), "GET", "/conflicts?prefix=p", None, True),
    (cluster_calls.backup("/b"), "POST", "/backup", b'{"path":"/b"}', False),
    (cluster_calls.change_keys("use", "ab"), "POST", "/keys", b'{"use":"ab"}', False),
    (cluster_calls.dev("cut", {"peer": "a", "direction": "in"}),
     "POST", "/dev/cut", b'{"peer":"a","direction":"in"}', True),
]  # fmt: skip


@pytest.mark.parametrize(("call", "method", "target", "body", "repeatable"), GOLDEN)
def test_a_request_is_as_the_protocol_says(
    call: Call[Any], method: str, target: str, body: bytes | None, repeatable: bool
) -> None:
    assert (call.method, call.target(5000, 1), call.body) == (method, target, body)
    assert call.repeatable == repeatable


def test_the_time_left_and_the_usual_w_are_said_when_they_are_not_the_usual() -> None:
    write, read = calls.put("k", "v", None, {}), calls.get("k")

    assert write.target(1200, "majority") == "/kv/k?w=majority&timeout_ms=1200"
    assert calls.put("k", "v", None, {"w": 1}).target(5000, "majority") == "/kv/k"
    assert read.target(90_000, "majority") == "/kv/k?timeout_ms=60000"


def test_a_transaction_is_written_as_the_protocol_says() -> None:
    txn = Transaction()
    txn.require("a", version="V")
    txn.require("b", absent=True)
    txn.require("c", exists=True)
    txn.put("a", "text", ttl=1)
    txn.put("b", b"\x80\x01")
    txn.delete("c")
    txn.map_put("m", {})
    txn.map_merge("m", {"x": None})
    txn.apply("m", {}, manager="me")
    txn.set_add("s", "x")
    txn.set_remove("s", "y", "z")
    txn.flag_set("f", True)
    repeatable = calls.transact(txn.operations, txn.preconditions, None).repeatable
    txn.counter_add("n")

    call = calls.transact(txn.operations, txn.preconditions, 2)

    assert repeatable
    assert not call.repeatable
    assert call.target(5000, 1) == "/txn?w=2"
    assert call.body == (
        b'{"preconditions":[{"key":"a","version":"V"},{"key":"b","absent":true},'
        b'{"key":"c","exists":true}],"operations":['
        b'{"op":"put","key":"a","value":"text","ttl_ms":1000},'
        b'{"op":"put","key":"b","value_base64":"gAE="},{"op":"delete","key":"c"},'
        b'{"op":"map_put","key":"m","value":{}},{"op":"map_merge","key":"m","value":{"x":null}},'
        b'{"op":"apply","key":"m","value":{},"manager":"me"},'
        b'{"op":"set_add","key":"s","elements":["x"]},'
        b'{"op":"set_remove","key":"s","elements":["y","z"]},'
        b'{"op":"flag_set","key":"f","value":true},'
        b'{"op":"counter_add","key":"n","amount":1}]}'
    )


def test_a_requirement_names_exactly_one_condition() -> None:
    with pytest.raises(InvalidError, match="names 2 of"):
        Transaction().require("k", absent=True, exists=True)


@pytest.mark.parametrize("key", ["", "\ud800"])
def test_a_key_that_no_path_can_carry_is_refused_before_it_is_sent(key: str) -> None:
    with pytest.raises(InvalidError) as caught:
        calls.get(key)

    assert caught.value.code == "invalid_key"


def test_a_prefix_that_no_query_can_carry_is_refused_before_it_is_sent() -> None:
    with pytest.raises(InvalidError) as caught:
        calls.page("\ud800", None, None, keys_only=False).target(5000, 1)

    assert caught.value.code == "invalid_parameter"


def test_a_listing_gives_bytes_for_registers_and_json_for_the_rest() -> None:
    body = (
        b'{"items":[{"key":"a","type":"register","version":"1","value":"x","conflicts":2},'
        b'{"key":"b","type":"register","version":"2","value_base64":"/w==","expires_ms":9},'
        b'{"key":"c","type":"map","version":"3","value":{"x":"y"}},'
        b'{"key":"d","type":"set","version":"4"}],"revision":"R","continue":null}'
    )

    page = calls.page("", None, None, keys_only=False).parse(Answer(200, {}, body))

    assert [item.value for item in page.items] == [b"x", b"\xff", {"x": "y"}, None]
    assert (page.items[0].conflicts, page.items[1].expires_ms) == (2, 9)
    assert (page.next, page.revision) == (None, "R")


def test_conflicts_are_read_with_their_values() -> None:
    body = (
        b'{"conflicts":[{"key":"k","path":"/a","kind":"concurrent_values","values":['
        b'{"value":1,"origin":"0a","peer":null,"time_ms":5,"wins":true},'
        b'{"value_base64":"/w==","origin":"0b","peer":"b","time_ms":4,"wins":false}]}],'
        b'"continue":"C"}'
    )

    [conflict], following = cluster_calls.conflict_page("", None).parse(Answer(200, {}, body))

    assert (conflict.key, conflict.path, following) == ("k", "/a", "C")
    assert [value.value for value in conflict.values] == [1, b"\xff"]
    assert [value.wins for value in conflict.values] == [True, False]


def test_members_are_read_with_what_is_not_known() -> None:
    body = (
        b'{"members":[{"name":"a","origin":null,"address":null,"api":null,"liveness":"unknown",'
        b'"linked":false,"incarnation":null,"vector_behind":null,"self":true,"more":1}]}'
    )

    [member] = cluster_calls.members().parse(Answer(200, {}, body))

    assert (member.name, member.liveness, member.is_self) == ("a", "unknown", True)
    assert member.fields["more"] == 1


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b'{"items": 3}'])
def test_an_answer_of_another_shape_is_an_error_of_ours(body: bytes) -> None:
    with pytest.raises(UnavailableError) as caught:
        calls.page("", None, None, keys_only=False).parse(Answer(200, {}, body))

    assert caught.value.code == "bad_answer"


@pytest.mark.parametrize("status", [302, 404, 418, 500])
def test_an_error_without_our_body_keeps_its_status(status: int) -> None:
    with pytest.raises(CrdtstateError) as caught:
        cluster_calls.status().parse(Answer(status, {}, b"<html>"))

    assert caught.value.code == f"http_{status}"
