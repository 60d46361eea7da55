"""Pods through the API: their logs and figures from the agent that has them, and how they end."""

import json
from collections.abc import AsyncGenerator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from crdtstate.api.exchange import Request, Response
from crdtstate.api.kube.elsewhere import RELAYED, Elsewhere
from crdtstate.api.kube.podlogs import log_query
from crdtstate.api.ports import NoCluster
from crdtstate.errors import InvalidError
from crdtstate.kube.statuses import StatusError
from crdtstate.podaccess import ContainerUse, LogQuery, PodUse, Usage
from tests.crdtstate.api.kube.kube_peer import CORE, Api, kube_peer

LOGS = f"{CORE}/pods/p/log"
METRICS = "/apis/metrics.k8s.io/v1beta1"


class Agent:
    """Says what it is asked."""

    def logs(
        self, namespace: str, pod: str, container: str, query: LogQuery
    ) -> AsyncGenerator[bytes]:
        if query.previous:
            raise InvalidError("previous terminated container not found")
        return self._say(f"{namespace}/{pod}/{container} {query.tail} {query.follow}")

    async def _say(self, text: str) -> AsyncGenerator[bytes]:
        for word in text.split(" "):
            yield word.encode() + b"\n"

    async def usage(self) -> Usage:
        pods = [PodUse("default", "p", (ContainerUse("c", 5_000_000, 2048),))]
        return Usage("a", 1_700_000_000_000, 1_000, 10, 4096, pods)


def pod(*containers: str, **more: Any) -> dict[str, Any]:
    named = [{"name": name, "image": "i"} for name in containers or ("c",)]
    return {
        "metadata": {"name": "p", "labels": {"app": "web"}},
        "spec": {"containers": named, **more},
    }


def offer(api: Api) -> None:
    assert api.peer.kube is not None
    api.peer.kube.offer_pods(Agent())


async def text_of(api: Api, path: str) -> tuple[int, str]:
    async with api.session.get(api.url + path) as answer:
        return answer.status, await answer.text()


async def test_logs_come_from_the_agent_of_this_machine(tmp_path: Path) -> None:
    async with kube_peer(tmp_path) as api:
        name = api.peer.config.name
        await api.create("pods", pod(nodeName=name))
        refused = await api.refused("GET", LOGS, reason="ServiceUnavailable")
        assert f"no agent runs beside peer '{name}'" in refused["message"]
        offer(api)

        assert await text_of(api, f"{LOGS}?tailLines=7") == (200, "default/p/c\n7\nFalse\n")
        assert await text_of(api, f"{LOGS}?follow=true") == (200, "default/p/c\nNone\nTrue\n")
        previous = await api.refused("GET", f"{LOGS}?previous=true", reason="BadRequest")
        assert "previous terminated" in previous["message"]


@pytest.mark.parametrize(
    ("body", "query", "reason", "message"),
    [
        (pod("c", "d", nodeName="x"), "", "BadRequest", "choose one of: [c d]"),
        (pod(nodeName="x"), "?container=no", "BadRequest", "container no is not valid for pod p"),
        (pod(), "", "BadRequest", "does not have a host assigned"),
        (pod(nodeName="x"), "", "ServiceUnavailable", "peer 'x', which is not heard from"),
        (pod(nodeName="x"), "?tailLines=-1", "Invalid", "is not a number"),
    ],
)
async def test_logs_that_cannot_be_had_say_why(
    tmp_path: Path, body: dict[str, Any], query: str, reason: str, message: str
) -> None:
    async with kube_peer(tmp_path) as api:
        await api.create("pods", body)
        refused = await api.refused("GET", LOGS + query, reason=reason)
        assert message in refused["message"]
        await api.refused("GET", LOGS.replace("/p/", "/no/"), reason="NotFound")


def test_options_of_logs() -> None:
    query = log_query({"sinceSeconds": "10", "timestamps": "true", "limitBytes": "5"}, 60_000)

    assert query == LogQuery(since="1970-01-01T00:00:50", stamped=True, bytes_max=5)
    assert log_query({"sinceTime": "2026-01-01T00:00:00Z"}, 0).since == "2026-01-01T00:00:00"


async def test_figures_are_objects_with_the_labels_of_what_they_measure(tmp_path: Path) -> None:
    async with kube_peer(tmp_path) as api:
        await api.create("pods", pod(nodeName="a"))
        assert (await api.ask("GET", f"{METRICS}/pods"))["items"] == []
        offer(api)

        (found,) = (await api.ask("GET", f"{METRICS}/pods?labelSelector=app%3Dweb"))["items"]
        assert found["containers"] == [{"name": "c", "usage": {"cpu": "5000000n", "memory": "2Ki"}}]
        assert found["window"] == "1s"
        assert (await api.ask("GET", f"{METRICS}/pods?labelSelector=app%3Dx"))["items"] == []
        node = await api.ask("GET", f"{METRICS}/nodes/a")
        assert node["usage"] == {"cpu": "10n", "memory": "4Ki"}
        await api.refused("GET", f"{METRICS}/nodes/b", reason="NotFound")
        groups = (await api.ask("GET", "/apis"))["groups"]
        assert "metrics.k8s.io" in {group["name"] for group in groups}


async def test_a_pod_that_runs_is_gone_only_when_its_agent_says_so(tmp_path: Path) -> None:
    path = f"{CORE}/pods/p"
    async with kube_peer(tmp_path) as api:
        await api.create("pods", pod(nodeName="a", terminationGracePeriodSeconds=7))
        marked = await api.ask("DELETE", path)
        assert marked["metadata"]["deletionGracePeriodSeconds"] == 7
        assert (await api.ask("DELETE", f"{path}?gracePeriodSeconds=3"))["metadata"][
            "deletionGracePeriodSeconds"
        ] == 3
        await api.refused("DELETE", f"{path}?gracePeriodSeconds=x", reason="Invalid")
        await api.ask("DELETE", f"{path}?gracePeriodSeconds=0")
        await api.refused("GET", path, reason="NotFound")

        await api.create("pods", pod())  # Bound to nobody: there is nothing to end.
        await api.ask("DELETE", path)
        await api.refused("GET", path, reason="NotFound")


class Members(NoCluster):
    """Other members, each with its own way to be reached, or none."""

    def members(self) -> list[dict[str, Any]]:
        def row(name: str, api: str | None, address: str, **more: Any) -> dict[str, Any]:
            return {"name": name, "api": api, "address": address, "liveness": "alive", **more}

        return [
            row("me", "10.0.0.1:1", "10.0.0.1:2", self=True),
            row("plain", "10.0.0.2:1", "10.0.0.2:2"),
            row("any", "0.0.0.0:1", "10.0.0.3:2"),
            row("hidden", "127.0.0.1:1", "10.0.0.4:2"),
            row("together", "127.0.0.1:1", "127.0.0.1:2"),
            row("named", "peer.example:1", "10.0.0.6:2"),
            row("silent", "10.0.0.7:1", "10.0.0.7:2") | {"liveness": "dead"},
            row("unknown", None, "10.0.0.8:2"),
        ]


class Backend:
    name, cluster = "me", Members()


class Relay:
    """Remembers what it was asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, dict[str, str]]] = []

    async def get(self, url: str, headers: Mapping[str, str], timeout_ms: int) -> Response:
        self.asked.append((url, dict(headers)))
        return Response(200, b"{}")

    async def get_all(
        self, urls: Sequence[str], headers: Mapping[str, str], timeout_ms: int
    ) -> list[bytes]:
        self.asked += [(url, dict(headers)) for url in urls]
        return [json.dumps({"at": url}).encode() for url in urls]


def request(**headers: str) -> Request:
    async def body() -> bytes:
        return b""

    return Request("GET", "/api/v1/x?y=1", headers, body)


async def test_other_peers_are_asked_where_they_can_be_reached_and_with_the_user_s_token() -> None:
    relay = Relay()
    elsewhere = Elsewhere(Backend(), relay)  # type: ignore[arg-type] - all that it needs.

    assert elsewhere.peers() == {
        "plain": "http://10.0.0.2:1", "any": "http://10.0.0.3:1",
        "together": "http://127.0.0.1:1", "named": "http://peer.example:1",
    }  # fmt: skip
    await elsewhere.get("any", request(Authorization="Bearer t"), 1)
    (url, headers), *_ = relay.asked
    assert url == "http://10.0.0.3:1/api/v1/x?y=1"
    assert headers == {RELAYED: "me", "Accept": "*/*", "Authorization": "Bearer t"}
    assert len(await elsewhere.gather("/apis/z", request(), 1)) == 4


@pytest.mark.parametrize("peer", ["hidden", "silent", "nobody"])
async def test_a_peer_that_cannot_be_reached_is_named(peer: str) -> None:
    elsewhere = Elsewhere(Backend(), Relay())  # type: ignore[arg-type] - all that it needs.
    with pytest.raises(StatusError, match=f"machine of peer '{peer}'"):
        await elsewhere.get(peer, request(), 1)


async def test_a_request_is_passed_on_once() -> None:
    relay = Relay()
    elsewhere = Elsewhere(Backend(), relay)  # type: ignore[arg-type] - all that it needs.
    with pytest.raises(StatusError, match="is on the machine of peer"):
        await elsewhere.get("plain", request(**{RELAYED: "b"}), 1)
    assert not relay.asked
