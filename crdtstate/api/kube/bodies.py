"""Request bodies: JSON, YAML and protobuf become plain values; duplicate keys are noted, not lost.

Source: Kubernetes API concepts, "Field validation"; YAML 1.2 core schema for scalars.
"""

import json
import re
from collections import Counter
from typing import Any, final

import yaml

from crdtstate.kube.protobuf import decode_protobuf
from crdtstate.kube.statuses import StatusError

__all__ = ["Body", "decode_body", "decode_json", "decode_yaml", "media_type"]

_PROTOBUF = "application/vnd.kubernetes.protobuf"
_YAML = ("application/yaml", "application/x-yaml", "text/yaml", "application/apply-patch+yaml")
_JSON = ("application/json", "")


@final
class Body:
    """A decoded body: its value, and the paths of keys that were given twice."""

    __slots__ = ("duplicates", "value")

    def __init__(self, value: Any, duplicates: tuple[str, ...] = ()) -> None:
        self.value, self.duplicates = value, duplicates

    def object(self) -> dict[str, Any]:
        """Return the value. Raises: StatusError (BadRequest) unless it is an object."""
        if not isinstance(self.value, dict):
            raise StatusError("BadRequest", f"body is a {type(self.value).__name__}, not an object")
        return self.value


def media_type(content_type: str) -> str:
    """Return the media type without parameters, in lower case."""
    return content_type.partition(";")[0].strip().lower()


def decode_body(content_type: str, data: bytes) -> Body:
    """Decode the body of a POST, PUT or DELETE.

    Raises: StatusError (UnsupportedMediaType, BadRequest).
    """
    media = media_type(content_type)
    if media == _PROTOBUF:
        return Body(decode_protobuf(data))
    if media in _YAML:
        return decode_yaml(data)
    if media not in _JSON:
        raise StatusError(
            "UnsupportedMediaType",
            f"Content-Type {media[:64]!r} is not served: the body of the request was in an "
            "unknown format; application/json, application/yaml and "
            "application/vnd.kubernetes.protobuf are",
        )
    return decode_json(data)


class _Repeated(dict[str, Any]):
    """An object of which some keys were given more than once; the last one counts."""

    repeated: tuple[str, ...]


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    plain = dict(pairs)
    if len(plain) == len(pairs):
        return plain
    counts = Counter(key for key, _ in pairs)
    found = _Repeated(plain)
    found.repeated = tuple(key for key, count in counts.items() if count > 1)
    return found


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


def decode_json(data: bytes) -> Body:
    """Decode JSON. Raises: StatusError (BadRequest)."""
    try:
        value = json.loads(data, object_pairs_hook=_object, parse_constant=_refuse_constant)
        if b"\\u" in data:
            _check_text(value)
        return _noted(value)
    except (ValueError, RecursionError) as error:
        raise StatusError("BadRequest", f"body is not JSON: {error}") from error


def _check_text(value: Any) -> None:
    """Refuse half a surrogate pair: no text. Raises: UnicodeEncodeError, a ValueError."""
    json.dumps(value, ensure_ascii=False).encode()


def _noted(value: Any) -> Body:
    duplicates: list[str] = []
    _collect(value, "", duplicates)
    return Body(value, tuple(duplicates))


def _collect(value: Any, path: str, found: list[str]) -> None:
    if isinstance(value, dict):
        if type(value) is _Repeated:
            found.extend(f"{path}.{key}".lstrip(".") for key in value.repeated)
        for key, inner in value.items():
            if isinstance(inner, dict | list):
                _collect(inner, f"{path}.{key}", found)
    else:
        for at, inner in enumerate(value if isinstance(value, list) else ()):
            if isinstance(inner, dict | list):
                _collect(inner, f"{path}[{at}]", found)


class _Loader(yaml.SafeLoader):
    """YAML as JSON sees it: no dates, no `yes`, no aliases (which can grow without bound)."""

    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}  # noqa: RUF012

    def compose_node(self, parent: Any, index: Any) -> Any:
        """Refuse aliases."""
        if self.check_event(yaml.AliasEvent):
            raise yaml.YAMLError("aliases are not served here")
        return super().compose_node(parent, index)

    def construct_object_pairs(self, node: yaml.MappingNode) -> dict[str, Any]:
        """Return an object whose keys are text."""
        pairs: list[tuple[str, Any]] = []
        for key_node, value_node in node.value:
            if not isinstance(key_node, yaml.ScalarNode):
                raise yaml.YAMLError("a key is not a scalar")
            pairs.append((key_node.value, self.construct_object(value_node, deep=True)))
        return _object(pairs)


_Loader.add_constructor("tag:yaml.org,2002:map", _Loader.construct_object_pairs)
for _tag, _pattern, _first in (
    ("bool", r"^(?:true|True|TRUE|false|False|FALSE)$", "tTfF"),
    ("null", r"^(?:~|null|Null|NULL|)$", ["~", "n", "N", ""]),
    ("int", r"^[-+]?(?:0|[1-9][0-9]*)$", "-+0123456789"),
    ("float", r"^[-+]?(?:[0-9]+\.[0-9]*|\.[0-9]+|[0-9]+(?=[eE]))(?:[eE][-+]?[0-9]+)?$",
     "-+.0123456789"),
):  # fmt: skip
    _Loader.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", re.compile(_pattern), list(_first))


def decode_yaml(data: bytes) -> Body:
    """Decode YAML, of which JSON is the usual case. Raises: StatusError (BadRequest)."""
    try:
        return decode_json(data)
    except StatusError:
        pass
    try:
        value = yaml.load(data, Loader=_Loader)
        _check_text(value)
        return _noted(value)
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        raise StatusError("BadRequest", f"body is not YAML: {error}") from error
