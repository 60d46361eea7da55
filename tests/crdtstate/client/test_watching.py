"""The watch as decisions, against a model: peers that serve, cut, forget and give way to others."""

import json
from random import Random
from typing import Any

import pytest

from crdtstate.client.answer import Answer
from crdtstate.client.attempt import Session
from crdtstate.client.endpoints import Endpoints
from crdtstate.client.watching import Lines, WatchMachine
from crdtstate.errors import CompactedError, UnavailableError
from crdtstate.model import Event


def machine(*, since: str | None = None, initial: bool = True) -> WatchMachine:
    session = Session(
        Endpoints(["http://a:1", "http://b:1"]),
        timeout_ms=1_000, causal=True, w=1, auth_token=None, rng=Random(1),
    )  # fmt: skip
    return WatchMachine(session, "", since=since, initial=initial, now_ms=0)


def item(key: str, version: str) -> dict[str, Any]:
    return {
        "key": key, "type": "register", "version": version, "value": version, "conflicts": 0,
    }  # fmt: skip


class Server:
    """The keys of one peer, and what it has told its one watcher."""

    def __init__(self, keys: dict[str, str]) -> None:
        self.keys, self.revision, self.told = dict(keys), 0, dict(keys)

    def listing(self) -> list[dict[str, Any]]:
        self.told = dict(self.keys)
        rows = [{"type": "put", "key": k, "rev": "", "item": item(k, v)} for k, v in
                sorted(self.keys.items())]  # fmt: skip
        return [*rows, self.bookmark()]

    def changes(self) -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = []
        for key in sorted(self.keys.keys() | self.told.keys()):
            if self.keys.get(key) != self.told.get(key):
                self.revision += 1
                row: dict[str, Any] = {"type": "delete", "key": key, "rev": str(self.revision)}
                if key in self.keys:
                    row |= {"type": "put", "item": item(key, self.keys[key])}
                rows.append(row)
        self.told = dict(self.keys)
        return [*rows, self.bookmark()]

    def bookmark(self) -> dict[str, Any]:
        return {"type": "bookmark", "rev": str(self.revision)}


def feed(watch: WatchMachine, lines: list[dict[str, Any]], cut_at: int | None) -> list[Event]:
    data = b"".join(json.dumps(line).encode() + b"\n" for line in lines)
    data = data if cut_at is None else data[:cut_at]
    middle = len(data) // 2
    return [*watch.feed(data[:middle]), *watch.feed(data[middle:])]


@pytest.mark.parametrize("initial", [True, False])
def test_at_every_bookmark_the_reader_knows_the_state(initial: bool) -> None:
    """CWA-1, CWA-2: through cuts, lost history and another peer's revisions."""
    for seed in range(300):
        rng, watch = Random(seed), machine(initial=initial)
        server = Server({"a": "v0", "b": "v0"})
        known: dict[str, str] = {}
        learned = initial
        for n in range(12):
            where = watch.plan()
            resumed = "since=" in where.target
            if resumed and rng.random() < 0.3:  # History is gone, or minted elsewhere.
                body = b'{"error": {"code": "foreign_revision", "message": "list"}}'
                watch.refused(Answer(410, {}, body), n)
                continue
            watch.opened()
            lines = server.changes() if resumed else server.listing()
            cut = rng.randrange(len(json.dumps(lines))) if rng.random() < 0.4 and n else None
            events = feed(watch, lines, cut)
            for event in events:
                if event.type == "put":
                    assert event.item is not None
                    assert known.get(event.key) != event.item.version, "told twice"
                    known[event.key] = event.item.version
                elif event.type == "delete":
                    assert known.pop(event.key, None) is not None, "a delete of nothing"
            server.told = dict(known)  # The peer tells again what did not arrive.
            if events and events[-1].type == "bookmark":
                if not learned:  # Without `initial` the first state is known, not told.
                    known, learned = dict(server.keys), True
                    server.told = dict(known)
                assert known == server.keys, f"seed {seed}, step {n}"
            elif not resumed:
                assert all(e.revision is None for e in events)
            watch.interrupted("cut", n)
            for _ in range(rng.randint(0, 3)):
                key = rng.choice("abc")
                if rng.random() < 0.3:
                    server.keys.pop(key, None)
                else:
                    server.keys[key] = f"v{n}{rng.random()}"


def test_a_watch_from_a_revision_that_is_gone_tells_its_caller() -> None:
    watch = machine(since="7")
    assert "since=7" in watch.plan().target
    body = b'{"error": {"code": "revision_compacted", "message": "list again"}}'
    with pytest.raises(CompactedError, match="list again"):
        watch.refused(Answer(410, {}, body), 0)


def test_lines_are_whole_however_they_arrive_and_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    lines, whole = Lines(), [b"first", b"second", b"third"]
    data = b"first\n\nsecond\nthird\n"
    assert [line for n in range(len(data)) for line in lines.feed(data[n : n + 1])] == whole
    monkeypatch.setattr("crdtstate.client.watching._LINE_BYTES_MAX", 10)
    with pytest.raises(UnavailableError, match="over 10"):
        lines.feed(b"x" * 11)
