"""The resource API under fuzzing: what its own OpenAPI document allows, and what nothing allows.

The short tests run with all others, the long ones in `make deep`: CRDTSTATE_FUZZ_S (300) s each.
"""

import json
import os
import random
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from typing import Any
from urllib.parse import quote, urlencode
from urllib.request import urlopen

import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from hypothesis.errors import Unsatisfiable
from schemathesis import GenerationMode

from tests.crdtstate.kube.protobuf_writer import encode
from tests.e2e.fleet import Fleet
from tests.kube.fuzzing import Prey

pytestmark = pytest.mark.e2e

SHORT_S = 8.0
LONG_S = float(os.environ.get("CRDTSTATE_FUZZ_S", "300"))
WIDGETS = {
    "apiVersion": "apiextensions.k8s.io/v1",
    "kind": "CustomResourceDefinition",
    "metadata": {"name": "widgets.demo.example.com"},
    "spec": {
        "group": "demo.example.com", "scope": "Namespaced",
        "names": {"plural": "widgets", "singular": "widget", "kind": "Widget"},
        "versions": [{
            "name": "v1", "served": True, "storage": True, "subresources": {"status": {}},
            "schema": {"openAPIV3Schema": {"type": "object", "properties": {
                "spec": {"type": "object", "required": ["size"], "properties": {
                    "size": {"type": "integer", "maximum": 10},
                    "color": {"type": "string", "default": "red"},
                    "tags": {"type": "array", "items": {"type": "string"},
                             "x-kubernetes-list-type": "set"},
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
    "/apis/coordination.k8s.io/v1/namespaces/default/leases": {
        "apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": "a"},
        "spec": {"holderIdentity": "h", "renewTime": "2026-11-23T10:00:00.123456Z"},
    },
    "/apis/demo.example.com/v1/namespaces/default/widgets": {
        "apiVersion": "demo.example.com/v1", "kind": "Widget", "metadata": {"name": "a"},
        "spec": {"size": 3, "tags": ["a"], "ports": [{"port": 80, "name": "h"}]},
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


@pytest.fixture(scope="module")
def prey(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prey]:
    with Fleet(tmp_path_factory.mktemp("fuzz"), 1) as peers:
        found = Prey(peers.url("a"))
        path = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
        headers = {"Content-Type": "application/json"}
        answer = found.ask("POST", path, headers, json.dumps(WIDGETS).encode())
        assert answer.status == 201, answer
        yield found
        assert json.loads(found.ask("GET", "/version", {}, None).body)["major"] == "1"
        found.close()
        assert "request_failed" not in peers.log("a")


def draw_some(
    number: int, strategy: st.SearchStrategy[Any], check: Callable[[Any], None], end: float
) -> None:
    """Draw a few, the same for the same number, and check them until the time is over."""

    @seed(number)
    @settings(
        max_examples=10, database=None, deadline=None, phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    @given(strategy)
    def once(drawn: Any) -> None:
        if time.monotonic() < end:
            check(drawn)

    once()


def repeat(strategy: st.SearchStrategy[Any], check: Callable[[Any], None], seconds: float) -> None:
    """Draw and check until the time is over."""
    end, rounds = time.monotonic() + seconds, 0
    while time.monotonic() < end:
        draw_some(rounds, strategy, check, end)
        rounds += 1


# -- what nothing allows -----------------------------------------------------------------------

WORDS = (
    "api", "apis", "v1", "apps", "namespaces", "default", "configmaps", "pods", "deployments",
    "a", "status", "scale", "finalize", "watch", "nosuch", "..", "%00", "%2f", "", "a" * 300, "ä",
    "openapi", "v2", "v3", "version", "demo.example.com", "widgets", "events",
)  # fmt: skip
QUERY = (
    "labelSelector", "fieldSelector", "limit", "continue", "resourceVersion", "dryRun", "force",
    "resourceVersionMatch", "fieldManager", "fieldValidation", "propagationPolicy", "pretty",
    "includeObject", "sendInitialEvents", "allowWatchBookmarks", "orphanDependents", "hash", "w",
)  # fmt: skip
VALUES = (
    "", "0", "1", "-1", "true", "All", "Strict", "Exact", "NotOlderThan", "a=b", "a in (b", "!a",
    "metadata.name=a", "status.phase!=x", "9" * 30, "1e9", "\x00", "ÿ", "x" * 3000, "Foreground",
    "Object", "None", "eyJ2IjoxfQ", "999999999999999999",
)  # fmt: skip
ACCEPTS = (
    "", "*/*", "application/json", "text/html", "application/yaml", "application/cbor",
    "application/json;as=Table;v=v1;g=meta.k8s.io", "application/json;as=Table;v=v9;g=x",
    "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1", ";;;,,,q=", "*/*;q=0",
    "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList",
    "application/com.github.proto-openapi.spec.v2@v1.0+protobuf",
)  # fmt: skip
MEDIA = (
    "", "application/json", "application/yaml", "application/cbor", "text/plain", ";", "a/b;c=d;",
    "application/merge-patch+json", "application/json-patch+json",
    "application/strategic-merge-patch+json", "application/apply-patch+yaml",
    "application/vnd.kubernetes.protobuf",
)  # fmt: skip
PATCHES = MEDIA[7:11]
RAW = (
    b"", b"{}", b"[]", b"null", b"1", b'"', b"{" * 5000, b"[" * 100_000, b'{"a":1,"a":2}', b"\xff",
    b'{"metadata":null}', b'{"metadata":{"name":null}}', b'{"kind":1,"apiVersion":[]}',
    b"a: &a [*a]",
    b"k8s\x00", b"NaN", b'{"metadata":{"name":"a","labels":{"a":1e400}}}', b'"\\ud800"',
)  # fmt: skip
METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS", "TRACE", "BREW")

scalars = st.one_of(
    st.none(), st.booleans(), st.integers(-(2**70), 2**70), st.floats(allow_nan=False),
    st.text(max_size=20), st.sampled_from(VALUES),
)  # fmt: skip
names = st.sampled_from(
    ["name", "namespace", "labels", "finalizers", "ownerReferences", "managedFields", "uid", "spec",
     "resourceVersion", "generation", "creationTimestamp", "deletionTimestamp", "data", "status",
     "metadata", "$patch", "$retainKeys", "$setElementOrder/ports", "$deleteFromPrimitiveList/tags",
     "annotations", "generateName", "selfLink", "fieldsV1", "ports", "tags", "conditions", "a.b/c"]
)  # fmt: skip
values = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(names | st.text(max_size=8), inner, max_size=5)
    ),
    max_leaves=12,
)
pointers = st.lists(names | st.sampled_from(["0", "-", "~1", "~", ""]), max_size=4).map(
    lambda parts: "".join(f"/{part}" for part in parts)
)
json_patches = st.lists(
    st.fixed_dictionaries(
        {"op": st.sampled_from(["add", "remove", "replace", "move", "copy", "test", "x"])},
        optional={"path": pointers, "from": pointers, "value": values},
    ),
    max_size=4,
)


@st.composite
def raw_requests(draw: st.DrawFn) -> tuple[str, str, dict[str, str], bytes]:
    """Draw a request of pieces that do not belong together."""
    parts = draw(st.lists(st.sampled_from(WORDS), max_size=8))
    known = draw(st.sampled_from(list(SEEDS)))
    path = draw(st.sampled_from(["/" + "/".join(parts), known, f"{known}/a", f"{known}/a/status"]))
    query = draw(st.dictionaries(st.sampled_from(QUERY), st.sampled_from(VALUES), max_size=4))
    headers = {
        "Accept": draw(st.sampled_from(ACCEPTS)), "Content-Type": draw(st.sampled_from(MEDIA)),
        "User-Agent": draw(st.sampled_from(["kubectl/v1", "", "x" * 500])),
    }  # fmt: skip
    body = draw(st.sampled_from(RAW) | values.map(dumped) | st.binary(max_size=60))
    target = quote(path, safe="/%.") + (f"?{urlencode(query)}" if query else "")
    return draw(st.sampled_from(METHODS)), target, headers, body


@st.composite
def altered_requests(draw: st.DrawFn) -> tuple[str, str, dict[str, str], bytes]:
    """Draw a request that is right but for a few places."""
    path, whole = draw(st.sampled_from(list(SEEDS.items())))
    body = json.loads(json.dumps(whole))
    for _ in range(draw(st.integers(0, 3))):
        alter(draw, body)
    query = draw(st.dictionaries(st.sampled_from(QUERY), st.sampled_from(VALUES), max_size=2))
    name = whole["metadata"].get("name", "a")
    method = draw(st.sampled_from(["POST", "PUT", "PATCH", "DELETE", "GET"]))
    media, data = "application/json", dumped(body)
    if method == "PATCH":
        media = draw(st.sampled_from(PATCHES))
        query.setdefault("fieldManager", "fuzz")
        if media == "application/json-patch+json":
            data = dumped(draw(json_patches))
    elif draw(st.integers(0, 9)) == 0 and "demo" not in path:
        media, data = "application/vnd.kubernetes.protobuf", flipped(draw, encode(whole))
    if method != "POST":
        path += f"/{name}" + draw(st.sampled_from(["", "", "", "/status", "/scale"]))
    headers = {"Content-Type": media, "Accept": "application/json"}
    return method, path + (f"?{urlencode(query)}" if query else ""), headers, data


def alter(draw: st.DrawFn, body: Any) -> None:
    """Put something else in some place."""
    while True:
        keys = list(body) if isinstance(body, dict) else range(len(body))
        key = draw(st.sampled_from(list(keys)))
        inner = body[key]
        if isinstance(inner, dict | list) and inner and draw(st.booleans()):
            body = inner
            continue
        if isinstance(body, dict) and draw(st.booleans()):
            body[draw(names)] = draw(values)
        else:
            body[key] = draw(values)
        return


def flipped(draw: st.DrawFn, data: bytes) -> bytes:
    rng = random.Random(draw(st.integers(0, 2**32)))
    found = bytearray(data)
    for _ in range(rng.randrange(4)):
        found[rng.randrange(len(found))] = rng.randrange(256)
    return bytes(found)


def dumped(value: Any) -> bytes:
    return json.dumps(value).encode()


def test_nothing_that_is_sent_breaks_a_peer(prey: Prey) -> None:
    repeat(raw_requests() | altered_requests(), lambda r: prey.try_one(*r), SHORT_S)

    assert 0 < prey.refused < prey.asked, "some requests are right, most are not"


@pytest.mark.deep
def test_nothing_that_is_sent_breaks_a_peer_for_long(prey: Prey) -> None:
    repeat(raw_requests() | altered_requests(), lambda r: prey.try_one(*r), LONG_S)


# -- what the document allows ------------------------------------------------------------------

GROUPS = (
    "api/v1", "apis/apps/v1", "apis/coordination.k8s.io/v1", "apis/demo.example.com/v1",
    "apis/rbac.authorization.k8s.io/v1", "apis/authorization.k8s.io/v1", "apis/events.k8s.io/v1",
    "apis/batch/v1", "apis/autoscaling/v2", "apis/apiextensions.k8s.io/v1",
)  # fmt: skip


def operations(prey: Prey, groups: tuple[str, ...]) -> list[Any]:
    """Return the operations of the served documents, those of a group together."""
    found = []
    for group in groups:
        document = json.loads(ask_document(prey, f"/openapi/v3/{group}"))
        schema = schemathesis.openapi.from_dict(document)
        found += [result.ok() for result in schema.get_all_operations()]
    return found


def ask_document(prey: Prey, path: str) -> bytes:
    answer = prey.ask("GET", path, {"Accept": "application/json"}, None)
    assert answer.status == 200, answer
    body = answer.body
    if not body.endswith(b"}}}"):  # Longer than one answer is read here.
        with urlopen(prey.url + path, timeout=60) as whole:
            body = whole.read()
    return bytes(body)


def cases(operation: Any, mode: GenerationMode) -> st.SearchStrategy[Any]:
    """Draw requests for an operation, half of them where there are objects."""
    pinned = {
        p.name: {"namespace": "default"}.get(p.name, "a") for p in operation.path_parameters
    }  # fmt: skip
    free = operation.as_strategy(generation_mode=mode)
    return free | operation.as_strategy(generation_mode=mode, path_parameters=pinned)


def try_case(prey: Prey, case: Any) -> None:
    if isinstance(case.query, dict) and str(case.query.get("watch")).lower() in ("true", "1"):
        case.query["timeoutSeconds"] = 1
    given = case.as_transport_kwargs(base_url="http://peer")
    sent = requests.Request(**{k: v for k, v in given.items() if k in KEPT}).prepare()
    target = str(sent.url).removeprefix("http://peer")
    body = sent.body.encode() if isinstance(sent.body, str) else sent.body
    headers = {k: str(v) for k, v in sent.headers.items() if k != "Content-Length"}
    assert body is None or isinstance(body, bytes)
    prey.try_one(str(sent.method), target, headers, body)


KEPT = ("method", "url", "headers", "params", "data", "json")


def through(prey: Prey, groups: tuple[str, ...], seconds: float) -> None:
    """Go through the operations until the time is over."""
    every = operations(prey, groups)
    random.Random(7).shuffle(every)
    end, turns = time.monotonic() + seconds, 0
    while time.monotonic() < end:
        operation = every[turns % len(every)]
        mode = (GenerationMode.POSITIVE, GenerationMode.NEGATIVE)[turns // len(every) % 2]
        with suppress(Unsatisfiable):  # There may be no wrong request of an operation.
            draw_some(turns, cases(operation, mode), partial(try_case, prey), end)
        turns += 1


def test_what_the_document_allows_is_answered_in_order(prey: Prey) -> None:
    through(prey, ("apis/demo.example.com/v1", "apis/coordination.k8s.io/v1"), SHORT_S)

    assert prey.asked > 0


@pytest.mark.deep
def test_what_the_document_allows_is_answered_in_order_for_long(prey: Prey) -> None:
    through(prey, GROUPS, LONG_S)
