"""The JSONPath of Kubernetes, as far as printer columns and field paths use it.

Source: Kubernetes, "JSONPath Support". Fields (dotted or quoted in brackets), indexes, slices,
wildcards, recursive descent, and filters that compare one path with a literal.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from typing import Any

__all__ = ["find", "parse"]

STEPS_MAX, RESULTS_MAX = 64, 1024

Step = Callable[[Any], Iterator[Any]]
_STEP = re.compile(
    r"""\.\.(?P<deep>[\w-]+)|\.(?P<field>(?:[^.\[\\]|\\.)+)|\[(?P<inner>'[^']*'|"[^"]*"|[^\]]*)\]"""
)
_FILTER = re.compile(
    r"""\?\(\s*@(?P<path>[^\s=!<>)]+)\s*(?:(?P<operator>==|!=|<=|>=|<|>)\s*(?P<literal>[^)]+?))?\s*\)"""
)
_SLICE = re.compile(r"(-?\d*):(-?\d*)")


def find(path: str, value: Any) -> list[Any]:
    """Return what the path finds, in order. Raises: ValueError when it is no path."""
    found = [value]
    for step in parse(path):
        found = [inner for item in found for inner in step(item)][:RESULTS_MAX]
    return found


@lru_cache(maxsize=1024)
def parse(path: str) -> tuple[Step, ...]:
    """Return the steps of a path. Raises: ValueError."""
    text = path.strip().removeprefix("{").removesuffix("}").removeprefix("$")
    if text and text[0] not in ".[":
        text = f".{text}"
    steps: list[Step] = []
    at = 0
    while at < len(text):
        # A filter may hold brackets in its own path, so it ends at `)]`.
        if text.startswith("[?", at):
            end = text.find(")]", at)
            if end < 0:
                raise ValueError(f"{path[:64]!r}: the filter at {at} has no end")
            steps.append(_filter(text[at + 1 : end + 1]))
            at = end + 2
        elif text == ".":
            break
        else:
            match = _STEP.match(text, at)
            if match is None:
                raise ValueError(f"{path[:64]!r}: cannot be read from {text[at : at + 16]!r} on")
            steps.append(_step(match))
            at = match.end()
        if len(steps) > STEPS_MAX:
            raise ValueError(f"{path[:64]!r} has more than {STEPS_MAX} steps")
    return tuple(steps)


def _step(match: re.Match[str]) -> Step:
    if match["deep"]:
        return _descend(match["deep"])
    if match["field"]:
        name = re.sub(r"\\(.)", r"\1", match["field"])
        return _all if name == "*" else _field(name)
    inner = match["inner"].strip()
    if inner == "*":
        return _all
    if inner[:1] in ("'", '"'):
        return _field(re.sub(r"\\(.)", r"\1", inner[1:-1]))
    if re.fullmatch(r"-?\d{1,9}", inner):
        return _index(int(inner))
    span = _SLICE.fullmatch(inner)
    if span is None:
        raise ValueError(f"[{inner[:32]}] is no index, slice or field")
    return _slice(*(int(text) if text else None for text in span.groups()))


def _field(name: str) -> Step:
    def step(value: Any) -> Iterator[Any]:
        if isinstance(value, dict) and name in value:
            yield value[name]

    return step


def _all(value: Any) -> Iterator[Any]:
    if isinstance(value, dict):
        yield from value.values()
    elif isinstance(value, list):
        yield from value


def _index(at: int) -> Step:
    def step(value: Any) -> Iterator[Any]:
        if isinstance(value, list) and -len(value) <= at < len(value):
            yield value[at]

    return step


def _slice(first: int | None = None, last: int | None = None) -> Step:
    def step(value: Any) -> Iterator[Any]:
        if isinstance(value, list):
            yield from value[first:last]

    return step


def _descend(name: str) -> Step:
    def step(value: Any) -> Iterator[Any]:
        if isinstance(value, dict) and name in value:
            yield value[name]
        for inner in _all(value):
            yield from step(inner)

    return step


def _filter(text: str) -> Step:
    match = _FILTER.fullmatch(text)
    if match is None:
        raise ValueError(f"[{text[:32]}] is no filter")
    path, operator, literal = match["path"], match["operator"], match["literal"]
    parse(path)
    wanted = _literal(literal) if literal else None

    def step(value: Any) -> Iterator[Any]:
        for item in value if isinstance(value, list) else ():
            found = find(path, item)
            if found if operator is None else _compares(found, operator, wanted):
                yield item

    return step


def _literal(text: str) -> Any:
    if text[:1] in ("'", '"'):
        return text[1:-1]
    if text in ("true", "false"):
        return text == "true"
    try:
        return float(text) if "." in text else int(text)
    except ValueError as error:
        raise ValueError(f"{text[:32]!r} is no literal") from error


def _compares(found: Sequence[Any], operator: str, wanted: Any) -> bool:
    if not found:
        return False
    value = found[0]
    if operator in ("==", "!="):
        return bool(value == wanted) is (operator == "==")
    if isinstance(value, str) is not isinstance(wanted, str):
        return False
    try:
        less, equal = bool(value < wanted), bool(value == wanted)
    except TypeError:
        return False
    return {"<": less, "<=": less or equal, ">": not less and not equal, ">=": not less}[operator]
