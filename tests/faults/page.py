"""The catalogue of faults, read, and rendered as docs/faults.md (`python -m tests.faults.page`)."""

import tomllib
from pathlib import Path
from typing import Any

__all__ = ["PAGE", "ROOT", "read_catalogue", "render"]

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "faults.md"
_HEAD = """# Faults

What may go wrong, what must come of it, and the tests that show it.
The rows are in `tests/faults/catalogue.toml`; a test keeps this page equal to them.
Tests named `test_fault_…` make the fault, most of them in the [simulator](simulator.md), where
every promise is checked at every step of every replica.

| # | fault | required outcome | tests |
| --- | --- | --- | --- |
"""
_NOT_YET = """
## What does not apply yet

| # | fault | why |
| --- | --- | --- |
"""


def read_catalogue() -> list[dict[str, Any]]:
    """Return the rows."""
    text = Path(__file__).with_name("catalogue.toml").read_text(encoding="utf-8")
    rows: list[dict[str, Any]] = tomllib.loads(text)["fault"]
    return rows


def render(rows: list[dict[str, Any]]) -> str:
    """Return the page."""
    shown, waiting = [], []
    for row in rows:
        start = f"| {row['number']} | {row['name']} |"
        if "tests" in row:
            links = [_link(test) for test in row["tests"]]
            shown.append(f"{start} {row['outcome']} | {'<br>'.join(links)} |\n")
        else:
            waiting.append(f"{start} {row['not_yet']} |\n")
    return _HEAD + "".join(shown) + (_NOT_YET + "".join(waiting) if waiting else "")


def _link(test: str) -> str:
    path, _, name = test.partition("::")
    return f"[{name.removeprefix('test_')}](../{path})"


if __name__ == "__main__":
    PAGE.write_text(render(read_catalogue()), encoding="utf-8")
