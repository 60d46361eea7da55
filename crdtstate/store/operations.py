"""Intents: what a client asks of the store. They are decoded straight from JSON, types checked.

Nothing here knows dots; `crdtstate.store.planner` turns an intent into changes of records.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, final

import msgspec

if TYPE_CHECKING:
    from crdtstate.store.planner import Planner

__all__ = [
    "Apply",
    "BoundedAdd",
    "BoundedCreate",
    "BoundedTake",
    "BoundedTransfer",
    "CounterAdd",
    "Delete",
    "Edit",
    "FlagSet",
    "Intent",
    "MapMerge",
    "MapPut",
    "Operation",
    "Precondition",
    "Put",
    "SetAdd",
    "SetRemove",
]


class _Operation(msgspec.Struct, frozen=True, tag_field="op", forbid_unknown_fields=True):
    key: str


@final
class Put(_Operation, tag="put", frozen=True):
    """Create the register `key`, or replace its value. Add-wins against a concurrent delete.

    Exactly one of `value` (text) and `value_base64` (bytes) is given.
    """

    value: str | None = None
    value_base64: bytes | None = None
    ttl_ms: int | None = None


@final
class Delete(_Operation, tag="delete", frozen=True):
    """Remove `key` and all that was observed in it; removing what is not there is no change."""


@final
class MapPut(_Operation, tag="map_put", frozen=True):
    """Make the content of the map `key` exactly `value`."""

    value: dict[str, Any]


@final
class MapMerge(_Operation, tag="map_merge", frozen=True):
    """Merge `value` into the map `key` field by field; null removes (RFC 7396)."""

    value: dict[str, Any]


@final
class Apply(_Operation, tag="apply", frozen=True):
    """Set what `value` gives; remove what this manager gave before and no longer gives."""

    value: dict[str, Any]
    manager: str = "default"


@final
class SetAdd(_Operation, tag="set_add", frozen=True):
    """Add elements; adding wins against a concurrent removal."""

    elements: list[str]


@final
class SetRemove(_Operation, tag="set_remove", frozen=True):
    """Remove what was observed of these elements."""

    elements: list[str]


@final
class CounterAdd(_Operation, tag="counter_add", frozen=True):
    """Add `amount`, which may be negative. Not idempotent."""

    amount: int


@final
class FlagSet(_Operation, tag="flag_set", frozen=True):
    """Enable or disable; enabling wins."""

    value: bool


@final
class BoundedCreate(_Operation, tag="bounded_create", frozen=True):
    """Create a counter that never goes below 0, with `amount` as this replica's rights."""

    amount: int


@final
class BoundedAdd(_Operation, tag="bounded_add", frozen=True):
    """Add `amount` > 0, and so many rights of this replica."""

    amount: int


@final
class BoundedTake(_Operation, tag="bounded_take", frozen=True):
    """Take `amount` > 0 of this replica's rights."""

    amount: int


@final
class BoundedTransfer(_Operation, tag="bounded_transfer", frozen=True):
    """Give `amount` of this replica's rights to the replica `to` (a member's name)."""

    amount: int
    to: str


Operation = (
    Put
    | Delete
    | MapPut
    | MapMerge
    | Apply
    | SetAdd
    | SetRemove
    | CounterAdd
    | FlagSet
    | BoundedCreate
    | BoundedAdd
    | BoundedTake
    | BoundedTransfer
)


@final
@dataclass(frozen=True, slots=True, eq=False)
class Edit:
    """A change that code plans, on the state as the writer sees it: what no JSON can ask for.

    `plan` is called once, inside the transaction, with the planner and the key; what it returns is
    the operation's result. It raises a CrdtstateError to refuse, and nothing has changed then.
    """

    key: bytes
    plan: "Callable[[Planner, bytes], Any]"


Intent = Operation | Edit


@final
class Precondition(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A condition on this peer's local state of `key`; exactly one of the three is given."""

    key: str
    version: str | None = None
    absent: bool = False
    exists: bool = False
