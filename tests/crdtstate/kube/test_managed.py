"""Laws of server-side apply, and of managedFields around it."""

import json
from copy import deepcopy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crdtstate.kube.entries import UPDATERS_MAX
from crdtstate.kube.fieldset import FieldSet
from crdtstate.kube.managed import LAST_APPLIED, Writer, apply_config, update_managed
from crdtstate.kube.statuses import StatusError, status_body
from crdtstate.kube.typed import same, to_tree
from tests.crdtstate.kube.bodies import bodies, value_at
from tests.crdtstate.kube.kinds_for_tests import kind, sample

SAMPLE = sample()
Body = dict[str, Any]
Managed = list[dict[str, Any]]


def at(minute: int) -> str:
    return f"2026-01-01T00:{minute:02}:00Z"


def owned(managed: Managed, manager: str, operation: str = "Apply") -> set[tuple[str, ...]]:
    return {
        path
        for entry in managed
        if (entry["manager"], entry["operation"]) == (manager, operation)
        for path in FieldSet.from_v1(entry["fieldsV1"]).members()
    }


WRITES = st.lists(st.tuples(st.sampled_from(["m", "n", "u!"]), bodies(), st.booleans()), max_size=3)


def grown(writes: list[tuple[str, Body, bool]]) -> tuple[Body, Managed]:
    """Return an object as applies and updates left it."""
    body: Body = {"metadata": {"name": "a"}}
    managed = update_managed(SAMPLE, None, body, [], Writer("maker", "Update"), at(0))
    for minute, (who, config, force) in enumerate(writes, 1):
        if who == "u!":
            new = {**config, "metadata": body["metadata"]}
            managed = update_managed(SAMPLE, body, new, managed, Writer(who, "Update"), at(minute))
            body = new
            continue
        try:
            body, managed = apply_config(
                SAMPLE, body, config, managed, Writer(who, "Apply"), at(minute), force=force
            )
        except StatusError:
            continue  # What conflicts may say has tests of its own.
    return body, managed


@given(WRITES, bodies())
def test_an_apply_gives_what_it_says_and_leaves_what_others_own(
    writes: list[tuple[str, Body, bool]], config: Body
) -> None:
    """SSA-1, SSA-2, SSA-4."""
    body, managed = grown(writes)
    before = deepcopy((body, managed, config))
    writer = Writer("m", "Apply")
    try:
        after, entries = apply_config(SAMPLE, body, config, managed, writer, at(30))
    except StatusError as refused:
        for cause in refused.causes:
            assert cause["reason"] == "FieldManagerConflict"
        after, entries = apply_config(SAMPLE, body, config, managed, writer, at(30), force=True)
        assert owned(entries, "m") == set(FieldSet(to_tree(SAMPLE.schema, config)).members())
        return
    finally:
        assert (body, managed, config) == before
    assert owned(entries, "m") == set(FieldSet(to_tree(SAMPLE.schema, config)).members()), "SSA-2"
    stated = owned(managed, "m")
    for who, operation in (("n", "Apply"), ("u!", "Update"), ("maker", "Update")):
        had, has = owned(managed, who, operation), owned(entries, who, operation)
        assert has <= had
        for path in has:
            value = value_at(SAMPLE.schema, after, path)
            if not isinstance(value, dict | list):
                assert same(value_at(SAMPLE.schema, body, path), value), "SSA-1"
        for path in had - has:
            above = {path[:i] for i in range(1, len(path))}
            assert above & stated - owned(entries, "m"), "SSA-4"


@given(WRITES, bodies())
def test_an_apply_repeated_changes_nothing(
    writes: list[tuple[str, Body, bool]], config: Body
) -> None:
    """SSA-3."""
    body, managed = grown(writes)
    writer = Writer("m", "Apply")
    once = apply_config(SAMPLE, body, config, managed, writer, at(30), force=True)
    twice = apply_config(SAMPLE, *(once[0], config, once[1]), writer, at(31))
    if once[1]:  # Where nothing is tracked, the second is a first apply.
        assert twice == once


@given(bodies(), bodies())
def test_an_update_owns_exactly_what_it_changed(old: Body, new: Body) -> None:
    managed = update_managed(SAMPLE, None, old, [], Writer("a", "Update"), at(0))
    entries = update_managed(SAMPLE, old, new, managed, Writer("b", "Update"), at(1))
    mine, theirs = owned(entries, "b", "Update"), owned(entries, "a", "Update")
    assert not mine & theirs
    for path in theirs:
        value = value_at(SAMPLE.schema, old, path)
        if not isinstance(value, dict | list):
            assert same(value, value_at(SAMPLE.schema, new, path))
    if old == new:
        assert entries == managed


def test_a_conflict_reads_as_kubernetes_words_it() -> None:
    body, managed = apply_config(SAMPLE, None, {"num": 1}, [], Writer("m", "Apply"), at(0))
    scaled = {**body, "str": "a", "num": 2}
    managed = update_managed(SAMPLE, body, scaled, managed, Writer("u", "Update"), at(1))
    with pytest.raises(StatusError) as one:
        apply_config(SAMPLE, scaled, {"num": 3}, managed, Writer("n", "Apply"), at(2))
    status = status_body(one.value)
    assert (status["reason"], status["code"]) == ("Conflict", 409)
    assert status["message"] == (
        'Apply failed with 1 conflict: conflict with "u" using test.dev/v1: .num'
    )
    assert status["details"]["causes"] == [
        {
            "reason": "FieldManagerConflict",
            "message": 'conflict with "u" using test.dev/v1',
            "field": ".num",
        }
    ]
    with pytest.raises(StatusError) as two:
        apply_config(SAMPLE, scaled, {"num": 3, "str": "b"}, managed, Writer("n", "Apply"), at(2))
    assert two.value.message == (
        'Apply failed with 2 conflicts: conflicts with "u" using test.dev/v1:\n- .num\n- .str'
    )


def test_times_move_with_the_set_or_the_values() -> None:
    writer = Writer("m", "Apply")
    body, managed = apply_config(SAMPLE, None, {"num": 1}, [], writer, at(0))
    body, managed = apply_config(SAMPLE, body, {"num": 1}, managed, writer, at(1))
    assert managed[0]["time"] == at(0)
    body, managed = apply_config(SAMPLE, body, {"num": 2}, managed, writer, at(2))
    assert managed[0]["time"] == at(2)
    again = update_managed(SAMPLE, body, {**body}, managed, Writer("u", "Update"), at(3))
    assert again == managed


def test_entries_are_ordered_by_operation_time_and_manager() -> None:
    body, managed = grown([("n", {"num": 1}, False), ("u!", {"num": 1, "str": "a"}, False)])
    for minute, who in ((9, "z"), (8, "b"), (8, "a")):
        body, managed = apply_config(
            SAMPLE, body, {"map": {who: who}}, managed, Writer(who, "Apply"), at(minute)
        )
    assert [entry["manager"] for entry in managed] == ["n", "a", "b", "z", "u!"]


def test_the_status_endpoint_owns_status_and_the_main_endpoint_the_rest() -> None:
    controller = Writer("c", "Apply", "status")
    config = {"str": "ignored", "metadata": {"labels": {"x": "y"}}, "status": {"phase": "Up"}}
    live: Body = {"str": "a"}
    managed = update_managed(SAMPLE, None, live, [], Writer("u", "Update"), at(0))
    body, managed = apply_config(SAMPLE, live, config, managed, controller, at(1))
    assert body == {"str": "a", "status": {"phase": "Up"}}
    assert owned(managed, "c") == {("f:status", "f:phase")}
    assert [e.get("subresource") for e in managed] == ["status", None]
    body, managed = apply_config(
        SAMPLE, body, config, managed, Writer("c", "Apply"), at(2), force=True
    )
    assert body["status"] == {"phase": "Up"}
    assert owned(managed, "c") == {
        ("f:status", "f:phase"), ("f:str",), ("f:metadata", "f:labels", "f:x"),
    }  # fmt: skip
    assert len(managed) == 2  # The update's one field was taken over.
    updated = {**body, "status": {"phase": "Down"}}
    managed = update_managed(SAMPLE, body, updated, managed, Writer("k", "Update", "status"), at(3))
    assert owned(managed, "k", "Update") == {("f:status", "f:phase")}
    with pytest.raises(StatusError, match=r'"k" with subresource "status" using test\.dev/v1'):
        apply_config(SAMPLE, updated, config, managed, controller, at(4))


def test_scale_is_an_endpoint_with_entries_of_its_own() -> None:
    deployment = kind("Deployment")
    live: Body = {"spec": {"replicas": 1}}
    managed = update_managed(deployment, None, live, [], Writer("u", "Update"), at(0))
    scaled: Body = {"spec": {"replicas": 5}}
    managed = update_managed(
        deployment, live, scaled, managed, Writer("u", "Update", "scale"), at(1)
    )
    assert [(e.get("subresource"), e["fieldsV1"]) for e in managed] == [
        (None, {"f:spec": {}}),
        ("scale", {"f:spec": {"f:replicas": {}}}),
    ]


def test_a_manager_has_one_configuration_in_all_versions() -> None:
    body, managed = apply_config(
        sample("v1"), None, {"str": "a", "num": 1}, [], Writer("m", "Apply"), at(0)
    )
    body, managed = apply_config(
        sample("v2"), body, {"num": 1}, managed, Writer("m", "Apply"), at(1)
    )
    assert body == {"num": 1}
    assert [entry["apiVersion"] for entry in managed] == ["test.dev/v2"]
    updates = update_managed(sample("v1"), body, {"num": 2}, managed, Writer("u", "Update"), at(2))
    updates = update_managed(
        sample("v2"), {"num": 2}, {"num": 2, "str": "b"}, updates, Writer("u", "Update"), at(3)
    )
    assert [entry["apiVersion"] for entry in updates] == ["test.dev/v1", "test.dev/v2"]


def test_the_oldest_updates_are_folded_into_one() -> None:
    body: Body = {}
    managed: Managed = update_managed(SAMPLE, None, {}, [], Writer("u0", "Update"), at(0))
    body, managed = apply_config(SAMPLE, None, {"str": "a"}, [], Writer("m", "Apply"), at(0))
    for i in range(UPDATERS_MAX + 3):
        new = {**body, "map": {**body.get("map", {}), f"k{i}": "x"}}
        managed = update_managed(SAMPLE, body, new, managed, Writer(f"u{i}", "Update"), at(i))
        body = new
    updates = [entry["manager"] for entry in managed if entry["operation"] == "Update"]
    assert len(updates) == UPDATERS_MAX
    assert updates[0] == "ancient-changes"
    assert owned(managed, "m") == {("f:str",)}
    everything = {path for who in updates for path in owned(managed, who, "Update")}
    assert everything == {("f:map",), *(("f:map", f"f:k{i}") for i in range(UPDATERS_MAX + 3))}


def test_the_first_apply_to_an_untracked_object_finds_an_owner_for_what_is_there() -> None:
    body, managed = apply_config(
        SAMPLE, {"str": "a", "num": 1}, {"num": 1}, [], Writer("m", "Apply"), at(0)
    )
    assert owned(managed, "before-first-apply", "Update") == {("f:str",), ("f:num",)}
    with pytest.raises(StatusError, match="before-first-apply"):
        apply_config(SAMPLE, body, {"str": "b"}, [], Writer("m", "Apply"), at(0))


def test_clients_may_rewrite_managed_fields_and_reset_them() -> None:
    body, managed = apply_config(SAMPLE, None, {"str": "a"}, [], Writer("m", "Apply"), at(0))
    live: Body = {**body, "metadata": {"managedFields": managed}}
    renamed = [{**managed[0], "manager": "kubectl"}]
    given_: Body = {**body, "metadata": {"managedFields": renamed}}
    assert update_managed(SAMPLE, live, given_, managed, Writer("u", "Update"), at(1)) == renamed
    for reset in ([], [{}]):
        cleared: Body = {**body, "num": 3, "metadata": {"managedFields": reset}}
        assert update_managed(SAMPLE, live, cleared, managed, Writer("u", "Update"), at(1)) == []
    # Switched off: updates are not tracked, until somebody applies.
    assert update_managed(SAMPLE, {"num": 3}, {"num": 4}, [], Writer("u", "Update"), at(2)) == []


@pytest.mark.parametrize(
    "broken",
    [
        [{"manager": "x", "operation": "Sing", "fieldsV1": {}}],
        [{"manager": "x", "operation": "Apply", "fieldsV1": {"bad": {}}}],
        [5],
        None,
    ],
)
def test_managed_fields_that_cannot_be_read_are_as_if_not_given(broken: Any) -> None:
    body, managed = apply_config(SAMPLE, None, {"str": "a"}, [], Writer("m", "Apply"), at(0))
    given_: Body = {**body, "metadata": {"managedFields": broken}}
    assert update_managed(SAMPLE, body, given_, managed, Writer("u", "Update"), at(1)) == managed


def test_a_configuration_may_not_bring_managed_fields() -> None:
    config = {"metadata": {"managedFields": [{"manager": "x"}]}}
    with pytest.raises(StatusError, match="must be nil") as refused:
        apply_config(SAMPLE, None, config, [], Writer("m", "Apply"), at(0))
    assert refused.value.reason == "BadRequest"


def client_side_applied() -> tuple[Body, Managed]:
    """An object as `kubectl apply` leaves it, scaled by somebody else since."""
    config = {"str": "a", "map": {"x": "1", "y": "2"}}
    body = {**config, "metadata": {"annotations": {LAST_APPLIED: json.dumps(config)}}}
    writer = Writer("kubectl-client-side-apply", "Update")
    managed = update_managed(SAMPLE, None, body, [], writer, at(0))
    scaled = {**body, "num": 5}
    return scaled, update_managed(SAMPLE, body, scaled, managed, Writer("hpa", "Update"), at(1))


def test_kubectl_takes_over_what_it_had_applied_client_side() -> None:
    body, managed = client_side_applied()
    config: Body = {"str": "b", "map": {"x": "1"}}
    after, entries = apply_config(SAMPLE, body, config, managed, Writer("kubectl", "Apply"), at(2))
    assert after["str"] == "b"
    assert owned(entries, "kubectl") == {("f:str",), ("f:map", "f:x")}
    assert json.loads(after["metadata"]["annotations"][LAST_APPLIED]) == {**config, "metadata": {}}


def test_and_only_kubectl_and_only_what_it_had_applied() -> None:
    body, managed = client_side_applied()
    with pytest.raises(StatusError, match=r"\.str"):
        apply_config(SAMPLE, body, {"str": "b"}, managed, Writer("argo", "Apply"), at(2))
    with pytest.raises(StatusError) as refused:
        apply_config(
            SAMPLE, body, {"str": "b", "num": 6}, managed, Writer("kubectl", "Apply"), at(2)
        )
    assert [cause["field"] for cause in refused.value.causes] == [".num"]


def test_the_annotation_goes_with_whoever_applied_it_and_when_it_grows_too_large() -> None:
    writer = Writer("kubectl", "Apply")
    noted: Body = {"str": "a", "metadata": {"annotations": {LAST_APPLIED: "{}"}}}
    body, managed = apply_config(SAMPLE, None, noted, [], writer, at(0))
    assert json.loads(body["metadata"]["annotations"][LAST_APPLIED])["str"] == "a"
    after, _ = apply_config(SAMPLE, body, {"str": "a"}, managed, writer, at(1))
    assert "annotations" not in after.get("metadata", {})
    live, managed = client_side_applied()
    large = {"str": "b" * 300_000}
    after, _ = apply_config(SAMPLE, live, large, managed, writer, at(2))
    assert after["metadata"]["annotations"] == {}


@pytest.mark.parametrize("text", ["", "{", "[]", '"x"', "{" * 5000])
def test_an_annotation_that_is_no_configuration_grants_nothing(text: str) -> None:
    body, managed = client_side_applied()
    body["metadata"]["annotations"][LAST_APPLIED] = text
    with pytest.raises(StatusError, match=r"\.str"):
        apply_config(SAMPLE, body, {"str": "b"}, managed, Writer("kubectl", "Apply"), at(2))


def test_a_pod_template_is_owned_by_container_and_port() -> None:
    deployment = kind("Deployment")
    pod = {"containers": [{"name": "c", "image": "i", "ports": [{"containerPort": 80}]}]}
    config = {
        "spec": {"selector": {"matchLabels": {"a": "b"}}, "template": {"spec": pod}},
        "metadata": {"name": "d", "labels": {"a": "b"}},
    }
    _, managed = apply_config(deployment, None, config, [], Writer("m", "Apply"), at(0))
    assert managed == [
        {
            "manager": "m",
            "operation": "Apply",
            "apiVersion": "apps/v1",
            "time": at(0),
            "fieldsType": "FieldsV1",
            "fieldsV1": {
                "f:metadata": {"f:labels": {"f:a": {}}},
                "f:spec": {
                    "f:selector": {},
                    "f:template": {
                        "f:spec": {
                            "f:containers": {
                                'k:{"name":"c"}': {
                                    ".": {},
                                    "f:image": {},
                                    "f:name": {},
                                    "f:ports": {
                                        'k:{"containerPort":80,"protocol":"TCP"}': {
                                            ".": {},
                                            "f:containerPort": {},
                                        }
                                    },
                                }
                            }
                        }
                    },
                },
            },
        }
    ]
