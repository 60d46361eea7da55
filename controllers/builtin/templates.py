"""Templates and the numbers around a rolling update: hashes, revisions, shares of a total."""

import math
from collections.abc import Mapping
from typing import Any

from controllers.builtin.names import content_hash

__all__ = ["HASH_LABEL", "REVISION_ANNOTATION", "bare", "share_of", "template_hash"]

HASH_LABEL = "pod-template-hash"
REVISION_ANNOTATION = "deployment.kubernetes.io/revision"


def bare(template: Mapping[str, Any]) -> dict[str, Any]:
    """Return a pod template without what a controller adds to it."""
    metadata = template.get("metadata") or {}
    labels = {n: v for n, v in (metadata.get("labels") or {}).items() if n != HASH_LABEL}
    kept = {n: v for n, v in metadata.items() if v and n not in ("labels", "creationTimestamp")}
    if labels:
        kept["labels"] = labels
    return {**template, "metadata": kept}


def template_hash(template: Mapping[str, Any]) -> str:
    """Return ten characters that stand for a template."""
    return content_hash(bare(template))


def share_of(value: Any, total: int, *, up: bool) -> int:
    """Return `value`, a number or a percentage of `total`; 0 when it is neither."""
    if isinstance(value, str) and value.endswith("%") and value[:-1].isdigit():
        part = int(value[:-1]) * total / 100
        return math.ceil(part) if up else math.floor(part)
    if isinstance(value, str) and value.isdigit():
        return int(value)
    return value if isinstance(value, int) else 0
