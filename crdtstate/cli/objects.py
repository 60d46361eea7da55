"""`crdtstate apply` and `crdtstate get`: manifests in, manifests out."""

import sys
from typing import Any

import click

from crdtstate.cli.manifests import kind_prefix, read_manifests
from crdtstate.cli.output import columns, emit, format_option
from crdtstate.cli.session import Session
from crdtstate.errors import NotFoundError
from crdtstate.model import Item

__all__ = ["apply", "get"]

_namespace_option = click.option(
    "-n", "--namespace", default="default", show_default=True, help="Where none is given."
)


@click.command()
@click.option(
    "-f", "--filename", "names", multiple=True, required=True, metavar="FILE|DIR|-",
    help="What to apply; may be given again.",
)  # fmt: skip
@click.option("-R", "--recursive", is_flag=True, help="Also the directories below.")
@click.option(
    "--manager", default="crdtstate-cli", show_default=True,
    help="Who applies: what a manager no longer gives is removed, what others gave stays.",
)  # fmt: skip
@_namespace_option
@click.pass_obj
def apply(
    session: Session, names: tuple[str, ...], recursive: bool, manager: str, namespace: str
) -> None:
    """Store YAML or JSON documents as records that merge field by field.

    Nothing is written unless every document can be read.
    """
    manifests = list(read_manifests(names, recursive=recursive, namespace=namespace))
    if not manifests:
        raise NotFoundError("there is no document to apply in " + ", ".join(names))
    with session.client() as client:
        for manifest in manifests:
            there = client.get(manifest.key) is not None
            result = client.apply(manifest.key, manifest.document, manager=manager)
            done = "created" if not there else "configured" if result.changed else "unchanged"
            kind, _, name = manifest.key.split("/", 2)
            sys.stdout.write(f"{kind}/{name} {done}\n")


@click.command()
@click.argument("kind")
@click.argument("name", required=False)
@click.option("-A", "--all-namespaces", is_flag=True, help="Of all namespaces.")
@_namespace_option
@format_option
@click.pass_obj
def get(
    session: Session,
    kind: str,
    name: str | None,
    all_namespaces: bool,
    namespace: str,
    form: str,
) -> None:
    """Show what apply has stored: KIND, KIND NAME or KIND/NAME. KIND may be Deployment,
    deployments or deployment.apps; "all" is everything."""
    if name is None and "/" in kind:
        kind, _, name = kind.partition("/")
    items = _find(session, kind, name, None if all_namespaces else namespace)
    if name is not None and not items:
        raise NotFoundError(f"there is no {kind} {name!r} in namespace {namespace!r}")
    documents = [item.value for item in items]
    whole: Any = {"apiVersion": "v1", "kind": "List", "items": documents}
    rows = [(*_row(item), item.conflicts or None) for item in items]
    emit(
        form,
        documents[0] if name is not None and len(documents) == 1 else whole,
        lambda: (
            columns(("NAMESPACE", "KIND", "NAME", "CONFLICTS"), rows)
            if rows
            else f"there is no {kind} in namespace {namespace!r}"
        ),
    )


def _find(session: Session, kind: str, name: str | None, namespace: str | None) -> list[Item]:
    everything = kind == "all"
    prefix = "" if everything else kind_prefix(kind)
    found = []
    with session.client() as client:
        for item in client.list(prefix):
            parts = item.key.split("/", 2)
            if item.type != "map" or len(parts) != 3:
                continue
            right_kind = everything or prefix[-1] == "/" or parts[0].partition(".")[0] == prefix
            right_place = namespace in (None, parts[1])
            if right_kind and right_place and name in (None, parts[2]):
                found.append(item)
    return found


def _row(item: Item) -> tuple[str, str, str]:
    kind, namespace, name = item.key.split("/", 2)
    return namespace, kind, name
