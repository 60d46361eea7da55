"""A transaction while it is being written down: operations and preconditions, nothing sent yet."""

from collections.abc import Mapping
from typing import Any

from crdtstate.client import calls
from crdtstate.errors import InvalidError
from crdtstate.model import WriteResult

__all__ = ["Transaction"]


class Transaction:
    """What is given here happens on every replica at once, or, when refused, not at all."""

    def __init__(self) -> None:
        self.operations: list[dict[str, Any]] = []
        self.preconditions: list[dict[str, Any]] = []
        self.result: WriteResult | None = None
        """Set when the `with` block has ended without an exception."""

    def put(self, key: str, value: bytes | str, *, ttl: float | None = None) -> None:
        """Create or replace a register."""
        fields: dict[str, Any] = dict(calls.to_value_fields(value))
        if ttl is not None:
            fields["ttl_ms"] = calls.to_ttl_ms(ttl)
        self._add("put", key, **fields)

    def delete(self, key: str) -> None:
        """Delete a key of any type; one that is not there is no error."""
        self._add("delete", key)

    def map_put(self, key: str, value: Mapping[str, Any]) -> None:
        """Make the content of a map exactly `value`."""
        self._add("map_put", key, value=value)

    def map_merge(self, key: str, value: Mapping[str, Any]) -> None:
        """Merge `value` into a map field by field; None removes."""
        self._add("map_merge", key, value=value)

    def apply(self, key: str, document: Mapping[str, Any], *, manager: str = "default") -> None:
        """Set what is given, remove what this manager gave before and no longer gives."""
        self._add("apply", key, value=document, manager=manager)

    def set_add(self, key: str, *elements: str) -> None:
        """Add to a set."""
        self._add("set_add", key, elements=list(elements))

    def set_remove(self, key: str, *elements: str) -> None:
        """Remove from a set."""
        self._add("set_remove", key, elements=list(elements))

    def counter_add(self, key: str, amount: int = 1) -> None:
        """Add to a counter. A transaction with this in it is never repeated by itself."""
        self._add("counter_add", key, amount=amount)

    def flag_set(self, key: str, value: bool) -> None:
        """Set a flag."""
        self._add("flag_set", key, value=value)

    def require(
        self, key: str, *, version: str | None = None, absent: bool = False, exists: bool = False
    ) -> None:
        """Refuse the transaction unless this holds on the peer that answers; exactly one of three.

        Raises: InvalidError (code invalid_operation).
        """
        given: dict[str, Any] = {}
        if version is not None:
            given["version"] = version
        given |= {name: True for name, on in (("absent", absent), ("exists", exists)) if on}
        if len(given) != 1:
            raise InvalidError(
                f"require of {key!r} names {len(given)} of version, absent, exists; one is needed",
                key=key,
            )
        self.preconditions.append({"key": key, **given})

    def _add(self, op: str, key: str, **fields: Any) -> None:
        self.operations.append({"op": op, "key": key, **fields})
