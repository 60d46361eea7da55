"""EDGE: `crdtstate controllers`: the installed controllers in a process of their own."""

import asyncio
import signal
import sys

import click
from prometheus_client import CollectorRegistry, start_http_server

from controllers.runtime.manager import Manager
from controllers.runtime.metrics import ManagerCollector
from controllers.runtime.registry import ControllerSpec, load_controllers
from crdtstate.client import AsyncClient
from crdtstate.errors import InvalidError

__all__ = ["command"]


@click.command("controllers")
@click.option("--only", multiple=True, metavar="NAME", help="Run this one; repeatable.")
@click.option("--list", "listed", is_flag=True, help="Name the installed controllers and stop.")
@click.option("--metrics", metavar="HOST:PORT", help="Serve counts for Prometheus here.")
@click.pass_context
def command(ctx: click.Context, only: tuple[str, ...], listed: bool, metrics: str | None) -> int:
    """Run controllers beside the peers, until Ctrl-C.

    Peers run the built-in ones inside, unless started with --without controllers. Those that run
    here act on every key, so running them twice is harmless, but not free.
    """
    specs = _chosen(load_controllers(), only)
    if listed:
        click.echo("\n".join(f"{spec.name}\t{spec.of.name}" for spec in specs))
        return 0
    asyncio.run(_run(ctx.obj.server, ctx.obj.token_file, specs, metrics))
    return 0


def _chosen(specs: list[ControllerSpec], only: tuple[str, ...]) -> list[ControllerSpec]:
    names = [spec.name for spec in specs]
    unknown = sorted(set(only) - set(names))
    if unknown:
        raise InvalidError(
            f"there is no controller {unknown[0]!r}; there are {', '.join(names)}",
            code="invalid_parameter",
        )
    return [spec for spec in specs if not only or spec.name in only]


async def _run(
    server: str, token_file: str | None, specs: list[ControllerSpec], metrics: str | None
) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with AsyncClient(server, token_file=token_file, causal=False) as client:
        await client.status()  # A wrong address is told at once.
        manager = Manager(client, specs)
        if metrics is not None:
            _serve(manager, metrics)
        sys.stdout.write(f"{len(specs)} controllers run against {server}; Ctrl-C stops them\n")
        sys.stdout.flush()
        task = asyncio.create_task(manager.run())
        stopping = asyncio.create_task(stop.wait())
        await asyncio.wait([task, stopping], return_when=asyncio.FIRST_COMPLETED)
        for each in (task, stopping):
            each.cancel()
        results = await asyncio.gather(task, stopping, return_exceptions=True)
        if isinstance(results[0], Exception):
            raise results[0]


def _serve(manager: Manager, address: str) -> None:
    host, _, port = address.rpartition(":")
    if not port.isdigit() or not 0 <= int(port) <= 65_535:
        raise InvalidError(f"metrics {address!r} is not HOST:PORT", code="invalid_parameter")
    registry = CollectorRegistry()
    registry.register(ManagerCollector(manager.metrics))
    start_http_server(int(port), host or "127.0.0.1", registry)
