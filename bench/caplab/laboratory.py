"""EDGE: sets clusters up, loads and breaks them as a matrix says, and collects the results."""

import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import final

import msgspec

from bench.caplab import matrix as m
from bench.caplab.faults import Fault, sides_of, survivors_of, victim_of
from bench.caplab.flood import Flood, Result
from bench.caplab.history import History, Windows
from bench.caplab.measures import measure
from bench.caplab.panel import Panel, now_ms
from bench.caplab.places.loopback import Loopback
from bench.caplab.places.namespaces import Namespaces
from bench.caplab.places.place import Place
from bench.caplab.places.switch import LINKS
from bench.caplab.profiling import profile
from bench.caplab.results import CellRun, IdleRun, LoadRun, Results, Skipped, Used
from bench.caplab.slowdisk import SlowDisk
from bench.caplab.systems.etcd import EtcdSystem
from bench.caplab.systems.names import ETCD, OURS
from bench.caplab.systems.ours import OursSystem
from bench.caplab.systems.system import System

PANEL_START_S = 1.0
KEYS = 10_000
_SETTLE_S = 0.5
_MODULES = "bench.caplab."

Say = Callable[[str], None]


@final
class Usage:
    """What a system uses from now on."""

    def __init__(self, system: System) -> None:
        self._system = system
        self._cpu_s, self._bytes, self._disk = self._read()

    def _read(self) -> tuple[float, int, int]:
        members = self._system.members
        return (
            sum(member.cpu_s() for member in members),
            self._system.place.bytes_sent(),
            sum(member.disk_bytes() for member in members),
        )

    def so_far(self) -> Used:
        """Return it."""
        cpu_s, sent, disk = self._read()
        return Used(
            cpu_s=cpu_s - self._cpu_s,
            bytes_between=sent - self._bytes,
            disk_bytes=disk - self._disk,
            rss_bytes=sum(member.rss_bytes() for member in self._system.members),
        )


@final
class Laboratory:
    """Runs parts of a matrix, in network namespaces or on loopback."""

    def __init__(self, etcd: Path, path: Path, say: Say, *, namespaces: bool) -> None:
        self._etcd, self._path, self.say, self._namespaces = etcd, path, say, namespaces
        self._numbers = iter(range(1, 250))

    def place(self, members: int, link: str = m.BRIDGE) -> Place:
        """Return a new place. Raises: OSError when links like these cannot be had here."""
        number = next(self._numbers)
        if self._namespaces:
            made = None if link == m.BRIDGE else LINKS[link]
            return Namespaces(f"n{number}", number, members, made)
        if link != m.BRIDGE:
            raise OSError("delay and loss need network namespaces")
        return Loopback(members)

    @contextmanager
    def cluster(
        self, name: str, members: int, link: str = m.BRIDGE, *, wrong_clocks: bool = False,
        disks: list[SlowDisk] | None = None,
    ) -> Iterator[System]:  # fmt: skip
        """Give a running cluster of one system."""
        place = self.place(members, link)
        path = self._path / f"{name}{next(self._numbers)}"
        system: System
        if name == ETCD:
            system = EtcdSystem(self._etcd, place, members, path)
        else:
            system = OursSystem(place, members, path, clocks=wrong_clocks)
        with ExitStack() as stack:
            stack.callback(place.close)
            stack.callback(system.stop)
            if disks is not None:
                path.mkdir(parents=True, exist_ok=True)
                for n, member in enumerate(system.members):
                    disks.append(SlowDisk(path / f"disk{n}"))
                    stack.callback(disks[-1].close)
                    member.wrap(disks[-1].wrapper)
            system.start()
            yield system

    # -- floods --------------------------------------------------------------------------------

    def run_loads(self, matrix: m.Matrix, results: Results) -> None:
        """Run every load in turn, again in every round; idle clusters between rounds."""
        with self.cluster(ETCD, 3) as etcd, self.cluster(OURS, 3) as ours:
            systems = {ETCD: etcd, OURS: ours}
            for system in systems.values():
                self._fill(system, KEYS)
            for number in range(matrix.load_rounds):
                for system in systems.values():
                    self.say(f"idle, {system.name}, round {number + 1}")
                    results.idle.append(self._idle(system, matrix.idle_seconds, number))
                for load in matrix.loads:
                    self.say(f"{load.name}, {load.system}, round {number + 1}")
                    run = self._load(systems[load.system], load, matrix.load_seconds, number)
                    results.loads.append(run)
            if matrix.profile_s:
                self._profile(ours, matrix.profile_s, results)

    def _profile(self, ours: System, seconds: float, results: Results) -> None:
        self.say("profile")
        load = m.Load(name="", system=OURS, kind="put", clients=64)
        profile(ours.members[0].pid, seconds, lambda: self._load(ours, load, seconds, 0), results)

    def _idle(self, system: System, seconds: float, number: int) -> IdleRun:
        time.sleep(_SETTLE_S)
        usage = Usage(system)
        time.sleep(seconds)
        return IdleRun(system=system.name, round=number, seconds=seconds, used=usage.so_far())

    def _load(self, system: System, load: m.Load, seconds: float, number: int) -> LoadRun:
        usage = Usage(system)
        result = self.flood(
            Flood(
                system=system.name, addresses=addresses(system), kind=load.kind,
                clients=load.clients, seconds=seconds, replicas=load.replicas, keys=KEYS,
            )
        )  # fmt: skip
        time.sleep(_SETTLE_S)  # What is still on its way between members belongs to the run.
        return LoadRun(load=load, round=number, result=result, used=usage.so_far())

    def _fill(self, system: System, keys: int) -> None:
        self.flood(
            Flood(
                system=system.name, addresses=addresses(system), kind="many", clients=8,
                seconds=0, keys=keys, count=-(-keys // 100), operations=100,
            )
        )  # fmt: skip

    def flood(self, spec: Flood) -> Result:
        """Run the load generator. Raises: RuntimeError with its error, or when requests failed."""
        output = _run_module("flood", msgspec.json.encode(spec))
        result = msgspec.json.decode(output, type=Result)
        if result.failed:
            raise RuntimeError(f"{result.failed} requests of {spec.kind} to {spec.system} failed")
        return result

    # -- faults --------------------------------------------------------------------------------

    def run_cell(
        self, matrix: m.Matrix, cell: m.Cell, name: str, number: int, results: Results
    ) -> None:
        """Run one fault on one system, and keep the result, or why there is none."""
        what = f"{cell.fault} {cell.seconds:g} s, {cell.members} members, {cell.link}: {name}"
        if cell.fault == m.CLOCK_JUMP and name == ETCD:
            why = (
                "a Go program reads the clock without a system call, so only the clock of the "
                "whole machine could be set wrong"
            )
            if not any(skipped.what == what for skipped in results.skipped):
                results.skipped.append(Skipped(what=what, why=why))
            return
        self.say(f"{what}, round {number + 1}")
        disks: list[SlowDisk] | None = [] if cell.fault == m.SLOW_DISK else None
        wrong_clocks = cell.fault == m.CLOCK_JUMP
        try:
            with self.cluster(
                name, cell.members, cell.link, wrong_clocks=wrong_clocks, disks=disks
            ) as system:
                results.cells.append(self._break(matrix, cell, system, number, disks or ()))
        except OSError as error:
            results.skipped.append(Skipped(what=what, why=str(error)))

    def _break(
        self, matrix: m.Matrix, cell: m.Cell, system: System, number: int,
        disks: Sequence[SlowDisk],
    ) -> CellRun:  # fmt: skip
        victim = victim_of(cell.fault, system.leader(), cell.members)
        sides = sides_of(cell.fault, victim, cell.members)
        clocks = system.clocks if isinstance(system, OursSystem) else ()
        fault = Fault(cell.fault, system, victim, disks, clocks)
        begin = now_ms() + PANEL_START_S * 1000
        breaks = begin + matrix.before_s * 1000
        heals = breaks + cell.seconds * 1000
        ends = heals + matrix.after(cell) * 1000
        parts = m.parts_of(system.name, cell.members, cell.fault, sides)
        panel = Panel(
            system=system.name, addresses=addresses(system), parts=parts, sides=sides,
            begin_ms=begin, fault_ms=breaks, heal_ms=heals, end_ms=ends,
        )  # fmt: skip
        usage = Usage(system)
        process = _start_module("perform", msgspec.msgpack.encode(panel))
        _sleep_until(breaks)
        fault.begin()
        broke = now_ms()
        _sleep_until(heals)
        windows = Windows(begin_ms=begin, fault_ms=broke, heal_ms=now_ms(), end_ms=ends)
        fault.end()
        _sleep_until(ends)
        used = usage.so_far()
        history = msgspec.msgpack.decode(_finish(process), type=History)
        survivors = survivors_of(cell.fault, victim, cell.members)
        equal = None
        if isinstance(system, OursSystem):
            equal = len(set(system.fingerprints())) == 1
        return CellRun(
            cell=cell, system=system.name, round=number, sides=sides, windows=windows,
            measured=measure(history, windows, parts, sides, survivors), used=used,
            fingerprints_equal=equal,
        )  # fmt: skip


def addresses(system: System) -> list[tuple[str, int]]:
    """Return where the members listen for clients."""
    return [system.place.client_address(n) for n in range(len(system.members))]


def _sleep_until(when_ms: float) -> None:
    time.sleep(max(0.0, (when_ms - now_ms()) / 1000))


def _start_module(name: str, given: bytes) -> "subprocess.Popen[bytes]":
    process = subprocess.Popen(
        [sys.executable, "-m", _MODULES + name], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )  # fmt: skip
    assert process.stdin is not None
    process.stdin.write(given)
    process.stdin.close()
    process.stdin = None
    return process


def _finish(process: "subprocess.Popen[bytes]") -> bytes:
    output, errors = process.communicate()
    if process.returncode:
        raise RuntimeError(f"the load generator failed: {errors[-2000:].decode()}")
    return output


def _run_module(name: str, given: bytes) -> bytes:
    return _finish(_start_module(name, given))
