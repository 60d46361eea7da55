"""Functions of the Common Expression Language on texts. What makes a text pays for its length.

Source: cel-go extension strings (2), as Kubernetes 1.37 enables it.
"""

import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from crdtstate.kube.cel_lexer import CelError
from crdtstate.kube.cel_values import Budget, equal, type_of

__all__ = ["TEXT_METHODS", "string", "text_of"]

_TEXT_MAX = 1024 * 1024
"""Characters of a text that a function makes."""


def text_of(budget: Budget, text: str) -> str:
    """Return the text, paid for."""
    budget.spend(len(text) // 16)
    return text


def string(budget: Budget, value: Any) -> str:
    """Convert to a text."""
    match value:
        case bool():
            return "true" if value else "false"
        case str():
            return value
        case bytes():
            return text_of(budget, value.decode())
        case float():
            return str(int(value)) if value.is_integer() and abs(value) < 1e15 else repr(value)
        case int():
            return str(value)
        case datetime():
            return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
        case timedelta():
            return f"{value.total_seconds():g}s"
        case _:
            raise TypeError


def _split(budget: Budget, text: str, separator: str, limit: int = -1) -> list[str]:
    budget.spend(len(text))
    if limit == 0:
        return []
    parts = list(text) if separator == "" else text.split(separator)
    if 0 < limit < len(parts):
        return [*parts[: limit - 1], separator.join(parts[limit - 1 :])]
    return parts


def _join(budget: Budget, items: list[Any], separator: str = "") -> str:
    if not isinstance(items, list):
        raise TypeError
    size = sum(len(item) for item in items) + len(separator) * len(items)
    _limited(budget, size)
    return separator.join(items)


def _replace(budget: Budget, text: str, old: str, new: str, limit: int = -1) -> str:
    count = text.count(old) if limit < 0 else min(text.count(old), limit)
    _limited(budget, len(text) + count * len(new))
    return text.replace(old, new, limit)


def _limited(budget: Budget, size: int) -> None:
    if size > _TEXT_MAX:
        raise CelError(f"a text of {size} characters is over {_TEXT_MAX}")
    budget.spend(size // 16)


def _substring(budget: Budget, text: str, start: int, end: int | None = None) -> str:
    end = len(text) if end is None else end
    if not 0 <= start <= end <= len(text):
        raise IndexError("index out of range")
    return text_of(budget, text[start:end])


def _char_at(_budget: Budget, text: str, at: int) -> str:
    if not 0 <= at <= len(text):
        raise IndexError("index out of range")
    return text[at : at + 1]


def _index_of(budget: Budget, value: Any, wanted: Any, start: int = 0) -> int:
    if isinstance(value, list):
        found = (i for i, each in enumerate(value) if equal(each, wanted, budget))
        return next(found, -1)
    text_of(budget, value)
    return int(value.find(wanted, start))


def _last_index_of(budget: Budget, value: Any, wanted: Any, end: int | None = None) -> int:
    if isinstance(value, list):
        places = [i for i, each in enumerate(value) if equal(each, wanted, budget)]
        return places[-1] if places else -1
    text_of(budget, value)
    return int(value.rfind(wanted) if end is None else value.rfind(wanted, 0, end + len(wanted)))


def _reverse(budget: Budget, value: Any) -> Any:
    budget.spend(len(value) // 16)
    return value[::-1]


_UPPER = {ord(c): ord(c) - 32 for c in "abcdefghijklmnopqrstuvwxyz"}
_LOWER = {upper: lower for lower, upper in _UPPER.items()}


def _format(budget: Budget, pattern: str, values: list[Any]) -> str:
    rest = list(values)
    parts = []
    for piece in re.split(r"(%(?:\.\d{1,2})?[a-zA-Z%])", pattern):
        if not piece.startswith("%") or len(piece) == 1:
            parts.append(piece)
        elif piece == "%%":
            parts.append("%")
        else:
            parts.append(_verb(budget, piece, rest.pop(0)))
        _limited(budget, len(parts[-1]))
    return "".join(parts)


def _verb(budget: Budget, verb: str, value: Any) -> str:
    kind = verb[-1]
    if kind == "s":
        return _shown(budget, value)
    if kind == "d" and isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    if kind in "fe" and isinstance(value, int | float) and not isinstance(value, bool):
        precision = verb[1:-1] or ".6"
        return f"%{precision}{kind}" % value
    if kind in "boxX" and isinstance(value, int):
        return format(value, kind)
    if kind in "xX" and isinstance(value, str | bytes):
        return (value.encode() if isinstance(value, str) else value).hex()
    raise CelError(f"error during formatting: {verb} of {type_of(value)}")


def _shown(budget: Budget, value: Any) -> str:
    if isinstance(value, list):
        return "[" + ", ".join(_shown(budget, each) for each in value) + "]"
    if isinstance(value, dict):
        pairs = sorted((_shown(budget, k), _shown(budget, v)) for k, v in value.items())
        return "{" + ", ".join(f"{key}: {each}" for key, each in pairs) + "}"
    return "null" if value is None else string(budget, value)


TEXT_METHODS: Mapping[str, Callable[..., Any]] = {
    "charAt": _char_at, "indexOf": _index_of, "lastIndexOf": _last_index_of, "join": _join,
    "split": _split, "replace": _replace, "substring": _substring, "reverse": _reverse,
    "format": _format,
    "contains": lambda budget, text, part: part in text_of(budget, text),
    "startsWith": lambda _budget, text, part: text.startswith(part),
    "endsWith": lambda _budget, text, part: text.endswith(part),
    "trim": lambda budget, text: text_of(budget, text).strip(),
    "lowerAscii": lambda budget, text: text_of(budget, text).translate(_LOWER),
    "upperAscii": lambda budget, text: text_of(budget, text).translate(_UPPER),
}  # fmt: skip
