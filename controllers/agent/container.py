"""One container as a state machine: waiting, starting, running, ending, ended, and again.

Source: Kubernetes' pod life cycle: container states, restart policy with back-off, probes,
graceful termination.

Invariants:
    CTR-1  At most one process at a time: a start is asked for only when none is or may be there.
    CTR-2  restartCount counts processes after the first; it never shrinks.
    CTR-3  Whoever was told to end is killed when its grace is over.
    CTR-4  Times that a process reports are shown, and nothing waits for them: its clock is a wall
           clock, which can be set.
"""

from dataclasses import dataclass
from typing import Literal, final

from controllers.agent import inputs
from controllers.agent.inputs import Effect, ProbeKind
from controllers.agent.podspec import ContainerSpec
from controllers.agent.probing import Probing

__all__ = ["Container", "Ended", "History"]

BACKOFF_MS, BACKOFF_MS_MAX, BACKOFF_RESET_MS = 10_000, 300_000, 600_000
CONFIG_RETRY_MS, CONFIG_RETRY_MS_MAX = 2_000, 30_000
HOOK_OVERTIME_MS = 2_000

Phase = Literal["waiting", "starting", "running", "ended"]


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """How a process ended."""

    container_id: str
    code: int
    signal: int
    reason: str
    message: str
    started_ms: int
    finished_ms: int


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class History:
    """What is known of a container from before the agent started."""

    attempt: int
    crashes: int
    container_id: str
    started_ms: int
    last: Ended | None
    """Of the attempt before this one."""
    ready: bool
    started: bool


@final
class Container:
    """The machine of one container; the pod's machine owns it and steps it."""

    def __init__(
        self, spec: ContainerSpec, history: History | None, place: str, now_ms: int
    ) -> None:
        self.spec = spec
        self.phase: Phase = "waiting"
        self.reason, self.message = "", ""  # Of waiting; empty until there is something to say.
        self.attempt = 0
        self.container_id = ""
        self.started_ms = 0
        self.last: Ended | None = None
        self.ended: Ended | None = None
        self.stopping = False
        self.probes: dict[ProbeKind, Probing] = {}
        self._place = place
        self._retry_ms: int | None = 0
        self._retries = 0
        self._crashes = 0
        self._kill_ms: int | None = None
        self._hook = False
        if history is not None:
            self._resume(now_ms, history)

    def _resume(self, now_ms: int, history: History) -> None:
        self.phase, self.attempt = "running", history.attempt
        self.container_id, self.started_ms = history.container_id, history.started_ms
        self.last, self._crashes = history.last, history.crashes
        since_ms = min(now_ms, history.started_ms)  # CTR-4
        self._set_probes(since_ms, ready=history.ready, started=history.started)

    def _set_probes(self, now_ms: int, *, ready: bool, started: bool) -> None:
        spec = self.spec
        self.probes = {}
        if spec.startup is not None and not started:
            self.probes["startup"] = Probing(spec.startup, now_ms, None)
        if spec.liveness is not None:
            self.probes["liveness"] = Probing(spec.liveness, now_ms, True)
        if spec.readiness is not None:
            self.probes["readiness"] = Probing(spec.readiness, now_ms, ready)

    # -- what it is ----------------------------------------------------------------------------

    @property
    def restart_count(self) -> int:
        """Processes after the first; one that is being started does not count yet."""
        return self.attempt - (self.phase == "starting" and self.ended is not None)

    @property
    def started(self) -> bool:
        """Running, and past its start-up probe."""
        startup = self.probes.get("startup")
        return self.phase == "running" and (startup is None or startup.verdict is True)

    @property
    def ready(self) -> bool:
        """Whether requests may be sent to it."""
        readiness = self.probes.get("readiness")
        return self.started and (readiness is None or readiness.verdict is True)

    @property
    def has_run(self) -> bool:
        """Whether a process of it was ever there."""
        return self.phase == "running" or self.ended is not None or self.last is not None

    @property
    def is_up(self) -> bool:
        """Whether a process is, or may be, there."""
        return self.phase in ("starting", "running")

    @property
    def succeeded(self) -> bool:
        """Ended with code 0, not to be started again."""
        return self._is_final and self.ended is not None and self.ended.code == 0

    @property
    def failed(self) -> bool:
        """Ended otherwise, not to be started again."""
        return self._is_final and self.ended is not None and self.ended.code != 0

    @property
    def _is_final(self) -> bool:
        return self.phase == "ended" and not self.restarts

    @property
    def restarts(self) -> bool:
        """Whether the policy wants a new process after this end."""
        if self.ended is None or self.spec.restart == "Always":
            return True
        return self.spec.restart == "OnFailure" and self.ended.code != 0

    @property
    def wake_ms(self) -> int | None:
        """When time alone changes something."""
        times = []
        if self.phase == "waiting" and self._retry_ms is not None:
            times.append(self._retry_ms)
        if self.phase == "ended" and self.restarts and self._retry_ms is not None:
            times.append(self._retry_ms)
        if self.phase == "running":
            if self._kill_ms is not None:
                times.append(self._kill_ms)
            times += [p.due_ms for p in self._active_probes().values() if p.due_ms is not None]
        return min(times, default=None)

    # -- what happens --------------------------------------------------------------------------

    def run(self, now_ms: int) -> list[Effect]:
        """Start it, if it is to run and its back-off is over (CTR-1)."""
        if self.phase == "ended" and not self.restarts:
            return []
        if self.is_up or self._retry_ms is None or now_ms < self._retry_ms:
            return []
        attempt = self.attempt + 1 if self.ended is not None else self.attempt  # CTR-2
        self.phase, self.attempt = "starting", attempt
        return [inputs.Start(self.spec.name, attempt, self._crashes)]

    def on_started(self, now_ms: int, event: inputs.Started) -> list[Effect]:
        """The process is there."""
        if self.phase != "starting" or event.attempt != self.attempt:
            return []
        self.phase, self.reason, self.message, self._retries = "running", "", "", 0
        self.container_id, self.started_ms = event.container_id, event.at_ms
        self.last, self.ended = self.ended or self.last, None
        self.stopping, self._kill_ms, self._hook = False, None, False
        self._set_probes(now_ms, ready=False, started=False)
        name = self.spec.name
        effects: list[Effect] = [
            inputs.Announce("Normal", "Started", f"Started container {name}", name)
        ]
        if self.spec.post_start is not None:
            effects.append(inputs.Hook(name, self.attempt, "postStart"))
        return effects

    def on_start_failed(self, now_ms: int, event: inputs.StartFailed) -> list[Effect]:
        """There is no process; say why, and when to try again."""
        if self.phase != "starting" or event.attempt != self.attempt:
            return []
        self._retries += 1
        name, final_try = self.spec.name, event.retry == "never"
        if event.retry == "create" and self.spec.restart == "Never":
            # Nobody would ever try again: that is an end, as it is for a Job.
            self._end(
                now_ms, code=128, signal=0, reason="StartError", message=event.message,
                started_ms=now_ms,
            )  # fmt: skip
        else:
            # A process that was there before keeps its count: this attempt has not been one.
            if self.ended is not None:
                self.attempt -= 1
            first, most = (
                (CONFIG_RETRY_MS, CONFIG_RETRY_MS_MAX)
                if event.retry == "config"
                else (BACKOFF_MS, BACKOFF_MS_MAX)
            )
            wait_ms = min(first << min(self._retries - 1, 16), most)
            self.phase, self.reason, self.message = "waiting", event.reason, event.message
            self._retry_ms = None if final_try else now_ms + wait_ms
        return [inputs.Announce("Warning", event.reason, event.message, name)]

    def on_exited(self, now_ms: int, event: inputs.Exited, *, wanted: bool) -> list[Effect]:
        """The process has ended; decide when it may be started again, if the pod is wanted."""
        if not self.is_up or event.attempt != self.attempt:
            return []
        reason = event.reason or ("Completed" if event.code == 0 else "Error")
        started_ms = self.started_ms if self.phase == "running" else event.at_ms
        self._end(
            event.at_ms, code=event.code, signal=event.signal, reason=reason,
            message=event.message, started_ms=started_ms,
        )  # fmt: skip
        if event.at_ms - started_ms >= BACKOFF_RESET_MS:
            self._crashes = 0
        delay_ms = 0
        if self._crashes:
            delay_ms = min(BACKOFF_MS << min(self._crashes - 1, 16), BACKOFF_MS_MAX)
        # CTR-4; what ended while nobody looked has waited since.
        self._retry_ms = now_ms + max(0, delay_ms - max(0, now_ms - event.at_ms))
        self._crashes += 1
        if not wanted or not self.restarts or self._retry_ms <= now_ms:
            return []
        name = self.spec.name
        self.phase, self.reason = "waiting", "CrashLoopBackOff"
        self.message = (
            f"back-off {delay_ms // 1000}s restarting failed container={name} pod={self._place}"
        )
        text = f"Back-off restarting failed container {name} in pod {self._place}"
        return [inputs.Announce("Warning", "BackOff", text, name)]

    def _end(
        self, at_ms: int, *, code: int, signal: int, reason: str, message: str, started_ms: int
    ) -> None:
        self.ended = Ended(
            container_id=self.container_id, code=code, signal=signal, reason=reason,
            message=message, started_ms=started_ms, finished_ms=at_ms,
        )  # fmt: skip
        self.phase, self.reason, self.message = "ended", "", ""
        self.stopping, self._kill_ms, self._hook, self.probes = False, None, False, {}

    def on_probe(self, now_ms: int, event: inputs.ProbeDone, grace_ms: int) -> list[Effect]:
        """Count one answer; a liveness or start-up probe that has failed ends the process."""
        probe = self.probes.get(event.kind)
        if self.phase != "running" or event.attempt != self.attempt or probe is None:
            return []
        changed = probe.answer(event.passed)
        name, effects = self.spec.name, list[Effect]()
        if not event.passed:
            text = f"{event.kind.capitalize()} probe failed: {event.message}"
            effects.append(inputs.Announce("Warning", "Unhealthy", text, name))
        if not changed or event.kind == "readiness" or self.stopping:
            return effects
        if event.passed:
            return effects  # Started: the other probes are due by their own delays.
        why = f"Container {name} failed {event.kind} probe, will be restarted"
        own_ms = grace_ms if probe.spec.grace_ms is None else probe.spec.grace_ms
        return [*effects, *self.stop(now_ms, own_ms, why)]

    def on_hook(self, now_ms: int, event: inputs.HookDone, grace_ms: int) -> list[Effect]:
        """After preStop comes SIGTERM; a postStart that fails ends the process."""
        if self.phase != "running" or event.attempt != self.attempt:
            return []
        name, effects = self.spec.name, list[Effect]()
        if not event.passed:
            reason = "FailedPostStartHook" if event.kind == "postStart" else "FailedPreStopHook"
            text = f"{event.kind} hook of container {name} failed: {event.message}"
            effects.append(inputs.Announce("Warning", reason, text, name))
        if event.kind == "preStop" and self._hook:
            effects += self._terminate(now_ms)
        elif event.kind == "postStart" and not event.passed and not self.stopping:
            effects += self.stop(now_ms, grace_ms, f"FailedPostStartHook: {event.message}")
        return effects

    def stop(self, now_ms: int, grace_ms: int, why: str) -> list[Effect]:
        """Tell the process to end; with no grace left, end it. Again: the shorter grace counts."""
        if self.phase != "running":
            return []
        name = self.spec.name
        if self.stopping:
            if self._kill_ms is not None and now_ms + grace_ms < self._kill_ms:
                self._kill_ms = now_ms + grace_ms
            return []
        self.stopping, self._kill_ms = True, now_ms + grace_ms  # CTR-3
        effects: list[Effect] = [inputs.Announce("Normal", "Killing", why, name)]
        if grace_ms > 0 and self.spec.pre_stop is not None:
            self._hook = True
            return [*effects, inputs.Hook(name, self.attempt, "preStop")]
        if grace_ms > 0:
            return [*effects, inputs.Signal(name, self.attempt, "TERM")]
        return [*effects, *self.tick(now_ms)]

    def _terminate(self, now_ms: int) -> list[Effect]:
        self._hook = False
        # A hook that has used up the grace leaves the process a moment for its SIGTERM.
        self._kill_ms = max(self._kill_ms or 0, now_ms + HOOK_OVERTIME_MS)
        return [inputs.Signal(self.spec.name, self.attempt, "TERM")]

    def tick(self, now_ms: int) -> list[Effect]:
        """Do what is due: kill, or probe."""
        if self.phase != "running":
            return []
        name = self.spec.name
        if self._kill_ms is not None and now_ms >= self._kill_ms:
            if self._hook:
                return self._terminate(now_ms)
            self._kill_ms = None
            return [inputs.Signal(name, self.attempt, "KILL")]
        return [
            inputs.Probe(name, self.attempt, kind)
            for kind, probe in self._active_probes().items()
            if probe.ask(now_ms)
        ]

    def _active_probes(self) -> dict[ProbeKind, Probing]:
        """Until it has started only the start-up probe; while it ends only readiness."""
        startup = self.probes.get("startup")
        if startup is not None and startup.verdict is None:
            return {} if self.stopping else {"startup": startup}
        return {
            kind: probe
            for kind, probe in self.probes.items()
            if kind == "readiness" or (kind == "liveness" and not self.stopping)
        }
