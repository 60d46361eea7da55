"""Faults of the network: loss, doubling, delay, cuts, clogs, dead ends, slow readers, damage."""

from tests.faults.scene import Scene, play


async def write_everywhere(scene: Scene, rounds: int, pause_s: float = 0.2) -> None:
    """Write on each host in turn, to its own key, to a common key and to a common counter."""
    for n in range(rounds):
        for host in scene.world.hosts:
            client = scene.client(host.name)
            await client.put(f"{host.name}/{n}", f"{n}")
            await client.put("common", f"{host.name}{n}")
            await client.counter("count").add(1)
        await scene.sleep(pause_s)


def assert_all_there(scene: Scene, rounds: int) -> None:
    hosts = scene.world.hosts
    for host in hosts:
        state = scene.state(host.name)
        assert state["count"] == rounds * len(hosts)
        for other in hosts:
            assert all(f"{other.name}/{n}" in state for n in range(rounds))


def test_fault_01_two_of_five_packets_lost() -> None:
    """Converges while the loss goes on, and the traffic stays bounded."""

    async def scenario(scene: Scene) -> None:
        scene.wire.weather.loss = 0.4
        await write_everywhere(scene, 10)
        await scene.converge(30)
        assert_all_there(scene, 10)
        before = scene.wire.bytes_sent
        await scene.sleep(20)
        assert (scene.wire.bytes_sent - before) / 20 / 3 < 4_000

    play(scenario)


def test_fault_02_each_packet_twice() -> None:
    """Nothing counts twice."""

    async def scenario(scene: Scene) -> None:
        scene.wire.weather.duplicate = 1.0
        await write_everywhere(scene, 10)
        await scene.converge()
        assert_all_there(scene, 10)

    play(scenario)


def test_fault_03_packets_up_to_thirty_seconds_late_and_out_of_order() -> None:
    """Nobody's death becomes final, and all is there."""

    async def scenario(scene: Scene) -> None:
        scene.wire.weather.tail = 0.5
        await write_everywhere(scene, 30, pause_s=1.0)
        await scene.converge(40)
        assert_all_there(scene, 30)
        scene.wire.weather.tail = 0.0
        await scene.until(lambda: all(len(scene.alive_to(n)) == 3 for n in "abc"), 60)

    play(scenario)


def test_fault_04_two_sides_cut_for_two_hours() -> None:
    """Both sides take writes, and are one state soon after the heal."""

    async def scenario(scene: Scene) -> None:
        a, c = scene.client("a"), scene.client("c")
        scene.wire.cut |= scene.paths("c", "a", "b")
        for n in range(24):
            await a.put(f"left/{n}", "1")
            await c.put(f"right/{n}", "1")
            await a.counter("count").add(1)
            await c.counter("count").add(1)
            await scene.sleep(300)
        assert "right/0" not in scene.state("a")
        scene.wire.heal()
        await scene.converge()
        for name in "abc":
            state = scene.state(name)
            assert state["count"] == 48
            assert sum(key.startswith(("left/", "right/")) for key in state) == 48

    play(scenario)


def test_fault_05_one_direction_of_one_path_cut_for_good() -> None:
    """Nobody is dead for good to anybody, and what either end writes reaches the other."""

    async def scenario(scene: Scene) -> None:
        scene.wire.cut |= scene.paths("a", "b", both=False)
        await scene.sleep(120)
        for n in range(5):
            await scene.client("a").put(f"a/{n}", "1")
            await scene.client("b").put(f"b/{n}", "1")
            await scene.sleep(10)
        await scene.converge(30)
        seen = [scene.alive_to(name) == {"a", "b", "c"} for name in "abc"]
        assert all(seen), [scene.alive_to(name) for name in "abc"]

    play(scenario)


def test_fault_06_paths_clogged_and_let_go_in_another_order() -> None:
    """What was held back and comes all at once starts no storm."""

    async def scenario(scene: Scene) -> None:
        rng = scene.world.rng("swizzle")
        paths = sorted(scene.paths("a", "b", "c") | scene.paths("b", "c"))
        for _ in range(5):
            rng.shuffle(paths)
            for path in paths:
                scene.wire.clogged.setdefault(path, [])
                await write_everywhere(scene, 1, 0.3)
            rng.shuffle(paths)
            for path in paths:
                scene.wire.unclog(path)
                await scene.sleep(rng.uniform(0, 1))
        await scene.converge()
        before = scene.wire.bytes_sent
        await scene.sleep(10)
        assert (scene.wire.bytes_sent - before) / 10 / 3 < 2_000

    play(scenario)


def test_fault_07_a_peer_without_power_leaves_half_open_links() -> None:
    """Detected by the deadline: the link is closed, the member dead, its pipes freed."""

    async def scenario(scene: Scene) -> None:
        c = scene.host("c")
        c.kill(power_lost=True, why="power cut")
        began = scene.world.loop.time()
        await scene.until(
            lambda: all("c" not in scene.alive_to(n) for n in "ab"), 30, "c is dead to a and b"
        )
        for name in "ab":
            peer, network = scene.host(name).peer, scene.host(name).network
            assert peer is not None
            assert network is not None
            while "c" in peer.mesh.linked():
                await scene.sleep(0.5)
                assert scene.world.loop.time() - began < 30
            assert not [p for p in network.pipes.values() if p.remote[0] == c.address]
        await scene.client("a").put("k", "v")
        scene.boot("c")
        await scene.converge()

    play(scenario)


def test_fault_08_a_peer_that_reads_one_byte_a_second() -> None:
    """Its buffer fills and no other's; it gets all of it once it reads again."""

    async def scenario(scene: Scene) -> None:
        for path in scene.paths("a", "c", both=False) | scene.paths("b", "c", both=False):
            scene.wire.rate[path] = 1.0
        a = scene.client("a")
        for n in range(120):
            await a.put(f"big/{n}", "x" * 50_000)
            await scene.sleep(0.1)
        await scene.until(lambda: len(scene.state("b")) == 120, 5, "b has all")
        assert len(scene.state("c")) < 20
        scene.wire.heal()
        await scene.converge(60)
        assert len(scene.state("c")) == 120

    play(scenario)


def test_fault_09_bits_flipped_on_the_way() -> None:
    """Dropped, counted, and repaired: nothing damaged is ever believed."""

    async def scenario(scene: Scene) -> None:
        scene.wire.weather.corrupt = 0.05
        await write_everywhere(scene, 20)
        await scene.sleep(20)
        scene.wire.weather.corrupt = 0.0
        await scene.converge()
        assert_all_there(scene, 20)
        assert scene.wire.stats["corrupted"] > 20
        counted = sum(
            n for name in "abc" for what, n in scene.counters(name).items() if "rejected" in what
        )
        assert counted > 10, scene.counters("a")

    play(scenario)


def test_fault_40_what_a_delta_depends_on_is_missing() -> None:
    """Held within its bound, released by one pull; a reader never sees an effect alone."""

    async def scenario(scene: Scene) -> None:
        a, b = scene.client("a"), scene.client("b")
        scene.wire.cut |= scene.paths("a", "c")
        for n in range(50):
            await a.put(f"cause/{n}", "1")
            await scene.client("b").wait(a.token, 2)
            await b.put(f"effect/{n}", "1")
            state = scene.state("c")
            assert all(f"cause/{k[7:]}" in state for k in state if k.startswith("effect/"))
            assert scene.replica("c").store.held_count <= 100
        scene.wire.heal()
        await scene.converge()
        assert len(scene.state("c")) == 100
        assert scene.replica("c").store.held_count == 0

    play(scenario)


def test_fault_41_a_valid_packet_is_sent_again_ten_thousand_times() -> None:
    """No change of any state, no new member, and nobody is held up."""

    async def scenario(scene: Scene) -> None:
        caught: list[tuple[tuple[str, int], tuple[str, int], bytes]] = []
        send = scene.wire.send_datagram

        def tapped(source: tuple[str, int], target: tuple[str, int], data: bytes) -> None:
            caught.append((source, target, data))
            send(source, target, data)

        scene.wire.send_datagram = tapped  # type: ignore[method-assign]
        await write_everywhere(scene, 3)
        await scene.converge()
        recorded = len(caught)
        vector = dict(scene.replica("a").shown.vector)
        for n in range(10_000):
            send(*caught[n % recorded])
            if n % 1_000 == 0:
                await scene.sleep(0.5)
        await scene.client("b").put("still", "here")
        await scene.converge()
        now = scene.replica("a").shown.vector
        assert sum(now.values()) == sum(vector.values()) + 1
        assert all(scene.alive_to(name) == {"a", "b", "c"} for name in "abc")

    play(scenario)


def test_fault_64_all_clients_try_again_after_a_stall_of_ten_seconds() -> None:
    """Within ten seconds of its end writes are as quick as before."""

    async def scenario(scene: Scene) -> None:
        for host in scene.world.hosts:
            host.pause()
        await scene.sleep(10)
        for host in scene.world.hosts:
            host.resume()
        began = scene.world.loop.time()
        await scene.sleep(1)
        await write_everywhere(scene, 10, 0.1)
        assert scene.world.loop.time() - began < 10
        await scene.converge()

    play(scenario)


def test_fault_65_a_peer_joins_with_an_empty_disk_at_full_load() -> None:
    """It gets everything, and the others answer as quickly as before."""

    async def scenario(scene: Scene) -> None:
        a, slowest = scene.client("a"), 0.0
        for n in range(400):
            await a.put(f"k/{n}", "x" * 2_000)
        scene.world.add_host("d")
        scene.boot("d")
        for n in range(200):
            began = scene.world.loop.time()
            await a.put(f"k/{n}", "y" * 2_000)
            slowest = max(slowest, scene.world.loop.time() - began)
        assert slowest < 0.1
        await scene.converge()
        assert len(scene.state("d")) == 400

    play(scenario)
