"""The catalogue names tests that exist, enough of them, and the page says what it says."""

import ast
import re
from collections.abc import Callable
from functools import cache
from pathlib import Path

from tests.faults.page import PAGE, ROOT, read_catalogue, render

ROWS_WITH_A_TEST_MIN = 50


@cache
def functions(path: Path) -> frozenset[str]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef)
    return frozenset(item.name for item in ast.walk(tree) if isinstance(item, kinds))


def test_every_named_test_exists(figure: Callable[[str], None]) -> None:
    rows = read_catalogue()
    for row in rows:
        assert ("tests" in row) != ("not_yet" in row), row["number"]
        for test in row.get("tests", ()):
            path, _, name = test.partition("::")
            assert name in functions(ROOT / path), test
    shown = [row for row in rows if row.get("tests")]
    assert len(shown) >= ROWS_WITH_A_TEST_MIN
    figure(f"faults: {len(shown)} of {len(rows)} rows of the catalogue have a test")


def test_rows_are_numbered_without_a_gap() -> None:
    numbers = [row["number"] for row in read_catalogue()]
    assert numbers == list(range(1, len(numbers) + 1))


def test_a_test_of_a_fault_is_named_in_its_row() -> None:
    rows = {row["number"]: row.get("tests", []) for row in read_catalogue()}
    for path in sorted(Path(__file__).parent.glob("test_*.py")):
        for name in functions(path):
            if match := re.match(r"test_fault_(\d\d)_", name):
                named = f"{path.relative_to(ROOT)}::{name}"
                assert named in rows[int(match.group(1))], named


def test_the_page_is_the_catalogue() -> None:
    assert PAGE.read_text(encoding="utf-8") == render(read_catalogue()), (
        "write it anew: python -m tests.faults.page"
    )
