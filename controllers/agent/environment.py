"""The environment and the command line of a container, all references resolved.

Source: Kubernetes' EnvVar, dependent variables `$(NAME)`, service links.
"""

import re
from collections.abc import Iterable, Mapping
from typing import Any

from controllers.agent.references import ConfigError, Lookup, field_text, resource_text

__all__ = ["command_of", "environment_of", "expand", "service_links"]

_REFERENCE = re.compile(r"\$(?:\$|\(([-._a-zA-Z0-9]+)\))")


def expand(text: str, variables: Mapping[str, str]) -> str:
    """Replace $(NAME); `$$` is a `$`, and a name that nobody has set stays as it is."""

    def replaced(match: re.Match[str]) -> str:
        name = match.group(1)
        if name is None:
            return "$"
        return variables.get(name, match.group(0))

    return _REFERENCE.sub(replaced, text)


def environment_of(
    body: Mapping[str, Any],
    container: Mapping[str, Any],
    lookup: Lookup,
    *,
    base: Mapping[str, str],
    facts: Mapping[str, str],
    allocatable: Mapping[str, str],
) -> dict[str, str]:
    """Return a container's environment: `base`, then envFrom, then env. Raises: ConfigError."""
    found = dict(base)
    for source in container.get("envFrom") or ():
        for field, kind in (("configMapRef", "ConfigMap"), ("secretRef", "Secret")):
            ref = source.get(field)
            if ref:
                data = lookup.data(kind, ref.get("name", ""), optional=bool(ref.get("optional")))
                prefix = source.get("prefix") or ""
                found |= {prefix + key: raw.decode("utf-8", "replace") for key, raw in data.items()}
    for variable in container.get("env") or ():
        source = variable.get("valueFrom")
        if not source:
            found[variable["name"]] = expand(str(variable.get("value") or ""), found)
            continue
        if "fieldRef" in source:
            value: str | None = field_text(body, source["fieldRef"].get("fieldPath", ""), facts)
        elif "resourceFieldRef" in source:
            value = resource_text(body, container, source["resourceFieldRef"], allocatable)
        elif "configMapKeyRef" in source:
            value = lookup.value("ConfigMap", source["configMapKeyRef"])
        elif "secretKeyRef" in source:
            value = lookup.value("Secret", source["secretKeyRef"])
        else:
            raise ConfigError(f"env {variable['name']}: valueFrom {sorted(source)} is not known")
        if value is not None:
            found[variable["name"]] = value
    for name, text in found.items():
        if "\0" in text or "\0" in name or "=" in name:
            raise ConfigError(f"env {name!r} cannot be given to a process: NUL or '=' inside")
    return found


def command_of(container: Mapping[str, Any], variables: Mapping[str, str]) -> list[str]:
    """Return the command line; empty when the container names none."""
    words = [*(container.get("command") or ())]
    if words:
        words += container.get("args") or ()
    return [expand(str(word), variables) for word in words]


def service_links(services: Iterable[Mapping[str, Any]]) -> dict[str, str]:
    """Return NAME_SERVICE_HOST and the like, as pods find Services without a name server."""
    found: dict[str, str] = {}
    for service in services:
        spec = service.get("spec") or {}
        address, ports = spec.get("clusterIP"), spec.get("ports") or ()
        if not address or address == "None" or not ports:
            continue
        name = service["metadata"]["name"].upper().replace("-", "_")
        found[f"{name}_SERVICE_HOST"] = address
        found[f"{name}_SERVICE_PORT"] = str(ports[0]["port"])
        for port in ports:
            if port.get("name"):
                label = port["name"].upper().replace("-", "_")
                found[f"{name}_SERVICE_PORT_{label}"] = str(port["port"])
            protocol = (port.get("protocol") or "TCP").lower()
            link = f"{name}_PORT_{port['port']}_{protocol.upper()}"
            url = f"{protocol}://{address}:{port['port']}"
            found.setdefault(f"{name}_PORT", url)
            found[link] = url
            found[f"{link}_PROTO"], found[f"{link}_PORT"] = protocol, str(port["port"])
            found[f"{link}_ADDR"] = address
    return found
