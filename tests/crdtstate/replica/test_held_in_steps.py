"""What was held is applied some at a time when its past comes: nobody waits for all of it."""

from crdtstate.crdt.codec import dumps
from crdtstate.crdt.dots import ORIGIN_MIN
from crdtstate.replica import events as ev
from crdtstate.replica.messages import Kind
from crdtstate.store.store import DRAIN_STEP, Store
from crdtstate.store.transaction import Frame, encode_frame
from tests.crdtstate.store.alone import commit, store_of
from tests.crdtstate.store.alone import put as put_of
from tests.models.mesh import Host, Mesh

HELD = 2 * DRAIN_STEP + 1
B, C = ORIGIN_MIN + 77, ORIGIN_MIN + 78


def push(frame: Frame) -> bytes:
    return bytes((Kind.PUSH,)) + encode_frame(
        frame.origin, frame.first, list(map(dumps, frame.bodies))
    )


def first_and_held() -> tuple[Frame, list[Frame]]:
    """Return a write of b, and many of c that came after it."""
    first = commit(store_of(B), put_of("first"))
    c = store_of(C)
    c.receive(first, 1_000)
    return first, [commit(c, put_of(f"k{n:03}")) for n in range(HELD)]


def holding(held: list[Frame]) -> Host:
    """Return a replica that has the later ones and lacks the first."""
    host = Mesh("a", "c")["a"]
    host.mesh.settle()
    host.step(ev.LinkUp("b"))
    for frame in held:
        host.step(ev.PeerMessage("c", push(frame)))
    assert host.replica.store.held_count == HELD
    host.again.clear()
    return host


def test_a_store_applies_so_many_and_says_that_there_is_more() -> None:
    first, held = first_and_held()
    store: Store = store_of()
    for frame in held:
        assert store.receive(frame, 1_000).held

    received = store.receive(first, 1_000)

    assert (received.applied, received.more) == (1 + DRAIN_STEP, True)
    assert [store.drain(1_000) for _ in range(3)] == [
        (DRAIN_STEP, True), (1, False), (0, False),
    ]  # fmt: skip
    assert (store.held, store.held_count) == ({}, 0)


def test_a_replica_goes_on_by_itself_until_all_is_applied() -> None:
    first, held = first_and_held()
    host = holding(held)

    host.step(ev.PeerMessage("b", push(first)))

    assert host.replica.store.held_count == HELD - DRAIN_STEP
    assert list(host.again) == ["drain", "close"]
    host.mesh.settle()
    assert host.replica.store.held_count == 0
    assert host.value(f"k{HELD - 1:03}") == b"v"


def test_one_continuation_is_under_way_however_many_pushes_come() -> None:
    first, held = first_and_held()
    host = holding(held)
    later = commit(store_of(ORIGIN_MIN + 79), put_of("later"))

    host.step(ev.PeerMessage("b", push(first)))
    host.step(ev.PeerMessage("b", push(later)))

    assert host.again.count("drain") == 1
    host.mesh.settle()
    assert host.replica.store.held_count == 0
    assert host.value("later") == b"v"


def test_after_the_last_step_another_gap_is_drained_as_well() -> None:
    first, held = first_and_held()
    host = holding(held)
    host.step(ev.PeerMessage("b", push(first)))
    host.mesh.settle()
    b = store_of(B + 8)
    gap, c = commit(b, put_of("gap")), store_of(C + 8)
    c.receive(gap, 1_000)
    more = [commit(c, put_of(f"m{n:03}")) for n in range(HELD)]
    for frame in more:
        host.step(ev.PeerMessage("c", push(frame)))

    host.step(ev.PeerMessage("b", push(gap)))

    assert host.again.count("drain") == 1
    host.mesh.settle()
    assert host.replica.store.held_count == 0
    assert host.value(f"m{HELD - 1:03}") == b"v"
