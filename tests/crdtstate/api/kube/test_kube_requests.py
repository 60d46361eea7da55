"""Paths, bodies, options and Accept headers: what a request says, before anything is looked up."""

import pytest

from crdtstate.api.kube.bodies import decode_body, decode_json, decode_yaml
from crdtstate.api.kube.negotiation import choose_form
from crdtstate.api.kube.options import parse_delete, parse_list, parse_write
from crdtstate.api.kube.routes import is_kube_path, parse_route
from crdtstate.kube.statuses import StatusError


def refusal(reason: str) -> "pytest.RaisesExc[StatusError]":
    return pytest.raises(StatusError, check=lambda error: error.reason == reason)


# -- paths -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/api/v1/configmaps", ("", "v1", "configmaps", "", "", "")),
        ("/api/v1/namespaces", ("", "v1", "namespaces", "", "", "")),
        ("/api/v1/namespaces/n", ("", "v1", "namespaces", "", "n", "")),
        ("/api/v1/namespaces/n/finalize", ("", "v1", "namespaces", "", "n", "finalize")),
        ("/api/v1/namespaces/n/pods", ("", "v1", "pods", "n", "", "")),
        ("/api/v1/namespaces/n/pods/p/", ("", "v1", "pods", "n", "p", "")),
        ("/apis/apps/v1/namespaces/n/deployments/d/scale",
         ("apps", "v1", "deployments", "n", "d", "scale")),
        ("/apis/g.io/v1/things/t/status", ("g.io", "v1", "things", "", "t", "status")),
    ],
)  # fmt: skip
def test_a_path_names_a_resource(path: str, expected: tuple[str, ...]) -> None:
    route = parse_route(path.encode())

    found = (route.group, route.version, route.plural, route.namespace, route.name)
    assert (*found, route.subresource) == expected
    assert not route.document


@pytest.mark.parametrize("path", ["/version/", "/api/", "/apis", "/apis/apps/v1/", "/openapi/v3"])
def test_a_trailing_slash_changes_nothing(path: str) -> None:
    assert parse_route(path.encode()).document == tuple(path.strip("/").split("/"))


@pytest.mark.parametrize("path", ["/api/v1//pods", "/apis/g/v/a/b/c/d/e/f"])
def test_a_path_of_another_shape_is_not_found(path: str) -> None:
    with refusal("NotFound"):
        parse_route(path.encode())


@pytest.mark.parametrize(
    "path",
    [
        "pods/p/exec", "pods/p/attach", "pods/p/portforward", "pods/p/proxy/a/b",
        "services/s/proxy", "serviceaccounts/a/token",
    ],
)  # fmt: skip
def test_what_upstream_has_and_we_do_not_is_said(path: str) -> None:
    with pytest.raises(StatusError, match="is not served: ") as refused:
        parse_route(f"/api/v1/namespaces/n/{path}".encode())
    assert (refused.value.status, refused.value.reason) == (405, "MethodNotAllowed")


def test_paths_of_the_native_api_stay_its_own() -> None:
    assert not any(map(is_kube_path, (b"/kv/api", b"/apiary", b"/keys", b"/versions", b"/")))
    assert all(map(is_kube_path, (b"/api", b"/apis/", b"/version", b"/openapi/v2")))


# -- bodies ------------------------------------------------------------------------------------


def test_duplicate_keys_are_named_with_their_paths() -> None:
    data = b'{"spec":{"a":1,"a":2,"list":[{"b":1},{"b":1,"b":2}]},"kind":"X","kind":"Y"}'

    body = decode_json(data)

    assert body.value["spec"]["a"] == 2
    assert set(body.duplicates) == {"spec.a", "spec.list[1].b", "kind"}


def test_a_body_without_content_type_is_json() -> None:
    assert decode_body("", b'{"a":1}').value == {"a": 1}
    assert decode_body("application/json; charset=utf-8", b"[1]").value == [1]


def test_yaml_is_read_as_json_would_be() -> None:
    text = b"a: y\nb: 2024-01-01T00:00:00Z\nc: 1\nd: true\ne: ~\nf: [x, 1.5]\ng: 012\nh: {i: j}\n"

    value = decode_yaml(text).value

    assert value == {
        "a": "y", "b": "2024-01-01T00:00:00Z", "c": 1, "d": True, "e": None, "f": ["x", 1.5],
        "g": "012", "h": {"i": "j"},
    }  # fmt: skip


def test_duplicate_keys_in_yaml_are_named() -> None:
    assert decode_yaml(b"a: 1\nb:\n  c: 1\n  c: 2\n").duplicates == ("b.c",)


@pytest.mark.parametrize(
    "text", [b"a: &x [1]\nb: *x\n", b"{", b"a: [", b"a: \xff", b"[" * 100_000, b"? [a]\n: b\n"]
)
def test_what_cannot_be_read_is_a_bad_request(text: bytes) -> None:
    with refusal("BadRequest"):
        decode_yaml(text)


@pytest.mark.parametrize("text", [b"", b"NaN", b'{"a":Infinity}', b"\xff", b"[" * 100_000])
def test_what_is_not_json_is_a_bad_request(text: bytes) -> None:
    with refusal("BadRequest"):
        decode_json(text)


def test_cbor_and_forms_are_refused_as_media_types() -> None:
    for media in ("application/cbor", "application/x-www-form-urlencoded"):
        with refusal("UnsupportedMediaType"):
            decode_body(media, b"{}")


# -- what is accepted --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("accept", "view"),
    [
        ("", "Object"),
        ("application/json", "Object"),
        ("*/*", "Object"),
        ("application/vnd.kubernetes.protobuf,application/json", "Object"),
        ("application/json;as=Table;v=v1;g=meta.k8s.io,application/json", "Table"),
        ("application/json;as=Table;v=v9;g=meta.k8s.io,application/json", "Object"),
        ("application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1",
         "PartialObjectMetadata"),
        ("application/json;q=0.5,application/json;as=Table;v=v1;g=meta.k8s.io;q=0.9", "Table"),
    ],
)  # fmt: skip
def test_the_first_form_that_is_served_is_chosen(accept: str, view: str) -> None:
    assert choose_form(accept).view == view


def test_nothing_that_is_served_is_not_acceptable() -> None:
    for accept in ("application/cbor", "text/html;q=0.9", "application/json;q=0"):
        with refusal("NotAcceptable"):
            choose_form(accept)
    with refusal("NotAcceptable"):
        choose_form("application/json;as=Table;v=v1;g=meta.k8s.io", has_table=False)


# -- options -----------------------------------------------------------------------------------


def test_the_manager_is_the_user_agent_when_none_is_given() -> None:
    assert parse_write({}, "kubectl/v1.37 (linux)").manager == "kubectl"
    assert parse_write({}, "").manager == "unknown"
    assert parse_write({"fieldManager": "bob"}, "kubectl/v1").manager == "bob"


def test_an_apply_names_its_manager() -> None:
    with refusal("Invalid"):
        parse_write({}, "kubectl/v1", apply=True)


@pytest.mark.parametrize(
    "query",
    [
        {"fieldManager": "x" * 129}, {"fieldManager": "a\nb"}, {"dryRun": "Some"},
        {"fieldValidation": "Loose"}, {"force": "true"},
    ],
)  # fmt: skip
def test_a_wrong_option_of_a_write_is_refused(query: dict[str, str]) -> None:
    with refusal("Invalid"):
        parse_write(query, "")


def test_what_is_not_known_is_ignored() -> None:
    assert parse_list({"shardSelector": "x", "pretty": "true"}) == parse_list({})


@pytest.mark.parametrize(
    "query",
    [
        {"resourceVersionMatch": "Exact"},
        {"resourceVersionMatch": "Never", "resourceVersion": "1"},
        {"resourceVersionMatch": "Exact", "resourceVersion": "0"},
        {"resourceVersionMatch": "NotOlderThan", "resourceVersion": "1", "watch": "1"},
        {"sendInitialEvents": "true", "watch": "true"},
        {"sendInitialEvents": "true", "resourceVersionMatch": "NotOlderThan"},
    ],
)
def test_versions_of_lists_are_validated_as_upstream_does(query: dict[str, str]) -> None:
    with refusal("Invalid"):
        parse_list(query)


@pytest.mark.parametrize("query", [{"limit": "-1"}, {"timeoutSeconds": "x"}, {"watch": "maybe"}])
def test_a_number_or_flag_that_is_none_is_refused(query: dict[str, str]) -> None:
    with refusal("BadRequest"):
        parse_list(query)


def test_delete_options_of_the_body_count_more_than_those_of_the_query() -> None:
    body = {"propagationPolicy": "Orphan", "preconditions": {"uid": "u"}, "dryRun": ["All"]}

    options = parse_delete({"propagationPolicy": "Foreground"}, body)

    assert (options.propagation, options.uid, options.version, options.dry_run) == (
        "Orphan", "u", None, True,
    )  # fmt: skip
    assert parse_delete({"propagationPolicy": "Foreground"}, {}).propagation == "Foreground"
    assert parse_delete({}, {"orphanDependents": True}).propagation == "Orphan"


@pytest.mark.parametrize(
    "body", [{"kind": "Pod"}, {"preconditions": 3}, {"dryRun": "All"}],
)  # fmt: skip
def test_what_is_no_delete_options_is_refused(body: dict[str, object]) -> None:
    with refusal("BadRequest"):
        parse_delete({}, body)
