"""The replica set: who counts for stability and majorities. Kept in the store, like all state.

    \\x01member/NAME    register: {"name", "origin", "api", "gossip"}   each member writes its own
    \\x01retired/NAME   register: {"name", "origin", "api", "seq"}      written by `forget`

Liveness is not membership: a dead member still counts, until someone forgets it, for good.
Addresses are here too, so that they outlive the process (RFC 0006).

Invariants:
    MEM-1  A name that is retired is never a member again.
    MEM-2  An address is believed only when it is numeric, with a port from 1 to 65535.
"""

from collections.abc import Iterator
from ipaddress import ip_address
from typing import Any, final

import msgspec

from crdtstate.store import operations as ops
from crdtstate.store.ports import Reader
from crdtstate.store.table import prefix_end
from crdtstate.store.transaction import split_record_id
from crdtstate.store.views import view_of

__all__ = ["SYSTEM", "MemberRecord", "ReplicaSet"]

SYSTEM = b"\x01"
_MEMBER, _RETIRED = b"\x01member/", b"\x01retired/"


@final
class MemberRecord(msgspec.Struct, frozen=True):
    """One member of the replica set, or one that was forgotten."""

    name: str
    origin: str  # 16 hexadecimal digits
    api: str = ""
    seq: int = 0  # of a retired origin: the last that the forgetter knew
    gossip: str = ""  # ADDRESS:PORT, the address numeric

    def contact(self) -> tuple[str, int] | None:
        """Return where its gossip was last; None when it did not say, or nothing sensible."""
        host, _, port = self.gossip.rpartition(":")
        try:
            ip_address(host)
            return (host, int(port)) if 0 < int(port) < 1 << 16 else None
        except ValueError:
            return None


@final
class ReplicaSet:
    """The replica set as this replica knows it. Reloaded when a system record changes."""

    def __init__(self) -> None:
        self.members: dict[str, MemberRecord] = {}
        self.retired: dict[str, MemberRecord] = {}
        self._contacts: list[tuple[str, int]] = []

    def load(self, reader: Reader) -> None:
        """Read all system records. Cost: O(members ever)."""
        self.retired = {r.name: r for r in _records(reader, _RETIRED)}
        self.members = {
            r.name: r
            for r in _records(reader, _MEMBER)
            if r.name not in self.retired  # MEM-1
        }
        found = (record.contact() for record in self.members.values())
        self._contacts = [contact for contact in found if contact is not None]

    def shows(self, record: MemberRecord) -> bool:
        """Whether a member is known as it knows itself; of who was forgotten no more is wanted."""
        return record.name in self.retired or self.members.get(record.name) == record

    def origin_of(self, name: str) -> int | None:
        """Return the origin under which a member writes."""
        member = self.members.get(name)
        return int(member.origin, 16) if member else None

    def name_of(self, origin: int) -> str | None:
        """Return the member, present or retired, that wrote under `origin`, if it still says so."""
        wanted = f"{origin:016x}"
        for record in (*self.members.values(), *self.retired.values()):
            if record.origin == wanted:
                return record.name
        return None

    def contacts(self) -> list[tuple[str, int]]:
        """Return where the gossip of the members was last. The list is not the caller's."""
        return self._contacts

    def needed(self, replicas: int | str, me: str) -> int:
        """Return how many replicas, this one included, `replicas` asks for."""
        total = len(self.members.keys() | {me})
        if replicas == "all":
            return total
        if replicas == "majority":
            return total // 2 + 1
        return int(replicas)


def announce(record: MemberRecord) -> tuple[bytes, ops.Operation]:
    """Return the operation by which a member enters itself."""
    return _MEMBER + record.name.encode(), _put(record)


def retire(record: MemberRecord) -> list[tuple[bytes, ops.Operation]]:
    """Return the operations that forget a member."""
    name = record.name.encode()
    return [
        (_MEMBER + name, ops.Delete(record.name)),
        (_RETIRED + name, _put(record)),
    ]


def _put(record: MemberRecord) -> ops.Put:
    return ops.Put(record.name, value_base64=msgspec.json.encode(record))


def _records(reader: Reader, prefix: bytes) -> Iterator[MemberRecord]:
    for key, data in reader.scan(b"r" + prefix, prefix_end(b"r" + prefix)):
        name, _ = split_record_id(key[1:])
        view: Any = view_of(data, 0)
        if view is None or view.type_name != "register":
            continue
        try:
            record = msgspec.json.decode(view.value, type=MemberRecord)
            valid = prefix + record.name.encode() == name and int(record.origin, 16) >= 0
        except (msgspec.DecodeError, ValueError):
            continue  # Kept on every replica, believed by none.
        if valid:
            yield record
