"""The three patches that name no owner: JSON patch, JSON merge patch, strategic merge patch.

Each is evaluated here, on what this peer knows now; what is replicated is the difference that it
makes, never the patch.

Source: [RFC6902], [RFC7386]; apimachinery `strategicpatch` for the third, in `strategic`.
"""

import json
from collections.abc import Mapping
from copy import deepcopy
from typing import Any

import jsonpatch
from jsonpointer import JsonPointer, JsonPointerException

from crdtstate.kube.statuses import StatusError
from crdtstate.kube.strategic import strategic_merge

__all__ = ["OPERATIONS_MAX", "json_patch", "merge_patch", "strategic_merge"]

OPERATIONS_MAX = 10_000
"""Operations in one JSON patch, as upstream."""
COPIED_BYTES_MAX = 3 * 1024 * 1024
"""What the copy operations of one patch may add up to: each can double a document."""


def json_patch(body: Mapping[str, Any], operations: Any) -> dict[str, Any]:
    """Return the body with the operations applied, in order; all or none.

    Raises:
        StatusError: BadRequest, it is no JSON patch; RequestEntityTooLarge; Invalid (422), a
            `test` failed or a path is not there. Clients that retry look for the 422.
    """
    if not isinstance(operations, list):
        raise StatusError("BadRequest", "a JSON patch is a list of operations")
    if len(operations) > OPERATIONS_MAX:
        raise StatusError(
            "RequestEntityTooLarge",
            f"the patch has {len(operations)} operations, over {OPERATIONS_MAX}",
        )
    result: Any = deepcopy(dict(body))
    copied = 0
    for i, operation in enumerate(operations):
        if isinstance(operation, dict) and operation.get("op") == "copy":
            copied += _size_at(result, operation.get("from"))
            if copied > COPIED_BYTES_MAX:
                text = f"the patch copies over {COPIED_BYTES_MAX} bytes"
                raise StatusError("RequestEntityTooLarge", text)
        result = _one(result, operation, i)
    if not isinstance(result, dict):
        raise StatusError("Invalid", "the patch leaves no object")
    return result


def _one(document: Any, operation: Any, index: int) -> Any:
    try:
        return jsonpatch.JsonPatch([operation]).apply(document, in_place=True)
    except jsonpatch.JsonPatchTestFailed as failed:
        path = operation.get("path")
        text = f"operation {index}: testing value {path} failed"
        raise StatusError("Invalid", text) from failed
    except (jsonpatch.JsonPatchConflict, JsonPointerException) as missing:
        # Pointer errors print the document; its beginning is enough.
        raise StatusError("Invalid", f"operation {index}: {str(missing)[:200]}") from missing
    except (jsonpatch.JsonPatchException, TypeError, AttributeError, KeyError) as wrong:
        text = f"operation {index} is no JSON patch operation: {wrong}"
        raise StatusError("BadRequest", text) from wrong


def _size_at(document: Any, pointer: Any) -> int:
    try:
        return len(json.dumps(JsonPointer(pointer).resolve(document)))
    except (JsonPointerException, TypeError, AttributeError):
        return 0  # The operation itself will say so.


def merge_patch(body: Any, patch: Any) -> Any:
    """Return the body with a JSON merge patch: null removes, maps merge, all else replaces.

    The result shares with both.
    """
    if not isinstance(patch, dict):
        return patch
    result = dict(body) if isinstance(body, dict) else {}
    for name, each in patch.items():
        if each is None:
            result.pop(name, None)
        elif isinstance(each, dict):
            result[name] = merge_patch(result.get(name), each)
        else:
            result[name] = each
    return result
