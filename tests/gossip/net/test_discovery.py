"""Multicast DNS, on the loopback interface only."""

import asyncio

import pytest
import structlog.testing

from gossip.net import discovery
from tests.gossip.net.mesh_harness import start_mesh, until


def test_members_find_each_other_without_seeds() -> None:
    async def scenario() -> None:
        a = await start_mesh("mdns-a", mdns=True)
        b = await start_mesh("mdns-b", mdns=True)
        stranger = await start_mesh("mdns-c", mdns=True, cluster_id=b"another cluster!")
        try:
            await until(lambda: a.mesh.linked() == ["mdns-b"], "a link by discovery")

            assert stranger.mesh.linked() == []
        finally:
            for one in (a, b, stranger):
                await one.mesh.stop()

    asyncio.run(scenario())


def test_a_network_without_multicast_costs_a_warning_only(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(**_: object) -> None:
        raise OSError("no multicast here")

    monkeypatch.setattr(discovery, "AsyncZeroconf", refuse)
    # A logger of its own: what other tests have configured for the process does not matter here.
    lines = structlog.testing.CapturingLogger()
    own = structlog.wrap_logger(lines, processors=[], wrapper_class=structlog.BoundLogger)
    monkeypatch.setattr(discovery, "log", own)

    async def scenario() -> None:
        a = await start_mesh("a", mdns=True)
        try:
            await until(lambda: bool(lines.calls), "a warning")
            assert a.mesh.port > 0
            assert a.count("failures") == 0
        finally:
            await a.mesh.stop()

    asyncio.run(scenario())
    assert [(c.method_name, c.kwargs["event"]) for c in lines.calls] == [
        ("warning", "discovery_failed")
    ]
