"""The laws of the research page, as they apply here; each test restates its claim.

Held after every step of every random history (`test_histories.py`, `tests.models.world`): 4, 6, 7,
9, 10, 11 and 25's oracle half. Law 12's bitmaps and kill sets do not exist here: one vector is the
whole context. Law 21's owner dependencies are an instance of causal order and tested as that.
Law 23 is `tests/crdtstate/replica/test_idle.py`, in bytes also `tests/e2e/test_idle_peers.py`;
law 25's golden vectors are `tests/crdtstate/crdt/test_codec.py`, its identities
`tests/crdtstate/storage/test_layout.py`; law 19's fail-over is `tests/e2e/test_client_tokens.py`.
"""

from collections.abc import Iterator
from itertools import permutations
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crdtstate.crdt.codec import decode_record
from crdtstate.crdt.dots import join_vectors
from crdtstate.crdt.record import Record, join_records, winner
from crdtstate.store import operations as ops
from tests.laws.play import Play, put
from tests.models.small import small_slices
from tests.models.world import Peer, World

State = tuple[dict[bytes, Record], dict[int, int]]
REGISTER = b"k\0"


def state_of(peer: Peer) -> State:
    """Return (records, vector) of a peer."""
    records = {r: decode_record(data) for r, data in peer.records().items()}
    return records, dict(peer.store.vector)


def join(a: State, b: State) -> State:
    """Join whole states, record by record."""
    ids = sorted(a[0].keys() | b[0].keys())
    joined = {r: join_records(a[0].get(r, {}), a[1], b[0].get(r, {}), b[1]) for r in ids}
    return {r: record for r, record in joined.items() if record}, join_vectors(a[1], b[1])


def some_states(seeds: int) -> Iterator[tuple[World, list[State]]]:
    """Yield worlds in the middle of their histories, with the states of their three peers."""
    small_slices()
    for seed in range(seeds):
        world = World(Random(seed), repair=False)
        for _ in range(30):
            world.step()
        yield world, [state_of(peer) for peer in world.peers]


def test_law_01_join_is_commutative_associative_and_idempotent() -> None:
    for world, (a, b, c) in some_states(150):
        assert join(a, b) == join(b, a)
        assert join(join(a, b), c) == join(a, join(b, c))
        assert join(a, a) == a
        joined = join(a, b)
        assert joined[0] == world.oracle.state(joined[1])


def test_law_02_applying_a_transaction_is_joining_the_state_it_made() -> None:
    for seed in range(100):
        play, rng = Play(), Random(seed)
        a, b, _ = play.peers
        for n in range(5):
            frame = play.write(a, put("k", str(n)), ops.SetAdd("s", [str(rng.randint(0, 2))]))
            before = state_of(b)
            play.give(b, frame)
            assert state_of(b) == join(before, state_of(a))


def test_law_03_a_join_only_adds_to_the_context() -> None:
    for _, (a, b, _) in some_states(50):
        joined = join(a, b)
        assert all(joined[1][origin] >= seq for v in (a[1], b[1]) for origin, seq in v.items())
        assert join(joined, a) == joined == join(joined, b)


def test_law_04_any_order_and_any_duplication_gives_one_state() -> None:
    play = Play(peers=5)
    a, b, *others = play.peers
    frames = [play.write(a, put("k", "1")), play.write(b, put("k", "2"))]
    play.give(b, frames[0])
    frames += [play.write(b, put("k", "3")), play.write(a, ops.Delete("k"))]
    found = []
    for order in permutations(frames):
        peer = others[0]
        peer.wipe()
        play._introduce(peer)
        play.held_before.clear()
        play.ended.clear()
        play.give(peer, *order, *order)
        found.append(state_of(peer))
    assert all(state == found[0] for state in found)


@pytest.mark.parametrize("relation", ["equal", "behind", "ahead", "concurrent"])
def test_law_05_a_pull_is_a_join(relation: str) -> None:
    play = Play()
    a, b, _ = play.peers
    play.give(b, play.write(a, put("k", "1"), ops.SetAdd("s", ["x"])))
    if relation in ("ahead", "concurrent"):
        play.write(b, put("k", "2"), ops.SetRemove("s", ["x"]))
    if relation in ("behind", "concurrent"):
        play.write(a, put("k", "3"), put("l", "4"))
    wanted = join(state_of(b), state_of(a))

    play.fetch(b, a)

    assert state_of(b) == wanted


def test_law_08_a_session_cut_anywhere_leaves_a_valid_state() -> None:
    for repair in (False, True):
        play = Play(repair=repair)
        a, b, c = play.peers
        for n in range(8):
            play.write(a, put("k", str(n)), put("l", str(n)), ops.CounterAdd("n", 1))
        before = state_of(b)
        for _ in range(10):
            play.fetch(b, a, cut=True, repair=repair)
            assert state_of(b) == before, "CAT-1"
        play.fetch(c, b)
        play.fetch(b, a, repair=repair)
        assert state_of(b) == state_of(a)
        play.meet()


def test_law_12_one_pull_from_its_sender_releases_what_is_held() -> None:
    play = Play()
    a, b, c = play.peers
    first = play.write(a, put("k", "1"))
    play.give(b, first)
    second = play.write(b, put("l", "2"))
    assert play.give(c, second), "its past is not covered: held"

    play.fetch(c, b)

    assert c.store.held_count == 0
    assert state_of(c) == state_of(b)


def test_law_13_a_put_concurrent_with_a_delete_is_visible_and_whole() -> None:
    play = Play()
    a, b, _ = play.peers
    play.give(b, play.write(a, put("k", "1")))
    play.write(a, ops.Delete("k"))
    play.write(b, put("k", "2"))
    play.meet()
    assert [play.value(p, "k") for p in play.peers] == [b"2"] * 3


def test_law_13_two_creations_of_one_map_are_both_whole() -> None:
    play = Play()
    a, b, _ = play.peers
    play.write(a, ops.MapPut("m", {"x": 1, "shared": 1}))
    play.write(b, ops.MapPut("m", {"y": 2, "shared": 1}))
    play.meet()
    assert [play.value(p, "m") for p in play.peers] == [{"x": 1, "y": 2, "shared": 1}] * 3


def test_law_14_a_patch_concurrent_with_a_delete_is_not_visible_nor_in_the_next_life() -> None:
    play = Play()
    a, b, _ = play.peers
    play.give(b, play.write(a, ops.MapPut("m", {"x": 1})))
    play.write(a, ops.Delete("m"))
    play.write(b, ops.MapMerge("m", {"y": 2}))
    play.meet()
    assert [play.value(p, "m") for p in play.peers] == [None] * 3
    kinds = [(c.path, c.kind) for c in play.conflicts(a)]
    assert kinds == [("/y", "update_after_delete")]

    play.write(a, ops.MapPut("m", {"z": 3}))
    play.meet()

    assert [play.value(p, "m") for p in play.peers] == [{"z": 3}] * 3


def test_law_15_a_removal_removes_only_what_it_has_seen() -> None:
    play = Play()
    a, b, _ = play.peers
    play.write(a, ops.SetAdd("s", ["x"]))
    play.write(b, ops.SetAdd("s", ["x"]))
    play.write(a, ops.SetRemove("s", ["x"]))
    play.meet()
    assert play.value(a, "s") == ["x"]


@pytest.mark.parametrize("years", [100, -40])
def test_law_16_a_write_that_has_seen_another_replaces_it_whatever_the_clocks_say(
    years: int,
) -> None:
    play = Play()
    a, b, _ = play.peers
    a.wall_offset_ms = years * 365 * 86_400_000
    play.give(b, play.write(a, put("k", "far")))
    play.write(b, put("k", "now"))
    play.meet()
    assert play.value(a, "k") == b"now"
    assert play.siblings(a, REGISTER) == 1


@given(
    st.dictionaries(
        st.tuples(st.integers(1 << 63, (1 << 63) + 3), st.integers(1, 5)),
        st.tuples(st.integers(0, 3), st.binary(max_size=2)),
        min_size=1,
    ),
    st.randoms(use_true_random=False),
)
def test_law_17_the_winner_is_a_function_of_the_siblings(
    cell: dict[tuple[int, int], tuple[int, bytes]], rng: Random
) -> None:
    items = list(cell.items())
    rng.shuffle(items)
    assert winner(dict(items)) == winner(cell)
    assert winner(cell)[1] == max(stamp for stamp, _ in cell.values())


def test_law_18_siblings_are_at_most_the_writers_and_one_write_settles_them() -> None:
    play = Play(peers=5)
    for n, peer in enumerate(play.peers):
        for round_ in range(3):
            play.write(peer, put("k", f"{n}-{round_}"))
    play.meet()
    assert play.siblings(play.peers[0], REGISTER) == 5
    assert len(play.conflicts(play.peers[3])[0].values) == 5

    play.write(play.peers[3], put("k", "settled"))
    play.meet()

    assert play.siblings(play.peers[0], REGISTER) == 1
    assert not play.conflicts(play.peers[0])


def test_law_20_nobody_sees_half_of_a_transaction() -> None:
    """TXN-2: by push, by pull and by repair, in any state that is durable anywhere."""
    for seed in range(60):
        play, rng = Play(repair=seed % 2 == 1), Random(seed)
        frames: list[bytes] = []
        for n in range(20):
            peer = rng.choice(play.peers)
            frames.append(play.write(peer, put("k", str(n)), put("l", str(n))))
            other = rng.choice(play.peers)
            play.give(other, rng.choice(frames))
            play.fetch(rng.choice(play.peers), rng.choice(play.peers))
            for one in play.peers:
                assert play.value(one, "k") == play.value(one, "l")


def test_law_21_a_child_is_never_where_its_owner_has_not_been() -> None:
    play = Play()
    a, b, c = play.peers
    owner = play.write(a, put("owner", "1"))
    play.give(b, owner)
    child = play.write(b, put("child", "of owner"))

    assert play.give(c, child)
    assert play.value(c, "child") is None
    play.give(c, owner)

    assert play.value(c, "child") == b"of owner"


def test_law_22_metadata_is_bounded_by_what_is_live() -> None:
    play = Play(repair=True)
    for round_ in range(4):
        for peer in play.peers:
            for n in range(10):
                play.write(peer, put(f"k{n}", f"{peer.name}{round_}"))
        play.meet()
    for n in range(10):
        play.write(play.peers[0], put(f"k{n}", "last"))
    play.meet()
    for peer in play.peers:
        assert all(play.siblings(peer, f"k{n}\0".encode()) == 1 for n in range(10))
    for n in range(10):
        play.write(play.peers[0], ops.Delete(f"k{n}"))
    play.meet()
    for peer in play.peers:
        for _ in range(100):
            revision = int.from_bytes(peer.storage.get(b"mr") or b"", "big")
            if not peer.store.index.trim(revision, play.wall_ms(peer)):
                break
            peer.make_durable()
        assert peer.records() == {}
        assert peer.store.held_count == 0
        cap = peer.config.event_entries_max
        assert peer.store.index.entries <= cap
        # Buckets are sums, and stay as zeros; a grave may stay while an index names it.
        left = [key for key, _ in peer.storage.scan(b"\0", b"\xff") if key[:1] not in b"bmgv"]
        assert len(left) <= 4 * cap + 8


def test_law_24_reach_only_grows_and_never_says_more_than_is_there() -> None:
    play = Play()
    a, b, c = play.peers
    before = 0
    for n in range(10):
        frame = play.write(a, put("k", str(n)))
        if n % 2:
            play.give(b, frame)
        play.fetch(b, a)
        if n % 3 == 0:
            play.fetch(c, b)
        covered = min(p.store.vector.get(a.origin, 0) for p in play.peers)
        assert covered >= before
        before = covered
