"""The load that finds what a system keeps: a process of its own, one for every system.

It reads a `Panel` from standard input and prints a `History`, both as MessagePack.
"""

import asyncio
import gc
import sys
import time

import msgspec
import uvloop

from bench.caplab.audit import look
from bench.caplab.history import Event, History
from bench.caplab.panel import Client, Panel, now_ms
from bench.caplab.roles import ROLES

AUDIT_S = 20.0
_LINGER = 4
"""How many time-outs an operation under way at the end may still take: some are several calls."""


async def run(panel: Panel) -> History:
    """Run every client until the end, then look at what each member shows."""
    events: list[Event] = []
    clients = [Client(panel, part, n, events) for n, part in enumerate(panel.parts)]
    used_s, began_ms = time.process_time(), now_ms()
    tasks = [asyncio.ensure_future(ROLES[c.part.role](c)) for c in clients]
    await asyncio.sleep(max(0.0, (panel.end_ms - now_ms()) / 1000))
    share = (time.process_time() - used_s) / ((now_ms() - began_ms) / 1000)
    await asyncio.wait(tasks, timeout=panel.timeout_s * _LINGER)
    for task in tasks:
        task.cancel()
    for result in await asyncio.gather(*tasks, return_exceptions=True):
        if isinstance(result, Exception):
            raise result
    for client in clients:
        await client.close()
    return History(events=events, final=await look(panel, AUDIT_S), generator_share=share)


def main() -> None:
    """Read a panel, print a history."""
    panel = msgspec.msgpack.decode(sys.stdin.buffer.read(), type=Panel)
    gc.freeze()
    history = msgspec.msgpack.encode(uvloop.run(run(panel)))
    with open(sys.stdout.fileno(), "wb", closefd=False) as out:
        out.write(history)  # All of it, also where Python's own stream is unbuffered.


if __name__ == "__main__":
    main()
