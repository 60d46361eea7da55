"""Served events one by one, as tests want to name and compare them."""

from collections.abc import Iterable
from itertools import groupby

from crdtstate.crdt.dots import Dot
from crdtstate.store.index import encode_event
from crdtstate.store.parts import Part, PartWriter, records_only

ServedEvent = tuple[Dot, list[bytes], list[bytes]]  # Its dot, the ids touched, the ids ended.


def part_of(events: list[ServedEvent], *records: tuple[bytes, bytes | None]) -> Part:
    """Return a part with these records and events."""
    writer = PartWriter()
    for origin, some in groupby(events, key=lambda event: event[0][0]):
        encoded = [(dot[1], encode_event(touched, ended)) for dot, touched, ended in some]
        assert not any(writer.fill(origin, encoded)), "all in one part"
    return next(writer.rest(), records_only([]))._replace(records=list(records))


def events_of(parts: Iterable[Part]) -> list[tuple[Dot, bytes, list[bytes]]]:
    """Return (dot, encoded, ids ended) of the events of parts, in order."""
    return [
        ((run.origin, seq), part.distinct[place], part.ended.get(place, []))
        for part in parts
        for run in part.runs
        for seq, place in enumerate(run.indices, run.first)
    ]
