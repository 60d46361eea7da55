"""What is measured, as data: which loads, which faults, how long, how often. Pure.

`QUICK` fits twelve minutes on two cores; `LONG` is what it has no time for, cuts of 15 and 60
seconds and a million keys, in a quarter of an hour; `FULL` is everything. `TINY` is for the tests:
it shows that the laboratory works, and measures nothing worth saying.
"""

from typing import final

import msgspec

from bench.caplab.panel import Part
from bench.caplab.systems.names import ETCD, OURS

NONE, KILL_LEADER, KILL_MEMBER = "none", "kill leader", "kill member"
CUT_LEADER, CUT_MEMBER, SHATTER = "cut off leader", "cut off member", "shatter"
ONE_WAY, FLAP, PAUSE = "one-way link", "flapping link", "pause"
SLOW_DISK, CLOCK_JUMP = "slow disk", "clock jump"
FAULTS = (
    NONE, KILL_LEADER, KILL_MEMBER, CUT_LEADER, CUT_MEMBER, SHATTER, ONE_WAY, FLAP, PAUSE,
    SLOW_DISK, CLOCK_JUMP,
)  # fmt: skip
CUTS = (CUT_LEADER, CUT_MEMBER, SHATTER)
"""Faults in which some members cannot reach some others, and all run."""

BRIDGE = "bridge"
"""Members joined by the kernel, with no delay of the lab's; else a name of `switch.LINKS`."""


@final
class Load(msgspec.Struct, frozen=True, kw_only=True):
    """One flood: the same for the system's members however many."""

    name: str
    system: str
    kind: str
    clients: int
    replicas: str = "1"


@final
class Cell(msgspec.Struct, frozen=True, kw_only=True):
    """One fault under a panel of clients."""

    fault: str
    seconds: float
    members: int = 3
    link: str = BRIDGE
    rounds: int = 1


@final
class Matrix(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that one run measures."""

    name: str
    loads: list[Load]
    load_seconds: float
    load_rounds: int
    idle_seconds: float
    cells: list[Cell]
    before_s: float
    after_s: float
    keys: int
    """Of the measure of memory and restart; 0: not measured."""
    keys_rounds: int = 1
    profile_s: float = 0.0
    """How long to sample where a peer's time goes; 0: not at all."""

    def only(self, text: str) -> "Matrix":
        """Return the part whose loads and faults have `text` in their names; all when empty."""
        if not text:
            return self
        return msgspec.structs.replace(
            self,
            loads=[load for load in self.loads if text in load.name],
            cells=[cell for cell in self.cells if text in cell.fault],
            keys=0,
        )

    def after(self, cell: Cell) -> float:
        """Return how long to watch after the heal, seconds.

        The retransmission time of a TCP connection doubles, so what waits for one that was cut
        for n seconds may wait n seconds more, and then has to elect somebody.
        """
        return max(self.after_s, 1.25 * cell.seconds) if cell.fault in CUTS else self.after_s

    def estimate_s(self) -> float:
        """Return about how long it takes, starts and audits included."""
        loads = len(self.loads) * self.load_rounds * (self.load_seconds + _LOAD_OVERHEAD_S)
        idle = 2 * self.load_rounds * self.idle_seconds
        cells = sum(
            2 * cell.rounds * (self.before_s + cell.seconds + self.after(cell) + _CELL_OVERHEAD_S)
            for cell in self.cells
        )
        sizes = 2 * self.keys_rounds * self.keys / _KEYS_PER_S
        return _STARTS_S + self.profile_s + loads + idle + cells + sizes


_LOAD_OVERHEAD_S, _CELL_OVERHEAD_S, _STARTS_S, _KEYS_PER_S = 1.5, 4.5, 12.0, 15_000

PUTS_64 = (
    Load(name="put, 64 clients", system=ETCD, kind="put", clients=64),
    Load(name="put, 64 clients", system=OURS, kind="put", clients=64),
    Load(name="put, 64 clients", system=OURS, kind="put", clients=64, replicas="2"),
    Load(name="put, 64 clients", system=OURS, kind="put", clients=64, replicas="majority"),
)
PUTS_1 = (
    Load(name="put, 1 client", system=ETCD, kind="put", clients=1),
    Load(name="put, 1 client", system=OURS, kind="put", clients=1),
)
MANY_16 = (
    Load(name="128 operations, 16 clients", system=ETCD, kind="many", clients=16),
    Load(name="128 operations, 16 clients", system=OURS, kind="many", clients=16),
    Load(name="128 operations, 16 clients", system=OURS, kind="many", clients=16, replicas="2"),
)
MANY_1 = (
    Load(name="128 operations, 1 client", system=ETCD, kind="many", clients=1),
    Load(name="128 operations, 1 client", system=OURS, kind="many", clients=1),
)
GETS_64 = (
    Load(name="get, 64 clients", system=ETCD, kind="get_strong", clients=64),
    Load(name="get, 64 clients", system=ETCD, kind="get", clients=64),
    Load(name="get, 64 clients", system=OURS, kind="get", clients=64),
)
PUTS_256 = (
    Load(name="put, 256 clients", system=ETCD, kind="put", clients=256),
    Load(name="put, 256 clients", system=OURS, kind="put", clients=256),
    Load(name="put, 256 clients", system=OURS, kind="put", clients=256, replicas="2"),
)

_SECONDS = 5.0
QUICK = Matrix(
    name="quick",
    loads=[*PUTS_64, *MANY_16[:2], *GETS_64, *PUTS_1],
    load_seconds=2.0,
    load_rounds=3,
    idle_seconds=3.0,
    cells=[
        Cell(fault=CUT_LEADER, seconds=_SECONDS, rounds=3),
        Cell(fault=KILL_LEADER, seconds=4.0, rounds=3),
        Cell(fault=CUT_MEMBER, seconds=_SECONDS),
        Cell(fault=SHATTER, seconds=_SECONDS),
        Cell(fault=ONE_WAY, seconds=_SECONDS),
        Cell(fault=FLAP, seconds=_SECONDS),
        Cell(fault=PAUSE, seconds=_SECONDS),
        Cell(fault=SLOW_DISK, seconds=_SECONDS),
        Cell(fault=CLOCK_JUMP, seconds=_SECONDS),
        Cell(fault=CUT_MEMBER, seconds=_SECONDS, members=2),
    ],
    before_s=3.0,
    after_s=6.0,
    keys=0,
    profile_s=4.0,
)
LONG = Matrix(
    name="long",
    loads=[],
    load_seconds=0.0,
    load_rounds=0,
    idle_seconds=0.0,
    cells=[
        Cell(fault=CUT_LEADER, seconds=15.0),
        Cell(fault=CUT_LEADER, seconds=60.0),
        Cell(fault=SHATTER, seconds=60.0),
    ],
    before_s=5.0,
    after_s=12.0,
    keys=1_000_000,
    keys_rounds=3,
)
_LENGTHS = {5.0: 3, 15.0: 2, 60.0: 1}
"""Seconds of a cut, and rounds."""
FULL = Matrix(
    name="full",
    loads=[*PUTS_64, *PUTS_256, *PUTS_1, *MANY_16, *MANY_1, *GETS_64],
    load_seconds=5.0,
    load_rounds=3,
    idle_seconds=10.0,
    cells=[
        Cell(fault=NONE, seconds=_SECONDS),
        *(Cell(fault=cut, seconds=s, rounds=n) for cut in CUTS for s, n in _LENGTHS.items()),
        *(
            Cell(fault=fault, seconds=15.0)
            for fault in (
                KILL_LEADER, KILL_MEMBER, ONE_WAY, FLAP, PAUSE, SLOW_DISK, CLOCK_JUMP,
            )
        ),
        *(Cell(fault=CUT_MEMBER, seconds=s, members=2) for s in _LENGTHS),
        Cell(fault=KILL_MEMBER, seconds=15.0, members=2),
        *(
            Cell(fault=fault, seconds=15.0, link=link)
            for link in ("LAN", "campus", "WAN", "lossy LAN")
            for fault in (NONE, CUT_LEADER)
        ),
    ],
    before_s=5.0,
    after_s=12.0,
    keys=1_000_000,
    keys_rounds=3,
    profile_s=10.0,
)  # fmt: skip
TINY = Matrix(
    name="tiny",
    loads=[*PUTS_64[:2]],
    load_seconds=0.5,
    load_rounds=1,
    idle_seconds=0.5,
    cells=[Cell(fault=CUT_LEADER, seconds=1.5)],
    before_s=0.7,
    after_s=2.0,
    keys=0,
)
MATRICES = {matrix.name: matrix for matrix in (QUICK, LONG, FULL, TINY)}


def parts_of(system: str, members: int, fault: str, sides: list[list[int]]) -> list[Part]:
    """Return the clients of a panel."""
    parts: list[Part] = []
    for member in range(members):
        parts += [
            Part(role="put", member=member, per_s=60),
            Part(role="mark", member=member, per_s=20),
            Part(role="probe", member=member, per_s=40),
            Part(role="read_strong", member=member, per_s=20),
            Part(role="read_local", member=member, per_s=20),
            Part(role="register", member=member, per_s=20),
            Part(role="modify", member=member, per_s=10),
            Part(role="count", member=member, per_s=10),
            Part(role="gather", member=member, per_s=10),
            Part(role="edit", member=member, per_s=10),
            Part(role="lead", member=member, per_s=10),
            Part(role="watch", member=member, per_s=1),
        ]
        if system == OURS:
            parts += [
                Part(role="put", member=member, per_s=20, replicas="2"),
                Part(role="put", member=member, per_s=20, replicas="majority"),
            ]
    parts += [
        Part(role="failover", member=sides[0][0], per_s=60),
        Part(role="roam", member=0, per_s=40),
        Part(role="roam", member=0, per_s=40, token=False),
    ]
    if fault in CUTS:
        parts += [Part(role="conflict", member=side[0], per_s=20) for side in sides]
    return parts
