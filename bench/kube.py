"""Measure the resource API of real peers: lists, watches, and what idle watches cost.

    python -m bench.kube [lists watches kubectl idle] [--out FILE]

About a minute. Prints a table, and writes the rows to bench/results/kube-DATE.json.
"""

import argparse
import asyncio
import json
import os
import statistics
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import aiohttp
import psutil
import uvloop

from bench.measures import Row, Say, yardstick
from bench.peers import Peers
from bench.run import machine, measure, write_figures
from crdtstate.cli.kubeconfig import write_kubeconfig

ROOT = Path(__file__).resolve().parents[1]
MAPS = "/api/v1/namespaces/default/configmaps"
MERGE = {"Content-Type": "application/merge-patch+json"}
OBJECTS, WRITERS, ROUNDS = 10_000, 16, 5
WRITES, PAUSE_S = 300, 0.02
IDLE, IDLE_S = 1_000, 15.0
LIST_S_MAX, SAME_MS_MAX, OTHER_MS_MAX, IDLE_BYTES_MAX = 1.5, 5.0, 10.0, 200 << 20
IDLE_CPU_MAX = 0.01  # Of one core.


def config_map(name: str) -> dict[str, Any]:
    """Return a ConfigMap as they are: five values, two labels."""
    data = {f"key-{n}": f"value {n} of {name}" for n in range(5)}
    return {"metadata": {"name": name, "labels": {"app": "bench", "tier": "x"}}, "data": data}


# -- lists -------------------------------------------------------------------------------------


def lists(path: Path, say: Say) -> list[Row]:
    """The whole list, from a peer that has never encoded it, and again."""
    with Peers(path) as peers:
        say(f"creating {OBJECTS:,} ConfigMaps")
        created_s = uvloop.run(_fill(peers))
        peers.wait(peers.is_converged)
        say("listing")
        cold = _list(peers, "b")
        warm = [_list(peers, "b") for _ in range(ROUNDS)]
        peers.stop("c")
        began = time.perf_counter()
        peers.start("c")
        ready_s = time.perf_counter() - began
        restarted = _list(peers, "c")
    warm_s, warm_cpu_s = (statistics.median(one[n] for one in warm) for n in range(2))
    target = f"{LIST_S_MAX} s"
    return [
        Row(f"create {OBJECTS:,} ConfigMaps, {WRITERS} clients", f"{OBJECTS / created_s:,.0f}/s"),
        Row(f"list {OBJECTS:,}, cold",
            f"{cold[0]:.2f} s, {cold[1]:.2f} s of CPU, {cold[2] / 1e6:.1f} MB",
            target, cold[0] <= LIST_S_MAX),
        Row(f"list {OBJECTS:,}, warm", f"{warm_s:.2f} s, {warm_cpu_s:.2f} s of CPU",
            target, warm_s <= LIST_S_MAX),
        Row(f"list {OBJECTS:,}, first after a restart",
            f"{restarted[0]:.2f} s, {restarted[1]:.2f} s of CPU; ready {ready_s:.2f} s after start",
            target, restarted[0] <= LIST_S_MAX),
    ]  # fmt: skip


async def _fill(peers: Peers) -> float:
    url = peers.urls("a") + MAPS
    names = iter(range(OBJECTS))

    async def work(session: aiohttp.ClientSession) -> None:
        for n in names:
            async with session.post(url, json=config_map(f"m{n:05}")) as answer:
                assert answer.status == 201, await answer.text()

    began = time.perf_counter()
    async with aiohttp.ClientSession() as session, asyncio.TaskGroup() as group:
        for _ in range(WRITERS):
            group.create_task(work(session))
    return time.perf_counter() - began


def _list(peers: Peers, name: str) -> tuple[float, float, int]:
    """Return the seconds until the last byte, the peer's CPU seconds, and the bytes."""
    process = psutil.Process(peers.children[name].process.pid)
    before = process.cpu_times()
    took, size = uvloop.run(_read_list(peers.urls(name)))
    after = process.cpu_times()
    return took, after.user + after.system - before.user - before.system, size


async def _read_list(url: str) -> tuple[float, int]:
    began = time.perf_counter()
    async with aiohttp.ClientSession() as session, session.get(url + MAPS) as answer:
        data = await answer.read()
    took = time.perf_counter() - began
    assert len(json.loads(data)["items"]) == OBJECTS
    return took, len(data)


# -- watches -----------------------------------------------------------------------------------


def watches(path: Path, say: Say) -> list[Row]:
    """From sending a write to a peer until a watcher has it: on that peer, and on another."""
    say("watches")
    with yardstick() as empty, Peers(path) as peers:
        found = uvloop.run(_watch_both(peers, empty))
    return [
        _latency("an empty aiohttp handler, in turns", found["empty"]),
        _latency("watch, same peer", found["a"], SAME_MS_MAX),
        _latency("watch, another peer", found["b"], OTHER_MS_MAX),
        _latency("the write's own answer", found["answer"]),
    ]


def _latency(name: str, times: list[float], p50_ms_max: float | None = None) -> Row:
    found = sorted(times)
    p50, p99 = found[len(found) // 2], found[int(len(found) * 0.99)]
    text = f"p50 {p50:.2f} ms, p99 {p99:.2f} ms, least {found[0]:.2f} ms"
    if p50_ms_max is None:
        return Row(name, text)
    return Row(name, text, f"p50 {p50_ms_max:.0f} ms", p50 <= p50_ms_max)


async def _write(session: aiohttp.ClientSession, url: str, n: int) -> None:
    change = json.dumps({"data": {"n": str(n)}})
    async with session.patch(f"{url}{MAPS}/probe", data=change, headers=MERGE) as answer:
        assert answer.status == 200, await answer.text()


async def _watch_both(peers: Peers, empty: str) -> dict[str, list[float]]:
    urls = {name: peers.urls(name) for name in "ab"}
    found: dict[str, list[float]] = {"a": [], "b": [], "answer": [], "empty": []}
    timeout = aiohttp.ClientTimeout(total=None)
    async with aiohttp.ClientSession(timeout=timeout) as session:
        async with session.post(urls["a"] + MAPS, json=config_map("probe")) as answer:
            assert answer.status == 201
        query = "?watch=1&fieldSelector=metadata.name=probe"
        streams = {name: await session.get(url + MAPS + query) for name, url in urls.items()}
        for stream in streams.values():
            await stream.content.readline()
        for n in range(WRITES):
            await asyncio.sleep(PAUSE_S)
            began = time.perf_counter()
            async with session.put(f"{empty}/kv/x", data=b"x") as answer:
                await answer.read()
            found["empty"].append((time.perf_counter() - began) * 1000)
            began = time.perf_counter()

            async def seen(name: str, n: int, began: float) -> None:
                while f'"n":"{n}"'.encode() not in await streams[name].content.readline():
                    pass
                found[name].append((time.perf_counter() - began) * 1000)

            waits = [asyncio.create_task(seen(name, n, began)) for name in streams]
            await _write(session, urls["a"], n)
            found["answer"].append((time.perf_counter() - began) * 1000)
            await asyncio.gather(*waits)
        for stream in streams.values():
            stream.close()
    return found


# -- kubectl -----------------------------------------------------------------------------------


def kubectl(path: Path, say: Say) -> list[Row]:
    """The same with `kubectl get -w` as the watcher, until its line is in our pipe."""
    program = ROOT / ".venv" / "clients" / "kubectl"
    if not program.exists():
        return [Row("kubectl get -w", "not measured: make clients fetches kubectl")]
    say("kubectl get -w")
    with Peers(path) as peers:
        config = path / "kubeconfig"
        write_kubeconfig(config, {name: peers.urls(name) for name in "ab"})
        found = {name: _follow(peers, program, config, name) for name in "ab"}
    return [
        _latency("kubectl get -w, same peer", found["a"], SAME_MS_MAX),
        _latency("kubectl get -w, another peer", found["b"], OTHER_MS_MAX),
    ]


def _follow(peers: Peers, program: Path, config: Path, name: str) -> list[float]:
    """Write to a, read what kubectl prints of the peer of this name."""
    uvloop.run(_ensure(peers))
    command = [str(program), "--kubeconfig", str(config), "--context", name, "get", "configmap",
               "probe", "-w", "-o", 'jsonpath={.data.n}{"\\n"}']  # fmt: skip
    env = {"HOME": str(config.parent), "PATH": os.environ["PATH"]}
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=env)
    at: dict[str, float] = {}
    first = threading.Event()

    def read() -> None:
        assert process.stdout is not None
        for line in process.stdout:
            at[line.strip()] = time.perf_counter()
            first.set()

    reader = threading.Thread(target=read)
    reader.start()
    try:
        assert first.wait(60), "kubectl prints nothing"
        sent = uvloop.run(_write_slowly(peers, f"{name}-"))
        last = list(sent)[-1]
        peers.wait(lambda: last in at)
    finally:
        process.kill()
        process.wait()
        reader.join()
    return [(at[n] - began) * 1000 for n, began in sent.items() if n in at]


async def _ensure(peers: Peers) -> None:
    async with aiohttp.ClientSession() as session:
        async with session.post(peers.urls("a") + MAPS, json=config_map("probe")) as answer:
            assert answer.status in (201, 409)
        for name in "ab":
            while True:
                async with session.get(f"{peers.urls(name)}{MAPS}/probe") as answer:
                    if answer.status == 200:
                        break
                await asyncio.sleep(0.05)


async def _write_slowly(peers: Peers, prefix: str) -> dict[str, float]:
    sent: dict[str, float] = {}
    async with aiohttp.ClientSession() as session:
        for n in range(WRITES):
            await asyncio.sleep(PAUSE_S)
            value = f"{prefix}{n}"
            change = json.dumps({"data": {"n": value}})
            sent[value] = time.perf_counter()
            path = f"{peers.urls('a')}{MAPS}/probe"
            async with session.patch(path, data=change, headers=MERGE) as answer:
                assert answer.status == 200
    return sent


# -- idle watches ------------------------------------------------------------------------------


def idle(path: Path, say: Say) -> list[Row]:
    """What a thousand watches that have nothing to say cost one peer."""
    say(f"{IDLE:,} idle watches")
    with Peers(path) as peers:
        uvloop.run(_list_nothing(peers.urls("a")))
        alone = _cpu_share(peers)
        before = peers.rss_bytes("a")
        rss, share, fan_out_s = uvloop.run(_stay_idle(peers))
    more = rss - before
    return [
        Row(f"{IDLE:,} idle watches, memory", f"{more / 2**20:.0f} MB, {more / IDLE:,.0f} B each",
            "200 MB", more <= IDLE_BYTES_MAX),
        Row(f"{IDLE:,} idle watches, CPU",
            f"{share:.2%} of a core, {alone:.2%} without them", f"{IDLE_CPU_MAX:.0%} more",
            share - alone <= IDLE_CPU_MAX),
        Row(f"one write, {IDLE:,} watchers", f"{fan_out_s * 1000:.0f} ms until the last has it"),
    ]  # fmt: skip


async def _list_nothing(url: str) -> None:
    async with aiohttp.ClientSession() as session, session.get(url + MAPS) as answer:
        assert answer.status == 200


def _cpu_share(peers: Peers) -> float:
    process = psutil.Process(peers.children["a"].process.pid)
    before = process.cpu_times()
    time.sleep(IDLE_S)
    after = process.cpu_times()
    return (after.user + after.system - before.user - before.system) / IDLE_S


async def _stay_idle(peers: Peers) -> tuple[int, float, float]:
    """Return resident bytes with the watches open, the share of a core, and one write's time."""
    url = peers.urls("a") + MAPS
    timeout = aiohttp.ClientTimeout(total=None)
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(timeout=timeout, connector=connector) as session:
        async with session.get(url) as answer:
            version = (await answer.json())["metadata"]["resourceVersion"]
        target = f"{url}?watch=1&allowWatchBookmarks=true&resourceVersion={version}"
        streams = [await session.get(target) for _ in range(IDLE)]
        assert all(stream.status == 200 for stream in streams)
        await asyncio.sleep(2.0)
        share = await asyncio.to_thread(_cpu_share, peers)
        rss = peers.rss_bytes("a")
        began = time.perf_counter()
        async with session.post(url, json=config_map("told")) as answer:
            assert answer.status == 201
        await asyncio.gather(*(stream.content.readline() for stream in streams))
        took = time.perf_counter() - began
        for stream in streams:
            stream.close()
    return rss, share, took


MEASURES: dict[str, Callable[[Path, Say], list[Row]]] = {
    "lists": lists, "watches": watches, "kubectl": kubectl, "idle": idle,
}  # fmt: skip


def main() -> None:
    """Run, print and write."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("what", nargs="*", default=[], help=", ".join(MEASURES))
    parser.add_argument("--out", type=Path, help="where the rows go, instead of bench/results")
    given = parser.parse_args()
    unknown = set(given.what) - MEASURES.keys()
    if unknown:
        parser.error(f"no such measure: {', '.join(sorted(unknown))}")
    load = os.getloadavg()[0]
    print(f"{machine()}; load average {load:.1f} at the start")
    rows = measure(MEASURES, given.what)
    name = f"kube-{time.strftime('%Y-%m-%d')}.json"
    out = given.out or ROOT / "bench" / "results" / name
    write_figures(out, rows, load)


if __name__ == "__main__":
    main()
