"""STB-1: stable is what everyone has, once all that was concurrent with it is here."""

from types import SimpleNamespace
from typing import Any

from crdtstate.replica import events as ev
from crdtstate.replica.membership import MemberRecord, ReplicaSet
from crdtstate.replica.messages import decode_message
from crdtstate.replica.peers import Peers
from crdtstate.replica.shown import Shown
from crdtstate.replica.waiting import Waiters

A, B, C = (1 << 63) + 1, (1 << 63) + 2, (1 << 63) + 3


def waiters(origin: int, vector: dict[int, int], *names: str) -> tuple[Waiters, Peers, Shown]:
    members, peers, shown = ReplicaSet(), Peers(1 << 20), Shown(vector, 1, 0)
    members.members = {name: MemberRecord(name, f"{0:016x}") for name in names}
    store: Any = SimpleNamespace(origin=origin)
    return Waiters(names[0], store, members, peers, shown), peers, shown


def test_what_one_member_is_not_known_to_have_is_not_stable() -> None:
    mine, peers, _ = waiters(A, {A: 3}, "a", "b", "c")
    peers.view("b").meet(B)
    peers.view("b").learn({A: 3})
    assert not mine.is_stable({A: 3})  # c has said nothing.
    peers.view("c").meet(C)
    peers.view("c").learn({A: 2})
    assert mine.is_stable({A: 2})
    assert not mine.is_stable({A: 3})


def test_what_a_member_wrote_before_it_had_it_must_be_here() -> None:
    mine, peers, shown = waiters(A, {A: 3}, "a", "b")
    peers.view("b").meet(B)
    peers.view("b").learn({A: 3, B: 5})
    assert not mine.is_stable({A: 3})
    shown.update({A: 3, B: 5}, 2, 0)
    assert mine.is_stable({A: 3})


def test_who_is_asked_tells_its_own_entry_with_the_answer() -> None:
    theirs, peers, _ = waiters(B, {A: 3, B: 5, C: 7}, "b", "a")
    view = peers.view("a")
    view.reset_link(linked=True)
    view.wants = {A: 3}
    (effect,) = theirs.answer_wants()
    assert isinstance(effect, ev.Send)
    _, fields = decode_message(effect.message)
    assert fields[0] == {A: 3, B: 5}
