"""Manifests: files to documents. No I/O but reading files."""

import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

import yaml

from crdtstate.errors import InvalidError, NotFoundError

__all__ = ["Manifest", "read_manifests"]

_SUFFIXES = (".yaml", ".yml", ".json")
_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


@final
@dataclass(frozen=True)
class Manifest:
    """One document, what it names, and where it came from."""

    api_version: str
    kind: str
    name: str
    namespace: str | None
    document: dict[str, Any]
    source: str


def read_manifests(names: Sequence[str], *, recursive: bool) -> Iterator[Manifest]:
    """Yield all documents of files, directories and standard input ("-"), lists expanded.

    Raises: InvalidError, NotFoundError naming the file, the document and the reason.
    """
    for name in names:
        for source, text in _texts(name, recursive):
            for number, document in enumerate(_documents(source, text), 1):
                yield from _expand(document, f"{source}, document {number}")


def _texts(name: str, recursive: bool) -> Iterator[tuple[str, str]]:
    if name == "-":
        yield "standard input", sys.stdin.read()
        return
    path = Path(name)
    if path.is_dir():
        found = sorted(path.rglob("*") if recursive else path.iterdir())
        files = [file for file in found if file.suffix in _SUFFIXES and file.is_file()]
        if not files:
            raise NotFoundError(f"{name}: there is no file that ends with {', '.join(_SUFFIXES)}")
    else:
        files = [path]
    for file in files:
        try:
            yield str(file), file.read_text(encoding="utf-8")
        except FileNotFoundError as error:
            raise NotFoundError(f"{file}: there is no such file") from error
        except (OSError, UnicodeDecodeError) as error:
            raise InvalidError(f"{file}: {error}") from error


def _documents(source: str, text: str) -> Iterator[Any]:
    try:
        for document in yaml.load_all(text, Loader=_Loader):
            if document is not None:
                yield document
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f", line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        reason = getattr(error, "problem", None) or " ".join(str(error).split())
        raise InvalidError(f"{source}{where}: {reason}") from error


def _expand(document: Any, source: str) -> Iterator[Manifest]:
    if not isinstance(document, dict):
        raise InvalidError(f"{source}: a {type(document).__name__}, not an object")
    items = document.get("items")
    if str(document.get("kind", "")).endswith("List") and isinstance(items, list):
        for number, item in enumerate(items, 1):
            yield from _expand(item, f"{source}, item {number}")
        return
    yield _manifest(_plain(document, source), source)


def _manifest(document: dict[str, Any], source: str) -> Manifest:
    metadata = document.get("metadata")
    if not isinstance(metadata, dict):
        raise InvalidError(f"{source}: metadata is {metadata!r}, not an object; it is needed")

    def text(field: str, value: Any) -> str:
        if not isinstance(value, str) or not value:
            raise InvalidError(f"{source}: {field} is {value!r}, not a text; it is needed")
        return value

    place = metadata.get("namespace")
    return Manifest(
        text("apiVersion", document.get("apiVersion")),
        text("kind", document.get("kind")),
        text("metadata.name", metadata.get("name")),
        None if place is None else text("metadata.namespace", place),
        document,
        source,
    )


def _plain(value: Any, source: str) -> Any:
    """Return the value with only what JSON has: YAML dates become the text that they were."""
    if isinstance(value, dict):
        for name in value:
            if not isinstance(name, str):
                raise InvalidError(f"{source}: the name of a field is {name!r}, not a text")
        return {name: _plain(item, source) for name, item in value.items()}
    if isinstance(value, list):
        return [_plain(item, source) for item in value]
    if value is None or isinstance(value, str | bool | int | float):
        return value
    if hasattr(value, "isoformat"):
        return value.isoformat()
    raise InvalidError(f"{source}: a value is a {type(value).__name__}, which JSON does not have")
