"""Pages of keys and of conflicts: what is in them, where they end, how to go on."""

import pytest

from crdtstate.crdt.codec import encode_record, encode_register, encode_value
from crdtstate.crdt.dots import ORIGIN_MIN
from crdtstate.crdt.record import LIFE
from crdtstate.storage.memory import MemoryStorage
from crdtstate.store import operations as ops
from crdtstate.store import reading
from crdtstate.store.reading import find_view, list_conflicts, list_views, siblings_of
from crdtstate.store.transaction import make_record_id
from crdtstate.store.views import encode_life
from tests.laws.play import Play, put

NOW_MS = 1_000


def storage_with(
    *keys: str, expired: tuple[str, ...] = (), lives: tuple[tuple[str, int], ...] = ()
) -> MemoryStorage:
    """Registers whose content is their key; some are over, some are second lives."""
    storage = MemoryStorage()
    batch = storage.batch()
    rows = [(key, 0, None) for key in keys] + [(key, 0, NOW_MS) for key in expired]
    for seq, (key, life, expires_ms) in enumerate(rows + [(k, n, None) for k, n in lives], 1):
        value = encode_life("register", f"{key}{life or ''}".encode(), expires_ms)
        record_id = make_record_id(key.encode(), life)
        batch.put(b"r" + record_id, encode_register((ORIGIN_MIN, seq), seq, value))
    storage.write(batch)
    return storage


def page(
    storage: MemoryStorage, prefix: str = "", after: str | None = None, limit: int = 100
) -> tuple[list[str], bytes | None]:
    start = None if after is None else after.encode()
    entries, more = list_views(storage, prefix.encode(), start, limit, NOW_MS)
    assert all(e.value.startswith(e.key.encode()) for e in entries)
    return [entry.key for entry in entries], more


def test_all_keys_come_in_byte_order_and_the_last_page_says_so() -> None:
    assert page(storage_with("b", "a", "ab", "z")) == (["a", "ab", "b", "z"], None)
    assert page(storage_with()) == ([], None)


def test_a_prefix_shows_what_starts_with_it_and_nothing_else() -> None:
    storage = storage_with("a", "app", "app/x", "apq", "b")

    assert page(storage, "app") == (["app", "app/x"], None)
    assert page(storage, "none") == ([], None)


def test_a_full_page_names_its_last_key_and_the_next_one_goes_on_after_it() -> None:
    storage = storage_with("a", "aa", "b", "c")

    assert page(storage, limit=2) == (["a", "aa"], b"aa")
    assert page(storage, after="aa", limit=2) == (["b", "c"], None)
    assert page(storage, after="a", limit=1) == (["aa"], b"aa")
    assert page(storage, limit=4) == (["a", "aa", "b", "c"], None)


def test_to_go_on_before_the_prefix_is_to_begin_with_it() -> None:
    assert page(storage_with("a", "m1", "m2"), "m", after="a") == (["m1", "m2"], None)


def test_what_is_over_is_not_shown_but_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hidden records count to the bound of a page, so that its cost is bounded."""
    hidden = tuple(f"h{n:03}" for n in range(200))
    storage = storage_with("z", expired=hidden)
    assert page(storage) == (["z"], None)

    bound = 64
    monkeypatch.setattr(reading, "_SCANNED_MAX", bound)
    assert page(storage) == ([], hidden[bound - 1].encode())
    assert page(storage, limit=1) == ([], hidden[bound - 1].encode())
    assert page(storage, after=hidden[bound - 1], limit=1)[1] == hidden[2 * bound - 1].encode()
    assert page(storage, after=hidden[190], limit=1) == (["z"], None)


def test_a_page_is_bounded_in_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    storage = storage_with("a", "b", "c")
    size = len(storage.get(b"ra\0") or b"")
    monkeypatch.setattr(reading, "_PAGE_BYTES_MAX", 2 * size - 1)

    assert page(storage) == (["a", "b"], b"b")
    monkeypatch.setattr(reading, "_PAGE_BYTES_MAX", 2 * size)
    assert page(storage) == (["a", "b", "c"], None)


def test_lives_of_one_key_are_one_entry_with_the_newest_and_the_others_as_conflicts() -> None:
    storage = storage_with("a", "b", lives=(("a", 2), ("a", 3)))

    entries, more = list_views(storage, b"", None, 10, NOW_MS)

    assert [(e.key, e.value, e.conflicts) for e in entries] == [("a", b"a3", 2), ("b", b"b", 0)]
    assert more is None
    found = find_view(storage, b"a", NOW_MS)
    assert found is not None
    assert found[1] == 0, "the first life alone is looked at where no grave is"


def test_of_a_key_with_a_grave_all_lives_are_looked_at() -> None:
    storage = storage_with("a", lives=(("a", 2),))
    batch = storage.batch()
    batch.put(b"g" + b"a", (1).to_bytes(4, "big"))
    storage.write(batch)

    found = find_view(storage, b"a", NOW_MS)

    assert found is not None
    assert (found[0].value, found[1]) == (b"a2", 1)
    assert find_view(storage, b"none", NOW_MS) is None


def test_a_time_to_live_is_over_at_its_millisecond() -> None:
    storage = storage_with(expired=("a",))

    assert find_view(storage, b"a", NOW_MS) is None
    found = find_view(storage, b"a", NOW_MS - 1)
    assert found is not None
    assert (found[0].value, found[0].expires_ms) == (b"a", NOW_MS)


# -- conflicts ---------------------------------------------------------------------------------


def apart(*pairs: tuple[ops.Operation, ops.Operation], first: ops.Operation | None = None) -> Play:
    """Let a and b write at the same time, then meet."""
    play = Play(peers=2)
    a, b = play.peers
    if first is not None:
        play.give(b, play.write(a, first))
    for left, right in pairs:
        play.write(a, left)
        play.write(b, right)
    play.meet()
    return play


def test_concurrent_values_are_listed_with_the_one_that_is_shown_first() -> None:
    play = apart((put("k", "left"), put("k", "right")))
    a = play.peers[0]

    (found,) = play.conflicts(a)

    assert (found.key, found.path, found.kind) == ("k", "/", "concurrent_values")
    assert [value.wins for value in found.values] == [True, False]
    assert found.values[0].value == play.value(a, "k")
    assert {value.value for value in found.values} == {b"left", b"right"}
    assert (found.values[0].stamp, found.values[0].dot) > (
        found.values[1].stamp, found.values[1].dot,
    )  # fmt: skip
    view = find_view(a.storage, b"k", play.wall_ms(a))
    assert view is not None
    assert view[1] == 1
    assert siblings_of(view[0]) == found.values


def test_a_key_without_a_conflict_has_one_sibling_that_wins() -> None:
    play = Play(peers=1)
    a = play.peers[0]
    play.write(a, put("k", "v"))
    found = find_view(a.storage, b"k", play.wall_ms(a))
    assert found is not None

    (only,) = siblings_of(found[0])

    assert (only.value, only.wins, only.dot) == (b"v", True, (a.store.origin, 1))
    assert found[0].stamp == (only.stamp, only.dot)


def test_a_field_s_conflict_is_told_at_its_path_with_json_values() -> None:
    play = apart(
        (ops.MapMerge("m", {"x": {"n": 1}}), ops.MapMerge("m", {"x": {"n": 2}})),
        first=ops.MapPut("m", {"x": {"n": 0}, "y": 0}),
    )

    (found,) = play.conflicts(play.peers[1])

    assert (found.key, found.path, found.kind) == ("m", "/x/n", "concurrent_values")
    assert sorted(value.value for value in found.values) == [1, 2]


def test_an_update_that_lost_to_a_removal_wins_nowhere() -> None:
    play = apart((ops.Delete("m"), ops.MapMerge("m", {"x": 2})), first=ops.MapPut("m", {"x": 1}))

    (found,) = play.conflicts(play.peers[0])

    assert (found.key, found.path, found.kind) == ("m", "/x", "update_after_delete")
    assert [(value.value, value.wins) for value in found.values] == [(2, False)]


def test_two_lives_of_a_key_are_told_once_by_the_one_that_is_not_shown() -> None:
    play = Play(peers=2)
    a, b = play.peers
    play.give(b, play.write(a, put("k", "old")))
    play.write(b, ops.Delete("k"))
    play.write(b, ops.MapPut("k", {"x": 1}))
    play.write(a, put("k", "on"))
    play.meet()

    found = play.conflicts(a)

    assert len(found) == 1
    assert (found[0].key, found[0].path, found[0].kind) == ("k", "/", "concurrent_values")
    winner, loser = found[0].values
    assert (winner.wins, loser.wins) == (True, False)
    assert {winner.value, loser.value} == {b"on", "map"}
    assert winner.value == (b"on" if play.value(a, "k") == b"on" else "map")


def test_each_life_of_a_key_tells_by_which_later_ones_it_is_hidden() -> None:
    storage = storage_with("k", lives=(("k", 3), ("k", 1)))
    batch = storage.batch()
    for life in (0, 1, 3):
        batch.put(b"c" + make_record_id(b"k", life), b"\1")
    batch.put(b"r" + make_record_id(b"k", 2), encode_record({(".x",): {(ORIGIN_MIN, 9): (9, b"")}}))
    storage.write(batch)

    found, more = list_conflicts(storage, b"", None, 10)

    told = [tuple((value.value, value.wins) for value in one.values) for one in found]
    first, second, third = b"k", b"k3", b"k1"  # In the order of their writes.
    assert (told, more) == (
        [
            ((third, True), (first, False)),
            ((second, True), (first, False)),
            ((third, True), (second, False)),
        ],
        None,
    )
    assert {(one.key, one.path, one.kind) for one in found} == {("k", "/", "concurrent_values")}


def test_conflicts_come_in_pages_of_records() -> None:
    play = Play(peers=2)
    a, b = play.peers
    for key in ("k1", "k2", "k3", "other"):
        play.write(a, put(key, "left"))
        play.write(b, put(key, "right"))
    play.meet()

    def keys(prefix: bytes, after: bytes | None, limit: int) -> tuple[list[str], bytes | None]:
        found, more = list_conflicts(a.storage, prefix, after, limit)
        return [one.key for one in found], more

    assert keys(b"", None, 10) == (["k1", "k2", "k3", "other"], None)
    assert keys(b"k", None, 10) == (["k1", "k2", "k3"], None)
    assert keys(b"k", None, 2) == (["k1", "k2"], b"k2\0")
    assert keys(b"k", b"k2\0", 2) == (["k3"], None)
    assert keys(b"", None, 4) == (["k1", "k2", "k3", "other"], None)
    assert keys(b"nobody", None, 4) == ([], None)
    assert keys(b"", b"k1\0", 2) == (["k2", "k3"], b"k3\0")


def test_a_page_of_conflicts_is_bounded_in_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    a = apart(*[(put(key, "left"), put(key, "right")) for key in ("k1", "k2", "k3")]).peers[0]
    size = len(a.storage.get(b"rk1\0") or b"")

    def keys() -> tuple[list[str], bytes | None]:
        found, more = list_conflicts(a.storage, b"", None, 100)
        return [one.key for one in found], more

    monkeypatch.setattr(reading, "_PAGE_BYTES_MAX", 2 * size - 1)
    assert keys() == (["k1", "k2"], b"k2\0")
    monkeypatch.setattr(reading, "_PAGE_BYTES_MAX", 2 * size)
    assert keys() == (["k1", "k2", "k3"], None)


def test_conflicts_of_the_system_s_keys_and_of_objects_are_not_among_the_users() -> None:
    storage = MemoryStorage()
    batch = storage.batch()
    record = {(".x",): {(ORIGIN_MIN, 1): (1, encode_value(1))}}
    for key in (b"\x01system", b"\x1fobject", b" user", b"\xc3\xbc"):
        batch.put(b"c" + key + b"\0", b"\x01")
        batch.put(b"r" + key + b"\0", encode_record(record))
    batch.put(b"cabsent\0", b"\x01")
    storage.write(batch)

    found, more = list_conflicts(storage, b"", None, 100)

    assert ([one.key for one in found], more) == ([" user", "\u00fc"], None)
    assert [one.key for one in list_conflicts(storage, b"\x1f", None, 100)[0]] == []


def test_cells_that_join_by_a_rule_of_their_own_are_not_told_of_an_update_that_lost() -> None:
    storage = MemoryStorage()
    batch = storage.batch()
    cell = {(ORIGIN_MIN, 1): (1, encode_value(1)), (ORIGIN_MIN, 2): (1, encode_value(2))}
    record = {("@applied", "me"): cell, (".l", "@order"): cell, (".x",): cell}
    batch.put(b"ck\0", b"\x01")
    batch.put(b"rk\0", encode_record(record))
    storage.write(batch)

    (found,) = list_conflicts(storage, b"", None, 100)[0]

    assert (found.path, found.kind) == ("/x", "update_after_delete")
    assert [(value.value, value.wins) for value in found.values] == [(2, False), (1, False)]


def test_of_two_lives_with_one_stamp_the_greater_dot_is_shown() -> None:
    storage = storage_with(lives=(("k", 0), ("k", 1)))
    batch = storage.batch()
    for life, origin in ((0, ORIGIN_MIN + 1), (1, ORIGIN_MIN)):
        record_id = make_record_id(b"k", life)
        data = encode_register((origin, 1), 5, b"\0%d" % life)
        batch.put(b"r" + record_id, data)
        batch.put(b"c" + record_id, b"\x01")
    batch.put(b"gk", b"\0\0\0\0")
    storage.write(batch)

    (found,) = list_conflicts(storage, b"", None, 100)[0]

    assert [(value.value, value.wins) for value in found.values] == [(b"0", True), (b"1", False)]
    shown = find_view(storage, b"k", NOW_MS)
    assert shown is not None
    assert (shown[0].value, shown[1]) == (b"0", 1)


def test_equal_values_of_two_writers_are_no_conflict_to_the_reader() -> None:
    play = apart((put("k", "same"), put("k", "same")))
    a = play.peers[0]
    found = find_view(a.storage, b"k", play.wall_ms(a))
    assert found is not None
    assert (found[0].value, found[1]) == (b"same", 0)
    assert play.conflicts(a) == []


def test_values_that_no_correct_peer_writes_are_shown_as_null() -> None:
    assert reading._shown(("x",), b"\xff") is None
    assert reading._shown((".x",), encode_value([1])) == [1]
    assert reading._shown(LIFE, encode_life("register", b"v")) == b"v"
    assert reading._shown(LIFE, encode_life("set")) == "set"
