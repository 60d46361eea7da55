"""EDGE: one pod on this machine: gives its machine what happens, performs what it asks for."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, final

import structlog

from controllers.agent import inputs
from controllers.agent.driver import Driver, IdleDriver, Objects, Place
from controllers.agent.inputs import Effect, Input
from controllers.agent.launching import StartRefused
from controllers.agent.pod import Pod
from controllers.agent.podspec import Handler, PodSpec
from controllers.agent.status import Address, Reporter
from controllers.runtime.objects import Object, status_of, version_of

__all__ = ["Desk", "Runner"]

HOOK_TIMEOUT_MS = 30_000
_log = structlog.get_logger("controllers.agent")


@final
class Desk:
    """What all runners of one agent share.

    Args:
        spawn: Starts a task that is cancelled with the agent.
        changed: The status of a pod may be another now.
        announce: Says something about a pod in an Event.
    """

    def __init__(
        self,
        *,
        now_ms: Callable[[], int],
        address: str,
        spawn: Callable[[Coroutine[Any, Any, None]], object],
        changed: Callable[["Runner"], None],
        announce: Callable[["Runner", inputs.Announce], None],
    ) -> None:
        self.now_ms, self.address = now_ms, address
        self.spawn, self.changed, self.announce = spawn, changed, announce


@final
class Runner:
    """One pod. `body` is the newest that is known of its object."""

    def __init__(
        self, spec: PodSpec, place: Place, driver: Driver, desk: Desk, *, since_ms: int | None
    ) -> None:
        self._desk, self._driver, self.place = desk, driver, place
        self.body: Object = spec.body
        status = status_of(self.body)
        histories = driver.adopt(spec, place, status)
        self.adopted = bool(histories)
        now_ms = desk.now_ms()
        self.pod = Pod(spec, now_ms if since_ms is None else since_ms, histories)
        self._reporter = Reporter(Address(desk.address, place.pod_ip), status)
        self._timer: asyncio.TimerHandle | None = None
        self.vanished = False
        driver.resume(place, histories, self.feed)

    @property
    def name(self) -> str:
        """The namespace and the name, for logs."""
        return f"{self.pod.spec.namespace}/{self.pod.spec.name}"

    @property
    def is_idle(self) -> bool:
        """Whether it runs nothing."""
        return isinstance(self._driver, IdleDriver)

    @property
    def counts(self) -> bool:
        """Whether the pod takes a part of the machine."""
        return not self.pod.over

    def report(self) -> dict[str, Any]:
        """Return the status now."""
        return self._reporter.report(self.pod, self._desk.now_ms())

    def see(self, body: Object) -> None:
        """Take a newer state of the object; an older one than is known is ignored."""
        if version_of(body) < version_of(self.body):
            return
        self.body = body
        self._reporter.observe(status_of(body))
        self.feed(inputs.Changed(body))

    def wrote(self, body: Object) -> None:
        """Take the object as an answer to a write of ours has it."""
        if version_of(body) >= version_of(self.body):
            self.body = body

    def feed(self, event: Input) -> None:
        """Give the machine an input."""
        for effect in self.pod.step(self._desk.now_ms(), event):
            self._perform(effect)
        self._rearm()
        self._desk.changed(self)

    def _rearm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        wake_ms = self.pod.wake_ms
        if wake_ms is not None:
            delay_s = max(0, wake_ms - self._desk.now_ms()) / 1000
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(delay_s, self.feed, inputs.Tick())

    def close(self) -> None:
        """Give the machine no more inputs. Processes go on."""
        if self._timer is not None:
            self._timer.cancel()
        self._driver.forget(self.pod.spec.uid)

    async def refresh(self, seen: Objects) -> None:
        """Write the volumes anew where what they refer to has changed. Raises: OSError."""
        if self.counts:
            await self._driver.refresh(self.pod.spec, self.place, seen)

    # -- effects -------------------------------------------------------------------------------

    def _perform(self, effect: Effect) -> None:
        match effect:
            case inputs.Start():
                self._desk.spawn(self._start(effect))
            case inputs.Signal():
                self._driver.signal(effect, self.place)
            case inputs.Probe():
                self._desk.spawn(self._probe(effect))
            case inputs.Hook():
                self._desk.spawn(self._hook(effect))
            case inputs.Announce():
                self._desk.announce(self, effect)

    async def _start(self, effect: inputs.Start) -> None:
        container = self.pod.containers[effect.container].spec
        event: Input
        try:
            event = await self._driver.start(
                self.pod.spec, container, effect, self.place, self.feed
            )
        except StartRefused as refusal:
            event = inputs.StartFailed(
                effect.container, effect.attempt, refusal.reason, refusal.message, refusal.retry
            )
        except Exception as error:  # noqa: BLE001 - one pod's trouble is not the others'.
            _log.exception("start_failed", pod=self.name, container=effect.container)
            event = inputs.StartFailed(
                effect.container, effect.attempt, "CreateContainerError", repr(error), "create"
            )
        self.feed(event)

    async def _probe(self, effect: inputs.Probe) -> None:
        container = self.pod.containers[effect.container]
        probing = container.probes.get(effect.kind)
        if probing is None:
            return
        passed, message = await self._ask(
            effect.container, effect.attempt, probing.spec.handler, probing.spec.timeout_ms
        )
        self.feed(inputs.ProbeDone(effect.container, effect.attempt, effect.kind, passed, message))

    async def _hook(self, effect: inputs.Hook) -> None:
        spec = self.pod.containers[effect.container].spec
        handler = spec.post_start if effect.kind == "postStart" else spec.pre_stop
        passed, message = True, ""
        if handler is not None:
            timeout_ms = max(HOOK_TIMEOUT_MS, self.pod.spec.grace_ms)
            passed, message = await self._ask(effect.container, effect.attempt, handler, timeout_ms)
        self.feed(inputs.HookDone(effect.container, effect.attempt, effect.kind, passed, message))

    async def _ask(
        self, name: str, attempt: int, handler: Handler, timeout_ms: int
    ) -> tuple[bool, str]:
        container = self.pod.containers[name].spec
        try:
            return await self._driver.ask(container, attempt, handler, timeout_ms, self.place)
        except Exception as error:  # noqa: BLE001 - an answer must come, or it would never ask again.
            _log.exception("probe_failed", pod=self.name, container=name)
            return False, repr(error)
