"""EDGE: does to a cluster what a cell's fault says, and undoes it."""

import signal
import threading
from collections.abc import Callable, Sequence
from itertools import combinations
from pathlib import Path
from typing import final

from bench.caplab import matrix as m
from bench.caplab.places.place import both_ways
from bench.caplab.slowdisk import SlowDisk
from bench.caplab.systems.process import MemberProcess
from bench.caplab.systems.system import System

FLAP_S = 0.5
SLOW_DISK_S = 0.05
CLOCK_JUMP_MS = 10_000


def victim_of(fault: str, leader: int, members: int) -> int:
    """Return the member at fault: the leader, or one that is not."""
    return (leader + 1) % members if fault in (m.KILL_MEMBER, m.CUT_MEMBER) else leader


def sides_of(fault: str, victim: int, members: int) -> list[list[int]]:
    """Return the sides that the report tells apart; the victim's is the first."""
    others = [n for n in range(members) if n != victim]
    if fault == m.NONE:
        return [list(range(members))]
    if fault == m.SHATTER:
        return [[victim], *([n] for n in others)]
    if fault == m.ONE_WAY:
        return [[others[0]], [victim, *others[1:]]]  # Who hears nothing of the victim any more.
    return [[victim], others]


def survivors_of(fault: str, victim: int, members: int) -> list[int]:
    """Return the members that run all the time."""
    stopped = fault in (m.KILL_LEADER, m.KILL_MEMBER, m.PAUSE)
    return [n for n in range(members) if not (stopped and n == victim)]


@final
class Fault:
    """One fault on one cluster. `disks` and `clocks` are of the members, where it needs them."""

    def __init__(
        self,
        kind: str,
        system: System,
        victim: int,
        disks: Sequence[SlowDisk] = (),
        clocks: Sequence[Path] = (),
    ) -> None:
        self._kind, self._system, self._victim = kind, system, victim
        self._disks, self._clocks = disks, clocks
        self._healed = threading.Event()
        self._flapper: threading.Thread | None = None

    def begin(self) -> None:
        """Let it happen; returns when it has."""
        self._table()[self._kind][0]()

    def end(self) -> None:
        """Undo it; returns when it is undone, not when the cluster is well."""
        self._table()[self._kind][1]()

    def _table(self) -> dict[str, tuple[Callable[[], None], Callable[[], None]]]:
        heal = self._system.place.heal
        kill, restart = self._process.kill, self._restart
        return {
            m.NONE: (lambda: None, lambda: None),
            m.KILL_LEADER: (kill, restart),
            m.KILL_MEMBER: (kill, restart),
            m.CUT_LEADER: (self._cut_off, heal),
            m.CUT_MEMBER: (self._cut_off, heal),
            m.SHATTER: (self._shatter, heal),
            m.ONE_WAY: (self._cut_one_way, heal),
            m.FLAP: (self._start_flapping, self._stop_flapping),
            m.PAUSE: (
                lambda: self._process.signal(signal.SIGSTOP),
                lambda: self._process.signal(signal.SIGCONT),
            ),
            m.SLOW_DISK: (lambda: self._slow(SLOW_DISK_S), lambda: self._slow(0.0)),
            m.CLOCK_JUMP: (lambda: self._jump(CLOCK_JUMP_MS), lambda: self._jump(0)),
        }

    @property
    def _process(self) -> MemberProcess:
        return self._system.members[self._victim]

    @property
    def _others(self) -> list[int]:
        return [n for n in range(len(self._system.members)) if n != self._victim]

    def _restart(self) -> None:
        self._system.start_member(self._victim)

    def _cut_off(self) -> None:
        self._system.place.cut(both_ways((self._victim, other) for other in self._others))

    def _shatter(self) -> None:
        self._system.place.cut(both_ways(combinations(range(len(self._system.members)), 2)))

    def _cut_one_way(self) -> None:
        self._system.place.cut([(self._victim, self._others[0])])

    def _start_flapping(self) -> None:
        self._flapper = threading.Thread(target=self._flap)
        self._flapper.start()

    def _flap(self) -> None:
        while True:
            self._cut_off()
            if self._healed.wait(FLAP_S):
                return
            self._system.place.heal()
            if self._healed.wait(FLAP_S):
                return

    def _stop_flapping(self) -> None:
        self._healed.set()
        assert self._flapper is not None
        self._flapper.join()
        self._system.place.heal()

    def _slow(self, delay_s: float) -> None:
        self._disks[self._victim].delay_s = delay_s

    def _jump(self, offset_ms: int) -> None:
        self._clocks[self._victim].write_text(str(offset_ms))
