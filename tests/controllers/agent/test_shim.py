"""The process beside a container: what it needs, what it writes, when it ends."""

import asyncio
import json
import os
import signal
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from controllers.agent import processes
from controllers.agent.logs import read_log
from controllers.agent.processes import Processes, StartError, bare_program, send_signal
from controllers.agent.records import Attempt, PodDirectory
from crdtstate.podaccess import LogQuery
from tests.controllers.agent.rig import is_alive, until

pytestmark = pytest.mark.slow


class Bench:
    """Starts processes in one directory, and knows which have ended."""

    def __init__(self, path: Path) -> None:
        self.directory = PodDirectory(path, "u")
        self.directory.work("c").mkdir(parents=True)
        self.ended: list[Attempt] = []
        self.processes = Processes(self.ended.append)
        self.run: dict[str, Any] = {}

    async def start(self, *argv: str, **launch: Any) -> Attempt:
        attempt = self.directory.attempt("c", 0)
        given = {
            "argv": list(argv), "env": {"PATH": os.environ["PATH"]}, "uid": None, "gid": None,
            "groups": [], "mounts": [], "crashes": 0, "cwd": str(self.directory.work("c")),
        }  # fmt: skip
        self.run = await self.processes.start(attempt, {**given, **launch})
        return attempt


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path


@asynccontextmanager
async def bench(path: Path) -> AsyncIterator[Bench]:
    made = Bench(path)
    try:
        yield made
    finally:
        made.processes.close()
        if made.run and is_alive(made.run["pid"]):
            os.kill(made.run["pid"], signal.SIGKILL)


async def text(attempt: Attempt, **query: Any) -> str:
    chunks = read_log(attempt, LogQuery(**query), lambda: False)
    return b"".join([chunk async for chunk in chunks]).decode()


def test_it_imports_nothing_heavy() -> None:
    code = "import controllers.agent.shim; print([m for m in sys.modules])"
    loaded = subprocess.run(bare_program(code), capture_output=True, text=True, check=True).stdout
    assert not {"asyncio", "aiohttp", "structlog", "logging"} & set(loaded.split("'"))


async def test_output_is_kept_with_its_time_and_rotated(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(processes, "LOG_BYTES_MAX", 400_000)
    async with bench(path) as made:
        script = "i=0; while [ $i -lt 30000 ]; do echo line $i; i=$((i+1)); done; printf end >&2"
        attempt = await made.start("sh", "-c", script)
        await until(lambda: made.ended, "ended")

        files = sorted(p.name for p in attempt.path.glob("log*"))
        assert files[:3] == ["log", "log.1", "log.2"]
        assert all(p.stat().st_size <= 400_000 for p in attempt.path.glob("log*"))
        assert (await text(attempt, tail=3)).endswith("line 29998\nline 29999\nend")
        assert await text(attempt, tail=0) == ""
        everything = await text(attempt)
        assert everything.endswith("end")
        assert len(await text(attempt, bytes_max=100)) == 100
        stamped = (await text(attempt, tail=2, stamped=True)).splitlines()[0]
        stamp, _, line = stamped.partition(" ")
        assert line == "line 29999"
        assert await text(attempt, since="2999-01-01") == ""
        assert len(await text(attempt, since=stamp[:4])) == len(everything)


async def test_a_follower_sees_what_is_said_later_and_ends_with_the_process(path: Path) -> None:
    async with bench(path) as made:
        os.mkfifo(path / "fifo")
        attempt = await made.start("sh", "-c", "echo one; read x < fifo; echo two", cwd=str(path))
        chunks = read_log(attempt, LogQuery(follow=True), lambda: not made.ended)
        said = b""
        async for chunk in chunks:
            said += chunk
            if said == b"one\n":
                await asyncio.to_thread((path / "fifo").write_text, "go\n")
    assert said == b"one\ntwo\n"


async def test_the_command_dies_with_its_shim_and_nobody_says_how(path: Path) -> None:
    """SHIM-1."""
    async with bench(path) as made:
        attempt = await made.start("sleep", "1000")
        os.kill(made.run["shim_pid"], signal.SIGKILL)
        await until(lambda: made.ended and not is_alive(made.run["pid"]), "both are gone")

        event = attempt.exited(0)
    assert event is not None
    assert (event.code, event.reason) == (137, "ContainerStatusUnknown")


async def test_a_removed_directory_ends_what_nobody_could_find_again(path: Path) -> None:
    async with bench(path) as made:
        await made.start("sleep", "1000", cwd="/")
        made.directory.remove()
        await until(lambda: not is_alive(made.run["pid"]), "ended")


async def test_a_pid_alone_is_never_enough(path: Path) -> None:
    """PRC-1: a record of another process under the same pid adopts and signals nothing."""
    async with bench(path) as made:
        attempt = await made.start("sleep", "1000")
        false = {**made.run, "shim_start_ticks": made.run["shim_start_ticks"] - 1}
        (attempt.path / "run.json").write_text(json.dumps(false))
        again = Processes(lambda _: None)

        assert not again.watch(attempt, false)
        send_signal(attempt, "KILL")
        assert is_alive(made.run["pid"])
        boot = {**made.run, "boot": "another"}
        assert not again.watch(attempt, boot)

        (attempt.path / "run.json").write_text(json.dumps(made.run))
        send_signal(attempt, "KILL")
        await until(lambda: made.ended, "ended")


async def test_a_command_that_ends_at_once_is_seen(path: Path) -> None:
    async with bench(path) as made:
        attempt = await made.start("true")
        await until(lambda: made.ended, "seen")
        event = attempt.exited(0)
        assert event is not None
        assert event.code == 0


async def test_a_directory_that_cannot_be_made_is_a_refusal(path: Path) -> None:
    async with bench(path) as made:
        (made.directory.path / "containers" / "c" / "0").write_text("in the way")
        with pytest.raises(StartError, match="cannot be started"):
            await made.start("true")
