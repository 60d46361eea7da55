"""Small objects for one key of one type each, asynchronous. `handles.py` has the blocking ones."""

from collections.abc import Awaitable, Iterable, Mapping
from typing import Any, Protocol, TypeVar, Unpack, final

from crdtstate.client import calls
from crdtstate.client.calls import Call, WriteOptions
from crdtstate.model import BoundedState, WriteResult

__all__ = ["AsyncBounded", "AsyncCounter", "AsyncFlag", "AsyncMap", "AsyncSet"]

T = TypeVar("T")


class Runner(Protocol):
    """Sends a call, and waits for its answer."""

    def __call__(self, call: Call[T], /) -> Awaitable[T]:
        """Return what the answer says."""


class _Handle:
    def __init__(self, run: Runner, key: str) -> None:
        self._run, self.key = run, key

    async def _value(self, absent: Any) -> Any:
        item = await self._run(calls.get(self.key))
        return absent if item is None else item.value

    async def delete(self, **options: Unpack[WriteOptions]) -> bool:
        """Delete the key; False when it was not there."""
        return await self._run(calls.delete(self.key, options))


@final
class AsyncMap(_Handle):
    """A JSON object that merges field by field."""

    async def get(self) -> dict[str, Any] | None:
        """Return the content, None when there is no such key."""
        value: dict[str, Any] | None = await self._value(None)
        return value

    async def put(self, value: Mapping[str, Any], **options: Unpack[WriteOptions]) -> WriteResult:
        """Make the content exactly `value`."""
        return await self._run(calls.json_write("PUT", "map", self.key, value, options))

    async def merge(self, value: Mapping[str, Any], **options: Unpack[WriteOptions]) -> WriteResult:
        """Merge `value` in, field by field; None removes a field (RFC 7396)."""
        return await self._run(calls.json_write("PATCH", "map", self.key, value, options))


@final
class AsyncSet(_Handle):
    """An add-wins set of strings."""

    async def get(self) -> frozenset[str]:
        """Return the elements, none when there is no such key."""
        return frozenset(await self._value(()))

    async def add(self, *elements: str, **options: Unpack[WriteOptions]) -> WriteResult:
        """Add elements; a concurrent removal loses."""
        return await self._run(calls.change_set(self.key, elements, (), options))

    async def remove(self, *elements: str, **options: Unpack[WriteOptions]) -> WriteResult:
        """Remove what was observed of elements."""
        return await self._run(calls.change_set(self.key, (), elements, options))

    async def change(
        self, add: Iterable[str], remove: Iterable[str], **options: Unpack[WriteOptions]
    ) -> WriteResult:
        """Add and remove in one transaction."""
        return await self._run(calls.change_set(self.key, add, remove, options))


@final
class AsyncCounter(_Handle):
    """A counter that every peer may add to at any time."""

    async def get(self) -> int:
        """Return the value, 0 when there is no such key."""
        return int(await self._value(0))

    async def add(self, amount: int = 1, **options: Unpack[WriteOptions]) -> int:
        """Add, and return the value as the peer sees it.

        Raises: UnknownOutcomeError when it may or may not have happened; it is never repeated.
        """
        return await self._run(calls.add_to_counter(self.key, amount, options))


@final
class AsyncFlag(_Handle):
    """A truth value; concurrently enabled and disabled is enabled."""

    async def get(self) -> bool:
        """Return the value, False when there is no such key."""
        return bool(await self._value(False))

    async def set(self, value: bool, **options: Unpack[WriteOptions]) -> WriteResult:
        """Set the value."""
        return await self._run(calls.json_write("PUT", "flag", self.key, value, options))


@final
class AsyncBounded(_Handle):
    """A counter that never goes below 0, under any partition.

    Every operation raises UnknownOutcomeError when it may or may not have happened.
    """

    async def get(self) -> int | None:
        """Return the value, None when there is no such key."""
        value: int | None = await self._value(None)
        return value

    async def create(self, amount: int, **options: Unpack[WriteOptions]) -> BoundedState:
        """Create it with `amount`, all of it available at the peer that answers."""
        return await self._change({"create": amount}, options)

    async def add(self, amount: int, **options: Unpack[WriteOptions]) -> BoundedState:
        """Add, available at the peer that answers."""
        return await self._change({"add": amount}, options)

    async def take(self, amount: int, **options: Unpack[WriteOptions]) -> BoundedState:
        """Take. Raises: WrongTypeError (code insufficient_rights, with `available`)."""
        return await self._change({"take": amount}, options)

    async def transfer(self, amount: int, to: str, **options: Unpack[WriteOptions]) -> BoundedState:
        """Make `amount` available at the peer `to` instead."""
        return await self._change({"transfer": amount, "to": to}, options)

    async def _change(self, change: Mapping[str, int | str], options: WriteOptions) -> BoundedState:
        return await self._run(calls.change_bounded(self.key, change, options))
