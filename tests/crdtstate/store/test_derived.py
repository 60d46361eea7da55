"""What is kept beside the records: fingerprint, event index, local log, watches, overlay."""

from random import Random

import pytest

from crdtstate.errors import CompactedError
from crdtstate.store import operations as ops
from crdtstate.store.fingerprint import BUCKETS, Fingerprint, bucket_of, print_of
from crdtstate.store.index import read_events, read_log
from crdtstate.store.watch import read_changes
from tests.laws.play import Play, put
from tests.models.small import small_slices
from tests.models.world import World

MASK = (1 << 128) - 1


def test_the_sums_are_the_sum_of_the_records() -> None:
    """FPR-1"""
    rng, prints = Random(1), Fingerprint()
    live: dict[bytes, bytes] = {}
    for _ in range(2_000):
        record_id = b"%d\0" % rng.randrange(200)
        after = rng.choice((None, b"%d" % rng.randrange(5)))
        prints.change(record_id, live.pop(record_id, None), after)
        if after:
            live[record_id] = after
    total = sum(print_of(r, data) for r, data in live.items()) & MASK
    buckets = prints.buckets()
    assert prints.root == total == sum(buckets) & MASK
    assert len(buckets) == BUCKETS
    assert {n for n, amount in enumerate(buckets) if amount} <= {bucket_of(r) for r in live}


def test_every_covered_dot_has_an_event_or_lies_below_a_floor() -> None:
    """IDX-1, IDX-2, IDX-3, on the durable state after every step."""
    small_slices()
    for seed in range(40):
        world = World(Random(seed), repair=True)
        revisions = {peer.name: 0 for peer in world.peers}
        for _ in range(60):
            world.step()
            for peer in world.peers:
                world.flush(peer)
                index = peer.store.index
                if peer.store.vector:
                    assert index.revision >= revisions[peer.name] or peer.origin in world.gone
                revisions[peer.name] = index.revision
                for origin, last in peer.store.vector.items():
                    floor = index.floors.get(origin, 0)
                    found = [seq for seq, _ in read_events(peer.storage, origin, floor + 1, last)]
                    assert found == list(range(floor + 1, last + 1)), "IDX-1"
                order: dict[int, int] = {}
                for _, dots in read_log(peer.storage, index.log_floor, index.revision):
                    for origin, seq in dots:
                        assert order.get(origin, 0) < seq, "IDX-3"
                        order[origin] = seq


def test_readers_never_see_what_is_not_durable() -> None:
    """STO-2, REP-1: the overlay is the writer's alone."""
    play = Play()
    a = play.peers[0]
    a.store.submit([put("k", "v")], [], play.wall_ms(a))
    assert a.store.table.get_encoded(b"k\0") is not None
    assert play.value(a, "k") is None
    batch = a.store.close_batch()
    a.store.submit([put("k", "w")], [], play.wall_ms(a))
    a.storage.write(batch)
    a.store.batch_durable()
    assert play.value(a, "k") == b"v"


def test_a_watch_tells_every_key_that_changed_once_with_its_newest_state() -> None:
    """WAT-1, WAT-2"""
    for seed in range(30):
        play, rng = Play(), Random(seed)
        a = play.peers[0]
        seen: dict[str, object] = {}
        cursor = 0
        for n in range(40):
            key = f"k{rng.randrange(6)}"
            play.write(a, ops.Delete(key) if rng.random() < 0.3 else put(key, str(n)))
            if rng.random() < 0.3:
                chunk = read_changes(a.storage.snapshot(), cursor, b"", 3, play.wall_ms(a))
                for change in chunk.changes:
                    seen[change.key] = change.entry.value if change.entry else None
                cursor = chunk.revision
        while cursor < a.store.index.revision:
            chunk = read_changes(a.storage.snapshot(), cursor, b"", 3, play.wall_ms(a))
            for change in chunk.changes:
                seen[change.key] = change.entry.value if change.entry else None
            cursor = chunk.revision
        assert seen == {key: play.value(a, key) for key in seen}
        assert {k for k, v in seen.items() if v} == {
            f"k{n}" for n in range(6) if play.value(a, f"k{n}")
        }


def test_a_cut_in_the_middle_of_a_transaction_s_keys_loses_none() -> None:
    """WAT-2: whatever line was the last to arrive, resuming from its revision tells the rest."""
    play = Play(repair=True)
    a = play.peers[0]
    play.write(a, put("before", "v"))
    play.write(a, *(put(f"k{n}", "v") for n in range(5)))
    play.write(a, put("k3", "w"))
    a.make_durable()
    snapshot = a.storage.snapshot()
    told = list(read_changes(snapshot, 0, b"", 10, play.wall_ms(a)).changes)
    for at in range(len(told)):
        since = told[at].revision
        rest = read_changes(snapshot, since, b"", 10, play.wall_ms(a)).changes
        seen = {change.key for change in told[: at + 1]} | {change.key for change in rest}
        assert seen == {"before", *(f"k{n}" for n in range(5))}


def test_a_revision_below_the_floor_is_refused() -> None:
    play = Play(repair=True)
    a = play.peers[0]
    for n in range(20):
        play.write(a, put("k", str(n)))
    a.store.index.trim(a.store.index.revision, play.wall_ms(a))
    a.make_durable()
    with pytest.raises(CompactedError) as caught:
        read_changes(a.storage.snapshot(), 1, b"", 10, play.wall_ms(a))
    assert caught.value.code == "revision_compacted"
