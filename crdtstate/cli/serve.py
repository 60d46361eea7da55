"""`crdtstate serve`: one peer in the foreground, JSON logs on standard error."""

import sys
from typing import Any

import click

__all__ = ["serve"]

_LEVELS = ["debug", "info", "warning", "error"]


@click.command()
@click.option("--config", "path", type=click.Path(dir_okay=False), help="TOML file; flags win.")
@click.option("--name", help="Name of this peer, its own in the cluster.")
@click.option("--data", help="Directory for everything that it keeps.")
@click.option("--api", help="HOST:PORT of the HTTP API.  [default: 127.0.0.1:7480]")
@click.option("--gossip", help="HOST:PORT for other peers, UDP and TCP.  [default: 127.0.0.1:7481]")
@click.option("--advertise", help="HOST:PORT that others shall dial, if it is another.")
@click.option("--seed", "seeds", multiple=True, help="HOST:PORT of a peer to join; repeatable.")
@click.option("--cluster", help="Id of the cluster, 32 hexadecimal digits.  [default: of the key]")
@click.option("--keys", help="File of the cluster's keys.  [default: DATA/cluster.keys]")
@click.option("--token-file", help="File of bearer tokens that clients must show, one a line.")
@click.option("--mdns/--no-mdns", default=None, help="Also find peers on the local network.")
@click.option("--dev/--no-dev", default=None, help="Obey fault injection: for tests and play.")
@click.option(
    "--without", multiple=True, metavar="NAME",
    help="Extension not to run inside, such as controllers or agent; all for none; repeatable.",
)  # fmt: skip
@click.option(
    "--end-pods/--keep-pods", default=None,
    help="What becomes of the processes of pods when the peer stops.  [default: keep]",
)  # fmt: skip
@click.option("--key-bytes-max", type=int)
@click.option("--value-bytes-max", type=int)
@click.option("--transaction-bytes-max", type=int)
@click.option("--operations-max", type=int)
@click.option("--path-depth-max", type=int)
@click.option("--watches-max", type=int)
@click.option("--event-entries-max", type=int)
@click.option("--event-age-s", type=int)
@click.option("--log-level", type=click.Choice(_LEVELS))
@click.option("--stop-with-stdin", is_flag=True, hidden=True, help="Stop when stdin closes.")
def serve(path: str | None, stop_with_stdin: bool, **flags: Any) -> int:
    """Run one peer until it is told to stop (SIGINT, SIGTERM).

    A peer needs a name and a data directory; all that share a key file and reach each other
    through seeds are one cluster.
    """
    import uvloop

    from crdtstate.daemon.config import load_config
    from crdtstate.daemon.main import run

    config = load_config(path, flags)
    _configure_log(config.log_level)
    return uvloop.run(run(config, stop_with_stdin=stop_with_stdin))


def _configure_log(level: str) -> None:
    import logging

    import structlog

    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True, key="time"),
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(
            logging.getLevelNamesMapping()[level.upper()]
        ),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
