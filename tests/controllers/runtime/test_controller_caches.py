"""Caches with indexes, a controller's own writes, ownership, views, what is said of objects."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controllers.runtime.actions import Say, difference
from controllers.runtime.cache import Cache
from controllers.runtime.membership import HOLD_MS, Membership
from controllers.runtime.objects import labels_of, selects, to_ms, with_condition
from controllers.runtime.recorder import Recorder
from controllers.runtime.request import Request
from controllers.runtime.sharding import owner_of
from controllers.runtime.view import ACT, HOLD, LOST_MS, MAJORITY, Policy, View
from controllers.runtime.written import Written
from crdtstate.client.kinds import PODS
from crdtstate.errors import InvalidError
from crdtstate.model import MemberInfo, ResourceEvent


def pod(name: str, version: int, label: str = "x", uid: str | None = None) -> dict[str, Any]:
    return {
        "metadata": {
            "name": name, "namespace": "d", "uid": uid or name, "resourceVersion": str(version),
            "labels": {"app": label},
        }
    }  # fmt: skip


def indexed() -> Cache:
    cache = Cache(PODS)
    cache.add_index("app", lambda body: [labels_of(body)["app"]])
    return cache


EVENTS = st.lists(
    st.tuples(
        st.sampled_from(["put", "put", "delete", "again", "list"]), st.sampled_from("abc"),
        st.sampled_from("xyz"),
    ),
    max_size=40,
)  # fmt: skip


@given(EVENTS)
def test_a_cache_says_what_the_watch_said_and_so_do_its_indexes(
    events: list[tuple[str, str, str]],
) -> None:
    """ICH-1, ICH-2."""
    cache, there = indexed(), dict[str, dict[str, Any]]()
    told: dict[str, Any] = {}
    for version, (what, name, label) in enumerate(events, 1):
        before = cache.version
        changes = []
        match what:
            case "put":
                there[name] = pod(name, version, label)
                kind = "MODIFIED" if name in there else "ADDED"
                changes = cache.apply(ResourceEvent(kind, there[name]))
            case "delete" if name in there:
                changes = cache.apply(ResourceEvent("DELETED", pod(name, version)))
                del there[name]
                assert cache.was_deleted(name)
            case "again":
                there[name] = pod(name, version, label, uid=f"{name}{version}")
                changes = cache.apply(ResourceEvent("ADDED", there[name]))
            case "list":
                changes = cache.replace(list(there.values()), version)
        assert cache.version >= before
        for change in changes:
            if change.after is None:
                told.pop(change.object["metadata"]["name"])
            else:
                told[change.after["metadata"]["name"]] = change.after
        cache.check()
    assert told == there
    assert cache.list() == [there[name] for name in sorted(there)]
    for label in "xyz":
        wanted = [b for n, b in sorted(there.items()) if labels_of(b)["app"] == label]
        assert cache.find("app", label) == wanted


def test_what_a_list_does_not_show_is_no_known_deletion() -> None:
    cache = indexed()
    cache.replace([pod("a", 1)], 1)
    cache.replace([], 2)

    assert cache.get(Request("d", "a")) is None
    assert not cache.was_deleted("a")


def test_a_new_uid_under_one_name_is_a_deletion_and_a_creation() -> None:
    cache = indexed()
    cache.apply(ResourceEvent("ADDED", pod("a", 1)))
    changes = cache.apply(ResourceEvent("MODIFIED", pod("a", 2, uid="other")))

    assert [change.type for change in changes] == ["deleted", "added"]
    assert cache.was_deleted("a")


def test_a_key_waits_until_its_cache_shows_its_writes_and_a_new_list_ends_the_wait() -> None:
    """RYW-1."""
    cache = indexed()
    cache.replace([], 5)
    written, key = Written({PODS: cache}), Request("d", "owner")
    written.note(key, PODS, pod("a", 8))
    assert written.missing(key) is PODS
    assert written.missing(Request("d", "other")) is None
    cache.apply(ResourceEvent("ADDED", pod("b", 7)))
    assert written.missing(key) is PODS
    cache.apply(ResourceEvent("ADDED", pod("a", 8)))
    assert written.missing(key) is None

    written.note_deletion(key, PODS, Request("d", "a"), "a")
    assert written.missing(key) is PODS
    cache.apply(ResourceEvent("DELETED", pod("a", 9)))
    assert written.missing(key) is None

    written.note(key, PODS, pod("c", 99))
    cache.replace([], 1)  # Another peer, whose versions are others.
    assert written.missing(key) is None


# -- who acts --------------------------------------------------------------------------------------


@given(st.sets(st.text("abcdef", min_size=1, max_size=3), min_size=2, max_size=8), st.data())
def test_a_member_that_goes_moves_only_what_it_owned(names: set[str], data: st.DataObject) -> None:
    """OWN-1, OWN-2."""
    gone = data.draw(st.sampled_from(sorted(names)))
    for number in range(50):
        key = f"key-{number}"
        owner = owner_of(key, names)
        assert owner == owner_of(key, sorted(names, reverse=True))
        after = owner_of(key, names - {gone})
        assert after == owner if owner != gone else after != gone


def test_keys_are_shared_about_evenly() -> None:
    counts = dict.fromkeys("abc", 0)
    for number in range(3_000):
        counts[owner_of(f"replicasets/default/web-{number}", "abc") or ""] += 1
    assert min(counts.values()) > 850


def rows(**liveness: str) -> list[MemberInfo]:
    return [
        MemberInfo(
            name=name, origin=None, address=None, api=None, liveness=state, linked=True,
            incarnation=1, vector_behind=0, is_self=name == "a",
        )
        for name, state in liveness.items()
    ]  # fmt: skip


def known(**liveness: str) -> Membership:
    membership = Membership("a")
    membership.set_actors("abc")
    membership.observe(0, rows(**liveness))
    return membership


def test_a_process_that_has_just_started_does_nothing_before_it_knows_enough() -> None:
    """MBS-3."""
    whole = known(a="alive", b="alive", c="alive")
    assert not whole.owners(HOLD_MS - 1)
    assert whole.owners(HOLD_MS) == ("a", "b", "c")

    part = known(a="alive", b="alive", c="dead")
    assert not part.owners(LOST_MS - 1)
    assert not part.acts_on("key", LOST_MS - 1)
    assert part.owners(LOST_MS) == ("a", "b")
    assert not Membership("a").is_ready(10**9)


def test_a_member_that_came_back_owns_nothing_and_unsettles_the_view_for_a_while() -> None:
    """MBS-1."""
    membership = known(a="alive", b="alive", c="alive")
    membership.observe(10_000, rows(a="alive", b="dead", c="alive"))
    assert membership.owners(10_000) == ("a", "c")
    assert not membership.view(10_000).settled  # Nobody knows yet whether b is lost.
    assert membership.view(10_000 + LOST_MS).settled
    assert membership.view(10_000 + LOST_MS).lost == {"b"}

    membership.observe(30_000, rows(a="alive", b="alive", c="alive"))
    assert not membership.view(30_000).lost
    assert not membership.view(30_000 + HOLD_MS - 1).settled
    assert membership.owners(30_000 + HOLD_MS - 1) == ("a", "c")
    assert membership.owners(30_000 + HOLD_MS) == ("a", "b", "c")
    assert membership.view(30_000 + HOLD_MS).settled


def test_silence_is_counted_from_the_suspicion_and_from_the_start_at_the_earliest() -> None:
    """MBS-2."""
    membership = known(a="alive", b="dead", c="alive")
    assert not membership.view(LOST_MS - 1).lost
    membership.observe(20_000, rows(a="alive", b="dead", c="suspect"))
    assert not membership.view(20_000).lost >= {"c"}
    membership.observe(25_000, rows(a="alive", b="dead", c="dead"))
    assert membership.view(20_000 + LOST_MS).lost == {"b", "c"}


def test_a_process_of_no_member_acts_on_everything_once_it_knows_enough() -> None:
    membership = Membership(None)
    membership.observe(0, rows(a="alive", b="alive"))
    assert not membership.acts_on("key", 0)
    assert membership.acts_on("key", HOLD_MS)


@pytest.mark.parametrize(
    ("text", "heard", "allowed"),
    [
        ("act", "a", True), ("hold", "ab", False), ("hold", "abc", True),
        ("majority", "a", False), ("majority", "ab", True),
        ("2-of-3", "a", False), ("2-of-3", "ab", True), ("1-of-3", "a", True),
    ],
)  # fmt: skip
def test_a_policy_asks_how_many_are_heard(text: str, heard: str, allowed: bool) -> None:
    view = View(members=("a", "b", "c"), heard=tuple(heard))
    assert view.allows(Policy.parse(text)) is allowed


@pytest.mark.parametrize("text", ["", "acts", "3-of-2", "0-of-3", "-1-of-3", "2-of", "2-of-3 "])
def test_a_policy_that_is_none_is_refused_by_name(text: str) -> None:
    with pytest.raises(InvalidError, match="is not act, hold, majority or K-of-N"):
        Policy.parse(text)


def test_a_view_knows_a_minority() -> None:
    assert View(members=("a", "b"), heard=("a",)).minority
    assert not View(members=("a", "b", "c"), heard=("a", "b")).minority
    assert [p.needs(5) for p in (ACT, HOLD, MAJORITY)] == [0, 5, 3]


# -- what is said ----------------------------------------------------------------------------------


def test_events_are_counted_not_repeated_and_their_rate_is_bounded() -> None:
    recorder = Recorder("test")
    about = pod("a", 1)
    say = Say(kind=PODS, about=about, reason="Why", message="because")
    first = recorder.event(say, 0, 0)
    assert first is not None
    assert recorder.event(say, 1_000, 1_000) is None
    again = recorder.event(say, 61_000, 61_000)
    assert again is not None
    assert again[0]["metadata"]["name"] == first[0]["metadata"]["name"]
    assert (first[1], again[1]) == (1, 2)
    assert Recorder("test").event(say, 5, 0) == first  # Another peer says the same once more.

    said = sum(
        recorder.event(Say(kind=PODS, about=about, reason="Why", message=str(n)), 61_000, 61_000)
        is not None
        for n in range(1_000)
    )
    assert said <= 25


def test_a_condition_keeps_its_time_until_its_status_changes() -> None:
    first = with_condition([], "Ready", "True", reason="R", message="m", now_ms=0)
    assert with_condition(first, "Ready", "True", reason="R", message="m", now_ms=9_000) == first
    second = with_condition(first, "Ready", "True", reason="S", message="m", now_ms=9_000)
    assert second[0]["lastTransitionTime"] == first[0]["lastTransitionTime"]
    third = with_condition(second, "Ready", "False", reason="S", message="m", now_ms=9_000)
    assert to_ms(third[0]["lastTransitionTime"]) == 9_000


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(0, 3) | st.sampled_from("ab"),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from("abc"), inner),
    max_leaves=8,
)


def no_nulls(value: Any) -> bool:
    if isinstance(value, dict):
        return all(v is not None and no_nulls(v) for v in value.values())
    return True


def merged(target: Any, patch: Any) -> Any:
    if not isinstance(patch, dict):
        return patch
    result = dict(target) if isinstance(target, dict) else {}
    for name, value in patch.items():
        if value is None:
            result.pop(name, None)
        else:
            result[name] = merged(result.get(name), value)
    return result


@given(
    st.dictionaries(st.sampled_from("abc"), JSON).filter(no_nulls),
    st.dictionaries(st.sampled_from("abc"), JSON).filter(no_nulls),
)
def test_a_difference_is_the_patch_and_equal_objects_have_none(
    before: dict[str, Any], after: dict[str, Any]
) -> None:
    assert merged(before, difference(before, after)) == after
    assert difference(after, after) == {}


def test_selectors_select_by_all_their_rules() -> None:
    labels = {"app": "web", "tier": "front"}
    rules = [
        {"key": "tier", "operator": "In", "values": ["front"]},
        {"key": "old", "operator": "DoesNotExist"},
        {"key": "app", "operator": "NotIn", "values": ["db"]},
        {"key": "app", "operator": "Exists"},
    ]
    assert selects({"matchLabels": {"app": "web"}, "matchExpressions": rules}, labels)
    assert not selects({"matchLabels": {"app": "db"}}, labels)
    assert not selects({"matchExpressions": [{"key": "app", "operator": "Like"}]}, labels)
    assert not selects(None, labels)
    assert selects({}, labels)
