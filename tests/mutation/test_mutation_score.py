"""Of all mutants of the core nine in ten are found, and those of each file are counted."""

import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.mutation.anew import ROOT
from tests.mutation.order import SURVIVED
from tests.mutation.run import all_mutants

BUDGET_CPU_S = 6  # Few are found by a test after that; who would be counts as not found.
SCORE_MIN = 0.9


@pytest.mark.deep
def test_nine_mutants_of_ten_are_found(tmp_path: Path, figure: Callable[[str], None]) -> None:
    """In processes of their own: the suite is imported anew there, and forked."""
    shards = os.cpu_count() or 1
    files = [tmp_path / f"verdicts{n}" for n in range(shards)]
    with ExitStack() as stack:
        running: list[subprocess.Popen[bytes]] = []
        for n, file in enumerate(files):
            errors = stack.enter_context((tmp_path / f"errors{n}").open("w"))
            command = ["--shard", f"{n}/{shards}", "--budget", str(BUDGET_CPU_S), "--json", file]
            process = subprocess.Popen(
                [sys.executable, "-m", "tests.mutation.run", *command],
                cwd=ROOT, stdout=subprocess.DEVNULL, stderr=errors,
            )  # fmt: skip
            running.append(stack.enter_context(process))
            stack.callback(process.kill)
        for n, process in enumerate(running):
            assert process.wait() == 0, (tmp_path / f"errors{n}").read_text()[-2_000:]

    verdicts = [json.loads(line) for file in files for line in file.read_text().splitlines()]
    judged = Counter(name.partition(" ")[0] for name, _, _ in verdicts)
    survived = Counter(name.partition(" ")[0] for name, result, _ in verdicts if result == SURVIVED)
    for file, count in sorted(judged.items()):
        figure(f"mutants of {file}: {count - survived[file]} of {count} found")
    score = 1 - survived.total() / judged.total()
    figure(f"mutants: {judged.total() - survived.total()} of {judged.total()} found, {score:.1%}")
    assert judged.total() == len(all_mutants())
    assert score >= SCORE_MIN
