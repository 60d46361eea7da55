"""The tables of bench/README.md are those of the files in bench/results."""

import json
import shutil
from pathlib import Path

from bench.tables import README, with_tables


def test_the_page_is_as_the_figures_are() -> None:
    text = README.read_text(encoding="utf-8")
    assert with_tables(text, README.parent) == text, "run python -m bench.tables"


def test_another_figure_is_another_page(tmp_path: Path) -> None:
    shutil.copytree(README.parent / "results", tmp_path / "results")
    path = tmp_path / "results" / "kube-2026-11-30.json"
    figures = json.loads(path.read_text(encoding="utf-8"))
    figures["rows"][0] |= {"value": "31 cm", "target": "30 cm", "met": False}
    path.write_text(json.dumps(figures), encoding="utf-8")

    text = with_tables(README.read_text(encoding="utf-8"), tmp_path)

    assert "| 31 cm | 30 cm | missed |" in text
    assert text.count("<!-- end -->") == README.read_text(encoding="utf-8").count("<!-- end -->")
