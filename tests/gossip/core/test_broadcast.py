"""The queue of updates."""

import math

from hypothesis import given
from hypothesis import strategies as st

from gossip.core.broadcast import BroadcastQueue
from gossip.core.wire import Update, update_bytes
from tests.gossip.core.swim_harness import record


def queue_of(*names: str) -> BroadcastQueue:
    """Return a queue with one update of each."""
    queue = BroadcastQueue(4)
    for name in names:
        queue.push(Update(record(name)))
    return queue


@given(st.integers(1, 2_000))
def test_an_update_is_taken_a_logarithmic_number_of_times(members: int) -> None:
    """BRO-2"""
    queue, limit = queue_of("x"), 4 * math.ceil(math.log10(members + 1))

    taken = [len(queue.take(1_000, members, to="z")) for _ in range(limit + 1)]

    assert taken == [1] * limit + [0]
    assert len(queue) == 0


def test_a_newer_update_replaces_the_older_one_and_is_taken_as_often() -> None:
    """BRO-1"""
    queue = queue_of("x")
    for _ in range(3):
        queue.take(1_000, 3, to="z")

    queue.push(Update(record("x", 2)))

    assert len(queue) == 1
    assert [queue.take(1_000, 3, to="z")[0].member.incarnation for _ in range(4)] == [2] * 4
    assert len(queue) == 0


def test_what_was_sent_least_goes_first_under_a_budget() -> None:
    queue = queue_of("w", "x", "y")
    one = update_bytes(Update(record("x")))

    taken = [[u.member.name for u in queue.take(2 * one, 3, to="z")] for _ in range(3)]

    assert taken == [["w", "x"], ["y", "w"], ["x", "y"]]


@given(st.integers(0, 400), st.lists(st.integers(0, 256), min_size=1, max_size=6))
def test_what_is_taken_fits_the_budget(budget: int, sizes: list[int]) -> None:
    queue = BroadcastQueue(4)
    for number, size in enumerate(sizes):
        queue.push(Update(record(f"n{number}", metadata=bytes(size))))

    taken = queue.take(budget, 3, to="z")

    assert sum(update_bytes(update) for update in taken) <= budget


def test_a_member_is_not_told_of_itself_and_yet_the_queue_runs_empty() -> None:
    queue = queue_of("x")

    taken = [queue.take(1_000, 2, to="x") for _ in range(4)]

    assert taken == [[], [], [], []]
    assert len(queue) == 0


def test_nothing_is_sent_of_a_dropped_name() -> None:
    queue = queue_of("x", "y")

    queue.drop("x")

    assert [u.member.name for u in queue.take(1_000, 3, to="z")] == ["y"]
