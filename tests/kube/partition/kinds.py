"""Definitions, and kinds with a rule of their own, on both sides of a cut."""

import json
from base64 import b64encode
from collections.abc import AsyncIterator
from typing import Any

import yaml

from tests.kube.manifests import CRD
from tests.kube.partition.cases import CUT, HEAL, Case, Object, Pause, config_map, scenario

__all__: list[str] = []
DEFINITIONS = "customresourcedefinitions"


def definition(t: Case, plural: str = "widgets") -> Object:
    """Return the definition of Widget, under a plural."""
    body: Object = yaml.safe_load(CRD % {"group": t.group})
    names: Any = {"plural": plural, "singular": plural[:-1], "kind": "Widget"}
    body["spec"]["names"] = names
    body["metadata"]["name"] = f"{plural}.{t.group}"
    return body


def widget(t: Case, name: str, **spec: Any) -> Object:
    """Return a Widget."""
    metadata = {"name": name}
    return {
        "apiVersion": f"{t.group}/v1", "kind": "Widget", "metadata": metadata,
        "spec": {"size": 1, **spec},
    }  # fmt: skip


@scenario
async def a_default_never_beats_a_value_that_somebody_chose(t: Case) -> AsyncIterator[Pause]:
    await t.create("a", DEFINITIONS, definition(t))
    yield CUT
    await t.create("b", "widgets", widget(t, "w", color="green"))
    body = await t.create("a", "widgets", widget(t, "w"))  # Later.
    assert body["spec"]["color"] == "red"
    yield HEAL
    assert (await t.agreed("widgets", "w"))["spec"]["color"] == "green"
    assert not await t.conflicts("widgets", "w")


@scenario
async def a_definition_made_on_one_side_is_served_with_its_objects_on_all(
    t: Case,
) -> AsyncIterator[Pause]:
    yield CUT
    await t.create("a", DEFINITIONS, definition(t))
    await t.create("a", "widgets", widget(t, "w"))
    await t.refused("b", "GET", t.path("widgets", "w"), reason="NotFound")
    yield HEAL
    body = await t.agreed("widgets", "w")
    assert body["spec"] == {"size": 1, "color": "red", "replicas": 1}
    established = (await t.agreed(DEFINITIONS, f"widgets.{t.group}"))["status"]["conditions"]
    assert {c["type"]: c["status"] for c in established}["Established"] == "True"


@scenario
async def objects_created_while_the_definition_was_deleted_wait_for_it_to_be_back(
    t: Case,
) -> AsyncIterator[Pause]:
    await t.create("a", DEFINITIONS, definition(t))
    yield CUT
    await t.delete("a", DEFINITIONS, f"widgets.{t.group}")
    await t.refused("a", "GET", t.path("widgets"), reason="NotFound")
    await t.create("b", "widgets", widget(t, "w"))
    yield HEAL
    await t.gone(DEFINITIONS, f"widgets.{t.group}")
    for side in "abc":
        await t.refused(side, "GET", t.path("widgets", "w"), reason="NotFound")
    await t.create("c", DEFINITIONS, definition(t))
    assert [w["metadata"]["name"] for w in await t.all_agreed("widgets")] == ["w"]


@scenario
async def of_two_definitions_that_claim_one_kind_the_older_has_it(t: Case) -> AsyncIterator[Pause]:
    yield CUT
    made = [
        await t.create("a", DEFINITIONS, definition(t, "widgets")),
        await t.create("b", DEFINITIONS, definition(t, "gears")),
    ]
    for side, plural in (("a", "widgets"), ("b", "gears")):
        await t.create(side, plural, widget(t, "w"))
    yield HEAL
    older, newer = sorted(
        made, key=lambda d: (d["metadata"]["creationTimestamp"], d["metadata"]["name"])
    )
    for body, holds in ((older, "True"), (newer, "False")):
        shown = await t.agreed(DEFINITIONS, body["metadata"]["name"])
        conditions = {c["type"]: c["status"] for c in shown["status"]["conditions"]}
        assert conditions == {"NamesAccepted": holds, "Established": holds}
    await t.agreed(older["spec"]["names"]["plural"], "w")
    lost = newer["spec"]["names"]["plural"]
    await t.refused("c", "GET", t.path(lost, "w"), reason="NotFound")
    await t.delete("c", DEFINITIONS, older["metadata"]["name"])
    assert (await t.agreed(lost, "w"))["spec"]["size"] == 1  # It was stored all the time.


@scenario
async def a_lease_is_one_side_s_whole(t: Case) -> AsyncIterator[Pause]:
    await t.create("a", "leases", _lease("nobody"))
    yield CUT
    for side in "ab":
        body = await t.get(side, "leases", "leader")
        await t.put(side, "leases", {**body, **_lease(side, body["metadata"])})
    yield HEAL
    body = await t.agreed("leases", "leader")
    assert body["spec"]["holderIdentity"] == body["metadata"]["labels"]["holder"] == "b"
    assert body["spec"]["leaseTransitions"] == ord("b")


def _lease(holder: str, metadata: Object | None = None) -> Object:
    metadata = {**(metadata or {}), "name": "leader", "labels": {"holder": holder}}
    spec = {"holderIdentity": holder, "leaseTransitions": ord(holder[0])}
    return {"metadata": metadata, "spec": spec}


@scenario
async def an_event_is_one_side_s_whole(t: Case) -> AsyncIterator[Pause]:
    involved = {"kind": "ConfigMap", "namespace": t.namespace, "name": "web"}
    event = {"metadata": {"name": "web.1"}, "involvedObject": involved, "reason": "Seen"}
    await t.create("a", "events", {**event, "count": 1, "message": "first"})
    yield CUT
    for side, count in (("a", 9), ("b", 2)):
        await t.patch(side, "events", "web.1", {"count": count, "message": side})
    yield HEAL
    body = await t.agreed("events", "web.1")
    assert (body["count"], body["message"]) == (2, "b")


@scenario
async def a_helm_release_claimed_twice_is_one_of_the_two_whole_and_the_other_is_listed(
    t: Case,
) -> AsyncIterator[Pause]:
    yield CUT
    for side in "ab":
        await t.create(side, "secrets", _release(side))
    yield HEAL
    body = await t.agreed("secrets", "sh.helm.release.v1.web.v2")
    assert body["metadata"]["labels"]["by"] == "b"
    assert body["data"] == _release("b")["data"]
    conflicts = await t.conflicts("secrets", "sh.helm.release.v1.web.v2")
    assert all(by in json.dumps(conflicts) for by in ('"by": "a"', '"by": "b"'))


def _release(by: str) -> Object:
    labels = {"owner": "helm", "name": "web", "version": "2", "by": by}
    data = {"release": b64encode(f"chart of {by}".encode()).decode()}
    return {
        "metadata": {"name": "sh.helm.release.v1.web.v2", "labels": labels},
        "type": "helm.sh/release.v1", "data": data,
    }  # fmt: skip


@scenario
async def a_config_map_closed_on_one_side_is_closed_for_all_with_the_other_side_s_change(
    t: Case,
) -> AsyncIterator[Pause]:
    await t.create("a", "configmaps", config_map("web", k="1"))
    yield CUT
    await t.patch("b", "configmaps", "web", {"data": {"k": "b"}})
    await t.patch("a", "configmaps", "web", {"immutable": True})
    path = t.path("configmaps", "web")
    change = {"data": {"k": "a"}}
    media = "application/merge-patch+json"
    await t.refused("a", "PATCH", path, change, reason="Invalid", media=media)
    yield HEAL
    body = await t.agreed("configmaps", "web")
    assert (body["immutable"], body["data"]) == (True, {"k": "b"})
    for side in "abc":
        await t.refused(side, "PATCH", path, change, reason="Invalid", media=media)
