"""Faults of wall clocks: ahead, behind, jumping, coarse, equal."""

from crdtstate.crdt.clock import AHEAD_MS_MAX, stamp_ms
from tests.faults.scene import Scene, play

DAY_MS = 86_400_000


async def all_show(scene: Scene, key: str, value: str) -> None:
    """All hosts show this value."""
    await scene.converge()
    for host in scene.world.hosts:
        assert scene.state(host.name)[key] == value.encode()


def test_fault_30_a_clock_that_is_a_day_ahead() -> None:
    """Its own writes are refused, its reads served; what it knows is writable by the others."""

    async def scenario(scene: Scene) -> None:
        await scene.client("d").put("k", "before", w=4)
        scene.host("d").clock.offset_ms = DAY_MS
        await scene.sleep(3)
        error = await scene.refusal(scene.client("d").put("k", "ahead"))
        assert error.code == "clock_skew"
        assert await scene.client("d").get_value("k") == b"before"
        await scene.client("a").put("k", "after")
        await all_show(scene, "k", "after")
        scene.host("d").clock.offset_ms = 0
        await scene.sleep(3)
        await scene.client("d").put("k", "again")
        await all_show(scene, "k", "again")

    play(scenario, "abcd")


def test_fault_30_right_clocks_are_not_taken_for_wrong_ones_after_a_silence() -> None:
    """The time that a peer tells is of now, also when nothing has changed for long."""

    async def scenario(scene: Scene) -> None:
        await scene.sleep(300)
        for name in "abcde":
            assert abs(scene.replica(name).clock_offset_ms) < 2_000
            await scene.client(name).put(f"of {name}", "1")
        await scene.converge()

    play(scenario, "abcde")


def test_fault_31_a_clock_that_jumps_back() -> None:
    """Stamps still grow, so a later write replaces an earlier one."""

    async def scenario(scene: Scene) -> None:
        a, stamps = scene.client("a"), list[int]()
        for n in range(6):
            await a.put("k", f"{n}")
            await a.counter("count").add(1)
            stamps.append(scene.replica("a").store.clock.last)
            scene.host("a").clock.offset_ms -= 3_600_000
            await all_show(scene, "k", f"{n}")
        assert stamps == sorted(set(stamps))
        assert scene.state("b")["count"] == 6

    play(scenario)


def test_fault_32_stamps_from_the_far_future() -> None:
    """They win what is concurrent, move nobody's clock, and are replaced by who has seen them."""

    async def scenario(scene: Scene) -> None:
        c = scene.host("c")
        c.clock.offset_ms = 100_000 * DAY_MS
        await scene.client("c").put("k", "from the future", w=3)
        await scene.client("a").put("other", "1", w=3)
        for name in "ab":
            ahead = stamp_ms(scene.replica(name).store.clock.last)
            assert ahead <= scene.host(name).clock.wall_ms() + AHEAD_MS_MAX
        await scene.client("b").put("k", "from now")
        await all_show(scene, "k", "from now")

    play(scenario)


def test_fault_33_equal_stamps_on_two_peers() -> None:
    """The same write wins everywhere, by its identity, and the other is shown as a conflict."""

    async def scenario(scene: Scene) -> None:
        for host in scene.world.hosts:
            host.clock.quantum_ms = 10 * DAY_MS
        await scene.converge()
        scene.wire.cut |= scene.paths("a", "b", "c") | scene.paths("b", "c")
        for n in range(10):
            for name in "abc":
                await scene.client(name).put(f"k/{n}", f"{name}{n}")
        assert len({scene.replica(name).store.clock.last for name in "abc"}) == 1
        greatest = max("abc", key=lambda name: scene.host(name).disk.origin)
        scene.wire.heal()
        await scene.converge()
        for name in "abc":
            assert scene.state(name) == {f"k/{n}": f"{greatest}{n}".encode() for n in range(10)}
        conflicts = [c async for c in scene.client("a").conflicts()]
        assert {c.key for c in conflicts} == {f"k/{n}" for n in range(10)}

    play(scenario)


def test_fault_34_clocks_that_only_know_minutes() -> None:
    """Orders by what was seen, not by time: every overwrite holds."""

    async def scenario(scene: Scene) -> None:
        for host in scene.world.hosts:
            host.clock.quantum_ms = 60_000
        for n in range(30):
            name = "abc"[n % 3]
            await scene.client(name).put("k", f"{n}")
            await all_show(scene, "k", f"{n}")
        assert not [c async for c in scene.client("a").conflicts()]

    play(scenario)
