"""Informers that know one address, moved between peers that are killed, under 200 writes a second.

Whatever happened on the way: at the end an informer has what the peers have, no object less (a
gap), none more (a stale survivor), each in its last state.
`CRDTSTATE_INFORMER_S` says how long the short form takes; the long one takes five minutes.
"""

import asyncio
import json
import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from random import Random
from typing import Any

import aiohttp
import pytest
import yaml

from crdtstate.cli.kubeconfig import write_kubeconfig
from tests.e2e.fleet import Fleet, fleet, until
from tests.kube.clients import ROOT, library, program
from tests.kube.gate import Gate
from tests.kube.manifests import CRD

pytestmark = pytest.mark.e2e
SHORT_S, LONG_S = float(os.environ.get("CRDTSTATE_INFORMER_S", "15")), 300.0
RATE, WORKERS = 200, 8
NAMES, WIDGETS, WIDGET_EVERY = 400, 20, 40
DEADLINE_S = 120.0
NAMESPACE, GROUP = "informed", "informed.example.com"
CORE = f"/api/v1/namespaces/{NAMESPACE}/configmaps"
CUSTOM = f"/apis/{GROUP}/v1/namespaces/{NAMESPACE}/widgets"
MERGE = {"Content-Type": "application/merge-patch+json"}


class Churn:
    """Three peers behind a gate: objects come, change and go, and peers die."""

    def __init__(self, peers: Fleet, gate: Gate) -> None:
        self.peers, self.gate = peers, gate
        self.rng = Random(7)
        self.counts: Counter[str] = Counter()
        self._ended = False

    def prepare(self) -> None:
        """Make the namespace and the definition, everywhere."""
        crd = yaml.safe_load(CRD % {"group": GROUP})
        asyncio.run(self._create("/api/v1/namespaces", {"metadata": {"name": NAMESPACE}}))
        crds = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
        asyncio.run(self._create(crds, crd))
        self.peers.converge()

    async def _create(self, path: str, body: dict[str, Any]) -> None:
        async with (
            aiohttp.ClientSession() as session,
            session.post(self.peers.url("a") + path, json=body) as answer,
        ):
            assert answer.status == 201, await answer.text()

    def run(self, seconds: float) -> None:
        """Write, move and kill for a while; then all peers are up and equal."""
        asyncio.run(self._run(seconds))
        self.peers.converge(DEADLINE_S)

    async def _run(self, seconds: float) -> None:
        timeout = aiohttp.ClientTimeout(total=10)
        async with aiohttp.ClientSession(timeout=timeout) as session:
            writers = [asyncio.create_task(self._write(session)) for _ in range(WORKERS)]
            ends = time.monotonic() + seconds
            while time.monotonic() < ends:
                await self._disturb()
            self._ended = True
            await asyncio.gather(*writers)

    async def _disturb(self) -> None:
        """Move the gate; every other time the peer that it left is killed, and comes back."""
        names = sorted(self.peers.children)
        here, there = self.rng.sample(names, 2)
        self.gate.move(self.peers.url(here))
        self.counts["moves"] += 1
        await asyncio.sleep(self.rng.uniform(0.5, 2.0))
        if self.rng.random() < 0.6:
            await asyncio.to_thread(self.peers.kill, here)
            self.counts["kills"] += 1
            self.gate.move(self.peers.url(there))
            await asyncio.sleep(self.rng.uniform(0.1, 1.0))
            await asyncio.to_thread(self.peers.start, here)
            await asyncio.to_thread(self.peers.wait_ready, here)

    # -- writes --------------------------------------------------------------------------------

    async def _write(self, session: aiohttp.ClientSession) -> None:
        """One of the writers; what a killed peer did not answer may have happened."""
        loop = asyncio.get_running_loop()
        due = loop.time()
        while not self._ended:
            due = max(due + WORKERS / RATE, loop.time() - 1.0)
            await asyncio.sleep(due - loop.time())
            url = self.peers.url(self.rng.choice(sorted(self.peers.children)))
            try:
                status = await self._write_once(session, url)
                self.counts[f"answered {status // 100}xx"] += 1
            except (aiohttp.ClientError, TimeoutError):
                self.counts["unanswered"] += 1

    async def _write_once(self, session: aiohttp.ClientSession, url: str) -> int:
        rng = self.rng
        custom = rng.randrange(WIDGET_EVERY) == 0
        name = f"o{rng.randrange(WIDGETS if custom else NAMES)}"
        path = url + (CUSTOM if custom else CORE)
        body: dict[str, Any] = {"metadata": {"name": name}}
        if custom:
            body["spec"] = {"size": rng.randrange(10)}
            body |= {"apiVersion": f"{GROUP}/v1", "kind": "Widget"}
        else:
            body["data"] = {f"k{rng.randrange(3)}": f"{rng.random()}"}
        act = rng.random()
        if act < 0.25:
            async with session.post(path, json=body) as answer:
                return answer.status
        if act < 0.35:
            async with session.delete(f"{path}/{name}") as answer:
                return answer.status
        change = json.dumps(body)
        async with session.patch(f"{path}/{name}", data=change, headers=MERGE) as answer:
            return answer.status

    # -- the truth -----------------------------------------------------------------------------

    def shown(self, path: str) -> dict[str, Any]:
        """Return what a peer shows of a kind, by name."""

        async def fetch() -> Any:
            async with (
                aiohttp.ClientSession() as session,
                session.get(self.peers.url("a") + path) as answer,
            ):
                return await answer.json()

        return {o["metadata"]["name"]: o for o in asyncio.run(fetch())["items"]}


class Kopf:
    """An operator in a process of its own."""

    def __init__(self, home: Path, url: str) -> None:
        config = home / "kubeconfig"
        write_kubeconfig(config, {"gate": url})
        env = {
            "PATH": os.environ["PATH"], "HOME": str(home), "KUBECONFIG": str(config),
            "PYTHONPATH": str(ROOT),
        }  # fmt: skip
        self._log = (home / "kopf.log").open("w")
        self._process = subprocess.Popen(
            [*program("inform_kopf.py"), NAMESPACE, GROUP], env=env, text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._log,
        )  # fmt: skip

    def handled(self) -> dict[str, int]:
        """Return the size of each widget that it believes to be there."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write("tell\n")
        self._process.stdin.flush()
        return dict(json.loads(self._process.stdout.readline()))

    def close(self) -> None:
        """End it."""
        self._process.communicate(timeout=60)
        self._log.close()


class Informed:
    """The churn, and the informers that followed it."""

    def __init__(self, churn: Churn, shared: Any, kopf: Kopf) -> None:
        self.churn, self.shared, self.kopf = churn, shared, kopf


def _shared_informer(url: str) -> Any:
    from kubernetes import client
    from kubernetes.informer import SharedInformer

    api = client.CoreV1Api(client.ApiClient(client.Configuration(host=url)))
    return SharedInformer(api.list_namespaced_config_map, namespace=NAMESPACE)


@pytest.fixture(
    scope="module", params=[SHORT_S, pytest.param(LONG_S, marks=pytest.mark.deep)],
    ids=["short", "long"],
)  # fmt: skip
def informed(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Informed]:
    """Informers after a churn; each has the rest of the test's time to come to the truth."""
    library("kubernetes")
    library("kopf")
    with ExitStack() as stack:
        peers = stack.enter_context(fleet(tmp_path_factory.mktemp("informed")))
        gate = stack.enter_context(Gate(peers.url("a")))
        churn = Churn(peers, gate)
        churn.prepare()
        kopf = Kopf(tmp_path_factory.mktemp("kopf"), gate.url)
        stack.callback(kopf.close)
        kopf.handled()  # It answers when it is ready.
        shared = _shared_informer(gate.url)
        shared.start()
        stack.callback(shared.stop)
        churn.run(request.param)
        sys.stdout.write(f"{request.param:.0f} s: {dict(churn.counts)}\n")
        assert churn.counts["kills"] > 0
        yield Informed(churn, shared, kopf)


def test_the_python_informer_has_no_gap_and_no_stale_survivor(informed: Informed) -> None:
    truth = {
        name: (body["metadata"]["uid"], body.get("data") or {})
        for name, body in informed.churn.shown(CORE).items()
    }
    assert len(truth) > NAMES // 10

    def known() -> dict[str, Any]:
        found = informed.shared.cache.list()
        return {o.metadata.name: (o.metadata.uid, o.data or {}) for o in found}

    until(
        lambda: known() == truth, f"the informer has the truth, {informed.churn.counts}", DEADLINE_S
    )


def test_kopf_has_handled_the_last_state_of_all_and_let_go_what_was_deleted(
    informed: Informed,
) -> None:
    def is_done() -> bool:
        shown = informed.churn.shown(CUSTOM)
        there = {name: body["spec"]["size"] for name, body in shown.items()}
        going = [n for n, body in shown.items() if "deletionTimestamp" in body["metadata"]]
        return not going and there == informed.kopf.handled()

    until(is_done, "kopf has handled everything", DEADLINE_S)
