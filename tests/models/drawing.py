"""Operations and documents at random, on tiny domains where everything meets everything."""

from collections.abc import Sequence
from random import Random
from typing import Any, Protocol

from crdtstate.store import operations as ops

KEYS = ("k", "l")


class Named(Protocol):
    """A replica that rights may be given to."""

    name: str


def some_operation(rng: Random, peers: Sequence[Named]) -> ops.Operation:
    """Draw one operation; most keys keep one type, so that most are accepted."""
    key, n = rng.choice(KEYS), rng.randint(0, 3)
    name, value = rng.choice("xy"), rng.randint(0, 3)
    match rng.randrange(16):
        case 0 | 1 | 2:
            ttl_ms = 500 if rng.random() < 0.2 else None
            return ops.Put(key, value=str(value), ttl_ms=ttl_ms)
        case 3 | 4:
            return ops.Delete(rng.choice((key, "m", "s", "n")))
        case 5:
            return ops.MapPut("m", some_document(rng, 2))
        case 6 | 7:
            return ops.MapMerge("m", some_document(rng, 2, nulls=True))
        case 8:
            return ops.Apply("m", some_document(rng, 2), rng.choice("pq"))
        case 9:
            return ops.SetAdd("s", [name])
        case 10:
            return ops.SetRemove("s", [name])
        case 11:
            return ops.CounterAdd("n", value - 1)
        case 12:
            return ops.FlagSet("f", rng.random() < 0.5)
        case 13:
            return ops.BoundedCreate("b", 5) if n == 0 else ops.BoundedAdd("b", 1 + value)
        case 14:
            return ops.BoundedTake("b", 1 + value)
        case _:
            return ops.BoundedTransfer("b", 1, rng.choice(peers).name)


def some_document(rng: Random, depth: int, *, nulls: bool = False) -> dict[str, Any]:
    """Draw a small JSON object with scalars, objects, keyed lists and plain lists."""
    document: dict[str, Any] = {}
    for name in rng.sample("abc", rng.randint(0, 2)):
        roll = rng.random()
        if roll < 0.4 or depth == 0:
            document[name] = rng.randint(0, 3)
        elif roll < 0.7:
            document[name] = some_document(rng, depth - 1, nulls=nulls)
        elif roll < 0.85:
            items = rng.sample("uvw", rng.randint(0, 2))
            document[name] = [{"name": item, "v": rng.randint(0, 1)} for item in items]
        elif nulls:
            document[name] = None
        else:
            document[name] = [rng.randint(0, 1)]
    return document
