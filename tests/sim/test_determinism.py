"""LOP-1: a run depends on its seed alone."""

import os
import subprocess
import sys
from collections.abc import Callable

import pytest

SCRIPT = """
import logging, os, sys
import structlog
level = getattr(logging, sys.argv[1])
structlog.configure(
    wrapper_class=structlog.make_filtering_bound_logger(level),
    logger_factory=structlog.PrintLoggerFactory(open(os.devnull, "w")),
)
from crdtstate.sim.campaign import run_one
for seed in range(10):
    verdict = run_one(seed, seconds=20)
    print(seed, verdict.digest, verdict.steps, verdict.violation)
"""


def digests(hash_seed: str, level: str) -> list[str]:
    """Run ten seeds in a process of their own."""
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, level],
        env={**os.environ, "PYTHONHASHSEED": hash_seed},
        capture_output=True, text=True, check=True, timeout=200,
    )  # fmt: skip
    return done.stdout.split("\n")


@pytest.mark.e2e
def test_ten_seeds_give_the_same_digests_everywhere(figure: Callable[[str], None]) -> None:
    """Three hash seeds, two processes with the same one, two levels of logging."""
    settings = [("0", "CRITICAL"), ("1", "CRITICAL"), ("2", "DEBUG"), ("0", "DEBUG")]

    found = [digests(hash_seed, level) for hash_seed, level in settings]

    assert all(lines == found[0] for lines in found)
    assert len(set(found[0])) == 11  # Ten different ones, and the end of the text.
    figure("simulator: 10 seeds, 3 hash seeds, 4 processes, 2 log levels: equal digests")
