"""REC-2 and REC-3 within a small scope, without exception; and the search can fail."""

from collections.abc import Callable
from typing import Any

import pytest

from crdtstate.crdt import record as core
from crdtstate.crdt.record import Record
from tests.formal import exhaustive
from tests.formal.exhaustive import KINDS, Search, Wrong

Patch = pytest.MonkeyPatch


@pytest.mark.e2e  # For its deadline; a part takes half a minute.
@pytest.mark.parametrize("first", [0, 1])
def test_every_behaviour_within_four_operations_and_seven_moves(
    first: int, figure: Callable[[str], None]
) -> None:
    steps = Search(first=first).run()

    figure(f"exhaustive: 3 replicas, 4 operations, 7 moves, part {first + 1} of 4: {steps:,} steps")
    assert steps > 1_000_000


@pytest.mark.deep
@pytest.mark.parametrize("first", [2, 3])
def test_the_other_first_operations(first: int, figure: Callable[[str], None]) -> None:
    steps = Search(first=first).run()

    figure(f"exhaustive: the same, part {first + 1} of {len(KINDS)}: {steps:,} steps")


def _join_without_context(patch: Patch) -> None:
    def join(mine: Record, _mine: Any, theirs: Record, _theirs: Any) -> Record:
        return {p: {**mine.get(p, {}), **theirs.get(p, {})} for p in mine.keys() | theirs.keys()}

    patch.setattr(core, "join_records", join)


def _join_for_one_side(patch: Patch) -> None:
    join = core.join_records
    patch.setattr(core, "join_records", lambda m, _mv, t, tv: join(m, {}, t, tv))


def _set_keeps_what_it_saw(patch: Patch) -> None:
    keep = core.apply_set
    patch.setattr(core, "apply_set", lambda *a: keep(*a[:5], ()))


def _set_clears_the_cell(patch: Patch) -> None:
    def last_wins(record: Record, path: Any, dot: Any, stamp: int, value: bytes, _o: Any) -> None:
        record[path] = {dot: (stamp, value)}

    patch.setattr(core, "apply_set", last_wins)


def _drop_spares_what_is_below(patch: Patch) -> None:
    patch.setattr(core, "observed_below", core.observed_at)


def _drop_takes_what_it_never_saw(patch: Patch) -> None:
    def drop(record: Record, path: Any, _observed: Any) -> None:
        for p in [p for p in record if p[: len(path)] == path]:
            del record[p]

    patch.setattr(core, "apply_drop", drop)


def _delivery_without_its_past(patch: Patch) -> None:
    patch.setattr(exhaustive, "is_ready", lambda seen, dot, _past: seen[dot[0]] + 1 == dot[1])


@pytest.mark.parametrize(
    "plant",
    [
        _join_without_context, _join_for_one_side, _set_keeps_what_it_saw, _set_clears_the_cell,
        _drop_takes_what_it_never_saw, _delivery_without_its_past,
    ],
)  # fmt: skip
def test_the_search_finds_a_planted_mistake(
    plant: Callable[[Patch], None], monkeypatch: Patch
) -> None:
    plant(monkeypatch)

    with pytest.raises((Wrong, AssertionError)):
        Search(operations=3, moves=6).run()


def test_a_drop_that_forgets_what_is_below_is_another_specification(monkeypatch: Patch) -> None:
    """PLN-1 allows a drop that spares what lies below (a leaf), so states alone cannot tell."""
    _drop_spares_what_is_below(monkeypatch)

    assert Search(operations=2, moves=4).run() > 0
