"""Faults of disks: errors, no space, stalls, read-only."""

from crdtstate.errors import CrdtstateError
from crdtstate.sim.world import Host
from tests.faults.scene import Scene, play


async def fail_and_recover(scene: Scene, host: Host, reason: str) -> None:
    """Write until the disk refuses; the peer must end, and come back with all acknowledged."""
    client, acknowledged = scene.client(host.name), list[str]()
    refusal: CrdtstateError | None = None
    while refusal is None and len(acknowledged) < 1_000:
        key = f"k/{host.lives}.{len(acknowledged)}"
        try:
            await client.put(key, "v")
            acknowledged.append(key)
        except CrdtstateError as error:
            refusal = error
    assert refusal is not None
    assert refusal.code == "unknown_outcome"  # It may be on the disk: nothing else would be true.
    await scene.until(lambda: not host.is_up, 2, "the process ended")
    assert host.peer is not None
    assert host.peer.driver.failure is not None
    assert reason in host.peer.driver.failure.message
    host.disk_faults.quiet()
    host.disk.full = host.disk.read_only = False
    host.boot()
    await scene.converge()
    assert set(acknowledged) <= scene.state("a").keys()


def test_fault_19_a_sync_that_fails() -> None:
    """Nothing is acknowledged any more, the process ends, and what was durable comes back."""

    async def scenario(scene: Scene) -> None:
        b = scene.host("b")
        for _ in range(5):
            b.disk_faults.error = 0.1
            await fail_and_recover(scene, b, "input/output error")
            await scene.sleep(4)

    play(scenario)


def test_fault_20_no_space_left() -> None:
    """The same; the other peers go on."""

    async def scenario(scene: Scene) -> None:
        b = scene.host("b")
        b.disk_faults.full = 0.05
        await fail_and_recover(scene, b, "no space left")
        await scene.client("a").put("others", "go on")
        await scene.converge()

    play(scenario)


def test_fault_21_a_disk_that_is_full_for_a_day() -> None:
    """The others do not notice; started again and again, the peer resumes when there is space."""

    async def scenario(scene: Scene) -> None:
        b, a = scene.host("b"), scene.client("a")
        b.disk.full = True
        for n in range(24):
            await a.put(f"k/{n}", "v")
            for _ in range(6):
                if not b.is_up:
                    b.boot()
                await scene.sleep(10)
        b.disk.full = False
        if not b.is_up:
            b.boot()
        await scene.converge()
        assert len(scene.state("b")) == 24
        await scene.client("b").put("b", "writes")
        await scene.converge()

    play(scenario)


def test_fault_22_a_disk_that_stalls_for_ten_seconds() -> None:
    """Writes there fail at their deadline, reads go on, and nobody is taken for dead."""

    async def scenario(scene: Scene) -> None:
        b = scene.client("b")
        await b.put("before", "1")
        faults = scene.host("b").disk_faults
        faults.sync_s = (10.0, 10.0)
        error = await scene.refusal(b.put("slow", "1"))
        assert error.code == "unknown_outcome"
        faults.sync_s = (0.0003, 0.004)
        assert await b.get_value("before") == b"1"
        assert all(scene.alive_to(n) == {"a", "b", "c"} for n in "abc")
        await scene.sleep(10)
        await b.put("after", "1")
        await scene.converge()
        assert "slow" in scene.state("a")  # Unknown is not undone.

    play(scenario)


def test_fault_23_a_file_system_that_turns_read_only() -> None:
    """Fail-stop with the reason; nothing acknowledged is lost."""

    async def scenario(scene: Scene) -> None:
        b = scene.host("b")
        await scene.client("b").put("before", "1")
        b.disk.read_only = True
        await fail_and_recover(scene, b, "read-only file system")
        assert "before" in scene.state("b")

    play(scenario)
