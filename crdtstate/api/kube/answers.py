"""Answers: an object whole, as its metadata alone, or as the row of a table; refusals."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec

from crdtstate.api.exchange import Response
from crdtstate.api.kube.negotiation import Form
from crdtstate.api.kube.warnings import warning_header
from crdtstate.kube.resources import Resource
from crdtstate.kube.statuses import StatusError, status_body
from crdtstate.kube.tables import table

__all__ = ["encode", "in_form", "object_response", "partial", "refusal_response"]

encode = msgspec.json.Encoder().encode


def partial(shown: Mapping[str, Any], version: str = "v1") -> dict[str, Any]:
    """Return an object's metadata alone."""
    return {
        "kind": "PartialObjectMetadata",
        "apiVersion": f"meta.k8s.io/{version}",
        "metadata": shown["metadata"],
    }


def in_form(
    form: Form, resource: Resource, shown: Sequence[dict[str, Any]], wall_ms: int, include: str
) -> dict[str, Any]:
    """Return one object, or the Table of some, in the form that the client wants."""
    if form.view == "Table":
        return table(resource, shown, wall_ms, include=include, version=form.version)
    return partial(shown[0], form.version) if form.view != "Object" else shown[0]


def object_response(
    value: dict[str, Any] | bytes, status: int = 200, warnings: Iterable[str] = ()
) -> Response:
    """Return JSON with what the user is to be told."""
    data = value if isinstance(value, bytes) else encode(value)
    response = Response(status, data)
    header = warning_header(warnings)
    if header is not None:
        response.headers["Warning"] = header
    return response


def refusal_response(error: StatusError) -> Response:
    """Return the Status object of a refusal."""
    response = object_response(status_body(error), error.status)
    seconds = error.details.get("retryAfterSeconds")
    if seconds:
        response.headers["Retry-After"] = str(seconds)
    return response
