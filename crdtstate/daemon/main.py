"""One peer as a process: open the directory, start in order, run until told to stop, stop in order.

Start: lock and identity, storage, replica, gossip, API. Stop: the reverse, so that every request
that was accepted is answered, and the last batch is durable.
"""

import asyncio
import contextlib
import gc
import hashlib
import ipaddress
import os
import signal
import threading
import time
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, final

import structlog

from crdtstate.api.kube.feed import Feed
from crdtstate.api.kube.server import KubeApi
from crdtstate.api.server import HttpServer
from crdtstate.client import AsyncClient
from crdtstate.daemon.compose import Keeper, Surroundings, assemble
from crdtstate.daemon.config import PeerConfig, parse_address
from crdtstate.daemon.driver import Driver
from crdtstate.daemon.relay import HttpRelay
from crdtstate.errors import InvalidError, StorageError, UnavailableError
from crdtstate.extension import PeerHandle, load_extensions
from crdtstate.storage.backup import backup
from crdtstate.storage.keyfile import load_or_create_keys, save_keys
from crdtstate.storage.layout import DataDirectory
from crdtstate.storage.rocks import RocksStorage

ORPHAN_STOP_S = 20.0
GC_THRESHOLDS = (20_000, 50, 100)

__all__ = ["Peer", "run"]

_log = structlog.get_logger("crdtstate.daemon")


@final
class Peer:
    """One running peer. `start` raises before anything is left behind."""

    def __init__(self, config: PeerConfig) -> None:
        self.config = config
        self._folder = Path(config.data).absolute()  # As of now: nobody need stay here.
        self.api_address = parse_address(config.api, "api")
        self._auth_tokens = _read_auth_tokens(config, self.api_address[0])
        self._exit = contextlib.AsyncExitStack()
        self.driver: Driver | None = None
        self.feed: Feed | None = None
        self.kube: KubeApi | None = None

    async def start(self) -> None:
        """Start everything. Raises: StorageError, InvalidError, UnavailableError."""
        try:
            await self._start()
        except BaseException:
            await self._exit.aclose()
            raise

    async def _start(self) -> None:
        config = self.config
        key_path = Path(config.keys) if config.keys else Path(config.data) / "cluster.keys"
        directory = DataDirectory.open(
            Path(config.data), name=config.name, cluster_id=_parse_cluster(config.cluster)
        )
        self._exit.callback(directory.close)
        keys = load_or_create_keys(key_path)
        cluster_id = directory.adopt_cluster(hashlib.blake2b(keys[0], digest_size=16).digest())
        storage = await asyncio.to_thread(RocksStorage.open, directory.db_path)
        self._exit.callback(storage.close)
        self._exit.callback(self._mark_clean, directory)
        relay = HttpRelay()
        self._exit.push_async_callback(relay.close)
        peer = assemble(
            config, storage, self._keeper(directory, storage, key_path, cluster_id, keys),
            self._auth_tokens, Surroundings(relay=relay),
        )  # fmt: skip
        self.driver, self.feed, self.kube = peer.driver, peer.feed, peer.kube
        # Before it has started, to stop it is harmless, and the driver's thread needs it.
        self._exit.push_async_callback(peer.stop)
        await peer.start()
        server = HttpServer(
            peer.dispatcher, body_bytes_max=2 * config.transaction_bytes_max + (1 << 16)
        )
        host, port = self.api_address
        try:
            port = await server.start(host, port)
        except OSError as error:
            raise InvalidError(
                f"API address {host}:{port} cannot be bound: {error.strerror or error}",
                code="address_in_use",
            ) from error
        self._exit.push_async_callback(server.stop)
        await self._start_extensions(port, peer.kube)
        _log.info(
            "peer_started", name=config.name, api=config.api, gossip=config.gossip,
            origin=f"{directory.identity.origin:016x}", fresh=directory.identity.fresh,
            reason=directory.identity.reason,
        )  # fmt: skip

    async def _start_extensions(self, port: int, kube: KubeApi) -> None:
        """Start what runs inside. One that fails is logged; the peer goes on without it."""
        host = self.api_address[0]
        host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
        url = f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
        token = self._auth_tokens[0] if self._auth_tokens else None
        for name, extension in load_extensions(self.config.without):
            handle = PeerHandle(
                name=self.config.name, api=url, data=self._folder / name,
                client=lambda: AsyncClient(url, auth_token=token, causal=False),
                end_pods=self.config.end_pods, offer_pods=kube.offer_pods,
            )  # fmt: skip
            self._exit.push_async_callback(_quietly, name, extension.stop)
            await _quietly(name, partial(extension.start, handle))

    def _mark_clean(self, directory: DataDirectory) -> None:
        if self.driver is not None and self.driver.failure is None:
            directory.mark_clean()

    def _keeper(
        self,
        directory: DataDirectory,
        storage: RocksStorage,
        key_path: Path,
        cluster_id: bytes,
        keys: Sequence[bytes],
    ) -> Keeper:
        async def take_origin(reason: str) -> int:
            return await asyncio.to_thread(directory.new_origin, reason)

        async def keep(ring: Sequence[bytes]) -> None:
            await asyncio.to_thread(save_keys, key_path, ring)

        async def write_backup(path: str) -> dict[str, Any]:
            return (await asyncio.to_thread(backup, storage, directory, Path(path))).to_json()

        return Keeper(
            cluster_id=cluster_id,
            origin=directory.identity.origin,
            clean=directory.identity.clean,
            new_identity=directory.identity.reason is not None,
            keys=keys,
            take_origin=take_origin,
            save_keys=keep,
            backup=write_backup,
        )

    async def stop(self) -> None:
        """Stop in the reverse order."""
        await self._exit.aclose()


async def _quietly(name: str, act: Callable[[], Awaitable[None]]) -> None:
    """Let an extension act; what it raises is logged."""
    try:
        await act()
    except Exception:  # noqa: BLE001 - code of others, whose mistakes are not the peer's.
        _log.exception("extension_failed", extension=name)


def _parse_cluster(text: str | None) -> bytes | None:
    if text is None:
        return None
    try:
        cluster = bytes.fromhex(text)
    except ValueError:
        cluster = b""
    if len(cluster) != 16:
        raise InvalidError(
            f"cluster {text!r} is not 32 hexadecimal digits", code="invalid_configuration"
        )
    return cluster


def _read_auth_tokens(config: PeerConfig, host: str) -> tuple[str, ...]:
    """Return the bearer tokens. Raises: InvalidError off loopback without a token file."""
    if config.token_file is None:
        if not _is_loopback(host):
            raise InvalidError(
                f"API address {config.api} is not on loopback and there is no token file: "
                "anyone on the network could read and write; give --token-file, or bind 127.0.0.1",
                code="invalid_configuration",
            )
        return ()
    try:
        lines = Path(config.token_file).read_text(encoding="utf-8").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidError(
            f"token file {config.token_file}: {error}", code="invalid_configuration"
        ) from error
    tokens = tuple(line.strip() for line in lines if line.strip() and line[:1] != "#")
    if not tokens or any(len(token) < 16 for token in tokens):
        raise InvalidError(
            f"token file {config.token_file} holds {len(tokens)} tokens; at least one is needed, "
            "each of 16 characters or more",
            code="invalid_configuration",
        )
    return tokens


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _await_stdin(loop: asyncio.AbstractEventLoop, stop: asyncio.Event) -> None:
    while os.read(0, 4096):
        pass
    with contextlib.suppress(RuntimeError):  # The loop has ended already.
        loop.call_soon_threadsafe(stop.set)
    time.sleep(ORPHAN_STOP_S)
    os._exit(1)  # Nobody is left to kill a peer that does not stop.


async def _keep_objects(feed: Feed | None) -> None:
    """Keep collections from looking at the objects that are read at the start, time and again."""
    assert feed is not None
    gc.disable()
    try:
        with contextlib.suppress(UnavailableError):
            await feed.caught_up(0)
    finally:
        gc.freeze()
        gc.enable()


async def run(config: PeerConfig, *, stop_with_stdin: bool = False) -> int:
    """Run one peer until SIGINT or SIGTERM, or until its storage fails; return the exit code.

    Args:
        stop_with_stdin: Stop also when standard input closes, so that a parent which dies does
            not leave its peers behind.

    Raises: CrdtstateError when it cannot start.
    """
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    if stop_with_stdin:
        threading.Thread(target=_await_stdin, args=(loop, stop), daemon=True).start()
    peer = Peer(config)
    await peer.start()
    assert peer.driver is not None
    # What is there now stays: collections need not look at it again. What comes lives for a batch,
    # and nearly all of it goes by counting; cycles are looked for seldom.
    gc.collect()
    gc.freeze()
    gc.set_threshold(*GC_THRESHOLDS)
    settling = loop.create_task(_keep_objects(peer.feed))
    waits = [
        loop.create_task(stop.wait()),
        loop.create_task(peer.driver.failed.wait()),
    ]
    try:
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        failure = peer.driver.failure
        if failure is not None:
            await asyncio.sleep(0.2)  # Let the waiting requests get their answers.
    finally:
        for wait in (*waits, settling):
            wait.cancel()
        await peer.stop()
    if failure is not None:
        raise StorageError(failure.message, code=failure.code)
    return 0
