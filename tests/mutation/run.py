"""`python -m tests.mutation.run`: judge every mutant of the core, or a sample; print the survivors.

With `--shard 0/2` and `--shard 1/2` two processes share the work. With `--json` a run that was
stopped goes on where it was, and `--budget 10` and then none gives those that survived the quick
tests the whole suite.
"""

import argparse
import json
import math
import sys
import time
from pathlib import Path
from random import Random

from tests.mutation.anew import ROOT
from tests.mutation.mutants import Mutant, mutants_of
from tests.mutation.nursery import Verdict, judge
from tests.mutation.order import SURVIVED

__all__ = ["all_mutants"]

CORE = ("crdtstate/crdt", "crdtstate/store")


def all_mutants() -> list[Mutant]:
    """Return every mutant of the core, in the order of files and lines."""
    files = sorted(path for folder in CORE for path in (ROOT / folder).glob("*.py"))
    return [mutant for path in files for mutant in mutants_of(path, ROOT)]


def main() -> int:
    """Run. Returns 0; raises when the suite fails on the right code."""
    chosen = _arguments()
    mutants = _chosen(chosen)
    known = _verdicts(chosen.json)
    results = {mutant.name: known[mutant.name] for mutant in mutants if mutant.name in known}
    # Without a budget those that survived one are judged again.
    kept = {name for name, result in results.items() if chosen.budget or result != SURVIVED}
    left = [mutant for mutant in mutants if mutant.name not in kept]
    sink = chosen.json.open("a") if chosen.json else None
    began, done = time.time(), 0

    def note(verdict: Verdict) -> None:
        nonlocal done
        done += 1
        results[verdict.mutant.name] = verdict.result
        if sink is not None:
            print(json.dumps([verdict.mutant.name, verdict.result, round(verdict.cpu_s, 2)]),
                  file=sink, flush=True)  # fmt: skip
        left_s = (time.time() - began) / done * (len(left) - done)
        survived = sum(result == SURVIVED for result in results.values())
        progress = f"{done}/{len(left)}, {survived} survived, {left_s / 60:.0f} min left"
        print(f"\r{progress}\033[K", end="", file=sys.stderr, flush=True)  # noqa: T201

    if left:
        judge(left, note, chosen.budget or math.inf)
    survived = [name for name, result in results.items() if result == SURVIVED]
    print("\n".join(survived))  # noqa: T201
    found = len(results) - len(survived)
    print(f"{found} of {len(results)} found: {found / len(results):.1%}")  # noqa: T201
    return 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--shard", default="0/1", help="which part of how many, as 0/2")
    parser.add_argument("--only", default="", help="mutants whose name contains this")
    parser.add_argument("--sample", type=int, help="only so many of them, chosen by --seed")
    parser.add_argument("--seed", default="", help="what chooses them, and their order")
    parser.add_argument("--json", type=Path, help="keep each verdict there, a line each")
    parser.add_argument("--budget", type=float, help="CPU seconds of tests for each mutant")
    return parser.parse_args()


def _chosen(chosen: argparse.Namespace) -> list[Mutant]:
    part, parts = map(int, chosen.shard.split("/"))
    mutants = [m for m in all_mutants() if chosen.only in m.name][part::parts]
    # Shuffled: what is done when it is stopped is a fair sample.
    Random(f"mutants {chosen.seed}").shuffle(mutants)
    if chosen.sample is not None:
        del mutants[chosen.sample :]
    if not mutants:
        sys.exit(f"no mutant of shard {chosen.shard} has {chosen.only!r} in its name")
    return mutants


def _verdicts(path: Path | None) -> dict[str, str]:
    """Return the last result of each mutant in a file of an earlier run."""
    if path is None or not path.exists():
        return {}
    lines = map(json.loads, path.read_text(encoding="utf-8").splitlines())
    return {name: result for name, result, _ in lines}


if __name__ == "__main__":
    raise SystemExit(main())
