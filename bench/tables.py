"""Puts the figures of bench/results into the tables of bench/README.md: `python -m bench.tables`.

A table stands between a line `<!-- results/NAME.json -->` and a line `<!-- end -->`; what is
between them is written anew from the file, so that no figure is typed by hand.
"""

import json
import re
import sys
from pathlib import Path

__all__ = ["with_tables"]

README = Path(__file__).with_name("README.md")
_TABLE = re.compile(r"(?<=<!-- )(results/[\w-]+\.json)( -->\n)(?:.*?)(?=<!-- end -->)", re.DOTALL)
_MET = {True: "met", False: "missed", None: ""}


def with_tables(text: str, folder: Path) -> str:
    """Return a page with its tables made from the files in `folder`. Raises: OSError."""
    return _TABLE.sub(lambda found: found[1] + found[2] + _table(folder / found[1]), text)


def _table(path: Path) -> str:
    figures = json.loads(path.read_text(encoding="utf-8"))
    load = figures.get("load_average")
    busy = "" if load is None else f", load average {load:.1f} at the start"
    lines = [f"{figures['at']}, {figures['machine']}{busy}:", "", "| row | figure | target | |"]
    lines += ["| --- | --- | --- | --- |"]
    for row in figures["rows"]:
        cells = (row["name"].strip(), row["value"], row["target"], _MET[row["met"]])
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(["", *lines, "", ""])


def main() -> int:
    """Write the page. Returns 0."""
    README.write_text(with_tables(README.read_text(encoding="utf-8"), README.parent))
    return 0


if __name__ == "__main__":
    sys.exit(main())
