"""What a reader sees of a record: its type, its value, its version, its conflicts.

The value of the life cell names the type; a plain key's content is in it too, so that a plain key
is one cell. First byte of a life value: 0 register, 1 register with an expiry time (8 bytes of
milliseconds), 2 map, 3 set, 4 counter, 5 flag, 6 bounded counter, 7 object.

The types over cells:
    map      nested paths of a document (crdtstate.store.document)
    set      "~element" -> true                         add-wins [BZP12]
    counter  "=origin" -> that origin's total           value = sum
    flag     "!on" -> true                              enable-wins
    bounded  "+i" granted to i, ">i" "j" given by i to j, "-i" taken by i   escrow [BDF15]
    object   cells by schema, read by the resource API alone (crdtstate.kube.cells)
"""

from typing import Any, NamedTuple, final

from xxhash import xxh3_64_hexdigest

from crdtstate.crdt.codec import decode_record, read_value, register_value
from crdtstate.crdt.dots import Dot
from crdtstate.crdt.record import LIFE, Record, winner
from crdtstate.store.document import unflatten

__all__ = ["Life", "View", "decode_life", "encode_life", "life_of", "view_of", "view_of_record"]

REGISTER, EXPIRING, MAP, SET, COUNTER, FLAG, BOUNDED, OBJECT = range(8)
TYPE_NAMES = ("register", "register", "map", "set", "counter", "flag", "bounded", "object")
UNKNOWN_TYPE = "unknown"


@final
class Life(NamedTuple):
    """A decoded life value."""

    type_name: str
    content: bytes = b""
    expires_ms: int | None = None


def encode_life(type_name: str, content: bytes = b"", expires_ms: int | None = None) -> bytes:
    """Encode the value of a life cell."""
    if expires_ms is not None:
        return b"\x01" + expires_ms.to_bytes(8, "big") + content
    return bytes((TYPE_NAMES.index(type_name),)) + content


def decode_life(value: bytes) -> Life:
    """Decode the value of a life cell; a type of a later version is kept, not understood."""
    kind = value[0] if value else len(TYPE_NAMES)
    if kind == REGISTER:
        return Life("register", value[1:])
    if kind == EXPIRING:
        return Life("register", value[9:], int.from_bytes(value[1:9], "big"))
    return Life(TYPE_NAMES[kind] if kind < len(TYPE_NAMES) else UNKNOWN_TYPE, value[1:])


def life_of(data: bytes | None) -> Life | None:
    """Return the decoded life of a stored record, expired or not; None without one."""
    if not data:
        return None
    plain = register_value(data)
    if plain is not None:
        return decode_life(plain[2])
    record = decode_record(data)
    return decode_life(winner(record[LIFE])[2]) if LIFE in record else None


@final
class View(NamedTuple):
    """One readable key."""

    type_name: str
    content: bytes  # of a register
    data: bytes | None  # None: what a transaction has changed and not yet encoded
    expires_ms: int | None
    record: Record | None  # None for a life of one sibling alone: a plain key, an empty map
    stamp: tuple[int, Dot]  # of the life cell, to choose among lives

    @property
    def value(self) -> Any:
        """The value: bytes of a register, else JSON. Cost: O(cells)."""
        if self.type_name == "register":
            return self.content
        return value_of(self.type_name, self.record or {})

    @property
    def version(self) -> str:
        """The opaque version of the key."""
        assert self.data is not None, "preconditions come before changes"
        return version_of(self.data)


def version_of(data: bytes) -> str:
    """Return the opaque version of encoded bytes: dots are unique, so it never repeats."""
    return xxh3_64_hexdigest(data)


def view_of(data: bytes | None, wall_ms: int) -> View | None:
    """Return what a reader sees at `wall_ms`, or None: no record, no life, or expired."""
    if not data:
        return None
    plain = register_value(data)
    if plain is None:
        return view_of_record(decode_record(data), data, wall_ms)
    dot, stamp, value = plain
    return _view(value, data, None, (stamp, dot), wall_ms)


def view_of_record(record: Record, data: bytes | None, wall_ms: int) -> View | None:
    """Do `view_of` for a record that is decoded."""
    if LIFE not in record:
        return None
    dot, stamp, value = winner(record[LIFE])
    return _view(value, data, record, (stamp, dot), wall_ms)


def _view(
    value: bytes,
    data: bytes | None,
    record: Record | None,
    stamp: tuple[int, Dot],
    wall_ms: int,
) -> View | None:
    life = decode_life(value)
    if life.expires_ms is not None and life.expires_ms <= wall_ms:
        return None
    return View(life.type_name, life.content, data, life.expires_ms, record, stamp)


def value_of(type_name: str, record: Record) -> Any:
    """Return the JSON value of a record that is not a register."""
    match type_name:
        case "map":
            return unflatten(record)
        case "set":
            return [p[0][1:] for p in sorted(record) if len(p) == 1 and p[0][:1] == "~"]
        case "counter":
            return sum(_integers(record, "="))
        case "flag":
            return ("!on",) in record
        case "bounded":
            return sum(_integers(record, "+")) - sum(_integers(record, "-"))
        case _:
            return None


def _integers(record: Record, kind: str) -> list[int]:
    return [integer_at(record, p) for p in record if len(p) == 1 and p[0][:1] == kind]


def integer_at(record: Record, path: tuple[str, ...]) -> int:
    """Return the integer at `path`, 0 when there is none."""
    cell = record.get(path)
    if not cell:
        return 0
    value = read_value(winner(cell)[2])
    return value if type(value) is int else 0


def rights_of(record: Record, origin: str) -> int:
    """Return what `origin` may still take: granted + received - given - taken. [BDF15]"""
    rights = integer_at(record, ("+" + origin,)) - integer_at(record, ("-" + origin,))
    for path in record:
        if len(path) == 2 and path[0][:1] == ">":
            if path[1] == origin:
                rights += integer_at(record, path)
            if path[0][1:] == origin:
                rights -= integer_at(record, path)
    return rights
