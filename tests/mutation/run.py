"""`python -m tests.mutation.run`: judge every mutant of the core, or a sample; print the survivors.

With `--shard 0/2` and `--shard 1/2` two processes share the work.
"""

import argparse
import json
import sys
import time
from pathlib import Path
from random import Random

from tests.mutation.anew import ROOT, SURVIVED
from tests.mutation.mutants import Mutant, mutants_of
from tests.mutation.nursery import Verdict, judge

__all__ = ["all_mutants"]

CORE = ("crdtstate/crdt", "crdtstate/store")


def all_mutants() -> list[Mutant]:
    """Return every mutant of the core, in the order of files and lines."""
    files = sorted(path for folder in CORE for path in (ROOT / folder).glob("*.py"))
    return [mutant for path in files for mutant in mutants_of(path, ROOT)]


def main() -> int:
    """Run. Returns 0; raises when the suite fails on the right code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--shard", default="0/1", help="which part of how many, as 0/2")
    parser.add_argument("--only", default="", help="mutants whose name contains this")
    parser.add_argument("--sample", type=int, help="only so many of them, chosen by --seed")
    parser.add_argument("--seed", default="", help="what chooses them, and their order")
    parser.add_argument("--json", type=Path, help="write each verdict there, a line each")
    chosen = parser.parse_args()
    part, parts = map(int, chosen.shard.split("/"))
    mutants = [m for m in all_mutants() if chosen.only in m.name][part::parts]
    # Shuffled: what is done when it is stopped is a fair sample.
    Random(f"mutants {chosen.seed}").shuffle(mutants)
    if chosen.sample is not None:
        del mutants[chosen.sample :]
    if not mutants:
        parser.error(f"no mutant of shard {chosen.shard} has {chosen.only!r} in its name")
    began, done, survived = time.time(), 0, list[str]()
    sink = chosen.json.open("a") if chosen.json else None

    def note(verdict: Verdict) -> None:
        nonlocal done
        done += 1
        if verdict.result == SURVIVED:
            survived.append(verdict.mutant.name)
        if sink is not None:
            print(json.dumps([verdict.mutant.name, verdict.result, round(verdict.cpu_s, 2)]),
                  file=sink, flush=True)  # fmt: skip
        left_s = (time.time() - began) / done * (len(mutants) - done)
        progress = f"{done}/{len(mutants)}, {len(survived)} survived, {left_s / 60:.0f} min left"
        print(f"\r{progress}\033[K", end="", file=sys.stderr, flush=True)  # noqa: T201

    judge(mutants, note)
    print("\n".join(survived))  # noqa: T201
    print(f"{done - len(survived)} of {done} found: {1 - len(survived) / done:.1%}")  # noqa: T201
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
