"""The tasks of one mesh: every one is known, none outlives it, and no failure is silent."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, final

import structlog

log = structlog.get_logger(__name__)


@final
class Tasks:
    """A task group that can be closed from outside, and that survives a failure of one task.

    Args:
        on_failure: Called, after the failure was logged, with an exception that no task expects.
    """

    def __init__(self, on_failure: Callable[[BaseException], None]) -> None:
        self._on_failure = on_failure
        self._tasks: set[asyncio.Task[None]] = set()
        self._closed = False

    def spawn(self, work: Coroutine[Any, Any, None], *, name: str) -> asyncio.Task[None] | None:
        """Start `work`; after `close` it is dropped unstarted, and None returned."""
        if self._closed:
            work.close()
            return None
        task = asyncio.get_running_loop().create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._done)
        return task

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("task_failed", task=task.get_name(), exc_info=error)
            self._on_failure(error)

    async def close(self) -> None:
        """Cancel all tasks but the caller's own, and wait for their ends."""
        self._closed = True
        others = [task for task in self._tasks if task is not asyncio.current_task()]
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)
