"""What can happen to a pod: the inputs of its machine, and what it can ask for: the effects."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, final

__all__ = [
    "Announce", "Changed", "Effect", "Evict", "Exited", "Hook", "HookDone", "Input", "Probe",
    "ProbeDone", "ProbeKind", "Retry", "Signal", "Start", "StartFailed", "Started", "Tick",
    "Vanished",
]  # fmt: skip

ProbeKind = Literal["startup", "liveness", "readiness"]
HookKind = Literal["postStart", "preStop"]
Retry = Literal["config", "create", "never"]
"""After what kind of failure to start: its cause can go away by a write, by itself, or not at all.
"""

# -- inputs ----------------------------------------------------------------------------------------


@final
@dataclass(frozen=True, slots=True)
class Changed:
    """The Pod object has changed, or is seen for the first time."""

    body: Mapping[str, Any]


@final
@dataclass(frozen=True, slots=True)
class Vanished:
    """The Pod object is known to be gone: somebody has deleted it, or it is another peer's now."""


@final
@dataclass(frozen=True, slots=True)
class Evict:
    """The machine cannot have the pod any more."""

    reason: str
    message: str


@final
@dataclass(frozen=True, slots=True)
class Tick:
    """Time has passed."""


@final
@dataclass(frozen=True, slots=True)
class Started:
    """A process runs."""

    container: str
    attempt: int
    container_id: str
    at_ms: int


@final
@dataclass(frozen=True, slots=True)
class StartFailed:
    """No process could be started."""

    container: str
    attempt: int
    reason: str
    message: str
    retry: Retry


@final
@dataclass(frozen=True, slots=True)
class Exited:
    """A process has ended. `signal` is 0 when it left by itself."""

    container: str
    attempt: int
    code: int
    signal: int
    at_ms: int
    reason: str = ""
    """When more is known than the code says, such as OOMKilled."""
    message: str = ""


@final
@dataclass(frozen=True, slots=True)
class ProbeDone:
    """A probe was answered, or failed."""

    container: str
    attempt: int
    kind: ProbeKind
    passed: bool
    message: str = ""


@final
@dataclass(frozen=True, slots=True)
class HookDone:
    """A life cycle hook has ended."""

    container: str
    attempt: int
    kind: HookKind
    passed: bool
    message: str = ""


Input = (
    Changed | Vanished | Evict | Tick | Started | StartFailed | Exited | ProbeDone | HookDone
)  # fmt: skip

# -- effects ---------------------------------------------------------------------------------------


@final
@dataclass(frozen=True, slots=True)
class Start:
    """Start a process; answer with Started or StartFailed, later with Exited."""

    container: str
    attempt: int
    crashes: int
    """How many times in a row it has ended too soon: kept with the process, for who adopts it."""


@final
@dataclass(frozen=True, slots=True)
class Signal:
    """Tell a process to end (TERM), or end it with all its descendants (KILL)."""

    container: str
    attempt: int
    signal: Literal["TERM", "KILL"]


@final
@dataclass(frozen=True, slots=True)
class Probe:
    """Ask a probe's handler once; answer with ProbeDone."""

    container: str
    attempt: int
    kind: ProbeKind


@final
@dataclass(frozen=True, slots=True)
class Hook:
    """Run a life cycle hook; answer with HookDone."""

    container: str
    attempt: int
    kind: HookKind


@final
@dataclass(frozen=True, slots=True)
class Announce:
    """Write an Event about the pod."""

    type: Literal["Normal", "Warning"]
    reason: str
    message: str
    container: str = ""


Effect = Start | Signal | Probe | Hook | Announce
