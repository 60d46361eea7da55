"""The identity of a replica: kills, rolled-back disks, members that are forgotten."""

import pytest

from crdtstate.errors import NotFoundError
from crdtstate.replica import events as ev
from tests.models.mesh import Request, put, three


def test_a_kill_loses_nothing_acknowledged_and_reuses_no_dot() -> None:
    mesh = three()
    mesh["b"].submit(put("k", "v"))
    mesh.settle()
    mesh["b"].stalled = True
    unanswered = mesh["b"].submit(put("k2", "not durable"))
    mesh.settle()

    mesh["b"].stalled = False
    mesh["b"].restart()
    mesh.link_all()
    mesh.run(2_000)
    mesh["b"].submit(put("k3", "after"))
    mesh.run(1_000)

    assert unanswered.outcome is None
    assert mesh["b"].value("k") == b"v"
    assert mesh["a"].value("k2") is None
    assert mesh["a"].value("k3") == b"after"
    mesh.assert_converged()


def test_a_rolled_back_disk_takes_a_new_identity_before_its_first_write() -> None:
    """REP-3, REP-5, DOT-1"""
    mesh = three()
    mesh["b"].submit(put("before", "1"))
    mesh.settle()
    saved = dict(mesh["b"].disk.data), list(mesh["b"].disk.keys)
    mesh["b"].submit(put("after", "1"))
    mesh.settle()
    old = mesh["b"].origin

    mesh["b"].disk.data, mesh["b"].disk.keys = saved
    mesh["b"].restart()
    request = mesh["b"].submit(put("new", "1"))
    mesh.link_all()
    mesh.run(3_000)

    assert mesh["b"].origin != old
    assert "rolled back" in mesh["b"].identities[0]
    assert request.committed
    mesh.assert_converged()
    for name in "abc":
        assert mesh[name].value("after") == b"1"
        assert mesh[name].value("new") == b"1"


def test_after_an_unclean_end_with_nobody_to_ask_the_identity_is_new() -> None:
    mesh = three()
    mesh["b"].submit(put("k", "v"))
    mesh.settle()
    old = mesh["b"].origin

    mesh["b"].restart()
    request = mesh["b"].submit(put("alone", "1"))
    mesh.run(3_000)

    assert mesh["b"].origin != old
    assert request.committed
    mesh.link_all()
    mesh.run(2_000)
    mesh.assert_converged()


def test_a_forgotten_member_no_longer_counts() -> None:
    """MEM-1"""
    mesh = three()
    mesh["c"].submit(put("k", "v"))
    mesh.settle()
    mesh.isolate("c")
    request = Request()

    mesh["a"].step(ev.Forget(request, "c"))
    mesh.settle()
    everyone = mesh["b"].submit(put("k2", "v"), replicas="all", deadline_ms=mesh.now_ms + 5_000)
    mesh.settle()

    assert request.committed
    assert everyone.committed
    assert sorted(mesh["b"].replica.members.members) == ["a", "b"]


def test_forgetting_who_is_not_there_or_oneself_is_refused() -> None:
    mesh = three()
    nobody, myself = Request(), Request()

    mesh["a"].step(ev.Forget(nobody, "zebra"))
    mesh["a"].step(ev.Forget(myself, "a"))
    mesh.settle()

    with pytest.raises(NotFoundError, match="zebra"):
        _ = nobody.committed
    with pytest.raises(NotFoundError):
        _ = myself.committed
