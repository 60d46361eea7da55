"""The volumes of a pod: which files they hold, and putting these on the disk.

Source: Kubernetes' volumes configMap, secret, downwardAPI, projected, emptyDir and hostPath; its
atomic writer: a volume changes from one content to the next in one step, by a symbolic link.
"""

import contextlib
import hashlib
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

from controllers.agent.references import ConfigError, Lookup, field_text, resource_text

__all__ = ["Content", "Facts", "content_of", "mounts_of", "place_of", "write_volume"]

_MODE = 0o644


@final
@dataclass(frozen=True, slots=True)
class Content:
    """The files of a volume, by path: what is in each, and its mode."""

    files: dict[str, tuple[bytes, int]]


@final
@dataclass(frozen=True, slots=True)
class Facts:
    """What the downward API knows beyond the pod: see `references.field_text`."""

    fields: Mapping[str, str]
    allocatable: Mapping[str, str]


def content_of(
    volume: Mapping[str, Any], body: Mapping[str, Any], lookup: Lookup, facts: Facts
) -> Content | None:
    """Return what a volume holds; None for one that holds what processes write.

    Raises: ConfigError.
    """
    for kind in ("configMap", "secret", "downwardAPI"):
        if kind in volume:
            source = volume[kind] or {}
            return Content(
                _files(kind, source, _mode(source.get("defaultMode")), body, lookup, facts)
            )
    if "projected" in volume:
        projected, files = volume["projected"] or {}, dict[str, tuple[bytes, int]]()
        mode = _mode(projected.get("defaultMode"))
        for source in projected.get("sources") or ():
            for kind, given in source.items():
                files |= _files(kind, given or {}, mode, body, lookup, facts)
        return Content(files)
    if "emptyDir" in volume or "hostPath" in volume:
        return None
    kind = next((key for key in volume if key != "name"), "nothing")
    raise ConfigError(
        f"volume {volume['name']}: {kind} is not something that this agent has; it has configMap, "
        "secret, downwardAPI, projected, emptyDir and hostPath"
    )


def _mode(given: int | None) -> int:
    return _MODE if given is None else int(given)


def _files(
    kind: str,
    source: Mapping[str, Any],
    mode: int,
    body: Mapping[str, Any],
    lookup: Lookup,
    facts: Facts,
) -> dict[str, tuple[bytes, int]]:
    if kind in ("configMap", "secret"):
        title = "ConfigMap" if kind == "configMap" else "Secret"
        name = source.get("name") or source.get("secretName") or ""
        optional = bool(source.get("optional"))
        data = lookup.data(title, name, optional=optional)
        items = source.get("items")
        if not items:
            return {_path(key): (value, mode) for key, value in data.items()}
        found = {}
        for item in items:
            if item["key"] in data:
                own = mode if item.get("mode") is None else int(item["mode"])
                found[_path(item["path"])] = (data[item["key"]], own)
            elif not optional:
                raise ConfigError(f"couldn't find key {item['key']} in {title} {name}")
        return found
    if kind == "downwardAPI":
        found = {}
        for item in source.get("items") or ():
            if item.get("fieldRef"):
                text = field_text(body, item["fieldRef"].get("fieldPath", ""), facts.fields)
            else:
                text = resource_text(
                    body, {}, item.get("resourceFieldRef") or {}, facts.allocatable
                )
            own = mode if item.get("mode") is None else int(item["mode"])
            found[_path(item["path"])] = (text.encode(), own)
        return found
    raise ConfigError(f"projected source {kind} is not something that this agent has")


def _path(text: str) -> str:
    parts = Path(text).parts
    if not parts or Path(text).is_absolute() or ".." in parts:
        raise ConfigError(f"{text!r} is not a path inside of a volume")
    return text


def place_of(volume: Mapping[str, Any], directory: Path) -> Path:
    """Return where a volume is on the disk. Raises: ConfigError, for a hostPath that is not there.

    Args:
        directory: The pod's; a hostPath is where it says.
    """
    if "hostPath" not in volume:
        return directory / "volumes" / str(volume["name"])
    path, kind = Path(volume["hostPath"]["path"]), volume["hostPath"].get("type") or ""
    if kind == "DirectoryOrCreate":
        path.mkdir(mode=0o755, parents=True, exist_ok=True)
    elif kind == "FileOrCreate" and not path.exists():
        path.touch(mode=0o644)
    elif (kind == "Directory" and not path.is_dir()) or (kind == "File" and not path.is_file()):
        raise ConfigError(f"hostPath type check failed: {path} is not a {kind.lower()}")
    elif not path.exists():
        raise ConfigError(f"hostPath {path} is not there")
    return path


def write_volume(place: Path, content: Content | None) -> bool:
    """Make a volume hold its content; True when that has changed. Raises: OSError."""
    place.mkdir(parents=True, exist_ok=True)
    if content is None:
        with contextlib.suppress(PermissionError):
            place.chmod(0o777)
        return False
    digest = hashlib.sha256(repr(sorted(content.files.items())).encode()).hexdigest()[:16]
    link = place / "..data"
    before = os.readlink(link) if link.is_symlink() else None
    if before == f"..{digest}":
        return False
    fresh = place / f"..{digest}"
    shutil.rmtree(fresh, ignore_errors=True)
    fresh.mkdir()
    for name, (value, mode) in content.files.items():
        path = fresh / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(value)
        path.chmod(mode)
    new = place / "..data_new"
    new.unlink(missing_ok=True)
    new.symlink_to(fresh.name)
    new.rename(link)
    tops = {Path(name).parts[0] for name in content.files}
    for top in tops:
        if not (place / top).is_symlink():
            (place / top).symlink_to(Path("..data") / top)
    for path in place.iterdir():
        if not path.name.startswith("..") and path.name not in tops:
            path.unlink()
    if before is not None:
        shutil.rmtree(place / before, ignore_errors=True)
    return True


def mounts_of(
    container: Mapping[str, Any], volumes: Mapping[str, Path], expanded: Mapping[str, str]
) -> list[dict[str, Any]]:
    """Return the mounts of a container for its shim, in the order of the manifest.

    Args:
        volumes: Where each is.
        expanded: subPathExpr of each mount path, expanded.

    Raises: ConfigError.
    """
    found = []
    for mount in container.get("volumeMounts") or ():
        name = mount["name"]
        if name not in volumes:
            raise ConfigError(f"volumeMounts: there is no volume {name!r} in the pod")
        source = volumes[name]
        inside = expanded.get(mount["mountPath"]) or mount.get("subPath") or ""
        if inside:
            source = source / _path(inside)
            if not source.exists():
                source.mkdir(parents=True)
        found.append(
            {
                "source": str(source), "target": str(Path("/") / mount["mountPath"]),
                "read_only": bool(mount.get("readOnly")),
            }
        )  # fmt: skip
    return found
