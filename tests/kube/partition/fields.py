"""Fields, lists and counts that both sides of a cut changed."""

from collections.abc import AsyncIterator
from typing import Any

from tests.kube.partition.cases import (
    CUT,
    HEAL,
    Case,
    Object,
    Pause,
    config_map,
    scenario,
    shown_value,
)
from tests.kube.partition.sides import STRATEGIC

__all__: list[str] = []


def deployment(*containers: Object, replicas: int = 1) -> Object:
    """Return a Deployment named web."""
    labels = {"app": "web"}
    pod = {"metadata": {"labels": labels}, "spec": {"containers": list(containers)}}
    spec = {"replicas": replicas, "selector": {"matchLabels": labels}, "template": pod}
    return {"metadata": {"name": "web"}, "spec": spec}


def containers(*items: Object) -> Object:
    """Return the strategic patch that changes containers."""
    return {"spec": {"template": {"spec": {"containers": list(items)}}}}


def containers_of(body: Object) -> list[Object]:
    """Return the containers of a Deployment."""
    return list(body["spec"]["template"]["spec"]["containers"])


@scenario
async def different_fields_both_stay(t: Case) -> AsyncIterator[Pause]:
    await t.create("a", "deployments", deployment({"name": "web", "image": "web:1"}))
    yield CUT
    await t.patch("a", "deployments", "web", {"spec": {"replicas": 5}})
    await t.patch(
        "b", "deployments", "web", containers({"name": "web", "image": "web:2"}), STRATEGIC
    )
    yield HEAL
    body = await t.agreed("deployments", "web")
    assert body["spec"]["replicas"] == 5
    assert [c["image"] for c in containers_of(body)] == ["web:2"]
    assert not await t.conflicts("deployments", "web")


@scenario
async def of_one_field_the_later_value_is_shown_and_the_other_is_listed(
    t: Case,
) -> AsyncIterator[Pause]:
    await t.create("a", "configmaps", config_map("web", k="1"))
    yield CUT
    await t.patch("b", "configmaps", "web", {"data": {"k": "b"}})
    await t.patch("a", "configmaps", "web", {"data": {"k": "a"}})
    yield HEAL
    assert (await t.agreed("configmaps", "web"))["data"] == {"k": "a"}
    conflict = (await t.conflicts("configmaps", "web"))[".data.k"]
    assert conflict["kind"] == "concurrent_values"
    assert shown_value(conflict) == "a"
    assert {v["peer"]: v["value"] for v in conflict["values"]} == {"a": "a", "b": "b"}

    await t.patch("c", "configmaps", "web", {"data": {"other": "c"}})
    assert not t.warning
    await t.patch("c", "configmaps", "web", {"data": {"k": "c"}})
    assert "written concurrently" in t.warning
    assert ".data.k" in t.warning
    assert not await t.conflicts("configmaps", "web")


@scenario
async def an_equal_value_on_both_sides_is_no_conflict_and_an_unchanged_one_no_write(
    t: Case,
) -> AsyncIterator[Pause]:
    """A site that applies an old manifest again does not beat a change on the other side."""
    await t.apply("a", "configmaps", config_map("web", same="0", kept="1"), "site")
    yield CUT
    await t.patch("b", "configmaps", "web", {"data": {"same": "2", "kept": "b"}})
    await t.patch("a", "configmaps", "web", {"data": {"same": "2"}})
    await t.apply("a", "configmaps", config_map("web", kept="1"), "site")
    yield HEAL
    assert (await t.agreed("configmaps", "web"))["data"] == {"same": "2", "kept": "b"}
    assert not await t.conflicts("configmaps", "web")


@scenario
async def labels_join_one_by_one(t: Case) -> AsyncIterator[Pause]:
    labels = {"kept": "1", "changed": "1", "dropped": "1"}
    await t.create("a", "configmaps", {"metadata": {"name": "web", "labels": labels}})
    yield CUT
    left = {"left": "a", "changed": None, "dropped": None}
    await t.patch("a", "configmaps", "web", {"metadata": {"labels": left}})
    right = {"right": "b", "changed": "2"}
    await t.patch("b", "configmaps", "web", {"metadata": {"labels": right}})
    yield HEAL
    body = await t.agreed("configmaps", "web")
    # A change wins over a removal that had not seen it.
    wanted = {"kept": "1", "left": "a", "right": "b", "changed": "2"}
    assert body["metadata"]["labels"] == wanted


@scenario
async def items_inserted_into_a_keyed_list_are_all_there_in_one_order(
    t: Case,
) -> AsyncIterator[Pause]:
    await t.create("a", "deployments", deployment({"name": "web", "image": "web:1"}))
    yield CUT
    for side in "ab":
        more = containers({"name": f"from-{side}", "image": "x"})
        await t.patch(side, "deployments", "web", more, STRATEGIC)
    yield HEAL
    body = await t.agreed("deployments", "web")  # The order is in the bytes.
    assert {c["name"] for c in containers_of(body)} == {"web", "from-a", "from-b"}
    assert not await t.conflicts("deployments", "web")


@scenario
async def elements_added_to_a_set_are_all_there_and_an_added_one_survives_a_removal(
    t: Case,
) -> AsyncIterator[Pause]:
    metadata: Any = {"name": "web", "finalizers": ["x.io/old"]}
    await t.create("a", "configmaps", {"metadata": metadata})
    yield CUT
    left = {"metadata": {"finalizers": ["x.io/left"]}}
    await t.patch("a", "configmaps", "web", left)
    right = {"metadata": {"finalizers": ["x.io/old", "x.io/right"]}}
    await t.patch("b", "configmaps", "web", right)
    yield HEAL
    body = await t.agreed("configmaps", "web")
    assert set(body["metadata"]["finalizers"]) == {"x.io/left", "x.io/right"}
    await t.patch("c", "configmaps", "web", {"metadata": {"finalizers": None}})


@scenario
async def an_item_removed_here_and_changed_there_is_shown_whole(t: Case) -> AsyncIterator[Pause]:
    debug = {"name": "debug", "image": "debug:1", "resources": {"limits": {"memory": "1Gi"}}}
    await t.create("a", "deployments", deployment({"name": "web", "image": "web:1"}, debug))
    yield CUT
    removal = containers({"name": "debug", "$patch": "delete"})
    body = await t.patch("a", "deployments", "web", removal, STRATEGIC)
    assert [c["name"] for c in containers_of(body)] == ["web"]
    more = {"name": "debug", "resources": {"limits": {"memory": "2Gi"}}}
    await t.patch("b", "deployments", "web", containers(more), STRATEGIC)
    yield HEAL
    body = await t.agreed("deployments", "web")
    shown = {c["name"]: c for c in containers_of(body)}
    assert shown["debug"]["image"] == "debug:1"
    assert shown["debug"]["resources"]["limits"] == {"memory": "2Gi"}
    (path,) = await t.conflicts("deployments", "web")
    assert path == '.spec.template.spec.containers[name="debug"]'


@scenario
async def an_atomic_list_is_one_side_s_whole_list(t: Case) -> AsyncIterator[Pause]:
    web = {"name": "web", "image": "web:1", "args": ["--base"]}
    await t.create("a", "deployments", deployment(web))
    yield CUT
    for side in "ab":
        args = ["--base", f"--{side}"]
        await t.patch(
            side, "deployments", "web", containers({"name": "web", "args": args}), STRATEGIC
        )
    yield HEAL
    body = await t.agreed("deployments", "web")
    assert containers_of(body)[0]["args"] == ["--base", "--b"]
    (conflict,) = (await t.conflicts("deployments", "web")).values()
    assert {str(v["value"]) for v in conflict["values"]} == {
        "['--base', '--a']", "['--base', '--b']",
    }  # fmt: skip


@scenario
async def replicas_are_a_wish_and_no_sum(t: Case) -> AsyncIterator[Pause]:
    await t.create("a", "deployments", deployment({"name": "web", "image": "x"}, replicas=2))
    yield CUT
    for side, replicas in (("a", 5), ("b", 3)):
        scale = await t.get(side, "deployments", "web/scale")
        scale["spec"]["replicas"] = replicas
        await t.put(side, "deployments", scale, "/scale")
    yield HEAL
    assert (await t.agreed("deployments", "web"))["spec"]["replicas"] == 3
    assert ".spec.replicas" in await t.conflicts("deployments", "web")


@scenario
async def generation_is_the_sum_of_both_sides_changes(t: Case) -> AsyncIterator[Pause]:
    body = await t.create("a", "deployments", deployment({"name": "web", "image": "x"}))
    assert body["metadata"]["generation"] == 1
    yield CUT
    for side, count in (("a", 1), ("b", 2)):
        for n in range(count):
            patch = {"spec": {"revisionHistoryLimit": 3 + n}}
            body = await t.patch(side, "deployments", "web", patch)
        assert body["metadata"]["generation"] == 1 + count
    yield HEAL
    assert (await t.agreed("deployments", "web"))["metadata"]["generation"] == 4
    body = await t.patch("c", "deployments", "web", {"metadata": {"labels": {"x": "y"}}})
    assert body["metadata"]["generation"] == 4


@scenario
async def status_and_spec_do_not_touch(t: Case) -> AsyncIterator[Pause]:
    await t.create("a", "deployments", deployment({"name": "web", "image": "x"}))
    yield CUT
    status = {"status": {"observedGeneration": 1, "replicas": 1}}
    body = await t.patch("a", "deployments", "web/status", status)
    assert body["metadata"]["generation"] == 1
    await t.patch("b", "deployments", "web", {"spec": {"replicas": 4}})
    yield HEAL
    body = await t.agreed("deployments", "web")
    assert body["spec"]["replicas"] == 4
    assert body["status"] == {"observedGeneration": 1, "replicas": 1}
    assert body["metadata"]["generation"] == 2
    assert not await t.conflicts("deployments", "web")


@scenario
async def a_condition_is_one_side_s_whole_and_other_types_stay(t: Case) -> AsyncIterator[Pause]:
    await t.create("a", "deployments", deployment({"name": "web", "image": "x"}))
    yield CUT
    for side, holds in (("a", "True"), ("b", "False")):
        both = {"type": "Available", "status": holds, "reason": f"By{side}", "message": side}
        own = {"type": f"Only{side}", "status": "True"}
        status = {"status": {"conditions": [both, own]}}
        await t.patch(side, "deployments", "web/status", status, STRATEGIC)
    yield HEAL
    body = await t.agreed("deployments", "web")
    shown = {c["type"]: c for c in body["status"]["conditions"]}
    assert set(shown) == {"Available", "Onlya", "Onlyb"}
    available = shown["Available"]
    assert [available[k] for k in ("status", "reason", "message")] == ["False", "Byb", "b"]
