"""`python -m tests.zoo.page`: hunt the whole zoo, and write its table into docs/simulator.md."""

import re
import sys
from collections.abc import Iterable
from pathlib import Path
from statistics import median

from crdtstate.sim.campaign import quiet_logs
from crdtstate.sim.plan import draw_plan
from crdtstate.sim.run import run_seed
from tests.zoo.all_bugs import ZOO
from tests.zoo.hunt import Found, hunt

__all__ = ["listed", "table"]

PAGE = Path(__file__).parents[2] / "docs" / "simulator.md"
SOUND_SEEDS = 8
_HEAD = "| bug | mistake | instrument | shown by | seeds | CPU s |\n|---|---|---|---|---|---|\n"
_TABLE = re.compile(re.escape(_HEAD) + r"(?:\|.*\n)+")
_SUM = re.compile(r"^\d+ bugs are found, .*\.$", re.MULTILINE)


def table(found: Iterable[Found]) -> str:
    """Return the table of the zoo."""
    return _HEAD + "".join(f.row() + "\n" for f in found)


def listed() -> list[str]:
    """Return the bugs that the page lists."""
    tables = _TABLE.findall(PAGE.read_text(encoding="utf-8"))
    return re.findall(r"^\| `(\w+)` \|", "".join(tables), re.MULTILINE)


def main() -> int:
    """Measure, and rewrite the table. Returns 1, and writes nothing, when that would mislead.

    That is when a bug was not found, or when every bug would be: the code fails with none planted.
    """
    quiet_logs()
    failing = [seed for seed in range(SOUND_SEEDS) if run_seed(seed, draw_plan(seed)).violation]
    if failing:
        print("with nothing planted fail seeds:", *failing, file=sys.stderr)  # noqa: T201
        return 1
    found = []
    for name in ZOO:
        found.append(hunt(name))
        print(found[-1].row(), file=sys.stderr)  # noqa: T201
    lost = [f.bug.name for f in found if f.shown_by is None]
    if lost:
        print("not found:", *lost, file=sys.stderr)  # noqa: T201
        return 1
    slowest = max(found, key=lambda f: f.cpu_s)
    text = _TABLE.sub(lambda _: table(found), PAGE.read_text(encoding="utf-8"))
    text = _SUM.sub(
        f"{len(found)} bugs are found, in a median of {median(f.cpu_s for f in found):.2f} CPU s; "
        f"the slowest, `{slowest.bug.name}`, in {slowest.cpu_s:.1f}.",
        text,
    )
    PAGE.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
