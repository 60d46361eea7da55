"""Server-side apply, updates and ownership on both sides of a cut."""

from collections.abc import AsyncIterator

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
from tests.kube.partition.sides import JSON_PATCH

__all__: list[str] = []


@scenario
async def two_managers_make_one_object_and_a_true_conflict_is_a_409(
    t: Case,
) -> AsyncIterator[Pause]:
    """The headline."""
    mine, yours = config_map("web", one="a", both="a"), config_map("web", two="b", both="b")
    yield CUT
    assert (await t.apply("a", "configmaps", mine, "one")).status == 201
    assert (await t.apply("b", "configmaps", yours, "two")).status == 201
    yield HEAL
    body = await t.agreed("configmaps", "web")
    assert body["data"] == {"one": "a", "two": "b", "both": "b"}
    assert _owned(body) == {"one": {"one", "both"}, "two": {"two", "both"}}

    refused = await t.apply("c", "configmaps", mine, "one")  # The loser's next apply.
    assert (refused.status, refused.body["reason"]) == (409, "Conflict")
    assert 'conflict with "two"' in refused.body["message"]
    assert ".data.both" in refused.body["message"]
    assert (await t.apply("c", "configmaps", yours, "two")).status == 200

    assert (await t.apply("c", "configmaps", mine, "one", force=True)).status == 200
    body = await t.agreed("configmaps", "web")
    assert body["data"] == {"one": "a", "two": "b", "both": "a"}
    assert _owned(body) == {"one": {"one", "both"}, "two": {"two"}}
    assert not await t.conflicts("configmaps", "web")


def _owned(body: Object) -> dict[str, set[str]]:
    """Return the keys of data that each manager owns."""
    return {
        entry["manager"]: {f.removeprefix("f:") for f in entry["fieldsV1"].get("f:data", {})}
        - {"."}
        for entry in body["metadata"]["managedFields"]
    }


@scenario
async def one_manager_on_both_sides_owns_what_it_applied_on_either(
    t: Case,
) -> AsyncIterator[Pause]:
    await t.apply("a", "configmaps", config_map("web", base="1"), "site")
    yield CUT
    await t.apply("a", "configmaps", config_map("web", base="1", left="a"), "site")
    await t.apply("b", "configmaps", config_map("web", base="1", right="b"), "site")
    yield HEAL
    body = await t.agreed("configmaps", "web")
    assert body["data"] == {"base": "1", "left": "a", "right": "b"}
    assert _owned(body) == {"site": {"base", "left", "right"}}
    await t.apply("b", "configmaps", config_map("web", base="1", right="b"), "site")
    body = await t.agreed("configmaps", "web")
    assert body["data"] == {"base": "1", "right": "b"}  # What it applies no more is removed.


@scenario
async def a_name_created_on_both_sides_is_one_object_with_one_uid(t: Case) -> AsyncIterator[Pause]:
    yield CUT
    first = await t.create("a", "configmaps", config_map("web", left="a"))
    second = await t.create("b", "configmaps", config_map("web", right="b"))
    assert first["metadata"]["uid"] == second["metadata"]["uid"]
    yield HEAL
    body = await t.agreed("configmaps", "web")
    assert body["data"] == {"left": "a", "right": "b"}
    assert body["metadata"]["uid"] == first["metadata"]["uid"]
    created = [each["metadata"]["creationTimestamp"] for each in (first, second)]
    assert body["metadata"]["creationTimestamp"] == min(created)
    path = t.path("configmaps")
    await t.refused("c", "POST", path, config_map("web"), reason="AlreadyExists")


@scenario
async def generated_names_of_both_sides_are_two_objects(t: Case) -> AsyncIterator[Pause]:
    yield CUT
    body = {"metadata": {"generateName": "job-"}, "data": {}}
    names = {(await t.create(side, "configmaps", body))["metadata"]["name"] for side in "ab"}
    assert len(names) == 2
    yield HEAL
    assert names <= {o["metadata"]["name"] for o in await t.all_agreed("configmaps")}


@scenario
async def a_put_compares_with_the_peer_that_answers(t: Case) -> AsyncIterator[Pause]:
    """Both succeed, the second with the same version does not, and what they wrote joins."""
    await t.create("a", "configmaps", config_map("web", base="1"))
    yield CUT
    read = {side: await t.get(side, "configmaps", "web") for side in "ab"}
    for side in "ab":
        await t.put(side, "configmaps", {**read[side], "data": {"base": "1", side: side}})
    stale = {**read["a"], "data": {"base": "2"}}
    path = t.path("configmaps", "web")
    await t.refused("a", "PUT", path, stale, reason="Conflict")
    before = await t.get("a", "configmaps", "web")
    yield HEAL
    body = await t.agreed("configmaps", "web")
    assert body["data"] == {"base": "1", "a": "a", "b": "b"}
    # What was read before the heal is stale now, and another peer's version always is.
    await t.refused("a", "PUT", path, before, reason="Conflict")
    await t.refused("c", "PUT", path, await t.get("b", "configmaps", "web"), reason="Conflict")


@scenario
async def a_test_in_a_json_patch_guards_against_what_its_peer_knows(
    t: Case,
) -> AsyncIterator[Pause]:
    await t.create("a", "configmaps", config_map("lock", holder="nobody"))
    yield CUT
    for side in "ab":
        take = [
            {"op": "test", "path": "/data/holder", "value": "nobody"},
            {"op": "replace", "path": "/data/holder", "value": side},
        ]
        await t.patch(side, "configmaps", "lock", take, JSON_PATCH)
        path = t.path("configmaps", "lock")
        await t.refused(side, "PATCH", path, take, reason="Invalid", media=JSON_PATCH)
    yield HEAL
    assert (await t.agreed("configmaps", "lock"))["data"] == {"holder": "b"}
    assert shown_value((await t.conflicts("configmaps", "lock"))[".data.holder"]) == "b"


@scenario
async def a_dry_run_leaves_no_trace_on_the_other_side(t: Case) -> AsyncIterator[Pause]:
    await t.create("a", "configmaps", config_map("old", k="1"))
    yield CUT
    tried = await t.create("a", "configmaps", config_map("new", k="a"), "dryRun=All")
    real = await t.create("b", "configmaps", config_map("new", k="b"))
    assert tried["metadata"]["uid"] == real["metadata"]["uid"]
    path = t.path("configmaps", "old", "dryRun=All")
    assert (await t.ask("a", "DELETE", path)).status == 200
    yield HEAL
    assert (await t.agreed("configmaps", "new"))["data"] == {"k": "b"}
    assert (await t.agreed("configmaps", "old"))["data"] == {"k": "1"}
    assert not await t.conflicts("configmaps", "new")
    assert not await t.conflicts("configmaps", "old")


@scenario
async def a_minority_says_so_and_a_majority_does_not(t: Case) -> AsyncIterator[Pause]:
    yield CUT
    await t.create("a", "configmaps", config_map("left"))
    assert "1 of 3 members, a minority" in t.warning
    await t.create("b", "configmaps", config_map("right"))
    assert not t.warning
    yield HEAL
    for name in ("left", "right"):
        await t.agreed("configmaps", name)
    await t.create("a", "configmaps", config_map("later"))
    assert not t.warning
