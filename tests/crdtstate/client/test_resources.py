"""The resource client: paths, errors by what happened, pages, watches, discovery."""

import json
from contextlib import aclosing
from dataclasses import replace
from random import Random
from typing import Any

import pytest

from crdtstate.client import discovery
from crdtstate.client import resource_calls as calls
from crdtstate.client.answer import Answer
from crdtstate.client.attempt import Session
from crdtstate.client.blocking_resources import BlockingResources
from crdtstate.client.endpoints import Endpoints
from crdtstate.client.failures import LinkError, UnknownOutcomeError, error_of
from crdtstate.client.kinds import DEPLOYMENTS, NODES, PODS
from crdtstate.client.resources import Resources
from crdtstate.errors import (
    AlreadyExistsError,
    CompactedError,
    ConflictError,
    CrdtstateError,
    InvalidError,
    NotFoundError,
    UnavailableError,
)
from crdtstate.model import Kind
from tests.controllers.fake_api import FakeApi


def status(code: int, reason: str, **details: Any) -> Answer:
    body = {"kind": "Status", "code": code, "reason": reason, "message": "no", "details": details}
    return Answer(code, {}, json.dumps(body).encode())


def pod(name: str, **labels: str) -> dict[str, Any]:
    return {"metadata": {"name": name, "namespace": "default", "labels": labels}, "spec": {}}


def session() -> Session:
    return Session(
        Endpoints("a:1,b:2"), timeout_ms=5_000, causal=True, w=1, auth_token=None, rng=Random(1)
    )


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (status(404, "NotFound"), NotFoundError),
        (status(409, "AlreadyExists"), AlreadyExistsError),
        (status(409, "Conflict"), ConflictError),
        (status(422, "Invalid"), InvalidError),
        (status(410, "Expired"), CompactedError),
        (status(503, "ServiceUnavailable"), UnavailableError),
    ],
)
def test_a_status_is_raised_as_what_happened(answer: Answer, kind: type[CrdtstateError]) -> None:
    error = error_of(answer)

    assert type(error) is kind
    assert (error.message, error.status) == ("no", answer.status)


def test_details_of_a_status_are_data() -> None:
    assert error_of(status(409, "Conflict", name="web")).data == {"name": "web"}


def test_paths_are_those_of_the_api() -> None:
    assert calls.path_of(PODS, "default", "web") == "/api/v1/namespaces/default/pods/web"
    assert calls.path_of(DEPLOYMENTS, None) == "/apis/apps/v1/deployments"
    assert calls.path_of(NODES, None, "a", "status") == "/api/v1/nodes/a/status"


def test_an_object_without_its_namespace_is_refused_here() -> None:
    with pytest.raises(InvalidError, match="needs a namespace"):
        calls.path_of(PODS, None, "web")
    with pytest.raises(InvalidError, match="not namespaced"):
        calls.path_of(NODES, "default", "a")
    with pytest.raises(InvalidError, match="name of a Pod is empty"):
        calls.path_of(PODS, "default", "")


def test_what_changes_a_list_by_position_is_sent_once() -> None:
    once = calls.patch(PODS, "w", [], "d", subresource=None, media="json", manager=None)
    twice = calls.patch(PODS, "w", {}, "d", subresource=None, media="merge", manager=None)
    generated = calls.create(PODS, {"metadata": {"generateName": "w-", "namespace": "d"}}, None)

    assert not once.repeatable
    assert twice.repeatable
    assert not generated.repeatable


def test_a_create_that_an_earlier_lost_try_may_have_done_is_unknown() -> None:
    attempt = session().begin(calls.create(PODS, pod("web"), None), 0)
    attempt.plan(0)
    attempt.failed(LinkError("reset", sent=True), 1)
    attempt.plan(1)

    with pytest.raises(UnknownOutcomeError):
        attempt.is_settled_by(status(409, "AlreadyExists"), 2)


async def test_objects_are_created_changed_listed_and_deleted() -> None:
    async with FakeApi().client() as client:
        made = await client.resources.create(PODS, pod("web", app="x"))
        await client.resources.create(PODS, pod("other"))
        changed = await client.resources.patch(PODS, "web", {"spec": {"nodeName": "a"}}, "default")
        listed = await client.resources.list(PODS, label_selector="app=x")

        assert (made["kind"], made["apiVersion"]) == ("Pod", "v1")
        assert changed["spec"] == {"nodeName": "a"}
        assert [o["metadata"]["name"] for o in listed.items] == ["web"]
        with pytest.raises(AlreadyExistsError):
            await client.resources.create(PODS, pod("web"))
        with pytest.raises(ConflictError):
            await client.resources.delete(PODS, "web", "default", uid="another")
        assert await client.resources.delete(PODS, "web", "default")
        assert not await client.resources.delete(PODS, "web", "default")
        assert await client.resources.get(PODS, "web", "default") is None


async def test_a_watch_gives_what_came_after_the_list_and_says_when_to_list_again() -> None:
    api = FakeApi()
    async with api.client() as client:
        await client.resources.create(PODS, pod("old"))
        since = (await client.resources.list(PODS)).resource_version
        await client.resources.create(PODS, pod("new"))
        watch = client.resources.watch(PODS, since=since)
        async with aclosing(watch) as events:
            event = await anext(events)
            assert (event.type, event.object["metadata"]["name"]) == ("ADDED", "new")
            assert event.resource_version == event.object["metadata"]["resourceVersion"]
        api.cut_watches()
        with pytest.raises(CompactedError):
            async for _ in client.resources.watch(PODS, since=since):
                pass


async def test_a_watch_that_cannot_be_opened_says_so_and_leaves_the_peer() -> None:
    api = FakeApi(down=True)
    async with api.client() as client:
        with pytest.raises(UnavailableError):
            async for _ in client.resources.watch(PODS, since="1"):
                pass


def test_kinds_are_taken_in_their_preferred_version() -> None:
    def served(version: str, *verbs: str) -> dict[str, Any]:
        row = {"resource": "widgets", "verbs": [*verbs], "scope": "Cluster"}
        return {"version": version, "resources": [{**row, "responseKind": {"kind": "Widget"}}]}

    body = {
        "items": [
            {
                "metadata": {"name": "example.org"},
                "versions": [served("v2", "list", "watch"), served("v1", "list", "watch")],
            }
        ]
    }
    answer = Answer(200, {}, json.dumps(body).encode())

    found = discovery.served("/apis").parse(answer)

    newest = Kind("example.org", "v2", "Widget", "widgets", namespaced=False)
    assert discovery.preferred(found, ("list",)) == (newest,)
    assert not discovery.preferred(found, ("delete",))


DEPLOYMENT = discovery.Served(DEPLOYMENTS, frozenset({"get"}), ("deployments", "deployment", "dep"))
OLD = replace(DEPLOYMENT, kind=Kind("apps", "v1beta1", "Deployment", "deployments"))
POD = discovery.Served(PODS, frozenset({"get"}), ("pods", "pod", "po"))
QUESTION = discovery.Served(NODES, frozenset({"create"}), ("reviews", "review"))


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("deployments", DEPLOYMENTS), ("Deployment", DEPLOYMENTS), ("dep", DEPLOYMENTS),
        ("deployments.apps", DEPLOYMENTS), ("Deployment.v1beta1.apps", OLD.kind),
        ("pod", PODS), ("pods.v1.", PODS),
    ],
)  # fmt: skip
def test_a_kind_is_found_as_people_write_it(text: str, kind: Kind) -> None:
    assert discovery.kind_called((POD, DEPLOYMENT, OLD), text) == kind


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("pods.apps", "no kind is called 'pods.apps'$"), ("reviews", "'reviews'$"),
        ("deploymets", "did you mean 'deployments'"), ("pods.v2.", "'pods.v2.'$"),
    ],
)  # fmt: skip
def test_what_is_no_kind_is_named_with_the_nearest(text: str, words: str) -> None:
    with pytest.raises(NotFoundError, match=words):
        discovery.kind_called((POD, DEPLOYMENT, QUESTION), text)


def test_both_clients_have_the_same_calls() -> None:
    def names(of: type) -> set[str]:
        return {name for name in vars(of) if name[0] != "_"}

    assert names(Resources) == names(BlockingResources)
