"""What a peer serves, and what people call it. No I/O.

Source: Kubernetes API concepts, "Aggregated discovery"; the names are those that kubectl takes.
"""

import difflib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal, final

import msgspec

from crdtstate.client.answer import Answer, decode_body
from crdtstate.client.calls import Call, check
from crdtstate.errors import NotFoundError
from crdtstate.model import Kind

__all__ = ["Served", "kind_called", "preferred", "served"]

_DISCOVERY = {
    "Accept": "application/json;as=APIGroupDiscoveryList;v=v2;g=apidiscovery.k8s.io"
}  # fmt: skip


class _ResourceShape(msgspec.Struct):
    resource: str
    verbs: list[str] = []
    scope: str = "Namespaced"
    kind: dict[str, str] = msgspec.field(name="responseKind", default_factory=dict)
    singular: str = msgspec.field(name="singularResource", default="")
    short: list[str] = msgspec.field(name="shortNames", default_factory=list)


class _VersionShape(msgspec.Struct):
    version: str
    resources: list[_ResourceShape] = []


class _GroupShape(msgspec.Struct):
    metadata: dict[str, Any] = {}
    versions: list[_VersionShape] = []


class _GroupsShape(msgspec.Struct):
    items: list[_GroupShape]


@final
@dataclass(frozen=True, slots=True)
class Served:
    """A kind in one version that a peer serves."""

    kind: Kind
    verbs: frozenset[str]
    names: tuple[str, ...]
    """What people call it, in lower case: pods, pod, po."""


def served(root: Literal["/api", "/apis"]) -> Call[tuple[Served, ...]]:
    """GET what a discovery document says, the preferred version of a kind before its others."""

    def parse(answer: Answer) -> tuple[Served, ...]:
        return tuple(
            Served(
                Kind(
                    str(group.metadata.get("name", "")), version.version, one.kind["kind"],
                    one.resource, namespaced=one.scope == "Namespaced",
                ),
                frozenset(one.verbs),
                (one.resource, one.singular, one.kind["kind"].lower(), *one.short),
            )
            for group in decode_body(check(answer).body, _GroupsShape).items
            for version in group.versions
            for one in version.resources
            if one.kind
        )  # fmt: skip

    return Call(method="GET", path=root, headers=_DISCOVERY, parse=parse)


def preferred(found: Iterable[Served], verbs: Iterable[str]) -> tuple[Kind, ...]:
    """Return the kinds that allow all of `verbs`, each in its preferred version."""
    kinds: dict[tuple[str, str], Kind] = {}
    for one in found:
        if one.verbs.issuperset(verbs):
            kinds.setdefault((one.kind.group, one.kind.plural), one.kind)
    return tuple(kinds.values())


def kind_called(found: Iterable[Served], text: str) -> Kind:
    """Return the kind that a text names; see `Resources.kind`. Raises: NotFoundError."""
    stored = [one for one in found if "get" in one.verbs]
    name, dot, rest = text.lower().partition(".")
    for one in stored:
        group = one.kind.group
        if name in one.names and (not dot or rest in (group, f"{one.kind.version}.{group}")):
            return one.kind
    near = difflib.get_close_matches(name, [n for one in stored for n in one.names], 1)
    hint = f"; did you mean {near[0]!r}?" if near and near[0] != name else ""
    raise NotFoundError(f"no kind is called {text!r}{hint}", code="no_such_kind")
