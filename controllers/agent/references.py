"""What a pod refers to outside of itself: ConfigMaps and Secrets, and what if they are missing.

Source: Kubernetes' EnvVarSource, EnvFromSource, ConfigMap, Secret and projected volumes.
"""

import base64
import binascii
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, final

from controllers.runtime.quantity import parse_quantity

__all__ = ["ConfigError", "Lookup", "field_text", "names_of", "resource_text"]


@final
class ConfigError(Exception):
    """A container cannot be started before something else is there, or is changed."""


Name = tuple[str, str]
"""("ConfigMap" or "Secret", name)."""


@final
class Lookup:
    """The objects that a pod refers to, as they are now; None: it is not there."""

    def __init__(self, objects: Mapping[Name, Mapping[str, Any] | None]) -> None:
        self._objects = objects

    def data(self, kind: str, name: str, *, optional: bool) -> dict[str, bytes]:
        """Return all that an object holds. Raises: ConfigError."""
        body = self._objects.get((kind, name))
        if body is None:
            if optional:
                return {}
            raise ConfigError(f'{kind.lower()} "{name}" not found')
        texts, binary = body.get("data") or {}, body.get("binaryData") or {}
        if kind == "Secret":
            return {key: _decode(kind, name, key, text) for key, text in texts.items()}
        found = {key: str(text).encode() for key, text in texts.items()}
        return found | {key: _decode(kind, name, key, text) for key, text in binary.items()}

    def value(self, kind: str, ref: Mapping[str, Any]) -> str | None:
        """Return what one key holds; None when it is optional and not there.

        Raises: ConfigError.
        """
        name, key, optional = ref.get("name", ""), ref["key"], bool(ref.get("optional"))
        found = self.data(kind, name, optional=optional)
        if key in found:
            return found[key].decode("utf-8", "replace")
        if optional:
            return None
        raise ConfigError(f"couldn't find key {key} in {kind} {name}")


def _decode(kind: str, name: str, key: str, text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise ConfigError(f"{kind} {name}: {key} is not base64: {error}") from error


def names_of(body: Mapping[str, Any]) -> list[Name]:
    """Return the ConfigMaps and Secrets that a pod names, each once."""
    spec = body.get("spec") or {}
    return sorted(set(_env_names(spec)) | set(_volume_names(spec.get("volumes") or ())))


def _env_names(spec: Mapping[str, Any]) -> Iterator[Name]:
    for container in [*(spec.get("initContainers") or ()), *(spec.get("containers") or ())]:
        for source in container.get("envFrom") or ():
            for field, kind in (("configMapRef", "ConfigMap"), ("secretRef", "Secret")):
                if source.get(field):
                    yield kind, source[field].get("name", "")
        for variable in container.get("env") or ():
            source = variable.get("valueFrom") or {}
            for field, kind in (("configMapKeyRef", "ConfigMap"), ("secretKeyRef", "Secret")):
                if source.get(field):
                    yield kind, source[field].get("name", "")


def _volume_names(volumes: Sequence[Mapping[str, Any]]) -> Iterator[Name]:
    for volume in volumes:
        if volume.get("configMap"):
            yield "ConfigMap", volume["configMap"].get("name", "")
        if volume.get("secret"):
            yield "Secret", volume["secret"].get("secretName", "")
        for source in (volume.get("projected") or {}).get("sources") or ():
            if source.get("configMap"):
                yield "ConfigMap", source["configMap"].get("name", "")
            if source.get("secret"):
                yield "Secret", source["secret"].get("name", "")


def field_text(body: Mapping[str, Any], path: str, facts: Mapping[str, str]) -> str:
    """Return what a field of the downward API says.

    Args:
        facts: What the pod cannot know of itself: spec.nodeName, status.podIP and the like.

    Raises: ConfigError.
    """
    meta, spec = body["metadata"], body.get("spec") or {}
    if path in facts:
        return facts[path]
    if path in ("metadata.name", "metadata.namespace", "metadata.uid"):
        return str(meta.get(path.removeprefix("metadata."), ""))
    if path == "spec.serviceAccountName":
        return str(spec.get("serviceAccountName") or "default")
    for field in ("labels", "annotations"):
        entries = meta.get(field) or {}
        if path == f"metadata.{field}":
            return "\n".join(f'{key}="{entries[key]}"' for key in sorted(entries))
        if path.startswith(f"metadata.{field}['") and path.endswith("']"):
            return str(entries.get(path[len(f"metadata.{field}['") : -2], ""))
    raise ConfigError(f"fieldRef: {path!r} is not a field that a pod can be told")


def resource_text(
    body: Mapping[str, Any],
    container: Mapping[str, Any],
    ref: Mapping[str, Any],
    allocatable: Mapping[str, str],
) -> str:
    """Return a request or limit in units of the divisor; without a limit, what the machine has.

    Raises: ConfigError.
    """
    name = ref.get("containerName")
    if name:
        every = (body.get("spec") or {}).get("containers") or ()
        container = next((c for c in every if c["name"] == name), container)
    kind, _, resource = str(ref.get("resource", "")).partition(".")
    resources = container.get("resources") or {}
    given = (resources.get(kind) or {}).get(resource)
    if given is None and kind == "requests":
        given = (resources.get("limits") or {}).get(resource)
    if given is None:
        given = allocatable.get(resource, "0") if kind == "limits" else "0"
    try:
        amount, divisor = parse_quantity(given), parse_quantity(ref.get("divisor") or "1")
    except ValueError as error:
        raise ConfigError(f"resourceFieldRef {ref.get('resource')}: {error}") from error
    return str(-int(-amount // (divisor or 1)))
