"""One object, two sides: what joins, what hides, what is gone, what is reported."""

from typing import Any

import pytest

from crdtstate.errors import InvalidError
from crdtstate.kube.builtin import builtin_resources
from crdtstate.kube.cells import is_item, is_shown
from crdtstate.kube.conflicts import list_object_conflicts
from crdtstate.kube.keys import decode_key
from crdtstate.kube.objects import Keep, Removal, Target
from crdtstate.kube.statuses import StatusError
from crdtstate.kube.writing import HIDDEN_ITEMS_MAX
from crdtstate.store.limits import Limits, check_key
from tests.models.objects import LOCKS, THINGS, ObjectPlay, X, body


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


# -- what is one register --------------------------------------------------------------------------

LOCK = Target(LOCKS, "default", "lock")


def test_a_lock_joins_whole_and_the_loser_is_reported(play: ObjectPlay) -> None:
    a, b, _ = play.peers
    mine = {"metadata": {}, "spec": {"holder": "a", "renewed": 1}}
    yours = {"metadata": {}, "spec": {"holder": "b", "renewed": 2}}
    play.set(a, mine, LOCK)
    play.set(b, yours, LOCK)

    agreed = play.agreed(LOCK)

    assert agreed is not None
    assert agreed["spec"] == yours["spec"]
    (conflict,) = list_object_conflicts(a.storage, LOCKS.stored_as)[0]
    assert (conflict.key, conflict.path) == (LOCK.key, ".")
    assert [(r.value["spec"]["holder"], r.wins) for r in conflict.rivals] == [
        ("b", True), ("a", False),
    ]  # fmt: skip


def test_a_helm_release_has_one_author_and_a_late_finalizer(play: ObjectPlay) -> None:
    a, b, _ = play.peers
    (secrets,) = [r for r in builtin_resources() if r.kind == "Secret"]
    release = Target(secrets, "default", "sh.helm.release.v1.x.v1")
    body = {"metadata": {"labels": {"status": "a"}}, "type": "helm.sh/release.v1", "data": {}}
    play.set(a, {**body, "data": {"release": "YQ=="}}, release)
    play.set(b, {**body, "metadata": {"labels": {"status": "b"}}, "data": {"r": "Yg=="}}, release)
    agreed = play.agreed(release)
    assert agreed is not None
    assert (agreed["metadata"]["labels"], agreed["data"]) == ({"status": "b"}, {"r": "Yg=="})

    play.remove(a, release)
    play.alter(b, lambda o: o["metadata"].update(finalizers=["x/y"]), release)
    agreed = play.agreed(release)
    assert agreed is not None
    assert agreed["metadata"]["finalizers"] == ["x/y"]
    assert agreed["data"] == {"r": "Yg=="}


# -- deletion --------------------------------------------------------------------------------------


def test_grace_keeps_an_object_until_it_is_removed_without(play: ObjectPlay) -> None:
    a, b, _ = play.peers
    play.give(b, play.set(a, body(replicas=1)))
    play.give(b, play.remove(a, grace_s=30))
    assert play.result.outcome == "marked"
    first = play.shown(b)
    assert first is not None
    assert first["metadata"]["deletionGracePeriodSeconds"] == 30

    play.remove(b, grace_s=60)
    assert play.result.outcome == "unchanged"  # DEL-1: never later.
    play.remove(b, grace_s=5)
    assert play.result.outcome == "updated"
    play.remove(b)
    assert play.result.outcome == "gone"
    assert play.agreed() is None


def test_a_removal_may_add_finalizers_and_their_last_removal_ends_it(play: ObjectPlay) -> None:
    a, _, _ = play.peers
    play.set(a, body(replicas=1))

    def foreground(live: Any, _context: Any) -> Removal:
        live.body["metadata"]["finalizers"] = ["foregroundDeletion"]
        return Removal(body=live.body)

    play.edit(a, foreground)
    assert play.result.outcome == "marked"
    play.alter(a, lambda o: o["metadata"].pop("finalizers"))
    assert play.result.outcome == "gone"


def test_what_terminates_is_seen_once_nothing_else_has_the_name(play: ObjectPlay) -> None:
    """OBJ-4."""
    a, b, _ = play.peers
    play.give(b, play.set(a, body(replicas=1)))
    play.remove(a)
    play.set(a, body(replicas=2))
    play.alter(b, lambda o: o["metadata"].update(finalizers=["b/clean"]))
    agreed = play.agreed()
    assert agreed is not None
    assert (agreed["spec"], "finalizers" in agreed["metadata"]) == ({"replicas": 2}, False)
    play.remove(a)
    agreed = play.agreed()
    assert agreed is not None
    assert (agreed["spec"], agreed["metadata"]["finalizers"]) == ({"replicas": 1}, ["b/clean"])
    play.alter(a, lambda o: o["metadata"].pop("finalizers"))
    assert play.agreed() is None


def test_what_a_deletion_had_not_seen_is_reported_and_no_more(play: ObjectPlay) -> None:
    a, b, _ = play.peers
    play.give(b, play.set(a, body(replicas=1, limits={"cpu": "1"})))
    play.give(b, play.alter(a, lambda o: o["spec"].update(replicas=2)))
    play.remove(a)
    play.alter(b, lambda o: o["spec"]["limits"].update(cpu="2"))
    play.meet()

    found, _ = list_object_conflicts(b.storage)

    assert [(c.path, c.kind, c.rivals[0].value) for c in found] == [
        (".spec.limits.cpu", "update_after_delete", "2")
    ]


# -- conflicts -------------------------------------------------------------------------------------


def managed(name: str, *fields: str) -> dict[str, Any]:
    owned = {f"f:{field}": {} for field in fields}
    return {
        "manager": name, "operation": "Apply", "apiVersion": "test.io/v1",
        "time": "2026-01-01T00:00:00Z", "fieldsType": "FieldsV1", "fieldsV1": {"f:spec": owned},
    }  # fmt: skip


def two_values(play: ObjectPlay) -> None:
    a, b, _ = play.peers
    play.give(b, play.set(a, body(replicas=1, limits={"cpu": "1"})))
    for peer, replicas, name in ((a, 2, "anna"), (b, 3, "bert")):
        entry = managed(name, "replicas")
        play.alter(
            peer,
            lambda o, n=replicas, e=entry: (
                o["spec"].update(replicas=n), o["metadata"].update(managedFields=[e])
            ),
        )  # fmt: skip
    play.meet()


def test_a_conflict_names_both_values_and_who_gave_them(play: ObjectPlay) -> None:
    two_values(play)
    a, b, c = play.peers

    (conflict,) = list_object_conflicts(c.storage, THINGS.stored_as, "default")[0]

    assert (conflict.path, conflict.kind) == (".spec.replicas", "concurrent_values")
    shown = [(r.value, r.origin, r.wins, r.managers) for r in conflict.rivals]
    assert shown == [(3, b.origin, True, ["bert"]), (2, a.origin, False, ["anna"])]
    assert list_object_conflicts(c.storage, THINGS.stored_as, "other") == ([], None)
    assert play.conflicts(c) == []  # The users' keys have none.
    assert c.store.table.conflicts == 1


def test_owners_of_both_sides_are_kept(play: ObjectPlay) -> None:
    two_values(play)
    agreed = play.agreed()
    assert agreed is not None
    entries = agreed["metadata"]["managedFields"]
    assert [e["manager"] for e in entries] == ["anna", "bert"]
    assert entries[0] == managed("anna", "replicas")


def test_whoever_writes_over_a_conflict_is_told(play: ObjectPlay) -> None:
    two_values(play)
    a, *_ = play.peers
    play.alter(a, lambda o: o["spec"]["limits"].update(cpu="2"))
    assert play.result.overridden == []
    play.alter(a, lambda o: o["spec"].update(replicas=5))
    assert play.result.overridden == [".spec.replicas"]
    assert list_object_conflicts(a.storage) == ([], None)


def test_to_keep_what_is_shown_settles_a_conflict(play: ObjectPlay) -> None:
    two_values(play)
    a, b, _ = play.peers
    play.edit(a, lambda _live, _context: Keep((".spec.other",)))
    assert play.result.outcome == "unchanged"
    play.give(b, play.edit(a, lambda _live, _context: Keep()))
    agreed = play.agreed()
    assert agreed is not None
    assert agreed["spec"]["replicas"] == 3
    assert list_object_conflicts(b.storage) == ([], None)


def test_pages_of_conflicts_follow_each_other(play: ObjectPlay) -> None:
    a, b, _ = play.peers
    targets = [Target(THINGS, "default", f"t{n}") for n in range(5)]
    for target in targets:
        play.set(a, body(replicas=1), target)
        play.set(b, body(replicas=2), target)
    play.meet()
    names, after = [], None
    while True:
        found, after = list_object_conflicts(a.storage, limit=2, after=after)
        names += [c.key.name for c in found]
        if after is None:
            break
    assert names == [target.name for target in targets]


# -- lists -----------------------------------------------------------------------------------------


def test_removed_items_are_kept_up_to_a_bound(play: ObjectPlay) -> None:
    """WRI-4."""
    a, _, _ = play.peers
    play.set(a, body(replicas=1))
    for n in range(HIDDEN_ITEMS_MAX + 8):
        play.alter(a, lambda o, n=n: o["spec"].update(containers=[{"name": f"c{n}"}]))
    (life,) = play.lives(a)
    hidden = [p for p, cell in life.record.items() if is_item(p) and not is_shown(cell)]
    assert len(hidden) == HIDDEN_ITEMS_MAX
    assert life.body["spec"]["containers"] == [{"name": f"c{HIDDEN_ITEMS_MAX + 7}"}]


def test_two_insertions_are_in_one_order_everywhere(play: ObjectPlay) -> None:
    a, b, _ = play.peers
    play.give(b, play.set(a, body(containers=[{"name": "m"}])))
    play.alter(a, lambda o: o["spec"]["containers"].extend([{"name": "z"}, {"name": "y"}]))
    play.alter(b, lambda o: o["spec"]["containers"].insert(0, {"name": "x"}))
    agreed = play.agreed()
    assert agreed is not None
    assert [c["name"] for c in agreed["spec"]["containers"]] == ["x", "m", "z", "y"]


# -- refusals --------------------------------------------------------------------------------------


def test_a_change_that_fails_is_an_answer_and_writes_nothing(play: ObjectPlay) -> None:
    a, *_ = play.peers
    play.set(a, body(replicas=1))

    def broken(live: Any, _context: Any) -> Any:
        live.body["spec"]["replicas"] = 2
        return live["body"]

    with pytest.raises(StatusError, match="TypeError") as caught:
        play.edit(a, broken)
    assert caught.value.status == 500
    found = play.shown(a)
    assert found is not None
    assert found["spec"] == {"replicas": 1}


def test_the_uid_that_a_creation_will_have_is_told_before(play: ObjectPlay) -> None:
    a, b, _ = play.peers
    told = []

    def create(live: Any, context: Any) -> Any:
        told.append(context.new_uid)
        return body(replicas=1) if live is None else None

    for _ in range(2):
        play.give(b, play.edit(a, create))
        assert play.result.body is not None
        assert told[-1] == play.result.body["metadata"]["uid"]
        play.give(a, play.remove(b))
    assert len(set(told)) == 2


def test_keys_are_out_of_reach_of_users(play: ObjectPlay) -> None:
    key = X.key
    assert decode_key(key.encode()) == key
    assert decode_key(b"user") is None
    with pytest.raises(InvalidError, match="control character"):
        check_key(key.encode().decode(), Limits())
    with pytest.raises(InvalidError, match="control character"):
        key._replace(name="a\x01b").encode()
