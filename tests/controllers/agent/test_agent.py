"""Pods as real processes, end to end but for the API, which is in memory."""

import asyncio
import os
import signal
import socket
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from controllers.agent import agent as agent_module
from tests.controllers.agent.rig import Rig, is_alive, until

pytestmark = pytest.mark.slow

SLEEP = {"command": ["sleep", "1000"]}
SERVER = """
import http.server, os, sys
class H(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        ok = self.path != "/bad"
        self.send_response(200 if ok else 500); self.end_headers(); self.wfile.write(b"hello")
    def log_message(self, *a): print("asked", self.path, flush=True)
http.server.HTTPServer((os.environ["IP"], 8080), H).serve_forever()
"""
WEB = {
    "command": [sys.executable, "-c", SERVER],
    "env": [{"name": "IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}}],
    "ports": [{"name": "http", "containerPort": 8080}],
}


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    rig = Rig(tmp_path / "pods")
    yield rig
    rig.end_all()


async def test_a_pod_runs_is_probed_and_says_where_it_is(rig: Rig) -> None:
    probe = {"httpGet": {"port": "http", "path": "/"}, "periodSeconds": 1}
    rig.create("web", {**WEB, "readinessProbe": probe})

    async with rig.agent():
        await until(lambda: rig.ready("web"), "ready")

        status = rig.status("web")
        assert status["phase"] == "Running"
        assert status["podIP"].startswith("127.")
        assert is_alive(rig.pid("web"))
        assert "asked /" in await rig.log("web", tail=1)
        assert "Started" in rig.reasons()


async def test_a_killed_process_is_started_again_and_its_log_is_kept(rig: Rig) -> None:
    rig.create("p", {"command": ["sh", "-c", "echo I am $$$$; exec sleep 1000"]})

    async with rig.agent():
        await until(lambda: rig.pid("p"), "running")
        first = rig.pid("p")
        os.kill(first, signal.SIGKILL)
        await until(lambda: rig.container("p").get("restartCount") == 1 and rig.pid("p"), "again")

        ended = rig.container("p")["lastState"]["terminated"]
        assert (ended["exitCode"], ended["signal"], ended["reason"]) == (137, 9, "Error")
        assert await rig.log("p", previous=True) == f"I am {first}\n"
        assert await rig.log("p") == f"I am {rig.pid('p')}\n"


async def test_processes_outlive_the_agent_and_are_adopted(rig: Rig) -> None:
    """AGT-2: the same pid, no restart, still ready; what ended meanwhile is started again."""
    rig.create("stays", SLEEP)
    rig.create("ends", SLEEP)
    async with rig.agent():
        await until(lambda: rig.pid("stays") and rig.pid("ends"), "both run")
    stays, ends = rig.pid("stays"), rig.pid("ends")
    os.kill(ends, signal.SIGTERM)
    before = rig.status("stays")

    async with rig.agent():
        await until(lambda: rig.container("ends")["restartCount"] == 1, "seen")
        assert rig.container("ends")["lastState"]["terminated"]["signal"] == 15
        assert rig.pid("stays") == stays
        assert is_alive(stays)
        assert rig.status("stays") == before


async def test_a_pod_that_is_missing_from_a_list_is_asked_for_before_it_ends(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """AGT-1."""
    monkeypatch.setattr(agent_module, "CONFIRM_S", 0.05)
    rig.create("p", SLEEP)
    async with rig.agent():
        await until(lambda: rig.pid("p"), "running")
    pid, key = rig.pid("p"), ("/pods", "default", "p")
    hidden = rig.api.objects.pop(key)

    async with rig.agent() as agent:
        await until(lambda: agent.runners, "adopted, though it is not listed")
        await asyncio.sleep(0.5)
        assert is_alive(pid)  # Not here is not gone.
        rig.api.objects[key] = hidden
        rig.api.version += 1
        rig.api.cut_watches()
        await asyncio.sleep(0.5)
        assert is_alive(pid)
        rig.api.gone.add(hidden["metadata"]["uid"])
        del rig.api.objects[key]
        rig.api.version += 1
        rig.api.cut_watches()
        await until(lambda: not is_alive(pid), "ended")
        await until(lambda: not agent.runners, "forgotten")


async def test_deleting_gives_sigterm_and_takes_the_descendants_with_it(rig: Rig) -> None:
    """PUB-2, SHIM-2."""
    script = "trap 'echo bye; exit 0' TERM; sleep 1000 & echo $!; wait"
    rig.create("p", {"command": ["sh", "-c", script]})

    async with rig.agent() as agent:
        await until(lambda: rig.pid("p"), "running")
        pid = rig.pid("p")
        said = await rig.wait_log("p")
        rig.delete("p")
        await until(lambda: rig.pod("p") is None, "the object is gone")

        assert not is_alive(pid)
        assert not is_alive(int(said))
        await until(lambda: not agent.runners, "forgotten")


async def test_a_process_that_does_not_listen_is_killed_after_its_grace(rig: Rig) -> None:
    rig.create("p", {"command": ["sh", "-c", "trap '' TERM; echo on; while :; do sleep 1; done"]})

    async with rig.agent():
        await until(lambda: rig.pid("p"), "running")
        pid = rig.pid("p")
        await rig.wait_log("p")
        rig.delete("p", grace_s=1)
        await until(lambda: rig.pod("p") is None, "the object is gone")

    assert not is_alive(pid)


async def test_configuration_comes_as_environment_and_as_files_and_files_follow_it(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(agent_module, "REFRESH_S", 0.1)
    rig.store("configmaps", "c", {"data": {"color": "blue", "app.conf": "a=1\n"}})
    rig.store("secrets", "s", {"data": {"key": "c2VjcmV0"}})
    where = "$(CRDTSTATE_POD_DIR)/volumes/conf/app.conf"
    rig.create(
        "p",
        {
            "command": ["sh", "-c", f"echo $COLOR $KEY $HOSTNAME; cat {where}; exec sleep 1000"],
            "env": [
                {"name": "COLOR", "valueFrom": {"configMapKeyRef": {"name": "c", "key": "color"}}}
            ],
            "envFrom": [{"secretRef": {"name": "s"}, "prefix": "X_"}],
            "args": [],
        },
        volumes=[{"name": "conf", "configMap": {"name": "c"}}],
    )

    async with rig.agent() as agent:
        await until(lambda: rig.pid("p"), "running")
        assert await rig.wait_log("p", "a=1") == "blue p\na=1\n"
        rig.store("configmaps", "c", {"data": {"app.conf": "a=2"}})
        runner = agent.find("default", "p")
        assert runner is not None
        path = runner.place.directory.path / "volumes" / "conf" / "app.conf"
        await until(lambda: path.read_text() == "a=2", "the file follows")


async def test_a_mount_path_is_where_the_manifest_says(rig: Rig) -> None:
    rig.mounts = True
    rig.store("configmaps", "c", {"data": {"x": "inside"}})
    rig.create(
        "p",
        {
            "command": ["sh", "-c", "cat /etc/of-this-test/deep/x; ls -d /etc/passwd; sleep 1000"],
            "volumeMounts": [
                {"name": "v", "mountPath": "/etc/of-this-test/deep"},
                {"name": "v", "mountPath": "/of-this-test"},
            ],
            "readinessProbe": {
                "exec": {"command": ["cat", "/etc/of-this-test/deep/x", "/of-this-test/x"]}
            },
        },
        volumes=[{"name": "v", "configMap": {"name": "c"}}],
    )

    async with rig.agent() as agent:
        if not agent.machine.mounts:
            pytest.skip("no mount namespaces here")
        await until(lambda: rig.ready("p"), "the probe sees the mount")
        assert await rig.log("p") == "inside/etc/passwd\n"
        assert "of-this-test" not in [*os.listdir("/etc"), *os.listdir("/")]


async def test_more_memory_than_the_limit_ends_a_container_with_its_reason(rig: Rig) -> None:
    hog = "x = bytearray(80 << 20); import time; time.sleep(1000)"
    rig.create(
        "p",
        {"command": [sys.executable, "-c", hog], "resources": {"limits": {"memory": "40Mi"}}},
        restartPolicy="Never",
    )

    async with rig.agent():
        await until(lambda: rig.status("p").get("phase") == "Failed", "killed")

    ended = rig.container("p")["state"]["terminated"]
    assert (ended["reason"], ended["exitCode"]) == ("OOMKilled", 137)


BAD: list[tuple[dict[str, Any], dict[str, Any], str, str]] = [
    ({"command": ["no-such-command"]}, {}, "CreateContainerError",
     'exec: "no-such-command": executable file not found in $PATH'),
    ({"command": ["/etc/passwd"]}, {}, "CreateContainerError", "permission denied"),
    ({"command": ["true"], "workingDir": "/no/such/place"}, {}, "CreateContainerError",
     'workingDir "/no/such/place"'),
    ({**SLEEP, "envFrom": [{"configMapRef": {"name": "nope"}}]}, {}, "CreateContainerConfigError",
     'configmap "nope" not found'),
    ({**SLEEP, "env": [{"name": "A", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}}]},
     {}, "CreateContainerConfigError", 'secret "s" not found'),
    (SLEEP, {"volumes": [{"name": "v", "persistentVolumeClaim": {"claimName": "x"}}]},
     "CreateContainerConfigError", "persistentVolumeClaim"),
    ({"image": "nginx:1.27"}, {}, "CommandMissing", 'names the image "nginx:1.27" and no command'),
    ({**SLEEP, "ports": [{"containerPort": 80, "hostPort": 81}]}, {},
     "CreateContainerConfigError", "hostPort 81 is not containerPort 80"),
]  # fmt: skip


async def test_bad_pods_say_why_and_hurt_nobody(rig: Rig) -> None:
    """LCH-1."""
    with socket.socket() as taken:
        taken.bind(("127.1.2.3", 0))
        taken.listen()
        port = taken.getsockname()[1]
        ports = {**SLEEP, "ports": [{"containerPort": port, "hostPort": port}]}
        table = [*BAD, (ports, {}, "PortInUse", f"hostPort {port} on 127.1.2.3 cannot be had")]
        for n, (container, spec, _, _) in enumerate(table):
            rig.create(f"bad-{n}", container, **spec)
        rig.create("crash", {"command": ["sh", "-c", "echo out of luck >&2; exit 7"]})
        rig.create("huge", {**SLEEP, "resources": {"requests": {"cpu": "64"}}})
        rig.create("good", SLEEP)

        async with rig.agent():
            await until(lambda: rig.ready("good"), "the good one is ready")
            for n, (_, _, reason, message) in enumerate(table):
                # Until its turn comes it waits as every pod does: "ContainerCreating".
                await until(
                    lambda n=n, reason=reason: rig.waiting(f"bad-{n}").get("reason") == reason,
                    f"bad-{n} waits for {reason}",
                )
                assert message in rig.waiting(f"bad-{n}")["message"]
                await until(
                    lambda reason=reason: reason in rig.reasons(), f"an event says {reason}"
                )
            await until(
                lambda: rig.waiting("crash").get("reason") == "CrashLoopBackOff", "crash loop"
            )
            assert rig.container("crash")["lastState"]["terminated"]["message"] == "out of luck"
            assert rig.status("huge")["reason"] == "OutOfcpu"
            assert rig.status("huge")["phase"] == "Failed"
            assert rig.container("good")["restartCount"] == 0


async def test_hundreds_of_pods_that_run_nothing_are_ready_and_then_cost_nothing(
    rig: Rig,
) -> None:
    """PUB-1."""
    for n in range(300):
        rig.create(f"p{n}", {}, annotations={"crdtstate.io/driver": "noop"})

    async with rig.agent() as agent:
        await until(lambda: all(rig.ready(f"p{n}") for n in range(300)), "all are ready")
        assert agent.publisher.writes == 300
        writes = rig.api.writes
        rig.delete("p7")
        await until(lambda: rig.pod("p7") is None, "one is gone")
        assert rig.api.writes - writes <= 4

    async with rig.agent() as again:
        await until(lambda: len(again.runners) == 299, "known again")
        await asyncio.sleep(0.2)
        assert again.publisher.writes == 0
