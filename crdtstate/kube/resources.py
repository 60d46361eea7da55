"""What a peer serves: one `Resource` a (group, version, plural), built in or from a CRD."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, final

from crdtstate.kube.schema import Schema

__all__ = ["Registry", "Resource"]

HELM_RELEASE = "helm.sh/release.v1"
VERBS = ("create", "delete", "deletecollection", "get", "list", "patch", "update", "watch")


@final
@dataclass(frozen=True, slots=True, eq=False)
class Resource:
    """One kind in one version."""

    group: str
    """Empty for the core group."""
    version: str
    kind: str
    plural: str
    singular: str
    namespaced: bool
    schema: Schema
    short_names: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    verbs: tuple[str, ...] = VERBS
    subresources: tuple[str, ...] = ()
    """Among status, scale, finalize, ephemeralcontainers, approval and the like."""
    scale: Mapping[str, str] = field(default_factory=dict)
    """specReplicasPath, statusReplicasPath, labelSelectorPath (JSON paths)."""
    has_generation: bool = False
    policy: Literal["fields", "whole"] = "fields"
    """How concurrent writes join: field by field, or the whole object as one register."""
    columns: tuple[Mapping[str, Any], ...] = ()
    """additionalPrinterColumns of a CRD; built-in kinds have their own in `tables`."""
    selectable: tuple[str, ...] = ()
    """Field selectors beyond metadata.name and metadata.namespace, as dotted paths."""
    custom: bool = False
    """From a CRD: no strategic merge patch, PUT needs a resourceVersion."""
    served: bool = True
    deprecation: str = ""
    """Said in a Warning header to whoever uses this version."""

    @property
    def api_version(self) -> str:
        """`v1` or `group/version`."""
        return f"{self.group}/{self.version}" if self.group else self.version

    def policy_of(self, body: Mapping[str, Any]) -> Literal["fields", "whole"]:
        """Return the policy for one object: a helm release is claimed by its creation."""
        if self.kind == "Secret" and not self.group and body.get("type") == HELM_RELEASE:
            return "whole"
        return self.policy

    @property
    def stored_as(self) -> str:
        """The name under which all versions of the kind are stored: `group/plural`.

        Events have two groups, and are stored once.
        """
        if self.plural == "events" and self.group == "events.k8s.io":
            return "/events"
        return f"{self.group}/{self.plural}"


@final
class Registry:
    """The resources of one peer. CRDs come and go; built-in kinds stay."""

    def __init__(self, builtin: Iterable[Resource]) -> None:
        self._builtin = {(r.group, r.version, r.plural): r for r in builtin}
        self._custom: dict[str, tuple[Resource, ...]] = {}
        self._all: dict[tuple[str, str, str], Resource] = dict(self._builtin)
        self.generation = 0
        """Grows with each change: caches of documents are keyed by it."""

    def find(self, group: str, version: str, plural: str) -> Resource | None:
        """Return what is served under the path."""
        return self._all.get((group, version, plural))

    def all(self) -> list[Resource]:
        """Return all, by group, version and name."""
        return [self._all[key] for key in sorted(self._all)]

    def set_custom(self, crd: str, resources: Iterable[Resource]) -> None:
        """Replace what the CRD `crd` brings; an empty iterable takes it away."""
        given = tuple(resources)
        if given:
            self._custom[crd] = given
        elif self._custom.pop(crd, None) is None:
            return
        self._all = dict(self._builtin)
        for name in sorted(self._custom):
            self._all.update({(r.group, r.version, r.plural): r for r in self._custom[name]})
        self.generation += 1
