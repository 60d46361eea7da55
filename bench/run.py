"""Run every benchmark once on this machine and print the figures beside their targets.

    python -m bench.run [puts operations visibility catch-up keys stores] [--json FILE]

About four minutes. The machine should have nothing else to do; what is compared is measured in
turns, and medians are taken.
"""

import argparse
import json
import os
import platform
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from bench import measures
from bench.measures import Row, Say
from bench.profile import profile
from bench.stores import stores

MEASURES: dict[str, Callable[[Path, Say], list[Row]]] = {
    "puts": measures.puts,
    "operations": measures.many_operations,
    "visibility": measures.visibility,
    "catch-up": measures.catching_up,
    "keys": measures.many_keys,
    "stores": stores,
}


def say(text: str) -> None:
    """Show what is going on, on one line."""
    if sys.stderr.isatty():
        sys.stderr.write(f"\r\033[K{text}")
        sys.stderr.flush()


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
    return f"{os.cpu_count()} cores of {model}, Python {platform.python_version()}"


def measure(
    measures: Mapping[str, Callable[[Path, Say], list[Row]]], what: Sequence[str]
) -> list[Row]:
    """Take the measures of these names, or all, in turn; print each row and return them."""
    rows: list[Row] = []
    for name in what or measures:
        with tempfile.TemporaryDirectory(prefix="crdtstate-bench-") as path:
            found = measures[name](Path(path), say)
        say("")
        for row in found:
            mark = {True: "met", False: "MISSED", None: ""}[row.met]
            print(f"{row.name:42}{row.value:58}{row.target:14}{mark}", flush=True)
        rows += found
    return rows


def write_figures(path: Path, rows: Sequence[Row], load: float) -> None:
    """Keep rows as JSON, with what they depend on; `load` is the load average at the start."""
    figures = {
        "at": time.strftime("%Y-%m-%d"), "machine": machine(), "load_average": load,
        "rows": [row._asdict() for row in rows],
    }  # fmt: skip
    path.write_text(json.dumps(figures, indent=1) + "\n")


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("what", nargs="*", default=[], help=", ".join(MEASURES))
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    given = parser.parse_args()
    unknown = set(given.what) - MEASURES.keys()
    if unknown:
        parser.error(f"no such measure: {', '.join(sorted(unknown))}")
    load = os.getloadavg()[0]
    print(f"{machine()}; load average {load:.1f} at the start")
    rows = measure(MEASURES, given.what)
    if any(row.met is False for row in rows):
        print("\nWhat missed, missed for want of CPU: two cores run three peers, the load and the")
        print("yardstick. Where one peer's time goes at 64 clients, under a profiler:")
        with tempfile.TemporaryDirectory(prefix="crdtstate-bench-") as path:
            for row in profile(Path(path), say):
                print(f"{row.name:42}{row.value}")
        say("")
    if given.json:
        write_figures(given.json, rows, load)


if __name__ == "__main__":
    main()
