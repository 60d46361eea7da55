"""Records kept decoded: the same bytes and cells as without, whatever was asked before."""

from random import Random

import pytest

from crdtstate.crdt.codec import decode_record, encode_record
from crdtstate.crdt.dots import ORIGIN_MIN
from crdtstate.crdt.record import Path, Record, apply_drop, apply_set, observed_at, observed_below
from crdtstate.store import operations as ops
from crdtstate.store import wide
from crdtstate.store.wide import WideRecords
from tests.laws.play import Play

SEQ_STEP = 300  # Heads of one, two and more bytes.


def random_record(rng: Random, size: int) -> Record:
    record: Record = {}
    for _ in range(size):
        apply_set(record, random_path(rng), (ORIGIN_MIN + rng.randrange(3), rng.randrange(1, 999)),
                  rng.randrange(10**6), rng.randbytes(rng.randrange(30)), [])  # fmt: skip
    return record


def random_path(rng: Random) -> Path:
    return tuple(f"s{rng.randrange(30)}" for _ in range(rng.randrange(3)))


def change(rng: Random, record: Record, number: int) -> None:
    """Do what transactions do: set, drop, or take the record for another altogether."""
    path = rng.choice(sorted(record)) if record and rng.random() < 0.5 else random_path(rng)
    kind = rng.random()
    if kind < 0.7 or not record:
        observed = observed_at(record, path) if rng.random() < 0.8 else []
        dot = ORIGIN_MIN + rng.randrange(3), 1000 + number * SEQ_STEP
        apply_set(record, path, dot, number, rng.randbytes(3), observed)
    elif kind < 0.97:
        apply_drop(record, path, observed_below(record, path))
    else:
        record.clear()
        record.update(random_record(rng, 20))


@pytest.mark.parametrize("seed", range(40))
def test_bytes_and_cells_are_those_of_the_plain_codec(seed: int) -> None:
    """WID-1"""
    rng, records = Random(seed), WideRecords()
    ids = [b"a\0", b"b\0"]
    stored = {record_id: encode_record(random_record(rng, 40)) for record_id in ids}

    for number in range(150):
        record_id = rng.choice(ids)
        record = records.decode(record_id, stored[record_id])
        assert record == decode_record(stored[record_id])
        for _ in range(rng.choice((0, 1, 1, 1, 2, 12))):
            change(rng, record, number)
        if not record:
            continue
        data = records.encode(record_id, record)
        assert data == encode_record(record)
        assert records.encode(record_id, record) == data
        if rng.random() < 0.8:  # Else it was refused: what was there is there still.
            stored[record_id] = data


def test_the_caller_owns_what_it_gets() -> None:
    rng, records = Random(1), WideRecords()
    data = encode_record(random_record(rng, 40))

    for _ in range(3):
        records.decode(b"a\0", data).clear()

    assert records.decode(b"a\0", data) == decode_record(data)


def test_what_is_kept_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """WID-2: the one used longest ago goes first, and what alone is too large is not kept."""
    rng, records = Random(1), WideRecords()
    stored = {b"%d\0" % n: encode_record(random_record(rng, 40)) for n in range(6)}
    sizes = [len(data) for data in stored.values()]
    monkeypatch.setattr(wide, "WIDE_BYTES_MAX", sum(sizes[1:4]))

    for record_id, data in stored.items():
        records.decode(record_id, data)
        assert records.kept_bytes <= wide.WIDE_BYTES_MAX
    assert records.kept_bytes > wide.WIDE_BYTES_MAX - max(sizes)

    large = encode_record({("x",): {(ORIGIN_MIN, 1): (1, bytes(wide.WIDE_BYTES_MAX))}})
    assert records.decode(b"large\0", large) == decode_record(large)
    assert records.kept_bytes <= wide.WIDE_BYTES_MAX


def test_what_has_grown_too_large_or_small_is_let_go(monkeypatch: pytest.MonkeyPatch) -> None:
    rng, records = Random(1), WideRecords()
    record = random_record(rng, 40)
    data = encode_record(record)
    records.decode(b"a\0", data)
    assert records.kept_bytes == len(data)
    small = dict(list(record.items())[-2:])

    assert records.encode(b"a\0", small) == encode_record(small)

    assert len(encode_record(small)) < wide.WIDE_BYTES_MIN
    assert records.kept_bytes == 0
    records.decode(b"a\0", data)
    monkeypatch.setattr(wide, "WIDE_BYTES_MAX", len(data))
    record["z",] = {(ORIGIN_MIN, 7): (7, b"more")}
    assert records.encode(b"a\0", record) == encode_record(record)
    assert records.kept_bytes == 0


def test_a_set_that_grows_is_encoded_cell_by_cell(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the next element costs in encodings does not depend on how many there are."""
    play = Play(peers=2)
    a, b = play.peers
    for n in range(60):
        play.give(b, play.write(a, ops.SetAdd("s", [f"{n:02}"])))
    encoded: list[Path] = []
    real = wide.encode_cell
    monkeypatch.setattr(wide, "encode_cell", lambda p, c: encoded.append(p) or real(p, c))
    monkeypatch.setattr(wide, "encode_record", lambda _: pytest.fail("encoded whole"))
    monkeypatch.setattr(wide, "decode_record", lambda _: pytest.fail("decoded whole"))

    play.give(b, play.write(a, ops.SetAdd("s", ["15a"])))

    assert encoded == [("~15a",), ("~15a",)]
    assert a.store.table.fingerprint.root == b.store.table.fingerprint.root
