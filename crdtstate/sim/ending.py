"""What must hold of a cluster that is healed, equal and idle, whatever it has been through.

Invariants (checked here, of the shipping code):
    LIV-2  Nothing acknowledged is missing, nobody is held up, and traffic falls to idling.
    MBR-1  All who stay believe each other alive, are linked, and are members under the identity
           that they write with; nobody counts a member that was forgotten.
    LNK-1  Links that exist are not replaced by others.
    RES-1  Tasks, connections, requests and tables of an idle peer are as many as its links and
           its state need, not as many as there were faults.
    STR-3  Nothing is held for longer than HELD_AGE_MS_MAX.
    ESC-2  No bounded counter is below zero.
    EXP-1  What has expired is removed, by another peer if its writer is gone.
"""

import asyncio
from typing import TYPE_CHECKING

from crdtstate.replica.expiry import GRACE_MS
from crdtstate.sim.objects import check_objects
from crdtstate.sim.sessions import TIMED_PREFIX
from crdtstate.sim.violation import require
from crdtstate.storage.memory import MemoryStorage
from crdtstate.store.reading import list_views
from crdtstate.store.store import HELD_AGE_MS_MAX
from crdtstate.store.table import prefix_end
from crdtstate.store.views import life_of
from gossip import Liveness

if TYPE_CHECKING:
    from crdtstate.sim.world import Host, World

__all__ = ["check_end", "check_idle", "links_opened", "wait_for_agreement"]

_LATE_MS = 5_000  # After its grace, until a tick removes a key and all have heard of it.
_REQUEST_S_MAX = 16.0  # Clients wait at most 5 s, and a disk may stall for 10.


def check_end(world: "World", hosts: "list[Host]") -> None:
    """Check all that stay, once they are equal. Raises: Violation."""
    check_objects(hosts)
    living = {host.disk.origin for host in hosts}
    for host in hosts:
        assert host.peer is not None
        world.checkers.check_all(host)
        store = host.peer.replica.store
        # What a lost disk took can leave transactions that wait in vain; they age out later.
        waiting = [o for o in store.held if o in living]
        require(not waiting, "LIV-2", f"{host.name} still holds transactions of {waiting}")
        ready, why = host.peer.driver.ready
        require(ready, "LIV-2", f"{host.name} is not ready: {why}")
        for origin, seq in world.checkers.acked.items():
            have = store.vector.get(origin, 0)
            require(have >= seq, "ACK", f"{host.name} lacks {origin:x} from {have} to {seq}")


def disagreement(world: "World", hosts: "list[Host]") -> str:
    """Return where peers disagree on who is there (MBR-1), "" when they do not."""
    for host in hosts:
        assert host.peer is not None
        peer = host.peer
        alive = {m.name for m in peer.mesh.members() if m.liveness is Liveness.ALIVE}
        linked = set(peer.mesh.linked())
        for other in hosts:
            if other.name not in alive:
                return f"{host.name} does not believe that {other.name} lives"
            if other is not host and other.name not in linked:
                return f"{host.name} has no link with {other.name}"
            record = peer.replica.members.members.get(other.name)
            if record is None or int(record.origin, 16) != other.disk.origin:
                return f"{host.name} counts {other.name} as {record}, not as {other.disk.origin:x}"
        if back := world.forgotten & peer.replica.members.members.keys():
            return f"{host.name} counts {sorted(back)}, who were forgotten"
    return ""


def check_idle(world: "World", hosts: "list[Host]", watchers: int) -> None:
    """Check what an idle peer holds on to. Raises: Violation."""
    for host in hosts:
        assert host.peer is not None
        assert host.network is not None
        peer, size = host.peer, len(world.hosts)
        store = peer.replica.store
        counts = {
            "tasks of gossip": (len(peer.mesh._tasks._tasks), 8 + 4 * size),
            "tasks of the driver": (len(peer.driver._tasks), 2 + 2 * size),
            "connections": (len(host.network.pipes), 1 + size),
            "watches": (peer.dispatcher.watching.open, 2 * watchers),
            "events": (store.index.entries, store.config.event_entries_max + 2 * size),
            "requests": (_old_requests(world, host), 0),
        }
        for what, (count, most) in counts.items():
            require(count <= most, "RES-1", f"{host.name} has {count} {what}, {most} are enough")
        known = {other.name for other in world.hosts}
        strange = [m.name for m in peer.mesh.members() if m.name not in known]
        require(not strange, "KEY", f"{host.name} takes {strange} for members")
        _check_expired(host)
        _check_rights(host)
        for origin in store.held:
            held_ms = abs(host.clock.wall_ms() - store._held_since_ms[origin])
            require(
                held_ms <= HELD_AGE_MS_MAX + _LATE_MS, "STR-3",
                f"{host.name} has held transactions of {origin:x} for {held_ms} ms",
            )  # fmt: skip


def _old_requests(world: "World", host: "Host") -> int:
    """REP-4."""
    since_s = world.loop.time() - _REQUEST_S_MAX
    waiting = world.checkers.promises.waiting.get(host.name, {})
    return sum(asked_s < since_s for asked_s, _ in waiting.values())


def _check_expired(host: "Host") -> None:
    prefix = b"r" + TIMED_PREFIX.encode()
    due_ms = host.clock.wall_ms() - GRACE_MS - _LATE_MS
    for key, data in MemoryStorage(host.disk.database).scan(prefix, prefix_end(prefix)):
        life = life_of(data)
        overdue = life is not None and life.expires_ms is not None and life.expires_ms < due_ms
        require(not overdue, "EXP-1", f"{host.name} keeps {key!r}, due long ago")


def links_opened(hosts: "list[Host]") -> int:
    """Return how many links have been opened in the lives of now."""
    return sum(h.peer.mesh._counters["links_opened"] for h in hosts if h.peer is not None)


def _check_rights(host: "Host") -> None:
    reader, after = MemoryStorage(host.disk.database), None
    while True:
        entries, after = list_views(reader, b"b/", after, 500, host.clock.wall_ms())
        for entry in entries:
            if entry.view.type_name == "bounded":
                require(entry.value >= 0, "ESC-2", f"{host.name}: {entry.key} is {entry.value}")
        if after is None:
            return


async def wait_for_agreement(world: "World", hosts: "list[Host]", until_s: float) -> None:
    """Return once nobody disagrees on who is there. Raises: Violation."""
    while why := disagreement(world, hosts):
        require(world.loop.time() < until_s, "MBR-1", why)
        await asyncio.sleep(0.25)
