"""One pod as a state machine: which of its containers run now, and when it is over.

Source: Kubernetes' pod life cycle: init containers in order, sidecars, restart policies, phases,
graceful termination, active deadline.

Invariants:
    POD-1  Init containers run in order, one at a time; the others only after all have succeeded.
    POD-2  Nothing is started in a pod that is deleted, evicted, past its deadline or over.
    POD-3  A pod is `gone` only when none of its processes is or may be there.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, assert_never, final

from controllers.agent import inputs
from controllers.agent.container import Container, History
from controllers.agent.inputs import Effect, Input
from controllers.agent.podspec import ContainerSpec, PodSpec, parse_pod

__all__ = ["Pod", "Stopping"]


@final
@dataclass(frozen=True, slots=True)
class Stopping:
    """Why and until when a pod is being brought to its end."""

    kill_ms: int
    why: str
    reason: str = ""
    """Of the pod's status; empty when its object was deleted."""
    message: str = ""


@final
class Pod:
    """The machine of one pod: `step` is its only mutating method."""

    def __init__(
        self, spec: PodSpec, now_ms: int, history: Mapping[str, History] | None = None
    ) -> None:
        self.spec = spec
        self.since_ms = now_ms
        history = history or {}
        place = f"{spec.name}_{spec.namespace}({spec.uid})"
        self.containers = {
            c.name: Container(c, history.get(c.name), place, now_ms) for c in spec.containers
        }
        self._init = [self.containers[c.name] for c in spec.init]
        self._main = [self.containers[c.name] for c in spec.main]
        self.stopping: Stopping | None = None
        self.deleted = False
        self._wanted: list[Container] = []  # Those that it is the turn of, by the last step.
        self.initialized = not spec.init or any(c.has_run for c in self._main)

    # -- what it is ----------------------------------------------------------------------------

    @property
    def gone(self) -> bool:
        """Being brought to its end, and no process is left (POD-3)."""
        return self.stopping is not None and not any(c.is_up for c in self.containers.values())

    @property
    def over(self) -> Literal["", "Succeeded", "Failed"]:
        """The phase in which it stays, once it has ended; else empty."""
        if any(c.is_up for c in self.containers.values()):
            return ""
        if self.stopping is not None and self.stopping.reason:
            return "Failed"
        if any(c.failed for c in self._init if not c.spec.sidecar):
            return "Failed"
        if self._main_done:
            return "Failed" if any(c.failed for c in self._main) else "Succeeded"
        if self.stopping is None:
            return ""
        return "Succeeded" if self._all_left_well() else "Failed"

    def _all_left_well(self) -> bool:
        """Whether a pod that was deleted while it ran has ended without an error."""
        return all(c.ended is not None and c.ended.code == 0 for c in self._main)

    @property
    def _main_done(self) -> bool:
        return bool(self._main) and all(c.succeeded or c.failed for c in self._main)

    @property
    def wake_ms(self) -> int | None:
        """When a Tick is due; None: only when something happens."""
        times = [c.wake_ms for c in self.containers.values() if c.is_up or c in self._wanted]
        if self.stopping is None and self.spec.deadline_ms is not None and not self.over:
            times.append(self.since_ms + self.spec.deadline_ms)
        return min((t for t in times if t is not None), default=None)

    # -- what happens --------------------------------------------------------------------------

    def step(self, now_ms: int, event: Input) -> list[Effect]:
        """Take one input; return what is to be done, in order. No input is an error."""
        effects = self._take(now_ms, event) + self._advance(now_ms)
        for container in self.containers.values():
            effects += container.tick(now_ms)
        return effects

    def _take(self, now_ms: int, event: Input) -> list[Effect]:
        match event:
            case inputs.Changed(body):
                return self._change(now_ms, parse_pod(body))
            case inputs.Vanished():
                self.deleted = True
                return self._stop(Stopping(now_ms + self.spec.grace_ms, "the pod is gone"))
            case inputs.Evict(reason, message):
                return self._stop(
                    Stopping(now_ms + self.spec.grace_ms, message, reason, message),
                    announce=inputs.Announce("Warning", reason, message),
                )
            case inputs.Tick():
                return self._check_deadline(now_ms)
            case _:
                return self._tell(now_ms, event)

    def _tell(
        self,
        now_ms: int,
        event: (
            inputs.Started | inputs.StartFailed | inputs.Exited | inputs.ProbeDone | inputs.HookDone
        ),
    ) -> list[Effect]:
        container = self.containers.get(event.container)
        if container is None:
            return []
        grace_ms = self._grace_ms(now_ms)
        match event:
            case inputs.Started():
                return container.on_started(now_ms, event)
            case inputs.StartFailed():
                return container.on_start_failed(now_ms, event)
            case inputs.Exited():
                wanted = self.stopping is None and not (container.spec.sidecar and self._main_done)
                return container.on_exited(now_ms, event, wanted=wanted)
            case inputs.ProbeDone():
                return container.on_probe(now_ms, event, grace_ms)
            case inputs.HookDone():
                return container.on_hook(now_ms, event, grace_ms)
            case _:
                assert_never(event)

    def _change(self, now_ms: int, spec: PodSpec) -> list[Effect]:
        """Take over what may change in a pod: its deletion, deadline and metadata."""
        self.spec = spec
        meta = spec.body["metadata"]
        if "deletionTimestamp" not in meta:
            return self._check_deadline(now_ms)
        grace_s = meta.get("deletionGracePeriodSeconds")
        grace_ms = spec.grace_ms if grace_s is None else int(grace_s) * 1000
        self.deleted = True
        return self._stop(Stopping(now_ms + grace_ms, "the pod is being deleted"))

    def _check_deadline(self, now_ms: int) -> list[Effect]:
        deadline_ms = self.spec.deadline_ms
        if deadline_ms is None or self.over or now_ms < self.since_ms + deadline_ms:
            return []
        message = "Pod was active on the node longer than the specified deadline"
        return self._stop(
            Stopping(now_ms + self.spec.grace_ms, message, "DeadlineExceeded", message),
            announce=inputs.Announce("Normal", "DeadlineExceeded", message),
        )

    def _stop(self, stopping: Stopping, announce: inputs.Announce | None = None) -> list[Effect]:
        """Begin the end. The first reason stays; the earliest deadline counts."""
        before = self.stopping
        if before is None:
            self.stopping = stopping
            return [] if announce is None else [announce]
        if stopping.kill_ms < before.kill_ms:
            self.stopping = Stopping(stopping.kill_ms, before.why, before.reason, before.message)
        return []

    def _grace_ms(self, now_ms: int) -> int:
        if self.stopping is None:
            return self.spec.grace_ms
        return max(0, self.stopping.kill_ms - now_ms)

    def _advance(self, now_ms: int) -> list[Effect]:
        """Start what is to run now, stop what is not."""
        self._wanted = []
        if self.stopping is not None:
            return self._stop_all(now_ms, self.stopping.why)  # POD-2
        if any(c.failed for c in self._init):
            return self._stop_all(now_ms, "an init container has failed")
        self._wanted = self._choose()
        effects = [effect for c in self._wanted for effect in c.run(now_ms)]
        if self._main_done:
            effects += self._stop_all(now_ms, "the containers have ended")
        return effects

    def _choose(self) -> list[Container]:
        """Return those that it is the turn of (POD-1)."""
        wanted = [] if self._main_done else [c for c in self._init if c.spec.sidecar]
        if not self.initialized:
            for place, container in enumerate(self._init):
                done = container.started if container.spec.sidecar else container.succeeded
                if not done:
                    return [c for c in wanted if c in self._init[:place]] + [container]
            self.initialized = True
        return wanted + self._main

    def _stop_all(self, now_ms: int, why: str) -> list[Effect]:
        """Stop the containers; those beside them when no other is left, the last one first."""
        grace_ms = self._grace_ms(now_ms)
        effects: list[Effect] = []
        others = [c for c in self.containers.values() if not c.spec.sidecar]
        for container in others:
            effects += container.stop(now_ms, grace_ms, self._text(container.spec, why))
        if not any(c.is_up for c in others):
            for container in reversed([c for c in self._init if c.spec.sidecar]):
                effects += container.stop(now_ms, grace_ms, self._text(container.spec, why))
        return effects

    def _text(self, container: ContainerSpec, why: str) -> str:
        return f"Stopping container {container.name}: {why}"
