"""The linearizability checker accepts what can be explained, and finds planted violations."""

import itertools
import random

import pytest

from bench.caplab.checkers.linearizable import check_register
from bench.caplab.clients.interface import FAILED, UNKNOWN
from bench.caplab.history import GET, PUT, Event
from tests.bench.histories import get, put


def test_operations_one_after_the_other_are_explained() -> None:
    history = [put(1, "a", 0, 1), get(2, "a", 2, 3), put(1, "b", 4, 5), get(2, "b", 6, 7)]

    assert check_register(history).linearizable is True


def test_a_read_of_nothing_comes_before_all_writes() -> None:
    assert check_register([get(2, None, 0, 1), put(1, "a", 0, 2)]).linearizable is True
    assert check_register([put(1, "a", 0, 1), get(2, None, 2, 3)]).linearizable is False


def test_a_stale_read_is_found() -> None:
    history = [put(1, "a", 0, 1), put(1, "b", 2, 3), get(2, "a", 4, 5)]

    assert check_register(history).linearizable is False


def test_concurrent_writes_may_be_seen_in_one_order_only() -> None:
    writes = [put(1, "a", 0, 10), put(2, "b", 0, 10)]

    assert check_register([*writes, get(3, "a", 11, 12), get(4, "a", 13, 14)]).linearizable is True
    assert check_register([*writes, get(3, "a", 11, 12), get(4, "b", 13, 14)]).linearizable is False


def test_a_new_value_is_not_followed_by_the_old_one() -> None:
    history = [
        put(1, "a", 0, 1), put(1, "b", 2, 20), get(2, "b", 3, 4), get(3, "a", 5, 6),
    ]  # fmt: skip

    assert check_register(history).linearizable is False


def test_a_write_that_nobody_knows_the_end_of_may_come_late_or_never() -> None:
    lost = put(1, "x", 0, 1, status=UNKNOWN)

    assert check_register([lost, put(2, "a", 2, 3), get(3, "a", 4, 5)]).linearizable is True
    late = [lost, put(2, "a", 2, 3), get(3, "a", 4, 5), get(3, "x", 6, 7)]
    assert check_register(late).linearizable is True
    back = [*late, get(3, "a", 8, 9)]
    assert check_register(back).linearizable is False


def test_a_failed_write_has_not_happened() -> None:
    history = [put(1, "a", 0, 1, status=FAILED), get(2, "a", 2, 3)]

    assert check_register(history).linearizable is False


def test_the_search_ends_at_its_bound() -> None:
    # Many writes at once, and a read that no order explains: a search without an end.
    writes = [put(n, f"v{n}", 0, 100) for n in range(40)]

    assert check_register([*writes, get(99, "no such", 50, 60)], 5_000).linearizable is None


def by_trying_all_orders(history: list[Event]) -> bool:
    """Decide by brute force."""
    for order in itertools.permutations(range(len(history))):
        place = {number: n for n, number in enumerate(order)}
        if any(
            history[a].end_ms < history[b].start_ms and place[a] > place[b]
            for a in place
            for b in place
        ):
            continue
        value, fits = None, True
        for number in order:
            if history[number].op == PUT:
                value = history[number].value
            elif history[number].value != value:
                fits = False
        if fits:
            return True
    return False


@pytest.mark.parametrize("seed", range(40))
def test_it_agrees_with_trying_all_orders(seed: int) -> None:
    rng = random.Random(seed)
    history: list[Event] = []
    for n in range(6):
        start = rng.randrange(12)
        end = start + 1 + rng.randrange(6)
        wrote = [e.value for e in history if e.op == PUT]
        if rng.random() < 0.5:
            history.append(put(n, f"v{n}", start, end))
        else:
            history.append(get(n, rng.choice([None, *wrote]), start, end))

    assert check_register(history).linearizable == by_trying_all_orders(history)
    assert {e.op for e in history} <= {PUT, GET}
