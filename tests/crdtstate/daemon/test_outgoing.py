"""Messages on their way: a large one goes as its link drains, and nothing comes in between."""

import asyncio
from collections.abc import Coroutine
from typing import Any

from crdtstate.daemon.outgoing import BEHIND_BYTES_MAX, Outgoing


class SlowLinks:
    """Links that take one payload at a time, when they are told to."""

    def __init__(self) -> None:
        self.sent: list[bytes] = []
        self.room = asyncio.Semaphore(0)
        self.up = True

    def send(self, _name: str, payload: bytes) -> bool:
        if self.up:
            self.sent.append(payload)
        return self.up

    async def wait_writable(self, _name: str) -> None:
        await self.room.acquire()

    async def drain(self, count: int) -> None:
        for _ in range(count):
            self.room.release()
        for _ in range(4 * count + 4):
            await asyncio.sleep(0)


def make(links: SlowLinks) -> Outgoing:
    def start(work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        return asyncio.get_running_loop().create_task(work)

    return Outgoing(links, start)


def test_what_comes_meanwhile_goes_behind_a_large_message() -> None:
    """OUT-1."""

    async def scene() -> list[bytes]:
        links = SlowLinks()
        outgoing = make(links)
        outgoing.send("b", [b"1", b"2", b"3"])
        await links.drain(1)
        outgoing.send("b", [b"push"])
        await links.drain(3)
        outgoing.send("b", [b"at once"])
        return links.sent

    assert asyncio.run(scene()) == [b"1", b"2", b"3", b"push", b"at once"]


def test_behind_a_large_message_a_bounded_amount_waits() -> None:
    """OUT-2."""

    async def scene() -> list[bytes]:
        links, half = SlowLinks(), bytes(BEHIND_BYTES_MAX // 2)
        outgoing = make(links)
        outgoing.send("b", [b"1", b"2"])
        for payload in (half, half, b"dropped"):
            outgoing.send("b", [payload])
        await links.drain(9)
        return links.sent

    assert [len(p) for p in asyncio.run(scene())] == [1, 1, *[BEHIND_BYTES_MAX // 2] * 2]


def test_a_new_link_starts_with_a_whole_message() -> None:
    async def scene() -> list[bytes]:
        links = SlowLinks()
        outgoing = make(links)
        outgoing.send("b", [b"1", b"2", b"3"])
        await links.drain(1)
        outgoing.link_down("b")
        outgoing.send("b", [b"new"])
        await links.drain(3)
        return links.sent

    assert asyncio.run(scene()) == [b"1", b"new"]


def test_who_serves_waits_until_nothing_is_queued() -> None:
    async def scene() -> tuple[bool, bool]:
        links = SlowLinks()
        outgoing = make(links)
        outgoing.send("b", [b"1", b"2"])
        waiting = asyncio.get_running_loop().create_task(outgoing.wait_writable("b"))
        await links.drain(1)
        early = waiting.done()
        await links.drain(2)
        return early, waiting.done()

    assert asyncio.run(scene()) == (False, True)
