"""Objects in the world of `tests.laws.play`: kinds with small schemas, edits, and what is seen."""

from collections.abc import Callable
from copy import deepcopy
from typing import Any

from crdtstate.kube.editing import edit
from crdtstate.kube.objects import Change, Context, EditResult, Live, Removal, Target
from crdtstate.kube.reading import Shown, choose_shown, read_lives
from crdtstate.kube.resources import Resource
from crdtstate.kube.schema import ANY, Schema
from tests.laws.play import Play
from tests.models.world import Peer

CLUSTER = b"c" * 16
TEXT = Schema("scalar")
LABELS = Schema("object", additional=TEXT)
PORTS = Schema(
    "array",
    list_type="map",
    list_keys=("containerPort", "protocol"),
    items=Schema(
        "object",
        properties={
            "containerPort": TEXT,
            "protocol": Schema("scalar", has_default=True, default="TCP"),
            "name": TEXT,
        },
    ),
)
CONTAINER = Schema(
    "object",
    properties={
        "name": TEXT,
        "image": TEXT,
        "args": Schema("array", items=TEXT),
        "env": Schema(
            "array", list_type="map", list_keys=("name",),
            items=Schema("object", properties={"name": TEXT, "value": TEXT}),
        ),
        "ports": PORTS,
    },
)  # fmt: skip
SPEC = Schema(
    "object",
    properties={
        "replicas": TEXT,
        "selector": Schema("object", map_type="atomic"),
        "containers": Schema("array", list_type="map", list_keys=("name",), items=CONTAINER),
        "zones": Schema("array", list_type="set", items=TEXT),
        "limits": LABELS,
        "anything": ANY,
    },
)
STATUS = Schema(
    "object",
    properties={
        "conditions": Schema(
            "array", list_type="map", list_keys=("type",), items=Schema("object", properties={})
        ),
    },
)
SCHEMA = Schema("object", properties={"spec": SPEC, "status": STATUS})


def resource(plural: str = "things", *, policy: Any = "fields", group: str = "test.io") -> Resource:
    """Return a kind with generation and a status subresource."""
    return Resource(
        group=group, version="v1", kind="Thing", plural=plural, singular="thing",
        namespaced=True, schema=SCHEMA, subresources=("status",), has_generation=True,
        policy=policy,
    )  # fmt: skip


THINGS = resource()
LOCKS = resource("locks", policy="whole")
X = Target(THINGS, "default", "x")


def body(**spec: Any) -> dict[str, Any]:
    """Return the body of a thing with this spec."""
    return {"metadata": {}, "spec": spec}


def setting(wanted: dict[str, Any]) -> Change:
    """Return a change that wants this body; what metadata has beside it stays."""

    def change(live: Live | None, _context: Context) -> dict[str, Any]:
        if live is None:
            return deepcopy(wanted)
        return {**wanted, "metadata": {**live.body["metadata"], **wanted.get("metadata", {})}}

    return change


def exactly(wanted: dict[str, Any]) -> Change:
    """Return a change that wants this body and no other metadata."""
    return lambda _live, _context: deepcopy(wanted)


def altering(alter: Callable[[dict[str, Any]], object]) -> Change:
    """Return a change that alters the live body in place; nothing when there is none."""

    def change(live: Live | None, _context: Context) -> dict[str, Any] | None:
        if live is None:
            return None
        alter(live.body)
        return live.body

    return change


def removing(grace_s: int = 0, *, uid: str | None = None) -> Change:
    """Return a change that deletes."""

    def change(live: Live | None, _context: Context) -> Removal | None:
        if live is None or (uid is not None and live.body["metadata"]["uid"] != uid):
            return None
        return Removal(grace_s)

    return change


class ObjectPlay(Play):
    """A world whose peers hold objects."""

    def edit(self, peer: Peer, change: Change, target: Target = X) -> bytes:
        """Commit one edit; return its frame. The result is in `result`."""
        self.now_ms += 1
        committed = peer.store.submit([edit(target, change, CLUSTER)], [], self.wall_ms(peer))
        self.result: EditResult = committed.results[0]
        frames = peer.make_durable()
        self.check(peer)
        return frames[-1] if frames else b""

    def set(self, peer: Peer, wanted: dict[str, Any], target: Target = X) -> bytes:
        """Create or replace."""
        return self.edit(peer, setting(wanted), target)

    def alter(
        self, peer: Peer, alter: Callable[[dict[str, Any]], object], target: Target = X
    ) -> bytes:
        """Change the live body."""
        return self.edit(peer, altering(alter), target)

    def remove(self, peer: Peer, target: Target = X, grace_s: int = 0) -> bytes:
        """Delete."""
        return self.edit(peer, removing(grace_s), target)

    def lives(self, peer: Peer, target: Target = X) -> list[Shown]:
        """Return every life under a name."""
        return read_lives(peer.storage, target.key)

    def shown(self, peer: Peer, target: Target = X) -> dict[str, Any] | None:
        """Return the body that a reader sees on a peer."""
        found = choose_shown(self.lives(peer, target))
        return found.body if found else None

    def agreed(self, target: Target = X) -> dict[str, Any] | None:
        """Let everybody meet; return what all see, which is the same."""
        self.meet()
        seen = [self.shown(peer, target) for peer in self.peers]
        assert all(body == seen[0] for body in seen)
        return seen[0]
