"""Planted bugs of objects, which random histories of one object find (tests/models)."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from crdtstate.crdt.record import LIFE, Cell, Path, Record, winner
from crdtstate.kube import cells, editing, managers, reading, rendering, uids, writing
from crdtstate.kube.cells import TRUE
from crdtstate.kube.editing import _Edit
from crdtstate.kube.schema import Schema
from crdtstate.kube.writing import Writer
from crdtstate.store.marks import Mark, mark_of
from crdtstate.store.planner import Planner
from tests.zoo.bugs import OBJECTS, Patch, bug


@bug(OBJECTS)
def equal_values_are_written_again(patch: Patch) -> None:
    """What is there already gets a new stamp, and beats a change made elsewhere [K9]."""

    def put_wanted(self: Writer, wanted: Mapping[Path, bytes], _touched: Any) -> None:
        for path, value in wanted.items():
            self.replace(path, value)

    patch.setattr(Writer, "_put_wanted", put_wanted)


@bug(OBJECTS)
def items_are_removed_with_their_fields(patch: Patch) -> None:
    """A concurrent change of one field then shows a fragment of the item."""

    def hide(self: Writer, path: Path, _leaves: Any) -> bool:
        self._drop_below(path)
        return True

    patch.setattr(Writer, "_hide", hide)


@bug(OBJECTS)
def a_change_does_not_say_that_its_item_is_there(patch: Patch) -> None:
    """A change in an item that was removed on the other side is hidden with it."""

    def put_wanted(self: Writer, wanted: Mapping[Path, bytes], _touched: Any) -> None:
        original(self, wanted, _Forgetful())

    original = Writer._put_wanted
    patch.setattr(Writer, "_put_wanted", put_wanted)


class _Forgetful(dict[Path, None]):
    def update(self, *_: Any, **__: Any) -> None:
        """Forget at once."""


@bug(OBJECTS)
def an_item_is_there_if_the_newest_says_so(patch: Patch) -> None:
    """A removal that had not seen a change wins over it when its clock is ahead."""

    def is_shown(cell: Cell) -> bool:
        return bool(cell) and winner(cell)[2] != cells.FALSE

    def present_of(cell: Cell) -> Cell:
        return cell if is_shown(cell) else {}

    for module in (cells, rendering, writing):
        patch.setattr(module, "is_shown", is_shown, raising=False)
        patch.setattr(module, "present_of", present_of, raising=False)


@bug(OBJECTS)
def the_order_of_lists_is_not_kept(patch: Patch) -> None:
    """Items are shown by name, whatever order they were written in."""
    patch.setattr(writing, "list_order", lambda _cell, shown: list(shown))


@bug(OBJECTS)
def orders_depend_on_the_order_of_arrival(patch: Patch) -> None:
    """Of concurrent orders the one that was joined last is followed."""

    def list_order(cell: Cell | None, shown: Iterable[str]) -> list[str]:
        known = [cells.value_of(v) for _, v in cell.values()] if cell else []
        steps = [step for order in reversed(known) for step in order]
        found = dict.fromkeys(step for step in steps if step in set(shown))
        return [*found, *sorted(set(shown) - found.keys())]

    for module in (rendering, writing):
        patch.setattr(module, "list_order", list_order)


@bug(OBJECTS)
def a_deletion_removes_the_record(patch: Patch) -> None:
    """A finalizer that was added on the other side is lost, and what it stood for leaks."""

    def result(self: _Edit, record_id: bytes, writer: Writer, outcome: Any) -> Any:
        made = original(self, record_id, writer, outcome)
        if made.outcome == "gone":
            self._planner.drop_path(record_id, LIFE)
        return made

    original = _Edit._result
    patch.setattr(_Edit, "_result", result)


@bug(OBJECTS)
def a_creation_ends_what_was_gone(patch: Patch) -> None:
    """The mark goes with the record: another's creation of the same object comes back [ours]."""

    def begin_life(self: Planner, key: bytes) -> tuple[bytes, int]:
        made = original(self, key)
        self.delete(key)
        return made

    original = Planner.begin_life
    patch.setattr(Planner, "begin_life", begin_life)


@bug(OBJECTS)
def what_terminates_hides_what_is_there(patch: Patch) -> None:
    """An object that was deleted is seen before the one created after it."""

    def choose_shown(lives: Iterable[Any]) -> Any:
        return min((s for s in lives if not s.gone), key=lambda s: s.stamp, default=None)

    for module in ("crdtstate.kube.editing", "tests.models.objects"):
        patch.setattr(f"{module}.choose_shown", choose_shown)


@bug(OBJECTS)
def uids_are_of_their_peer(patch: Patch) -> None:
    """Two sides that create one object create two."""

    def result(self: _Edit, body: Any) -> Any:
        patch.setattr(
            editing, "uid_bytes", lambda c, k, n: uids.uid_bytes(b"%d" % self._planner.dot[0], k, n)
        )
        return original(self, body)

    original = _Edit._create
    patch.setattr(_Edit, "_create", result)


@bug(OBJECTS)
def generations_are_the_greatest(patch: Patch) -> None:
    """Both sides count to the same number for two different specs."""

    def generation(record: Record) -> int:
        counts = [cells.value_of(winner(c)[2]) for p, c in record.items() if p[:1] == _COUNTS]
        return max(counts, default=0)

    patch.setattr(reading, "_generation", generation)


_COUNTS = (reading.GENERATION,)


@bug(OBJECTS)
def managed_fields_of_the_newest_only(patch: Patch) -> None:
    """What a manager applied on one side is nobody's after the join."""

    def joined_entry(cell: Cell) -> Any:
        return cells.value_of(winner(cell)[2])

    for module in (managers, editing):
        patch.setattr(module, "joined_entry", joined_entry)


@bug(OBJECTS)
def finalizers_are_one_list(patch: Patch) -> None:
    """Of two finalizers that were added concurrently one is lost."""

    def object_schema(schema: Schema) -> Schema:
        made = original(schema)
        metadata = made.properties["metadata"]
        plain = replace(metadata.properties["finalizers"], list_type="atomic")
        metadata = replace(metadata, properties={**metadata.properties, "finalizers": plain})
        return replace(made, properties={**made.properties, "metadata": metadata})

    original = editing._object_schema
    patch.setattr(editing, "_object_schema", object_schema)


@bug(OBJECTS)
def the_latest_deletion_counts(patch: Patch) -> None:
    """deletionTimestamp moves later when another deletion arrives."""

    def latest(record: Record) -> Mark | None:
        mark = mark_of(record)
        if mark is None:
            return None
        times = [cells.read_value(v)[0] for _, v in record["@deleted",].values()]
        return mark._replace(at_ms=max(times))

    patch.setattr(reading, "mark_of", latest)


@bug(OBJECTS)
def an_item_that_comes_again_keeps_its_cells(patch: Patch) -> None:
    """What was in an item before its removal is taken for what its next writer put in it."""

    def is_in(path: Path, items: Any) -> bool:
        return path in items

    patch.setattr(writing, "_is_in", is_in)


@bug(OBJECTS)
def hidden_fields_of_an_item_come_again(patch: Patch) -> None:
    """An item that is added again has fields that its writer did not give."""

    def remove(self: Writer, wanted: Any, orders: Any, touched: Any) -> None:
        shown = {p for p in wanted if cells.is_item(p) and wanted[p] == TRUE}
        hidden = [p for p in shown if p in self.record and not cells.is_shown(self.record[p])]
        kept = {
            p: v for p, v in self.record.items() if any(p[: len(h)] == h and p != h for h in hidden)
        }
        original(self, {**wanted, **dict.fromkeys(kept, b"")}, orders, touched)

    original = Writer._remove_unwanted
    patch.setattr(Writer, "_remove_unwanted", remove)


@bug(OBJECTS)
def the_oldest_kind_of_content_is_shown(patch: Patch) -> None:
    """Where one side wrote a number and the other an object, the earlier stays."""
    newest = rendering._newest
    patch.setattr(rendering, "_newest", lambda branch: (-newest(branch)[0], (0, 0)))
    patch.setattr(rendering, "_OLDEST", (-(1 << 64), (0, 0)))
