"""Planted bugs of the store, which random histories of a few stores find.

They are the mistakes that published designs have made or warn of. The suite that runs on every
change must see each of them; a suite that cannot fail is worth nothing.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from crdtstate.crdt import record as records
from crdtstate.crdt.codec import decode_record
from crdtstate.crdt.dots import Dot, covers_all
from crdtstate.crdt.record import LIFE, Path, Record
from crdtstate.store import catchup, planner, store, types
from crdtstate.store.catchup import Joiner
from crdtstate.store.fingerprint import Fingerprint
from crdtstate.store.index import Index, decode_event, encode_event
from crdtstate.store.parts import End, Part, Run, records_only
from crdtstate.store.planner import Planner
from crdtstate.store.store import Store
from crdtstate.store.table import Table
from crdtstate.store.views import encode_life
from crdtstate.store.wide import WideRecords
from tests.zoo.bugs import HISTORIES, REPAIRS, Patch, bug


def _best_only(record: Record) -> Record:
    for path, cell in record.items():
        dot, stamp, value = records.winner(cell)
        record[path] = {dot: (stamp, value)}
    return record


@bug(HISTORIES)
def last_writer_wins_when_applied(patch: Patch) -> None:
    """The loser is dropped when a write arrives; replicas then differ for ever [P-a1]."""

    def apply_set(record: Record, path: Path, *rest: Any) -> None:
        records.apply_set(record, path, *rest)
        _best_only(record)

    patch.setattr(store, "apply_set", apply_set)


@bug(HISTORIES)
def last_writer_wins_when_joined(patch: Patch) -> None:
    """The same, in a pull."""
    join = records.join_records
    patch.setattr(catchup, "join_records", lambda *a: _best_only(join(*a)))


@bug(HISTORIES)
def a_kept_record_is_trusted(patch: Patch) -> None:
    """What was decoded last is taken for what is stored, though that was refused or joined since
    [WID-1]."""
    decode = WideRecords.decode

    def trusting(self: WideRecords, record_id: bytes, data: bytes) -> Record:
        kept = self._kept.get(record_id)
        return decode(self, record_id, data) if kept is None else kept.record.copy()

    patch.setattr(WideRecords, "decode", trusting)


@bug(HISTORIES)
def a_cell_is_changed_in_place(patch: Patch) -> None:
    """The cell that a write changes is the one that is kept, beside the bytes of before [WID-1]."""

    def apply_set(
        record: Record, path: Path, dot: Dot, stamp: int, value: bytes, observed: Iterable[Dot]
    ) -> None:
        cell = record.setdefault(path, {})
        for gone in observed:
            cell.pop(gone, None)
        cell[dot] = (stamp, value)

    patch.setattr(store, "apply_set", apply_set)
    patch.setattr(planner, "apply_set", apply_set)


@bug(HISTORIES)
def order_of_each_origin_only(patch: Patch) -> None:
    """A transaction is applied before what it has seen of others."""

    def is_ready(self: Store, transaction: Any) -> bool:
        origin, seq = transaction.dot
        return self.vector.get(origin, 0) + 1 == seq

    patch.setattr(Store, "_is_ready", is_ready)


@bug(HISTORIES)
def past_without_what_was_received(patch: Patch) -> None:
    """A transaction does not name what its origin has seen since its last one."""
    apply = Store._apply

    def forgetful(self: Store, transaction: Any, wall_ms: int) -> None:
        apply(self, transaction, wall_ms)
        self._news.pop(transaction.dot[0], None)

    patch.setattr(Store, "_apply", forgetful)


@bug(HISTORIES)
def pull_of_living_dots_only(patch: Patch) -> None:
    """Records whose last event was a removal are not served [P-a4]."""
    read = catchup.read_events

    def living(reader: Any, origin: int, first: int, last: int) -> Iterator[Any]:
        for seq, encoded in read(reader, origin, first, last):
            touched, ended = decode_event(encoded)
            held = [r for r in touched if _holds(reader.get(b"r" + r), (origin, seq))]
            yield seq, encode_event(held, ended)

    patch.setattr(catchup, "read_events", living)


def _holds(data: bytes | None, dot: Dot) -> bool:
    return data is not None and any(dot in cell for cell in decode_record(data).values())


@bug(HISTORIES)
def a_cut_session_leaves_something(patch: Patch) -> None:
    """Parts are written as they arrive [P-b1]."""
    stage = Joiner.stage

    def eager(self: Joiner, part: Part) -> None:
        stage(self, part)
        for record_id, data in part.records:
            if data and not self._store.table.get(record_id):
                self._store.table.put(record_id, decode_record(data))

    patch.setattr(Joiner, "stage", eager)


@bug(HISTORIES)
def some_records_with_the_whole_context(patch: Patch) -> None:
    """A part is lost, and the vector is taken all the same [P-a2]."""
    serve = catchup._records

    def lossy(snapshot: Any, ids: Iterator[bytes]) -> Iterator[Part | None]:
        for item in serve(snapshot, ids):
            yield item if item is None else records_only(item.records[:-1])

    patch.setattr(catchup, "_records", lossy)


@bug(HISTORIES)
def a_removal_takes_what_it_has_not_seen(patch: Patch) -> None:
    """Removal wins over a concurrent write below it."""

    def apply_drops(record: Record, drops: Mapping[Path, Iterable[Dot]]) -> None:
        for place in [p for p in record if any(p[: len(path)] == path for path in drops)]:
            del record[place]

    patch.setattr(store, "apply_drops", apply_drops)


@bug(HISTORIES)
def a_removal_forgets_what_is_below(patch: Patch) -> None:
    """Removal of a path leaves its children."""

    def apply_drops(record: Record, drops: Mapping[Path, Iterable[Dot]]) -> None:
        for path, observed in drops.items():
            gone = set(observed)
            cell = {d: s for d, s in record.pop(path, {}).items() if d not in gone}
            if cell:
                record[path] = cell

    patch.setattr(store, "apply_drops", apply_drops)


@bug(HISTORIES)
def an_overwrite_removes_nothing(patch: Patch) -> None:
    """The stamp alone decides, so a clock that is ahead holds a key for ever [law 16]."""

    def apply_set(record: Record, path: Path, *rest: Any) -> None:
        records.apply_set(record, path, *rest[:-1], ())

    patch.setattr(store, "apply_set", apply_set)


@bug(HISTORIES)
def an_overwrite_removes_everything(patch: Patch) -> None:
    """A write replaces siblings that its writer had not seen."""

    def apply_set(record: Record, path: Path, *rest: Any) -> None:
        records.apply_set(record, path, *rest[:-1], tuple(record.get(path, ())))

    patch.setattr(store, "apply_set", apply_set)


@bug(HISTORIES)
def the_short_cut_ignores_what_was_seen(patch: Patch) -> None:
    """A plain register is replaced without looking at the dots."""

    class Anything:
        def __eq__(self, other: object) -> bool:
            return True

        __hash__ = None  # type: ignore[assignment]

    found = store.register_dot
    patch.setattr(store, "register_dot", lambda data: Anything() if found(data) else None)


@bug(HISTORIES)
def a_removed_life_is_forgotten(patch: Patch) -> None:
    """A key that is created again takes the id of its earlier life [law 14]."""
    patch.setattr(Table, "raise_grave", lambda *_: None)


@bug(HISTORIES)
def an_update_touches_the_life(patch: Patch) -> None:
    """An update brings back what was removed concurrently."""
    open_ = Planner.open

    def touching(self: Planner, key: bytes, name: str, type_name: str) -> bytes:
        record_id = open_(self, key, name, type_name)
        self.put_path(record_id, LIFE, encode_life(type_name))
        return record_id

    patch.setattr(Planner, "open", touching)


@bug(HISTORIES)
def an_earlier_change_loses_what_it_saw(patch: Patch) -> None:
    """Two changes of one place in one transaction: the second has seen only the first."""
    note = Planner._note

    def blind(self: Planner, change: Any) -> None:
        self.changes.pop((change.record_id, change.path), None)
        note(self, change)

    patch.setattr(Planner, "_note", blind)


@bug(HISTORIES)
def the_fingerprint_keeps_what_was(patch: Patch) -> None:
    """The sum forgets to take the old content out."""
    change = Fingerprint.change
    patch.setattr(
        Fingerprint, "change", lambda self, r, _before, after: change(self, r, None, after)
    )


@bug(HISTORIES)
def a_conflict_is_never_over(patch: Patch) -> None:
    """The index of conflicts only grows."""
    index = Table._index_conflict

    def sticky(self: Table, record_id: bytes, *, holds: bool) -> None:
        if holds:
            index(self, record_id, holds=True)

    patch.setattr(Table, "_index_conflict", sticky)


@bug(HISTORIES)
def two_lives_are_no_conflict(patch: Patch) -> None:
    """A key that lives twice is not reported."""
    patch.setattr(Table, "_index_lives", lambda *_: None)


@bug(HISTORIES)
def pulled_events_are_not_kept(patch: Patch) -> None:
    """Who has pulled cannot serve: a third replica misses what came that way."""
    patch.setattr(Index, "note_events", lambda *_: None)


@bug(HISTORIES)
def the_first_of_a_run_is_not_kept(patch: Patch) -> None:
    """Of events that follow each other the first is taken for one that is known [IDX-1]."""
    news = Joiner._news

    def late(self: Joiner, run: Run, last: int) -> Iterator[tuple[int, list[int]]]:
        for first, places in news(self, run, last):
            yield first + 1, places[1:]

    patch.setattr(Joiner, "_news", late)


@bug(HISTORIES)
def a_run_names_the_events_of_the_next(patch: Patch) -> None:
    """Which event a dot has is one off, so that a pull serves the wrong records."""
    note = Index.note_events

    def shifted(self: Index, origin: int, first: int, events: Any, wall_ms: int) -> None:
        note(self, origin, first, [*events[1:], *events[:1]], wall_ms)

    patch.setattr(Index, "note_events", shifted)


@bug(REPAIRS)
def floors_do_not_rise(patch: Patch) -> None:
    """A replica that was repaired serves pulls from an index with holes."""
    patch.setattr(Index, "raise_floor", lambda *_: None)


@bug(REPAIRS)
def floors_are_not_asked(patch: Patch) -> None:
    """A pull is served from an index that does not reach back."""
    patch.setattr(catchup, "read_floors", lambda _: {})


@bug(HISTORIES)
def what_changed_meanwhile_is_not_joined_again(patch: Patch) -> None:
    """A join is written as it was prepared, over what has happened since."""
    track = Joiner._track

    def blind(self: Joiner) -> None:
        track(self)
        self._store.touched_during_join = None

    patch.setattr(Joiner, "_track", blind)


@bug(REPAIRS)
def a_repair_trusts_equal_sums_for_ever(patch: Patch) -> None:
    """What changes here after the sums were compared is not joined with what they stood for."""
    patch.setattr(Joiner, "_put_unstaged", lambda *_: None)


@bug(REPAIRS)
def a_repair_ignores_what_only_we_hold(patch: Patch) -> None:
    """Our records in a differing bucket take no part: what the others removed stays."""
    patch.setattr(Joiner, "_stage_own", lambda *_: iter(()))


@bug(HISTORIES)
def covered_too_early(patch: Patch) -> None:
    """The vector moves before the records are there: a removal seems done that is not."""
    prepare = Joiner.prepare

    def early(self: Joiner, end: End) -> Iterator[None]:
        if not covers_all(self._store.vector, end.target):
            self._store.learn(end.target)
        yield from prepare(self, end)

    patch.setattr(Joiner, "prepare", early)


@bug(HISTORIES)
def a_counter_loses_its_own_total(patch: Patch) -> None:
    """The cell of an origin is written from its amount instead of from its total."""
    plan = types.plan_counter

    def forgetful(on: Planner, key: bytes, operation: Any) -> int:
        path = ("=" + f"{on.dot[0]:016x}",)
        for record_id in on.lives(key):
            on.record(record_id).pop(path, None)
        return plan(on, key, operation)

    patch.setattr(planner, "plan_counter", forgetful)
