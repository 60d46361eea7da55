"""What the records of one object show, and which of them a reader sees.

Invariants:
    OBJ-2  A deletion is never undone: a creation after it is another object, with another uid.
    OBJ-4  Of several objects under one name, one that is not marked for deletion is seen before one
           that is, then the one created last.
"""

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any, NamedTuple, final

from crdtstate.crdt.codec import decode_record
from crdtstate.crdt.dots import Dot
from crdtstate.crdt.record import LIFE, Record, winner
from crdtstate.kube.cells import value_of
from crdtstate.kube.keys import ObjectKey
from crdtstate.kube.managers import managers_of
from crdtstate.kube.rendering import render_content
from crdtstate.kube.uids import uid_text
from crdtstate.store.marks import DELETED, mark_of
from crdtstate.store.ports import Family, Reader
from crdtstate.store.table import prefix_end
from crdtstate.store.views import decode_life, encode_life, version_of

__all__ = [
    "GENERATION", "SYSTEM_FIELDS", "Shown", "choose_shown", "encode_object_life", "format_time",
    "read_lives", "render",
]  # fmt: skip

GENERATION = "@generation"
# Of metadata, what is computed or kept in cells of its own, whatever a body says.
SYSTEM_FIELDS = frozenset({
    "name", "namespace", "uid", "resourceVersion", "generation", "creationTimestamp", "selfLink",
    "deletionTimestamp", "deletionGracePeriodSeconds", "managedFields",
})  # fmt: skip
_YEAR_10000_MS = 253_402_300_800_000


@final
class Shown(NamedTuple):
    """One record of an object, rendered: without apiVersion, kind and resourceVersion."""

    record_id: bytes
    record: Record
    body: dict[str, Any]
    uid: str
    gone: bool
    stamp: tuple[int, Dot]  # Of the life cell: the later creation wins.
    digest: str
    size: int  # Of its bytes in the store.


def encode_object_life(uid: bytes, created_ms: int) -> bytes:
    """Return the value of the life cell: 16 bytes of uid, 8 of milliseconds since 1970."""
    return encode_life("object", uid + created_ms.to_bytes(8, "big"))


def render(key: ObjectKey, record_id: bytes, record: Record, data: bytes) -> Shown | None:
    """Return what a record shows; None when it is no object's, or one that has ended.

    `data` is the record's encoding, empty when nobody asks for digest and size.

    creationTimestamp is the least of concurrent creations. Cost: O(cells).
    """
    if LIFE not in record:
        return None
    cell = record[LIFE]
    dot, stamp, value = winner(cell)
    life = decode_life(value)
    if life.type_name != "object" or len(life.content) != 24:
        return None
    created = min(v[-8:] for _, v in cell.values() if len(v) == len(value))
    uid = uid_text(life.content[:16])
    content = render_content(record)
    given = content.pop("metadata", None)
    metadata: dict[str, Any] = {"name": key.name}
    if key.namespace:
        metadata["namespace"] = key.namespace
    metadata["uid"] = uid
    metadata["creationTimestamp"] = format_time(int.from_bytes(created, "big"))
    if generation := _generation(record):
        metadata["generation"] = generation
    mark = mark_of(record)
    if mark is not None:
        metadata["deletionTimestamp"] = format_time(mark.at_ms)
        metadata["deletionGracePeriodSeconds"] = mark.grace_s
    if type(given) is dict:
        metadata.update({k: v for k, v in given.items() if k not in SYSTEM_FIELDS})
    if managers := managers_of(record):
        metadata["managedFields"] = managers
    gone = mark is not None and mark.grace_s <= 0 and not metadata.get("finalizers")
    body = {"metadata": metadata, **content}
    digest = version_of(data)
    return Shown(record_id, record, body, uid, gone, (stamp, dot), digest, len(data))


def choose_shown(lives: Iterable[Shown]) -> Shown | None:
    """Return which of the records of one key a reader sees, None when all are gone (OBJ-4)."""
    there = (s for s in lives if not s.gone)
    return max(there, key=lambda s: (DELETED not in s.record, s.stamp), default=None)


def read_lives(reader: Reader, key: ObjectKey) -> list[Shown]:
    """Return every record under a key that has not ended. Cost: O(their cells)."""
    encoded = key.encode()
    first = Family.RECORD + encoded + b"\0"
    if reader.get(Family.GRAVE + encoded) is None:
        data = reader.get(first)
        found = [(first, data)] if data is not None else []
    else:
        found = list(reader.scan(first, prefix_end(first)))
    rendered = (render(key, k[1:], decode_record(v), v) for k, v in found)
    return [shown for shown in rendered if shown is not None]


def format_time(ms: int) -> str:
    """Return metav1.Time of milliseconds since 1970: seconds, UTC."""
    seconds = min(max(ms, 0), _YEAR_10000_MS - 1) // 1000
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _generation(record: Record) -> int:
    counts = (value_of(winner(c)[2]) for p, c in record.items() if p and p[0] == GENERATION)
    return sum(n for n in counts if type(n) is int)
