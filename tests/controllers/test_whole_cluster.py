"""Everything together, on three real peers: what runs, what dies, what is cut, what comes back.

Deadlines are generous; what each step took is printed as a figure at the end of the run.
"""

import json
import os
import signal
import socket
import time
import urllib.request
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from crdtstate.client.kinds import DEPLOYMENTS, NODES, PODS, SERVICES
from tests.controllers.cluster import EXAMPLES, Cluster, cluster, pid_of

pytestmark = pytest.mark.e2e
Figure = Callable[[str], None]
WEB = "app=web"


@pytest.fixture(scope="module")
def there(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with cluster(tmp_path_factory.mktemp("whole")) as running:
        yield running


@pytest.fixture
def web(there: Cluster) -> Iterator[Cluster]:
    """The example of a web service, three replicas ready, each on a machine of its own."""
    there.kubectl("a", "apply", "-f", str(EXAMPLES / "web"))
    there.kubectl("a", "scale", "deployment/web", "--replicas=3")
    there.wait_ready("a", WEB, 3)
    yield there
    there.peers.heal()
    there.kubectl("a", "delete", "-f", str(EXAMPLES / "web"))
    for peer in there.peers.children:
        there.wait(lambda peer=peer: not there.find(peer, PODS, WEB), f"gone, as {peer} sees it")


def ask(address: str, port: int) -> str:
    with urllib.request.urlopen(f"http://{address}:{port}/", timeout=10) as answer:
        return str(answer.read().decode())


def need(body: dict[str, Any] | None) -> dict[str, Any]:
    assert body is not None
    return body


def is_alive(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii") as file:
            return file.read().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def on(there: Cluster, peer: str, machine: str) -> dict[str, int]:
    """Return the pids of the pods of the web service on one machine, as a peer sees them."""
    return {
        pod["metadata"]["name"]: pid_of(pod)
        for pod in there.pods(peer, WEB)
        if pod["spec"].get("nodeName") == machine
    }


def test_what_is_applied_at_one_peer_runs_on_all_and_answers_at_all(
    there: Cluster, figure: Figure
) -> None:
    there.kubectl("b", "apply", "-f", str(EXAMPLES / "web"))
    took_s = there.wait(lambda: len(there.ready("c", WEB)) == 3, "three are ready")
    figure(f"from apply at b to three pods ready at c: {took_s:.1f} s")

    service = need(there.get("a", SERVICES, "web"))["spec"]
    said = {ask(service["clusterIP"], 8000) for _ in range(12)}
    assert all(text.startswith("hello from web-") for text in said)
    for node in there.find("a", NODES):
        address = node["status"]["addresses"][0]["address"]
        assert ask(address, service["ports"][0]["nodePort"]).startswith("hello from web-")
    for pod, peer in zip(there.pods("a", WEB), "abc", strict=True):
        assert "GET / HTTP" in there.kubectl(peer, "logs", pod["metadata"]["name"])
    top = there.kubectl("b", "top", "pods")
    assert all(name in top for name in there.ready("b", WEB))
    assert there.kubectl("c", "top", "nodes").count("%") >= 2 * 3


def test_a_killed_process_is_started_again_in_its_pod(web: Cluster, figure: Figure) -> None:
    name, pid = next(iter(web.ready("a", WEB).items()))

    os.kill(pid, signal.SIGKILL)
    took_s = web.wait(
        lambda: web.ready("a", WEB).get(name, pid) not in (0, pid), "another process is ready"
    )

    figure(f"from kill -9 of a process to the next one ready: {took_s:.1f} s")
    pod = need(web.get("b", PODS, name))
    assert pod["status"]["containerStatuses"][0]["restartCount"] == 1
    assert "GET / HTTP" in web.kubectl("c", "logs", "--previous", name)


def test_processes_outlive_a_killed_peer_and_are_adopted(web: Cluster, figure: Figure) -> None:
    before = web.ready("a", WEB)
    mine = on(web, "a", "c")
    assert mine

    web.peers.kill("c")
    assert all(is_alive(pid) for pid in mine.values())
    web.peers.start("c")
    web.peers.wait_ready("c")
    took_s = web.wait(lambda: web.ready("c", WEB) == before, "all as before, at c")

    figure(f"from the return of a killed peer to its pods ready as before: {took_s:.1f} s")
    assert web.ready("a", WEB) == before
    assert all(is_alive(pid) for pid in mine.values())
    assert on(web, "c", "c") == mine
    assert all(restarts(pod) == 0 for pod in web.pods("c", WEB))
    web.wait_machines()


def restarts(pod: dict[str, Any]) -> int:
    return sum(c["restartCount"] for c in pod["status"]["containerStatuses"])


def test_the_pods_of_a_lost_peer_run_elsewhere_and_the_surplus_goes_when_it_returns(
    web: Cluster, figure: Figure
) -> None:
    before, lost = web.ready("a", WEB), on(web, "a", "c")
    kept = {name: pid for name, pid in before.items() if name not in lost}

    web.peers.kill("c")
    took_s = web.wait(
        lambda: (
            len(on(web, "a", "a") | on(web, "a", "b")) == 3
            and set(on(web, "a", "a") | on(web, "a", "b")) <= set(web.ready("a", WEB))
        ),
        "three run on what is left",
    )
    figure(f"from kill -9 of a peer to its pods ready elsewhere: {took_s:.1f} s")
    web.peers.start("c")
    web.peers.wait_ready("c")
    web.wait_machines()

    for peer in ("a", "b", "c"):
        web.wait_ready(peer, WEB, 3)
    after = web.ready("c", WEB)
    assert kept.items() <= after.items(), "what was healthy all the time stays"
    ended = lost.keys() - after.keys()
    web.wait(lambda: not any(is_alive(lost[name]) for name in ended), "no surplus process is left")


def test_after_a_cut_with_a_scale_on_each_side_the_merged_number_runs_and_nothing_restarted(
    web: Cluster, figure: Figure
) -> None:
    web.peers.isolate("c")
    web.kubectl("a", "scale", "deployment/web", "--replicas=5")
    web.wait(lambda: len(on(web, "a", "a") | on(web, "a", "b")) == 5, "five, without c's")
    web.kubectl("c", "scale", "deployment/web", "--replicas=4")
    web.wait(lambda: len(on(web, "c", "c")) == 4, "four on the other side")
    for peer, machines, count in (("a", "ab", 5), ("c", "c", 4)):
        web.wait(
            lambda p=peer, ms=machines, n=count: sum(
                name in web.ready(p, WEB) for m in ms for name in on(web, p, m)
            ) == n,
            f"{count} are ready, as {peer} sees it",
        )  # fmt: skip
    # One pod, with one uid, may run on both sides: what names a process is its pid.
    healthy = {*web.ready("a", WEB).items(), *web.ready("c", WEB).items()}

    web.peers.heal()
    web.wait(web.peers.is_converged, "the peers are one again")
    took_s = 0.0
    for peer in ("a", "b", "c"):
        took_s += web.wait(
            lambda peer=peer: len(web.ready(peer, WEB)) == len(web.find(peer, PODS, WEB)) == 4,
            f"the merged number, as {peer} sees it",
        )

    figure(f"from convergence after a heal to exactly the merged number: {took_s:.1f} s")
    after = web.ready("b", WEB)
    assert after.items() <= healthy, "the same processes, as their pids say"
    assert all(restarts(pod) == 0 for pod in web.pods("b", WEB))
    assert all(is_alive(pid) for pid in after.values())
    surplus = {pid for _, pid in healthy} - set(after.values())
    web.wait(lambda: not any(is_alive(pid) for pid in surplus), "no surplus process is left")
    assert need(web.get("a", DEPLOYMENTS, "web"))["spec"]["replicas"] == 4


BAD = {
    "command": ({"command": ["no-such-thing"]}, "executable file not found in $PATH"),
    "image": ({"image": "nginx:1.27"}, 'names the image "nginx:1.27" and no command'),
    "config": (
        {"command": ["true"], "envFrom": [{"configMapRef": {"name": "nope"}}]},
        'configmap "nope" not found',
    ),
    "crash": ({"command": ["sh", "-c", "echo no luck; exit 3"]}, "Back-off restarting failed"),
    "selector": ({"command": ["true"]}, "FailedScheduling"),
    "greedy": (
        {"command": ["true"], "resources": {"requests": {"cpu": "9000"}}}, "FailedScheduling",
    ),
}  # fmt: skip


def test_what_is_wrong_with_a_pod_stands_in_its_description(there: Cluster) -> None:
    with socket.socket() as taken:
        taken.bind(("0.0.0.0", 0))
        taken.listen()
        port = taken.getsockname()[1]
        ports = [{"containerPort": port, "hostPort": port}]
        table = {
            **BAD,
            "port": ({"command": ["sleep", "9"], "ports": ports}, f"hostPort {port} on"),
            "refused": (
                {"command": ["true"], "resources": {"requests": {"cpu": "9000"}}}, "OutOfcpu",
            ),
        }  # fmt: skip
        items = []
        for name, (container, _) in table.items():
            spec: dict[str, Any] = {"containers": [{"name": "c", "image": "here", **container}]}
            if name == "selector":
                spec["nodeSelector"] = {"no": "machine"}
            if name == "refused":
                spec["nodeName"] = "b"
            items.append(
                {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": f"bad-{name}"},
                 "spec": spec}
            )  # fmt: skip
        good = {"containers": [{"name": "c", "image": "here", "command": ["sleep", "99999"]}]}
        items.append(
            {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "good"}, "spec": good}
        )
        bad = json.dumps({"apiVersion": "v1", "kind": "List", "items": items})
        there.kubectl("a", "apply", "-f", "-", stdin=bad)

        there.kubectl("c", "wait", "--for=condition=Ready", "pod/good", "--timeout=90s")
        for name, (_, reason) in table.items():
            there.wait(
                lambda n=name, r=reason: r in there.kubectl("b", "describe", "pod", f"bad-{n}"),
                f"{reason!r} stands in the description of bad-{name}",
            )
    assert "no luck" in there.kubectl("c", "logs", "--previous", "bad-crash")
    refused = there.kubectl("a", "scale", "deployment/web", "--replicas=-1", check=False)
    assert "must be" in refused or "Invalid" in refused or "invalid" in refused
    names = [f"pod/{item['metadata']['name']}" for item in items]
    there.kubectl("a", "delete", "--grace-period=1", *names)


def test_a_pod_that_ends_slowly_is_gone_only_when_its_process_is(there: Cluster) -> None:
    script = "trap 'sleep 1; echo bye; exit 0' TERM; echo up; while :; do sleep 0.1; done"
    spec = {"containers": [{"name": "c", "image": "here", "command": ["sh", "-c", script]}]}
    body = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "slow"}, "spec": spec}
    there.kubectl("a", "create", "-f", "-", stdin=json.dumps(body))
    there.wait(lambda: "up" in there.kubectl("b", "logs", "slow", check=False), "it has begun")
    pid = pid_of(need(there.get("a", PODS, "slow")))
    followers = [there.start_kubectl(peer, "logs", "-f", "slow") for peer in "abc"]

    there.kubectl("c", "delete", "pod", "slow")

    assert not is_alive(pid)
    for follower in followers:  # At any peer, a follower sees the end, and ends with it.
        assert follower.communicate(timeout=60)[0] == b"up\nbye\n"


def test_hundreds_of_pods_come_quickly_and_then_cost_nothing(
    there: Cluster, figure: Figure
) -> None:
    """Pods that run nothing: what is measured is everything but the processes."""
    template = {
        "metadata": {"labels": {"app": "many"}, "annotations": {"crdtstate.io/driver": "noop"}},
        "spec": {"containers": [{"name": "c", "image": "none"}]},
    }
    spec = {"replicas": 300, "selector": {"matchLabels": {"app": "many"}}, "template": template}
    body = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "many"}}
    there.kubectl("a", "create", "-f", "-", stdin=json.dumps({**body, "spec": spec}))

    def ready() -> int:
        found = there.get("b", DEPLOYMENTS, "many") or {}
        return int(found.get("status", {}).get("readyReplicas", 0))

    took_s = there.wait(lambda: ready() == 300, "300 are ready")
    figure(f"from create at a to 300 pods ready at b: {took_s:.1f} s")
    there.wait(there.peers.is_converged, "nobody writes any more")
    before, writes, began = cpu_s(there), written(there), time.monotonic()
    time.sleep(5)  # Of which the cost is measured; nothing is waited for.
    share = (cpu_s(there) - before) / (time.monotonic() - began)
    figure(f"three peers with 300 pods, idle: {share * 100:.1f} % of a core together")
    assert written(there) - writes < 10, "no more than the sweeping up after earlier tests"
    there.kubectl("c", "delete", "deployment", "many")
    there.wait(lambda: not there.find("a", PODS, "app=many"), "all are gone")


def written(there: Cluster) -> int:
    """Return how many transactions there are."""
    return sum(there.peers.status("a")["vector"].values())


def cpu_s(there: Cluster) -> float:
    """Return the seconds of a processor that the peers have used."""
    total = 0
    for child in there.peers.children.values():
        with open(f"/proc/{child.process.pid}/stat", encoding="ascii") as file:
            fields = file.read().rpartition(")")[2].split()
        total += int(fields[11]) + int(fields[12])
    return total / os.sysconf("SC_CLK_TCK")
