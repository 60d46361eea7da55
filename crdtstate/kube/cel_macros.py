"""Macros that bind variables: quantifiers, maps and filters, `cel.bind`, `optMap`.

Source: CEL specification 0.24, "Macros"; cel-go extensions.
"""

from collections.abc import Callable, Iterator
from typing import Any

from crdtstate.kube.cel_lexer import CelError
from crdtstate.kube.cel_operators import truth
from crdtstate.kube.cel_parser import Expr
from crdtstate.kube.cel_values import NONE, Budget, Optional, type_of

__all__ = ["BUDGET", "Closure", "Env", "bind", "comprehension", "optional_map"]

Env = dict[str, Any]
Closure = Callable[[Env], Any]
BUDGET = "$"
"""Where an environment keeps its budget: no identifier, so that expressions cannot reach it."""


def comprehension(tree: Expr, args: tuple[Closure, ...]) -> Closure:
    """Make the closure of a quantifier, a map or a filter."""
    target, *bodies = args
    variables, steps = tree.variables, 1 + sum(arg.size for arg in tree.args[1:])
    finish = _FINISHERS[tree.name]

    def run(env: Env) -> Any:
        budget: Budget = env[BUDGET]
        inner = dict(env)

        def each() -> Iterator[tuple[Env, Any]]:
            for bound in _bindings(target(env), len(variables)):
                budget.spend(steps)
                inner.update(zip(variables, bound, strict=True))
                yield inner, bound[0]

        return finish(each(), bodies)

    return run


def _bindings(value: Any, count: int) -> Iterator[tuple[Any, ...]]:
    """Yield what one or two variables are bound to: items or keys, or either with its value."""
    if isinstance(value, list):
        yield from enumerate(value) if count == 2 else ((item,) for item in value)
    elif isinstance(value, dict):
        # Whoever wrote the map, its order is one.
        keys = sorted(value, key=str)
        yield from ((key, value[key]) for key in keys) if count == 2 else ((key,) for key in keys)
    else:
        raise CelError(f"expression of type '{type_of(value)}' cannot be range of a comprehension")


Bound = Iterator[tuple[Env, Any]]
"""Environments in turn, with what the first variable is bound to. Each ends its predecessor."""
Finish = Callable[[Bound, list[Closure]], Any]


def _quantified(decisive: bool) -> Finish:
    """`all` and `exists`: an error counts only where no item decides."""

    def finish(envs: Bound, bodies: list[Closure]) -> bool:
        (test,) = bodies
        wrong: CelError | None = None
        for env, _ in envs:
            try:
                if truth(test(env)) is decisive:
                    return decisive
            except CelError as error:
                wrong = error
        if wrong is not None:
            raise wrong
        return not decisive

    return finish


def _exactly_one(envs: Bound, bodies: list[Closure]) -> bool:
    (test,) = bodies
    return sum(truth(test(env)) for env, _ in envs) == 1


def _filter(envs: Bound, bodies: list[Closure]) -> list[Any]:
    (test,) = bodies
    return [item for env, item in envs if truth(test(env))]


def _to_list(envs: Bound, bodies: list[Closure]) -> list[Any]:
    *tests, body = bodies
    return [body(env) for env, _ in envs if all(truth(test(env)) for test in tests)]


def _to_map(envs: Bound, bodies: list[Closure]) -> dict[Any, Any]:
    *tests, body = bodies
    return {key: body(env) for env, key in envs if all(truth(test(env)) for test in tests)}


_FINISHERS: dict[str, Finish] = {
    "all": _quantified(decisive=False),
    "exists": _quantified(decisive=True),
    "exists_one": _exactly_one,
    "existsOne": _exactly_one,
    "filter": _filter,
    "map": _to_list,
    "transformList": _to_list,
    "transformMap": _to_map,
}


def bind(tree: Expr, args: tuple[Closure, ...]) -> Closure:
    """Make the closure of `cel.bind(name, value, body)`."""
    (name,), (value, body) = tree.variables, args
    return lambda env: body({**env, name: value(env)})


def optional_map(tree: Expr, args: tuple[Closure, ...]) -> Closure:
    """Make the closure of `optMap` or `optFlatMap`."""
    (name,), (target, body) = tree.variables, args
    flat = tree.name == "optFlatMap"

    def run(env: Env) -> Optional:
        value = target(env)
        if not isinstance(value, Optional):
            raise CelError(f"no such overload: {tree.name} of {type_of(value)}")
        if not value.present:
            return NONE
        result = body({**env, name: value.value})
        if not flat:
            return Optional(True, result)
        if not isinstance(result, Optional):
            raise CelError(f"optFlatMap yields {type_of(result)}, not an optional")
        return result

    return run
