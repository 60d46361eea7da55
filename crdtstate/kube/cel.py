"""The Common Expression Language: a tree compiled to closures, evaluated within a budget.

Source: CEL specification 0.24 (evaluation, errors in `&&`, `||` and the quantifiers).

Invariants:
    CEL-1  An evaluation ends: it takes a number of steps that its budget bounds, whatever the
           expression and the values.
    CEL-2  It is a function of the expression and the variables.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, final

from crdtstate.kube.cel_functions import FUNCTIONS, METHODS
from crdtstate.kube.cel_lexer import CelError
from crdtstate.kube.cel_macros import BUDGET, Closure, Env, bind, comprehension, optional_map
from crdtstate.kube.cel_operators import OPERATORS, is_key, truth
from crdtstate.kube.cel_parser import Expr, parse
from crdtstate.kube.cel_values import NONE, Budget, CelLimit, Optional, Type, checked, type_of

__all__ = ["Budget", "CelError", "CelLimit", "Program", "compiled"]

_TYPES = {
    name: Type(name)
    for name in ("bool", "bytes", "double", "int", "list", "map", "null_type", "string", "type",
                 "uint")
}  # fmt: skip


@final
@dataclass(frozen=True, slots=True, eq=False)
class Program:
    """One expression, ready to be evaluated."""

    tree: Expr
    names: frozenset[str]
    """Variables that it uses."""
    run: Closure

    def evaluate(self, variables: Mapping[str, Any], budget: Budget) -> Any:
        """Return the value. Raises: CelError, it has none; CelLimit, the budget is spent."""
        budget.spend(self.tree.size)
        return self.run({**variables, BUDGET: budget})


@lru_cache(maxsize=4096)
def compiled(text: str) -> Program:
    """Return the program of an expression. Raises: CelError."""
    tree = parse(text)
    names: set[str] = set()
    run = _compile(tree, (), names)
    return Program(tree, frozenset(names), run)


def _compile(tree: Expr, scope: tuple[str, ...], free: set[str]) -> Closure:
    inner = (*scope, *tree.variables)
    args = tuple(
        _compile(arg, inner if i >= _BODY.get(tree.kind, len(tree.args)) else scope, free)
        for i, arg in enumerate(tree.args)
    )
    if tree.kind == "ident" and tree.name not in scope and tree.name not in _TYPES:
        free.add(tree.name)
    return _MAKERS[tree.kind](tree, args)


_BODY = {"comprehension": 1, "bind": 1, "optmap": 1}
"""From which argument on the variables of a node are in scope."""


def _literal(tree: Expr, _args: tuple[Closure, ...]) -> Closure:
    value = tree.value
    return lambda env: value


def _ident(tree: Expr, _args: tuple[Closure, ...]) -> Closure:
    name = tree.name

    def run(env: Env) -> Any:
        if name in env:
            return env[name]
        if name in _TYPES:
            return _TYPES[name]
        raise CelError(f"undeclared reference to '{name}'")

    return run


def _field(value: Any, name: Any) -> Any:
    """Select; in an optional, select optionally."""
    if isinstance(value, Optional):
        return _maybe(value, name)
    if isinstance(value, dict):
        if name in value:
            return value[name]
        raise CelError(f"no such key: {name}")
    raise CelError(f"type '{type_of(value)}' does not support field selection")


def _maybe(value: Any, name: Any) -> Optional:
    if isinstance(value, Optional):
        return _maybe(value.value, name) if value.present else NONE
    if isinstance(value, dict):
        return Optional(True, value[name]) if is_key(name) and name in value else NONE
    if isinstance(value, list) and isinstance(name, int):
        return Optional(True, value[name]) if 0 <= name < len(value) else NONE
    raise CelError(f"type '{type_of(value)}' does not support field selection")


def _select(tree: Expr, args: tuple[Closure, ...]) -> Closure:
    name, (operand,) = tree.name, args
    return lambda env: _field(operand(env), name)


def _select_optional(tree: Expr, args: tuple[Closure, ...]) -> Closure:
    name, (operand,) = tree.name, args
    return lambda env: _maybe(operand(env), name)


def _has(tree: Expr, args: tuple[Closure, ...]) -> Closure:
    name, (operand,) = tree.name, args

    def run(env: Env) -> bool:
        value = operand(env)
        if isinstance(value, Optional | dict):
            return bool(_maybe(value, name).present)
        raise CelError(f"type '{type_of(value)}' does not support field selection")

    return run


def _index(_tree: Expr, args: tuple[Closure, ...]) -> Closure:
    operand, index = args

    def run(env: Env) -> Any:
        value, at = operand(env), index(env)
        if isinstance(value, list):
            if isinstance(at, bool) or not isinstance(at, int):
                raise CelError(f"unsupported index type '{type_of(at)}' in list")
            if 0 <= at < len(value):
                return value[at]
            raise CelError(f"index out of bounds: {at}")
        if not is_key(at):
            raise CelError(f"unsupported index type '{type_of(at)}'")
        return _field(value, at)

    return run


def _index_optional(_tree: Expr, args: tuple[Closure, ...]) -> Closure:
    operand, index = args
    return lambda env: _maybe(operand(env), index(env))


def _call(tree: Expr, args: tuple[Closure, ...]) -> Closure:
    table = METHODS if tree.method else FUNCTIONS
    function, name = table.get(tree.name), tree.name
    if function is None:
        raise CelError(f"undeclared reference to '{name}'")

    def run(env: Env) -> Any:
        values = [arg(env) for arg in args]
        try:
            return function(env[BUDGET], *values)
        except (TypeError, ValueError, AttributeError, IndexError, KeyError, OverflowError) as no:
            shown = ", ".join(type_of(value) for value in values)
            raise CelError(f"no such overload: {name}({shown}): {no}") from None

    return run


def _list(_tree: Expr, args: tuple[Closure, ...]) -> Closure:
    return lambda env: [arg(env) for arg in args]


def _map(_tree: Expr, args: tuple[Closure, ...]) -> Closure:
    def run(env: Env) -> dict[Any, Any]:
        result: dict[Any, Any] = {}
        for key, value in zip(args[::2], args[1::2], strict=True):
            name = key(env)
            if not is_key(name):
                raise CelError(f"unsupported key type '{type_of(name)}'")
            if name in result:
                raise CelError(f"duplicate key: {name}")
            result[name] = value(env)
        return result

    return run


def _joined(decisive: bool) -> Callable[[Expr, tuple[Closure, ...]], Closure]:
    """`&&` and `||`: an error counts only where the other side does not decide."""

    def make(_tree: Expr, args: tuple[Closure, ...]) -> Closure:
        def run(env: Env) -> Any:
            wrong: CelError | None = None
            for arg in args:
                try:
                    value = arg(env)
                except CelError as error:
                    wrong = error
                    continue
                if value is decisive:
                    return decisive
                if not isinstance(value, bool):
                    wrong = CelError(f"no such overload: logic on {type_of(value)}")
            if wrong is not None:
                raise wrong
            return not decisive

        return run

    return make


def _cond(_tree: Expr, args: tuple[Closure, ...]) -> Closure:
    test, yes, no = args
    return lambda env: yes(env) if truth(test(env)) else no(env)


def _not(_tree: Expr, args: tuple[Closure, ...]) -> Closure:
    (operand,) = args
    return lambda env: not truth(operand(env))


def _negative(_tree: Expr, args: tuple[Closure, ...]) -> Closure:
    (operand,) = args

    def run(env: Env) -> Any:
        value = operand(env)
        if isinstance(value, float):
            return -value
        if isinstance(value, int) and not isinstance(value, bool):
            return checked(-value)
        raise CelError(f"no such overload: -{type_of(value)}")

    return run


def _binary(tree: Expr, args: tuple[Closure, ...]) -> Closure:
    (left, right), name = args, tree.name
    operate = OPERATORS[name]

    def run(env: Env) -> Any:
        a, b = left(env), right(env)
        try:
            return operate(a, b, env[BUDGET])
        except (TypeError, OverflowError):
            raise CelError(f"no such overload: {type_of(a)} {name} {type_of(b)}") from None

    return run


_MAKERS: Mapping[str, Callable[[Expr, tuple[Closure, ...]], Closure]] = {
    "literal": _literal,
    "ident": _ident,
    "select": _select,
    "select?": _select_optional,
    "has": _has,
    "index": _index,
    "index?": _index_optional,
    "call": _call,
    "list": _list,
    "map": _map,
    "and": _joined(decisive=False),
    "or": _joined(decisive=True),
    "cond": _cond,
    "not": _not,
    "neg": _negative,
    "binary": _binary,
    "comprehension": comprehension,
    "bind": bind,
    "optmap": optional_map,
}
