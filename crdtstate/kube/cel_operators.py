"""Operators of the Common Expression Language, on values.

Source: CEL specification 0.24, "Standard definitions".
"""

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any

from crdtstate.kube.cel_lexer import CelError
from crdtstate.kube.cel_values import Budget, checked, compare, equal, type_of

__all__ = ["OPERATORS", "is_key", "truth"]


def truth(value: Any) -> bool:
    """Return a bool. Raises: CelError, it is none."""
    if isinstance(value, bool):
        return value
    raise CelError(f"no such overload: {type_of(value)} where a bool belongs")


def is_key(value: Any) -> bool:
    """Whether a value may be the key of a map."""
    return isinstance(value, str | int | float | bool)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _add(a: Any, b: Any, budget: Budget) -> Any:
    if _is_number(a) and type(a) is type(b):
        return checked(a + b) if isinstance(a, int) else a + b
    if type(a) is type(b) and isinstance(a, str | bytes | list):
        budget.spend((len(a) + len(b)) // 16)
        return a + b
    if isinstance(b, timedelta) and isinstance(a, datetime | timedelta):
        return a + b
    if isinstance(a, timedelta) and isinstance(b, datetime):
        return b + a
    raise TypeError


def _subtract(a: Any, b: Any, _budget: Budget) -> Any:
    if _is_number(a) and type(a) is type(b):
        return checked(a - b) if isinstance(a, int) else a - b
    if isinstance(a, datetime) and isinstance(b, datetime | timedelta):
        return a - b
    if isinstance(a, timedelta) and isinstance(b, timedelta):
        return a - b
    raise TypeError


def _times(a: Any, b: Any, _budget: Budget) -> Any:
    if _is_number(a) and type(a) is type(b):
        return checked(a * b) if isinstance(a, int) else a * b
    raise TypeError


def _divide(a: Any, b: Any, _budget: Budget) -> Any:
    if not _is_number(a) or type(a) is not type(b):
        raise TypeError
    if b == 0:
        if isinstance(a, int):
            raise CelError("division by zero")
        return float("nan") if a == 0 else float("inf") if a > 0 else float("-inf")
    if isinstance(a, float):
        return a / b
    quotient = abs(a) // abs(b)
    return checked(quotient if (a < 0) is (b < 0) else -quotient)


def _modulo(a: Any, b: Any, _budget: Budget) -> Any:
    if not (isinstance(a, int) and isinstance(b, int) and _is_number(a) and _is_number(b)):
        raise TypeError
    if b == 0:
        raise CelError("modulus by zero")
    return abs(a) % abs(b) * (-1 if a < 0 else 1)


def _within(a: Any, b: Any, budget: Budget) -> bool:
    if isinstance(b, dict):
        return is_key(a) and a in b
    if isinstance(b, list):
        return any(equal(a, each, budget) for each in b)
    raise TypeError


OPERATORS: Mapping[str, Callable[[Any, Any, Budget], Any]] = {
    "+": _add,
    "-": _subtract,
    "*": _times,
    "/": _divide,
    "%": _modulo,
    "in": _within,
    "==": equal,
    "!=": lambda a, b, budget: not equal(a, b, budget),
    "<": lambda a, b, budget: compare(a, b) < 0,
    "<=": lambda a, b, budget: compare(a, b) <= 0,
    ">": lambda a, b, budget: compare(a, b) > 0,
    ">=": lambda a, b, budget: compare(a, b) >= 0,
}
