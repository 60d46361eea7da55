"""`crdtstate kubeconfig`: what kubectl, helm and the client libraries need to find the peers.

A context has one server, so there is a context for each peer, by its name, and `crdtstate` for
the first of them. Whoever wants to go on when that peer is gone says `--context b`.
"""

import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click
import yaml

from crdtstate.cli.session import Session, api_address
from crdtstate.client.options import read_token
from crdtstate.errors import UnavailableError

__all__ = ["kubeconfig", "kubeconfig_of", "write_kubeconfig"]

DEFAULT_CONTEXT = "crdtstate"


@click.command()
@click.option(
    "--output", "-o", type=click.Path(dir_okay=False, path_type=Path),
    help="File to write, readable by its owner only, instead of standard output.",
)  # fmt: skip
@click.pass_obj
def kubeconfig(session: Session, output: Path | None) -> None:
    """Print a kubeconfig with a context for each peer; `crdtstate` is the one that answered."""
    with session.client() as client:
        members = client.members()
    own = [member for member in members if member.is_self]
    others = sorted((m for m in members if not m.is_self and m.api), key=lambda m: m.name)
    urls = {member.name: api_address(member) for member in (*own, *others)}
    if not urls:
        raise UnavailableError("no peer's API address is known here yet")
    token = None if session.token_file is None else read_token(session.token_file)
    if output is not None:
        write_kubeconfig(output, urls, token)
        click.echo(f"export KUBECONFIG={output.resolve()}")
    else:
        sys.stdout.write(_text(kubeconfig_of(urls, token)))
    if token and not all(url.startswith("https:") for url in urls.values()):
        click.echo(
            "kubectl, helm and other Go clients send no bearer token over plain http: "
            "put TLS in front of the peers, or use the Python clients",
            err=True,
        )


def kubeconfig_of(urls: Mapping[str, str], token: str | None = None) -> dict[str, Any]:
    """Return the configuration for some peers by name; the first is the default."""
    first = next(iter(urls))
    places = {DEFAULT_CONTEXT: urls[first], **urls}
    user: dict[str, Any] = {"token": token} if token else {}
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": DEFAULT_CONTEXT,
        "clusters": [{"name": name, "cluster": {"server": url}} for name, url in places.items()],
        "users": [{"name": DEFAULT_CONTEXT, "user": user}],
        "contexts": [
            {"name": name, "context": {"cluster": name, "user": DEFAULT_CONTEXT}} for name in places
        ],
    }


def write_kubeconfig(path: Path, urls: Mapping[str, str], token: str | None = None) -> None:
    """Write the configuration where only its owner reads it, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    made = path.with_name(f"{path.name}.{os.getpid()}")
    made.unlink(missing_ok=True)
    with open(os.open(made, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(_text(kubeconfig_of(urls, token)))
    made.replace(path)


def _text(config: Mapping[str, Any]) -> str:
    return yaml.safe_dump(dict(config), sort_keys=False)
