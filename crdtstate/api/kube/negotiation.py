"""What a client accepts: JSON as it is, a table, or metadata alone.

Source: Kubernetes API concepts, "Alternate representations of resources".
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, final

from crdtstate.kube.statuses import StatusError

__all__ = ["Form", "choose_form", "media_types"]

View = Literal["Object", "Table", "PartialObjectMetadata"]
_PLAIN = ("application/json", "application/*", "*/*")
_META_VERSIONS = ("v1", "v1beta1")


@final
@dataclass(frozen=True, slots=True)
class Form:
    """The form of the answer."""

    view: View = "Object"
    version: str = "v1"


def media_types(accept: str) -> Iterator[tuple[str, dict[str, str]]]:
    """Yield (type, parameters) of an Accept header, the most wanted first."""
    found: list[tuple[float, int, str, dict[str, str]]] = []
    for position, clause in enumerate(accept.split(",")):
        media, *rest = (part.strip() for part in clause.split(";"))
        parameters = dict(part.partition("=")[::2] for part in rest)
        try:
            quality = float(parameters.pop("q", "1"))
        except ValueError:
            quality = 0.0
        if media and quality > 0:
            found.append((-quality, position, media.lower(), parameters))
    for _, _, media, parameters in sorted(found, key=lambda row: row[:2]):
        yield media, parameters


def choose_form(accept: str, *, has_table: bool = True) -> Form:
    """Return the first form wanted that is served.

    Args:
        accept: The header; empty means anything.
        has_table: False where no table exists (reviews).

    Raises: StatusError (NotAcceptable).
    """
    if not accept.strip():
        return Form()
    for media, parameters in media_types(accept):
        if media not in _PLAIN:
            continue
        wanted = parameters.get("as", "")
        if not wanted:
            return Form()
        version = parameters.get("v", "v1")
        if parameters.get("g") != "meta.k8s.io" or version not in _META_VERSIONS:
            continue
        if wanted == "Table" and has_table:
            return Form("Table", version)
        if wanted in ("PartialObjectMetadata", "PartialObjectMetadataList") and has_table:
            return Form("PartialObjectMetadata", version)
    raise StatusError(
        "NotAcceptable",
        f"only application/json is served here, not {accept[:200]!r}",
    )
