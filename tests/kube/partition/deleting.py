"""Deletions on one side of a cut, and what the other side did meanwhile."""

from collections.abc import AsyncIterator

from tests.kube.partition.cases import CUT, HEAL, Case, Pause, config_map, scenario

__all__: list[str] = []


@scenario
async def a_patch_does_not_undo_a_deletion_and_is_listed(t: Case) -> AsyncIterator[Pause]:
    await t.create("a", "configmaps", config_map("web", k="1"))
    yield CUT
    await t.delete("a", "configmaps", "web")
    await t.patch("b", "configmaps", "web", {"data": {"k": "b"}})
    yield HEAL
    await t.gone("configmaps", "web")
    conflict = (await t.conflicts("configmaps", "web"))[".data.k"]
    assert conflict["kind"] == "update_after_delete"
    assert [(v["peer"], v["value"]) for v in conflict["values"]] == [("b", "b")]


@scenario
async def an_apply_does_not_undo_a_deletion_either_and_the_next_one_creates(
    t: Case,
) -> AsyncIterator[Pause]:
    before = (await t.apply("a", "configmaps", config_map("web", k="1"), "site")).body
    yield CUT
    await t.delete("a", "configmaps", "web")
    assert (await t.apply("b", "configmaps", config_map("web", k="2"), "site")).status == 200
    yield HEAL
    await t.gone("configmaps", "web")
    assert (await t.conflicts("configmaps", "web"))[".data.k"]["kind"] == "update_after_delete"
    after = await t.apply("c", "configmaps", config_map("web", k="2"), "site")
    assert after.status == 201
    assert after.body["metadata"]["uid"] != before["metadata"]["uid"]
    assert (await t.agreed("configmaps", "web"))["data"] == {"k": "2"}


@scenario
async def an_update_of_the_old_object_does_not_reach_the_one_created_after_it(
    t: Case,
) -> AsyncIterator[Pause]:
    before = await t.create("a", "configmaps", config_map("web", k="1"))
    yield CUT
    await t.delete("a", "configmaps", "web")
    again = await t.create("a", "configmaps", config_map("web", new="a"))
    await t.patch("b", "configmaps", "web", {"data": {"old": "b"}})
    yield HEAL
    body = await t.agreed("configmaps", "web")
    assert body["data"] == {"new": "a"}
    assert body["metadata"]["uid"] == again["metadata"]["uid"] != before["metadata"]["uid"]
    assert (await t.conflicts("configmaps", "web"))[".data.old"]["kind"] == "update_after_delete"


@scenario
async def what_both_sides_deleted_and_created_again_is_one_new_object(
    t: Case,
) -> AsyncIterator[Pause]:
    before = await t.create("a", "configmaps", config_map("web", k="1"))
    yield CUT
    uids = set()
    for side in "ab":
        await t.delete(side, "configmaps", "web")
        body = await t.create(side, "configmaps", config_map("web", **{side: side}))
        uids.add(body["metadata"]["uid"])
    yield HEAL
    body = await t.agreed("configmaps", "web")
    assert body["data"] == {"a": "a", "b": "b"}
    assert {body["metadata"]["uid"]} == uids
    assert before["metadata"]["uid"] not in uids


@scenario
async def of_two_re_creations_the_one_after_more_deletions_stays(t: Case) -> AsyncIterator[Pause]:
    await t.create("a", "configmaps", config_map("web", k="1"))
    yield CUT
    for data in ("first", "second"):
        await t.delete("a", "configmaps", "web")
        last = await t.create("a", "configmaps", config_map("web", a=data))
    await t.delete("b", "configmaps", "web")
    await t.create("b", "configmaps", config_map("web", b="b"))
    yield HEAL
    body = await t.agreed("configmaps", "web")
    assert body["data"] == {"a": "second"}
    assert body["metadata"]["uid"] == last["metadata"]["uid"]
    assert (await t.conflicts("configmaps", "web"))[".data.b"]["kind"] == "update_after_delete"


@scenario
async def what_was_deleted_on_both_sides_is_gone_and_no_conflict(t: Case) -> AsyncIterator[Pause]:
    await t.create("a", "configmaps", config_map("web", k="1"))
    yield CUT
    for side in "ab":
        await t.delete(side, "configmaps", "web")
    yield HEAL
    await t.gone("configmaps", "web")
    assert not await t.conflicts("configmaps", "web")


@scenario
async def a_late_finalizer_shows_the_object_again_until_it_is_removed(
    t: Case,
) -> AsyncIterator[Pause]:
    before = await t.create("a", "configmaps", config_map("web", k="1"))
    yield CUT
    await t.delete("a", "configmaps", "web")
    assert not await t.is_there("a", "configmaps", "web")
    await t.patch("b", "configmaps", "web", {"metadata": {"finalizers": ["x.io/clean"]}})
    yield HEAL
    body = await t.agreed("configmaps", "web")
    assert body["metadata"]["finalizers"] == ["x.io/clean"]
    assert body["metadata"]["deletionTimestamp"]
    assert body["metadata"]["uid"] == before["metadata"]["uid"]
    await t.patch("b", "configmaps", "web", {"metadata": {"finalizers": None}})
    await t.gone("configmaps", "web")


@scenario
async def a_finalizer_removed_here_and_kept_there_is_removed(t: Case) -> AsyncIterator[Pause]:
    metadata = {"name": "web", "finalizers": ["x.io/clean"]}
    await t.create("a", "configmaps", {"metadata": metadata})
    await t.delete("a", "configmaps", "web")
    yield CUT
    await t.patch("a", "configmaps", "web", {"metadata": {"finalizers": None}})
    assert not await t.is_there("a", "configmaps", "web")
    body = await t.patch("b", "configmaps", "web", {"data": {"k": "b"}})
    assert body["metadata"]["finalizers"] == ["x.io/clean"]
    yield HEAL
    await t.gone("configmaps", "web")


@scenario
async def a_namespace_deleted_here_takes_what_was_created_there(t: Case) -> AsyncIterator[Pause]:
    """COL-3: what the other side created goes too."""
    yield CUT
    body = await t.delete("a", "namespaces", t.namespace)
    # The controller of a minority takes its time until it acts alone; this is what it does.
    path = t.path("namespaces", f"{t.namespace}/finalize")
    await t.ask("a", "PUT", path, {**body, "spec": {"finalizers": []}})
    await t.becomes_gone("namespaces", t.namespace, "a")
    message = await t.refused(
        "a", "POST", t.path("configmaps"), config_map("here"), reason="NotFound"
    )
    assert t.namespace in message
    await t.create("b", "configmaps", config_map("there"))
    yield HEAL
    await t.becomes_gone("configmaps", "there")
    await t.becomes_gone("namespaces", t.namespace)
    assert await t.all_agreed("configmaps") == []


@scenario
async def a_dependent_goes_when_the_deletion_of_its_owner_is_known(
    t: Case,
) -> AsyncIterator[Pause]:
    """And one whose owner has not been seen stays."""
    owner = await t.create("a", "configmaps", config_map("owner"))
    await t.create("a", "configmaps", _owned_by(owner, "before"))
    yield CUT
    await t.delete("b", "configmaps", "owner")
    await t.create("a", "configmaps", _owned_by(owner, "late"))
    unseen = await t.create("b", "configmaps", config_map("unseen"))
    await t.create("a", "configmaps", _owned_by(unseen, "waiting"))
    yield HEAL
    for name in ("before", "late"):
        await t.becomes_gone("configmaps", name)
    body = await t.agreed("configmaps", "waiting")
    assert body["metadata"]["ownerReferences"][0]["uid"] == unseen["metadata"]["uid"]


def _owned_by(owner: dict[str, dict[str, str]], name: str) -> dict[str, dict[str, object]]:
    reference = {
        "apiVersion": "v1", "kind": "ConfigMap", "name": owner["metadata"]["name"],
        "uid": owner["metadata"]["uid"],
    }  # fmt: skip
    return {"metadata": {"name": name, "ownerReferences": [reference]}}
