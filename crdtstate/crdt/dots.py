"""Names of events, and what has been seen: dots and version vectors.

A dot `(origin, seq)` names one transaction: `origin` is a random 64-bit number, new for every
storage incarnation; `seq` counts that origin's transactions, contiguous from 1. Because order is
causal, the causal context of a replica is exactly one version vector: no dot cloud, no tombstone.

Source: [PBA10] for dots, [GAB17] for one vector per replica that stands for all removed dots.

Invariants:
    DOT-1  A dot names one transaction, for ever, on every replica.
    VEC-1  A vector entry (origin, n) says that all of 1..n of that origin is covered: no gaps.
"""

from collections.abc import Mapping

__all__ = [
    "ORIGIN_MIN",
    "Dot",
    "Vector",
    "covers",
    "covers_all",
    "decode_flat",
    "encode_flat",
    "join_vectors",
    "missing",
]

Dot = tuple[int, int]
Vector = Mapping[int, int]

# Origins have the top bit set, so that every one of them encodes to nine bytes of CBOR.
ORIGIN_MIN = 1 << 63
_ORIGIN_END = 2 * ORIGIN_MIN
SEQ_MAX = (1 << 63) - 1


def covers(vector: Vector, dot: Dot) -> bool:
    """Tell whether `vector` has seen `dot`."""
    return vector.get(dot[0], 0) >= dot[1]


def covers_all(vector: Vector, other: Vector) -> bool:
    """Tell whether `vector` has seen everything that `other` has."""
    return all(vector.get(origin, 0) >= seq for origin, seq in other.items())


def join_vectors(a: Vector, b: Vector) -> dict[int, int]:
    """Return the least vector that covers both."""
    out = dict(a)
    for origin, seq in b.items():
        if out.get(origin, 0) < seq:
            out[origin] = seq
    return out


def missing(vector: Vector, target: Vector) -> dict[int, int]:
    """Return the entries of `target` that `vector` does not cover."""
    return {o: s for o, s in sorted(target.items()) if vector.get(o, 0) < s}


def encode_flat(vector: Vector) -> list[int]:
    """Return [origin, seq, origin, seq, …] in order of origin: the one wire form."""
    flat: list[int] = []
    for origin in sorted(vector):
        flat += (origin, vector[origin])
    return flat


def decode_flat(flat: object) -> dict[int, int]:
    """Parse `encode_flat`'s form.

    Raises: ValueError when it is anything else, or not in order of origin.
    """
    if type(flat) is list and len(flat) <= 2:
        return dict(decode_dots(flat))  # Nothing to be out of order with.
    if not isinstance(flat, list) or len(flat) % 2:
        raise ValueError("a vector is a flat list of origin, seq pairs")
    pairs = dict(_pairs(flat))
    if len(pairs) * 2 != len(flat) or list(pairs) != sorted(pairs):
        raise ValueError("a vector lists each origin once, in order")
    return pairs


def decode_dots(flat: object) -> list[Dot]:
    """Parse a flat list of dots, in the order given. Raises: ValueError."""
    if not isinstance(flat, list) or len(flat) % 2:
        raise ValueError("dots are a flat list of origin, seq pairs")
    return _pairs(flat)


def _pairs(flat: list[object]) -> list[Dot]:
    pairs: list[Dot] = []
    for i in range(0, len(flat), 2):
        origin, seq = flat[i], flat[i + 1]
        # bool is an int in Python, but not on the wire.
        if type(origin) is not int or type(seq) is not int:
            raise ValueError("origin and seq are integers")
        if not (ORIGIN_MIN <= origin < _ORIGIN_END and 0 < seq <= SEQ_MAX):
            raise ValueError(f"dot ({origin}, {seq}) is out of range")
        pairs.append((origin, seq))
    return pairs
