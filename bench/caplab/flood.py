"""The load that finds what a system can do: N connections, each with one request under way.

A process of its own, one for every system; what it costs itself is in its answer. It reads one
JSON object from standard input (`Flood`) and prints one (`Result`).
"""

import asyncio
import gc
import random
import sys
import time
from functools import partial
from typing import final

import msgspec
import uvloop

from bench.caplab.clients.etcd import EtcdWire
from bench.caplab.clients.interface import Done, Modes, Wire
from bench.caplab.clients.ours import OursWire
from bench.caplab.statistics import distribution
from bench.caplab.systems.names import ETCD

WARM_S = 0.3
"""Left out at the start: connections open, code is met for the first time."""
STALL_S = 15.0
_RETRY_S = 0.01

KINDS = ("put", "get", "get_strong", "many")


@final
class Flood(msgspec.Struct, frozen=True, kw_only=True):
    """One run. `keys` are there already, for gets; puts use the same ones."""

    system: str
    addresses: list[tuple[str, int]]
    kind: str
    clients: int
    seconds: float
    replicas: str = "1"
    keys: int = 10_000
    value_bytes: int = 256
    operations: int = 128
    count: int = 0
    """Stop after so many requests instead of after `seconds`."""


@final
class Result(msgspec.Struct, frozen=True, kw_only=True):
    """What came of it; `distribution` as in `statistics`."""

    requests: int
    total_requests: int
    """With those of the warm-up and of the end."""
    failed: int
    seconds: float
    per_s: float
    """Operations: of a request of many, each."""
    distribution: list[float]
    generator_share: float
    """CPU seconds of this process a second: 1 is a whole core."""


def key_of(number: int) -> str:
    """Return the name of a key: 22 bytes."""
    return f"flood/{number:016d}"


@final
class _Run:
    def __init__(self, spec: Flood) -> None:
        self.spec = spec
        self.latencies_ms: list[float] = []
        self.failed = self.started = 0
        self.going, self.counted_from_s = True, 0.0
        self.open = spec.clients
        self.ended = asyncio.Event()
        rng = random.Random()
        filler = "".join(rng.choices("abcdefghijklmnopqrstuvwxyz0123456789", k=spec.value_bytes))
        self._run, self._filler = f"{rng.randrange(10**6):06d}", filler

    def key(self, number: int) -> str:
        """Return one of the existing keys."""
        return key_of(number % self.spec.keys)

    def value(self, number: int) -> bytes:
        """Return a value that was never written."""
        return f"{self._run}{number:010d}{self._filler[16:]}".encode()

    def is_over(self) -> bool:
        """Whether no further request shall begin."""
        return not self.going or 0 < self.spec.count <= self.started

    def client(self, wire: Wire, number: int) -> None:
        """Run one client: the next request when the last one is answered."""
        spec, count = self.spec, 0
        sent_s = 0.0
        loop = asyncio.get_running_loop()

        def send() -> None:
            nonlocal count, sent_s
            if self.is_over():
                wire.close()
                self.open -= 1
                if not self.open:
                    self.ended.set()
                return
            turn = self.started if spec.count else count * spec.clients + number
            self.started += 1
            count += 1
            sent_s = time.perf_counter()
            self.request(wire, turn, done)

        def done(ok: bool) -> None:
            now = time.perf_counter()
            if now >= self.counted_from_s and self.going:
                if ok:
                    self.latencies_ms.append((now - sent_s) * 1000)
                else:
                    self.failed += 1
            if ok:
                send()
            else:  # Not at once: a closed connection fails without waiting.
                loop.call_later(_RETRY_S, send)

        send()

    def request(self, wire: Wire, turn: int, done: Done) -> None:
        """Send the request of one turn."""
        kind, each = self.spec.kind, self.spec.operations
        if kind == "put":
            wire.put(self.key(turn * 7919), self.value(turn), done)
        elif kind == "many":
            first = turn * each
            wire.many([(self.key(n), self.value(n)) for n in range(first, first + each)], done)
        else:
            wire.get(self.key(turn * 7919), done, strong=kind == "get_strong")


async def run(spec: Flood) -> Result:
    """Load until the time is over or the count is reached."""
    one = _Run(spec)
    make = EtcdWire if spec.system == ETCD else OursWire
    modes = Modes(replicas=spec.replicas, token=False)
    wires: list[Wire] = []
    for number in range(spec.clients):
        wire: Wire = make(*spec.addresses[number % len(spec.addresses)], modes)
        await wire.open()
        wires.append(wire)
    one.counted_from_s = time.perf_counter() + (0 if spec.count else WARM_S)
    for number, wire in enumerate(wires):
        asyncio.get_running_loop().call_soon(partial(one.client, wire, number))
    if not spec.count:
        await asyncio.sleep(WARM_S)
    began_s, used_s = time.perf_counter(), time.process_time()
    if spec.count:
        await one.ended.wait()
    else:
        await asyncio.sleep(spec.seconds)
    took_s, used_s = time.perf_counter() - began_s, time.process_time() - used_s
    one.going = False
    async with asyncio.timeout(STALL_S):
        await one.ended.wait()
    each = spec.operations if spec.kind == "many" else 1
    return Result(
        requests=len(one.latencies_ms),
        total_requests=one.started,
        failed=one.failed,
        seconds=took_s,
        per_s=len(one.latencies_ms) * each / took_s,
        distribution=distribution(one.latencies_ms),
        generator_share=used_s / took_s,
    )


def main() -> None:
    """Read a spec, print a result."""
    spec = msgspec.json.decode(sys.stdin.buffer.read(), type=Flood)
    gc.disable()  # A run is short, and pauses of the generator are not the system's.
    sys.stdout.buffer.write(msgspec.json.encode(uvloop.run(run(spec))))


if __name__ == "__main__":
    main()
