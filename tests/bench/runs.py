"""Results made up for the tests of the page: every figure in them is small and known."""

from bench.caplab import matrix as m
from bench.caplab.flood import Result
from bench.caplab.history import LEAD, PUT, Event, Final, History, Windows
from bench.caplab.matrix import Cell, Load
from bench.caplab.measures import measure
from bench.caplab.results import CellRun, IdleRun, LoadRun, Results, SizeRun, Skipped, Used
from bench.caplab.statistics import QUANTILES
from bench.caplab.systems.names import ETCD, OURS

WINDOWS = Windows(begin_ms=0, fault_ms=1_000, heal_ms=2_000, end_ms=3_000)


def used(cpu_s: float = 1.0, sent: int = 1_000, disk: int = 5_000_000) -> Used:
    return Used(cpu_s=cpu_s, bytes_between=sent, disk_bytes=disk, rss_bytes=50_000_000)


def load_run(system: str, kind: str, per_s: float, *, name: str, replicas: str = "1",
             p99_ms: float = 4.0, sent: int = 1_000) -> LoadRun:  # fmt: skip
    quantiles = [p99_ms * share for share in QUANTILES]
    quantiles[QUANTILES.index(0.99)] = p99_ms
    return LoadRun(
        load=Load(name=name, system=system, kind=kind, clients=64, replicas=replicas),
        round=0,
        result=Result(
            requests=100, total_requests=100, failed=0, seconds=100 / per_s, per_s=per_s,
            distribution=quantiles, generator_share=0.2,
        ),
        used=used(sent=sent),
    )  # fmt: skip


def cell_run(system: str, history: History, fault: str = m.CUT_LEADER) -> CellRun:
    parts = m.parts_of(system, 2, fault, [[0], [1]])
    return CellRun(
        cell=Cell(fault=fault, seconds=1.0), system=system, round=0, sides=[[0], [1]],
        windows=WINDOWS, measured=measure(history, WINDOWS, parts, [[0], [1]], [0, 1]),
        used=used(), fingerprints_equal=None if system == ETCD else True,
    )  # fmt: skip


def history(*more: Event, refused: tuple[int, ...] = ()) -> History:
    """Two members, a put each 100 ms and marks; some refuse during the fault."""
    events: list[Event] = list(more)
    shown: dict[str, str] = {}
    for turn in range(30):
        for member in (0, 1):
            start = 100.0 * turn
            refuses = member in refused and 1_000 <= start < 2_000
            session = member * len(m.parts_of(OURS, 1, m.NONE, [[0]])[:-3])
            key, value = f"put/{member}/0", f"{session}.{turn}"
            status = "unknown" if refuses else "ok"
            if not refuses:
                shown[key] = value
            events.append(Event(session, member, "put", PUT, key, value, start, start + 2, status))
            events.append(
                Event(90 + member, member, "probe", "get", "mark/", "{}", start, start + 1, "ok")
            )
    events.sort(key=lambda event: event.start_ms)
    return History(
        events=events,
        final=Final(values=[shown, shown], converged_after_ms=1.0),
        generator_share=0.1,
    )


def two_leaders(ms: float) -> tuple[Event, Event]:
    return (
        Event(80, 0, "lead", LEAD, "lock/0", "m0", 1_000, 1_000 + ms, "ok"),
        Event(81, 1, "lead", LEAD, "lock/0", "m1", 1_000, 1_000 + ms, "ok"),
    )


def results(*, ours_per_s: float = 2_000.0, two_leaders_ms: float = 300.0) -> Results:
    """Everything that a page shows, once."""
    put, get, many = "put, 64 clients", "get, 64 clients", "128 operations, 16 clients"
    return Results(
        date="2026-01-02", matrix="quick", machine="2 cores of a test", took_s=60.0,
        versions={"etcd": "3.5.1", "ours": "0.1.0"}, place="a test",
        loads=[
            load_run(ETCD, "put", 1_000, name=put, p99_ms=10, sent=90_000),
            load_run(OURS, "put", ours_per_s, name=put, p99_ms=5, sent=60_000),
            load_run(OURS, "put", 900, name=put, replicas="2"),
            load_run(ETCD, "get_strong", 1_000, name=get),
            load_run(ETCD, "get", 3_000, name=get),
            load_run(OURS, "get", 3_500, name=get),
            load_run(ETCD, "many", 5_000, name=many),
            load_run(OURS, "many", 10_500, name=many),
        ],
        idle=[
            IdleRun(system=system, round=0, seconds=1.0, used=used(sent=sent))
            for system, sent in ((ETCD, 10_000), (OURS, 900))
        ],
        cells=[
            cell_run(ETCD, history(refused=(0, 1))),
            cell_run(OURS, history(*two_leaders(two_leaders_ms))),
        ],
        sizes=[
            SizeRun(system=system, round=0, keys=1_000_000, rss_before_bytes=0, rss_bytes=rss,
                    fill_s=1.0, restart_s=restart_s, rss_after_restart_bytes=rss)
            for system, rss, restart_s in ((ETCD, 1_000_000_000, 3.0), (OURS, 60_000_000, 1.0))
        ],
        skipped=[Skipped(what="a fault", why="a reason")],
        profile=[("crdtstate/store", 0.4)],
    )  # fmt: skip
