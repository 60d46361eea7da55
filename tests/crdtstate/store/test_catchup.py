"""Joining registers on their bytes is joining them."""

from hypothesis import given
from hypothesis import strategies as st

from crdtstate.crdt.codec import decode_record, encode_record
from crdtstate.crdt.dots import ORIGIN_MIN
from crdtstate.crdt.record import LIFE, Record, join_records
from crdtstate.store.catchup import _join_registers

ORIGINS = [ORIGIN_MIN + n for n in range(3)]
vectors = st.dictionaries(st.sampled_from(ORIGINS), st.integers(1, 4), max_size=3)
dots = st.tuples(st.sampled_from(ORIGINS), st.integers(1, 4))


@st.composite
def sides(draw: st.DrawFn) -> tuple[bytes | None, dict[int, int]]:
    """A record of few siblings and a vector that covers them; a dot has one value everywhere."""
    found = draw(st.lists(dots, max_size=2, unique=True))
    vector = draw(vectors)
    for origin, seq in found:
        vector[origin] = max(seq, vector.get(origin, 0))
    record: Record = {LIFE: {d: (d[1] << 40, b"\0%d" % (d[0] % 7)) for d in found}}
    return (encode_record(record) if found else None), vector


@given(sides(), sides())
def test_registers_join_on_bytes_as_records_do(
    a: tuple[bytes | None, dict[int, int]], b: tuple[bytes | None, dict[int, int]]
) -> None:
    """CAT-3"""
    short = _join_registers(a[0], a[1], b[0], b[1])
    long = join_records(
        decode_record(a[0]) if a[0] else {}, a[1], decode_record(b[0]) if b[0] else {}, b[1]
    )
    if short is None:
        assert any(side[0] and len(decode_record(side[0])[LIFE]) > 1 for side in (a, b)) or (
            len(long[LIFE]) > 1
        )
    else:
        assert short == (encode_record(long) if long else b"")
