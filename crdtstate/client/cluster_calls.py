"""Every request about peers and the cluster as a value, and how its answer is read. No I/O."""

from typing import Any

import msgspec

from crdtstate.client.answer import Answer, decode_body
from crdtstate.client.calls import Call, ValueShape, check, key_path, to_conflict_value
from crdtstate.model import BackupInfo, Conflict, KeyInfo, MemberInfo, Reach, Status

__all__ = [
    "backup",
    "change_keys",
    "conflict_page",
    "dev",
    "forget",
    "keys",
    "members",
    "status",
    "wait",
]


class _Conflict(msgspec.Struct):
    key: str
    path: str
    kind: str
    values: list[ValueShape]


class _Conflicts(msgspec.Struct):
    conflicts: list[_Conflict]
    next: str | None = msgspec.field(name="continue", default=None)


class _Status(msgspec.Struct):
    name: str
    origin: str
    revision: str
    token: str
    ready: bool = True
    reason: str | None = None
    linked: list[str] = []
    members: int = 1
    minority: bool = False
    conflicts: int = 0


class _Member(msgspec.Struct):
    name: str
    liveness: str
    linked: bool = False
    origin: str | None = None
    address: str | None = None
    api: str | None = None
    incarnation: int | None = None
    vector_behind: int | None = None
    is_self: bool = msgspec.field(name="self", default=False)


class _Reach(msgspec.Struct):
    have: list[str]
    missing: list[str] = []


class _Backup(msgspec.Struct):
    path: str
    files: int = 0
    bytes: int = 0


class _Key(msgspec.Struct):
    id: str
    primary: bool = False


class _Keys(msgspec.Struct):
    keys: list[_Key]


class _Members(msgspec.Struct):
    members: list[_Member]


def _fields(data: bytes) -> dict[str, Any]:
    return decode_body(data, dict[str, Any])


def status() -> Call[Status]:
    """GET /status."""

    def parse(answer: Answer) -> Status:
        found = decode_body(check(answer).body, _Status)
        return Status(
            name=found.name,
            origin=found.origin,
            revision=found.revision,
            token=found.token,
            ready=found.ready,
            reason=found.reason or "",
            linked=tuple(found.linked),
            members=found.members,
            minority=found.minority,
            conflicts=found.conflicts,
            fields=_fields(answer.body),
        )

    return Call(method="GET", path="/status", parse=parse)


def members() -> Call[tuple[MemberInfo, ...]]:
    """GET /members."""

    def parse(answer: Answer) -> tuple[MemberInfo, ...]:
        rows = decode_body(check(answer).body, _Members).members
        return tuple(
            MemberInfo(
                name=row.name,
                origin=row.origin,
                address=row.address,
                api=row.api,
                liveness=row.liveness,
                linked=row.linked,
                incarnation=row.incarnation,
                vector_behind=row.vector_behind,
                is_self=row.is_self,
                fields=fields,
            )
            for row, fields in zip(rows, _fields(answer.body)["members"], strict=True)
        )

    return Call(method="GET", path="/members", parse=parse)


def _done(answer: Answer) -> None:
    check(answer)


def forget(name: str) -> Call[None]:
    """DELETE /members/{name}."""
    return Call(method="DELETE", path=key_path("members", name), parse=_done, write=True, w=1)


def conflict_page(prefix: str, start: str | None) -> Call[tuple[tuple[Conflict, ...], str | None]]:
    """GET /conflicts."""

    def parse(answer: Answer) -> tuple[tuple[Conflict, ...], str | None]:
        found = decode_body(check(answer).body, _Conflicts)
        rows = tuple(
            Conflict(
                key=row.key,
                path=row.path,
                kind=row.kind,
                values=tuple(to_conflict_value(value) for value in row.values),
            )
            for row in found.conflicts
        )
        return rows, found.next

    pairs = (("prefix", prefix or None), ("continue", start))
    query = tuple((name, text) for name, text in pairs if text is not None)
    return Call(method="GET", path="/conflicts", query=query, parse=parse)


def wait(token: str | None, peers: int | str) -> Call[Reach]:
    """POST /wait."""

    def parse(answer: Answer) -> Reach:
        found = decode_body(check(answer).body, _Reach)
        return Reach(tuple(found.have), tuple(found.missing))

    return Call(
        method="POST", path="/wait", query=(("peers", str(peers)),), parse=parse, waits=True,
        headers={"Crdtstate-Token": token} if token else None,
    )  # fmt: skip


def backup(path: str) -> Call[BackupInfo]:
    """POST /backup: to the disk of one certain peer."""

    def parse(answer: Answer) -> BackupInfo:
        found = decode_body(check(answer).body, _Backup)
        return BackupInfo(found.path, found.files, found.bytes)

    return Call(
        method="POST", path="/backup", body=msgspec.json.encode({"path": path}), parse=parse,
        write=True, w=1, repeatable=False, pinned=True, waits=True,
    )  # fmt: skip


def _parse_keys(answer: Answer) -> tuple[KeyInfo, ...]:
    found = decode_body(check(answer).body, _Keys).keys
    return tuple(KeyInfo(key.id, key.primary) for key in found)


def keys() -> Call[tuple[KeyInfo, ...]]:
    """GET /keys."""
    return Call(method="GET", path="/keys", parse=_parse_keys, pinned=True)


def change_keys(change: str, text: str) -> Call[tuple[KeyInfo, ...]]:
    """POST /keys: one step of a rotation on one certain peer."""
    return Call(
        method="POST", path="/keys", body=msgspec.json.encode({change: text}), parse=_parse_keys,
        write=True, w=1, repeatable=False, pinned=True,
    )  # fmt: skip


def dev(what: str, body: dict[str, Any]) -> Call[None]:
    """POST /dev/…: change the faults that one certain peer plays."""
    return Call(
        method="POST", path=f"/dev/{what}", body=msgspec.json.encode(body), parse=_done,
        write=True, w=1, pinned=True,
    )  # fmt: skip
