"""The writing verbs: POST, PUT, PATCH, DELETE, each one edit inside the store's planner.

Source: Kubernetes API concepts; the create, update, patch and delete handlers of the API server.

Invariants:
    KVB-1  A verb decides on the state that the writer sees, together with the write: there is no
           second attempt, and no decision on a state that was overwritten meanwhile.
    KVB-2  An answer, and every later read on this peer, includes the write.
"""

from collections.abc import Callable, Mapping
from typing import Any, final

from crdtstate.api.exchange import Request, Response
from crdtstate.api.kube.answers import Answers
from crdtstate.api.kube.bodies import Body, decode_body, decode_json, decode_yaml, media_type
from crdtstate.api.kube.faces import DEFAULT_NAMESPACES, NAMESPACES
from crdtstate.api.kube.options import WriteOptions, parse_delete, parse_write
from crdtstate.api.kube.pipeline import Writing
from crdtstate.api.kube.routes import Route
from crdtstate.api.kube.state import Held, KubeState, qualified
from crdtstate.api.kube.subresources import scale_of, with_scale
from crdtstate.kube.instants import format_seconds
from crdtstate.kube.objects import Change, Context, EditResult, Live, Removal, Target
from crdtstate.kube.patches import json_patch, merge_patch, strategic_merge
from crdtstate.kube.resources import Resource
from crdtstate.kube.statuses import StatusError

__all__ = ["WriteHandlers"]

APPLY = "application/apply-patch+yaml"
JSON_PATCH = "application/json-patch+json"
MERGE_PATCH = "application/merge-patch+json"
STRATEGIC_PATCH = "application/strategic-merge-patch+json"
_NEED_VERSION = frozenset(
    ("coordination.k8s.io/leases", "apiextensions.k8s.io/customresourcedefinitions")
)
_SUFFIX_LETTERS = "bcdfghjklmnpqrstvwxz2456789"
_NAME_CHARS_MAX = 253

Patch = Callable[[dict[str, Any]], dict[str, Any]]
