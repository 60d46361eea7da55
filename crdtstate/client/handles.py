"""Small objects for one key of one type each, blocking. `aio_handles.py` has their async twins."""

from collections.abc import Iterable, Mapping
from typing import Any, Protocol, TypeVar, Unpack, final

from crdtstate.client import calls
from crdtstate.client.calls import Call, WriteOptions
from crdtstate.model import BoundedState, WriteResult

__all__ = ["Bounded", "Counter", "Flag", "Map", "Set"]

T = TypeVar("T")


class Runner(Protocol):
    """Sends a call, and waits for its answer."""

    def __call__(self, call: Call[T], /) -> T:
        """Return what the answer says."""


class _Handle:
    def __init__(self, run: Runner, key: str) -> None:
        self._run, self.key = run, key

    def _value(self, absent: Any) -> Any:
        item = self._run(calls.get(self.key))
        return absent if item is None else item.value

    def delete(self, **options: Unpack[WriteOptions]) -> bool:
        """Delete the key; False when it was not there."""
        return self._run(calls.delete(self.key, options))


@final
class Map(_Handle):
    """A JSON object that merges field by field.

    >>> spec = client.map("spec")
    >>> _ = spec.put({"replicas": 3, "image": "web:1"})
    >>> _ = spec.merge({"image": None, "paused": True})
    >>> spec.get() == {"replicas": 3, "paused": True}
    True
    """

    def get(self) -> dict[str, Any] | None:
        """Return the content, None when there is no such key."""
        value: dict[str, Any] | None = self._value(None)
        return value

    def put(self, value: Mapping[str, Any], **options: Unpack[WriteOptions]) -> WriteResult:
        """Make the content exactly `value`."""
        return self._run(calls.json_write("PUT", "map", self.key, value, options))

    def merge(self, value: Mapping[str, Any], **options: Unpack[WriteOptions]) -> WriteResult:
        """Merge `value` in, field by field; None removes a field (RFC 7396)."""
        return self._run(calls.json_write("PATCH", "map", self.key, value, options))


@final
class Set(_Handle):
    """An add-wins set of strings.

    >>> hosts = client.set("hosts")
    >>> _ = hosts.add("a", "b")
    >>> _ = hosts.remove("a")
    >>> sorted(hosts.get())
    ['b']
    """

    def get(self) -> frozenset[str]:
        """Return the elements, none when there is no such key."""
        return frozenset(self._value(()))

    def add(self, *elements: str, **options: Unpack[WriteOptions]) -> WriteResult:
        """Add elements; a concurrent removal loses."""
        return self._run(calls.change_set(self.key, elements, (), options))

    def remove(self, *elements: str, **options: Unpack[WriteOptions]) -> WriteResult:
        """Remove what was observed of elements."""
        return self._run(calls.change_set(self.key, (), elements, options))

    def change(
        self, add: Iterable[str], remove: Iterable[str], **options: Unpack[WriteOptions]
    ) -> WriteResult:
        """Add and remove in one transaction."""
        return self._run(calls.change_set(self.key, add, remove, options))


@final
class Counter(_Handle):
    """A counter that every peer may add to at any time.

    >>> visits = client.counter("visits")
    >>> visits.add(2), visits.add(-1), visits.get()
    (2, 1, 1)
    """

    def get(self) -> int:
        """Return the value, 0 when there is no such key."""
        return int(self._value(0))

    def add(self, amount: int = 1, **options: Unpack[WriteOptions]) -> int:
        """Add, and return the value as the peer sees it.

        Raises: UnknownOutcomeError when it may or may not have happened; it is never repeated.
        """
        return self._run(calls.add_to_counter(self.key, amount, options))


@final
class Flag(_Handle):
    """A truth value; concurrently enabled and disabled is enabled.

    >>> client.flag("maintenance").get()
    False
    >>> _ = client.flag("maintenance").set(True)
    >>> client.flag("maintenance").get()
    True
    """

    def get(self) -> bool:
        """Return the value, False when there is no such key."""
        return bool(self._value(False))

    def set(self, value: bool, **options: Unpack[WriteOptions]) -> WriteResult:
        """Set the value."""
        return self._run(calls.json_write("PUT", "flag", self.key, value, options))


@final
class Bounded(_Handle):
    """A counter that never goes below 0, under any partition.

    Every operation raises UnknownOutcomeError when it may or may not have happened.

    >>> stock = client.bounded("stock")
    >>> stock.create(10)
    BoundedState(value=10, available=10)
    >>> stock.take(4)
    BoundedState(value=6, available=6)
    """

    def get(self) -> int | None:
        """Return the value, None when there is no such key."""
        value: int | None = self._value(None)
        return value

    def create(self, amount: int, **options: Unpack[WriteOptions]) -> BoundedState:
        """Create it with `amount`, all of it available at the peer that answers."""
        return self._change({"create": amount}, options)

    def add(self, amount: int, **options: Unpack[WriteOptions]) -> BoundedState:
        """Add, available at the peer that answers."""
        return self._change({"add": amount}, options)

    def take(self, amount: int, **options: Unpack[WriteOptions]) -> BoundedState:
        """Take. Raises: WrongTypeError (code insufficient_rights, with `available`)."""
        return self._change({"take": amount}, options)

    def transfer(self, amount: int, to: str, **options: Unpack[WriteOptions]) -> BoundedState:
        """Make `amount` available at the peer `to` instead."""
        return self._change({"transfer": amount, "to": to}, options)

    def _change(self, change: Mapping[str, int | str], options: WriteOptions) -> BoundedState:
        return self._run(calls.change_bounded(self.key, change, options))
