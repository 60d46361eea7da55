"""EDGE: the pods of one machine: what is bound to it runs, what is no longer does not.

Invariants:
    AGT-1  Absence ends nothing: a pod that is missing is ended only when its deletion is known, or
           when it is there and bound to another machine.
    AGT-2  What ran before the agent started goes on, as it was.
"""

import asyncio
from collections.abc import Callable, Coroutine
from pathlib import Path
from random import SystemRandom
from typing import Any, final

import structlog

from controllers.agent import inputs
from controllers.agent.addresses import pod_address
from controllers.agent.admission import Capacity, refuse
from controllers.agent.announcing import Announcer
from controllers.agent.driver import (
    DRIVER_ANNOTATION,
    Driver,
    IdleDriver,
    Objects,
    Place,
    ProcessDriver,
)
from controllers.agent.podspec import parse_pod
from controllers.agent.publishing import Publisher
from controllers.agent.records import PodDirectory
from controllers.agent.runner import Desk, Runner
from controllers.runtime.actions import Say
from controllers.runtime.cache import Cache, Change
from controllers.runtime.informer import Informer
from controllers.runtime.objects import (
    Object,
    annotations_of,
    deep,
    is_deleting,
    name_of,
    status_of,
    to_ms,
    uid_of,
)
from crdtstate.client import AsyncClient
from crdtstate.client.kinds import PODS
from crdtstate.errors import CrdtstateError

__all__ = ["Agent"]

CONFIRM_S, REFRESH_S = 10.0, 20.0
_log = structlog.get_logger("controllers.agent")


@final
class Agent:
    """All pods of one machine. `run` goes on until it is cancelled; the processes go on then."""

    def __init__(
        self,
        client: AsyncClient,
        driver: ProcessDriver,
        idle: IdleDriver,
        announcer: Announcer,
        *,
        pods: Path,
        capacity: Capacity,
        now_ms: Callable[[], int],
    ) -> None:
        self._client, self._driver, self._idle = client, driver, idle
        self._announcer = announcer
        self._pods, self._capacity = pods, capacity
        self._group: asyncio.TaskGroup | None = None
        self.machine, self.name = driver.machine, driver.machine.name
        self._cache = Cache(PODS)
        self._informer = Informer(
            PODS, self._cache, client.resources, SystemRandom(),
            field_selector=f"spec.nodeName={self.name}",
        )  # fmt: skip
        self._informer.listen(self._changed)
        self.publisher = Publisher(client.resources, self._finished)
        self._desk = Desk(
            now_ms=now_ms, address=driver.machine.address, spawn=self._spawn,
            changed=self.publisher.touch, announce=self._announce,
        )  # fmt: skip
        self.runners: dict[str, Runner] = {}

    async def run(self) -> None:
        """Follow the pods, for ever; go on with those that run already."""
        try:
            async with asyncio.TaskGroup() as group:
                self._group = group
                group.create_task(self.publisher.run())
                group.create_task(self._informer.run())
                group.create_task(self._refresh())
                await self._informer.synced.wait()
                self._adopt_unlisted()
        finally:
            for runner in self.runners.values():
                runner.close()

    def _spawn(self, work: Coroutine[Any, Any, None]) -> object:
        assert self._group is not None
        try:
            return self._group.create_task(work)
        except RuntimeError:  # The agent stops: nothing is begun any more.
            work.close()
            return None

    # -- pods come -----------------------------------------------------------------------------

    def _adopt_unlisted(self) -> None:
        """Once the pods are known: go on with what runs and is not among them, but doubt it."""
        for directory in PodDirectory.all(self._pods):
            found = directory.read()
            if directory.uid in self.runners:
                continue
            runner = None
            if found is not None:
                body, pod_ip = found
                runner = self._make(body, Place(directory, pod_ip), self._driver)
            if runner is not None and runner.adopted:
                self._spawn(self._confirm(runner))
            else:
                self._drop(directory)

    def _drop(self, directory: PodDirectory) -> None:
        runner = self.runners.pop(directory.uid, None)
        if runner is not None:
            runner.close()
        directory.remove()

    def _make(self, body: Object, place: Place, driver: Driver) -> Runner | None:
        try:
            spec = parse_pod(body)
        except (ValueError, KeyError, TypeError) as error:
            _log.warning("pod_not_understood", pod=name_of(body), error=repr(error))
            return None
        since_ms = to_ms(status_of(body).get("startTime"))
        runner = Runner(spec, place, driver, self._desk, since_ms=since_ms)
        self.runners[spec.uid] = runner
        return runner

    def _changed(self, change: Change) -> None:
        runner = self.runners.get(uid_of(change.object))
        try:
            if change.after is None:
                self._is_gone(change)
            elif runner is None:
                self._begin(change.after)
            else:
                runner.see(change.after)
        except Exception:  # noqa: BLE001 - one pod's trouble is not the others'.
            _log.exception("pod_failed", pod=name_of(change.object))

    def _begin(self, body: Object) -> None:
        """Take a pod that is new to this agent; what an earlier one has started goes on (AGT-2)."""
        directory = PodDirectory(self._pods, uid_of(body))
        over = status_of(body).get("phase") in ("Succeeded", "Failed")
        idle = annotations_of(body).get(DRIVER_ANNOTATION) == "noop"
        known = directory.read()
        pod_ip = known[1] if known else pod_address(body, self.machine.address)
        others = [r.pod.spec for r in self.runners.values() if r.counts]
        runner = self._make(body, Place(directory, pod_ip), self._idle if idle else self._driver)
        if runner is None:
            return
        if runner.adopted:
            _log.info("pod_adopted", pod=runner.name)
        elif over and not is_deleting(body):
            self._drop(directory)  # Its processes are of the past.
            return
        else:
            refusal = refuse(runner.pod.spec, others, self._capacity)
            if refusal is not None:
                runner.feed(inputs.Evict(*refusal))
            elif not idle and not self._keep(runner, body):
                return
        runner.see(body)

    def _keep(self, runner: Runner, body: Object) -> bool:
        """Write down that the pod is here, so that the next agent finds it."""
        if is_deleting(body):
            return True
        try:
            runner.place.directory.create(dict(body), runner.place.pod_ip)
        except OSError as error:
            runner.feed(inputs.Evict("OutOfdisk", f"Pod was rejected: its directory: {error}"))
            return False
        return True

    # -- pods go -------------------------------------------------------------------------------

    def _is_gone(self, change: Change) -> None:
        uid = uid_of(change.object)
        runner = self.runners.get(uid)
        if runner is None:
            return
        if self._cache.was_deleted(uid):
            self._end(runner)
        else:
            self._spawn(self._confirm(runner))

    def _end(self, runner: Runner) -> None:
        runner.vanished = True
        runner.feed(inputs.Vanished())

    async def _confirm(self, runner: Runner) -> None:
        """End a pod that is missing, once it is certain that it was deleted or moved (AGT-1)."""
        spec, resources = runner.pod.spec, self._client.resources
        while not runner.vanished:
            try:
                deleted = await resources.was_deleted(PODS, spec.name, spec.namespace, uid=spec.uid)
                body = None
                if deleted is False:
                    body = await resources.get(PODS, spec.name, spec.namespace)
            except CrdtstateError as error:
                _log.info("pod_not_confirmed", pod=runner.name, reason=error.message)
            else:
                there = body is not None and uid_of(body) == spec.uid
                moved = there and deep(body or {}, "spec", "nodeName") != self.name
                if deleted or moved:
                    _log.info("pod_is_not_ours", pod=runner.name, deleted=bool(deleted))
                    self._end(runner)
                    return
                if there:
                    return
            await asyncio.sleep(CONFIRM_S)

    def _finished(self, runner: Runner) -> None:
        runner.close()
        self.runners.pop(runner.pod.spec.uid, None)
        self._spawn(asyncio.to_thread(runner.place.directory.remove))

    # -- beside --------------------------------------------------------------------------------

    def _announce(self, runner: Runner, what: inputs.Announce) -> None:
        if runner.is_idle and what.type == "Normal":
            return  # A thousand pods that run nothing have nothing to say.
        say = Say(
            kind=PODS, about=runner.body, reason=what.reason, message=what.message,
            warning=what.type == "Warning",
        )  # fmt: skip
        self._announcer.say(say, what.container)

    async def _refresh(self) -> None:
        """Let volumes follow their ConfigMaps and Secrets."""
        while True:
            await asyncio.sleep(REFRESH_S)
            seen: Objects = {}
            for runner in list(self.runners.values()):
                try:
                    await runner.refresh(seen)
                except OSError as error:
                    _log.warning("volume_not_written", pod=runner.name, error=str(error))

    def find(self, namespace: str, name: str) -> Runner | None:
        """Return the pod of a name that is here, the newest if an old one is ending."""
        found = [
            runner for runner in self.runners.values()
            if (runner.pod.spec.namespace, runner.pod.spec.name) == (namespace, name)
        ]  # fmt: skip
        return max(found, key=lambda r: r.pod.since_ms, default=None)

    def signal(self, runner: Runner, effect: inputs.Signal) -> None:
        """Signal a process of a pod."""
        self._driver.signal(effect, runner.place)
