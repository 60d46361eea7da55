"""Fifteen nasty scenarios of the research page, as they apply here; each test restates its own.

8 and 10 (identities of directories) are `tests/crdtstate/storage/test_layout.py` and
`tests/e2e/test_identity.py`; here they are played with origins. 12's object trees come with
controllers; what the store owes them is played here.
"""

import pytest

from crdtstate.errors import WrongTypeError
from crdtstate.store import operations as ops
from tests.laws.play import Play, put
from tests.models.mesh import Mesh

REGISTER = b"k\0"


@pytest.mark.parametrize("order", ["both then removal", "removal then other", "pull only"])
def test_scenario_01_two_concurrent_writes_and_a_removal_that_saw_one(order: str) -> None:
    play = Play()
    a, b, c = play.peers
    first = play.write(a, put("k", "1"))
    second = play.write(b, put("k", "2"))
    play.give(c, second)
    removal = play.write(c, ops.Delete("k"))
    if order == "both then removal":
        play.give(a, second, removal)
    elif order == "removal then other":
        play.give(b, removal, first)
    play.meet()
    assert [play.value(p, "k") for p in play.peers] == [b"1"] * 3


def test_scenario_02_an_overwritten_value_is_not_served_by_who_deleted_its_successor() -> None:
    play = Play()
    a, b, c = play.peers
    old = play.write(a, put("k", "0"))
    play.give(b, old)
    play.give(c, old)
    play.write(a, put("k", "1"))
    play.write(a, ops.Delete("k"))
    play.fetch(c, a)
    assert play.value(c, "k") is None
    play.fetch(b, c)
    assert play.value(b, "k") is None


def test_scenario_03_a_deletion_that_overtakes_is_held_then_released_in_order() -> None:
    play = Play()
    a, _, c = play.peers
    frames = [play.write(a, put("k", "0")), play.write(a, put("k", "1"))]
    deletion = play.write(a, ops.Delete("k"))
    play.give(c, frames[0])
    assert play.give(c, deletion)
    assert play.value(c, "k") == b"0"
    play.give(c, frames[1])
    assert play.value(c, "k") is None
    assert c.store.held_count == 0


def test_scenario_04_a_patch_settles_two_writes_overtakes_one_and_is_deleted() -> None:
    play = Play(peers=4)
    a, b, c, d = play.peers
    one, two = play.write(a, put("k", "1")), play.write(b, put("k", "2"))
    play.give(c, one, two)
    patch = play.write(c, put("k", "12"))
    assert play.give(d, one, patch), "it has seen what is not here"
    assert play.value(d, "k") == b"1"
    play.write(c, ops.Delete("k"))
    play.fetch(d, c)
    assert play.value(d, "k") is None
    play.give(d, two)
    assert play.value(d, "k") is None
    play.meet()


def test_scenario_05_a_third_pulls_from_one_whose_pull_was_cut() -> None:
    play = Play()
    a, b, c = play.peers
    play.give(b, play.write(a, put("k", "0"), put("l", "0")))
    play.write(a, put("k", "1"))
    play.write(a, ops.Delete("l"))
    for _ in range(5):
        play.fetch(b, a, cut=True)
        play.fetch(c, b)
        assert (play.value(c, "k"), play.value(c, "l")) == (b"0", b"0")
    play.meet()
    assert (play.value(c, "k"), play.value(c, "l")) == (b"1", None)


def test_scenario_06_a_context_never_speaks_for_keys_that_did_not_come_with_it() -> None:
    play = Play()
    a, b, c = play.peers
    for n in range(30):
        play.write(a, put(f"k{n}", "x"))
    play.fetch(b, a)
    play.fetch(c, b)
    assert all(play.value(c, f"k{n}") == b"x" for n in range(30))


def test_scenario_07_a_removal_older_than_the_horizon_is_not_undone_by_who_was_away() -> None:
    play = Play(repair=True)
    a, b, c = play.peers
    play.give(b, play.write(a, put("k", "old"), put("l", "old")))
    play.write(a, ops.Delete("k"))
    for n in range(40):
        play.write(a, put("l", str(n)))
        a.store.index.trim(int.from_bytes(a.storage.get(b"mr") or b"", "big"), play.wall_ms(a))
        a.make_durable()
    assert a.store.index.floors[a.origin] > 2, "the removal is beyond the horizon"
    play.fetch(c, b)  # b serves a fresh peer before it is repaired
    assert play.value(c, "k") == b"old"
    play.fetch(b, a)
    assert play.value(b, "k") is None
    play.meet()
    assert [play.value(p, "k") for p in play.peers] == [None] * 3


def test_scenario_08_a_wiped_disk_comes_back_as_somebody_else_and_nothing_is_lost() -> None:
    mesh = Mesh("a", "b", "c")
    mesh.link_all()
    mesh.run(500)
    mesh["a"].submit(put("k", "1"))
    mesh.settle()
    before = mesh["a"].origin
    mesh["a"].disk.__init__()  # type: ignore[misc]
    mesh["a"].restart()
    mesh.link_all()
    mesh.run(3_000)
    mesh["a"].submit(put("l", "2"))
    mesh.run(3_000)
    mesh.assert_converged()
    assert mesh["a"].origin != before
    assert mesh["a"].value("k") == b"1"


def test_scenario_09_a_rolled_back_disk_is_told_by_its_peers_before_it_writes() -> None:
    mesh = Mesh("a", "b", "c")
    mesh.link_all()
    mesh.run(500)
    mesh["a"].submit(ops.BoundedCreate("b", 10))
    mesh.settle()
    saved = dict(mesh["a"].disk.data), list(mesh["a"].disk.keys)
    mesh["a"].submit(ops.BoundedTake("b", 10))
    mesh.settle()
    before = mesh["a"].origin
    mesh["a"].disk.data, mesh["a"].disk.keys = saved
    mesh["a"].restart()
    late = mesh["a"].submit(ops.BoundedTake("b", 1))
    mesh.link_all()
    mesh.run(3_000)
    assert mesh["a"].origin != before
    with pytest.raises(WrongTypeError):
        assert late.committed
    mesh.assert_converged()
    assert mesh["c"].value("b") == 0


def test_scenario_11_a_clock_ten_years_ahead_wins_races_and_nothing_else() -> None:
    play = Play()
    a, b, c = play.peers
    a.wall_offset_ms = 10 * 365 * 86_400_000
    play.write(a, put("k", "ahead"))
    play.write(b, put("k", "now"))
    play.meet()
    assert play.value(c, "k") == b"ahead", "it wins the race"
    assert play.value(c, "k") == b"ahead"
    play.write(b, put("k", "after"))
    play.meet()
    assert play.value(c, "k") == b"after", "and is replaced at once"
    assert b.store.clock.last >> 16 <= play.wall_ms(b) + 1_000, "HLC-2: no other clock has moved"


def test_scenario_11_a_clock_ten_years_behind_loses_no_later_write() -> None:
    play = Play()
    a, b, c = play.peers
    b.wall_offset_ms = -10 * 365 * 86_400_000
    play.give(b, play.write(a, put("k", "first")))
    play.write(b, put("k", "second"))
    play.meet()
    assert play.value(c, "k") == b"second"


def test_scenario_12_one_key_created_on_both_sides_is_one_record_with_both_contents() -> None:
    play = Play()
    a, b, c = play.peers
    play.write(a, ops.MapPut("m", {"spec": {"replicas": 1, "left": True}}))
    play.write(b, ops.MapPut("m", {"spec": {"replicas": 2, "right": True}}))
    play.meet()
    found = play.value(c, "m")
    assert found["spec"]["left"]
    assert found["spec"]["right"]
    assert found["spec"]["replicas"] == 2, "the later of the two"
    assert [x.path for x in play.conflicts(c)] == ["/spec/replicas"]


def test_scenario_13_a_child_overtakes_its_owner_which_is_deleted_before_it_arrives() -> None:
    play = Play()
    a, b, c = play.peers
    owner = play.write(a, put("owner", "1"))
    play.give(b, owner)
    child = play.write(b, put("child", "1"))
    deletion = play.write(b, ops.Delete("owner"))
    assert play.give(c, child, deletion)
    assert play.value(c, "child") is None
    play.give(c, owner)
    assert play.value(c, "owner") is None, "a dead owner meets the dependency"
    assert play.value(c, "child") == b"1"


def test_scenario_14_one_who_was_away_brings_its_writes_and_not_what_was_removed() -> None:
    play = Play(repair=True)
    a, b, c = play.peers
    for n in range(20):
        play.write(a, put(f"z{n}", "zombie"))
    play.fetch(c, a)
    play.fetch(b, a)
    for n in range(20):
        play.write(c, put(f"w{n}", "unseen"))
    for n in range(20):
        play.write(a, ops.Delete(f"z{n}"))
        a.store.index.trim(int.from_bytes(a.storage.get(b"mr") or b"", "big"), play.wall_ms(a))
        a.make_durable()
    play.meet()
    for peer in play.peers:
        assert [play.value(peer, f"z{n}") for n in range(20)] == [None] * 20
        assert [play.value(peer, f"w{n}") for n in range(20)] == [b"unseen"] * 20


def test_scenario_15_a_key_written_all_the_time_during_a_long_pull() -> None:
    mesh = Mesh("a", "b", "c")
    mesh.link_all()
    mesh.run(500)
    mesh.isolate("c")
    for n in range(3_000):
        mesh["a"].submit(put(f"k{n}", "x" * 50))
    mesh["a"].submit(put("busy", "-1"))
    mesh.settle()
    mesh.link("a", "c")
    sent = mesh.bytes_sent
    seen: list[int] = []
    for n in range(300):
        if n == 150:
            mesh["a"].submit(ops.Delete("other"), put("other", "new"))
        mesh["a"].submit(put("busy", str(n)))
        mesh.settle_some(3)
        value = mesh["c"].value("busy")
        if value is not None:
            seen.append(int(value))
    mesh.run(2_000)
    mesh.link("b", "c")
    mesh.run(1_000)
    assert seen == sorted(seen), "a reader never goes back, nor sees it absent"
    assert mesh["c"].value("busy") == b"299"
    mesh.assert_converged()
    assert mesh.bytes_sent - sent < 2_000_000
