"""The status of a Pod as Kubernetes shows it, from the state of its machine.

Source: kubelet's phases, container states and pod conditions.

Invariants:
    STA-1  Equal machines give equal statuses: nothing in one but what has happened, so that a
           status is written only when something has.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, final

from controllers.agent.container import Container, Ended
from controllers.agent.pod import Pod
from controllers.runtime.quantity import to_units

__all__ = ["Address", "Reporter", "format_time", "quality_of_service"]


def format_time(at_ms: int) -> str:
    """Return a time of the API, which has whole seconds."""
    return datetime.fromtimestamp(at_ms // 1000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


@final
class Address:
    """Where a pod is: the machine's address and its own."""

    def __init__(self, host_ip: str, pod_ip: str) -> None:
        self.host_ip, self.pod_ip = host_ip, pod_ip


@final
class Reporter:
    """Writes the status of one pod; remembers since when each condition is what it is.

    Args:
        known: The status that the API has, so that conditions that still hold keep their times,
            and those that others have written stay.
    """

    def __init__(self, address: Address, known: Mapping[str, Any] | None = None) -> None:
        self._address = address
        self._conditions: dict[str, dict[str, Any]] = {}
        for condition in (known or {}).get("conditions") or ():
            self._conditions[condition["type"]] = dict(condition)
        self._start_time: str | None = (known or {}).get("startTime")

    def report(self, pod: Pod, now_ms: int) -> dict[str, Any]:
        """Return the status now."""
        spec = pod.spec
        if self._start_time is None:
            self._start_time = format_time(pod.since_ms)
        phase = _phase(pod)
        status: dict[str, Any] = {
            "phase": phase,
            "conditions": self._report_conditions(pod, phase, now_ms),
            "hostIP": self._address.host_ip,
            "hostIPs": [{"ip": self._address.host_ip}],
            "startTime": self._start_time,
            "qosClass": quality_of_service(spec.body),
        }
        stopping = pod.stopping
        if stopping is not None and stopping.reason:
            status["reason"], status["message"] = stopping.reason, stopping.message
        if any(c.has_run or c.is_up for c in pod.containers.values()):
            status["podIP"] = self._address.pod_ip
            status["podIPs"] = [{"ip": self._address.pod_ip}]
        waiting = "PodInitializing" if spec.init else "ContainerCreating"
        if spec.init:
            status["initContainerStatuses"] = [
                _container_status(pod.containers[c.name], waiting) for c in spec.init
            ]
        status["containerStatuses"] = [
            _container_status(pod.containers[c.name], waiting) for c in spec.main
        ]
        return status

    def _report_conditions(self, pod: Pod, phase: str, now_ms: int) -> list[dict[str, Any]]:
        over = phase in ("Succeeded", "Failed")
        every = pod.containers
        lasting = [every[c.name] for c in pod.spec.containers if c.sidecar or not c.init]
        unready = [c.spec.name for c in lasting if not c.ready]
        why, text = "ContainersNotReady", f"containers with unready status: [{' '.join(unready)}]"
        if over:
            why, text = ("PodFailed" if phase == "Failed" else "PodCompleted"), ""
        self._set("PodReadyToStartContainers", not over, now_ms)
        initialized = pod.initialized and (not over or any(c.has_run for c in every.values()))
        init = [every[c.name] for c in pod.spec.init]
        missing = [
            c.spec.name for c in init if not (c.started if c.spec.sidecar else c.succeeded)
        ]  # fmt: skip
        if initialized or over:
            self._set("Initialized", initialized, now_ms)
        else:
            self._set(
                "Initialized", False, now_ms, "ContainersNotInitialized",
                f"containers with incomplete status: [{' '.join(missing)}]",
            )  # fmt: skip
        ready = not over and not unready
        self._set("ContainersReady", ready, now_ms, why, text)
        gates = [g["conditionType"] for g in pod.spec.body["spec"].get("readinessGates") or ()]
        shut = [g for g in gates if self._conditions.get(g, {}).get("status") != "True"]
        if ready and shut:
            ready, why, text = False, "ReadinessGatesNotReady", f"not True: {' '.join(shut)}"
        self._set("Ready", ready, now_ms, why, text)
        self._set("PodScheduled", True, now_ms)
        return list(self._conditions.values())

    def observe(self, known: Mapping[str, Any]) -> None:
        """Take over the conditions that others have written."""
        for condition in known.get("conditions") or ():
            if condition["type"] not in _OWN:
                self._conditions[condition["type"]] = dict(condition)

    def _set(
        self, kind: str, holds: bool, now_ms: int, reason: str = "", message: str = ""
    ) -> None:
        """Set a condition; the reason and message are of its not holding."""
        value = "True" if holds else "False"
        before = self._conditions.get(kind)
        since = format_time(now_ms)
        if before is not None and before["status"] == value:
            since = before["lastTransitionTime"]
        condition = {"type": kind, "status": value, "lastTransitionTime": since}
        if not holds and reason:
            condition["reason"] = reason
        if not holds and message:
            condition["message"] = message
        self._conditions[kind] = condition


_OWN = frozenset(
    {"PodReadyToStartContainers", "Initialized", "ContainersReady", "Ready", "PodScheduled"}
)


def _phase(pod: Pod) -> str:
    if pod.over:
        return pod.over
    if not pod.initialized:
        return "Pending"
    main = [pod.containers[c.name] for c in pod.spec.main]
    return "Running" if all(c.has_run for c in main) else "Pending"


def _container_status(container: Container, waiting: str) -> dict[str, Any]:
    spec = container.spec
    status: dict[str, Any] = {
        "name": spec.name,
        "image": spec.image,
        "imageID": "",
        "ready": container.succeeded if spec.init and not spec.sidecar else container.ready,
        "started": container.started,
        "restartCount": container.restart_count,
        "state": _state(container, waiting),
    }
    last = container.last if _shows_end(container) else container.ended or container.last
    if last is not None:
        status["lastState"] = {"terminated": _terminated(last)}
    latest = container.container_id
    if latest:
        status["containerID"] = latest
    return status


def _shows_end(container: Container) -> bool:
    """Whether its state is how it ended: also while the next process is being started."""
    return container.ended is not None and container.phase in ("ended", "starting")


def _state(container: Container, waiting: str) -> dict[str, Any]:
    if container.phase == "running":
        return {"running": {"startedAt": format_time(container.started_ms)}}
    if _shows_end(container):
        assert container.ended is not None
        return {"terminated": _terminated(container.ended)}
    state = {"reason": container.reason or waiting}
    if container.message:
        state["message"] = container.message
    return {"waiting": state}


def _terminated(ended: Ended) -> dict[str, Any]:
    body: dict[str, Any] = {
        "exitCode": ended.code,
        "reason": ended.reason,
        "startedAt": format_time(ended.started_ms),
        "finishedAt": format_time(ended.finished_ms),
    }
    if ended.container_id:
        body["containerID"] = ended.container_id
    if ended.signal:
        body["signal"] = ended.signal
    if ended.message:
        body["message"] = ended.message
    return body


def quality_of_service(body: Mapping[str, Any]) -> str:
    """Return Guaranteed, Burstable or BestEffort, as requests and limits say."""
    spec = body.get("spec") or {}
    containers = [*(spec.get("initContainers") or ()), *(spec.get("containers") or ())]
    resources = [c.get("resources") or {} for c in containers]
    if not any(_given(r.get("requests")) or _given(r.get("limits")) for r in resources):
        return "BestEffort"
    for given in resources:
        limits = given.get("limits") or {}
        requests = {**limits, **(given.get("requests") or {})}
        for name in ("cpu", "memory"):
            if name not in limits or str(requests[name]) != str(limits[name]):
                return "Burstable"
    return "Guaranteed"


def _given(amounts: Mapping[str, Any] | None) -> bool:
    return any(to_units(v) > 0 for k, v in (amounts or {}).items() if k in ("cpu", "memory"))
