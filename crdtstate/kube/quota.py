"""What an object costs of a ResourceQuota, and what the limits are, as integers.

Processors count in thousandths, everything else in its own unit; costs round up, limits down.

Source: Kubernetes' quota evaluators (pods, services, object counts).
"""

import re
from collections.abc import Mapping
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal
from typing import Any

__all__ = ["costs_of", "is_limited", "limits_of", "missing_requests", "quantity_text"]

Body = Mapping[str, Any]
_PATTERN = re.compile(r"([+-]?(?:\d+\.?\d*|\.\d+))(?:([eE][+-]?\d{1,3})|([KMGTPE]i|[numkMGTPE]))?")
_FACTORS = {
    "n": Decimal("1e-9"), "u": Decimal("1e-6"), "m": Decimal("1e-3"), "k": Decimal("1e3"),
    "M": Decimal("1e6"), "G": Decimal("1e9"), "T": Decimal("1e12"), "P": Decimal("1e15"),
    "E": Decimal("1e18"),
    **{f"{letter}i": Decimal(1 << (10 * n)) for n, letter in enumerate("KMGTPE", 1)},
}  # fmt: skip
_COUNTED = {
    "/pods": "pods", "/services": "services", "/secrets": "secrets", "/configmaps": "configmaps",
    "/persistentvolumeclaims": "persistentvolumeclaims", "/resourcequotas": "resourcequotas",
    "/replicationcontrollers": "replicationcontrollers",
}  # fmt: skip
_ALIASES = {"cpu": "requests.cpu", "memory": "requests.memory"}


def _number(text: object, *, thousandths: bool, up: bool) -> int:
    match = _PATTERN.fullmatch(str(text).strip())
    if match is None:
        return 0  # Validation refuses it; what is stored all the same counts as nothing.
    number, exponent, suffix = match.groups()
    value = Decimal(number + (exponent or "")) * _FACTORS.get(suffix or "", Decimal(1))
    value *= 1_000 if thousandths else 1
    return int(value.to_integral_value(ROUND_CEILING if up else ROUND_FLOOR))


def _is_cpu(name: str) -> bool:
    return name.rpartition(".")[2] == "cpu"


def quantity_text(name: str, amount: int) -> str:
    """Return an amount as a quantity."""
    if _is_cpu(name) and amount % 1_000:
        return f"{amount}m"
    return str(amount // 1_000 if _is_cpu(name) else amount)


def limits_of(quota: Body) -> dict[str, int]:
    """Return the limits of a ResourceQuota by the names that it gives them.

    One with scopes limits nothing here: its `hard` would mean other objects than these.
    """
    spec = quota.get("spec") or {}
    if spec.get("scopes") or spec.get("scopeSelector"):
        return {}
    return {
        name: max(0, _number(text, thousandths=_is_cpu(name), up=False))
        for name, text in sorted((spec.get("hard") or {}).items())
    }


def is_limited(stored_as: str, name: str) -> bool:
    """Whether objects of a kind can cost anything of the limit `name`."""
    group, _, plural = stored_as.partition("/")
    if name == _counted_name(group, plural) or name == _COUNTED.get(stored_as):
        return True
    if stored_as == "/services":
        return name.startswith("services.")
    compute = ("requests.", "limits.", "cpu", "memory", "ephemeral-storage")
    return stored_as == "/pods" and name.startswith(compute)


def _counted_name(group: str, plural: str) -> str:
    return f"count/{plural}.{group}" if group else f"count/{plural}"


def costs_of(stored_as: str, body: Body) -> dict[str, int]:
    """Return what one object costs, by the names of limits; nothing for a pod that has ended."""
    if stored_as == "/pods" and (body.get("status") or {}).get("phase") in ("Succeeded", "Failed"):
        return {_counted_name("", "pods"): 1}
    group, _, plural = stored_as.partition("/")
    costs = {_counted_name(group, plural): 1}
    if stored_as in _COUNTED:
        costs[_COUNTED[stored_as]] = 1
    if stored_as == "/pods":
        costs |= _compute(body)
    if stored_as == "/services":
        kind = (body.get("spec") or {}).get("type", "ClusterIP")
        ports = len((body.get("spec") or {}).get("ports") or [])
        costs["services.loadbalancers"] = int(kind == "LoadBalancer")
        costs["services.nodeports"] = ports if kind in ("NodePort", "LoadBalancer") else 0
    return {name: amount for name, amount in costs.items() if amount}


def _compute(pod: Body) -> dict[str, int]:
    """Return what a pod requests and is limited to: its containers together, or one init's."""
    spec = pod.get("spec") or {}
    total: dict[str, int] = {}
    for container in spec.get("containers") or []:
        for name, amount in _of_container(container).items():
            total[name] = total.get(name, 0) + amount
    for container in spec.get("initContainers") or []:
        for name, amount in _of_container(container).items():
            total[name] = max(total.get(name, 0), amount)
    return total | {a: total[name] for a, name in _ALIASES.items() if name in total}


def _of_container(container: Body) -> dict[str, int]:
    resources = container.get("resources") or {}
    limits, requests = resources.get("limits") or {}, resources.get("requests") or {}
    found = {f"limits.{name}": text for name, text in limits.items()}
    found |= {f"requests.{name}": text for name, text in {**limits, **requests}.items()}
    return {name: _number(text, thousandths=_is_cpu(name), up=True) for name, text in found.items()}


def missing_requests(pod: Body, limits: Mapping[str, int]) -> list[str]:
    """Return the limits of compute for which a container of a pod says nothing."""
    containers = (pod.get("spec") or {}).get("containers") or []
    names = [_ALIASES.get(name, name) for name in limits]
    wanted = [name for name in names if name.startswith(("requests.", "limits."))]
    return sorted(
        {
            name
            for name in wanted
            for container in containers
            if name not in _of_container(container)
        }
    )
