"""A whole peer in the test's own process: real storage, real sockets, no other peer."""

import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp

from crdtstate.daemon.config import load_config
from crdtstate.daemon.main import Peer


def free_port() -> int:
    """Return a port that is free now, for TCP and UDP."""
    while True:
        with socket.socket() as tcp, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
            tcp.bind(("127.0.0.1", 0))
            port = int(tcp.getsockname()[1])
            try:
                udp.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port


@asynccontextmanager
async def running_peer(path: Path, **flags: Any) -> AsyncIterator[tuple[Peer, str]]:
    """Give a started peer and its URL."""
    api = f"127.0.0.1:{free_port()}"
    given: dict[str, Any] = {
        "name": "a", "data": str(path), "api": api, "gossip": f"127.0.0.1:{free_port()}",
        "without": ("all",),  # The peer alone: controllers would write beside the test.
    }  # fmt: skip
    peer = Peer(load_config(None, given | flags))
    await peer.start()
    try:
        yield peer, f"http://{api}"
    finally:
        await peer.stop()


@asynccontextmanager
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    """Give an HTTP session whose requests end in time."""
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=20)) as session:
        yield session
