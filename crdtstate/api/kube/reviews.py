"""Reviews: what may I do, who am I. Whoever has a token (or needs none) may do everything.

Source: Kubernetes authorization.k8s.io/v1 and authentication.k8s.io/v1.
"""

from collections.abc import Callable, Mapping
from typing import Any

from crdtstate.kube.statuses import StatusError

__all__ = ["REVIEWS", "review"]

USER = {"username": "crdtstate:user", "groups": ["system:masters", "system:authenticated"]}
_ALL_RULES = {
    "resourceRules": [{"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]}],
    "nonResourceRules": [{"verbs": ["*"], "nonResourceURLs": ["*"]}],
    "incomplete": False,
}


def _allowed(_spec: Mapping[str, Any]) -> dict[str, Any]:
    return {"allowed": True, "reason": "this peer authorizes everybody whom it lets in"}


def _rules(_spec: Mapping[str, Any]) -> dict[str, Any]:
    return dict(_ALL_RULES)


def _myself(_spec: Mapping[str, Any]) -> dict[str, Any]:
    return {"userInfo": dict(USER)}


def _token(spec: Mapping[str, Any]) -> dict[str, Any]:
    # Only the bearer's own token is ever looked at, when it asks: others cannot be tried out here.
    return {
        "authenticated": False,
        "error": "tokens are not looked up by this peer" if spec.get("token") else "no token given",
    }


REVIEWS: Mapping[tuple[str, str], tuple[str, Callable[[Mapping[str, Any]], dict[str, Any]]]] = {
    ("authorization.k8s.io", "selfsubjectaccessreviews"): ("SelfSubjectAccessReview", _allowed),
    ("authorization.k8s.io", "subjectaccessreviews"): ("SubjectAccessReview", _allowed),
    ("authorization.k8s.io", "localsubjectaccessreviews"): ("LocalSubjectAccessReview", _allowed),
    ("authorization.k8s.io", "selfsubjectrulesreviews"): ("SelfSubjectRulesReview", _rules),
    ("authentication.k8s.io", "selfsubjectreviews"): ("SelfSubjectReview", _myself),
    ("authentication.k8s.io", "tokenreviews"): ("TokenReview", _token),
}


def review(group: str, plural: str, body: Mapping[str, Any]) -> dict[str, Any]:
    """Answer a review. Raises: StatusError (BadRequest) when the body is another kind's."""
    kind, answer = REVIEWS[group, plural]
    given = body.get("kind", kind)
    if given != kind:
        raise StatusError("BadRequest", f"body is a {given}, not a {kind}")
    spec = body.get("spec") or {}
    if not isinstance(spec, dict):
        raise StatusError("BadRequest", "spec is not an object")
    return {
        "apiVersion": f"{group}/v1",
        "kind": kind,
        "metadata": {"creationTimestamp": None},
        "spec": spec,
        "status": answer(spec),
    }
