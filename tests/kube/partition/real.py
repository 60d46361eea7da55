"""All scenarios at once over real peers: their beginnings, one cut, their middles, one heal.

What comes after the heal is run for each scenario when its test asks for it.
"""

import asyncio
import json
import threading
from collections.abc import AsyncIterator, Coroutine, Mapping
from typing import Any, final

import aiohttp

from controllers.runtime.manager import Manager
from controllers.runtime.registry import spec_of_class
from crdtstate.client.aio import AsyncClient
from tests.e2e.fleet import Fleet
from tests.kube.partition.cases import CUT, HEAL, Case, Pause, finish
from tests.kube.partition.scenarios import ALL_SCENARIOS, CONTROLLERS
from tests.kube.partition.sides import ALL, Answer, cut, heal, settle

_TIMEOUT_S = 60


@final
class RealSides:
    """Three processes."""

    def __init__(self, fleet: Fleet, session: aiohttp.ClientSession) -> None:
        self._fleet, self._session = fleet, session

    async def ask(
        self, side: str, method: str, path: str, body: bytes | None, media: str
    ) -> Answer:
        """Ask one peer."""
        headers = {} if body is None else {"Content-Type": media}
        async with self._session.request(
            method, self._fleet.url(side) + path, data=body, headers=headers
        ) as answer:
            warning = ", ".join(answer.headers.getall("Warning", []))
            return Answer(answer.status, json.loads(await answer.read()), warning)

    async def cut_links(self) -> None:
        """Cut a from b and c."""
        for other in ("b", "c"):
            await asyncio.to_thread(self._fleet.client("a").cut, other)

    async def heal_links(self) -> None:
        """Open all links again."""
        await asyncio.to_thread(self._fleet.heal)


@final
class Batch:
    """The scenarios on their way; a loop of its own, in a thread, carries them."""

    def __init__(self, fleet: Fleet) -> None:
        self._fleet = fleet
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._thread.start()
        self._stories: dict[str, AsyncIterator[Pause]] = {}
        self._failures: dict[str, BaseException] = {}
        self._tasks: list[asyncio.Task[None]] = []
        self._clients: list[AsyncClient] = []

    def _call(self, work: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result()

    def begin(self) -> None:
        """Run everything up to the heal. A scenario that fails is kept for its test."""
        self._call(self._begin())

    def finish(self, name: str) -> None:
        """Run the rest of one scenario. Raises: what went wrong with it."""
        if name in self._failures:
            raise self._failures[name]
        self._call(finish(self._stories[name]))

    def close(self) -> None:
        """End the loop."""
        self._call(self._close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _begin(self) -> None:
        self._session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=_TIMEOUT_S))
        sides = RealSides(self._fleet, self._session)
        for side in ALL:
            self._control(side)
        cases = {name: Case(sides, name) for name in ALL_SCENARIOS}
        for case in cases.values():
            await case.begin()
        self._stories = {name: ALL_SCENARIOS[name](case) for name, case in cases.items()}
        await settle(sides)
        await self._go_on(self._stories, CUT)
        await settle(sides)
        await cut(sides)
        await self._go_on(self._stories, HEAL)
        await heal(sides)

    def _control(self, side: str) -> None:
        """Run controllers beside a peer, as the extension does inside."""
        client = AsyncClient(self._fleet.url(side), causal=False)
        manager = Manager(client, [spec_of_class(cls) for cls in CONTROLLERS], member=side)
        self._clients.append(client)
        self._tasks.append(asyncio.get_running_loop().create_task(manager.run()))

    async def _go_on(self, stories: Mapping[str, AsyncIterator[Pause]], pause: Pause) -> None:
        left = [name for name in stories if name not in self._failures]
        steps = (anext(stories[name]) for name in left)
        for name, end in zip(
            left, await asyncio.gather(*steps, return_exceptions=True), strict=True
        ):
            if isinstance(end, BaseException):
                self._failures[name] = end  # Its test raises it.
            else:
                assert end == pause

    async def _close(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for client in self._clients:
            await client.close()
        await self._session.close()
