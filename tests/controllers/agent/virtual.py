"""A machine of one pod on virtual time: processes start when asked, and do what the test says."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from controllers.agent import inputs
from controllers.agent.container import History
from controllers.agent.inputs import Effect, Input
from controllers.agent.pod import Pod
from controllers.agent.podspec import parse_pod
from controllers.agent.status import Address, Reporter

START_MS = 1_700_000_000_000
PROBE = {"httpGet": {"port": 80}, "periodSeconds": 5}


def pod_body(*containers: dict[str, Any], **spec: Any) -> dict[str, Any]:
    """Return a Pod; a container needs a name only."""
    filled = [{"image": "here", "command": ["true"], **c} for c in containers]
    meta: dict[str, Any] = {"name": "p", "namespace": "default", "uid": "u-1"}
    return {"metadata": meta, "spec": {"containers": filled or [{"name": "c"}], **spec}}


class World:
    """Performs effects at once; remembers them all."""

    def __init__(
        self,
        body: dict[str, Any],
        *,
        history: Mapping[str, History] | None = None,
        starts: Callable[[str, int], inputs.StartFailed | None] = lambda *_: None,
        sick: Iterable[tuple[str, str]] = (),
    ) -> None:
        self.now_ms = START_MS
        self.body = body
        self.pod = Pod(parse_pod(body), self.now_ms, history)
        self.reporter = Reporter(Address("10.0.0.1", "10.0.0.1"))
        self.starts = starts
        self.alive: dict[str, int] = {}
        for name, known in (history or {}).items():
            self.alive[name] = known.attempt
        self.healthy: dict[tuple[str, str], bool] = dict.fromkeys(sick, False)
        self.deaf: set[str] = set()
        self.skew_ms = 0
        """How far the clock by which processes are reported is ahead."""
        self.effects: list[Effect] = []
        self.feed(inputs.Changed(body))

    @property
    def wall_ms(self) -> int:
        """What a process reports as now."""
        return self.now_ms + self.skew_ms

    def feed(self, event: Input) -> None:
        """Give an input, perform what follows, until nothing follows."""
        todo: list[Input] = [event]
        while todo:
            for effect in self.pod.step(self.now_ms, todo.pop(0)):
                self.effects.append(effect)
                todo += self._perform(effect)

    def _perform(self, effect: Effect) -> list[Input]:
        match effect:
            case inputs.Start(name, attempt):
                failure = self.starts(name, attempt)
                if failure is not None:
                    return [failure]
                assert name not in self.alive, "CTR-1"
                self.alive[name] = attempt
                return [inputs.Started(name, attempt, f"process://{name}{attempt}", self.wall_ms)]
            case inputs.Signal(name, attempt, signal):
                if signal == "TERM" and name in self.deaf:
                    return []
                return [self._exit(name, attempt, 143 if signal == "TERM" else 137)]
            case inputs.Probe(name, attempt, kind):
                passed = self.healthy.get((name, kind), True)
                return [inputs.ProbeDone(name, attempt, kind, passed, "asked")]
            case inputs.Hook(name, attempt, kind):
                passed = self.healthy.get((name, kind), True)
                return (
                    []
                    if name in self.deaf
                    else [inputs.HookDone(name, attempt, kind, passed, "hooked")]
                )
            case _:
                return []

    def _exit(self, name: str, attempt: int, code: int, reason: str = "") -> inputs.Exited:
        assert self.alive.pop(name) == attempt
        return inputs.Exited(name, attempt, code, max(0, code - 128), self.wall_ms, reason)

    def exit(self, name: str, code: int = 0, reason: str = "") -> None:
        """Let a process end."""
        self.feed(self._exit(name, self.alive[name], code, reason))

    def delete(self, grace_s: int | None = None) -> None:
        """Mark the object as deleted."""
        self.body["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
        if grace_s is not None:
            self.body["metadata"]["deletionGracePeriodSeconds"] = grace_s
        self.feed(inputs.Changed(self.body))

    def run(self, seconds: float) -> None:
        """Let time pass, waking the machine exactly when it asks for it."""
        end_ms = self.now_ms + int(seconds * 1000)
        while (wake_ms := self.pod.wake_ms) is not None and wake_ms <= end_ms:
            assert wake_ms > self.now_ms or self.feed(inputs.Tick()) is None
            self.now_ms = max(self.now_ms, wake_ms)
            self.feed(inputs.Tick())
        self.now_ms = end_ms

    def status(self) -> dict[str, Any]:
        """Return the status now."""
        return self.reporter.report(self.pod, self.now_ms)

    def container(self, name: str = "c") -> dict[str, Any]:
        """Return a container's status."""
        status = self.status()
        every = status["containerStatuses"] + status.get("initContainerStatuses", [])
        return next(c for c in every if c["name"] == name)

    def condition(self, kind: str) -> str:
        """Return a condition's value."""
        return next(c["status"] for c in self.status()["conditions"] if c["type"] == kind)

    def count(self, kind: type) -> int:
        """Return how many effects of a kind there were."""
        return sum(isinstance(e, kind) for e in self.effects)

    def reasons(self) -> list[str]:
        """Return the reasons of the Events that were announced."""
        return [e.reason for e in self.effects if isinstance(e, inputs.Announce)]
