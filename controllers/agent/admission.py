"""Whether a machine can have one more pod. Its agent has the final word, whoever bound the pod.

Source: kubelet's admission, with its reasons.

Invariants:
    ADM-1  The requests of the pods that are admitted and not over never exceed what there is.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, final

from controllers.agent.podspec import PodSpec

__all__ = ["Capacity", "refuse"]


@final
@dataclass(frozen=True, slots=True)
class Capacity:
    """What there is for pods."""

    millicores: int
    memory_bytes: int
    pods: int

    def quantities(self) -> dict[str, str]:
        """Return it as a Node's status says it."""
        return {
            "cpu": f"{self.millicores}m"
            if self.millicores % 1000
            else f"{self.millicores // 1000}",
            "memory": f"{self.memory_bytes // 1024}Ki",
            "pods": str(self.pods),
        }


def refuse(pod: PodSpec, others: Collection[PodSpec], capacity: Capacity) -> tuple[str, str] | None:
    """Return the reason and the message of a refusal, None when there is room (ADM-1)."""
    if len(others) >= capacity.pods:
        return "OutOfpods", _text("pods", 1, len(others), capacity.pods)
    used = sum(other.millicores for other in others)
    if pod.millicores and used + pod.millicores > capacity.millicores:
        return "OutOfcpu", _text("cpu", pod.millicores, used, capacity.millicores)
    used = sum(other.memory_bytes for other in others)
    if pod.memory_bytes and used + pod.memory_bytes > capacity.memory_bytes:
        return "OutOfmemory", _text("memory", pod.memory_bytes, used, capacity.memory_bytes)
    wanted = _host_ports(pod.body)
    for other in others:
        both = wanted & _host_ports(other.body)
        if both:
            ports = ", ".join(str(number) for _, number in sorted(both))
            return "NodePorts", (
                f"Pod was rejected: hostPort {ports} is had by pod {other.namespace}/{other.name}"
            )
    return None


def _text(resource: str, requested: int, used: int, capacity: int) -> str:
    return (
        f"Pod was rejected: Node didn't have enough resource: {resource}, requested: {requested}, "
        f"used: {used}, capacity: {capacity}"
    )


def _host_ports(body: Mapping[str, Any]) -> set[tuple[str, int]]:
    containers = (body.get("spec") or {}).get("containers") or ()
    ports = [port for container in containers for port in container.get("ports") or ()]
    return {(p.get("protocol") or "TCP", p["hostPort"]) for p in ports if p.get("hostPort")}
