"""The object cache: versions, events, and what may be resumed from."""

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crdtstate.kube import cache as caches
from crdtstate.kube.cache import CachedObject, ObjectCache
from crdtstate.kube.keys import ObjectKey
from crdtstate.kube.reading import Shown, read_lives
from crdtstate.kube.statuses import StatusError
from crdtstate.kube.versions import VERSION_MAX, VersionClock
from tests.models.objects import THINGS, ObjectPlay, X, body

NOW_MS = 1_790_000_000_000
KIND = "/configmaps"


def key(name: str, namespace: str = "default") -> ObjectKey:
    return ObjectKey(KIND, namespace, name)


def shown(value: object, uid: str = "u", digest: str = "") -> Shown:
    text = {"metadata": {"uid": uid}, "data": value}
    return Shown(b"r", {}, text, uid, False, (0, (0, 0)), digest or f"{uid}{value}", 100)


def filled(*names: str) -> ObjectCache:
    cache = ObjectCache(1 << 63, NOW_MS)
    for name in names:
        cache.update(key(name), [shown(0)], NOW_MS)
    cache.loading = False
    return cache


def told(cache: ObjectCache, since: int) -> list[tuple[str, str]]:
    return [(e.type, e.object.key.name) for e in cache.events_after(KIND, since)]


# -- versions ------------------------------------------------------------------------------------


@given(st.lists(st.integers(-(1 << 45), 1 << 45), max_size=50), st.integers(1 << 63, (1 << 64) - 1))
def test_versions_grow_whatever_the_clock_does(walls: list[int], origin: int) -> None:
    """VER-1."""
    clock = VersionClock(origin, NOW_MS)
    minted = [clock.mint(max(wall, 0)) for wall in walls]
    assert minted == sorted(set(minted))
    assert all(0 < version <= VERSION_MAX for version in minted)


def test_a_version_of_another_peer_is_absorbed_within_reason() -> None:
    mine, theirs = VersionClock(1 << 63, NOW_MS), VersionClock(2 << 62, NOW_MS + 30_000)
    ahead = theirs.mint(NOW_MS + 30_000)
    mine.absorb(ahead, NOW_MS)
    assert mine.mint(NOW_MS) > ahead
    absurd = VersionClock(1 << 63, NOW_MS + 300_000).mint(NOW_MS + 300_000)
    mine.absorb(absurd, NOW_MS)
    assert mine.mint(NOW_MS) < absurd


def test_a_later_life_mints_above_an_earlier_one() -> None:
    first = ObjectCache(1 << 63, NOW_MS)
    first.loading = False
    for n in range(10):
        first.update(key("a"), [shown(n)], NOW_MS + 5)
    assert ObjectCache(1 << 63, NOW_MS + 10).version > first.version


# -- events --------------------------------------------------------------------------------------


def test_what_was_there_at_the_start_has_the_version_of_the_start_and_no_event() -> None:
    cache = filled("b", "a")
    assert [c.key.name for c in cache.list(KIND)] == ["a", "b"]
    assert {c.version for c in cache.list(KIND)} == {cache.version}
    assert told(cache, cache.version) == []


def test_events_are_told_in_order_from_any_version_that_was_given() -> None:
    """CCH-1."""
    cache = filled("a")
    start = cache.version
    cache.update(key("a"), [shown(1)], NOW_MS)
    middle = cache.version
    cache.update(key("b"), [shown(1)], NOW_MS)
    cache.update(key("a"), [], NOW_MS)
    all_of_it = [("MODIFIED", "a"), ("ADDED", "b"), ("DELETED", "a")]
    assert told(cache, start) == all_of_it
    assert told(cache, middle) == all_of_it[1:]
    assert told(cache, cache.version) == []
    versions = [e.version for e in cache.events_after(KIND, start)]
    assert versions == sorted(set(versions))
    assert cache.last(KIND) == cache.version == versions[-1]


def test_a_version_that_was_never_given_is_expired() -> None:
    """CCH-2."""
    cache = filled("a")
    other = ObjectCache((1 << 63) + 12_345, NOW_MS)
    for version in (0, 1, cache.version + 1, cache.version - 1, other.version, VERSION_MAX):
        with pytest.raises(StatusError) as caught:
            cache.events_after(KIND, version)
        assert (caught.value.reason, caught.value.status) == ("Expired", 410)


def test_a_version_that_is_no_longer_remembered_is_expired(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """CCH-2."""
    monkeypatch.setattr(caches, "EVENTS_MAX", 3)
    cache = filled("a")
    versions = [cache.version]
    for n in range(1, 6):
        cache.update(key("a"), [shown(n)], NOW_MS)
        versions.append(cache.version)
    for at, version in enumerate(versions):
        if at < 2:
            with pytest.raises(StatusError, match="list again"):
                cache.events_after(KIND, version)
        else:
            assert len(told(cache, version)) == 5 - at
    assert cache.events_after("/secrets", versions[0]) == []  # Nothing of it was forgotten.


def test_who_follows_need_not_be_remembered_while_its_kind_is_quiet(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """CCH-2: a version that a client shows must be; the cursor of an open watch is our own."""
    monkeypatch.setattr(caches, "_MINTED_MAX", 3)
    cache = filled("a")
    since = cache.version
    for n in range(1, 6):
        cache.update(key("a"), [shown(n)], NOW_MS)
    with pytest.raises(StatusError, match="list again"):
        cache.events_after("/secrets", since)
    assert cache.events_after("/secrets", since, own=True) == []
    assert len(cache.events_after(KIND, since, own=True)) == 5


def test_the_ring_is_bounded_by_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(caches, "EVENTS_BYTES_MAX", 350)
    cache = filled("a")
    for n in range(1, 9):
        cache.update(key("a"), [shown(n)], NOW_MS)
    assert len(cache._kinds[KIND].events) == 3


def test_what_nobody_can_see_is_no_event() -> None:
    """CCH-3."""
    cache = filled("a")
    start = cache.version
    cache.update(key("a"), [shown(0, digest="other")], NOW_MS)
    found = cache.get(*key("a"))
    assert found is not None
    assert (found.digest, found.version, told(cache, start)) == ("other", start, [])


def test_another_uid_is_a_deletion_and_an_addition() -> None:
    """CCH-4."""
    cache = filled("a")
    start = cache.version
    cache.update(key("a"), [shown(0, uid="v")], NOW_MS)
    deleted, added = cache.events_after(KIND, start)
    assert (deleted.type, deleted.object.uid, deleted.after) == ("DELETED", "u", None)
    assert (added.type, added.object.uid, added.before) == ("ADDED", "v", None)
    assert start < deleted.version < added.version


def test_lists_are_by_namespace_and_name() -> None:
    cache = ObjectCache(1 << 63, NOW_MS)
    places = [("b", "x"), ("a", "z"), ("b", "a"), ("a-b", "q")]
    for namespace, name in places:
        cache.update(key(name, namespace), [shown(0)], NOW_MS)
    assert [c.key[1:] for c in cache.list(KIND)] == sorted(places)
    assert [c.key.name for c in cache.list(KIND, "b")] == ["a", "x"]
    assert cache.list(KIND, "c") == cache.list("/secrets") == []
    assert (cache.count(KIND), cache.count("/secrets"), cache.kinds()) == (4, 0, [KIND])


def test_a_form_is_encoded_once() -> None:
    cache = filled("a")
    found = cache.get(*key("a"))
    assert found is not None
    calls: list[str] = []

    def make(what: CachedObject) -> bytes:
        calls.append("made")
        return repr(what).encode()

    assert found.encoded("v1", make) is found.encoded("v1", make)
    found.encoded("v2", make)
    assert len(calls) == 2


@given(st.randoms(use_true_random=False), st.integers(1, 40))
def test_events_lead_from_any_list_to_the_present(rng: Random, steps: int) -> None:
    """CCH-1: list, then watch, whatever happens."""
    cache = filled("a", "b")
    lists = [(cache.version, {c.key: c.body for c in cache.list(KIND)})]
    for _ in range(steps):
        lives = [shown(rng.randrange(3), uid=rng.choice("uv"))] if rng.random() < 0.7 else []
        cache.update(key(rng.choice("abc")), lives, NOW_MS + rng.randrange(3))
        lists.append((cache.version, {c.key: c.body for c in cache.list(KIND)}))
    for version, state in lists:
        for event in cache.events_after(KIND, version):
            assert (event.object.key in state) == (event.before is not None)
            if event.after is None:
                del state[event.object.key]
            else:
                state[event.object.key] = event.after.body
        assert state == lists[-1][1]


# -- what leaves ---------------------------------------------------------------------------------


def test_gone_records_wait_in_turn_and_their_uids_are_known() -> None:
    play = ObjectPlay()
    a, *_ = play.peers
    cache = ObjectCache(a.origin, play.now_ms)
    targets = [X, *(type(X)(THINGS, "default", name) for name in "yz")]
    uids = []
    for target in targets:
        play.set(a, body(replicas=1), target)
        found = play.shown(a, target)
        assert found is not None
        uids.append(found["metadata"]["uid"])
        cache.update(target.key, read_lives(a.storage, target.key), play.now_ms)
        play.remove(a, target)
        cache.update(target.key, read_lives(a.storage, target.key), play.now_ms)
    assert cache.leaving_count == 3
    assert [r.key.name for r in cache.leaving(2) + cache.leaving(2)] == ["x", "y", "z", "x"]
    assert cache.is_gone(X.key, uids[0])
    assert not cache.is_gone(X.key, uids[1])
    (record, *_) = cache.leaving(1)
    assert (record.sweeper, record.lost) == (a.origin, False)
    for target in targets:
        cache.update(target.key, [], play.now_ms)
    assert (cache.leaving_count, cache.leaving(5)) == (0, [])
