"""Run the laboratory: a matrix beside a real etcd, then the report.

    python -m bench.caplab.run [quick|long|full|tiny] [--only TEXT] [--out FOLDER] [--loopback]

Writes FOLDER/caplab-MATRIX.json and, beside it, the page that it makes.
"""

import argparse
import os
import platform
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from bench.caplab.laboratory import Laboratory
from bench.caplab.matrix import MATRICES, Matrix
from bench.caplab.places import namespaces
from bench.caplab.report.page import show, write
from bench.caplab.results import Results, encode
from bench.caplab.sizes import run_sizes
from bench.caplab.systems.names import SYSTEMS
from crdtstate.version import VERSION

ROOT = Path(__file__).resolve().parents[2]
ETCD = ROOT / ".venv" / "clients" / "etcd"
RESULTS = ROOT / "bench" / "results"


def machine() -> str:
    """Return what the figures depend on."""
    model = next(
        (
            line.split(":")[1].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if line.startswith("model name")
        ),
        platform.processor(),
    )
    memory_gb = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / (1 << 30)
    return (
        f"{os.cpu_count()} cores of {model}, {memory_gb:.0f} GiB, Linux {platform.release()}, "
        f"Python {platform.python_version()}"
    )


def versions(etcd: Path) -> dict[str, str]:
    """Return what is compared."""
    told = subprocess.run([etcd, "--version"], capture_output=True, text=True, check=True).stdout
    return {"etcd": told.split("\n")[0].split(": ")[1], "ours": VERSION}


def run(matrix: Matrix, etcd: Path, results: Results, console: Console, *, inside: bool) -> None:
    """Run a matrix with a progress bar, filling `results`."""
    columns = (
        TextColumn("{task.description:58.58}"), BarColumn(), TimeElapsedColumn(),
        TimeRemainingColumn(),
    )  # fmt: skip
    began = time.monotonic()
    with Progress(*columns, console=console) as progress:
        task = progress.add_task("starting", total=matrix.estimate_s())

        def say(text: str) -> None:
            progress.update(task, description=text, completed=time.monotonic() - began)
            if not console.is_terminal:
                console.print(f"{time.monotonic() - began:6.0f} s  {text}")

        with tempfile.TemporaryDirectory(prefix="caplab-") as path:
            laboratory = Laboratory(etcd, Path(path), say, namespaces=inside)
            if matrix.loads:
                laboratory.run_loads(matrix, results)
            for number in range(max((cell.rounds for cell in matrix.cells), default=0)):
                for cell in matrix.cells:
                    for name in SYSTEMS:
                        if number < cell.rounds:
                            laboratory.run_cell(matrix, cell, name, number, results)
            for name in SYSTEMS if matrix.keys else ():
                run_sizes(laboratory, matrix, results, name)
        say("report")
    results.took_s = time.monotonic() - began


def main() -> None:
    """Enter namespaces where possible, run, write."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("matrix", nargs="?", default="quick", choices=sorted(MATRICES))
    parser.add_argument("--out", type=Path, default=RESULTS)
    parser.add_argument("--etcd", type=Path, default=ETCD)
    parser.add_argument("--only", default="", help="loads and faults whose name has this in it")
    parser.add_argument("--loopback", action="store_true", help="do not use network namespaces")
    given = parser.parse_args()
    console = Console(stderr=True, highlight=False)
    if not given.etcd.exists():
        parser.error(f"{given.etcd} is not there: make clients fetches it")
    inside = namespaces.is_inside()
    if not inside and not given.loopback:
        why_not = namespaces.can_enter()
        if not why_not:
            namespaces.enter("bench.caplab.run", sys.argv[1:])
        console.print(f"no network namespaces ({why_not}): members on loopback, links by proxies")
    if inside:
        namespaces.prepare()
    matrix = MATRICES[given.matrix].only(given.only)
    if not matrix.loads and not matrix.cells:
        parser.error(f"no load and no fault of {given.matrix} is called {given.only!r}")
    results = Results(
        date=time.strftime("%Y-%m-%d"), matrix=matrix.name, machine=machine(),
        versions=versions(given.etcd), busy=os.getloadavg()[0] / (os.cpu_count() or 1),
        place="network namespaces joined by a bridge" if inside else "loopback with link proxies",
    )  # fmt: skip
    run(matrix, given.etcd, results, console, inside=inside)
    given.out.mkdir(parents=True, exist_ok=True)
    out = given.out / f"caplab-{results.matrix}.json"
    out.write_bytes(encode(results))
    show(results, console)
    for written in (out, *write(out)):
        console.print(str(written))


if __name__ == "__main__":
    main()
