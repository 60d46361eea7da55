"""A held-up message is no wrong clock; an earlier life with a wrong clock is outlived."""

from crdtstate.replica.peers import LEAD_WINDOW_MS, PeerView
from crdtstate.store import operations as ops
from tests.models.mesh import Mesh


def test_a_message_that_was_held_up_is_not_a_wrong_clock() -> None:
    """SKW-1"""
    view = PeerView("b", 1_000_000)
    view.learn_clock(wall_ms=500_000, now_ms=1_000)
    view.learn_clock(wall_ms=501_000, now_ms=9_000)

    assert view.lead_ms == 499_000


def test_a_clock_that_was_set_back_shows_within_two_windows() -> None:
    """SKW-1"""
    view = PeerView("b", 1_000_000)
    for now_ms in range(0, 10_000, 1_000):
        view.learn_clock(now_ms + 60_000, now_ms)
    for now_ms in range(10_000, 10_000 + 2 * LEAD_WINDOW_MS + 1_000, 1_000):
        view.learn_clock(now_ms, now_ms)

    assert view.lead_ms == 0


def test_an_earlier_life_with_a_clock_that_was_ahead_is_outlived() -> None:
    """REP-6: seed 290. The wiped peer's announcement lost against the one that it had forgotten."""
    mesh = Mesh("a", "b")
    mesh["b"].wall_offset_ms = 60_000
    mesh["b"].restart()
    mesh["b"].submit(ops.Put("k", value="1"))
    mesh.run(1_500)
    mesh.link_all()
    mesh.run(2_000)
    of_its_first_life = mesh["b"].replica.members.origin_of("b")
    assert mesh["a"].replica.members.origin_of("b") == of_its_first_life

    mesh.unlink("a", "b")
    mesh["b"].disk.data, mesh["b"].disk.keys = {}, []
    mesh["b"].wall_offset_ms, mesh["b"].origin = 0, mesh["b"].origin + 7
    mesh["b"].restart()
    mesh["b"].submit(ops.Put("k", value="2"))
    mesh.run(1_500)
    mesh.link_all()
    mesh.run(12_000)

    assert mesh["b"].origin != of_its_first_life
    for name in "ab":
        assert mesh[name].replica.members.origin_of("b") == mesh["b"].origin
    mesh.assert_converged()
