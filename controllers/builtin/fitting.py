"""Whether a pod may run on a host, and how much it would like to. Pure.

Source: Kubernetes' scheduler plugins NodeName, NodeAffinity, TaintToleration, NodeResourcesFit,
InterPodAffinity and PodTopologySpread; less what this store has no notion of (volumes, images).
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, final

from controllers.builtin.pods import host_of, is_finished
from controllers.runtime.objects import (
    Object,
    holds,
    labels_of,
    name_of,
    namespace_of,
    owners_of,
    selects,
    spec_of,
    status_of,
)
from controllers.runtime.quantity import parse_quantity

__all__ = ["HostState", "affinity_score", "hosts_of", "requests_of", "selected", "tolerates"]

HOSTNAME = "kubernetes.io/hostname"
_FIELDS = "metadata.name"


def _amount(text: Any) -> Decimal:
    try:
        return parse_quantity(text)
    except ValueError:
        return Decimal(0)  # Validation has let it through; a host must not be blocked by it.


def requests_of(pod: Object) -> dict[str, Decimal]:
    """Return what a pod asks for: of its containers together, at least that of any init one."""
    spec = spec_of(pod)
    total: dict[str, Decimal] = {}
    for container in spec.get("containers") or []:
        for name, amount in _requests(container).items():
            total[name] = total.get(name, Decimal(0)) + amount
    for container in spec.get("initContainers") or []:
        for name, amount in _requests(container).items():
            if container.get("restartPolicy") == "Always":  # It goes on beside the others.
                total[name] = total.get(name, Decimal(0)) + amount
            else:
                total[name] = max(total.get(name, Decimal(0)), amount)
    for name, text in (spec.get("overhead") or {}).items():
        total[name] = total.get(name, Decimal(0)) + _amount(text)
    return total


def _requests(container: Mapping[str, Any]) -> dict[str, Decimal]:
    resources = container.get("resources") or {}
    given = {**(resources.get("limits") or {}), **(resources.get("requests") or {})}
    return {name: _amount(text) for name, text in given.items()}


@final
@dataclass
class HostState:
    """A Node, and what is bound to it."""

    node: Object
    pods: list[Object] = field(default_factory=list)
    used: dict[str, Decimal] = field(default_factory=dict)
    owned: Counter[str] = field(default_factory=Counter)
    """How many of the pods each owner has, by its uid."""

    def add(self, pod: Object) -> None:
        """Count a pod that is bound, or is about to be."""
        self.pods.append(pod)
        self.owned.update(str(owner.get("uid")) for owner in owners_of(pod))
        for name, amount in requests_of(pod).items():
            self.used[name] = self.used.get(name, Decimal(0)) + amount

    def siblings(self, pod: Object) -> int:
        """Return how many pods here have an owner of this one. Cost: O(owners)."""
        return sum(self.owned[str(owner.get("uid"))] for owner in owners_of(pod))

    def capacity(self, name: str) -> Decimal | None:
        """Return what the host allows of a resource, None when it does not say."""
        status = status_of(self.node)
        given = status.get("allocatable") or status.get("capacity") or {}
        return _amount(given[name]) if name in given else None

    def lacks(self, wanted: Mapping[str, Decimal]) -> str | None:
        """Return the resource that is too scarce, None when the pod fits."""
        most = self.capacity("pods")
        if most is not None and len(self.pods) >= most:
            return "pods"
        for name, amount in sorted(wanted.items()):
            free = self.capacity(name)
            known = free if free is not None else None if name in ("cpu", "memory") else Decimal(0)
            if amount and known is not None and self.used.get(name, Decimal(0)) + amount > known:
                return name
        return None

    def load(self, wanted: Mapping[str, Decimal]) -> Decimal:
        """Return how full the host would be, of the resources that it names, 0 to 1 and more."""
        shares = []
        for name in ("cpu", "memory"):
            free = self.capacity(name)
            if free:
                used = self.used.get(name, Decimal(0)) + wanted.get(name, Decimal(0))
                shares.append(used / free)
        return sum(shares, Decimal(0)) / len(shares) if shares else Decimal(0)


def hosts_of(nodes: Iterable[Object], pods: Iterable[Object]) -> dict[str, HostState]:
    """Return the hosts by name, with the pods that are bound to them. Cost: O(pods)."""
    hosts = {name_of(node): HostState(node) for node in nodes}
    for pod in pods:
        host = hosts.get(host_of(pod))
        if host is not None and not is_finished(pod):
            host.add(pod)
    return hosts


# -- what a pod wants of a host --------------------------------------------------------------------


def tolerates(pod: Object, taint: Mapping[str, Any], *more: Mapping[str, Any]) -> bool:
    """Whether a pod tolerates a taint. `more` are tolerations that it has besides."""
    for toleration in [*(spec_of(pod).get("tolerations") or []), *more]:
        if toleration.get("effect") not in (None, "", taint.get("effect")):
            continue
        key = toleration.get("key")
        if toleration.get("operator", "Equal") == "Exists":
            if not key or key == taint.get("key"):
                return True
        elif key == taint.get("key") and toleration.get("value", "") == taint.get("value", ""):
            return True
    return False


def _term_selects(term: Mapping[str, Any], node: Object) -> bool:
    rules = term.get("matchExpressions") or []
    fields = term.get("matchFields") or []
    if not rules and not fields:
        return False
    named = {_FIELDS: name_of(node)}
    return all(holds(rule, labels_of(node)) for rule in rules) and all(
        holds(rule, named) for rule in fields
    )


def selected(pod: Object, node: Object) -> bool:
    """Whether the pod's nodeSelector and required node affinity select a Node."""
    wanted: Mapping[str, str] = spec_of(pod).get("nodeSelector") or {}
    labels = labels_of(node)
    if any(labels.get(name) != value for name, value in wanted.items()):
        return False
    affinity = (spec_of(pod).get("affinity") or {}).get("nodeAffinity") or {}
    required = affinity.get("requiredDuringSchedulingIgnoredDuringExecution")
    if required is None:
        return True
    return any(_term_selects(term, node) for term in required.get("nodeSelectorTerms") or [])


def affinity_score(pod: Object, node: Object) -> int:
    """Return the weight of the preferred terms that select a Node."""
    affinity = (spec_of(pod).get("affinity") or {}).get("nodeAffinity") or {}
    return sum(
        int(preferred.get("weight", 1))
        for preferred in affinity.get("preferredDuringSchedulingIgnoredDuringExecution") or []
        if _term_selects(preferred.get("preference") or {}, node)
    )


# -- what a pod wants of other pods ----------------------------------------------------------------


def domain(host: HostState, key: str) -> str | None:
    """Return the part of the cluster that a host is in, by a label of its Node."""
    return labels_of(host.node).get(key) or (name_of(host.node) if key == HOSTNAME else None)


def is_meant(pod: Object, term: Mapping[str, Any], other: Object) -> bool:
    """Whether a term of `pod` means another pod."""
    namespaces: Sequence[str] = term.get("namespaces") or [namespace_of(pod)]
    return namespace_of(other) in namespaces and selects(
        term.get("labelSelector"), labels_of(other)
    )


def terms(pod: Object, which: str, how: str) -> Sequence[Mapping[str, Any]]:
    """Return terms of affinity to other pods: which is podAffinity or podAntiAffinity."""
    affinity = (spec_of(pod).get("affinity") or {}).get(which) or {}
    found: Sequence[Mapping[str, Any]] = affinity.get(
        f"{how}DuringSchedulingIgnoredDuringExecution"
    ) or []  # fmt: skip
    return found


def matches_in(
    pod: Object, term: Mapping[str, Any], host: HostState, hosts: Iterable[HostState]
) -> int:
    """Count the pods that a term means in the host's part of the cluster."""
    key = str(term.get("topologyKey", HOSTNAME))
    here = domain(host, key)
    if here is None:
        return 0
    return sum(
        is_meant(pod, term, other)
        for near in hosts
        if domain(near, key) == here
        for other in near.pods
    )


def spread_counts(
    pod: Object, constraint: Mapping[str, Any], hosts: Iterable[HostState]
) -> dict[str, int]:
    """Return how many pods that a spread constraint selects are in each part of the cluster."""
    key = str(constraint.get("topologyKey", HOSTNAME))
    counts: dict[str, int] = {}
    for host in hosts:
        where = domain(host, key)
        if where is not None:
            found = sum(
                namespace_of(other) == namespace_of(pod)
                and selects(constraint.get("labelSelector"), labels_of(other))
                for other in host.pods
            )
            counts[where] = counts.get(where, 0) + found
    return counts
