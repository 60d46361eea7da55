"""Faults that clients see or make: odd keys, lost answers, retries, stalled watchers, two sides."""

import asyncio
import contextlib
import tracemalloc

from crdtstate.errors import CrdtstateError
from tests.faults.scene import Scene, play

ODD_KEYS = [
    "..", "../../etc/passwd", "a//b", "a/./b", "/a", "a/", "%2e%2e", "\U0001f600", "a b", "?x=1",
    "e\u0301", "\u00e9", "\u212b", "\u00c5", "\ufeffk", "k\u202ek",
]  # fmt: skip


def test_fault_53_odd_keys_and_values_over_the_limit() -> None:
    """Refused with the reason, or stored exactly: two spellings are two keys, everywhere."""

    async def scenario(scene: Scene) -> None:
        a, refused = scene.client("a"), list[str]()
        for n, key in enumerate(ODD_KEYS):
            try:
                await a.put(key, f"{n}")
            except CrdtstateError as error:
                refused.append(key if error.code == "invalid_key" else error.code)
        await scene.converge()
        state = scene.state("b")
        for n, key in enumerate(ODD_KEYS):
            assert key in refused or state.pop(key) == f"{n}".encode()
        assert not state
        assert len(refused) <= 4, refused
        for key, value, code in (
            ("nul\0", "v", "invalid_key"),
            ("k" * 1_025, "v", "key_too_long"),
            ("big", "v" * ((1 << 20) + 1), "value_too_large"),
        ):
            assert (await scene.refusal(a.put(key, value))).code == code

    play(scenario)


def test_fault_70_two_controllers_on_two_sides_of_a_cut() -> None:
    """Both act, again and again; after the heal there is one state, and nothing is doubled."""

    async def scenario(scene: Scene) -> None:
        wanted = {"spec": {"replicas": 3, "image": "web:1"}, "labels": {"app": "web"}}
        scene.wire.cut |= scene.paths("c", "a", "b")
        for _ in range(5):
            for name in "ac":
                client = scene.client(name)
                await client.apply("web", wanted, manager="controller")
                for n in range(3):
                    await client.apply(f"web/{n}", {"owner": "web"}, manager="controller")
            await scene.sleep(5)
        scene.wire.heal()
        await scene.converge()
        for name in "abc":
            state = scene.state(name)
            assert state["web"] == wanted
            assert state.keys() == {"web", "web/0", "web/1", "web/2"}
        assert not [c async for c in scene.client("b").conflicts()]

    play(scenario)


def test_fault_71_a_delete_races_a_put_on_the_other_side() -> None:
    """A put that had not seen the delete survives, whole, on all peers; one that had, does not."""

    async def scenario(scene: Scene) -> None:
        a, c = scene.client("a"), scene.client("c")
        for key in ("raced", "only deleted"):
            await a.put(key, "old", w=3)
        scene.wire.cut |= scene.paths("c", "a", "b")
        await a.delete("raced")
        await a.delete("only deleted")
        await c.put("raced", "new")
        scene.wire.heal()
        await scene.converge()
        assert all(scene.state(name) == {"raced": b"new"} for name in "abc")
        await a.delete("raced", w=3)
        assert all(scene.state(name) == {} for name in "abc")

    play(scenario)


def test_fault_72_the_answer_is_lost_and_the_client_tries_again() -> None:
    """A put is tried again and is there once; a counter's change is never made twice."""

    async def scenario(scene: Scene) -> None:
        b, unknown, done = scene.client("b"), 0, 0
        for n in range(60):
            host = scene.host("b")
            if n % 3 == 0:
                scene.world.loop.at(scene.world.loop.time() + 0.001 * (n % 8), None, host.kill)
            try:
                await b.counter("count").add(1)
                done += 1
            except CrdtstateError as error:
                unknown += error.code == "unknown_outcome"
            if not host.is_up:
                host.boot()
            await scene.sleep(2)
        await scene.converge()
        count = scene.state("a").get("count", 0)
        assert done <= count <= done + unknown
        assert unknown > 0
        assert done > 30

    play(scenario)


def test_fault_62_watchers_that_do_not_read() -> None:
    """Each costs the peer a place, not a queue; once they read they get the last state."""

    async def scenario(scene: Scene) -> None:
        a, reading = scene.client("a"), asyncio.Event()
        seen: list[dict[str, object]] = []

        async def watch() -> None:
            mine: dict[str, object] = {}
            seen.append(mine)
            async for event in a.watch("k/", initial=True):
                await reading.wait()
                mine[event.key] = event.item and event.item.value
                mine["events"] = int(str(mine.get("events", 0))) + 1

        await a.put("k/0", "first")
        tasks = [scene.world.loop.start(None, watch()) for _ in range(100)]
        await scene.sleep(1)
        tracemalloc.start()
        for n in range(300):
            await a.put(f"k/{n % 3}", f"{n}" + "x" * 2_000)
        grown, _ = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert grown / 100 < 100_000, grown
        reading.set()
        await scene.sleep(5)
        assert len(seen) == 100
        for mine in seen:
            assert [str(mine[f"k/{n}"])[2:5] for n in range(3)] == ["297", "298", "299"]
            assert int(str(mine["events"])) < 100
        for task in tasks:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task

    play(scenario)


def test_fault_63_a_watcher_goes_on_from_where_it_was() -> None:
    """It gets what changed since, once each, and not the whole list again."""

    async def scenario(scene: Scene) -> None:
        a = scene.client("a")
        for n in range(200):
            await a.put(f"k/{n}", "v")
        await scene.sleep(1)
        since = (await a.status()).revision
        for n in (3, 5, 3, 5, 7):
            await a.put(f"k/{n}", "new")
        await a.delete("k/9")
        got: list[str] = []

        async def watch() -> None:
            async for event in a.watch("k/", since=since):
                got.extend([event.key] if event.key else [])

        task = scene.world.loop.start(None, watch())
        await scene.sleep(3)
        task.cancel()
        assert sorted(got) == ["k/3", "k/5", "k/7", "k/9"]

    play(scenario)
