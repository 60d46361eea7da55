"""`crdtstate kv`: keys from the shell."""

import sys
from typing import Any

import click

from crdtstate.cli.output import columns, emit, format_option, text_of
from crdtstate.cli.session import Session
from crdtstate.errors import NotFoundError
from crdtstate.model import Event, Item

__all__ = ["kv"]

_replicas_option = click.option(
    "-w", "--w", metavar="N|majority|all", default="1", show_default=True,
    help="How many replicas must have it durable before this returns.",
)  # fmt: skip


@click.group()
def kv() -> None:
    """Put, get, list, delete and watch keys."""


@kv.command()
@click.argument("key")
@click.argument("value")
@click.option("--ttl", type=click.FloatRange(0.001), help="Seconds after which it goes by itself.")
@click.option("--if-version", metavar="VERSION", help="Only if the key has this version here.")
@click.option("--if-absent", is_flag=True, help="Only if the key is not there.")
@_replicas_option
@click.pass_obj
def put(
    session: Session,
    key: str,
    value: str,
    ttl: float | None,
    if_version: str | None,
    if_absent: bool,
    w: str,
) -> None:
    """Create or replace KEY; VALUE - reads it from standard input."""
    content = sys.stdin.buffer.read() if value == "-" else value.encode()
    options: dict[str, Any] = {"w": int(w) if w.isdigit() else w}
    if if_version is not None:
        options["if_version"] = if_version
    if if_absent:
        options["if_absent"] = True
    with session.client() as client:
        client.put(key, content, ttl=ttl, **options)


@kv.command(name="get")
@click.argument("key")
@format_option
@click.pass_obj
def get_(session: Session, key: str, form: str) -> None:
    """Print the value of KEY: raw bytes of a register, JSON of other types."""
    with session.client() as client:
        item = client.get(key)
    if item is None:
        raise NotFoundError(f"there is no key {key!r}")
    if form == "table" and isinstance(item.value, bytes):
        sys.stdout.buffer.write(item.value)
        if sys.stdout.isatty():
            sys.stdout.write("\n")
        return
    emit("json" if form == "table" else form, _plain(item, whole=form != "table"), str)


def _plain(item: Item, *, whole: bool) -> Any:
    value = item.value
    if isinstance(value, bytes):
        value = text_of(value, 1 << 30)
    if not whole:
        return value
    fields = {"key": item.key, "type": item.type, "version": item.version, "value": value}
    return fields | {"conflicts": item.conflicts, "expires_ms": item.expires_ms}


@kv.command(name="list")
@click.argument("prefix", default="")
@click.option("--limit", type=click.IntRange(1), help="At most so many.")
@click.option("--keys-only", is_flag=True, help="One key a line and nothing else.")
@format_option
@click.pass_obj
def list_(session: Session, prefix: str, limit: int | None, keys_only: bool, form: str) -> None:
    """List the keys that begin with PREFIX, in byte order."""
    with session.client() as client:
        if keys_only:
            for item in client.list(prefix, limit):
                sys.stdout.write(item.key + "\n")
            return
        items = list(client.list(prefix, limit))
    rows = [(i.key, i.type, i.conflicts or None, text_of(i.value)) for i in items]
    emit(
        form,
        [_plain(item, whole=True) for item in items],
        lambda: columns(("KEY", "TYPE", "CONFLICTS", "VALUE"), rows) if rows else "no keys",
    )


@kv.command()
@click.argument("keys", nargs=-1, required=True)
@_replicas_option
@click.pass_obj
def delete(session: Session, keys: tuple[str, ...], w: str) -> None:
    """Delete KEYS."""
    with session.client() as client:
        absent = [key for key in keys if not client.delete(key, w=int(w) if w.isdigit() else w)]
    if absent:
        raise NotFoundError("there is no key " + ", ".join(repr(key) for key in absent))


@kv.command()
@click.argument("prefix", default="")
@click.option("--initial", is_flag=True, help="Print what is there first.")
@format_option
@click.pass_obj
def watch(session: Session, prefix: str, initial: bool, form: str) -> None:
    """Print what changes under PREFIX until interrupted, a line for each change."""
    with session.client() as client:
        for event in client.watch(prefix, initial=initial):
            if event.type != "bookmark":
                _print_event(event, form)


def _print_event(event: Event, form: str) -> None:
    fields: dict[str, Any] = {"type": event.type, "key": event.key}
    if event.item is not None:
        fields |= _plain(event.item, whole=True)
    line = f"{event.type.upper():7} {event.key}"
    if event.item is not None:
        line += f"  {text_of(event.item.value)}"
    if form == "json":
        import json

        line = json.dumps(fields, ensure_ascii=False)  # One a line, as a stream needs it.
    if form == "yaml":
        sys.stdout.write("---\n")
    emit("table" if form == "json" else form, fields, lambda: line)
    sys.stdout.flush()
