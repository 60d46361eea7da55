"""Every command of the command line against real peers: what it prints, how it ends."""

import json
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from click import Context

from crdtstate.cli.main import main, root
from tests.e2e.fleet import Fleet, until

pytestmark = pytest.mark.e2e


@pytest.fixture(scope="module")
def peers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    with Fleet(tmp_path_factory.mktemp("fleet"), 2) as running:
        yield running


class Run:
    """Runs commands in this process, as the entry point does."""

    def __init__(self, peers: Fleet, capsys: pytest.CaptureFixture[str]) -> None:
        self.peers, self._capsys = peers, capsys

    def __call__(self, *arguments: str, code: int = 0, server: str = "a") -> str:
        """Run one; return what it prints, on standard error when it fails."""
        url = self.peers.url(server) if server in self.peers.plans else server
        with pytest.raises(SystemExit) as ended:
            main(["-s", url, *arguments])
        out, err = self._capsys.readouterr()
        assert (ended.value.code or 0) == code, err
        if code:
            assert err.count("\n") <= 4, "an error is short"
            assert "Traceback" not in err
        return out if code == 0 else err


@pytest.fixture
def run(peers: Fleet, capsys: pytest.CaptureFixture[str]) -> Run:
    return Run(peers, capsys)


def test_keys(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    assert run("kv", "put", "color", "red") == ""
    assert run("kv", "get", "color") == "red"
    found = json.loads(run("kv", "get", "color", "-o", "json"))
    assert (found["value"], found["type"], found["conflicts"]) == ("red", "register", 0)
    run("kv", "put", "color", "blue", "--if-version", found["version"], "-w", "all")
    assert "color" in run("kv", "put", "color", "x", "--if-version", found["version"], code=4)
    run("kv", "put", "color", "x", "--if-absent", code=4)
    run("kv", "put", "gone", "soon", "--ttl", "0.2")
    assert yaml.safe_load(run("kv", "list", "-o", "yaml"))[0]["key"] == "color"
    assert run("kv", "list", "col", "--keys-only") == "color\n"
    table = run("kv", "list", "col").splitlines()
    assert [line.split() for line in table] == [
        ["KEY", "TYPE", "CONFLICTS", "VALUE"], ["color", "register", "-", "blue"],
    ]  # fmt: skip
    assert run("kv", "list", "zzz") == "no keys\n"
    until(lambda: "gone" not in run("kv", "list", "--keys-only"), "it expires")
    run("kv", "delete", "color")
    assert "there is no key 'color'" in run("kv", "delete", "color", code=3)
    assert "there is no key 'color'" in run("kv", "get", "color", code=3)


@pytest.fixture
def interruptible() -> Iterator[None]:
    """A run in the background ignores the signal, and so would what it starts."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("interruptible")
def test_watch(peers: Fleet) -> None:
    seen_it = threading.Event()

    def write() -> None:
        while not seen_it.wait(0.2):  # Until it is seen: the watch may open after the first.
            peers.client("b").put("w/1", "one")
            peers.client("b").delete("w/1")

    command = [sys.executable, "-m", "crdtstate", "-s", peers.url("a"), "kv", "watch", "w/"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as watching:
        try:
            threading.Thread(target=write).start()
            assert watching.stdout is not None
            seen = [watching.stdout.readline().split()]
            while seen[-1][0] != "DELETE":
                seen.append(watching.stdout.readline().split())
            seen_it.set()
            watching.send_signal(signal.SIGINT)
            assert watching.wait(10) == 130
        finally:
            seen_it.set()
            watching.kill()
    assert seen[-1] == ["DELETE", "w/1"]


MANIFESTS = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, labels: {app: web}}
spec:
  replicas: 2
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec: {containers: [{name: web, image: example.org/web}]}
---
apiVersion: v1
kind: Namespace
metadata: {name: shop, labels: {team: shop}}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: settings, namespace: shop}
data: {color: red}
"""


def test_objects_are_applied_shown_and_deleted(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "m.yaml"
    path.write_text(MANIFESTS)
    lines = ["deployment.apps/web", "namespace/shop", "configmap/settings"]
    assert run("apply", "-f", str(path)).splitlines() == [f"{line} created" for line in lines]
    assert run("apply", "-f", str(path)).splitlines() == [f"{line} unchanged" for line in lines]
    path.write_text(MANIFESTS.replace("replicas: 2", "replicas: 3"))
    assert "deployment.apps/web configured\n" in run("apply", "-f", str(path))
    rows = [line.split() for line in run("get", "deploy", "-l", "app=web").splitlines()]
    assert (rows[0][:2], rows[1][:2]) == (["NAME", "READY"], ["web", "0/3"])
    rows = [line.split() for line in run("get", "configmaps", "-A").splitlines()]
    assert ["shop", "settings", "1"] in [row[:3] for row in rows]
    assert run("get", "cm", "-n", "nobody") == "no configmaps in namespace nobody\n"
    found = json.loads(run("get", "Deployment/web", "-o", "json"))
    assert (found["spec"]["replicas"], found["metadata"]["namespace"]) == (3, "default")
    assert "managedFields" not in found["metadata"]
    assert yaml.safe_load(run("get", "ns", "-o", "yaml"))["kind"] == "List"
    assert run("kv", "list", "deployment", "--keys-only") == "", "objects are no keys"
    told = run("delete", "-f", str(path)).splitlines()
    assert told == [f"{line} deleted" for line in reversed(lines)]


def test_two_managers_of_one_field_are_told(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "m.yaml"
    text = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: mine}\ndata: {color: red}\n"
    path.write_text(text)
    run("apply", "-f", str(path), "--field-manager", "one")
    path.write_text(text.replace("red", "blue"))
    said = run("apply", "-f", str(path), "--field-manager", "two", code=1)
    assert 'conflict with "one"' in said
    assert "--force-conflicts" in said
    run("apply", "-f", str(path), "--field-manager", "two", "--force-conflicts")
    assert json.loads(run("get", "cm", "mine", "-o", "json"))["data"] == {"color": "blue"}
    assert run("delete", "cm", "mine") == "configmap/mine deleted\n"


def test_what_is_wrong_with_objects_is_said(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "m.yaml"
    for form in ("table", "json"):
        assert 'pods "x" not found' in run("get", "pod", "x", "-o", form, code=3)
    assert "did you mean 'deployments'" in run("get", "deploymets", code=3)
    assert "pods 'x' not found" in run("delete", "pod/x", code=3)
    assert "Give either" in run("delete", "pod", code=2)
    assert "one object" in run("get", "pod", "x", "-A", code=2)
    assert "no such file" in run("apply", "-f", str(tmp_path / "none"), code=3)
    path.write_text("kind: [")
    assert "line 2, column 1" in run("apply", "-f", str(path), code=1)
    path.write_text("apiVersion: example.org/v1\nkind: Moon\nmetadata: {name: m}\n")
    assert "no kind 'Moon' in 'example.org/v1'" in run("apply", "-f", str(path), code=3)
    path.write_text("apiVersion: v1\nkind: Pod\nmetadata: {name: m}\nspec: {containers: 1}\n")
    assert "spec.containers" in run("apply", "-f", str(path), code=1)


def test_the_cluster(run: Run, peers: Fleet, tmp_path: Path) -> None:
    rows = run("members").splitlines()
    assert rows[0].split()[:2] == ["NAME", "LIVENESS"]
    assert re.match(r"a \* +alive +yes +0", rows[1])
    status = run("status")
    assert re.search(r"linked +b\n", status)
    assert json.loads(run("status", "-o", "json"))["members"] == 2
    assert run("conflicts") == "no conflicts\n"
    assert run("wait") == "a, b have it\n"
    made = run("backup", str(tmp_path / "copy"))
    assert str(tmp_path / "copy") in made
    assert "is not empty" in run("backup", str(tmp_path / "copy"), code=1)
    run("restore", str(tmp_path / "copy"), str(tmp_path / "new"))
    assert "is not empty" in run("restore", str(tmp_path / "copy"), str(tmp_path / "new"), code=1)
    assert "is not a backup" in run("restore", str(tmp_path), str(tmp_path / "x"), code=1)
    assert "nobody" in run("forget", "nobody", "--yes", code=3)


def test_kubeconfig(run: Run, peers: Fleet, tmp_path: Path) -> None:
    until(lambda: "b" in servers_of(run("kubeconfig")), "a knows where b's API is")
    servers = servers_of(run("kubeconfig"))
    assert servers == {"crdtstate": peers.url("a"), "a": peers.url("a"), "b": peers.url("b")}

    path = tmp_path / "kubeconfig"
    told = run("kubeconfig", "-o", str(path), server="b")
    assert told == f"export KUBECONFIG={path}\n"
    assert servers_of(path.read_text())["crdtstate"] == peers.url("b")


def servers_of(text: str) -> dict[str, str]:
    return {c["name"]: c["cluster"]["server"] for c in yaml.safe_load(text)["clusters"]}


def test_faults_and_keys(run: Run, peers: Fleet) -> None:
    assert run("dev", "cut", "a", "b") == "cut a <-x-> b\n"
    peers.wait_cut("a", "b")
    run("kv", "put", "split", "here", server="a")
    run("kv", "put", "split", "there", server="b")
    assert "1 of the 2" in run("--timeout", "1", "kv", "put", "k", "v", "-w", "2", code=5)
    run("dev", "heal")
    peers.converge()
    table = run("conflicts").splitlines()
    assert len(table) == 3
    assert "there" in table[1] + table[2]
    assert run("dev", "fault", "a", "b", "--drop", "0.1") == "a -> b: 10% lost, 0 ms later\n"
    run("dev", "heal", "a", "b")
    before = key_ids(peers)
    until(peers.is_linked, "linked again")
    run("key", "rotate", server=peers.all_urls())
    after = key_ids(peers)
    assert len(after) == 1
    assert before != after
    assert peers.is_linked()
    assert "there is no member 'z'" in run("dev", "cut", "z", "a", code=3)


def key_ids(peers: Fleet) -> set[str]:
    rings = [peers.client(name).keys() for name in peers.plans]
    return {key.id for ring in rings for key in ring}


def test_wrong_usage_is_said(run: Run) -> None:
    assert "No such command 'membres'" in run("membres", code=2)
    assert "members" in run("membres", code=2), "the nearest name is suggested"
    assert "No such option '--fast'" in run("status", "--fast", code=2)
    assert "Missing argument 'KEY'" in run("kv", "get", code=2)
    assert "127.0.0.1:1" in run("status", server="127.0.0.1:1", code=5)
    assert "ftp" in run("status", server="ftp://x", code=1)


def test_help_and_completion_need_no_peer(run: Run) -> None:
    told = run("--help", server="127.0.0.1:1")
    assert "Exit codes" in told
    for name in root.list_commands(Context(root)):
        assert re.search(rf"^  {name} +\S", told, re.MULTILINE), f"{name} says what it does"
    assert "--if-absent" in run("kv", "put", "--help", server="127.0.0.1:1")
    for shell in ("bash", "zsh", "fish"):
        assert "crdtstate" in run("completion", shell, server="127.0.0.1:1")
    assert run("version", server="127.0.0.1:1").strip()
