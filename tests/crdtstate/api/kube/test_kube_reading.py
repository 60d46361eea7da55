"""Lists, watches and deletions over a real peer."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from tests.crdtstate.api.kube.kube_peer import (
    CORE,
    MERGE,
    Api,
    config_map,
    kube_peer,
    version_of,
)

MAPS = f"{CORE}/configmaps"
TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json"
METADATA = "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io"

Frames = AsyncIterator[dict[str, Any]]


async def take(frames: Frames, count: int) -> list[tuple[str, str]]:
    """Return type and name of the next frames."""
    found = []
    for _ in range(count):
        frame = await anext(frames)
        found.append((frame["type"], frame["object"]["metadata"].get("name", "")))
    return found


def names(listed: dict[str, Any]) -> list[str]:
    return [item["metadata"]["name"] for item in listed["items"]]


# -- lists -------------------------------------------------------------------------------------


async def test_pages_are_of_one_version_and_hold_everything_once(tmp_path: Path) -> None:
    async with kube_peer(tmp_path) as api:
        for n in range(7):
            await api.create("configmaps", config_map(f"m{n}"))

        first = await api.ask("GET", f"{MAPS}?limit=3")
        assert first["metadata"]["remainingItemCount"] == 4
        await api.create("configmaps", config_map("m0a"))  # Before what is told already.
        second = await api.ask("GET", f"{MAPS}?limit=3&continue={first['metadata']['continue']}")
        third = await api.ask("GET", f"{MAPS}?limit=3&continue={second['metadata']['continue']}")

        assert [names(first), names(second), names(third)] == [
            ["m0", "m1", "m2"], ["m3", "m4", "m5"], ["m6"],
        ]  # fmt: skip
        assert len({version_of(page) for page in (first, second, third)}) == 1
        assert "continue" not in third["metadata"]
        async with api.watch(f"{MAPS}?watch=1&resourceVersion={version_of(first)}") as frames:
            assert await take(frames, 1) == [("ADDED", "m0a")]


async def test_selectors_choose(tmp_path: Path) -> None:
    async with kube_peer(tmp_path) as api:
        await api.create("configmaps", config_map("a", labels={"app": "x"}))
        await api.create("configmaps", config_map("b", labels={"app": "y"}))

        assert names(await api.ask("GET", f"{MAPS}?labelSelector=app=x")) == ["a"]
        assert names(await api.ask("GET", f"{MAPS}?labelSelector=app%20notin%20(x)")) == ["b"]
        assert names(await api.ask("GET", f"{MAPS}?fieldSelector=metadata.name=b")) == ["b"]
        await api.refused("GET", f"{MAPS}?fieldSelector=data.k=v", reason="BadRequest")
        namespaces = "/api/v1/namespaces?fieldSelector=status.phase=Active"
        assert len((await api.ask("GET", namespaces))["items"]) == 4


async def test_a_list_has_the_form_that_is_asked_for(tmp_path: Path) -> None:
    async with kube_peer(tmp_path) as api:
        await api.create("configmaps", config_map("a"))

        shown = await api.ask("GET", MAPS, Accept=TABLE)
        assert shown["kind"] == "Table"
        assert shown["rows"][0]["cells"][0] == "a"
        assert shown["metadata"]["resourceVersion"]
        partly = await api.ask("GET", MAPS, Accept=METADATA)
        assert partly["kind"] == "PartialObjectMetadataList"
        assert "data" not in partly["items"][0]
        refused = {"headers": {"Accept": "text/html"}}
        await api.refused("GET", MAPS, reason="NotAcceptable", **refused)


async def test_a_long_list_comes_in_pieces_and_is_whole(tmp_path: Path) -> None:
    """Objects, rows and metadata, with a field selector that looks into each."""
    wanted = [f"m{n:03}" for n in range(200)]
    async with kube_peer(tmp_path) as api:
        for name in wanted:
            await api.create("configmaps", config_map(name))
        listed = await api.ask("GET", MAPS)
        assert listed["kind"] == "ConfigMapList"
        assert names(listed) == wanted
        into = await api.ask("GET", f"{MAPS}?fieldSelector=metadata.namespace%3Ddefault")
        assert names(into) == wanted
        rows = await api.ask("GET", MAPS, Accept=TABLE)
        assert (rows["kind"], rows["metadata"]) == ("Table", listed["metadata"])
        assert [row["cells"][0] for row in rows["rows"]] == wanted
        assert [row["object"]["metadata"]["name"] for row in rows["rows"]] == wanted
        alone = await api.ask("GET", MAPS, Accept=METADATA)
        assert (alone["kind"], alone["metadata"]) == (
            "PartialObjectMetadataList", listed["metadata"],
        )  # fmt: skip
        assert names(alone) == wanted
        assert "data" not in alone["items"][-1]
        await api.refused("GET", f"{MAPS}?includeObject=All", reason="BadRequest",
                          headers={"Accept": TABLE})  # fmt: skip
        gone = await api.ask("DELETE", MAPS)
        assert names(gone) == wanted
        assert names(await api.ask("GET", MAPS)) == []


async def test_a_version_of_another_peer_is_expired(tmp_path: Path) -> None:
    """KWA-3."""
    async with kube_peer(tmp_path) as api:
        foreign = (1 << 62) + 5
        await api.refused("GET", f"{MAPS}?resourceVersion={foreign}", reason="Expired")
        async with api.watch(f"{MAPS}?watch=1&resourceVersion={foreign}") as frames:
            told = [frame async for frame in frames]  # One event in the stream, and its end.
        assert [(frame["type"], frame["object"]["code"]) for frame in told] == [("ERROR", 410)]
        own = version_of(await api.ask("GET", MAPS))
        await api.ask("GET", f"{MAPS}?resourceVersion={own}&resourceVersionMatch=Exact")
        await api.create("configmaps", config_map("a"))
        await api.ask("GET", f"{MAPS}?resourceVersion={own}&resourceVersionMatch=NotOlderThan")
        query = f"resourceVersion={own}&resourceVersionMatch=Exact"
        await api.refused("GET", f"{MAPS}?{query}", reason="Expired")


# -- watches -----------------------------------------------------------------------------------


async def change_some(api: Api) -> None:
    await api.create("configmaps", config_map("b", labels={"app": "x"}))
    await api.ask("PATCH", f"{MAPS}/a", {"data": {"k": "w"}}, media=MERGE)
    await api.ask("DELETE", f"{MAPS}/a")


async def test_a_watch_tells_what_is_there_and_then_what_happens(tmp_path: Path) -> None:
    async with kube_peer(tmp_path) as api:
        await api.create("configmaps", config_map("a"))
        async with api.watch(f"{MAPS}?watch=true") as frames:
            assert await take(frames, 1) == [("ADDED", "a")]

            await change_some(api)

            assert await take(frames, 3) == [("ADDED", "b"), ("MODIFIED", "a"), ("DELETED", "a")]


async def test_a_watch_goes_on_from_a_version(tmp_path: Path) -> None:
    async with kube_peer(tmp_path) as api:
        made = await api.create("configmaps", config_map("a"))
        await change_some(api)
        async with api.watch(f"{MAPS}?watch=1&resourceVersion={version_of(made)}") as frames:
            assert await take(frames, 3) == [("ADDED", "b"), ("MODIFIED", "a"), ("DELETED", "a")]


async def test_initial_events_end_with_a_bookmark_and_none_comes_before(tmp_path: Path) -> None:
    """KWA-1."""
    query = "sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true"
    async with kube_peer(tmp_path) as api:
        await api.create("configmaps", config_map("a"))
        async with api.watch(f"{MAPS}?watch=1&{query}&timeoutSeconds=1") as frames:
            assert await take(frames, 1) == [("ADDED", "a")]
            end = await anext(frames)
            assert end["type"] == "BOOKMARK"
            assert end["object"]["metadata"]["annotations"] == {"k8s.io/initial-events-end": "true"}
            version = version_of(end["object"])
            assert [frame async for frame in frames] == []  # It ends, in order.
        await api.create("configmaps", config_map("b"))
        async with api.watch(f"{MAPS}?watch=1&resourceVersion={version}") as frames:
            assert await take(frames, 1) == [("ADDED", "b")]


async def test_leaving_a_selector_is_deleted_and_coming_back_is_added(tmp_path: Path) -> None:
    """KWA-2."""
    path = f"{MAPS}?watch=1&labelSelector=app=x"
    async with kube_peer(tmp_path) as api, api.watch(path) as frames:
        await api.create("configmaps", config_map("a", labels={"app": "x"}))
        for app in ("y", "x"):
            body = {"metadata": {"labels": {"app": app}}}
            await api.ask("PATCH", f"{MAPS}/a", body, media=MERGE)

        assert await take(frames, 3) == [("ADDED", "a"), ("DELETED", "a"), ("ADDED", "a")]


async def test_a_watch_has_the_form_that_is_asked_for(tmp_path: Path) -> None:
    async with kube_peer(tmp_path) as api:
        await api.create("configmaps", config_map("a"))
        path = f"{MAPS}?watch=1&timeoutSeconds=1"
        async with api.session.get(api.url + path, headers={"Accept": TABLE}) as answer:
            text = (await answer.text()).splitlines()
        assert '"kind":"Table"' in text[0]
        accept = METADATA.replace("List", "")
        async with api.session.get(api.url + path, headers={"Accept": accept}) as answer:
            text = (await answer.text()).splitlines()
        assert '"kind":"PartialObjectMetadata"' in text[0]


async def test_watches_are_bounded_in_number(tmp_path: Path) -> None:
    async with kube_peer(tmp_path, watches_max=1) as api, api.watch(f"{MAPS}?watch=1"):
        await api.refused("GET", f"{MAPS}?watch=1", reason="TooManyRequests")


async def test_a_watch_ends_with_its_client_though_there_is_nothing_to_say(tmp_path: Path) -> None:
    """FST-4."""
    async with kube_peer(tmp_path, watches_max=1) as api:
        async with api.watch(f"{MAPS}?watch=1"):
            pass
        async with asyncio.timeout(20):
            while True:
                async with api.session.get(f"{api.url}{MAPS}?watch=1") as answer:
                    if answer.status == 200:
                        break
                await asyncio.sleep(0.05)


async def test_a_stopping_peer_ends_its_watches_in_order(tmp_path: Path) -> None:
    async with kube_peer(tmp_path) as api, api.watch(f"{MAPS}?watch=1") as frames:
        await api.create("configmaps", config_map("a"))
        assert await take(frames, 1) == [("ADDED", "a")]
        stopping = asyncio.create_task(api.peer.stop())

        assert [frame async for frame in frames] == []  # No error: the stream has an end.

        await stopping


# -- deletions ---------------------------------------------------------------------------------


async def test_what_has_no_finalizer_is_gone_at_once(tmp_path: Path) -> None:
    async with kube_peer(tmp_path) as api:
        made = await api.create("configmaps", config_map("a"))

        status = await api.ask("DELETE", f"{MAPS}/a", {})

        assert status["kind"] == "Status"
        assert status["details"]["uid"] == made["metadata"]["uid"]
        await api.refused("GET", f"{MAPS}/a", reason="NotFound")
        again = await api.create("configmaps", config_map("a"))
        assert again["metadata"]["uid"] != made["metadata"]["uid"]


async def test_finalizers_hold_and_none_is_added_to_what_goes(tmp_path: Path) -> None:
    async with kube_peer(tmp_path) as api:
        await api.create("configmaps", config_map("a", finalizers=["x/y"]))

        going = await api.ask("DELETE", f"{MAPS}/a")

        assert going["kind"] == "ConfigMap"
        assert going["metadata"]["deletionGracePeriodSeconds"] == 0
        again = await api.ask("DELETE", f"{MAPS}/a")
        assert again["metadata"]["deletionTimestamp"] == going["metadata"]["deletionTimestamp"]
        more = {"metadata": {"finalizers": ["x/y", "x/z"]}}
        await api.refused("PATCH", f"{MAPS}/a", more, media=MERGE, reason="Invalid")
        await api.ask("PATCH", f"{MAPS}/a", {"metadata": {"finalizers": None}}, media=MERGE)
        await api.refused("GET", f"{MAPS}/a", reason="NotFound")


async def test_propagation_is_a_finalizer_for_the_collector(tmp_path: Path) -> None:
    async with kube_peer(tmp_path) as api:
        for policy, finalizer in (("Foreground", "foregroundDeletion"), ("Orphan", "orphan")):
            name = policy.lower()
            await api.create("configmaps", config_map(name))

            going = await api.ask("DELETE", f"{MAPS}/{name}", {"propagationPolicy": policy})

            assert going["metadata"]["finalizers"] == [finalizer]
            assert "deletionTimestamp" in going["metadata"]


async def test_preconditions_of_a_deletion(tmp_path: Path) -> None:
    async with kube_peer(tmp_path) as api:
        made = await api.create("configmaps", config_map("a"))
        right = {
            "uid": made["metadata"]["uid"],
            "resourceVersion": made["metadata"]["resourceVersion"],
        }
        for wrong in ({"uid": "u"}, {"resourceVersion": "1"}):
            body = {"preconditions": right | wrong}
            await api.refused("DELETE", f"{MAPS}/a", body, reason="Conflict")
        await api.ask("DELETE", f"{MAPS}/a", {"preconditions": right})


async def test_a_collection_is_deleted_by_selector(tmp_path: Path) -> None:
    async with kube_peer(tmp_path) as api:
        for n in range(70):
            await api.create("configmaps", config_map(f"m{n}", labels={"odd": str(n % 2)}))

        deleted = await api.ask("DELETE", f"{MAPS}?labelSelector=odd=1")

        assert len(deleted["items"]) == 35
        left = await api.ask("GET", MAPS)
        assert {item["metadata"]["labels"]["odd"] for item in left["items"]} == {"0"}


# -- reviews and documents ---------------------------------------------------------------------


async def test_reviews_answer_and_have_no_table(tmp_path: Path) -> None:
    async with kube_peer(tmp_path) as api:
        path = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
        body = {"spec": {"resourceAttributes": {"verb": "get", "resource": "pods"}}}
        assert (await api.ask("POST", path, body, status=201))["status"]["allowed"] is True
        only_table = {"headers": {"Accept": TABLE.partition(",")[0]}}
        await api.refused("POST", path, body, reason="NotAcceptable", **only_table)
        await api.refused("GET", path, reason="MethodNotAllowed")
        whoami = "/apis/authentication.k8s.io/v1/selfsubjectreviews"
        answer = await api.ask("POST", whoami, {}, status=201)
        assert answer["status"]["userInfo"]["username"]


async def test_documents_are_served_with_and_without_a_trailing_slash(tmp_path: Path) -> None:
    async with kube_peer(tmp_path) as api:
        for path in ("/version", "/version/", "/api", "/api/", "/apis/", "/api/v1/", "/openapi/v3"):
            assert await api.ask("GET", path)
        index = await api.ask("GET", "/openapi/v3")
        url = index["paths"]["apis/apps/v1"]["serverRelativeURL"]
        async with api.session.get(api.url + url) as answer:
            assert "immutable" in answer.headers["Cache-Control"]
            assert (await answer.json())["components"]["schemas"]
        aggregated = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
        async with api.session.get(api.url + "/apis", headers={"Accept": aggregated}) as answer:
            assert "as=APIGroupDiscoveryList" in answer.headers["Content-Type"]
            assert (await answer.json())["kind"] == "APIGroupDiscoveryList"


async def test_whoever_has_no_token_is_told_so_in_a_status(tmp_path: Path) -> None:
    tokens = tmp_path / "tokens"
    tokens.write_text("a-token-of-some-length\n")
    async with kube_peer(tmp_path / "data", token_file=str(tokens)) as api:
        await api.refused("GET", MAPS, reason="Unauthorized")
        await api.ask("GET", MAPS, Authorization="Bearer a-token-of-some-length")
