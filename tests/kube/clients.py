"""Software that others wrote, run unmodified against our peers; what is missing is skipped."""

import json
import os
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / ".venv" / "clients"
PROGRAMS = Path(__file__).parent / "programs"
TIMEOUT_S = 90


def binary(name: str) -> str:
    """Return the path of a client; skip the test when it is not here."""
    path = FOLDER / name
    found = str(path) if path.exists() else shutil.which(name)
    if found is None:
        pytest.skip(f"{name} is missing: make clients fetches it")
    return found


def library(name: str) -> str:
    """Return the name of a library that is installed, else skip."""
    if find_spec(name) is None:
        pytest.skip(f"{name} is not installed")
    return name


class Client:
    """One program, one home folder, one kubeconfig."""

    def __init__(self, command: list[str], home: Path, kubeconfig: Path) -> None:
        self.command, self.home = command, home
        self.env = {
            "PATH": os.environ["PATH"], "HOME": str(home), "KUBECONFIG": str(kubeconfig),
            "PYTHONPATH": str(ROOT),
        }  # fmt: skip

    def run(self, *arguments: str, stdin: str = "", status: int | None = 0) -> str:
        """Run; the exit code must be `status`. Return what it printed, errors last."""
        done = subprocess.run(
            [*self.command, *arguments], cwd=self.home, env=self.env, input=stdin,
            capture_output=True, text=True, timeout=TIMEOUT_S, check=False,
        )  # fmt: skip
        printed = done.stdout + done.stderr
        assert status in (None, done.returncode), f"{arguments}: {done.returncode}: {printed}"
        return printed

    def json(self, *arguments: str) -> Any:
        """Run with -o json and return what it says."""
        done = subprocess.run(
            [*self.command, *arguments, "-o", "json"], cwd=self.home, env=self.env,
            capture_output=True, text=True, timeout=TIMEOUT_S, check=True,
        )  # fmt: skip
        return json.loads(done.stdout)

    def write(self, name: str, text: str) -> str:
        """Write a file into the home folder; return its name."""
        path = self.home / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return name


def program(name: str) -> list[str]:
    """Return the command of one of our small programs around a client library."""
    return [sys.executable, "-W", "ignore", str(PROGRAMS / name)]
