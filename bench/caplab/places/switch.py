"""EDGE: a switch of the lab's own: tap devices, frames by address, each held up or lost as told.

    python -m bench.caplab.places.switch NAME COUNT DELAY_US LOSS_PERMILLE

It makes the devices, says "ready" and runs until its standard input ends.
"""

import fcntl
import heapq
import os
import random
import select
import struct
import subprocess
import sys
import time
from dataclasses import dataclass
from typing import final

_TUNSETIFF, _TAP_WITHOUT_HEADER = 0x400454CA, 0x1002
_FRAME_BYTES_MAX = 65_536
_HELD_MAX = 20_000


@final
@dataclass(frozen=True)
class Link:
    """What every link between members is like."""

    name: str
    round_trip_ms: float
    loss_permille: int = 0

    def text(self) -> str:
        """As the report says it."""
        lost = f", {self.loss_permille / 10:g} % lost" if self.loss_permille else ""
        return f"{self.round_trip_ms:g} ms round trip{lost}"


LAN, CAMPUS, WAN = Link("LAN", 0.5), Link("campus", 5.0), Link("WAN", 50.0)
LINKS = {link.name: link for link in (LAN, CAMPUS, WAN, Link("lossy LAN", 0.5, 10))}


def _open_tap(name: str) -> int:
    descriptor = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    request = struct.pack("16sH22x", name.encode(), _TAP_WITHOUT_HEADER)
    fcntl.ioctl(descriptor, _TUNSETIFF, request)
    return descriptor


def _serve(name: str, count: int, delay_s: float, loss_permille: int) -> None:
    taps = [_open_tap(f"{name}{n}") for n in range(count)]
    print("ready", flush=True)
    rng = random.Random(1)
    held: list[tuple[float, int, int, bytes]] = []  # due, order, tap, frame
    order = 0
    while True:
        wait_s = max(0.0, held[0][0] - time.monotonic()) if held else None
        ready, _, _ = select.select([*taps, sys.stdin], [], [], wait_s)
        if sys.stdin in ready and not sys.stdin.buffer.read(1):
            return
        for source, tap in enumerate(taps):
            while tap in ready:
                try:
                    frame = os.read(tap, _FRAME_BYTES_MAX)
                except BlockingIOError:
                    break
                except OSError:  # The device is not up yet.
                    break
                if loss_permille and rng.randrange(1000) < loss_permille:
                    continue
                due = time.monotonic() + delay_s
                for target in _targets(frame, source, count):
                    if len(held) < _HELD_MAX:  # As a switch does when its buffer is full.
                        order += 1
                        heapq.heappush(held, (due, order, target, frame))
        now = time.monotonic()
        while held and held[0][0] <= now:
            _, _, target, frame = heapq.heappop(held)
            _write(taps[target], frame)


def _targets(frame: bytes, source: int, count: int) -> list[int]:
    """Members' addresses end with their number plus one; a broadcast goes to all others."""
    if frame[0] & 1:
        return [n for n in range(count) if n != source]
    number = frame[5] - 1
    return [number] if 0 <= number < count else []


def _write(tap: int, frame: bytes) -> None:
    try:
        os.write(tap, frame)
    except OSError:
        return  # Full, or down: the frame is lost, as frames may be.


@final
class SwitchProcess:
    """The switch as a child process."""

    def __init__(self, name: str, count: int, link: Link) -> None:
        self._name = name
        delay_us = int(link.round_trip_ms * 500)
        self._process = subprocess.Popen(
            [sys.executable, "-m", __name__, name, str(count), str(delay_us),
             str(link.loss_permille)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        )  # fmt: skip
        assert self._process.stdout is not None
        if self._process.stdout.readline() != b"ready\n":
            raise OSError("the relay did not start: is /dev/net/tun there?")

    def device(self, member: int) -> str:
        """Return the name of a member's device."""
        return f"{self._name}{member}"

    def close(self) -> None:
        """Stop it."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait()
        self._process.stdout.close()


if __name__ == "__main__":
    _serve(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]) / 1e6, int(sys.argv[4]))
