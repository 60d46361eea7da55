"""Lists of conflicts as objects: pages, names far behind, and nobody held up meanwhile."""

import asyncio
import json
from types import SimpleNamespace
from typing import Any

import pytest

from crdtstate.api.exchange import Request, Response
from crdtstate.api.kube import conflicts
from crdtstate.api.kube.conflicts import ConflictHandlers
from crdtstate.api.kube.routes import Route
from crdtstate.kube.objects import Target
from crdtstate.kube.statuses import StatusError
from tests.models.objects import CLUSTER, THINGS, ObjectPlay, body

COUNT = 2 * conflicts._SLICE + 1
NAMES = [f"things.test.io.t{n:03}" for n in range(COUNT)]
ALL = Route(group="crdtstate.io", version="v1", plural="conflicts")


@pytest.fixture(scope="module")
def handlers() -> ConflictHandlers:
    """Return the handlers of a peer on which many objects were created on two sides."""
    play = ObjectPlay()
    a, b, _ = play.peers
    for n in range(COUNT):
        target = Target(THINGS, "default" if n % 2 else "other", f"t{n:03}")
        play.set(a, body(replicas=1), target)
        play.set(b, body(replicas=2), target)
    play.meet()
    backend = SimpleNamespace(
        snapshot=a.storage.snapshot, peer_name=lambda _origin: "a", wall_ms=lambda: play.now_ms
    )

    async def pause() -> None:
        await asyncio.sleep(0)

    feed = SimpleNamespace(cluster_id=CLUSTER, cache=SimpleNamespace(version=7), pause=pause)
    state: Any = SimpleNamespace(backend=backend, feed=feed)
    return ConflictHandlers(state)


def asked(query: str = "", accept: str = "") -> Request:
    async def read_body() -> bytes:
        return b""

    return Request("GET", f"/conflicts?{query}", {"Accept": accept}, read_body)


def get(handlers: ConflictHandlers, route: Route = ALL, **asked_for: str) -> dict[str, Any]:
    response: Response = asyncio.run(handlers.answer(asked(**asked_for), route, "list"))
    found: dict[str, Any] = json.loads(response.body)
    return found


def names(answer: dict[str, Any]) -> list[str]:
    return [item["metadata"]["name"] for item in answer["items"]]


def test_a_list_without_a_limit_is_whole(handlers: ConflictHandlers) -> None:
    answer = get(handlers)
    assert sorted(names(answer)) == NAMES
    assert answer["metadata"] == {"resourceVersion": "7"}
    assert answer["items"][0]["fields"][0]["path"] == ".spec.replicas"


@pytest.mark.parametrize("limit", [1, conflicts._SLICE - 1, conflicts._SLICE, COUNT - 1])
def test_pages_follow_each_other_to_the_last(handlers: ConflictHandlers, limit: int) -> None:
    told: list[str] = []
    proceed = ""
    while True:
        page = get(handlers, query=f"limit={limit}&continue={proceed}")
        assert len(page["items"]) <= limit
        told += names(page)
        proceed = page["metadata"].get("continue", "")
        if not proceed:
            break
        assert len(page["items"]) == limit
    assert told == names(get(handlers))


def test_a_limit_that_all_fit_leaves_nothing_to_go_on_with(handlers: ConflictHandlers) -> None:
    assert get(handlers, query=f"limit={COUNT}")["metadata"] == {"resourceVersion": "7"}


def test_a_namespace_and_a_selector_are_looked_for_in_all(handlers: ConflictHandlers) -> None:
    here = Route(group="crdtstate.io", version="v1", plural="conflicts", namespace="default")
    page = get(handlers, here, query="limit=3")
    rest = get(handlers, here, query=f"continue={page['metadata']['continue']}")
    assert sorted(names(page) + names(rest)) == NAMES[1::2]
    one = get(handlers, query=f"fieldSelector=metadata.name={NAMES[-1]}")
    assert names(one) == [NAMES[-1]]


@pytest.mark.parametrize("name", [NAMES[0], NAMES[-1]])
def test_one_is_found_wherever_it_is(handlers: ConflictHandlers, name: str) -> None:
    route = Route(group="crdtstate.io", version="v1", plural="conflicts", name=name)
    assert get(handlers, route)["metadata"]["name"] == name
    rows = get(handlers, route, accept="application/json;as=Table;g=meta.k8s.io;v=v1")
    assert [row["cells"][0] for row in rows["rows"]] == [name]


def test_metadata_alone_is_a_list_of_its_own_kind(handlers: ConflictHandlers) -> None:
    accept = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"
    answer = get(handlers, accept=accept)
    assert (answer["kind"], answer["apiVersion"]) == (
        "PartialObjectMetadataList", "meta.k8s.io/v1",
    )  # fmt: skip
    assert sorted(names(answer)) == NAMES
    assert {item["kind"] for item in answer["items"]} == {"PartialObjectMetadata"}


def test_nobody_of_that_name_is_said(handlers: ConflictHandlers) -> None:
    route = Route(group="crdtstate.io", version="v1", plural="conflicts", name="nobody")
    with pytest.raises(StatusError, match="nobody"):
        get(handlers, route)


@pytest.mark.parametrize("proceed", ["%21", "a", "%C3%BC"])
def test_a_token_that_no_list_gave_is_refused(handlers: ConflictHandlers, proceed: str) -> None:
    with pytest.raises(StatusError, match="continue is not a token"):
        get(handlers, query=f"continue={proceed}")


def test_a_token_from_before_the_objects_begins_with_the_first(handlers: ConflictHandlers) -> None:
    assert names(get(handlers, query="continue=AA==")) == names(get(handlers))


def test_others_run_while_many_are_read(handlers: ConflictHandlers) -> None:
    async def both() -> int:
        turns = 0

        async def count() -> None:
            nonlocal turns
            while True:
                turns += 1
                await asyncio.sleep(0)

        other = asyncio.create_task(count())
        await handlers.answer(asked(), ALL, "list")
        other.cancel()
        return turns

    assert asyncio.run(both()) >= COUNT // conflicts._SLICE
