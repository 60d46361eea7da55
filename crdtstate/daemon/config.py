"""Every knob of a peer: its purpose, its bound. From flags and from one TOML file.

A flag wins over the file, the file over the default. An unknown name in the file is an error.
"""

import tomllib
from pathlib import Path
from typing import Any, final

import msgspec

from crdtstate.errors import InvalidError

__all__ = ["PeerConfig", "load_config", "parse_address"]


@final
class PeerConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One peer. Addresses are HOST:PORT; port 0 takes a free one."""

    name: str
    data: str
    api: str = "127.0.0.1:7480"
    gossip: str = "127.0.0.1:7481"
    advertise: str | None = None  # What others dial; needed when gossip binds 0.0.0.0.
    seeds: tuple[str, ...] = ()
    cluster: str | None = None  # 32 hexadecimal digits; made from the keys when absent.
    keys: str | None = None  # The key file; DATA/cluster.keys when absent, made when missing.
    token_file: str | None = None  # One bearer token a line; needed off loopback.
    mdns: bool = False  # Also look for peers on the local network.
    dev: bool = False  # Obey fault injection.
    without: tuple[str, ...] = ()  # Extensions that do not run inside; "all" for none.
    end_pods: bool = False  # End the processes of pods with the peer; else they outlive it.
    key_bytes_max: int = 1024
    value_bytes_max: int = 1 << 20
    transaction_bytes_max: int = 4 << 20
    operations_max: int = 1_000  # About 10 ms of the event loop, on every peer.
    path_depth_max: int = 64
    watches_max: int = 4096  # A watch costs about 50 KB of buffers and no CPU.
    event_entries_max: int = 200_000  # Beyond it a peer that was away is repaired, not pulled.
    event_age_s: int = 86_400
    log_level: str = "info"


def load_config(path: str | None, flags: dict[str, Any]) -> PeerConfig:
    """Merge the file and the flags that were given.

    Raises: InvalidError naming the file, the field and the reason.
    """
    values: dict[str, Any] = {}
    if path is not None:
        try:
            values = tomllib.loads(Path(path).read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
            raise InvalidError(
                f"configuration {path}: {error}", code="invalid_configuration"
            ) from error
    values.update({name: value for name, value in flags.items() if value not in (None, ())})
    try:
        config = msgspec.convert(values, PeerConfig)
    except msgspec.ValidationError as error:
        where = f"configuration {path}" if path else "configuration"
        raise InvalidError(f"{where}: {error}", code="invalid_configuration") from error
    _check_name(config.name)
    return config


def _check_name(name: str) -> None:
    if not 0 < len(name) <= 63 or not name.isascii() or not name.replace("-", "a").isalnum():
        raise InvalidError(
            f"name {name!r} is not 1 to 63 ASCII letters, digits and hyphens",
            code="invalid_configuration",
        )


def parse_address(text: str, what: str) -> tuple[str, int]:
    """Return (host, port) of HOST:PORT or [V6]:PORT. Raises: InvalidError."""
    host, _, port = text.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if not host or not port.isascii() or not port.isdigit() or int(port) > 65535:
        raise InvalidError(f"{what} {text!r} is not HOST:PORT", code="invalid_configuration")
    return host, int(port)
