"""Faults of processes: kills, power cuts, pauses, stops, starts together, and identities."""

from crdtstate.errors import CrdtstateError
from crdtstate.sim.world import Host
from tests.faults.scene import Scene, play


async def keep_writing(scene: Scene, name: str, count: int) -> list[str]:
    """Write until done or refused; return the keys that were acknowledged."""
    acknowledged: list[str] = []
    lives = scene.host(name).lives
    for n in range(count):
        key = f"{name}/{lives}.{n}"
        try:
            await scene.client(name).put(key, "v")
        except CrdtstateError:
            break
        acknowledged.append(key)
    return acknowledged


def lose_disk(scene: Scene, host: Host) -> None:
    """What only this disk had is gone, and the operator knows."""
    host.kill(power_lost=True, why="disk lost")
    scene.world.checkers.disk_lost(host)


def test_fault_11_power_cut_at_any_write_to_the_disk() -> None:
    """What was acknowledged is there after each of forty restarts; no dot is used twice."""

    async def scenario(scene: Scene) -> None:
        b, acknowledged, cuts = scene.host("b"), list[str](), 0
        for _ in range(40):
            b.disk_faults.cut = 0.2
            acknowledged += await keep_writing(scene, "b", 40)
            b.disk_faults.cut = 0.0
            await scene.sleep(0.5)
            if not b.is_up:
                cuts += 1
                b.boot()
                await scene.until(lambda: b.serving is not None, 5)
            await scene.sleep(3)
            assert set(acknowledged) <= scene.state("b").keys()
        await scene.converge()
        assert set(acknowledged) <= scene.state("a").keys()
        assert cuts > 20

    play(scenario)


def test_fault_12_power_cut_of_all_peers_at_once() -> None:
    """Everything acknowledged is everywhere after all have started again."""

    async def scenario(scene: Scene) -> None:
        acknowledged: list[str] = []
        for _ in range(5):
            for name in "abc":
                acknowledged += await keep_writing(scene, name, 5)
            for host in scene.world.hosts:
                host.kill(power_lost=True, why="power cut of the site")
            await scene.sleep(3)
            scene.boot(*"abc")
            await scene.converge()
            assert all(set(acknowledged) <= scene.state(name).keys() for name in "abc")
            await scene.sleep(4)

    play(scenario)


def test_fault_13_power_cuts_during_recovery() -> None:
    """A peer that never gets to finish its start loses nothing."""

    async def scenario(scene: Scene) -> None:
        acknowledged = await keep_writing(scene, "b", 20)
        b = scene.host("b")
        for n in range(30):
            b.kill(power_lost=True, why="power cut in a start")
            b.boot()
            await scene.sleep(0.002 * n)
        await scene.converge()
        assert set(acknowledged) <= scene.state("b").keys()

    play(scenario)


def test_fault_27_a_disk_is_lost() -> None:
    """The peer comes back empty, under a new identity, and gets everything from the others."""

    async def scenario(scene: Scene) -> None:
        await keep_writing(scene, "b", 20)
        await scene.converge()
        b = scene.host("b")
        before = b.disk.origin
        lose_disk(scene, b)
        b.disk = type(b.disk)(previous=b.disk.previous)
        b.boot()
        await scene.converge()
        assert b.disk.origin != before
        assert len(scene.state("b")) == 20
        await scene.client("b").put("new", "life")
        await scene.converge()

    play(scenario)


def test_fault_25_a_peer_starts_from_an_old_backup() -> None:
    """New identity, no dot used twice, what was deleted since stays deleted."""

    async def scenario(scene: Scene) -> None:
        b = scene.client("b")
        await b.put("deleted", "1")
        await b.put("kept", "1")
        await scene.converge()
        host = scene.host("b")
        image = host.disk.image("restored from a backup")
        await b.delete("deleted")
        await b.put("later", "1", w=3)
        await scene.converge()
        before = host.disk.origin
        lose_disk(scene, host)
        host.disk = image
        host.boot()
        await scene.converge()
        assert host.disk.origin != before
        assert all(scene.state(n).keys() == {"kept", "later"} for n in "abc")

    play(scenario)


def test_fault_26_a_copied_disk_runs_beside_its_original() -> None:
    """The copy is somebody else before its first write, so both write and nothing collides."""

    async def scenario(scene: Scene) -> None:
        await keep_writing(scene, "b", 5)
        copy = scene.world.add_host("d")
        copy.disk = scene.host("b").disk.image("the directory was copied")
        scene.boot("d")
        await scene.sleep(5)
        for name in "bd":
            assert len(await keep_writing(scene, name, 5)) == 5
        await scene.converge()
        assert copy.disk.origin != scene.host("b").disk.origin
        assert len(scene.state("a")) == 10  # Five keys of each.

    play(scenario)


def test_fault_28_a_peer_is_away_for_ninety_days() -> None:
    """It catches up though its past is forgotten; its writes come, nothing deleted comes back."""

    def forgetful(host: Host, fields: dict[str, object]) -> None:
        del host
        fields["event_entries_max"] = 4

    async def scenario(scene: Scene) -> None:
        a, c = scene.client("a"), scene.client("c")
        for n in range(20):
            await a.put(f"k/{n}", "1")
        await scene.converge()
        scene.wire.cut |= scene.paths("c", "a", "b")
        await c.put("of c", "1")
        scene.host("c").kill(power_lost=True, why="switched off")
        for n in range(20):
            await a.delete(f"k/{n}")
        await a.put("of a", "1")
        away_ms = 90 * 86_400_000
        for host in scene.world.hosts:
            host.clock.offset_ms += away_ms
        scene.wire.heal()
        scene.boot("c")
        await scene.converge()
        assert all(scene.state(n).keys() == {"of a", "of c"} for n in "abc")

    play(scenario, prepare=lambda world: setattr(world, "configure", forgetful))


def test_fault_35_a_process_stands_still_for_a_minute() -> None:
    """It is declared dead, comes back by itself, and no death stays."""

    async def scenario(scene: Scene) -> None:
        c = scene.host("c")
        c.pause()
        await scene.until(lambda: "c" not in scene.alive_to("a"), 40, "c is dead to a")
        await scene.client("a").put("meanwhile", "1")
        await scene.sleep(25)
        c.resume()
        await scene.converge()
        await scene.until(
            lambda: all(scene.alive_to(n) == {"a", "b", "c"} for n in "abc"), 10, "all alive"
        )

    play(scenario)


def test_fault_36_an_event_loop_that_is_blocked_for_five_seconds() -> None:
    """Whoever was deaf accuses nobody: the others never see each other dead."""

    async def scenario(scene: Scene) -> None:
        for _ in range(4):
            scene.host("c").pause()
            await scene.sleep(5)
            scene.host("c").resume()
            for _ in range(40):
                await scene.sleep(0.25)
                assert {"a", "b"} <= scene.alive_to("a") & scene.alive_to("b")
                assert {"a", "b"} <= scene.alive_to("c")
        await scene.converge()

    play(scenario)


def test_fault_66_all_peers_start_at_once() -> None:
    """Seven that start in one instant find each other, agree, and fall silent."""

    async def scenario(scene: Scene) -> None:
        await scene.converge()
        assert all(scene.alive_to(n) == set("abcdefg") for n in "abcdefg")
        for name in "abcdefg":
            await keep_writing(scene, name, 3)
        await scene.converge()
        for host in scene.world.hosts:
            host.kill()
        scene.boot(*"abcdefg")
        await scene.converge()
        await scene.sleep(10)
        before = scene.wire.bytes_sent
        await scene.sleep(10)
        assert (scene.wire.bytes_sent - before) / 10 / 7 < 2_000

    play(scenario, "abcdefg")


def test_fault_73_told_to_stop_in_the_middle_of_writes() -> None:
    """It stops in time, and what it acknowledged is there after the restart."""

    async def scenario(scene: Scene) -> None:
        acknowledged: list[str] = []
        b = scene.host("b")
        for _ in range(6):
            writing = scene.world.loop.start(None, keep_writing(scene, "b", 10_000))
            await scene.sleep(1)
            began = scene.world.loop.time()
            await b.stop()
            assert scene.world.loop.time() - began < 2
            acknowledged += await writing
            assert b.disk.clean
            b.boot()
            await scene.until(lambda: b.serving is not None, 5)
            await scene.sleep(1)
            assert set(acknowledged) <= scene.state("b").keys()
        await scene.converge()
        assert set(acknowledged) <= scene.state("a").keys()
        assert len(acknowledged) > 100

    play(scenario)
