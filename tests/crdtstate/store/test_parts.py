"""Parts of a session: events are gathered, sent, and whatever a peer sends is checked."""

from typing import Any

import pytest

from crdtstate.crdt.dots import ORIGIN_MIN, SEQ_MAX
from crdtstate.errors import RemoteProtocolError
from crdtstate.store import parts as parts_module
from crdtstate.store.index import encode_event
from crdtstate.store.parts import PartWriter, Run, parse_part, records_only
from tests.crdtstate.store.served import events_of

O1 = ORIGIN_MIN + 1


def test_events_in_parts_are_those_that_were_given_and_each_distinct_one_is_there_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """PRT-2: gaps begin a run, and so does a part; the sum of a part's items stays bounded."""
    monkeypatch.setattr(parts_module, "PART_BYTES", 400)
    monkeypatch.setattr(parts_module, "SLICE", 256)
    ids = [f"k{n % 7}\0".encode() for n in range(600)]
    seqs = [*range(1, 300), *range(400, 701)]
    events = [
        (seq, encode_event([i], [i] if i == b"k3\0" else []))
        for seq, i in zip(seqs, ids, strict=True)
    ]
    writer = PartWriter()

    filled = [*writer.fill(O1, events), *writer.fill(O1 + 1, events[:3]), *writer.rest()]

    parts = [part for part in filled if part is not None]
    assert filled.count(None) >= 1
    assert writer.touched.keys() == set(ids)
    found = events_of(parts)
    assert [(dot[1], encoded) for dot, encoded, _ in found] == events + events[:3]
    assert [dot[0] for dot, _, _ in found] == [O1] * 600 + [O1 + 1] * 3
    assert all(ended == ([b"k3\0"] if b"k3" in encoded else []) for _, encoded, ended in found)
    for part in parts:
        assert len(part.distinct) == len(set(part.distinct)) <= 7
        assert sum(2 * len(run.indices) for run in part.runs) <= 400
    assert [*writer.rest()] == []


def test_a_part_is_what_was_sent() -> None:
    records = [[b"k\0", b"data"], [b"m\0", None]]
    distinct = [[[b"k\0"], [b"m\0"]], [[b"k\0"], []]]

    part = parse_part(records, distinct, [[O1, 4, b"\0\1\0\0"], [O1, SEQ_MAX, b"\0\1"]])

    assert part.records == [(b"k\0", b"data"), (b"m\0", None)]
    assert part.distinct == [encode_event([b"k\0"], [b"m\0"]), encode_event([b"k\0"], [])]
    assert part.ended == {0: [b"m\0"]}
    assert part.runs == [Run(O1, 4, [1, 0]), Run(O1, SEQ_MAX, [1])]
    assert parse_part([], [], []) == records_only([])
    assert len(parse_part([], [distinct[1]] * 65_536, []).distinct) == 65_536


EVENT = [[b"k\0"], []]
RUN = [O1, 4, b"\0\0"]


def run(place: int, value: Any) -> tuple[Any, ...]:
    return [], [EVENT], [[*RUN[:place], value, *RUN[place + 1 :]]]


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        (({}, [], []), "a part is a list of records"),
        (([], {}, []), "a part is a list of records"),
        (([], [], {}), "a part is a list of records"),
        ((None, None, None), "a part is a list of records"),
        (([{}], [], []), "a served record is"),
        (([[b"k\0"]], [], []), "a served record is"),
        (([[b"k\0", b"", b""]], [], []), "a served record is"),
        (([["k\0", b""]], [], []), "a served record is"),
        (([[b"k\0", "text"]], [], []), "a served record is"),
        (([], [{}], []), "a served event is"),
        (([], [EVENT[:1]], []), "a served event is"),
        (([], [[*EVENT, []]], []), "a served event is"),
        (([], [[{}, []]], []), "a served event is"),
        (([], [[[b"k\0"], {}]], []), "a served event is"),
        (([], [EVENT] * 65_537, []), "has 65537 events, more than 65536"),
        (([], [[[[]], []]], []), "record id"),
        (([], [[[b"k\0"], [{}]]], []), "record id"),
        (([], [EVENT, [[None], []]], []), "record id"),
        (([], [[[b"k"], []]], []), "record id"),
        (([], [[[b"k\0"], ["k\0"]]], []), "record id"),
        (([], [EVENT], [{}]), "a run is"),
        (([], [EVENT], [RUN[:2]]), "a run is"),
        (([], [EVENT], [[*RUN, 1]]), "a run is"),
        (run(2, "00"), "a run is"),
        (run(0, "x"), "origin is out of range"),
        (run(0, ORIGIN_MIN - 1), "origin is out of range"),
        (run(0, 2 * ORIGIN_MIN), "origin is out of range"),
        (run(0, True), "origin is out of range"),
        (run(1, "x"), "seq is out of range"),
        (run(1, 0), "seq is out of range"),
        (run(1, True), "seq is out of range"),
        (run(1, SEQ_MAX + 1), "seq is out of range"),
        (([], [EVENT], [[O1, SEQ_MAX, b"\0\0\0\0"]]), "seq is out of range"),
        (run(2, b""), "a run of 0 bytes is not two bytes an event"),
        (run(2, b"\0\0\0"), "a run of 3 bytes is not two bytes an event"),
        (run(2, b"\0\0\0\1"), "names event 1 of 1"),
    ],
)
def test_a_wrong_part_is_refused(fields: tuple[Any, Any, Any], words: str) -> None:
    """PRT-1"""
    with pytest.raises(RemoteProtocolError, match=words):
        parse_part(*fields)
