"""Requests for the resource API: of pieces that do not belong together, or right but for a place.

Everything is a function of a number, so a failure is repeated by naming it.
"""

import json
import random
from typing import Any, NamedTuple
from urllib.parse import quote, urlencode

from tests.crdtstate.kube.protobuf_writer import encode

WIDGETS = {
    "apiVersion": "apiextensions.k8s.io/v1",
    "kind": "CustomResourceDefinition",
    "metadata": {"name": "widgets.demo.example.com"},
    "spec": {
        "group": "demo.example.com", "scope": "Namespaced",
        "names": {"plural": "widgets", "singular": "widget", "kind": "Widget"},
        "versions": [{
            "name": "v1", "served": True, "storage": True,
            "subresources": {"status": {}, "scale": {
                "specReplicasPath": ".spec.size", "statusReplicasPath": ".status.size"}},
            "selectableFields": [{"jsonPath": ".spec.color"}],
            "additionalPrinterColumns": [
                {"name": "Size", "type": "integer", "jsonPath": ".spec.size"}],
            "schema": {"openAPIV3Schema": {"type": "object", "properties": {
                "spec": {"type": "object", "required": ["size"],
                         "x-kubernetes-validations": [{"rule": "self.size < 9"}],
                         "properties": {
                    "size": {"type": "integer", "maximum": 10},
                    "color": {"type": "string", "default": "red", "pattern": "^[a-z]*$"},
                    "tags": {"type": "array", "items": {"type": "string"},
                             "x-kubernetes-list-type": "set"},
                    "free": {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
                    "limit": {"x-kubernetes-int-or-string": True},
                    "ports": {"type": "array", "x-kubernetes-list-type": "map",
                              "x-kubernetes-list-map-keys": ["port"],
                              "items": {"type": "object", "required": ["port"], "properties": {
                                  "port": {"type": "integer"}, "name": {"type": "string"}}}}}},
                "status": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}}}},
        }],
    },
}  # fmt: skip
SEEDS: dict[str, dict[str, Any]] = {
    "/api/v1/namespaces/default/configmaps": {
        "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a", "labels": {"x": "y"}},
        "data": {"k": "v"}, "binaryData": {"b": "AP8="}, "immutable": False,
    },
    "/api/v1/namespaces/default/pods": {
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a"},
        "spec": {"containers": [{"name": "c", "image": "i"}], "nodeName": "x",
                 "volumes": [{"name": "v", "emptyDir": {}}]},
        "status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}],
                   "containerStatuses": [{"name": "c", "ready": True, "restartCount": 1,
                                          "image": "i", "imageID": "",
                                          "state": {"waiting": {"reason": "x"}}}]},
    },
    "/apis/apps/v1/namespaces/default/deployments": {
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "a"},
        "spec": {"replicas": 1, "selector": {"matchLabels": {"a": "b"}},
                 "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": "25%"}},
                 "template": {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [
                     {"name": "c", "image": "i", "ports": [{"containerPort": 80}],
                      "env": [{"name": "A", "value": "b"}],
                      "resources": {"limits": {"cpu": "1"}}}]}}},
    },
    "/api/v1/namespaces/default/services": {
        "apiVersion": "v1", "kind": "Service", "metadata": {"name": "a", "finalizers": ["a/b"]},
        "spec": {"ports": [{"name": "h", "port": 80, "targetPort": "x"}], "selector": {"a": "b"}},
    },
    "/api/v1/namespaces/default/events": {
        "apiVersion": "v1", "kind": "Event", "metadata": {"name": "a"}, "count": 1,
        "involvedObject": {"kind": "Pod", "name": "p", "namespace": "default"}, "reason": "r",
        "lastTimestamp": "2126-11-23T10:00:00Z", "type": "Normal", "source": {"component": "c"},
    },
    "/apis/coordination.k8s.io/v1/namespaces/default/leases": {
        "apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": "a"},
        "spec": {"holderIdentity": "h", "renewTime": "2026-11-23T10:00:00.123456Z"},
    },
    "/apis/demo.example.com/v1/namespaces/default/widgets": {
        "apiVersion": "demo.example.com/v1", "kind": "Widget", "metadata": {"name": "a"},
        "spec": {"size": 3, "tags": ["a"], "ports": [{"port": 80, "name": "h"}], "limit": "1",
                 "free": {"x": 1}},
        "status": {"free": {"x": [1]}},
    },
    "/api/v1/namespaces": {
        "apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "made"},
    },
    "/apis/apiextensions.k8s.io/v1/customresourcedefinitions": WIDGETS,
    "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews": {
        "apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectAccessReview", "metadata": {},
        "spec": {"resourceAttributes": {"verb": "get", "resource": "pods"}},
    },
}  # fmt: skip
ROOTS = ("api", "apis", "openapi", "version")
WORDS = (
    "api", "apis", "v1", "apps", "namespaces", "default", "configmaps", "pods", "deployments",
    "a", "status", "scale", "finalize", "watch", "nosuch", "..", "%00", "%2f", "", "a" * 300, "ä",
    "openapi", "v2", "v3", "version", "demo.example.com", "widgets", "events",
)  # fmt: skip
SELECTORS = (
    "a=b",
    "a in (b",
    "!a",
    "!x",
    "a in (b,c),d",
    "x=y",
    "a>1",
    "a notin ()",
    ",",
    "=",
    "x",
)
QUERY = {
    "labelSelector": SELECTORS,
    "fieldSelector": ("metadata.name=a", "metadata.name!=a", "spec.color=red", "status.phase=", "x",
                      "type!=Normal", "metadata.namespace=default", "a=b\\", "=", "spec.nope=1"),
    "limit": ("0", "1", "2", "-1", "9" * 30, "x"),
    "continue": ("", "x", "eyJ2IjoxfQ", "%%%"),
    "resourceVersion": ("", "0", "1", "-1", "01", "9" * 18, "9" * 30, "x"),
    "resourceVersionMatch": ("Exact", "NotOlderThan", "x"),
    "dryRun": ("All", "", "x"),
    "force": ("true", "false", "x"),
    "fieldManager": ("a", "", "x" * 129, "\x00", "ä"),
    "fieldValidation": ("Strict", "Warn", "Ignore", "x"),
    "propagationPolicy": ("Foreground", "Background", "Orphan", "x"),
    "includeObject": ("Object", "None", "Metadata", "x"),
    "sendInitialEvents": ("true", "x"),
    "allowWatchBookmarks": ("true", "x"),
    "orphanDependents": ("true", "x"),
    "gracePeriodSeconds": ("0", "-1", "x"),
    "w": ("1", "all", "x"),
    "pretty": ("true", "x"),
}  # fmt: skip
ACCEPTS = (
    "application/json", "", "*/*", "application/json;as=Table;v=v1;g=meta.k8s.io", "text/html",
    "application/yaml", "application/cbor", "application/json;as=Table;v=v9;g=x", ";;;,,,q=",
    "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1", "*/*;q=0",
    "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1",
    "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList",
    "application/com.github.proto-openapi.spec.v2@v1.0+protobuf",
)  # fmt: skip
PROTOBUF, JSON_PATCH = "application/vnd.kubernetes.protobuf", "application/json-patch+json"
PATCHES = (
    "application/merge-patch+json", JSON_PATCH, "application/strategic-merge-patch+json",
    "application/apply-patch+yaml",
)  # fmt: skip
MEDIA = (
    "", "application/json", "application/yaml", "application/cbor", "text/plain", ";", "a/b;c=d;",
    PROTOBUF, *PATCHES,
)  # fmt: skip
RAW = (
    b"", b"{}", b"[]", b"null", b"1", b'"', b"{" * 5000, b"[" * 100_000, b'{"a":1,"a":2}', b"\xff",
    b'{"metadata":null}', b'{"metadata":{"name":null}}', b'{"kind":1,"apiVersion":[]}',
    b"a: &a [*a]", b"k8s\x00", b"NaN", b'{"metadata":{"name":"a","labels":{"a":1e400}}}',
    b'"\\ud800"', b"a: b: c", b"- \t", b"!!python/object:x {}",
)  # fmt: skip
METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS", "TRACE", "BREW")
NAMES = (
    "name", "namespace", "labels", "finalizers", "ownerReferences", "managedFields", "uid", "spec",
    "resourceVersion", "generation", "creationTimestamp", "deletionTimestamp", "data", "status",
    "metadata", "$patch", "$retainKeys", "$setElementOrder/ports", "annotations", "generateName",
    "$deleteFromPrimitiveList/tags", "fieldsV1", "ports", "tags", "conditions", "a.b/c", "",
    "versions", "schema", "x-kubernetes-list-type", "properties", "containers", "f:a", "k:{}",
)  # fmt: skip
SCALARS = (
    None, True, False, 0, 1, -1, 2**31, 2**63, 2**70, 0.5, 1e300, "", "a", "A/b", "x" * 300,
    "ä\x00", "2026-11-23T10:00:00Z", "25%", "1Gi", "true", "replace", "delete", "\ud800",
)  # fmt: skip


class Sent(NamedTuple):
    """One request."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes


def request(number: int) -> Sent:
    """Return the request of a number."""
    rng = random.Random(number)
    return loose(rng) if rng.random() < 0.3 else altered(rng)


def loose(rng: random.Random) -> Sent:
    """Put pieces together that do not belong together."""
    words = [rng.choice(ROOTS), *(rng.choice(WORDS) for _ in range(rng.randrange(7)))]
    known = rng.choice(list(SEEDS))
    path = rng.choice(["/" + "/".join(words), known, f"{known}/a", f"{known}/a/status"])
    headers = {"Accept": rng.choice(ACCEPTS), "Content-Type": rng.choice(MEDIA)}
    body = rng.choice(RAW) if rng.random() < 0.5 else dumped(value(rng, 4))
    return Sent(rng.choice(METHODS), quote(path, safe="/%.") + query(rng), headers, body)


def altered(rng: random.Random) -> Sent:
    """Take a request that is right and put something else in a few places."""
    path, whole = rng.choice(list(SEEDS.items()))
    body = json.loads(json.dumps(whole))
    for _ in range(rng.choice((0, 0, 1, 1, 2, 3))):
        alter(rng, body)
    method = rng.choice(("POST", "POST", "PUT", "PATCH", "PATCH", "DELETE", "GET", "GET"))
    media, data = "application/json", dumped(body)
    if method == "PATCH":
        media = rng.choice(PATCHES)
        if media == JSON_PATCH:
            data = dumped([operation(rng) for _ in range(rng.randrange(4))])
    elif rng.random() < 0.15 and "demo" not in path:
        media, data = PROTOBUF, flipped(rng, encode(whole))
    if method not in ("POST", "GET") or (method == "GET" and rng.random() < 0.5):
        path += f"/{whole['metadata'].get('name', 'a')}"
        path += rng.choice(("", "", "", "/status", "/scale"))
    headers = {"Content-Type": media, "Accept": rng.choice(ACCEPTS[:4])}
    return Sent(method, path + query(rng), headers, data)


def query(rng: random.Random) -> str:
    """Return a query, often none."""
    names = rng.sample(list(QUERY), rng.choice((0, 0, 1, 1, 2)))
    pairs = {name: rng.choice(QUERY[name]) for name in names}
    return f"?{urlencode(pairs)}" if pairs else ""


def value(rng: random.Random, depth: int) -> Any:
    """Return some JSON value."""
    kind = rng.randrange(4) if depth else 3
    if kind == 0:
        return [value(rng, depth - 1) for _ in range(rng.randrange(3))]
    if kind == 1:
        return {rng.choice(NAMES): value(rng, depth - 1) for _ in range(rng.randrange(4))}
    return rng.choice(SCALARS)


def alter(rng: random.Random, body: Any) -> None:
    """Put something else in some place, take it away, or add to it."""
    while True:
        key = rng.choice(list(body) if isinstance(body, dict) else range(len(body)))
        inner = body[key]
        if isinstance(inner, dict | list) and inner and rng.random() < 0.7:
            body = inner
            continue
        how = rng.randrange(4)
        if how == 0:
            del body[key]
        elif how == 1 and isinstance(body, dict):
            body[rng.choice(NAMES)] = value(rng, 2)
        elif how == 2 and isinstance(body, list):
            body.append(json.loads(json.dumps(inner)))
        else:
            body[key] = value(rng, 2)
        return


def operation(rng: random.Random) -> dict[str, Any]:
    """Return one operation of a JSON patch, more or less."""

    def pointer() -> str:
        steps = (*NAMES, "0", "-", "~1", "~", "x", "k", "size", "labels")
        return "".join(f"/{rng.choice(steps)}" for _ in range(rng.randrange(4)))

    known = rng.choice(("/spec/size", "/metadata/labels", "/data/k", "/metadata/resourceVersion"))
    found = {
        "op": rng.choice(("add", "remove", "replace", "move", "copy", "test", "x")),
        "path": rng.choice((known, pointer())), "from": pointer(), "value": value(rng, 2),
    }  # fmt: skip
    if rng.random() < 0.1:
        del found[rng.choice(list(found))]
    return found


def flipped(rng: random.Random, data: bytes) -> bytes:
    """Return the bytes with a few of them changed."""
    found = bytearray(data)
    for _ in range(rng.randrange(4)):
        found[rng.randrange(len(found))] = rng.randrange(256)
    return bytes(found)


def dumped(body: Any) -> bytes:
    """Return JSON, also of what is no text."""
    return json.dumps(body).encode("utf-8", "surrogatepass")
