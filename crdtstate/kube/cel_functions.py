"""Functions of the Common Expression Language: its standard ones, strings, lists, sets, math.

Each takes the budget first. A wrong argument may raise TypeError, ValueError or the like: the
caller turns that into "no such overload". Kubernetes' own are in `cel_library`.

Source: CEL specification 0.24, "Standard definitions"; cel-go extensions strings (2), sets, math,
lists, encoders, as Kubernetes 1.37 enables them.
"""

import base64
import math
import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta, timezone
from itertools import pairwise
from typing import Any

from crdtstate.kube.cel_lexer import CelError
from crdtstate.kube.cel_library import LIBRARY_FUNCTIONS, LIBRARY_METHODS
from crdtstate.kube.cel_texts import TEXT_METHODS, string, text_of
from crdtstate.kube.cel_values import (
    NONE,
    Budget,
    Optional,
    Type,
    checked,
    compare,
    equal,
    type_of,
)

__all__ = ["FUNCTIONS", "METHODS"]

Function = Callable[..., Any]
_DURATION = re.compile(r"[+-]?((\d+(?:\.\d*)?|\.\d+)(h|ms|us|µs|ns|m|s))+")
_PART = re.compile(r"(\d+(?:\.\d*)?|\.\d+)(h|ms|us|µs|ns|m|s)")
_SECONDS = {"h": 3600, "m": 60, "s": 1, "ms": 1e-3, "us": 1e-6, "µs": 1e-6, "ns": 1e-9}


# -- conversions -----------------------------------------------------------------------------


def _size(_budget: Budget, value: str | bytes | list[Any] | dict[Any, Any]) -> int:
    if not isinstance(value, str | bytes | list | dict):
        raise TypeError
    return len(value)


def _int(_budget: Budget, value: Any) -> int:
    if isinstance(value, datetime):
        return int(value.timestamp())
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise TypeError
    if isinstance(value, str) and not re.fullmatch(r"[+-]?\d{1,20}", value):
        raise ValueError
    number = int(value)
    if not -(2**63) <= number < 2**63:
        raise CelError("integer overflow")
    return number


def _uint(budget: Budget, value: Any) -> int:
    number = _int(budget, value)
    if number < 0:
        raise CelError("unsigned integer overflow")
    return number


def _double(_budget: Budget, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise TypeError
    return float(value)


def _bool(_budget: Budget, value: Any) -> bool:
    if isinstance(value, bool):
        return value
    if value in ("1", "t", "true", "TRUE", "True"):
        return True
    if value in ("0", "f", "false", "FALSE", "False"):
        return False
    raise ValueError


def _bytes(budget: Budget, value: Any) -> bytes:
    return value if isinstance(value, bytes) else text_of(budget, value).encode()


def _instant(_budget: Budget, value: Any) -> datetime:
    if isinstance(value, datetime):
        return value
    if isinstance(value, int):
        return datetime.fromtimestamp(value, UTC)
    if not re.fullmatch(r"\d{4}-\d\d-\d\d[Tt].*([Zz]|[+-]\d\d:\d\d)", value):
        raise ValueError
    found = datetime.fromisoformat(value.upper())
    return found.replace(tzinfo=UTC) if found.tzinfo is None else found


def _duration(_budget: Budget, value: Any) -> timedelta:
    if isinstance(value, timedelta):
        return value
    if value in ("0", "+0", "-0"):
        return timedelta()
    if len(value) > 64 or not _DURATION.fullmatch(value):
        raise ValueError(f"invalid duration {value!r}")
    total = sum(float(number) * _SECONDS[unit] for number, unit in _PART.findall(value))
    return timedelta(seconds=-total if value.startswith("-") else total)


# -- lists and sets --------------------------------------------------------------------------


def _is_sorted(budget: Budget, items: list[Any]) -> bool:
    budget.spend(len(items))
    return all(compare(a, b) <= 0 for a, b in pairwise(items))


def _sum(budget: Budget, items: list[Any]) -> Any:
    budget.spend(len(items))
    if items and isinstance(items[0], timedelta):
        return sum(items, timedelta())
    if any(isinstance(each, bool) for each in items):
        raise TypeError
    total = sum(items)
    return checked(total) if isinstance(total, int) else total


def _extreme(sign: int) -> Function:
    def function(budget: Budget, *items: Any) -> Any:
        values = items[0] if len(items) == 1 and isinstance(items[0], list) else items
        budget.spend(len(values))
        if not values:
            raise CelError("called on an empty list")
        best = values[0]
        for each in values[1:]:
            if compare(each, best) * sign > 0:
                best = each
        return best

    return function


def _sort(budget: Budget, items: list[Any]) -> list[Any]:
    budget.spend(len(items) * 4)
    for a, b in pairwise(items):
        compare(a, b)
    return sorted(items)


def _distinct(budget: Budget, items: list[Any]) -> list[Any]:
    found: list[Any] = []
    for each in items:
        if not any(equal(each, other, budget) for other in found):
            found.append(each)
    return found


def _flatten(budget: Budget, items: list[Any], depth: int = 1) -> list[Any]:
    found: list[Any] = []
    for each in items:
        if isinstance(each, list) and depth > 0:
            found += _flatten(budget, each, min(depth, 32) - 1)
        else:
            found.append(each)
    budget.spend(len(found))
    return found


def _slice(budget: Budget, items: list[Any], start: int, end: int) -> list[Any]:
    if not 0 <= start <= end <= len(items):
        raise IndexError("index out of range")
    budget.spend(end - start)
    return items[start:end]


def _range(budget: Budget, count: int) -> list[int]:
    budget.spend(count)
    return list(range(count))


def _contains_all(budget: Budget, a: list[Any], b: list[Any]) -> bool:
    return all(any(equal(x, y, budget) for y in a) for x in b)


def _intersects(budget: Budget, a: list[Any], b: list[Any]) -> bool:
    return any(any(equal(x, y, budget) for y in a) for x in b)


# -- time ------------------------------------------------------------------------------------


def _clock(read: Callable[[datetime], int], unit_s: float = 0) -> Function:
    def function(_budget: Budget, value: datetime | timedelta, zone: str = "UTC") -> int:
        if isinstance(value, timedelta) and unit_s:
            return int(value.total_seconds() / unit_s)
        if not isinstance(value, datetime):
            raise TypeError
        return read(value.astimezone(_zone(zone)))

    return function


def _zone(name: str) -> timezone:
    """Return a fixed offset. Names of places are refused: machines differ in what they know."""
    if name == "UTC":
        return UTC
    match = re.fullmatch(r"([+-]?)(\d\d):(\d\d)", name)
    if match is None:
        raise ValueError(f"zone {name[:40]!r} is neither UTC nor an offset")
    offset = timedelta(hours=int(match[2]), minutes=int(match[3]))
    return timezone(-offset if match[1] == "-" else offset)


def _quote(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'


def _round(value: float) -> float:
    return math.copysign(math.floor(abs(value) + 0.5), value)


def _plain(function: Function) -> Function:
    return lambda _budget, *args: function(*args)


def _value(_budget: Budget, optional: Optional) -> Any:
    if not optional.present:
        raise CelError("optional.none() dereference")
    return optional.value


def _or_value(_budget: Budget, optional: Optional, other: Any) -> Any:
    return optional.value if optional.present else other


def _non_zero(_budget: Budget, value: Any) -> Optional:
    return Optional(True, value) if value else NONE


FUNCTIONS: Mapping[str, Function] = {
    **LIBRARY_FUNCTIONS,
    "size": _size, "int": _int, "uint": _uint, "double": _double, "string": string,
    "bool": _bool, "bytes": _bytes, "timestamp": _instant, "duration": _duration,
    "dyn": lambda _budget, value: value,
    "type": lambda _budget, value: Type(type_of(value)),
    "optional.of": lambda _budget, value: Optional(True, value),
    "optional.none": lambda _budget: NONE,
    "optional.ofNonZeroValue": _non_zero,
    "sets.contains": _contains_all, "sets.intersects": _intersects,
    "sets.equivalent": lambda budget, a, b: _contains_all(budget, a, b)
    and _contains_all(budget, b, a),
    "math.greatest": _extreme(1), "math.least": _extreme(-1),
    "math.abs": _plain(abs), "math.ceil": _plain(lambda x: float(math.ceil(x))),
    "math.floor": _plain(lambda x: float(math.floor(x))), "math.round": _plain(_round),
    "math.trunc": _plain(lambda x: float(math.trunc(x))),
    "math.sign": _plain(lambda x: type(x)((x > 0) - (x < 0))),
    "math.isNaN": _plain(math.isnan), "math.isInf": _plain(math.isinf),
    "math.isFinite": _plain(math.isfinite), "math.sqrt": _plain(math.sqrt),
    "strings.quote": _plain(_quote),
    "base64.encode": _plain(lambda data: base64.b64encode(data).decode()),
    "base64.decode": _plain(lambda text: base64.b64decode(text, validate=True)),
    "lists.range": _range,
    "min": _extreme(-1), "max": _extreme(1),
}  # fmt: skip

METHODS: Mapping[str, Function] = {
    **LIBRARY_METHODS,
    **TEXT_METHODS,
    "size": _size,
    "isSorted": _is_sorted, "sum": _sum, "min": _extreme(-1), "max": _extreme(1), "sort": _sort,
    "distinct": _distinct, "flatten": _flatten, "slice": _slice,
    "first": _plain(lambda items: Optional(True, items[0]) if items else NONE),
    "last": _plain(lambda items: Optional(True, items[-1]) if items else NONE),
    "hasValue": _plain(lambda optional: optional.present), "value": _value,
    "orValue": _or_value,
    "or": _plain(lambda optional, other: optional if optional.present else other),
    "getFullYear": _clock(lambda t: t.year), "getMonth": _clock(lambda t: t.month - 1),
    "getDate": _clock(lambda t: t.day), "getDayOfMonth": _clock(lambda t: t.day - 1),
    "getDayOfWeek": _clock(lambda t: t.isoweekday() % 7),
    "getDayOfYear": _clock(lambda t: t.timetuple().tm_yday - 1),
    "getHours": _clock(lambda t: t.hour, 3600), "getMinutes": _clock(lambda t: t.minute, 60),
    "getSeconds": _clock(lambda t: t.second, 1),
    "getMilliseconds": _clock(lambda t: t.microsecond // 1000, 0.001),
}  # fmt: skip
