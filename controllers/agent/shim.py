"""EDGE: the process beside each container that outlives the agent, as the container does.

It starts the command, writes what it prints to log files that it rotates, and records how it ended.
Nothing of it needs the agent or the peer. Run by `python -I -S`, it imports nothing heavy.

    ATTEMPT/launch.json   what to run; the agent's
    ATTEMPT/run.json      that it runs: pid and start time of both processes; ours, once
    ATTEMPT/exit.json     how it ended, or why it did not start; ours, once, the last thing we do
    ATTEMPT/log, log.1…   CRI format: time, stream, F (whole line) or P (part of one), text

Invariants:
    SHIM-1  The command dies with its shim, so that whatever has no shim has no process either.
    SHIM-2  When exit.json is there, no process of the container is.
"""

import contextlib
import ctypes
import json
import os
import select
import signal
import time
from typing import Any, NoReturn

from controllers.agent.mounts import MountError, bind, enter_namespace

__all__ = ["main", "read_boot", "read_start_ticks"]

LINE_BYTES_MAX, READ_BYTES = 16 << 10, 64 << 10
LOOK_S = 5.0
REAP_S = 10.0
PR_SET_PDEATHSIG, PR_SET_CHILD_SUBREAPER = 1, 36


def read_start_ticks(pid: int, *, ended: bool = False) -> int | None:
    """Return when a process started, in the kernel's ticks; None when it is gone.

    Args:
        ended: Also when it has ended and waits to be reaped.
    """
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            fields = file.read().rpartition(b")")[2].split()
    except OSError:
        return None
    return None if fields[0] in (b"Z", b"X") and not ended else int(fields[19])


def read_boot() -> str:
    """Return the name of this boot: pids and start times mean something until the next one."""
    with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:
        return file.read().strip()


def main(directory: str) -> None:
    """Start what ATTEMPT/launch.json says; return when it runs or could not be started.

    The supervisor goes on in a process of its own.
    """
    told_r, told_w = os.pipe()
    if os.fork():
        os.close(told_w)
        os.read(told_r, 1)
        return
    os.close(told_r)
    os.setsid()
    try:
        _supervise(directory, told_w)
    except BaseException as error:  # noqa: BLE001 - the last to see it; the agent reads it.
        _record(directory, "exit", {"error": f"the supervisor failed: {error!r}", "stage": "shim"})
    os._exit(0)


def _record(directory: str, name: str, body: dict[str, Any]) -> None:
    path = f"{directory}/{name}.json"
    with open(f"{path}.new", "w", encoding="utf-8") as file:
        json.dump(body, file)
    os.rename(f"{path}.new", path)


def _now_ms() -> int:
    return time.time_ns() // 1_000_000  # noqa: TID251 - this program is an edge.


def _supervise(directory: str, told_w: int) -> None:
    with open(f"{directory}/launch.json", encoding="utf-8") as file:
        launch = json.load(file)
    os.chdir("/")
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    wake_r, wake_w = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(wake_w, warn_on_full_buffer=False)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    streams, pid, failure = _spawn(directory, launch)
    if failure is not None:
        os.waitpid(pid, 0)
        _record(directory, "exit", failure)
        os.close(told_w)
        return
    _record(
        directory, "run",
        {
            "pid": pid, "start_ticks": read_start_ticks(pid, ended=True), "shim_pid": os.getpid(),
            "shim_start_ticks": read_start_ticks(os.getpid()), "started_ms": _now_ms(),
            "boot": read_boot(),
        },
    )  # fmt: skip
    os.close(told_w)
    log = Log(directory, launch["log_bytes_max"], launch["log_files_max"])
    status = _watch(directory, pid, streams, wake_r, log)
    code = os.waitstatus_to_exitcode(status)
    log.close()
    _record(
        directory, "exit",
        {
            "code": 128 - code if code < 0 else code, "signal": max(0, -code),
            "at_ms": _now_ms(), "tail": log.tail if code else "",
        },
    )  # fmt: skip


# -- the command -----------------------------------------------------------------------------------


def _spawn(
    directory: str, launch: dict[str, Any]
) -> tuple[dict[int, str], int, dict[str, Any] | None]:
    """Fork and exec; return the streams to read, the pid, and why it failed, if it did."""
    out_r, out_w = os.pipe2(os.O_CLOEXEC)
    err_r, err_w = os.pipe2(os.O_CLOEXEC)
    fail_r, fail_w = os.pipe2(os.O_CLOEXEC)
    shim = os.getpid()
    pid = os.fork()
    if pid == 0:
        _become(directory, launch, shim, (out_w, err_w, fail_w))
    for fd in (out_w, err_w, fail_w):
        os.close(fd)
    said = b""
    while chunk := os.read(fail_r, READ_BYTES):
        said += chunk
    os.close(fail_r)
    os.set_blocking(out_r, False)
    os.set_blocking(err_r, False)
    return {out_r: "stdout", err_r: "stderr"}, pid, json.loads(said) if said else None


def _become(
    directory: str, launch: dict[str, Any], shim: int, fds: tuple[int, int, int]
) -> NoReturn:
    """Turn this fork into the command, or say why not and end."""
    out_w, err_w, fail_w = fds
    stage = "prepare"
    try:
        os.setsid()
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGCHLD,
                       signal.SIGPIPE, signal.SIGXFSZ):  # fmt: skip
            signal.signal(number, signal.SIG_DFL)
        signal.set_wakeup_fd(-1)
        null = os.open(os.devnull, os.O_RDONLY)
        for fd, standard in ((null, 0), (out_w, 1), (err_w, 2)):
            os.dup2(fd, standard)
        stage = "mount"
        _mount_all(directory, launch["mounts"])
        stage = "cwd"
        os.chdir(launch["cwd"])
        stage = "user"
        if launch["uid"] is not None or launch["gid"] is not None:
            gid = os.getgid() if launch["gid"] is None else launch["gid"]
            os.setgroups(launch["groups"] or [gid])
            os.setgid(gid)
            os.setuid(os.getuid() if launch["uid"] is None else launch["uid"])
        stage = "exec"
        # After the user is what it shall be: a change of user takes it back.
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if os.getppid() == shim:  # SHIM-1: it may have died before it could be watched.
            os.execvpe(launch["argv"][0], launch["argv"], launch["env"])
    except OSError as error:
        text = error.strerror or str(error)
        os.write(fail_w, json.dumps(
            {"stage": stage, "errno": error.errno, "error": text, "at_ms": _now_ms()}
        ).encode())  # fmt: skip
    finally:
        os._exit(127)


def _mount_all(directory: str, mounts: list[dict[str, Any]]) -> None:
    if not mounts:
        return
    enter_namespace()
    scratch = f"{directory}/scratch"
    os.makedirs(scratch, exist_ok=True)
    for mount in sorted(mounts, key=lambda m: str(m["target"])):
        if not os.path.exists(mount["source"]):
            raise MountError(2, f"{mount['source']} is not there")
        bind(mount["source"], mount["target"], read_only=mount["read_only"], scratch=scratch)


# -- until it ends ---------------------------------------------------------------------------------


def _watch(directory: str, pid: int, streams: dict[int, str], wake_r: int, log: "Log") -> int:
    """Copy output to the log until the command has ended; return its wait status."""
    poll = select.poll()
    for fd in (*streams, wake_r):
        poll.register(fd, select.POLLIN)
    status: int | None = None
    while status is None:
        for fd, _ in poll.poll(LOOK_S * 1000):
            if fd == wake_r:
                with contextlib.suppress(BlockingIOError):
                    os.read(wake_r, 4096)
            elif not _copy(fd, streams[fd], log):
                poll.unregister(fd)
        if not os.path.isdir(directory):
            # Whoever removed it wanted the end of all this; nobody could ever find us again.
            os.kill(pid, signal.SIGKILL)
        status = _reap(pid)
    _end_descendants()
    for fd, stream in streams.items():
        _copy(fd, stream, log)
    return status


def _copy(fd: int, stream: str, log: "Log") -> bool:
    """Copy what can be read now; False at the end of the stream."""
    while True:
        try:
            chunk = os.read(fd, READ_BYTES)
        except BlockingIOError:
            return True
        if not chunk:
            return False
        log.write(stream, chunk)
        if len(chunk) < READ_BYTES:
            return True


def _reap(pid: int) -> int | None:
    """Reap all that has ended; return the command's wait status if it is among them."""
    found = None
    with contextlib.suppress(ChildProcessError):
        while True:
            ended, status = os.waitpid(-1, os.WNOHANG)
            if ended == pid:
                found = status
            if ended == 0:
                break
    return found


def _end_descendants() -> None:
    """Kill whatever the command has left behind: all its orphans are our children (SHIM-2)."""
    deadline = time.monotonic() + REAP_S  # noqa: TID251 - this program is an edge.
    while time.monotonic() < deadline:  # noqa: TID251
        for child in _children():
            with contextlib.suppress(ProcessLookupError):
                os.kill(child, signal.SIGKILL)
        try:
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        except ChildProcessError:
            return
        time.sleep(0.01)


def _children() -> list[int]:
    own, found = str(os.getpid()).encode(), []
    for name in os.listdir("/proc"):
        if name.isdigit():
            with contextlib.suppress(OSError), open(f"/proc/{name}/stat", "rb") as file:
                if file.read().rpartition(b")")[2].split()[1] == own:
                    found.append(int(name))
    return found


class Log:
    """The log files of one process. What cannot be written is lost; the process goes on."""

    def __init__(self, directory: str, size_max: int, files_max: int) -> None:
        self._path, self._size_max, self._files_max = f"{directory}/log", size_max, files_max
        self._rest: dict[str, bytes] = {}
        self._fd = -1
        self._size = 0
        self.tail = ""
        self._open()

    def _open(self) -> None:
        with contextlib.suppress(OSError):
            self._fd = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC)
            self._size = os.fstat(self._fd).st_size

    def write(self, stream: str, chunk: bytes) -> None:
        """Write whole lines, and parts of lines that are too long."""
        lines = (self._rest.pop(stream, b"") + chunk).split(b"\n")
        rest = lines.pop()
        head = _format_now() + b" " + stream.encode()
        entries = []
        for line in lines:
            while len(line) > LINE_BYTES_MAX:
                entries.append(head + b" P " + line[:LINE_BYTES_MAX] + b"\n")
                line = line[LINE_BYTES_MAX:]
            entries.append(head + b" F " + line + b"\n")
        while len(rest) > LINE_BYTES_MAX:
            entries.append(head + b" P " + rest[:LINE_BYTES_MAX] + b"\n")
            rest = rest[LINE_BYTES_MAX:]
        if rest:
            self._rest[stream] = rest
        if lines:
            self._remember(b"\n".join(lines[-8:])[-1024:])
        self._append(b"".join(entries))

    def _remember(self, text: bytes) -> None:
        self.tail = (self.tail + text.decode("utf-8", "replace") + "\n")[-1024:]

    def _append(self, data: bytes) -> None:
        with contextlib.suppress(OSError):
            if self._size + len(data) > self._size_max and self._size:
                self._rotate()
            self._size += os.write(self._fd, data)

    def _rotate(self) -> None:
        os.close(self._fd)
        for n in range(self._files_max - 1, 0, -1):
            older = self._path if n == 1 else f"{self._path}.{n - 1}"
            with contextlib.suppress(FileNotFoundError):
                os.rename(older, f"{self._path}.{n}")
        self._open()

    def close(self) -> None:
        """Write what had no end of line."""
        for stream, rest in self._rest.items():
            self._append(_format_now() + b" " + stream.encode() + b" P " + rest + b"\n")
            self._remember(rest)


def _format_now() -> bytes:
    now_ns = time.time_ns()  # noqa: TID251 - this program is an edge.
    whole = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(now_ns // 1_000_000_000))
    return f"{whole}.{now_ns % 1_000_000_000:09d}Z".encode()
