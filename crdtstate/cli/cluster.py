"""Commands about peers: members, status, conflicts, wait, forget, backup, restore."""

import sys
from pathlib import Path
from typing import Any

import click

from crdtstate.cli.output import columns, emit, format_option, instant, text_of
from crdtstate.cli.session import Session
from crdtstate.errors import StorageError
from crdtstate.model import Conflict

__all__ = ["backup", "conflicts", "forget", "members", "restore", "status", "wait"]


@click.command()
@format_option
@click.pass_obj
def members(session: Session, form: str) -> None:
    """List the peers, as the peer that answers sees them. BEHIND counts transactions."""
    with session.client() as client:
        found = client.members()
    rows = [
        (
            m.name + (" *" if m.is_self else ""), m.liveness, "yes" if m.linked else "no",
            m.vector_behind, m.api, m.address, m.origin,
        )
        for m in found
    ]  # fmt: skip
    head = ("NAME", "LIVENESS", "LINKED", "BEHIND", "API", "GOSSIP", "ORIGIN")
    emit(form, [dict(m.fields) for m in found], lambda: columns(head, rows))


@click.command()
@format_option
@click.pass_obj
def status(session: Session, form: str) -> None:
    """Show how the peer that answers is."""
    with session.client() as client:
        found = client.status()
    fields = dict(found.fields)

    def table() -> str:
        rows: list[tuple[str, Any]] = [
            ("peer", f"{found.name}, origin {found.origin}"),
            ("ready", "yes" if found.ready else f"no: {found.reason}"),
            ("linked", ", ".join(found.linked) or "to nobody"),
            ("members", f"{found.members}{', this is a minority' if found.minority else ''}"),
            ("conflicts", found.conflicts),
            ("held", fields.get("held")),
            ("fingerprint", fields.get("fingerprint")),
            ("revision", found.revision),
            ("disk", f"{fields.get('disk_bytes', 0):,} bytes"),
            ("up", f"{fields.get('uptime_ms', 0) / 1000:.1f} s"),
            ("version", fields.get("version")),
        ]
        rows += [
            ("warning", f"{name} speaks version {version} of the replication protocol, this peer "
                        f"{fields['protocol']}: they exchange nothing until both speak the same")
            for name, version in fields.get("other_versions", {}).items()
        ]  # fmt: skip
        return "\n".join(f"{name:12} {value}" for name, value in rows)

    emit(form, fields, table)


@click.command()
@click.argument("prefix", default="")
@format_option
@click.pass_obj
def conflicts(session: Session, prefix: str, form: str) -> None:
    """List where concurrent writes met and differ, with all their values.

    The value marked * is the one that reads show. Writing the place again settles it.
    """
    with session.client() as client:
        found = list(client.conflicts(prefix))

    def table() -> str:
        rows = [row for conflict in found for row in _conflict_rows(conflict)]
        head = ("KEY", "PATH", "", "VALUE", "WRITTEN BY", "AT")
        return columns(head, rows) if rows else "no conflicts"

    emit(form, [_conflict_fields(conflict) for conflict in found], table)


def _conflict_rows(conflict: Conflict) -> list[tuple[object, ...]]:
    rows: list[tuple[object, ...]] = []
    for number, one in enumerate(conflict.values):
        first = number == 0
        rows.append(
            (
                conflict.key if first else " ",
                (conflict.path or f"({conflict.kind})") if first else " ",
                "*" if one.wins else " ",
                text_of(one.value, 40),
                one.peer or one.origin,
                instant(one.time_ms),
            )
        )
    return rows


def _conflict_fields(conflict: Conflict) -> dict[str, Any]:
    return {
        "key": conflict.key,
        "path": conflict.path,
        "kind": conflict.kind,
        "values": [
            {
                "value": text_of(v.value, 1 << 30) if isinstance(v.value, bytes) else v.value,
                "origin": v.origin, "peer": v.peer, "time_ms": v.time_ms, "wins": v.wins,
            }
            for v in conflict.values
        ],
    }  # fmt: skip


@click.command()
@click.option("--peers", default="all", show_default=True, metavar="N|majority|all")
@click.pass_obj
def wait(session: Session, peers: str) -> None:
    """Wait until peers have everything durable that the peer that answers has now."""
    with session.client() as client:
        client.status()  # Its answer brings the token to wait for.
        reach = client.wait(peers=int(peers) if peers.isdigit() else peers)
    sys.stdout.write(f"{', '.join(reach.have)} have it\n")


@click.command()
@click.argument("name")
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.pass_obj
def forget(session: Session, name: str, yes: bool) -> None:
    """Remove member NAME for good: it may never come back under its identity."""
    if not yes:
        click.confirm(f"Forget {name} for good?", abort=True, err=True)
    with session.client() as client:
        client.forget(name)
    sys.stdout.write(f"{name} is forgotten\n")


@click.command()
@click.argument("path", type=click.Path(path_type=Path))
@click.pass_obj
def backup(session: Session, path: Path) -> None:
    """Write a backup to PATH, a new directory on the peer's disk, while the peer runs."""
    with session.client() as client:
        done = client.backup(path.absolute())
    sys.stdout.write(f"{done.files} files, {done.bytes:,} bytes in {done.path}\n")


@click.command()
@click.argument("source", type=click.Path(path_type=Path))
@click.argument("data", type=click.Path(path_type=Path))
def restore(source: Path, data: Path) -> None:
    """Make the data directory DATA out of the backup SOURCE.

    A peer that is started on it takes a new identity, and learns from the others what is newer.
    """
    from crdtstate.storage.backup import restore as restore_backup

    if not source.is_dir():
        raise StorageError(f"{source} is not a backup: there is no such directory")
    restore_backup(source, data)
    sys.stdout.write(f"restored to {data}; start it with: crdtstate serve --data {data} …\n")
