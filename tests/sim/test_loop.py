"""The loop of the simulator: time that jumps, lives that end, nothing real."""

import asyncio
from random import Random
from typing import Any

import pytest

from crdtstate.sim.loop import START_S, Deadlock, Life, OutOfSteps, SimLoop


def run(loop: SimLoop, work: Any) -> Any:
    """Run to the end."""
    try:
        return loop.run_until_complete(loop.start(None, work))
    finally:
        loop.close()


def test_a_day_passes_at_once() -> None:
    loop = SimLoop(Random(1))

    async def sleep() -> float:
        await asyncio.sleep(86_400)
        return asyncio.get_running_loop().time()

    assert run(loop, sleep()) == START_S + 86_400


def test_a_life_that_is_over_runs_nothing_more_not_even_finally() -> None:
    """LOP-2."""
    loop, told = SimLoop(Random(1)), list[str]()
    life = Life("a", 1)

    async def worker() -> None:
        try:
            await asyncio.sleep(5)
            told.append("woke")
        finally:
            told.append("finally")

    async def story() -> None:
        loop.start(life, worker())
        await asyncio.sleep(1)
        life.alive = False
        await asyncio.sleep(60)
        assert told == []

    run(loop, story())


def test_a_paused_life_goes_on_where_it_was() -> None:
    loop, told = SimLoop(Random(1)), list[float]()
    life = Life("a", 1)

    async def worker() -> None:
        for _ in range(3):
            await asyncio.sleep(1)
            told.append(loop.time() - START_S)

    async def story() -> None:
        loop.start(life, worker())
        await asyncio.sleep(1.5)
        life.paused = True
        await asyncio.sleep(10)
        assert told == [1.0]
        loop.resume(life)
        await asyncio.sleep(10)

    run(loop, story())
    assert told == [1.0, 11.5, 12.5]


def test_what_a_task_starts_belongs_to_its_life() -> None:
    loop, told = SimLoop(Random(1)), list[str]()
    life = Life("a", 1)

    async def child() -> None:
        await asyncio.sleep(2)
        told.append("child")

    async def parent() -> None:
        loop.create_task(child())
        loop.call_later(2, told.append, "timer")
        await asyncio.sleep(9)

    async def story() -> None:
        loop.start(life, parent())
        await asyncio.sleep(1)
        life.alive = False
        await asyncio.sleep(9)

    run(loop, story())
    assert told == []


def test_waiting_for_ever_is_a_deadlock() -> None:
    loop = SimLoop(Random(1))

    async def wait() -> None:
        await loop.create_future()

    with pytest.raises(Deadlock):
        run(loop, wait())


def test_a_livelock_runs_out_of_steps() -> None:
    loop = SimLoop(Random(1), steps_max=1_000)

    async def spin() -> None:
        while True:  # noqa: ASYNC110 - a livelock is what is wanted.
            await asyncio.sleep(0)

    with pytest.raises(OutOfSteps):
        run(loop, spin())


def test_the_order_of_what_is_ready_together_is_drawn_from_the_seed() -> None:
    def order(seed: int) -> list[int]:
        loop, told = SimLoop(Random(seed), shuffle=True), list[int]()

        async def story() -> None:
            for n in range(20):
                loop.call_later(1, told.append, n)
            await asyncio.sleep(2)

        run(loop, story())
        return told

    assert order(1) == order(1) != order(2)
    assert sorted(order(2)) == list(range(20))


@pytest.mark.parametrize("call", ["run_in_executor", "call_soon_threadsafe", "getaddrinfo"])
def test_nothing_real_is_reachable(call: str) -> None:
    """LOP-3."""
    loop = SimLoop(Random(1))

    async def reach() -> None:
        found = getattr(loop, call)(None, print)
        if asyncio.iscoroutine(found):
            await found

    with pytest.raises(RuntimeError, match="in a simulation"):
        run(loop, reach())
