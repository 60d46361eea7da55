"""What to run for a container, decided from the Pod and what it refers to. No I/O.

Invariants:
    LCH-1  Whatever cannot be run is refused with a reason that names the container, what is wrong
           and, where there is one, the way out.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

from controllers.agent.environment import command_of, environment_of
from controllers.agent.inputs import Retry
from controllers.agent.podspec import ContainerSpec, PodSpec
from controllers.agent.references import ConfigError, Lookup
from controllers.agent.volumes import mounts_of
from controllers.runtime.quantity import to_units

__all__ = ["Machine", "StartRefused", "plan_launch", "refusal_of", "user_of"]


@final
class StartRefused(Exception):
    """A container that is not started: the reason in its status, and when to try again."""

    def __init__(self, reason: str, message: str, retry: Retry) -> None:
        super().__init__(message)
        self.reason, self.message = reason, message
        self.retry: Retry = retry


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """What an agent knows of the machine that it is on."""

    name: str
    """Of the peer and its Node."""
    address: str
    uid: int
    """Under which the agent runs; 0 may run processes as anybody."""
    mounts: bool
    """Whether processes can have mounts of their own."""
    podman: str | None
    """Its path, where it is installed."""
    environment: Mapping[str, str]
    """What every process is given: PATH and the like."""
    allocatable: Mapping[str, str]

    def facts(self, pod_ip: str) -> dict[str, str]:
        """Return the fields of the downward API that the Pod itself does not have."""
        return {
            "spec.nodeName": self.name, "status.hostIP": self.address,
            "status.hostIPs": self.address, "status.podIP": pod_ip, "status.podIPs": pod_ip,
        }  # fmt: skip


def plan_launch(
    pod: PodSpec,
    container: ContainerSpec,
    machine: Machine,
    lookup: Lookup,
    *,
    pod_ip: str,
    directory: Path,
    volumes: Mapping[str, Path],
    links: Mapping[str, str],
) -> dict[str, Any]:
    """Return the launch of a container, for its shim (LCH-1).

    Args:
        directory: Of the pod.
        volumes: Where each is.
        links: Variables that name the Services.

    Raises: StartRefused.
    """
    body, name = container.body, container.name
    work = directory / "containers" / name / "work"
    base = {
        **machine.environment, "HOME": str(work), "HOSTNAME": pod.name, **links,
        "CRDTSTATE_POD_DIR": str(directory),
    }  # fmt: skip
    try:
        uid, gid, groups = user_of(pod, container, machine.uid)
        environment = environment_of(
            pod.body, body, lookup, base=base, facts=machine.facts(pod_ip),
            allocatable=machine.allocatable,
        )  # fmt: skip
        expanded = {
            mount["mountPath"]: command_of({"command": [mount["subPathExpr"]]}, environment)[0]
            for mount in body.get("volumeMounts") or ()
            if mount.get("subPathExpr")
        }
        mounts = mounts_of(body, volumes, expanded)
    except ConfigError as error:
        raise StartRefused("CreateContainerConfigError", str(error), "config") from error
    argv = command_of(body, environment)
    cwd = str(work / (body.get("workingDir") or ""))
    if not argv:
        own = {key: text for key, text in environment.items() if base.get(key) != text}
        argv = _podman(pod, container, machine, own, mounts)
        cwd, mounts, uid, gid = str(work), [], None, None
        environment = {**machine.environment, "HOME": _home(machine)}
    return {
        "argv": argv, "env": environment, "cwd": cwd, "uid": uid, "gid": gid, "groups": groups,
        "mounts": mounts if machine.mounts else [],
    }  # fmt: skip


def _home(machine: Machine) -> str:
    return machine.environment.get("HOME", "/")


def _podman(
    pod: PodSpec,
    container: ContainerSpec,
    machine: Machine,
    environment: Mapping[str, str],
    mounts: list[dict[str, Any]],
) -> list[str]:
    """Return the command line that runs an image. Raises: StartRefused when nothing can."""
    name, image = container.name, container.image
    if machine.podman is None:
        raise StartRefused(
            "CommandMissing",
            f'container "{name}" names the image "{image}" and no command: pods run as processes '
            f"of the machine here, so say what to run in command (and args), or install podman "
            f'on "{machine.name}"',
            "never",
        )
    argv = [
        machine.podman, "run", "--rm", "--replace", "--network=host",
        f"--name=crdtstate-{pod.uid}-{name}", f"--hostname={pod.name}",
    ]  # fmt: skip
    for variable in sorted(environment):
        argv += ["--env", f"{variable}={environment[variable]}"]
    for mount in mounts:
        option = ":ro" if mount["read_only"] else ""
        argv += ["--volume", f"{mount['source']}:{mount['target']}{option}"]
    if container.body.get("workingDir"):
        argv += ["--workdir", str(container.body["workingDir"])]
    limit = ((container.body.get("resources") or {}).get("limits") or {}).get("memory")
    if limit:
        argv += ["--memory", str(to_units(limit))]
    return [*argv, image, *(str(arg) for arg in container.body.get("args") or ())]


def user_of(
    pod: PodSpec, container: ContainerSpec, own_uid: int
) -> tuple[int | None, int | None, list[int]]:
    """Return the user, the group and the further groups; None: the agent's.

    Raises: ConfigError.
    """
    above = (pod.body.get("spec") or {}).get("securityContext") or {}
    context = {**above, **(container.body.get("securityContext") or {})}
    uid, gid = context.get("runAsUser"), context.get("runAsGroup")
    if own_uid != 0:
        if uid not in (None, own_uid):
            raise ConfigError(
                f'container "{container.name}": runAsUser {uid} needs an agent that runs as root; '
                f"this one runs as {own_uid}"
            )
        return None, None, []
    if context.get("runAsNonRoot") and uid in (None, 0):
        raise ConfigError(
            f'container "{container.name}" has runAsNonRoot and would run as root: set runAsUser'
        )
    groups = [int(group) for group in above.get("supplementalGroups") or ()]
    if above.get("fsGroup") is not None:
        groups.append(int(above["fsGroup"]))
    return uid, gid, groups


def refusal_of(stage: str, text: str, launch: Mapping[str, Any]) -> StartRefused:
    """Return what to say when a shim could not start its command."""
    if stage == "exec":
        word = launch["argv"][0]
        if text == "No such file or directory" and "/" not in word:
            text = "executable file not found in $PATH"
        text = f'exec: "{word}": {text[0].lower()}{text[1:]}'
    elif stage == "cwd":
        text = f'workingDir "{launch["cwd"]}": {text}'
    return StartRefused("CreateContainerError", text, "create")
