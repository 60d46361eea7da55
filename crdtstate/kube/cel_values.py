"""What CEL expressions compute with beyond JSON: budgets, optionals, types, and comparisons.

Source: CEL specification 0.24; Kubernetes 1.37, `apiserver/pkg/cel/library` (quantity, url, ip,
cidr).
"""

import ipaddress
from dataclasses import dataclass
from datetime import datetime, timedelta
from fractions import Fraction
from typing import Any, final
from urllib.parse import SplitResult

from crdtstate.kube.cel_lexer import CelError

__all__ = [
    "NONE", "Budget", "CelLimit", "Network", "Optional", "Quantity", "Type", "Url", "checked",
    "compare", "equal", "type_of",
]  # fmt: skip


@final
class CelLimit(Exception):
    """The budget is spent. No operator absorbs this, unlike an error."""


@final
class Budget:
    """Steps that may still be taken; one is about a microsecond."""

    __slots__ = ("left",)

    def __init__(self, steps: int) -> None:
        self.left = steps

    def spend(self, steps: int) -> None:
        """Take steps. Raises: CelLimit."""
        self.left -= steps
        if self.left < 0:
            raise CelLimit("call cost exceeds limit")


@final
@dataclass(frozen=True, slots=True)
class Optional:
    """A value that may not be there."""

    present: bool
    value: Any = None


NONE = Optional(False)


@final
@dataclass(frozen=True, slots=True)
class Type:
    """A type as a value: `type(x) == int`."""

    name: str


@final
@dataclass(frozen=True, slots=True)
class Quantity:
    """An amount, exact."""

    amount: Fraction


@final
@dataclass(frozen=True, slots=True)
class Url:
    """A parsed URL."""

    parts: SplitResult


@final
@dataclass(frozen=True, slots=True)
class Network:
    """A CIDR: the address as it was written, and its network."""

    address: ipaddress.IPv4Address | ipaddress.IPv6Address
    network: ipaddress.IPv4Network | ipaddress.IPv6Network


_NAMES: dict[type, str] = {
    bool: "bool", int: "int", float: "double", str: "string", bytes: "bytes", list: "list",
    dict: "map", type(None): "null_type", datetime: "google.protobuf.Timestamp",
    timedelta: "google.protobuf.Duration", Optional: "optional_type", Type: "type",
    Quantity: "kubernetes.Quantity", Url: "kubernetes.URL", Network: "net.CIDR",
    ipaddress.IPv4Address: "net.IP", ipaddress.IPv6Address: "net.IP",
}  # fmt: skip


def type_of(value: Any) -> str:
    """Return the CEL name of a value's type."""
    return _NAMES.get(type(value), type(value).__name__)


def checked(number: int) -> int:
    """Return an integer that fits. Raises: CelError, an overflow."""
    if not -(2**63) <= number < 2**64:
        raise CelError("integer overflow")
    return number


def equal(a: Any, b: Any, budget: Budget) -> bool:
    """Whether two values are equal: numbers by value, never a bool with a number."""
    budget.spend(1)
    if isinstance(a, list):
        return (
            isinstance(b, list)
            and len(a) == len(b)
            and all(equal(x, y, budget) for x, y in zip(a, b, strict=True))
        )
    if isinstance(a, dict):
        return (
            isinstance(b, dict)
            and a.keys() == b.keys()
            and all(equal(each, b[key], budget) for key, each in a.items())
        )
    if isinstance(a, bool) is not isinstance(b, bool):
        return False
    if isinstance(a, Optional) and isinstance(b, Optional):
        return a.present is b.present and equal(a.value, b.value, budget)
    return bool(a == b)


def compare(a: Any, b: Any) -> int:
    """Return -1, 0 or 1. Raises: CelError, the types have no order together."""
    numbers = all(isinstance(x, int | float) and not isinstance(x, bool) for x in (a, b))
    alike = type(a) is type(b) and isinstance(a, str | bytes | bool | datetime | timedelta)
    if isinstance(a, Quantity) and isinstance(b, Quantity):
        a, b = a.amount, b.amount
    elif not numbers and not alike:
        raise CelError(f"no such overload: {type_of(a)} < {type_of(b)}")
    return int(a > b) - int(a < b)
