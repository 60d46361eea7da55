"""EDGE: a slow disk for one process: every fsync and fdatasync of it can be held up.

The process starts behind a seccomp filter that reports these calls to the laboratory, which lets
each go on after the delay of the moment. No root is needed, nothing is traced otherwise, and the
binary may be of any language.

    python -m bench.caplab.slowdisk SOCKET -- COMMAND...   (runs COMMAND behind the filter)
"""

import array
import ctypes
import fcntl
import os
import platform
import select
import socket
import struct
import sys
import threading
import time
from collections import deque
from pathlib import Path
from typing import final

_SYNC_CALLS = {"x86_64": (74, 75), "aarch64": (82, 83)}
_SECCOMP_CALL = {"x86_64": 317, "aarch64": 277}
_NO_NEW_PRIVILEGES, _SET_FILTER, _NEW_LISTENER = 38, 1, 8
_LOAD_NUMBER, _JUMP_EQUAL, _RETURN = 0x20, 0x15, 0x06
_ALLOW, _NOTIFY = 0x7FFF0000, 0x7FC00000
_RECEIVE, _SEND, _CONTINUE = 0xC0502100, 0xC0182101, 1
_NOTE_BYTES = 80


def _install_filter() -> int:
    """Install the filter in this process; return the descriptor that reports. Raises: OSError."""
    machine = platform.machine()
    first, second = _SYNC_CALLS[machine]
    program = b"".join(
        struct.pack("HBBI", *line)
        for line in (
            (_LOAD_NUMBER, 0, 0, 0),
            (_JUMP_EQUAL, 2, 0, first),
            (_JUMP_EQUAL, 1, 0, second),
            (_RETURN, 0, 0, _ALLOW),
            (_RETURN, 0, 0, _NOTIFY),
        )
    )
    code = ctypes.create_string_buffer(program, len(program))
    descriptor = struct.pack("HxxxxxxP", len(program) // 8, ctypes.addressof(code))
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(_NO_NEW_PRIVILEGES, 1, 0, 0, 0)
    found = libc.syscall(
        _SECCOMP_CALL[machine], _SET_FILTER, _NEW_LISTENER, ctypes.c_char_p(descriptor)
    )
    if found < 0:
        raise OSError(ctypes.get_errno(), "seccomp: cannot install a filter that reports")
    return int(found)


def main() -> None:
    """Install the filter, hand its descriptor over, become the command."""
    path, _, *command = sys.argv[1:]
    with socket.socket(socket.AF_UNIX) as link:
        link.connect(path)
        listener = _install_filter()
        link.sendmsg(
            [b"x"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [listener]))]
        )  # fmt: skip
    os.close(listener)
    os.execvp(command[0], command)


@final
class SlowDisk:
    """The laboratory's end for one member: holds its syncs up by `delay_s`."""

    def __init__(self, path: Path) -> None:
        self.delay_s = 0.0
        self._path = path
        self._listening = socket.socket(socket.AF_UNIX)
        self._listening.bind(str(path))
        self._listening.listen()
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    @property
    def wrapper(self) -> list[str]:
        """What to put before the member's command."""
        return [sys.executable, "-m", __name__, str(self._path), "--"]

    def _serve(self) -> None:
        """Serve one life of the member after the other, until `close`."""
        while True:
            try:
                link, _ = self._listening.accept()
            except OSError:
                return
            _, ancillary, *_ = link.recvmsg(1, socket.CMSG_SPACE(4))
            link.close()
            listener = array.array("i", ancillary[0][2])[0]
            try:
                self._hold_up(listener)
            finally:
                os.close(listener)

    def _hold_up(self, listener: int) -> None:
        held: deque[tuple[float, int]] = deque()  # due, id of the call
        poll = select.poll()
        poll.register(listener, select.POLLIN)
        while True:
            wait_ms = max(0.0, (held[0][0] - time.monotonic()) * 1000) if held else None
            for _, event in poll.poll(wait_ms):
                if event & select.POLLHUP:
                    return  # The process has ended.
                note = bytearray(_NOTE_BYTES)
                try:
                    fcntl.ioctl(listener, _RECEIVE, note)
                except OSError:
                    continue  # Its thread was killed meanwhile.
                held.append((time.monotonic() + self.delay_s, struct.unpack_from("Q", note)[0]))
            while held and held[0][0] <= time.monotonic():
                _, number = held.popleft()
                try:
                    fcntl.ioctl(listener, _SEND, struct.pack("QqiI", number, 0, 0, _CONTINUE))
                except OSError:
                    continue

    def close(self) -> None:
        """Stop listening for further lives."""
        self._listening.close()


if __name__ == "__main__":
    main()
