"""A machine's Services and its Node, on a resource API in memory and real sockets."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from controllers.agent.proxy import ServiceProxy
from controllers.agent.registration import Registration
from controllers.runtime.actions import Say
from tests.controllers.agent.rig import PodApi, until
from tests.controllers.agent.test_relay import endpoint

ADDRESS = "127.1.2.3"


class Machine:
    """One ServiceProxy."""

    def __init__(self) -> None:
        self.api, self.said = PodApi(), list[Say]()
        self.api.members = [
            {"name": "a", "liveness": "alive", "self": True, "linked": True, "origin": None,
             "address": None, "api": None, "incarnation": 0, "vector_behind": 0}
        ]  # fmt: skip

    @asynccontextmanager
    async def proxy(self) -> AsyncIterator[ServiceProxy]:
        client = self.api.client()
        made = ServiceProxy(
            client, name="a", address=ADDRESS, now_ms=lambda: 0, say=self.said.append
        )
        task = asyncio.create_task(made.run())
        try:
            yield made
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            await client.close()

    def service(self, name: str, port: int, **spec: Any) -> None:
        ports = [{"port": port, "name": "http"}]
        body = {"metadata": {"name": name}, "spec": {"ports": ports, **spec}}
        self.api.create("/services", "default", body)

    def spec(self, name: str) -> dict[str, Any]:
        return dict(self.api.objects["/services", "default", name]["spec"])

    def serve(self, name: str, *endpoints: tuple[str, int]) -> None:
        """Write the EndpointSlice; all endpoints have one port."""
        labels = {"kubernetes.io/service-name": name}
        key = ("discovery.k8s.io/endpointslices", "default", name)
        body = {
            "metadata": {"name": name, "labels": labels},
            "ports": [{"name": "http", "port": port} for _, port in endpoints[:1]],
            "endpoints": [{"addresses": [host], "nodeName": "a"} for host, _ in endpoints],
        }
        if key in self.api.objects:
            self.api.write(key, body, None)
        else:
            self.api.create(key[0], "default", body)


async def greeting(host: str, port: int) -> bytes:
    """Return what is said at an address; empty when nobody is there."""
    try:
        reader, writer = await asyncio.open_connection(host, port)
        try:
            return await reader.readline()
        finally:
            writer.close()
    except OSError:
        return b""


async def reached(host: str, port: int, said: bytes) -> None:
    deadline_s = asyncio.get_running_loop().time() + 30
    while (heard := await greeting(host, port)) != said:
        assert asyncio.get_running_loop().time() < deadline_s, f"{host}:{port} says {heard!r}"
        await asyncio.sleep(0.05)


async def test_a_service_is_given_an_address_and_follows_its_endpoints() -> None:
    machine = Machine()
    machine.service("web", 18080, type="NodePort")

    async with endpoint("127.0.0.2") as (one, _), machine.proxy():
        await until(lambda: machine.spec("web").get("clusterIP"), "an address is chosen")
        spec = machine.spec("web")
        machine.serve("web", (one.host, one.port))
        await reached(spec["clusterIP"], 18080, b"127.0.0.2\n")
        await reached(ADDRESS, spec["ports"][0]["nodePort"], b"127.0.0.2\n")
        async with endpoint("127.0.0.3") as (two, _):
            machine.serve("web", (two.host, two.port))
            await reached(spec["clusterIP"], 18080, b"127.0.0.3\n")
        machine.api.delete(("/services", "default", "web"), {})
        await reached(spec["clusterIP"], 18080, b"")


async def test_agents_of_one_machine_share_an_address() -> None:
    machine = Machine()
    machine.service("web", 18081)
    async with endpoint("127.0.0.2") as (one, _), machine.proxy(), machine.proxy():
        machine.serve("web", (one.host, one.port))
        await until(lambda: machine.spec("web").get("clusterIP"), "an address is chosen")
        address = machine.spec("web")["clusterIP"]
        await reached(address, 18081, b"127.0.0.2\n")
        said = [await greeting(address, 18081) for _ in range(8)]
        assert set(said) == {b"127.0.0.2\n"}
    assert not machine.said


async def test_a_port_that_cannot_be_had_is_said_of_the_service() -> None:
    machine = Machine()
    with socket.socket() as taken:
        taken.bind(("127.64.9.9", 0))
        taken.listen()
        port = taken.getsockname()[1]
        machine.service("web", port, clusterIP="127.64.9.9")
        machine.service("other", 18082, clusterIP="127.64.9.10")
        async with endpoint("127.0.0.2") as (one, _), machine.proxy():
            await until(lambda: machine.said, "it is said")
            machine.serve("other", (one.host, one.port))
            await reached("127.64.9.10", 18082, b"127.0.0.2\n")  # Others are served.
    say = machine.said[0]
    assert say.reason == "PortNotAvailable"
    assert f"127.64.9.9:{port} cannot be listened on by the agent of a" in say.message


async def test_a_service_that_is_nonsense_hurts_no_other() -> None:
    machine = Machine()
    machine.service("bad", 18083, clusterIP="not an address")
    machine.service("good", 18083, clusterIP="127.64.9.11")
    async with endpoint("127.0.0.2") as (one, _), machine.proxy():
        machine.serve("good", (one.host, one.port))
        await reached("127.64.9.11", 18083, b"127.0.0.2\n")


async def test_the_node_of_a_machine_is_kept_as_it_is_and_written_only_when_it_differs() -> None:
    api = PodApi()
    client = api.client()
    registration = Registration(
        client.resources, name="a", address=ADDRESS, allocatable={"cpu": "2", "pods": "9"},
        now_ms=lambda: 1_700_000_000_000,
    )  # fmt: skip
    task = asyncio.create_task(registration.run())
    key = ("/nodes", "", "a")

    def status() -> dict[str, Any]:
        return dict(api.objects.get(key, {}).get("status", {}))

    def is_ready() -> bool:
        rows = {c["type"]: c["status"] for c in status().get("conditions", [])}
        return rows.get("Ready") == "True"

    try:
        await until(is_ready, "the Node is there, and ready")
        assert status()["addresses"][0] == {"type": "InternalIP", "address": ADDRESS}
        assert status()["capacity"] == {"cpu": "2", "pods": "9"}
        assert status()["nodeInfo"]["operatingSystem"] == "linux"
        writes = api.writes
        await asyncio.sleep(0.3)
        assert api.writes == writes

        changed = {**status(), "conditions": [{"type": "Ready", "status": "Unknown"}]}
        api.write(key, {"metadata": {"name": "a"}, "status": changed}, "status")
        await until(is_ready, "what others say of it is taken back")
        api.delete(key, {})
        await until(is_ready, "it is made again")
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await client.close()
