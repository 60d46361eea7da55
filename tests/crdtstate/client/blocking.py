"""The asynchronous client, driven so that it looks blocking: one scenario, both clients."""

import asyncio
import inspect
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from crdtstate.client import AsyncClient, Client

__all__ = ["CLIENTS", "open_client"]

CLIENTS = ["blocking", "asynchronous"]


class _Blocking:
    def __init__(self, inner: Any, runner: asyncio.Runner) -> None:
        self._inner, self._runner = inner, runner

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._inner, name)
        if not callable(found):
            return found

        def call(*args: Any, **keywords: Any) -> Any:
            result = found(*args, **keywords)
            if inspect.isawaitable(result):
                return self._runner.run(_await(result))
            if inspect.isasyncgen(result):
                return self._iterate(result)
            if hasattr(result, "__aenter__"):
                return self._enter(result)
            if type(result).__module__.startswith("crdtstate.client"):
                return _Blocking(result, self._runner)
            return result

        return call

    def _iterate(self, generator: Any) -> Iterator[Any]:
        try:
            while True:
                try:
                    yield self._runner.run(_await(anext(generator)))
                except StopAsyncIteration:
                    return
        finally:
            self._runner.run(_await(generator.aclose()))

    @contextmanager
    def _enter(self, manager: Any) -> Iterator[Any]:
        value = self._runner.run(_await(manager.__aenter__()))
        try:
            yield value
        except BaseException as error:
            self._runner.run(_await(manager.__aexit__(type(error), error, error.__traceback__)))
            raise
        self._runner.run(_await(manager.__aexit__(None, None, None)))


async def _await(awaitable: Any) -> Any:
    await asyncio.sleep(0.001)  # A program's loop runs between its calls.
    return await awaitable


@contextmanager
def open_client(kind: str, endpoints: Any, **options: Any) -> Iterator[Any]:
    """Give a client of the kind that looks like `Client`."""
    if kind == "blocking":
        with Client(endpoints, **options) as client:
            yield client
        return
    with asyncio.Runner() as runner:
        inner = AsyncClient(endpoints, **options)
        try:
            yield _Blocking(inner, runner)
        finally:
            runner.run(inner.close())
