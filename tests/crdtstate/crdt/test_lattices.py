"""Vectors, clocks and records on their own."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crdtstate.crdt.clock import AHEAD_MS_MAX, HybridClock, stamp_ms
from crdtstate.crdt.dots import (
    covers,
    covers_all,
    decode_dots,
    decode_flat,
    encode_flat,
    join_vectors,
    missing,
)
from crdtstate.crdt.record import (
    LIFE,
    Record,
    apply_drop,
    apply_set,
    is_alive,
    observed_at,
    observed_below,
    true_conflicts,
    winner,
)
from crdtstate.tokens import decode_token, encode_token, join_tokens

ORIGIN = 1 << 63
origins = st.integers(ORIGIN, ORIGIN + 4)
vectors = st.dictionaries(origins, st.integers(1, 50), max_size=4)


@given(vectors, vectors, vectors)
def test_joining_vectors_is_a_join(a: dict[int, int], b: dict[int, int], c: dict[int, int]) -> None:
    joined = join_vectors(a, b)
    assert joined == join_vectors(b, a)
    assert join_vectors(joined, c) == join_vectors(a, join_vectors(b, c))
    assert covers_all(joined, a)
    assert covers_all(joined, b)
    assert join_vectors(a, missing(a, b)) == joined


@given(vectors, origins, st.integers(1, 50))
def test_a_vector_covers_without_gaps(vector: dict[int, int], origin: int, seq: int) -> None:
    """VEC-1"""
    if covers(vector, (origin, seq)):
        assert all(covers(vector, (origin, n)) for n in range(1, seq))


@given(vectors)
def test_the_flat_form_is_canonical(vector: dict[int, int]) -> None:
    flat = encode_flat(vector)
    assert decode_flat(flat) == vector
    assert flat[::2] == sorted(vector)


@pytest.mark.parametrize(
    "flat",
    [
        None, [1], [ORIGIN], [ORIGIN, 0], [ORIGIN, -1], [ORIGIN, True], [1, 1], [ORIGIN, "1"],
        [ORIGIN + 1, 1, ORIGIN, 1], [ORIGIN, 1, ORIGIN, 2], [1 << 64, 1], [ORIGIN, 1 << 63],
    ],
)  # fmt: skip
def test_what_is_no_vector_is_refused(flat: object) -> None:
    with pytest.raises(ValueError, match=r"vector|origin|dot"):
        decode_flat(flat)


def test_dots_keep_their_order_and_are_checked() -> None:
    assert decode_dots([ORIGIN + 1, 2, ORIGIN, 1]) == [(ORIGIN + 1, 2), (ORIGIN, 1)]
    with pytest.raises(ValueError, match="flat list"):
        decode_dots([ORIGIN])


@given(st.lists(st.integers(0, 1 << 47), min_size=1, max_size=30))
def test_ticks_grow_whatever_the_wall_clock_does(walls: list[int]) -> None:
    """HLC-1"""
    clock = HybridClock()
    stamps = [clock.tick(wall) for wall in walls]
    assert stamps == sorted(set(stamps))


def test_an_absurd_remote_clock_is_not_absorbed() -> None:
    """HLC-2"""
    clock, now = HybridClock(), 1_700_000_000_000
    clock.absorb((now + AHEAD_MS_MAX + 1) << 16, now)
    assert stamp_ms(clock.tick(now)) == now
    clock.absorb((now + AHEAD_MS_MAX) << 16, now)
    assert stamp_ms(clock.tick(now)) == now + AHEAD_MS_MAX


def test_a_set_replaces_what_it_saw_and_a_drop_removes_what_it_saw_below() -> None:
    """REC-1, REC-2"""
    a, b, c = (ORIGIN, 1), (ORIGIN + 1, 1), (ORIGIN + 2, 1)
    record: Record = {}
    apply_set(record, LIFE, a, 1, b"life", [])
    apply_set(record, ("x",), a, 1, b"1", [])
    apply_set(record, ("x", "y"), b, 2, b"2", [])
    apply_set(record, ("x",), c, 3, b"3", [])
    assert is_alive(record)
    assert observed_at(record, ("x",)) == [a, c]
    assert observed_below(record, ("x",)) == [a, b, c]
    assert true_conflicts(record) == [("x",)]
    assert winner(record["x",])[0] == c

    apply_drop(record, ("x",), [a, b])
    assert record == {LIFE: {a: (1, b"life")}, ("x",): {c: (3, b"3")}}
    apply_set(record, ("x",), b, 4, b"4", [c])
    assert record["x",] == {b: (4, b"4")}
    apply_drop(record, LIFE, [a, b])
    assert record == {}


def test_equal_values_written_concurrently_are_no_conflict() -> None:
    record: Record = {}
    apply_set(record, ("x",), (ORIGIN, 1), 1, b"same", [])
    apply_set(record, ("x",), (ORIGIN + 1, 1), 2, b"same", [])
    assert true_conflicts(record) == []


@given(vectors, vectors)
def test_tokens_are_vectors_as_text(a: dict[int, int], b: dict[int, int]) -> None:
    """TOK-1"""
    assert decode_token(encode_token(a)) == a
    joined = join_tokens(encode_token(a), encode_token(b))
    assert joined == encode_token(join_vectors(a, b))
