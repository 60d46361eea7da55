"""A world played by hand: each test says who writes, what arrives where, and who pulls."""

from random import Random
from typing import Any

from crdtstate.store import operations as ops
from crdtstate.store.reading import ConflictFound, find_view, list_conflicts
from crdtstate.store.transaction import decode_frame
from tests.models.small import small_slices
from tests.models.world import Peer, World


class Play(World):
    """Peers a, b, c… and nothing that happens by itself. Every move is checked by the oracle."""

    settling = 1.0

    def __init__(self, *, repair: bool = False, peers: int = 3) -> None:
        small_slices()
        super().__init__(Random(0), repair=repair, peers=peers)

    def meanwhile(self, peer: Peer) -> None:
        """Nothing happens meanwhile."""

    def write(self, peer: Peer, *operations: ops.Operation) -> bytes:  # type: ignore[override]
        """Commit a transaction durably; return its frame, which nobody has got."""
        self.now_ms += 1
        peer.store.submit(operations, [], self.wall_ms(peer))
        frames = peer.make_durable()
        self.check(peer)
        return frames[-1] if frames else b""

    def give(self, peer: Peer, *frames: bytes) -> bool:
        """Deliver frames, durably; tell whether the last one is held."""
        held = False
        for frame in frames:
            held = peer.store.receive(decode_frame(frame), self.wall_ms(peer)).held
            peer.make_durable()
            self.check(peer)
        return held

    def fetch(self, peer: Peer, source: Peer, *, cut: bool = False, repair: bool = False) -> None:
        """Pull (or repair), durably."""
        self.catch_up(peer, source, repair=repair, cut=cut)
        peer.make_durable()
        self.check(peer)

    def meet(self) -> None:
        """Let everybody pull from everybody, and require that all are equal."""
        self.finish()

    def value(self, peer: Peer, key: str) -> Any:
        """Return what a reader sees, None for no key."""
        found = find_view(peer.storage, key.encode(), self.wall_ms(peer))
        return found[0].value if found else None

    def conflicts(self, peer: Peer) -> list[ConflictFound]:
        """Return what a user is told."""
        return list_conflicts(peer.storage, b"", None, 100)[0]

    def siblings(self, peer: Peer, record_id: bytes, path: tuple[str, ...] = ()) -> int:
        """Return how many siblings a cell has on a peer."""
        return len(self.oracle.state(peer.store.vector).get(record_id, {}).get(path, {}))


def put(key: str, value: str) -> ops.Put:
    """Return a put."""
    return ops.Put(key, value=value)
