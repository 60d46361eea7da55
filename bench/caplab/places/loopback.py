"""EDGE: the fall-back where namespaces are not to be had: members on loopback, links by proxies.

Each member's peer port has a proxy in front, which others dial. The proxy finds out which member
connects from the kernel's list of sockets, and forwards each direction or holds it: while a link is
cut nothing passes and nothing is closed, and what was sent before is delivered after the heal, as
TCP would do over a dead switch. Datagrams are dropped. Only payload bytes are counted.

    python -m bench.caplab.places.loopback HOST:PORT=HOST:PORT...   (proxy = member, in order)

Commands are JSON lines on standard input; each is answered with a line.
"""

import asyncio
import json
import os
import random
import socket
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any, cast, final

HOST = "127.0.0.1"
_CHUNK = 1 << 16


def _socket_inode(port: int) -> str | None:
    """Return the inode of the connected socket whose own port this is."""
    wanted = f":{port:04X}"
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        words = line.split()
        if words[1].endswith(wanted):
            return words[9]
    return None


def _holds(pid: int, inode: str) -> bool:
    try:
        links = [os.readlink(entry.path) for entry in os.scandir(f"/proc/{pid}/fd")]
    except OSError:
        return False
    return f"socket:[{inode}]" in links


@final
class _Proxies:
    """All proxies of a place, in one process."""

    def __init__(self, addresses: list[tuple[tuple[str, int], tuple[str, int]]]) -> None:
        self.addresses = addresses
        self.pids: dict[int, int] = {}
        self.cut: set[tuple[int, int]] = set()
        self.changed = asyncio.Event()
        self.bytes_sent = 0
        self._tasks: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        """Listen on every proxy address."""
        loop = asyncio.get_running_loop()
        for member, (proxy, target) in enumerate(self.addresses):

            async def accept(
                reader: asyncio.StreamReader, writer: asyncio.StreamWriter, member: int = member
            ) -> None:
                await self._accept(member, reader, writer)

            await asyncio.start_server(accept, *proxy)
            await loop.create_datagram_endpoint(
                lambda m=member, t=target: _Datagrams(self, m, t),  # type: ignore[misc]
                local_addr=proxy,
            )

    def sender(self, port: int) -> int | None:
        """Return the member whose process has this port."""
        inode = _socket_inode(port)
        if inode is None:
            return None
        return next((m for m, pid in self.pids.items() if _holds(pid, inode)), None)

    async def _accept(
        self, member: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        sender = self.sender(writer.get_extra_info("peername")[1])
        if sender is None:
            writer.close()
            return
        await self._open(sender, member)
        try:
            onward, back = await asyncio.open_connection(*self.addresses[member][1])
        except OSError:
            writer.close()
            return
        await asyncio.gather(
            self._pump(sender, member, reader, back), self._pump(member, sender, onward, writer)
        )

    async def _open(self, source: int, target: int) -> None:
        while (source, target) in self.cut:
            await self.changed.wait()

    async def _pump(
        self, source: int, target: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        try:
            while data := await reader.read(_CHUNK):
                await self._open(source, target)
                self.bytes_sent += len(data)
                writer.write(data)
                await writer.drain()
        except OSError:
            pass  # One side has gone; the other hears of it below.
        await self._open(source, target)
        writer.close()

    def obey(self, command: dict[str, Any]) -> dict[str, Any]:
        """Carry out one command."""
        if "pid" in command:
            self.pids[command["member"]] = command["pid"]
        if "cut" in command:
            self.cut |= {(a, b) for a, b in command["cut"]}
        if command.get("heal"):
            self.cut.clear()
            self.changed.set()
            self.changed = asyncio.Event()
        return {"bytes_sent": self.bytes_sent}


@final
class _Datagrams(asyncio.DatagramProtocol):
    """Datagrams to one member; answers find their way back through a socket for each sender."""

    def __init__(self, proxies: _Proxies, member: int, target: tuple[str, int]) -> None:
        self._proxies, self._member, self._target = proxies, member, target
        self._transport: asyncio.DatagramTransport | None = None
        self._onward: dict[tuple[str, int], asyncio.DatagramTransport] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self._transport = cast(asyncio.DatagramTransport, transport)

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        """Forward, unless the link is cut."""
        members = [target for _, target in self._proxies.addresses]
        if addr not in members or (members.index(addr), self._member) in self._proxies.cut:
            return
        self._proxies.bytes_sent += len(data)
        if addr in self._onward:
            self._onward[addr].sendto(data)
            return
        task = asyncio.get_running_loop().create_task(self._connect(addr, data))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _connect(self, addr: tuple[str, int], data: bytes) -> None:
        transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(
            lambda: _Answers(self, addr), remote_addr=self._target
        )
        self._onward[addr] = transport
        transport.sendto(data)

    def answer(self, data: bytes, addr: tuple[str, int]) -> None:
        """Carry a datagram of the member back to who sent to it."""
        members = [target for _, target in self._proxies.addresses]
        if (self._member, members.index(addr)) not in self._proxies.cut and self._transport:
            self._proxies.bytes_sent += len(data)
            self._transport.sendto(data, addr)


@final
class _Answers(asyncio.DatagramProtocol):
    def __init__(self, owner: _Datagrams, addr: tuple[str, int]) -> None:
        self._owner, self._addr = owner, addr

    def datagram_received(self, data: bytes, _addr: tuple[str, int]) -> None:
        """From the member."""
        self._owner.answer(data, self._addr)

    def error_received(self, exc: Exception) -> None:
        """The member is not there: as with a real link, nobody is told."""


async def _serve(arguments: list[str]) -> None:
    addresses = []
    for argument in arguments:
        proxy, target = (
            (host, int(port)) for host, port in (w.split(":") for w in argument.split("="))
        )
        addresses.append((proxy, target))
    proxies = _Proxies(addresses)
    await proxies.start()
    loop = asyncio.get_running_loop()
    print("ready", flush=True)
    while line := await loop.run_in_executor(None, sys.stdin.readline):
        print(json.dumps(proxies.obey(json.loads(line))), flush=True)
    os._exit(0)


def _free_ports(count: int) -> list[int]:
    rng = random.Random()
    while True:
        base = rng.randrange(20_000, 32_000)
        ports = list(range(base, base + count))
        held = []
        try:
            for port in ports:
                for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
                    one = socket.socket(socket.AF_INET, kind)
                    held.append(one)
                    one.bind((HOST, port))
        except OSError:
            continue
        else:
            return ports
        finally:
            for one in held:
                one.close()


@final
class Loopback:
    """See `Place`."""

    kind = "loopback, links through proxies of the laboratory"

    def __init__(self, count: int) -> None:
        ports = _free_ports(3 * count)
        self._client_ports = ports[:count]
        self._peer_ports = ports[count : 2 * count]
        self._proxy_ports = ports[2 * count :]
        pairs = [
            f"{HOST}:{proxy}={HOST}:{peer}"
            for proxy, peer in zip(self._proxy_ports, self._peer_ports, strict=True)
        ]
        self._process = subprocess.Popen(
            [sys.executable, "-m", __name__, *pairs],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        )  # fmt: skip
        self._read()

    def _read(self) -> bytes:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise OSError("the proxies of the laboratory ended")
        return line

    def _tell(self, command: dict[str, Any]) -> dict[str, Any]:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(command).encode() + b"\n")
        self._process.stdin.flush()
        answer: dict[str, Any] = json.loads(self._read())
        return answer

    def client_address(self, member: int) -> tuple[str, int]:
        """See `Place`."""
        return HOST, self._client_ports[member]

    def peer_address(self, member: int) -> tuple[str, int]:
        """See `Place`."""
        return HOST, self._peer_ports[member]

    def dial_address(self, member: int) -> tuple[str, int]:
        """See `Place`: the proxy."""
        return HOST, self._proxy_ports[member]

    def command(self, _member: int, command: list[str]) -> list[str]:
        """See `Place`."""
        return command

    def started(self, member: int, pid: int) -> None:
        """See `Place`: the proxies tell members apart by their processes."""
        self._tell({"member": member, "pid": pid})

    def cut(self, pairs: Iterable[tuple[int, int]]) -> None:
        """See `Place`."""
        self._tell({"cut": list(pairs)})

    def heal(self) -> None:
        """See `Place`."""
        self._tell({"heal": True})

    def bytes_sent(self) -> int:
        """See `Place`."""
        return int(self._tell({})["bytes_sent"])

    def close(self) -> None:
        """See `Place`."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait()
        self._process.stdout.close()


if __name__ == "__main__":
    asyncio.run(_serve(sys.argv[1:]))
