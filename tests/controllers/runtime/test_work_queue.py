"""The work queue, the back-off and the brakes, against simple statements of what they do."""

from random import Random

from hypothesis import given
from hypothesis import strategies as st

from controllers.runtime.backoff import Backoff
from controllers.runtime.damping import Budget, Damper
from controllers.runtime.queue import WorkQueue

STEPS = st.lists(
    st.tuples(
        st.sampled_from(["add", "add_at", "take", "done", "wait"]), st.integers(0, 3),
        st.integers(0, 50),
    ),
    max_size=80,
)  # fmt: skip


@given(STEPS)
def test_no_key_is_lost_doubled_or_with_two_workers(
    steps: list[tuple[str, int, int]],
) -> None:
    """WQ-1, WQ-2, WQ-3."""
    queue: WorkQueue[int] = WorkQueue()
    now, working = 0, list[int]()
    owed: dict[int, int] = {}  # key -> when it must be handed out at the latest.
    for what, key, number in steps:
        match what:
            case "add":
                queue.add(key)
                owed[key] = now
            case "add_at":
                queue.add_at(key, now + number)
                owed[key] = min(owed.get(key, now + number), now + number)
            case "take":
                found = queue.take(now)
                if found is not None:
                    assert found not in working
                    assert owed.pop(found, now + 1) <= now
                    working.append(found)
                else:
                    assert not [k for k, at in owed.items() if at <= now and k not in working]
            case "done" if working:
                queue.done(working.pop(0))
            case "wait":
                now += number
        queue.check()
    for key in working:
        queue.done(key)
    drained = set[int]()
    while (found := queue.take(now + 1_000)) is not None:
        drained.add(found)
        queue.done(found)
    assert drained == owed.keys()
    assert queue.is_idle
    assert queue.next_ms() is None


def test_a_burst_of_events_is_one_reconcile_and_one_more_while_it_runs() -> None:
    queue: WorkQueue[str] = WorkQueue()
    for _ in range(10):
        queue.add("a")
    assert queue.take(0) == "a"
    for _ in range(10):
        queue.add("a")
    assert queue.take(0) is None
    queue.done("a")
    assert queue.take(0) == "a"
    queue.done("a")
    assert queue.take(0) is None


def test_the_earlier_of_two_times_holds() -> None:
    queue: WorkQueue[str] = WorkQueue()
    queue.add_at("a", 100)
    queue.add_at("a", 50)
    queue.add_at("a", 80)
    assert queue.next_ms() == 50
    assert (queue.take(49), queue.take(50)) == (None, "a")
    queue.done("a")
    assert queue.take(1_000) is None


def test_back_off_doubles_to_its_bound_and_never_falls_below_half() -> None:
    backoff: Backoff[str] = Backoff(Random(1), base_ms=100, max_ms=1_000)
    pauses = [backoff.failed("a") for _ in range(8)]
    for pause, whole in zip(pauses, [100, 200, 400, 800, 1_000, 1_000, 1_000, 1_000], strict=True):
        assert whole // 2 <= pause <= whole
    backoff.succeeded("a")
    assert backoff.failed("a") <= 100
    assert backoff.failures("b") == 0


def test_undoing_again_and_again_waits_longer_each_time_until_the_wish_is_another() -> None:
    """DMP-1."""
    damper: Damper[str] = Damper()
    now, waits = 0, list[int]()
    for _ in range(7):
        waits.append(damper.wait_ms("a", 1, now))
        now += waits[-1]
        damper.acted("a", 1, now)
    assert waits == [0, 5_000, 10_000, 20_000, 40_000, 80_000, 120_000]
    assert damper.wait_ms("a", 2, now) == 0
    assert damper.wait_ms("b", 1, now) == 0
    assert damper.wait_ms("a", 1, now + 600_001) == 0


def test_making_again_and_again_is_slow_after_a_burst_until_the_wish_is_another() -> None:
    """DMP-2."""
    budget: Budget[str] = Budget(refill_ms=30_000)
    made = sum(budget.take("a", 1, 4, 20, now) for now in range(0, 60_000, 10))
    assert 55 <= made <= 60
    assert budget.take("a", 2, 300, 600, 60_000) == 300
    assert budget.take("b", 1, 4, 20, 60_000) == 4
