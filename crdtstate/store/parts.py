"""What a catch-up brings, part by part: current records, and the events that name them.

A long cut is a few records touched by many transactions. So a part says each distinct event once,
and the events of one origin, whose dots follow each other, come as a run of two bytes each.

Source: dictionary and run-length encoding of columns [AMF06].

Invariants:
    PRT-1  Parsing what any peer sends returns a part or raises RemoteProtocolError.
    PRT-2  A part is at most `PART_BYTES` and one item long, however many dots its runs cover.
"""

from collections.abc import Iterable, Iterator
from struct import pack, unpack
from typing import Any, NamedTuple, final

from crdtstate.crdt.dots import ORIGIN_MIN, SEQ_MAX
from crdtstate.errors import RemoteProtocolError
from crdtstate.store.index import decode_event, encode_event
from crdtstate.store.transaction import check_record_id

__all__ = [
    "PART_BYTES", "SLICE", "End", "Part", "PartWriter", "Run", "pack_indices", "parse_part",
    "records_only",
]  # fmt: skip

PART_BYTES = 48 << 10
_EVENT_BYTES, _RUN_BYTES = 2, 24
_DISTINCT_MAX = 1 << 16
SLICE = 256  # Events, or records, between two pauses.


@final
class Run(NamedTuple):
    """Events of the dots (origin, first), (origin, first + 1), …, as places in `Part.distinct`."""

    origin: int
    first: int
    indices: list[int]


@final
class Part(NamedTuple):
    """Some of the records (id, bytes or None when gone) and of the events of a session."""

    records: list[tuple[bytes, bytes | None]]
    distinct: list[bytes]
    """Encoded events, as on disk."""
    ended: dict[int, list[bytes]]
    """Of which of them, by place: the ids of the records whose life they ended."""
    runs: list[Run]

    @property
    def held_bytes(self) -> int:
        """About what it takes in memory."""
        records = sum(120 + len(record_id) + len(data or b"") for record_id, data in self.records)
        events = sum(120 + len(encoded) for encoded in self.distinct)
        return records + events + sum(200 + 36 * len(run.indices) for run in self.runs)


@final
class End(NamedTuple):
    """The last message of a session; `buckets` names the repaired ones, None for a pull."""

    target: dict[int, int]
    buckets: list[int] | None


def records_only(records: list[tuple[bytes, bytes | None]]) -> Part:
    """Return a part without events."""
    return Part(records, [], {}, [])


@final
class PartWriter:
    """Gathers events into parts. `touched` has every record that any of them names."""

    def __init__(self) -> None:
        self.touched: dict[bytes, None] = {}
        self._ended: dict[bytes, list[bytes]] = {}
        self._clear()

    def _clear(self) -> None:
        self._places: dict[bytes, int] = {}
        self._runs: list[Run] = []
        self._size = 0

    def fill(self, origin: int, events: Iterable[tuple[int, bytes]]) -> Iterator[Part | None]:
        """Add (seq, encoded) of one origin; yield each part that is full, None as a pause."""
        following = -1
        indices: list[int] = []
        for n, (seq, encoded) in enumerate(events, 1):
            if seq != following:
                indices = self._begin(origin, seq)
            place = self._places.get(encoded)
            indices.append(self._place(encoded) if place is None else place)
            following = seq + 1
            self._size += _EVENT_BYTES
            if self._size > PART_BYTES:
                yield from self.rest()
                following = -1
            elif n % SLICE == 0:
                yield None

    def _begin(self, origin: int, seq: int) -> list[int]:
        self._runs.append(Run(origin, seq, []))
        self._size += _RUN_BYTES
        return self._runs[-1].indices

    def _place(self, encoded: bytes) -> int:
        place = self._places[encoded] = len(self._places)
        self._size += len(encoded)
        if encoded not in self._ended:  # Most events touch one of a few records: decoded once.
            ids, self._ended[encoded] = decode_event(encoded)
            self.touched.update(dict.fromkeys(ids))
        return place

    def rest(self) -> Iterator[Part]:
        """Yield what is gathered and in no part yet, if anything is."""
        if self._runs:
            ends = ((place, self._ended[encoded]) for encoded, place in self._places.items())
            ended = {place: ids for place, ids in ends if ids}
            yield Part([], list(self._places), ended, self._runs)
            self._clear()


def pack_indices(indices: list[int]) -> bytes:
    """Return a run's indices as they are sent, two bytes each."""
    return pack(f">{len(indices)}H", *indices)


def parse_part(records: Any, distinct: Any, runs: Any) -> Part:
    """Check the types of a part that a peer sent. Raises: RemoteProtocolError."""
    if type(records) is not list or type(distinct) is not list or type(runs) is not list:
        raise RemoteProtocolError("a part is a list of records, one of events, and one of runs")
    for item in records:
        if type(item) is not list or len(item) != 2 or type(item[0]) is not bytes:
            raise RemoteProtocolError("a served record is [id, bytes or null]")
        if item[1] is not None and type(item[1]) is not bytes:
            raise RemoteProtocolError("a served record is [id, bytes or null]")
    if len(distinct) > _DISTINCT_MAX:
        raise RemoteProtocolError(f"a part has {len(distinct)} events, more than {_DISTINCT_MAX}")
    events: list[bytes] = []
    ended: dict[int, list[bytes]] = {}
    for place, item in enumerate(distinct):
        if type(item) is not list or len(item) != 2 or any(type(ids) is not list for ids in item):
            raise RemoteProtocolError("a served event is [[id touched…], [id ended…]]")
        for record_id in (*item[0], *item[1]):
            check_record_id(record_id)
        events.append(encode_event(*item))
        if item[1]:
            ended[place] = item[1]
    found = [_parse_run(run, len(events)) for run in runs]
    return Part([(record_id, data) for record_id, data in records], events, ended, found)


def _parse_run(run: Any, distinct: int) -> Run:
    if type(run) is not list or len(run) != 3 or type(run[2]) is not bytes:
        raise RemoteProtocolError("a run is [origin, first seq, two bytes an event]")
    origin, first, packed = run
    if type(origin) is not int or not ORIGIN_MIN <= origin < 2 * ORIGIN_MIN:
        raise RemoteProtocolError("a run's origin is out of range")
    if not packed or len(packed) % _EVENT_BYTES:
        raise RemoteProtocolError(f"a run of {len(packed)} bytes is not two bytes an event")
    count = len(packed) // _EVENT_BYTES
    if type(first) is not int or not 0 < first <= SEQ_MAX - count + 1:
        raise RemoteProtocolError("a run's seq is out of range")
    indices = list(unpack(f">{count}H", packed))
    if max(indices) >= distinct:
        raise RemoteProtocolError(f"a run names event {max(indices)} of {distinct}")
    return Run(origin, first, indices)
