"""Random histories of one object on three peers, compared with `ObjectOracle` at every move."""

from collections.abc import Callable
from contextlib import suppress
from copy import deepcopy
from random import Random
from typing import Any

from crdtstate.crdt.codec import decode_record
from crdtstate.crdt.dots import Vector
from crdtstate.kube.reading import render
from tests.models.object_oracle import ObjectOracle, entries_of, leaves_of
from tests.models.objects import ObjectPlay, X, exactly, removing
from tests.models.world import Peer

Body = dict[str, Any]


class ObjectWorld(ObjectPlay):
    """Peers that edit one object, and hear of each other now and then."""

    def __init__(self, rng: Random, *, repair: bool = False) -> None:
        super().__init__(repair=repair)
        self.random = rng
        self.meaning = ObjectOracle()
        self.frames: list[bytes] = []

    def move(self) -> None:
        """One random move, then look at what the peer shows."""
        rng = self.random
        peer, roll = rng.choice(self.peers), rng.random()
        self.now_ms += rng.choice((0, 1, 1500))
        if roll < 0.55:
            self.edit_somehow(peer)
        elif roll < 0.75 and self.frames:
            self.give(peer, *rng.sample(self.frames, min(3, len(self.frames))))
        elif roll < 0.95:
            self.fetch(peer, rng.choice(self.peers))
        elif self.repair:
            self.fetch(peer, rng.choice(self.peers), repair=True)
        self.look(peer)

    def edit_somehow(self, peer: Peer) -> None:
        """Replace, alter or delete, as a verb would; then compare with what was wanted."""
        rng, before = self.random, self.shown(peer)
        deletes = before is not None and rng.random() < 0.08
        wanted = altered(rng, before)
        past = dict(peer.store.vector)
        frame = self.edit(peer, removing() if deletes else exactly(wanted))
        result = self.result
        assert result.body is not None
        if not frame:
            assert result.outcome == "unchanged", "OBJ-1"
            return
        self.frames.append(frame)
        if not deletes:  # WRI-2
            assert _content(result.body) == _content(wanted), "WRI-2: not what was wanted"
            self._say_again(peer, wanted)
        dot, stamp = (peer.origin, peer.store.vector[peer.origin]), peer.store.clock.last
        marks = deletes and "deletionTimestamp" not in (before or {})["metadata"]
        if before is not None and "spec" not in before:
            before = {**before, "spec": {}}
        self.meaning.edited(dot, stamp, past, before, result.body, marks=marks)

    def _say_again(self, peer: Peer, wanted: Body) -> None:
        if self.result.outcome != "gone":
            again, result = self.edit(peer, exactly(wanted)), self.result
            assert not again, "OBJ-1, WRI-1: what is there was written again"
            assert result.outcome == "unchanged", "OBJ-1"

    def look(self, peer: Peer) -> None:
        """Compare what a peer shows with what was meant; and rendering with itself."""
        vector = peer.store.vector
        uids = self.meaning.uids(vector)
        shown = self.shown(peer)
        assert (shown["metadata"]["uid"] if shown else None) == (uids[0] if uids else None), "life"
        if shown is not None:
            self._compare(shown, uids[0], vector)
        for record_id, data in peer.records().items():
            record = decode_record(data)
            mixed = {p: _mixed(self.random, c) for p, c in _mixed(self.random, record).items()}
            once = render(X.key, record_id, record, data)
            again = render(X.key, record_id, mixed, data)
            assert repr(once and once.body) == repr(again and again.body), "OBC-3"

    def _compare(self, shown: Body, uid: str, vector: Vector) -> None:
        meaning, metadata = self.meaning, shown["metadata"]
        leaves, _ = leaves_of(shown)
        assert leaves == meaning.leaves(uid, vector), "what is shown"
        assert metadata["generation"] == meaning.generation(uid, vector), "OBJ-3"
        assert metadata.get("deletionTimestamp") == meaning.deleted_at(uid, vector), "DEL-1"
        assert entries_of(shown) == meaning.entries(uid, vector), "managers"


def play_objects(rng: Random, *, repair: bool = False, moves: int = 30) -> None:
    """Play one history to its end, where all are equal."""
    world = ObjectWorld(rng, repair=repair)
    for _ in range(moves):
        world.move()
    world.meet()
    for peer in world.peers:
        world.look(peer)


def _mixed(rng: Random, mapping: dict[Any, Any]) -> dict[Any, Any]:
    items = list(mapping.items())
    rng.shuffle(items)
    return dict(items)


def _content(body: Body) -> Body:
    leaves, items = leaves_of(body)
    metadata = {k: v for k, v in body["metadata"].items() if k == "finalizers"}
    fields = {k: v for k, v in body.items() if v}
    return {**fields, "metadata": metadata, "leaves": (leaves, items), "owned": entries_of(body)}


# -- what users write ---------------------------------------------------------------------------


def altered(rng: Random, before: Body | None) -> Body:
    """Return another body, near the one before."""
    if before is None:
        body: Body = {"metadata": {}, "spec": {"replicas": rng.randint(0, 3)}}
    else:
        kept = ("finalizers", "managedFields")
        metadata = {k: v for k, v in before["metadata"].items() if k in kept}
        body = {**deepcopy(before), "metadata": deepcopy(metadata)}
    for _ in range(rng.randint(1, 3)):
        rng.choice(_ALTERATIONS)(rng, body)
    metadata = {k: v for k, v in body.pop("metadata").items() if v}
    return {"metadata": metadata, **_without_empty(body)}


def _without_empty(value: Any) -> Any:
    if isinstance(value, dict):
        shown = {k: _without_empty(v) for k, v in value.items()}
        return {k: v for k, v in shown.items() if v not in ({}, [])}
    if isinstance(value, list):
        return [_without_empty(v) for v in value]
    return value


def _spec(body: Body) -> Body:
    spec: Body = body.setdefault("spec", {})
    return spec


def _container(rng: Random, body: Body) -> Body:
    containers = _spec(body).setdefault("containers", [])
    if not containers or rng.random() < 0.3:
        names = sorted({"u", "v", "w"} - {c["name"] for c in containers})
        if names:
            containers.insert(rng.randint(0, len(containers)), {"name": rng.choice(names)})
    container: Body = rng.choice(containers)
    return container


def _replicas(rng: Random, body: Body) -> None:
    _spec(body)["replicas"] = rng.choice((0, 1, 2, True, None, "1"))


def _limits(rng: Random, body: Body) -> None:
    _toggle(rng, _spec(body).setdefault("limits", {}), "ab")


def _selector(rng: Random, body: Body) -> None:
    _spec(body)["selector"] = {rng.choice("ab"): str(rng.randint(0, 2))}


def _anything(rng: Random, body: Body) -> None:
    inner = _spec(body).setdefault("anything", {})
    if isinstance(inner, dict):
        _toggle(rng, inner, "ab")
    if rng.random() < 0.3:
        _spec(body)["anything"] = rng.choice((1, [1, 2], {"a": {"b": 2}}))


def _image(rng: Random, body: Body) -> None:
    _toggle(rng, _container(rng, body), ("image", "args"))


def _toggle(rng: Random, where: Body, names: Any) -> None:
    name = rng.choice(names)
    if name in where and rng.random() < 0.4:
        del where[name]
    else:
        where[name] = rng.choice((["x"], ["x", "y"]) if name == "args" else ("p", "q", 7))


def _env(rng: Random, body: Body) -> None:
    _item(rng, _container(rng, body).setdefault("env", []), {"name": rng.choice("EF")}, "value")


def _ports(rng: Random, body: Body) -> None:
    port: Body = {"containerPort": rng.choice((80, 81))}
    if rng.random() < 0.5:
        port["protocol"] = rng.choice(("TCP", "UDP"))
    ports = _container(rng, body).setdefault("ports", [])
    _item(rng, ports, port, "name", lambda p: (p["containerPort"], p.get("protocol", "TCP")))


def _item(
    rng: Random, items: list[Body], key: Body, name: str, key_of: Callable[[Body], Any] = repr
) -> None:
    if key_of is repr:
        key_of = lambda item: item["name"]  # noqa: E731
    found = next((item for item in items if key_of(item) == key_of(key)), None)
    if found is None:
        items.insert(rng.randint(0, len(items)), {**key, name: rng.choice("mn")})
    elif rng.random() < 0.4:
        items.remove(found)
    else:
        found[name] = rng.choice("mno")


def _fewer(rng: Random, body: Body) -> None:
    containers = _spec(body).get("containers", [])
    if containers:
        containers.pop(rng.randrange(len(containers)))


def _reorder(rng: Random, body: Body) -> None:
    rng.shuffle(_spec(body).get("containers", []))
    rng.shuffle(_spec(body).get("zones", []))


def _zones(rng: Random, body: Body) -> None:
    _member(rng, _spec(body).setdefault("zones", []), rng.choice(("n", "s", 1)))


def _finalizers(rng: Random, body: Body) -> None:
    _member(rng, body["metadata"].setdefault("finalizers", []), rng.choice(("a/f", "b/f")))


def _member(rng: Random, members: list[Any], element: Any) -> None:
    if element in members:
        members.remove(element)
    else:
        members.insert(rng.randint(0, len(members)), element)


def _managers(rng: Random, body: Body) -> None:
    entries = body["metadata"].setdefault("managedFields", [])
    manager = rng.choice("pq")
    entries[:] = [e for e in entries if e["manager"] != manager]
    if rng.random() < 0.8:
        fields = {f"f:{name}": {} for name in rng.sample("abc", rng.randint(1, 3))}
        entries.append({
            "manager": manager, "operation": "Apply", "apiVersion": "test.io/v1",
            "fieldsType": "FieldsV1", "fieldsV1": {"f:spec": fields},
        })  # fmt: skip


def _conditions(rng: Random, body: Body) -> None:
    conditions = body.setdefault("status", {}).setdefault("conditions", [])
    name = rng.choice(("Ready", "Old"))
    conditions[:] = [c for c in conditions if c["type"] != name]
    if rng.random() < 0.7:
        conditions.append({"type": name, "status": rng.choice(("True", "False"))})


def _less(rng: Random, body: Body) -> None:
    with suppress(KeyError):
        del _spec(body)[rng.choice(("containers", "limits", "zones", "anything", "selector"))]


_ALTERATIONS = (
    _replicas, _limits, _selector, _anything, _image, _image, _env, _env, _ports, _fewer, _reorder,
    _zones, _finalizers, _conditions, _less, _managers, _managers,
)  # fmt: skip
