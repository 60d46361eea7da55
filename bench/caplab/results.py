"""What one run of the laboratory writes down: the report is made from this file alone."""

from typing import Any, final

import msgspec

from bench.caplab.flood import Result
from bench.caplab.history import Windows
from bench.caplab.matrix import Cell, Load
from bench.caplab.measures import Measured

FORMAT = 1


@final
class Used(msgspec.Struct, frozen=True, kw_only=True):
    """What all members of a system used over a run together."""

    cpu_s: float
    bytes_between: int
    disk_bytes: int
    rss_bytes: int
    """At the end, of all members."""


@final
class LoadRun(msgspec.Struct, frozen=True, kw_only=True):
    """One flood in one round."""

    load: Load
    round: int
    result: Result
    used: Used
    """Of `result.total_requests`."""


@final
class IdleRun(msgspec.Struct, frozen=True, kw_only=True):
    """A cluster that nobody asks anything."""

    system: str
    round: int
    seconds: float
    used: Used


@final
class CellRun(msgspec.Struct, frozen=True, kw_only=True):
    """One fault on one system in one round."""

    cell: Cell
    system: str
    round: int
    sides: list[list[int]]
    windows: Windows
    measured: Measured
    used: Used
    fingerprints_equal: bool | None = None
    """Of ours: equal vectors and fingerprints at the end."""


@final
class SizeRun(msgspec.Struct, frozen=True, kw_only=True):
    """Many keys in one cluster."""

    system: str
    round: int
    keys: int
    rss_before_bytes: int
    rss_bytes: int
    """Of one member with the keys."""
    fill_s: float
    restart_s: float
    """From the start of one member's process until it has answered a read."""
    rss_after_restart_bytes: int


@final
class Skipped(msgspec.Struct, frozen=True, kw_only=True):
    """What was not measured, and why."""

    what: str
    why: str


@final
class Results(msgspec.Struct, kw_only=True):
    """One run of the laboratory."""

    format: int = FORMAT
    date: str
    matrix: str
    machine: str
    versions: dict[str, str]
    place: str
    took_s: float = 0.0
    busy: float = 0.0
    """Load average a core when it began: what else the machine had to do."""
    loads: list[LoadRun] = []
    idle: list[IdleRun] = []
    cells: list[CellRun] = []
    sizes: list[SizeRun] = []
    skipped: list[Skipped] = []
    profile: list[tuple[str, float]] = []
    """Where a peer's time goes under the heaviest load: room and share."""


def _rounded(value: Any) -> Any:
    """Return the value with floats of at most four places."""
    if isinstance(value, float):
        return round(value, 4)
    if isinstance(value, list):
        return [_rounded(one) for one in value]
    if isinstance(value, dict):
        return {name: _rounded(one) for name, one in value.items()}
    return value


def encode(results: Results) -> bytes:
    """Return the file's bytes: one run a line, so that a difference can be read."""
    fields: dict[str, Any] = _rounded(msgspec.to_builtins(results))
    lines = []
    for name, value in fields.items():
        if isinstance(value, list) and value:
            rows = ",\n  ".join(msgspec.json.encode(row).decode() for row in value)
            lines.append(f' "{name}": [\n  {rows}\n ]')
        else:
            lines.append(f' "{name}": {msgspec.json.encode(value).decode()}')
    return ("{\n" + ",\n".join(lines) + "\n}\n").encode()


def decode(data: bytes) -> Results:
    """Read a file. Raises: ValueError for another format, msgspec.ValidationError."""
    results = msgspec.json.decode(data, type=Results)
    if results.format != FORMAT:
        raise ValueError(f"results are of format {results.format}, not {FORMAT}")
    return results
