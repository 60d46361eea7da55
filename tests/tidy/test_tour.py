"""The tour stays true: every file and symbol that it names exists, and no stop is skipped."""

import ast
import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
STOP = re.compile(r"`((?:crdtstate|gossip)/[\w/]+\.py)` `([\w.]+)`")


def stops() -> list[tuple[str, str]]:
    return STOP.findall((ROOT / "docs" / "tour.md").read_text())


def symbols(path: Path) -> set[str]:
    found: set[str] = set()
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            found.add(node.name)
        if isinstance(node, ast.ClassDef):
            for inner in node.body:
                if isinstance(inner, ast.FunctionDef | ast.AsyncFunctionDef):
                    found.add(f"{node.name}.{inner.name}")
    return found


def test_every_stop_of_the_tour_exists() -> None:
    found = stops()
    assert len(found) >= 24
    for name, symbol in found:
        path = ROOT / name
        assert path.is_file(), f"{name} is gone"
        assert symbol in symbols(path), f"{symbol} is not in {name}"


def test_the_stops_are_numbered_without_a_gap_and_every_row_names_a_place() -> None:
    rows = re.findall(
        r"^\| (\d+) \| (.*?) \|", (ROOT / "docs" / "tour.md").read_text(), re.MULTILINE
    )
    assert [int(number) for number, _ in rows] == list(range(1, len(rows) + 1))
    for _, place in rows:
        assert STOP.search(place) or place.startswith("stops "), place
    visited = {name.split("/")[1] for name, _ in stops() if name.startswith("crdtstate/")}
    assert {"api", "daemon", "replica", "store", "crdt", "storage"} <= visited
