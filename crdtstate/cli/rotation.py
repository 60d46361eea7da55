"""`crdtstate key`: change the key that seals what peers say to each other, without a pause.

Add it everywhere, then use it everywhere, then remove the old ones: at every moment each peer
accepts what each other peer sends. Stopping half-way is safe, and running it again goes on.
"""

import base64
import secrets
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, final

import click

from crdtstate.cli.output import columns, emit, format_option
from crdtstate.cli.session import Session, api_address
from crdtstate.errors import CrdtstateError, UnavailableError

if TYPE_CHECKING:
    from crdtstate.client import Client

__all__ = ["key"]

_KEY_BYTES = 32


@click.group()
def key() -> None:
    """The key of the cluster."""


@key.command(name="list")
@format_option
@click.pass_obj
def list_(session: Session, form: str) -> None:
    """List the ids of the keys that the peer accepts; it seals with the first."""
    with session.client() as client:
        found = client.keys()
    fields = [{"id": one.id, "primary": one.primary} for one in found]
    rows = [(one.id, "seals" if one.primary else "accepted") for one in found]
    emit(form, fields, lambda: columns(("ID", "USE"), rows))


@key.command()
@click.pass_obj
def rotate(session: Session) -> None:
    """Replace the key on every member, while all of them run."""
    with session.client() as client:
        members = client.members()
    ring = _Ring(session, {member.name: api_address(member) for member in members})
    ring.look()
    if len(set(ring.primary.values())) > 1:
        # An earlier run stopped while members began to use the new key, in order of their names.
        new = next(iter(ring.primary.values()))
        sys.stdout.write(f"going on with {new}, which an earlier run has added\n")
    else:
        ring.remove_all_but_primary()
        new = ring.add()
    ring.each(f"uses {new}", lambda _name, client: client.use_key(new))
    ring.look()
    ring.remove_all_but_primary()
    sys.stdout.write(f"the key is now {new}\n")


@final
class _Ring:
    """The keys of all members, and steps on each of them."""

    def __init__(self, session: Session, apis: dict[str, str]) -> None:
        self._session, self._apis = session, apis
        self.primary: dict[str, str] = {}
        self.others: dict[str, list[str]] = {}

    def look(self) -> None:
        """Learn the keys of every member."""

        def step(name: str, client: "Client") -> None:
            found = client.keys()
            self.primary[name] = next(one.id for one in found if one.primary)
            self.others[name] = [one.id for one in found if not one.primary]

        self.each("", step)

    def add(self) -> str:
        """Make a key, and let every member accept it; return its id."""
        secret = base64.b64encode(secrets.token_bytes(_KEY_BYTES)).decode()
        ids: set[str] = set()

        def step(name: str, client: "Client") -> None:
            known = {self.primary[name], *self.others[name]}
            ids.update(one.id for one in client.add_key(secret) if one.id not in known)

        self.others = {name: [] for name in self._apis}
        self.each("accepts a new key", step)
        return ids.pop()

    def remove_all_but_primary(self) -> None:
        """Remove the keys that nobody seals with."""

        def step(name: str, client: "Client") -> None:
            for key_id in self.others[name]:
                client.remove_key(key_id)

        self.each("has no other key" if any(self.others.values()) else "", step)

    def each(self, done: str, step: "Callable[[str, Client], object]") -> None:
        """Take a step on every member, in order. Raises: UnavailableError that says how on."""
        for name, address in self._apis.items():
            try:
                with self._session.client(address) as client:
                    step(name, client)
            except CrdtstateError as error:
                raise UnavailableError(
                    f"{name} at {address}: {error.message}; every key in use is still accepted "
                    "everywhere: start that peer or forget it, then run key rotate again"
                ) from error
            if done:
                sys.stdout.write(f"{name} {done}\n")
