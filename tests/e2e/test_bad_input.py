"""What goes wrong around a daemon: a clear error that names the thing, and nobody else affected."""

import base64
import contextlib
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random

import pytest

from crdtstate.cli.launcher import start, stop_all
from crdtstate.client import Client
from crdtstate.errors import CrdtstateError
from tests.e2e.fleet import Fleet, fleet, free_plans, until

pytestmark = pytest.mark.e2e

SERVE = [sys.executable, "-m", "crdtstate", "serve"]


def serve(*flags: str, within: list[str] | None = None) -> tuple[int, str]:
    """Run a daemon that must refuse to run; return its exit code and what it says."""
    done = subprocess.run(
        [*(within or []), *SERVE, *flags], capture_output=True, text=True, timeout=30, check=False
    )
    assert "Traceback" not in done.stderr, done.stderr
    return done.returncode, done.stderr


def popen(command: list[str]) -> "subprocess.Popen[str]":
    """Start a daemon that will end by itself, and with this process at the latest."""
    return subprocess.Popen(
        [*command, "--stop-with-stdin"], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


def end_of(process: "subprocess.Popen[str]") -> str:
    """Wait for a daemon that must end by itself; return what it said."""
    with process:
        try:
            process.wait(20)
        finally:
            process.kill()
        assert process.stderr is not None
        return process.stderr.read()


def alone(path: Path, **changes: str) -> list[str]:
    """Return the flags of a peer on free ports."""
    (plan,) = free_plans(1, path)
    flags = dict(zip(plan.arguments[:-1:2], plan.arguments[1::2], strict=False))
    flags = {k: v for k, v in flags.items() if k.startswith("--") and k != "--dev"}
    flags |= {f"--{name.replace('_', '-')}": value for name, value in changes.items()}
    return [word for pair in flags.items() for word in pair]


@contextmanager
def undisturbed(peers: Fleet) -> Iterator[None]:
    """The others go on as if nothing had happened."""
    yield
    for name in peers.plans:
        assert peers.client(name).put(f"after/{name}", "v", w="all").replicas == 3
    assert peers.is_linked()


def tmpfs(path: Path, size: str, options: str = "rw") -> list[str]:
    """Return a command prefix that runs within a file system of this size, without being root."""
    path.mkdir(parents=True, exist_ok=True)
    script = f"mount -t tmpfs -o size={size},{options} none '{path}' && exec \"$@\""
    prefix = ["unshare", "-rm", "sh", "-c", script, "sh"]
    if shutil.which("unshare") is None or subprocess.run([*prefix, "true"], check=False).returncode:
        pytest.skip("no user namespaces here: a full and a read-only disk cannot be made")
    return prefix


def test_a_second_daemon_on_a_directory_is_refused(tmp_path: Path) -> None:
    with fleet(tmp_path) as peers, undisturbed(peers):
        pid = peers.children["a"].process.pid
        code, said = serve(*alone(tmp_path / "x", data=str(peers.plans["a"].data)))
        assert code == 1
        assert f"{peers.plans['a'].data} is in use by process {pid}" in said


@pytest.mark.parametrize("wrong", ["key", "cluster"])
def test_a_stranger_is_refused_and_counted(tmp_path: Path, wrong: str) -> None:
    with fleet(tmp_path / "right") as peers, undisturbed(peers):
        (plan,) = free_plans(1, tmp_path / "wrong")
        arguments = list(plan.arguments)
        arguments += ["--seed", f"127.0.0.1:{peers.plans['a'].gossip_port}"]
        key_file = tmp_path / "wrong.keys"
        if wrong == "key":
            key_file.write_text(base64.b64encode(b"w" * 32).decode())
            arguments += ["--cluster", str(peers.status("a")["cluster"])]
        else:
            shutil.copy(tmp_path / "right" / "cluster.keys", key_file)
            arguments += ["--cluster", "0" * 32]
        key_file.chmod(0o600)
        arguments[arguments.index("--keys") + 1] = str(key_file)
        stranger = start(type(plan)("a", plan.host, plan.api_port, plan.gossip_port, plan.data,
                                    tuple(arguments)))  # fmt: skip
        try:
            reason = {"key": "unknown_key", "cluster": "wrong_cluster"}[wrong]

            def counted() -> int:
                gossip = peers.status("a")["gossip"]
                return sum(n for name, n in gossip.items() if reason in name)

            until(lambda: counted() > 0, f"a counts {reason}")
            with Client(plan.url) as client:
                assert client.status().fields["linked"] == []
        finally:
            stop_all([stranger])


def test_a_directory_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    within = tmpfs(tmp_path / "ro", "1m", "ro")
    code, said = serve(*alone(tmp_path / "ro"), within=within)
    assert code == 1
    assert str(tmp_path / "ro") in said
    assert "Read-only file system" in said


def test_a_disk_that_fills_up_stops_that_peer_with_the_reason_and_no_other(
    tmp_path: Path, figure: Callable[[str], None]
) -> None:
    with fleet(tmp_path / "fleet") as peers, undisturbed(peers):
        full = tmp_path / "full"
        within = tmpfs(full, "40m")
        (plan,) = free_plans(1, tmp_path / "plan")
        flags = alone(tmp_path / "plan", data=str(full / "d"),
                      api=f"127.0.0.1:{plan.api_port}", name="d",
                      keys=str(tmp_path / "fleet" / "cluster.keys"),
                      seed=f"127.0.0.1:{peers.plans['a'].gossip_port}")  # fmt: skip
        process = popen([*within, *SERVE, *flags])
        with Client(plan.url, timeout=5.0) as client:
            until(lambda: answers(client), "d answers")
            until(lambda: len(peers.status("a")["linked"]) == 3, "d is linked")
            acknowledged = fill(client, 100_000)
        said = end_of(process)
        assert process.returncode == 1
        assert "No space left on device" in said
        figure(f"full disk: {len(acknowledged)} values of 100 kB before 40 MB were full")
        peers.client("a").forget("d")
        for name in peers.plans:
            until(lambda: peers.status(name)["members"] == 3, "d is forgotten")  # noqa: B023


def fill(client: Client, size: int) -> list[int]:
    """Put values until one is refused; return the numbers of those acknowledged."""
    acknowledged: list[int] = []
    with contextlib.suppress(CrdtstateError):
        for n in range(2_000):
            client.put(f"big/{n}", Random(n).randbytes(size))
            acknowledged.append(n)
    return acknowledged


def answers(client: Client) -> bool:
    try:
        return bool(client.status().fields["ready"])
    except CrdtstateError:
        return False


def test_what_was_acknowledged_before_the_disk_was_full_is_there_after(tmp_path: Path) -> None:
    """A file-size limit stands for the disk: the same error path, and the files can be read on."""
    (plan,) = free_plans(1, tmp_path)
    limited = ["sh", "-c", 'ulimit -f 16384; exec "$@"', "sh"]  # Blocks of 512 bytes: 8 MiB.
    process = popen([*limited, *SERVE, *plan.arguments])
    with Client(plan.url, timeout=3.0) as client:
        until(lambda: answers(client), "a answers")
        acknowledged = fill(client, 50_000)
    said = end_of(process)
    assert process.returncode == 1
    assert "File too large" in said
    assert 50 < len(acknowledged) < 400
    child = start(plan)
    try:
        with Client(plan.url, timeout=3.0) as client:
            until(lambda: answers(client), "a answers again")
            for n in acknowledged:
                assert client.get_value(f"big/{n}") == Random(n).randbytes(50_000)
    finally:
        stop_all([child])


def test_a_corrupt_database_is_refused_and_the_peer_can_be_filled_again(tmp_path: Path) -> None:
    with fleet(tmp_path) as peers:
        for n in range(300):
            peers.client("b").put(f"k{n}", "v" * 100)
        peers.client("b").wait(peers=3)
        peers.kill("b")
        logs = sorted((peers.plans["b"].data / "db").glob("*.log"))
        damaged = bytearray(logs[-1].read_bytes())
        damaged[2_000:2_100] = b"\xff" * 100
        logs[-1].write_bytes(damaged)
        code, said = serve(*peers.plans["b"].arguments)
        assert code == 1
        assert f"{peers.plans['b'].data / 'db'} is corrupt" in said
        assert "Move the data directory away" in said
        with undisturbed(peers):
            peers.plans["b"].data.rename(tmp_path / "away")
            peers.start("b")
            peers.wait_ready("b")
            until(peers.is_linked, "all linked")
            peers.converge()
        assert peers.client("b").get_value("k299") == b"v" * 100


@pytest.mark.parametrize(
    ("flags", "code", "words"),
    [
        (["--nmae", "a"], 2, "No such option '--nmae'"),
        (["--name", "a"], 1, "data"),
        (["--api", "0.0.0.0:0"], 1, "token-file"),
        (["--api", "nowhere"], 1, "'nowhere' is not HOST:PORT"),
        (["--gossip", "127.0.0.1:99999"], 1, "99999"),
        (["--seed", "10.0.0.1"], 1, "'10.0.0.1' is not HOST:PORT"),
        (["--cluster", "xyz"], 1, "'xyz' is not 32 hexadecimal digits"),
        (["--token-file", "/nonexistent/tokens"], 1, "/nonexistent/tokens"),
        (["--config", "/nonexistent/c.toml"], 1, "/nonexistent/c.toml"),
        (["--value-bytes-max", "many"], 2, "'many' is not a valid integer"),
    ],
)
def test_a_wrong_flag_is_named(tmp_path: Path, flags: list[str], code: int, words: str) -> None:
    given = [] if flags[0] == "--name" else alone(tmp_path)
    found, said = serve(*given, *flags)
    assert (found, words in said) == (code, True), said
    assert said.count("\n") < 6


def test_an_unknown_name_in_the_configuration_file_is_named(tmp_path: Path) -> None:
    path = tmp_path / "c.toml"
    path.write_text('name = "a"\nseed = ["x:1"]\n')
    code, said = serve("--config", str(path), "--data", str(tmp_path / "d"))
    assert code == 1
    assert "seed" in said
    assert str(path) in said


def test_a_taken_port_is_named(tmp_path: Path) -> None:
    with fleet(tmp_path) as peers, undisturbed(peers):
        taken = f"127.0.0.1:{peers.plans['a'].api_port}"
        code, said = serve(*alone(tmp_path / "x", api=taken))
        assert code == 1
        assert f"API address {taken} cannot be bound" in said


def test_a_seed_that_nobody_answers_at_is_said_and_the_peer_serves(tmp_path: Path) -> None:
    (plan,) = free_plans(1, tmp_path)
    seed = "127.0.0.1:9"
    child = start(type(plan)("a", plan.host, plan.api_port, plan.gossip_port, plan.data,
                             (*plan.arguments, "--seed", seed)))  # fmt: skip
    try:
        with Client(plan.url) as client:
            until(lambda: answers(client), "it is ready although alone")
            client.put("k", "v")
            until(lambda: client.status().fields["gossip"]["seeds_missing"] == 1, "it is counted")
            until(lambda: f'"seed": "{seed}"' in child.log.read_text(), "it is named")
    finally:
        stop_all([child])
