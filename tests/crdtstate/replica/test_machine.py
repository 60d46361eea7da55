"""The replica machine among others: group commit, pushes, pulls, repairs, identities, waiting."""

import pytest

from crdtstate.errors import BehindError, UnavailableError
from crdtstate.replica import events as ev
from crdtstate.replica.messages import Kind
from crdtstate.replica.peers import PeerView
from crdtstate.storage.memory import MemoryDisk
from crdtstate.store import operations as ops
from crdtstate.store.store import StoreConfig
from tests.models.mesh import Mesh, Request, put, three


def test_a_write_is_answered_only_after_its_batch_is_durable() -> None:
    """REP-1, REP-4"""
    mesh = three()
    mesh["a"].stalled = True

    request = mesh["a"].submit(put("k", "v"))
    mesh.settle()

    assert request.outcome is None
    assert mesh["b"].value("k") is None, "REP-1: pushed before it was durable"
    mesh["a"].stalled = False
    mesh.settle()
    assert request.committed.seq is not None
    assert mesh["b"].value("k") == b"v"


def test_writes_that_arrive_during_a_sync_share_the_next_batch() -> None:
    mesh = three()
    mesh["a"].stalled = True
    first = [mesh["a"].submit(put(f"first{n}", "v")) for n in range(3)]
    mesh.settle_some(5)
    before = mesh["a"].disk.writes

    others = [mesh["a"].submit(put(f"k{n}", "v")) for n in range(1, 50)]
    mesh["a"].stalled = False
    mesh.settle()

    assert all(request.committed for request in first + others)
    assert mesh["a"].disk.writes - before == 2


def test_a_write_spreads_to_everybody_and_all_are_equal() -> None:
    mesh = three()

    mesh["a"].submit(put("k", "v"))
    mesh["b"].submit(ops.MapPut("m", {"x": {"y": 1}}))
    mesh.settle()

    assert mesh["c"].value("k") == b"v"
    assert mesh["c"].value("m") == {"x": {"y": 1}}
    mesh.assert_converged()


def test_both_sides_of_a_cut_write_and_a_heal_joins_them() -> None:
    mesh = three()
    mesh.isolate("a")

    for n in range(300):
        mesh["a"].submit(put(f"a{n}", "x"), put("same", f"a{n}"))
        mesh["b"].submit(put(f"b{n}", "x"), put("same", f"b{n}"))
    mesh.run(3_000)
    mesh.link_all()
    mesh.run(1_000)

    mesh.assert_converged()
    assert mesh["a"].value("b299") == b"x"
    assert mesh["c"].value("a299") == b"x"
    assert mesh["a"].replica.store.table.conflicts == 1


def test_a_lost_push_is_pulled_within_a_second_and_a_half() -> None:
    mesh = three()
    mesh.lose = True
    mesh["a"].submit(put("k", "v"))
    mesh.settle()
    mesh.lose = False
    assert mesh["b"].value("k") is None

    mesh.run(1_500)

    assert mesh["b"].value("k") == b"v"
    mesh.assert_converged()


def test_a_gap_is_held_and_released_by_one_pull() -> None:
    mesh = three()
    mesh.lose = True
    mesh["a"].submit(put("k1", "lost"))
    mesh.settle()
    mesh.lose = False
    mesh["a"].submit(put("k2", "held"))
    mesh.settle()
    assert mesh["b"].replica.store.held_count == 1

    mesh.run(400, digests=False)

    assert mesh["b"].value("k1") == b"lost"
    assert mesh["b"].value("k2") == b"held"
    assert mesh["b"].replica.store.held_count == 0
    assert mesh["b"].replica.antientropy.counts["pulls_joined"] == 1


def test_below_the_floor_a_repair_brings_what_a_pull_cannot() -> None:
    mesh = Mesh("a", "b", store=StoreConfig(event_entries_max=20))
    mesh.link("a", "b")
    mesh.run(500)
    mesh["b"].submit(put("old", "1"), put("gone", "1"))
    mesh.settle()
    mesh.isolate("b")
    mesh["a"].submit(ops.Delete("gone"))
    for n in range(200):
        mesh["a"].submit(put(f"k{n % 10}", str(n)))
    mesh["b"].submit(put("mine", "kept"))
    mesh.run(5_000)
    assert mesh["a"].replica.store.index.floors

    mesh.link("a", "b")
    mesh.run(3_000)

    mesh.assert_converged()
    assert mesh["b"].value("gone") is None
    assert mesh["a"].value("mine") == b"kept"
    assert mesh["b"].replica.antientropy.counts["repairs_joined"] == 1
    assert mesh["b"].replica.antientropy.counts["repair_alarms"] == 0


def test_a_fresh_replica_gets_everything() -> None:
    """AE-1"""
    mesh = Mesh("a", "b", store=StoreConfig(event_entries_max=50))
    for n in range(300):
        mesh["a"].submit(ops.MapPut(f"m{n}", {"n": n}))
    mesh.run(5_000)

    mesh.link("a", "b")
    mesh.run(2_000)

    mesh.assert_converged()
    assert mesh["b"].value("m299") == {"n": 299}
    assert mesh["b"].replica.standing.ready


def test_writes_during_a_join_wait_and_are_kept() -> None:
    """AE-1, REP-2"""
    mesh = three()
    mesh.isolate("b")
    for n in range(2_000):
        mesh["a"].submit(put(f"k{n}", "x"))
    mesh.settle()
    mesh.link("a", "b")
    requests: list[Request] = []

    for n in range(400):  # Interleave with the session, step by step.
        requests.append(mesh["b"].submit(put(f"w{n}", "y"), put("k1", "mine")))
        if mesh.wire:
            source, target, payload = mesh.wire.popleft()
            mesh[target].step(ev.PeerMessage(source, payload))
        for _ in range(len(mesh["b"].again)):
            mesh["b"].step(ev.Again(mesh["b"].again.popleft()))
        for _ in range(len(mesh["a"].again)):
            mesh["a"].step(ev.Again(mesh["a"].again.popleft()))
    mesh.run(2_000)

    assert all(request.committed for request in requests)
    mesh.link_all()
    mesh.run(1_000)
    mesh.assert_converged()
    assert mesh["c"].value("w399") == b"y"


def test_w_all_is_answered_when_all_have_it_durable() -> None:
    """PEER-1"""
    mesh = three()
    mesh["c"].stalled = True

    request = mesh["a"].submit(put("k", "v"), replicas="all", deadline_ms=mesh.now_ms + 5_000)
    mesh.settle()
    assert request.outcome is None

    mesh["c"].stalled = False
    mesh.settle()
    assert request.committed
    assert isinstance(request.outcome, ev.Outcome)
    assert request.outcome.have == ("a", "b", "c")


def test_who_comes_back_with_an_empty_disk_counts_once_it_has_caught_up() -> None:
    """PEER-1"""
    mesh = three()
    written = mesh["a"].submit(put("k", "v"))
    mesh.run(2_000)  # Digests tell `a` that all have it.
    vector = {mesh["a"].origin: written.committed.seq}
    wiped = mesh["c"]
    wiped.disk, wiped.origin = MemoryDisk(), wiped.origin + 1
    wiped.restart()
    wiped.stalled = True
    mesh.link_all()
    mesh.run(500)
    everyone = Request()

    mesh["a"].step(ev.Wait(everyone, vector, "all", mesh.now_ms + 20_000))
    mesh.run(1_000)
    assert everyone.outcome is None, "its disk has nothing yet"
    wiped.stalled = False
    mesh.run(10_000)

    assert isinstance(everyone.outcome, ev.Outcome)
    assert everyone.outcome.have == ("a", "b", "c")


def test_w_that_is_not_reached_says_how_many_have_it_and_undoes_nothing() -> None:
    """WTG-1"""
    mesh = three()
    mesh.isolate("a")

    request = mesh["a"].submit(put("k", "v"), replicas=2, deadline_ms=mesh.now_ms + 500)
    mesh.run(1_000)

    with pytest.raises(BehindError, match="1 of the 2 replicas"):
        _ = request.committed
    assert mesh["a"].value("k") == b"v"


def test_a_no_op_write_sends_nothing_and_changes_no_revision() -> None:
    mesh = three()
    mesh["a"].submit(put("k", "v"))
    mesh.settle()
    sent, revision = mesh.bytes_sent, mesh["a"].replica.shown.revision

    request = mesh["a"].submit(put("k", "v"))
    mesh.settle()

    assert request.committed.seq is None
    assert mesh.bytes_sent == sent
    assert mesh["a"].replica.shown.revision == revision


def test_a_peer_with_a_wrong_clock_refuses_its_own_writes_and_still_takes_others() -> None:
    mesh = Mesh("a", "b", "c", "d")
    mesh["d"].wall_offset_ms = 60_000
    mesh.link_all()
    mesh.run(2_500)

    refused = mesh["d"].submit(put("k", "v"))
    taken = mesh["a"].submit(put("k", "good"))
    mesh.settle()

    with pytest.raises(UnavailableError, match="clock is 60000 ms"):
        _ = refused.committed
    assert taken.committed
    assert mesh["d"].value("k") == b"good"


def test_an_expired_key_is_hidden_everywhere_and_removed_by_its_writer() -> None:
    mesh = three()
    mesh["a"].submit(ops.Put("k", value="v", ttl_ms=2_000))
    mesh.settle()
    assert mesh["c"].value("k") == b"v"

    mesh.run(2_100)
    assert mesh["c"].value("k") is None

    mesh.run(3_000)
    assert mesh["c"].storage.get(b"rk\0") is None
    mesh.assert_converged()


def test_an_expired_key_whose_writer_is_gone_is_removed_by_another() -> None:
    mesh = three()
    mesh["a"].submit(ops.Put("k", value="v", ttl_ms=1_000))
    mesh.settle()
    mesh.isolate("a")

    mesh.run(14_000)

    assert mesh["c"].storage.get(b"rk\0") is None


def test_garbage_from_a_peer_is_counted_and_changes_nothing() -> None:
    """CNV-1"""
    mesh = three()
    before = mesh["a"].replica.shown.root

    for payload in (b"", b"\x63", b"\x02junk", b"\x06\xff", b"\x01\x83\x01\x01\x80", b"\xc5x"):
        mesh["a"].step(ev.PeerMessage("b", payload))
    mesh.settle()

    assert mesh["a"].replica.conversation.rejected >= 5
    assert mesh["a"].replica.shown.root == before


def test_a_large_transaction_travels_in_fragments() -> None:
    mesh = three()
    value = "x" * 900_000

    mesh["a"].submit(put("big1", value), put("big2", value))
    mesh.settle()

    assert mesh["b"].value("big2") == value.encode()
    mesh.assert_converged()


def test_pushes_that_make_progress_are_not_doubled_by_a_pull() -> None:
    """A busy peer falls behind for a while; pulling as well would hold it there."""
    view = PeerView("b", 1 << 20)
    view.learn({1: 100})

    view.pull_after(50, {1: 10})

    assert view.is_progressing({1: 20})
    assert not view.is_progressing({1: 10})
    view.learn({2: 5})
    assert not view.is_progressing({1: 20}), "nothing came of origin 2"
    view.pull_after(50, None)
    assert not view.is_progressing({1: 20, 2: 1}), "a link that has just opened pulls at once"


def test_a_peer_that_pushes_do_not_bring_on_pulls() -> None:
    mesh = three()
    before = mesh["b"].replica.antientropy.counts["pulls_joined"]
    lost = 0

    def first_push(payload: bytes) -> bool:
        nonlocal lost
        lost += payload[0] == Kind.PUSH
        return lost == 1

    mesh.loses = first_push
    for n in range(5):
        mesh["a"].submit(put(f"k{n}", "v"))
        mesh.run(20)
    mesh.run(2_500)
    mesh.assert_converged()
    assert mesh["b"].replica.antientropy.counts["pulls_joined"] > before
