"""One object, two sides: what joins, what hides, what is gone."""

import pytest

from tests.models.objects import ObjectPlay, body


@pytest.fixture
def play() -> ObjectPlay:
    return ObjectPlay()


def test_fields_written_on_two_sides_join(play: ObjectPlay) -> None:
    a, b, _ = play.peers
    play.give(b, play.set(a, body(replicas=1, limits={"cpu": "1"})))
    play.alter(a, lambda o: o["spec"].update(replicas=2))
    play.alter(b, lambda o: o["spec"]["limits"].update(memory="2"))
    agreed = play.agreed()
    assert agreed is not None
    assert agreed["spec"] == {"replicas": 2, "limits": {"cpu": "1", "memory": "2"}}
    assert agreed["metadata"]["generation"] == 3


def test_a_changed_item_of_a_list_that_was_removed_is_shown_again_whole(play: ObjectPlay) -> None:
    a, b, _ = play.peers
    web = {"name": "web", "image": "w:1", "args": ["-v"]}
    log = {"name": "log", "image": "l:1"}
    play.give(b, play.set(a, body(containers=[web, log])))
    play.alter(a, lambda o: o["spec"]["containers"].pop(0))
    play.alter(b, lambda o: o["spec"]["containers"][0].update(image="w:2"))
    agreed = play.agreed()
    assert agreed is not None
    assert agreed["spec"]["containers"] == [{**web, "image": "w:2"}, log]


def test_both_sides_create_one_object(play: ObjectPlay) -> None:
    a, b, _ = play.peers
    play.set(a, body(replicas=1))
    play.set(b, body(limits={"cpu": "1"}))
    agreed = play.agreed()
    assert agreed is not None
    assert agreed["spec"] == {"replicas": 1, "limits": {"cpu": "1"}}


def test_a_deletion_stays_whatever_was_written_meanwhile(play: ObjectPlay) -> None:
    a, b, _ = play.peers
    play.give(b, play.set(a, body(replicas=1)))
    play.remove(a)
    assert play.result.outcome == "gone"
    assert play.shown(a) is None
    play.alter(b, lambda o: o["spec"].update(replicas=3))
    assert play.agreed() is None


def test_a_late_finalizer_shows_the_object_again_terminating(play: ObjectPlay) -> None:
    a, b, _ = play.peers
    play.give(b, play.set(a, body(replicas=1)))
    play.remove(a)
    play.alter(b, lambda o: o["metadata"].update(finalizers=["b/clean"]))
    agreed = play.agreed()
    assert agreed is not None
    assert agreed["metadata"]["finalizers"] == ["b/clean"]
    assert "deletionTimestamp" in agreed["metadata"]
    play.alter(b, lambda o: o["metadata"].pop("finalizers"))
    assert play.result.outcome == "gone"
    assert play.agreed() is None


def test_a_creation_after_a_deletion_is_another_object(play: ObjectPlay) -> None:
    a, b, _ = play.peers
    play.give(b, play.set(a, body(replicas=1)))
    first = play.shown(a)
    play.give(b, play.remove(a))
    play.set(a, body(replicas=2))
    play.set(b, body(limits={"cpu": "1"}))
    agreed = play.agreed()
    assert first is not None
    assert agreed is not None
    assert agreed["metadata"]["uid"] != first["metadata"]["uid"]
    assert agreed["spec"] == {"replicas": 2, "limits": {"cpu": "1"}}


def test_saying_again_what_is_there_writes_nothing(play: ObjectPlay) -> None:
    a, _, _ = play.peers
    web = {"name": "web", "ports": [{"containerPort": 80}]}
    play.set(a, body(containers=[web], zones=["z"]))
    assert play.set(a, body(containers=[web], zones=["z"])) == b""
    assert play.result.outcome == "unchanged"
