"""How a Pod is summed up in a line: READY, STATUS and RESTARTS.

Source: Kubernetes' printPod; STATUS is the most telling of phase, reason and container states.
"""

from collections.abc import Mapping
from typing import Any

from crdtstate.kube.durations import parse_ms, since
from crdtstate.kube.table_cells import NONE, Body, at, items

__all__ = ["pod_ip", "pod_ready", "pod_restarts", "pod_status", "readiness_gates"]


def _sidecars(body: Body) -> set[str]:
    """Return init containers that run all the time; they count like the others."""
    found = items(body, "spec.initContainers")
    return {c.get("name", "") for c in found if c.get("restartPolicy") == "Always"}


def _statuses(body: Body) -> list[Mapping[str, Any]]:
    sidecars = _sidecars(body)
    early = [s for s in items(body, "status.initContainerStatuses") if s.get("name") in sidecars]
    return [*early, *items(body, "status.containerStatuses")]


def pod_ready(body: Body, _now: int) -> str:
    """Show how many containers are ready, of how many."""
    ready = sum(
        1 for s in _statuses(body) if s.get("ready") is True and at(s, "state.running") is not None
    )
    return f"{ready}/{len(items(body, 'spec.containers')) + len(_sidecars(body))}"


def pod_status(body: Body, _now: int) -> str:
    """Show what the Pod is about."""
    reason = at(body, "status.reason") or at(body, "status.phase", "Pending")
    early = _initializing(body)
    shown = early if early is not None else _running(body, str(reason))
    if at(body, "metadata.deletionTimestamp") is None or at(body, "status.phase") in (
        "Succeeded", "Failed",
    ):  # fmt: skip
        return shown
    return "Unknown" if at(body, "status.reason") == "NodeLost" else "Terminating"


def _initializing(body: Body) -> str | None:
    """Return what an init container is about, or None when all are done."""
    sidecars, specs = _sidecars(body), items(body, "spec.initContainers")
    for position, status in enumerate(items(body, "status.initContainerStatuses")):
        ended = at(status, "state.terminated")
        if ended is not None and ended.get("exitCode", 0) == 0:
            continue
        if status.get("name") in sidecars and status.get("started") is True:
            continue
        if ended is not None:
            return f"Init:{_ended(ended)}"
        waiting = at(status, "state.waiting.reason")
        if waiting and waiting != "PodInitializing":
            return f"Init:{waiting}"
        return f"Init:{position}/{len(specs)}"
    return None


def _ended(ended: Mapping[str, Any]) -> str:
    if ended.get("reason"):
        return str(ended["reason"])
    if ended.get("signal"):
        return f"Signal:{ended['signal']}"
    return f"ExitCode:{ended.get('exitCode', 0)}"


def _running(body: Body, reason: str) -> str:
    running = False
    for status in reversed(items(body, "status.containerStatuses")):
        ended = at(status, "state.terminated")
        waiting = at(status, "state.waiting.reason")
        if waiting:
            reason = str(waiting)
        elif ended is not None:
            reason = _ended(ended)
        elif status.get("ready") is True and at(status, "state.running") is not None:
            running = True
    if reason == "Completed" and running:
        return "Running" if _has_condition(body, "Ready") else "NotReady"
    return reason


def _has_condition(body: Body, kind: str) -> bool:
    return any(
        c.get("type") == kind and c.get("status") == "True"
        for c in items(body, "status.conditions")
    )


def pod_restarts(body: Body, now_ms: int) -> str:
    """Show the restarts, and when the last one was."""
    statuses = _statuses(body)
    if _initializing(body) is not None:
        statuses = items(body, "status.initContainerStatuses")
    count = sum(int(s.get("restartCount", 0)) for s in statuses)
    ends = [at(s, "lastState.terminated.finishedAt") for s in statuses]
    last = max(
        (end for end in ends if isinstance(end, str)), key=lambda e: parse_ms(e) or 0, default=None
    )
    return f"{count} ({since(last, now_ms)} ago)" if count and last else str(count)


def pod_ip(body: Body, _now: int) -> str:
    """Show the first address."""
    addresses = items(body, "status.podIPs")
    return str((addresses[0].get("ip") if addresses else at(body, "status.podIP")) or NONE)


def readiness_gates(body: Body, _now: int) -> str:
    """Show how many readiness gates are open, of how many."""
    gates = items(body, "spec.readinessGates")
    opened = sum(_has_condition(body, str(gate.get("conditionType"))) for gate in gates)
    return f"{opened}/{len(gates)}" if gates else NONE
