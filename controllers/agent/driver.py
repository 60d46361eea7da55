"""EDGE: how the containers of a pod are run: as processes or, for scale tests, not at all."""

import asyncio
import contextlib
import json
import os
import socket
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, final

from controllers.agent import inputs
from controllers.agent.container import History
from controllers.agent.environment import service_links
from controllers.agent.launching import Machine, StartRefused, plan_launch, refusal_of
from controllers.agent.podspec import ContainerSpec, Handler, PodSpec
from controllers.agent.prober import Verdict, ask
from controllers.agent.processes import Processes, StartError, bare_program, send_signal
from controllers.agent.records import Attempt, PodDirectory
from controllers.agent.references import ConfigError, Lookup, names_of
from controllers.agent.volumes import Facts, content_of, place_of, write_volume
from controllers.runtime.objects import to_ms
from crdtstate.client.kinds import CONFIG_MAPS, SECRETS
from crdtstate.client.resources import Resources
from crdtstate.errors import CrdtstateError

__all__ = ["DRIVER_ANNOTATION", "Driver", "IdleDriver", "Objects", "Place", "ProcessDriver"]

DRIVER_ANNOTATION = "crdtstate.io/driver"
"""On a Pod: `noop` runs nothing, and says that it runs."""
_INSIDE = "from controllers.agent.inside import main; main()"
Tell = Callable[[inputs.Input], None]
Objects = dict[tuple[str, str, str], dict[str, Any] | None]
"""By kind, namespace and name."""


@final
@dataclass(frozen=True, slots=True)
class Place:
    """Where one pod is on this machine."""

    directory: PodDirectory
    pod_ip: str


class Driver(Protocol):
    """Runs the containers of pods. What happens later is told by `tell`, which each pod has."""

    def adopt(self, pod: PodSpec, place: Place, status: Mapping[str, Any]) -> dict[str, History]:
        """Return what is known of a pod's containers from before the agent started."""

    def resume(self, place: Place, histories: Mapping[str, History], tell: Tell) -> None:
        """Watch the processes that are there still; tell how the others have ended."""

    async def start(
        self, pod: PodSpec, container: ContainerSpec, effect: inputs.Start, place: Place, tell: Tell
    ) -> inputs.Started:
        """Start a container. Raises: StartRefused."""

    def signal(self, effect: inputs.Signal, place: Place) -> None:
        """Signal a container."""

    async def ask(
        self,
        container: ContainerSpec,
        attempt: int,
        handler: Handler,
        timeout_ms: int,
        place: Place,
    ) -> Verdict:
        """Ask a handler of a container once."""

    async def refresh(self, pod: PodSpec, place: Place, seen: Objects) -> None:
        """Let volumes hold what they refer to now. Raises: OSError.

        Args:
            seen: What was read in this round; pods share much of what they refer to.
        """

    def forget(self, uid: str) -> None:
        """Forget a pod that is over."""


@final
class ProcessDriver:
    """Containers as processes of this machine, each beside a shim."""

    def __init__(
        self,
        machine: Machine,
        resources: Resources,
        services: Callable[[str], Iterable[Mapping[str, Any]]],
        wall_ms: Callable[[], int],
    ) -> None:
        self.machine = machine
        self._resources, self._services, self._wall_ms = resources, services, wall_ms
        self._processes = Processes(self._ended)
        self._tells: dict[Path, Tell] = {}

    def close(self) -> None:
        """Watch no more; the processes go on."""
        self._processes.close()

    def adopt(self, pod: PodSpec, place: Place, status: Mapping[str, Any]) -> dict[str, History]:
        """Return what the records say."""
        names = {container.name for container in pod.containers}
        return {n: h for n, h in place.directory.histories(dict(status)) if n in names}

    def resume(self, place: Place, histories: Mapping[str, History], tell: Tell) -> None:
        """Watch the processes that are there still; tell how the others have ended."""
        for name, history in histories.items():
            attempt = place.directory.attempt(name, history.attempt)
            self._tells[attempt.path] = tell
            run = attempt.run
            if run is None or not self._processes.watch(attempt, run):
                asyncio.get_running_loop().call_soon(self._ended, attempt)

    def _ended(self, attempt: Attempt) -> None:
        tell = self._tells.pop(attempt.path, None)
        event = attempt.exited(self._wall_ms())
        if tell is not None and event is not None:
            tell(event)

    async def start(
        self, pod: PodSpec, container: ContainerSpec, effect: inputs.Start, place: Place, tell: Tell
    ) -> inputs.Started:
        """Start a process. Raises: StartRefused."""
        _check_ports(container, place.pod_ip)
        directory = place.directory
        work = directory.work(container.name)
        try:
            lookup = await self._look_up(pod, {})
            volumes = self._place_volumes(pod, place, lookup)
            work.mkdir(parents=True, exist_ok=True)
        except ConfigError as error:
            raise StartRefused("CreateContainerConfigError", str(error), "config") from error
        except OSError as error:
            raise StartRefused("CreateContainerError", f"volumes: {error}", "create") from error
        launch = plan_launch(
            pod, container, self.machine, lookup, pod_ip=place.pod_ip, directory=directory.path,
            volumes=volumes, links=self._links(pod),
        )  # fmt: skip
        if launch["uid"] is not None:
            with contextlib.suppress(OSError):
                os.chown(work, launch["uid"], -1)
        attempt = directory.attempt(container.name, effect.attempt)
        self._tells[attempt.path] = tell
        try:
            run = await self._processes.start(attempt, {**launch, "crashes": effect.crashes})
        except StartError as error:
            del self._tells[attempt.path]
            raise refusal_of(error.stage, str(error), launch) from error
        directory.trim(container.name, effect.attempt)
        return inputs.Started(
            container.name, effect.attempt, attempt.container_id(run), run["started_ms"]
        )

    def _links(self, pod: PodSpec) -> dict[str, str]:
        if pod.body["spec"].get("enableServiceLinks") is False:
            return {}
        return service_links(self._services(pod.namespace))

    async def _look_up(self, pod: PodSpec, seen: Objects) -> Lookup:
        """Read what the pod refers to. Raises: ConfigError while the peer does not answer."""
        kinds = {"ConfigMap": CONFIG_MAPS, "Secret": SECRETS}
        found = {}
        try:
            for kind, name in names_of(pod.body):
                key = (kind, pod.namespace, name)
                if key not in seen:
                    seen[key] = await self._resources.get(kinds[kind], name, pod.namespace)
                found[kind, name] = seen[key]
        except CrdtstateError as error:
            raise ConfigError(f"what the pod refers to cannot be read: {error.message}") from error
        return Lookup(found)

    def _place_volumes(self, pod: PodSpec, place: Place, lookup: Lookup) -> dict[str, Path]:
        facts = Facts(self.machine.facts(place.pod_ip), self.machine.allocatable)
        volumes = {}
        for volume in pod.body["spec"].get("volumes") or ():
            content = content_of(volume, pod.body, lookup, facts)
            path = place_of(volume, place.directory.path)
            if "hostPath" not in volume:
                write_volume(path, content)
            volumes[volume["name"]] = path
        return volumes

    async def refresh(self, pod: PodSpec, place: Place, seen: Objects) -> None:
        """Write the volumes anew where what they refer to has changed."""
        if names_of(pod.body):
            with contextlib.suppress(ConfigError):
                self._place_volumes(pod, place, await self._look_up(pod, seen))

    def forget(self, uid: str) -> None:
        """Nothing is kept of a pod that is over but its directory."""

    def signal(self, effect: inputs.Signal, place: Place) -> None:
        """Signal the process; with KILL its descendants end, too."""
        attempt = place.directory.attempt(effect.container, effect.attempt)
        send_signal(attempt, effect.signal)

    async def ask(
        self,
        container: ContainerSpec,
        attempt: int,
        handler: Handler,
        timeout_ms: int,
        place: Place,
    ) -> Verdict:
        """Ask a handler once."""
        command: list[str] = []
        if handler.kind == "exec":
            found = place.directory.attempt(container.name, attempt)
            run, launch = found.run, found.launch
            if run is None or not launch:
                return False, "the container does not run"
            fields = {name: launch[name] for name in ("cwd", "uid", "gid", "groups", "env")}
            given = {**fields, "pid": run["pid"], "argv": list(handler.command)}
            command = bare_program(_INSIDE, json.dumps(given))
        return await ask(handler, host=place.pod_ip, timeout_ms=timeout_ms, command=command)


def _check_ports(container: ContainerSpec, pod_ip: str) -> None:
    """Raise StartRefused when a hostPort is another port inside, or somebody has it."""
    for port in container.body.get("ports") or ():
        number = port.get("hostPort")
        if not number:
            continue
        if number != port["containerPort"]:
            raise StartRefused(
                "CreateContainerConfigError",
                f'container "{container.name}": hostPort {number} is not containerPort '
                f"{port['containerPort']}; processes listen on the machine itself, so they are one",
                "never",
            )
        kind = socket.SOCK_DGRAM if port.get("protocol") == "UDP" else socket.SOCK_STREAM
        with socket.socket(socket.AF_INET, kind) as probe:
            if kind == socket.SOCK_STREAM:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((port.get("hostIP") or pod_ip, number))
            except OSError as error:
                raise StartRefused(
                    "PortInUse",
                    f'container "{container.name}": hostPort {number} on {pod_ip} cannot be had: '
                    f"{error.strerror}",
                    "create",
                ) from error


@final
class IdleDriver:
    """Runs nothing: containers are up at once, ready at once, and end when they are told to.

    What the API knows of them is all that there is, so it is what a new agent goes on from.
    """

    def __init__(self, wall_ms: Callable[[], int]) -> None:
        self._wall_ms = wall_ms
        self._tells: dict[str, Tell] = {}

    def adopt(self, pod: PodSpec, place: Place, status: Mapping[str, Any]) -> dict[str, History]:
        """Return what the status says."""
        found = {}
        for known in status.get("containerStatuses") or ():
            running = (known.get("state") or {}).get("running")
            started_ms = to_ms((running or {}).get("startedAt"))
            if started_ms is not None:
                found[known["name"]] = History(
                    attempt=int(known.get("restartCount", 0)), crashes=0,
                    container_id=known.get("containerID", ""), started_ms=started_ms,
                    last=None, ready=bool(known.get("ready")), started=bool(known.get("started")),
                )  # fmt: skip
        return found

    def resume(self, place: Place, histories: Mapping[str, History], tell: Tell) -> None:
        """There is nothing to watch."""
        self._tells[place.directory.uid] = tell

    async def start(
        self, pod: PodSpec, container: ContainerSpec, effect: inputs.Start, place: Place, tell: Tell
    ) -> inputs.Started:
        """Say that it runs."""
        self._tells[pod.uid] = tell
        container_id = f"noop://{pod.uid}/{container.name}/{effect.attempt}"
        return inputs.Started(container.name, effect.attempt, container_id, self._wall_ms())

    def signal(self, effect: inputs.Signal, place: Place) -> None:
        """Say that it has ended."""
        tell = self._tells.get(place.directory.uid)
        if tell is not None:
            end = inputs.Exited(effect.container, effect.attempt, 0, 0, self._wall_ms())
            asyncio.get_running_loop().call_soon(tell, end)

    async def ask(
        self,
        container: ContainerSpec,
        attempt: int,
        handler: Handler,
        timeout_ms: int,
        place: Place,
    ) -> Verdict:
        """Everything passes."""
        return True, ""

    async def refresh(self, pod: PodSpec, place: Place, seen: Objects) -> None:
        """There are no volumes."""

    def forget(self, uid: str) -> None:
        """Forget a pod."""
        self._tells.pop(uid, None)
