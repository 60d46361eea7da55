"""What is measured, one function a question. Each returns rows: name, value, target, met or not."""

import socket
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import aiohttp
import uvloop

from bench.peers import Peers, load
from crdtstate.client import Client

ROUNDS = 3
SECONDS = 3.0
VALUE_BYTES = 256


class Row(NamedTuple):
    """One figure; `met` is None when there is no target for it."""

    name: str
    value: str
    target: str = ""
    met: bool | None = None


Say = Callable[[str], None]


@contextmanager
def yardstick() -> Iterator[str]:
    """Run the empty aiohttp handler; give its URL."""
    port = 18_999
    process = subprocess.Popen([sys.executable, "-m", "bench.yardstick", str(port)])
    try:
        deadline = time.monotonic() + 60
        while not _listens(port):
            if process.poll() is not None or time.monotonic() > deadline:
                raise SystemExit(f"the yardstick does not listen on port {port}")
            time.sleep(0.05)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.kill()
        process.wait()


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def puts(path: Path, say: Say) -> list[Row]:
    """Durable acknowledged puts over three peers, beside the yardstick, interleaved, medians."""
    rows: list[Row] = []
    with yardstick() as empty, Peers(path) as peers:
        for clients in (1, 64, 256):
            ours: list[dict[str, float]] = []
            theirs: list[dict[str, float]] = []
            cpu_us: list[float] = []
            bytes_out: list[float] = []
            for n in range(ROUNDS):
                say(f"puts, {clients} clients, round {n + 1} of {ROUNDS}")
                theirs.append(load(empty, clients=clients, seconds=SECONDS))
                cpu_s, sent = peers.cpu_s(), peers.bytes_out()
                one = load(peers.urls(), clients=clients, seconds=SECONDS)
                peers.wait(peers.is_converged)
                cpu_us.append((peers.cpu_s() - cpu_s) / one["requests"] * 1e6)
                bytes_out.append((peers.bytes_out() - sent) / one["requests"])
                ours.append(one)
            rows += _put_rows(clients, ours, theirs, cpu_us)
            if clients == 64:
                rows.append(_bytes_row(statistics.median(bytes_out)))
    return rows


def many_operations(path: Path, say: Say) -> list[Row]:
    """Transactions of 128 puts, over three peers."""
    rates: dict[int, float] = {}
    with Peers(path) as peers:
        load(peers.urls(), clients=16, seconds=1.0, operations=128)
        for clients in (1, 16):
            say(f"128 operations a request, {clients} clients")
            found = [
                load(peers.urls(), clients=clients, seconds=SECONDS, operations=128)["per_s"]
                for _ in range(ROUNDS)
            ]
            rates[clients] = statistics.median(found)
    return [
        Row("128 operations a request, 1 client", f"{rates[1]:,.0f} operations/s"),
        Row("128 operations a request, 16 clients", f"{rates[16]:,.0f} operations/s", "60,000",
            rates[16] >= 60_000),
    ]  # fmt: skip


def _put_rows(
    clients: int,
    ours: list[dict[str, float]],
    theirs: list[dict[str, float]],
    cpu_us: list[float],
) -> list[Row]:
    def middle(found: list[dict[str, float]], what: str) -> float:
        return statistics.median(one[what] for one in found)

    rate, empty = middle(ours, "per_s"), middle(theirs, "per_s")
    ratio = statistics.median(o["per_s"] / t["per_s"] for o, t in zip(ours, theirs, strict=True))
    aim = ("half of it", ratio >= 0.5) if clients == 64 else ("", None)
    return [
        Row(f"puts, {clients} clients", f"{rate:,.0f}/s, {ratio:.2f} of aiohttp's {empty:,.0f}/s",
            *aim),
        Row(f"  latency, {clients} clients",
            f"p50 {middle(ours, 'p50_ms'):.2f} ms, p99 {middle(ours, 'p99_ms'):.2f} ms"),
        Row(f"  CPU of all three peers, {clients} clients",
            f"{statistics.median(cpu_us):.0f} us a put"),
    ]  # fmt: skip


def _bytes_row(per_put: float) -> Row:
    # The least that must travel: key, value and stamp, to each of two peers.
    floor = 2 * (len("bench/12/123") + VALUE_BYTES + 8)
    ratio = per_put / floor
    return Row("bytes between peers, 64 clients", f"{per_put:.0f} a put, {ratio:.2f} of the floor",
               "1.3", ratio <= 1.3)  # fmt: skip


def visibility(path: Path, say: Say) -> list[Row]:
    """Time from sending a put to one peer until a watcher of another has the line."""
    say("visibility, idle")
    with Peers(path) as peers:
        times = uvloop.run(_watch_and_put(peers))
    p50, p99 = times[len(times) // 2], times[int(len(times) * 0.99)]
    return [
        Row("visible on both others, idle", f"p50 {p50:.2f} ms, p99 {p99:.2f} ms",
            "p50 5 ms", p50 <= 5.0)
    ]  # fmt: skip


async def _watch_and_put(peers: Peers) -> list[float]:
    import asyncio

    urls = peers.urls().split(",")
    times: list[float] = []
    async with aiohttp.ClientSession() as session:
        watches = [await session.get(f"{url}/watch?prefix=v/") for url in urls[1:]]
        for watch in watches:
            await watch.content.readline()
        for n in range(300):
            await asyncio.sleep(0.02)
            began = time.perf_counter()

            async def seen(stream: aiohttp.StreamReader, key: str) -> None:
                while key.encode() not in await stream.readline():
                    pass

            waits = [asyncio.create_task(seen(w.content, f'"v/{n}"')) for w in watches]
            async with session.put(f"{urls[0]}/kv/v/{n}", data=b"x" * VALUE_BYTES):
                await asyncio.gather(*waits)
            times.append((time.perf_counter() - began) * 1000)
        for watch in watches:
            watch.close()
    return sorted(times)


def catching_up(path: Path, say: Say) -> list[Row]:
    """One peer cut from two others, 10,000 changes on each side, then the heal."""
    found: list[float] = []
    with Peers(path) as peers:
        for n in range(ROUNDS):
            say(f"catch-up, round {n + 1} of {ROUNDS}")
            for other in "bc":
                peers.clients["a"].cut(other)
            peers.wait(lambda: peers.status("a")["linked"] == [])
            for side, prefix in (("a", "left"), ("b", "right")):
                load(peers.urls(side), clients=64, count=10_000, prefix=f"{prefix}{n}/")
            peers.wait(lambda: peers.status("b")["vector"] == peers.status("c")["vector"])
            peers.clients["a"].heal()
            found.append(peers.wait(peers.is_converged))
    took = statistics.median(found)
    return [
        Row("catch-up, 10,000 changes a side", f"{took:.2f} s until equal vectors", "1 s",
            took <= 1.0)
    ]  # fmt: skip


def many_keys(path: Path, say: Say, count: int = 1_000_000) -> list[Row]:
    """Memory and restart of one peer with many keys of 256 bytes."""
    with Peers(path, 1) as peers:
        before = peers.rss_bytes("a")
        _fill(peers, count, say)
        rss = peers.rss_bytes("a") - before
        peers.stop("a")
        say("restart")
        began = time.perf_counter()
        peers.start("a")
        assert peers.clients["a"].get_value(f"m/{count - 1:07d}") is not None
        restart_s = time.perf_counter() - began
        again = peers.rss_bytes("a") - before
    return [
        Row(f"memory, {count:,} keys of 256 B", f"{rss / count:.0f} B of RSS a key, "
            f"{again / count:.0f} after a restart", "400 B", rss <= 400 * count),
        Row(f"restart, {count:,} keys", f"{restart_s:.2f} s until it is ready and a key is read",
            "2 s", restart_s <= 2.0),
    ]  # fmt: skip


def _fill(peers: Peers, count: int, say: Say) -> None:
    done = [0] * 4
    value = "v" * VALUE_BYTES

    def work(part: int) -> None:
        with Client(peers.urls(), timeout=60.0) as client:
            for first in range(part * 500, count, 500 * len(done)):
                with client.transaction() as txn:
                    for n in range(first, min(first + 500, count)):
                        txn.put(f"m/{n:07d}", value)
                done[part] += 500

    threads = [threading.Thread(target=work, args=(part,)) for part in range(len(done))]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        say(f"filling: {min(sum(done), count):,} of {count:,} keys")
        time.sleep(0.5)
