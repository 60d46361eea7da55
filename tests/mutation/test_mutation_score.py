"""Of a sample of the core's mutants, another one each day, nine in ten are found."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.mutation.anew import ROOT
from tests.mutation.order import SURVIVED

SEED = os.environ.get("CRDTSTATE_MUTATION_SEED") or time.strftime("%Y-%m-%d")
COUNT = 100
SCORE_MIN = 0.9


@pytest.mark.deep
def test_nine_mutants_of_ten_are_found(tmp_path: Path, figure: Callable[[str], None]) -> None:
    """In a process of its own: the suite is imported anew there, and forked."""
    told = tmp_path / "verdicts"
    command = [sys.executable, "-m", "tests.mutation.run", "--sample", str(COUNT), "--seed", SEED]
    done = subprocess.run(
        [*command, "--json", str(told)], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]

    verdicts = [json.loads(line) for line in told.read_text().splitlines()]
    survived = [name for name, result, _ in verdicts if result == SURVIVED]

    score = 1 - len(survived) / len(verdicts)
    figure(f"mutants of {SEED}: {score:.1%} of {len(verdicts)} found")
    for name in survived:
        figure(f"mutants: {name} survived")
    assert score >= SCORE_MIN
