"""EDGE: the command line. Commands are loaded when they are used, so that --help is fast.

Exit codes:
    0 done   1 refused or failed   2 wrong usage   3 not found   4 a precondition does not hold
    5 no peer answered in time, or too few replicas have it   130 interrupted

Others may add commands: an entry point of the group `crdtstate.commands` names a click command.
"""

import difflib
import importlib
import os
import sys
from importlib.metadata import entry_points
from typing import Any, NoReturn, final

import click

from crdtstate.cli.session import DEFAULT_SERVER, Session
from crdtstate.errors import (
    BehindError,
    CrdtstateError,
    NotFoundError,
    PreconditionError,
    UnavailableError,
)

__all__ = ["exit_code_of", "main", "root"]

_COMMANDS = {
    "up": "crdtstate.cli.up:up",
    "serve": "crdtstate.cli.serve:serve",
    "kv": "crdtstate.cli.keyvalue:kv",
    "apply": "crdtstate.cli.objects:apply",
    "get": "crdtstate.cli.objects:get",
    "delete": "crdtstate.cli.objects:delete",
    "kubeconfig": "crdtstate.cli.kubeconfig:kubeconfig",
    "members": "crdtstate.cli.cluster:members",
    "status": "crdtstate.cli.cluster:status",
    "conflicts": "crdtstate.cli.cluster:conflicts",
    "wait": "crdtstate.cli.cluster:wait",
    "forget": "crdtstate.cli.cluster:forget",
    "backup": "crdtstate.cli.cluster:backup",
    "restore": "crdtstate.cli.cluster:restore",
    "dev": "crdtstate.cli.dev:dev",
    "sim": "crdtstate.cli.simulate:sim",
    "key": "crdtstate.cli.rotation:key",
    "version": "crdtstate.cli.shell:version",
    "completion": "crdtstate.cli.shell:completion",
}
_EXIT_CODES: tuple[tuple[type[CrdtstateError], int], ...] = (
    (NotFoundError, 3),
    (PreconditionError, 4),
    (UnavailableError, 5),
    (BehindError, 5),
)
_HELP_SUMMARIES = {
    "up": "Run three peers on this machine, to try it.",
    "serve": "Run one peer.",
    "kv": "Put, get, list, delete and watch keys.",
    "apply": "Create or change objects as manifests say.",
    "get": "Show objects: pods, deployments…",
    "delete": "Delete objects.",
    "kubeconfig": "Make a kubeconfig for kubectl and its like.",
    "members": "List the peers.",
    "status": "Show how one peer is.",
    "conflicts": "List concurrent writes that differ.",
    "wait": "Wait until peers have everything.",
    "forget": "Remove a member for good.",
    "backup": "Copy a peer's data while it runs.",
    "restore": "Make a data directory out of a backup.",
    "dev": "Cut and heal links (peers with --dev).",
    "sim": "Break simulated clusters, by seed.",
    "key": "Rotate the key of the cluster.",
    "version": "Print the version.",
    "completion": "Print completion for a shell.",
}


@final
class LazyGroup(click.Group):
    """A group that imports a command when it is asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return [*_COMMANDS, *sorted(point.name for point in _extensions())]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        place = _COMMANDS.get(cmd_name)
        if place is not None:
            module, _, name = place.partition(":")
            found: click.Command = getattr(importlib.import_module(module), name)
            return found
        for point in _extensions():
            if point.name == cmd_name:
                command: click.Command = point.load()
                return command
        return None

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        name = args[0]
        if self.get_command(ctx, name) is None:
            near = difflib.get_close_matches(name, self.list_commands(ctx), 1)
            hint = f" Did you mean {near[0]!r}?" if near else ""
            ctx.fail(f"No such command {name!r}.{hint}")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        rows = list(_HELP_SUMMARIES.items())
        rows += sorted((point.name, _summary(point)) for point in _extensions())
        with formatter.section("Commands"):
            formatter.write_dl(rows)


def _extensions() -> list[Any]:
    return [p for p in entry_points(group="crdtstate.commands") if p.name not in _COMMANDS]


def _summary(point: Any) -> str:
    """Return what a command of others says of itself; a broken one must not break the list."""
    try:
        summary: str = point.load().get_short_help_str(limit=60)
    except Exception as error:  # noqa: BLE001 - whatever it raises, it is theirs.
        return f"(cannot be loaded: {error})"
    return summary


@click.group(
    cls=LazyGroup,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Exit codes: 0 done, 1 refused or failed, 2 wrong usage, 3 not found, 4 precondition "
    "does not hold, 5 no peer answered in time or too few replicas have it.",
)
@click.option(
    "-s", "--server", envvar="CRDTSTATE_SERVER", default=DEFAULT_SERVER, show_default=True,
    help="Peers to talk to, with commas; the next one is tried when one fails.",
)  # fmt: skip
@click.option(
    "--token-file", envvar="CRDTSTATE_TOKEN_FILE", type=click.Path(dir_okay=False),
    help="File with the bearer token that the peers want.",
)  # fmt: skip
@click.option(
    "--timeout", type=click.FloatRange(0.001, 60.0), default=5.0, show_default=True,
    help="Seconds that one request may take, with all retries.",
)  # fmt: skip
@click.pass_context
def root(ctx: click.Context, server: str, token_file: str | None, timeout: float) -> None:
    """Desired state that accepts every write on every peer, and converges.

    Start with: crdtstate up
    """
    ctx.obj = Session(server=server, token_file=token_file, timeout_s=timeout)


def exit_code_of(error: CrdtstateError) -> int:
    """Return the exit code that stands for an error."""
    return next((code for kind, code in _EXIT_CODES if isinstance(error, kind)), 1)


def main(arguments: list[str] | None = None) -> NoReturn:
    """Run one command and leave with its exit code; every error is one line on stderr."""
    sys.exit(_run(arguments))


def _run(arguments: list[str] | None) -> int:
    try:
        result = root.main(arguments, prog_name="crdtstate", standalone_mode=False)
        sys.stdout.flush()
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except click.Abort:
        return 130
    except KeyboardInterrupt:
        return 130
    except CrdtstateError as error:
        click.echo(f"error: {error.message}", err=True)
        return exit_code_of(error)
    except BrokenPipeError:
        # The reader has left, as `head` does; closing stdout would complain once more.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:
        click.echo(f"error: {error}", err=True)
        return 1
    return result if isinstance(result, int) else 0
