"""`crdtstate version` and `crdtstate completion`."""

import sys

import click
from click.shell_completion import get_completion_class

from crdtstate.version import VERSION

__all__ = ["completion", "version"]


@click.command()
def version() -> None:
    """Print the version of this program."""
    sys.stdout.write(f"crdtstate {VERSION}\n")


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def completion(ctx: click.Context, shell: str) -> None:
    """Print completion for a shell, as in: source <(crdtstate completion bash)."""
    kind = get_completion_class(shell)
    assert kind is not None
    script = kind(ctx.find_root().command, {}, "crdtstate", "_CRDTSTATE_COMPLETE")
    sys.stdout.write(script.source() + "\n")
