"""`crdtstate apply`, `get` and `delete`: objects of the resource API, for those without kubectl."""

import sys
from collections.abc import Callable
from functools import cache
from typing import TYPE_CHECKING, Any

import click

from crdtstate.cli.manifests import Manifest, read_manifests
from crdtstate.cli.output import columns, emit, format_option
from crdtstate.cli.session import Session
from crdtstate.errors import ConflictError, NotFoundError
from crdtstate.model import Kind, ResourceTable

if TYPE_CHECKING:
    from crdtstate.client.blocking_resources import BlockingResources

__all__ = ["apply", "delete", "get"]

_namespace_option = click.option(
    "-n", "--namespace", default="default", show_default=True, help="Where none is given."
)
_recursive_option = click.option(
    "-R", "--recursive", is_flag=True, help="Also the directories below."
)


@click.command()
@click.option(
    "-f", "--filename", "names", multiple=True, required=True, metavar="FILE|DIR|-",
    help="What to apply; may be given again.",
)  # fmt: skip
@_recursive_option
@click.option(
    "--field-manager", "manager", default="crdtstate", show_default=True,
    help="Who applies: what a manager no longer gives is removed, what others gave stays.",
)  # fmt: skip
@click.option("--force-conflicts", is_flag=True, help="Take over fields that others manage.")
@_namespace_option
@click.pass_obj
def apply(
    session: Session,
    names: tuple[str, ...],
    recursive: bool,
    manager: str,
    force_conflicts: bool,
    namespace: str,
) -> None:
    """Create or change objects as YAML or JSON documents say, by server-side apply.

    As kubectl apply --server-side. Nothing is written unless every document can be read.
    """
    manifests = _read(names, recursive)
    with session.client() as client:
        kind_of = _kinds(client.resources)
        for manifest in manifests:
            kind = kind_of(manifest)
            place = _place(kind, manifest.namespace or namespace)
            metadata = manifest.document["metadata"] | ({"namespace": place} if place else {})
            before = client.resources.get(kind, manifest.name, place)
            try:
                after = client.resources.apply(
                    kind, {**manifest.document, "metadata": metadata}, manager=manager,
                    force=force_conflicts,
                )  # fmt: skip
            except ConflictError as error:
                raise ConflictError(
                    f"{manifest.source}: {error.message}; --force-conflicts takes the fields over"
                ) from error
            _tell(kind, manifest.name, _done(before, after))


def _done(before: dict[str, Any] | None, after: dict[str, Any]) -> str:
    if before is None:
        return "created"
    versions = [body["metadata"]["resourceVersion"] for body in (before, after)]
    return "configured" if versions[0] != versions[1] else "unchanged"


@click.command()
@click.argument("kind")
@click.argument("name", required=False)
@click.option("-A", "--all-namespaces", is_flag=True, help="Of all namespaces.")
@click.option("-l", "--selector", metavar="LABELS", help="Only these, as in app=web,tier!=db.")
@_namespace_option
@format_option
@click.pass_obj
def get(
    session: Session,
    kind: str,
    name: str | None,
    all_namespaces: bool,
    selector: str | None,
    namespace: str,
    form: str,
) -> None:
    """Show objects: KIND, KIND NAME or KIND/NAME. KIND is pods, po, Deployment, deployments.apps…

    For keys, see crdtstate kv.
    """
    kind, name = _split(kind, name)
    if name is not None and (all_namespaces or selector is not None):
        raise click.UsageError("a NAME is one object: -A and --selector do not go with it.")
    with session.client() as client:
        resources = client.resources
        of = resources.kind(kind)
        place = None if all_namespaces else _place(of, namespace)
        if form == "table":
            found = resources.table(of, name, place, label_selector=selector)
            click.echo(_table_text(found, of, place, with_namespaces=all_namespaces))
            return
        if name is not None:
            one = resources.get(of, name, place)
            if one is None:
                raise NotFoundError(f'{of.name} "{name}" not found')
            emit(form, _unmanaged(one), str)
            return
        items = resources.list(of, place, label_selector=selector).items
    whole = {"apiVersion": "v1", "kind": "List", "items": [_unmanaged(item) for item in items]}
    emit(form, whole, str)


def _unmanaged(body: dict[str, Any]) -> dict[str, Any]:
    """Return the object without what people do not read, as kubectl shows it."""
    metadata = {k: v for k, v in body["metadata"].items() if k != "managedFields"}
    return {**body, "metadata": metadata}


def _table_text(
    found: ResourceTable, kind: Kind, place: str | None, *, with_namespaces: bool
) -> str:
    if not found.rows:
        return f"no {kind.name}" + (f" in namespace {place}" if place else "")
    head = [name.upper() for name in found.columns]
    rows = [list(row.cells) for row in found.rows]
    if with_namespaces and kind.namespaced:
        head.insert(0, "NAMESPACE")
        for cells, row in zip(rows, found.rows, strict=True):
            cells.insert(0, row.namespace or "")
    return columns(head, rows)


@click.command()
@click.argument("kind", required=False)
@click.argument("name", required=False)
@click.option(
    "-f", "--filename", "names", multiple=True, metavar="FILE|DIR|-",
    help="Delete what these documents name; may be given again.",
)  # fmt: skip
@_recursive_option
@_namespace_option
@click.pass_obj
def delete(
    session: Session,
    kind: str | None,
    name: str | None,
    names: tuple[str, ...],
    recursive: bool,
    namespace: str,
) -> None:
    """Delete objects: KIND NAME, KIND/NAME, or those of documents, the last first."""
    kind, name = _split(kind, name) if kind else (None, None)
    if bool(names) == (name is not None) or (kind and not name):
        raise click.UsageError("Give either KIND and NAME, or --filename.")
    absent: list[str] = []
    with session.client() as client:
        if kind is not None and name is not None:
            doomed = [(client.resources.kind(kind), name, namespace)]
        else:
            kind_of = _kinds(client.resources)
            doomed = [
                (kind_of(one), one.name, one.namespace or namespace)
                for one in reversed(_read(names, recursive))
            ]
        for of, which, place in doomed:
            if client.resources.delete(of, which, _place(of, place)):
                _tell(of, which, "deleted")
            else:
                absent.append(f"{of.name} {which!r}")
    if absent:
        raise NotFoundError(f"{', '.join(absent)} not found")


def _read(names: tuple[str, ...], recursive: bool) -> list[Manifest]:
    manifests = list(read_manifests(names, recursive=recursive))
    if not manifests:
        raise NotFoundError("there is no document in " + ", ".join(names))
    return manifests


def _kinds(resources: "BlockingResources") -> Callable[[Manifest], Kind]:
    """Return what finds the kind of a manifest: asked when needed, as a CRD may come before."""
    ask = cache(resources.kind)

    def kind_of(manifest: Manifest) -> Kind:
        group, _, version = manifest.api_version.rpartition("/")
        try:
            return ask(f"{manifest.kind}.{version}.{group}")
        except NotFoundError as error:
            raise NotFoundError(
                f"{manifest.source}: no kind {manifest.kind!r} in {manifest.api_version!r}",
                code=error.code,
            ) from error

    return kind_of


def _place(kind: Kind, namespace: str) -> str | None:
    return namespace if kind.namespaced else None


def _split(kind: str, name: str | None) -> tuple[str, str | None]:
    if name is None and "/" in kind:
        kind, _, name = kind.partition("/")
    return kind, name


def _tell(kind: Kind, name: str, done: str) -> None:
    group = f".{kind.group}" if kind.group else ""
    sys.stdout.write(f"{kind.kind.lower()}{group}/{name} {done}\n")
