"""EDGE: asks a handler of a probe or a hook once: a command, a request, a connection, a pause."""

import asyncio
import contextlib
import os
import signal
import ssl
from collections.abc import Sequence
from typing import final

from controllers.agent.podspec import Handler

__all__ = ["ask", "run_command"]

OUTPUT_BYTES_MAX = 10 << 10
Verdict = tuple[bool, str]
"""Whether it passed, and what to say if not."""


@final
class _Failed(Exception):
    """Said to the user as it is."""


async def ask(handler: Handler, *, host: str, timeout_ms: int, command: Sequence[str]) -> Verdict:
    """Ask once.

    Args:
        host: Where the pod is, for a handler that names no host.
        command: What runs the handler's command where the container is; unused by other kinds.
    """
    try:
        async with asyncio.timeout(timeout_ms / 1000):
            return True, await _ask(handler, handler.host or host, command)
    except TimeoutError:
        return False, f"no answer within {timeout_ms / 1000:g} s"
    except (_Failed, OSError) as error:
        return False, str(error)


async def _ask(handler: Handler, host: str, command: Sequence[str]) -> str:
    match handler.kind:
        case "exec":
            code, text = await run_command(command)
            if code != 0:
                raise _Failed(text.strip() or f"command exited with {code}")
            return text
        case "sleep":
            await asyncio.sleep(handler.sleep_ms / 1000)
        case "http":
            return await _get(handler, host)
        case "tcp" | "grpc":
            await _connect(host, _port(handler))
    return ""


def _port(handler: Handler) -> int:
    if not 0 < handler.port < 65536:
        raise _Failed(f"port {handler.port} is not one of the container's ports, nor a number")
    return handler.port


async def _connect(host: str, port: int) -> None:
    _, writer = await _open(host, port, None)
    writer.close()
    with contextlib.suppress(OSError):
        await writer.wait_closed()


async def _open(
    host: str, port: int, secure: ssl.SSLContext | None
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    try:
        return await asyncio.open_connection(host, port, ssl=secure)
    except OSError as error:
        reason = os.strerror(error.errno).lower() if error.errno else str(error)
        raise _Failed(f"dial tcp {host}:{port}: connect: {reason}") from error


async def _get(handler: Handler, host: str) -> str:
    """Return the status line of an answer that is a success. Raises: _Failed."""
    port, secure = _port(handler), None
    if handler.scheme == "https":
        secure = ssl.create_default_context()
        secure.check_hostname, secure.verify_mode = False, ssl.CERT_NONE
    url = f"{handler.scheme}://{host}:{port}{handler.path}"
    reader, writer = await _open(host, port, secure)
    try:
        headers = {"Host": f"{host}:{port}", "User-Agent": "crdtstate-probe", "Accept": "*/*"}
        headers |= dict(handler.headers) | {"Connection": "close"}
        path = handler.path if handler.path.startswith("/") else f"/{handler.path}"
        lines = [f"GET {path} HTTP/1.1", *(f"{name}: {text}" for name, text in headers.items())]
        writer.write(("\r\n".join(lines) + "\r\n\r\n").encode())
        said = (await reader.readline()).split()
    finally:
        writer.close()
        with contextlib.suppress(OSError, ssl.SSLError):
            await writer.wait_closed()
    if len(said) < 2 or not said[0].startswith(b"HTTP/") or not said[1].isdigit():
        raise _Failed(f'Get "{url}": not an HTTP answer')
    status = int(said[1])
    if not 200 <= status < 400:
        raise _Failed(f"HTTP probe failed with statuscode: {status}")
    return ""


async def run_command(command: Sequence[str]) -> tuple[int, str]:
    """Run a command; return its exit code and up to 10 KiB of what it says.

    Cancelled, it ends the command with all that it has started. Raises: OSError.
    """
    process = await asyncio.create_subprocess_exec(
        *command, stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT, start_new_session=True,
    )  # fmt: skip
    assert process.stdout is not None
    said = b""
    try:
        while chunk := await process.stdout.read(4096):
            said = (said + chunk)[:OUTPUT_BYTES_MAX]
        code = await process.wait()
    finally:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
        # Until it is reaped: also when this task is being cancelled, and then it is dead already.
        await asyncio.shield(process.wait())
    return code, said.decode("utf-8", "replace")
