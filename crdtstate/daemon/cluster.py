"""The cluster's side of one peer: status, members, metrics, faults, keys, backup."""

import base64
import binascii
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, final

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

from crdtstate.crdt.dots import missing
from crdtstate.daemon.driver import Driver
from crdtstate.errors import CrdtstateError, InvalidError, NotFoundError
from crdtstate.replica.events import Outcome
from crdtstate.replica.membership import MemberRecord
from crdtstate.replica.messages import PROTOCOL_VERSION
from crdtstate.version import VERSION
from gossip import GossipError, Liveness, Member, Mesh, key_id_of

__all__ = ["PeerCluster"]


@final
class NotDevError(CrdtstateError):
    """Fault injection on a daemon that was not started with --dev."""

    status = 403
    default_code = "not_dev"


@final
class PeerCluster(Collector):
    """What the API tells of the cluster; see `crdtstate.api.ports.Cluster`."""

    def __init__(
        self,
        driver: Driver,
        mesh: Mesh,
        *,
        cluster_id: bytes,
        dev: bool,
        backup: Callable[[str], Awaitable[dict[str, Any]]],
        keys: Sequence[bytes],
        save_keys: Callable[[Sequence[bytes]], Awaitable[None]],
        watches_open: Callable[[], int],
    ) -> None:
        self._driver, self._mesh, self._dev = driver, mesh, dev
        self._cluster_id, self._backup, self._save_keys = cluster_id, backup, save_keys
        self._watches_open = watches_open
        self._keys = {key_id_of(key).hex(): key for key in keys}
        self._started_ms = driver.now_ms()
        self._registry = CollectorRegistry()
        self._registry.register(self)

    def show(self, collector: Collector) -> None:
        """Add to the metrics what somebody beside this peer counts."""
        self._registry.register(collector)

    def _others(self) -> list[Any]:
        me = self._driver.name
        return [m for m in self._mesh.members() if m.name != me]

    def _linked(self) -> list[str]:
        """Return with whom writes are exchanged: a link to another version carries none."""
        others = self._driver.replica.peers.other_versions()
        return [name for name in self._mesh.linked() if name not in others]

    def is_minority(self) -> bool:
        """Tell whether this peer sees less than a majority of the replica set."""
        members = self._driver.replica.members.members.keys() | {self._driver.name}
        reached = set(self._linked()) & members | {self._driver.name}
        return 2 * len(reached) <= len(members) and len(members) > 1

    def status(self) -> dict[str, Any]:
        """Return the fields of GET /status. Cost: O(members)."""
        driver, replica = self._driver, self._driver.replica
        store = replica.store
        return {
            "cluster": self._cluster_id.hex(),
            "version": VERSION,
            "protocol": PROTOCOL_VERSION,
            "vector": {f"{o:016x}": s for o, s in sorted(replica.shown.vector.items())},
            "fingerprint": f"{replica.shown.root:032x}",
            "disk_bytes": driver.storage.size_bytes(),
            "linked": self._linked(),
            "other_versions": replica.peers.other_versions(),
            "members": len(replica.members.members),
            "alive": 1 + sum(m.liveness == Liveness.ALIVE for m in self._others()),
            "minority": self.is_minority(),
            "conflicts": store.table.conflicts,
            "held": store.held_count,
            "event_index": {
                "entries": store.index.entries,
                "entries_max": store.config.event_entries_max,
                "floors": {f"{o:016x}": s for o, s in sorted(store.index.floors.items())},
            },
            "anti_entropy": dict(replica.antientropy.counts),
            "rejected_messages": replica.conversation.rejected,
            "gossip": self._mesh.stats(),
            "uptime_ms": driver.now_ms() - self._started_ms,
            "clock_offset_ms": replica.clock_offset_ms,
            "dev": self._dev,
        }

    def members(self) -> list[dict[str, Any]]:
        """Return a row for each member of the replica set and each peer that gossip knows."""
        driver, replica = self._driver, self._driver.replica
        records, linked = replica.members.members, set(self._linked())
        found = {m.name: m for m in self._mesh.members()}
        rows: list[dict[str, Any]] = []
        for name in sorted((records.keys() | found.keys()) - replica.members.retired.keys()):
            record, member = records.get(name), found.get(name)
            me = name == driver.name
            known = driver.replica.peers.known_vector(name)
            behind = None
            if not me and known is not None:
                lacking = missing(known, replica.shown.vector)
                behind = sum(s - known.get(o, 0) for o, s in lacking.items())
            rows.append(
                {
                    "name": name,
                    "origin": record.origin if record else None,
                    "address": _address(record, member),
                    "api": record.api if record else None,
                    "liveness": member.liveness.name.lower() if member else "unknown",
                    "incarnation": member.incarnation if member else None,
                    "linked": me or name in linked,
                    "member": record is not None,
                    "vector_behind": 0 if me else behind,
                    "self": me,
                }
            )
        return rows

    async def forget(self, name: str) -> Outcome:
        """Forget a member for good."""
        return await self._driver.forget(name)

    async def backup(self, path: str) -> dict[str, Any]:
        """Write a checkpoint while running, off the loop."""
        return await self._backup(path)

    def keys(self) -> list[dict[str, Any]]:
        """Return the ids of the cluster keys."""
        ids = [key_id.hex() for key_id in self._mesh.keyring.ids()]
        return [{"id": key_id, "primary": n == 0} for n, key_id in enumerate(ids)]

    async def change_keys(self, change: dict[str, Any]) -> list[dict[str, Any]]:
        """Add, use or remove one key, durable before it is answered."""
        ring = self._mesh.keyring
        if len(change) != 1 or not change.keys() <= {"add", "use", "remove"}:
            raise InvalidError("body names one of add, use, remove", code="invalid_json")
        ((step, text),) = change.items()
        try:
            if step == "add":
                key = base64.b64decode(text, validate=True)
                self._keys[ring.add(key).hex()] = key
            elif step == "use":
                ring.use(bytes.fromhex(text))
            else:
                ring.remove(bytes.fromhex(text))
        except (GossipError, binascii.Error, ValueError) as error:
            raise InvalidError(f"key not changed: {error}", code="invalid_parameter") from error
        ids = [key_id.hex() for key_id in ring.ids()]
        self._keys = {key_id: self._keys[key_id] for key_id in ids}
        await self._save_keys(list(self._keys.values()))
        return self.keys()

    def fault(self, change: dict[str, Any]) -> None:
        """Cut, heal or disturb a link; only with --dev."""
        if not self._dev:
            raise NotDevError("fault injection needs a daemon started with --dev")
        peer = change["peer"]
        if peer is not None and peer not in {m.name for m in self._others()}:
            raise NotFoundError(
                f"there is no other member {peer!r}", code="no_such_member", name=peer
            )
        if "heal" in change:
            self._mesh.heal(peer)
        else:
            try:
                self._mesh.set_fault(
                    peer,
                    cut=change.get("cut"),
                    drop=change.get("drop", 0.0),
                    delay_ms=change.get("delay_ms", 0),
                )
            except (GossipError, ValueError) as error:
                raise InvalidError(str(error), code="invalid_parameter") from error

    # -- metrics -------------------------------------------------------------------------------

    def metrics(self) -> bytes:
        """Return the Prometheus text."""
        return generate_latest(self._registry)

    def collect(self) -> Any:
        """Yield the metric families, read from what `status` reads."""
        driver, replica = self._driver, self._driver.replica
        store = replica.store
        gauges = {
            "ready": (replica.standing.ready, "1 when reads here are as good as anywhere"),
            "minority": (self.is_minority(), "1 when less than a majority is linked"),
            "links": (len(self._linked()), "open links to other members"),
            "other_versions": (
                len(replica.peers.other_versions()),
                "linked members that speak another protocol version: nothing is exchanged",
            ),
            "members": (len(replica.members.members), "members of the replica set"),
            "conflicts": (store.table.conflicts, "records that hold a conflict"),
            "held_transactions": (store.held_count, "transactions that wait for their past"),
            "event_index_entries": (store.index.entries, "events remembered"),
            "revision": (replica.shown.revision, "local revision"),
            "watches": (self._watches_open(), "open watches"),
            "storage_failed": (driver.failure is not None, "1 after a storage failure"),
        }
        for name, (value, text) in gauges.items():
            yield GaugeMetricFamily(f"crdtstate_{name}", text, value=float(value))
        counters = {
            "batches": (driver.persists, "batches made durable"),
            "rejected_messages": (replica.conversation.rejected, "malformed messages of peers"),
            "held_dropped": (store.held_dropped, "transactions dropped over the bound"),
            **{name: (n, "anti-entropy") for name, n in replica.antientropy.counts.items()},
        }
        for name, (value, text) in counters.items():
            yield CounterMetricFamily(f"crdtstate_{name}", text, value=float(value))
        events = CounterMetricFamily("crdtstate_gossip", "gossip counters", labels=["what"])
        for name, value in sorted(self._mesh.stats().items()):
            events.add_metric([name], float(value))
        yield events


def _address(record: MemberRecord | None, member: Member | None) -> str | None:
    """Where gossip sees a member; else where it last said that it is, if that is credible."""
    where = (member.host, member.port) if member else record.contact() if record else None
    return f"{where[0]}:{where[1]}" if where else None
