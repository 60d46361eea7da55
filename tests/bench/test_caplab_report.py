"""The page says what the results say, all of it, and nothing of its own."""

import re
from pathlib import Path

import pytest
from msgspec import structs

from bench.caplab.report.acceptance import lines_of
from bench.caplab.report.content import blocks_of
from bench.caplab.report.document import Heading, Table, Text, to_html, to_markdown
from bench.caplab.report.page import make
from bench.caplab.report.plots import pictures
from bench.caplab.report.view import View
from bench.caplab.results import Results, decode, encode
from tests.bench import runs

COMMITTED = sorted((Path(__file__).parents[2] / "bench" / "results").glob("caplab-*.json"))


def verdicts(results: Results) -> dict[str, str]:
    return {line.what: line.verdict for line in lines_of(View(results))}


def text_of(data: bytes) -> str:
    """Both forms of the page, without its plots, which take a second."""
    blocks = blocks_of(View(decode(data)), {})
    return to_markdown(blocks, "plots") + to_html(blocks)


def test_a_file_is_read_as_it_was_written() -> None:
    data = encode(decode(encode(runs.results())))

    assert encode(decode(data)) == data


def test_another_format_is_refused() -> None:
    with pytest.raises(ValueError, match="format 99"):
        decode(encode(runs.results()).replace(b'"format": 1', b'"format": 99'))


def test_every_line_that_was_promised_is_judged() -> None:
    found = verdicts(runs.results())

    assert found["durable puts/s, 64 clients, w=1"] == "met"
    assert found["durable puts/s, 64 clients, w=2"] == "MISSED"
    assert found["p99 of a put, 64 clients, w=1"] == "met"
    assert found["operations/s, 128 a request, 16 clients"] == "met"
    assert found["local reads/s beside linearizable ones"] == "met"
    assert found["bytes between members a put"] == "met"
    assert found["bytes between idle members"] == "met"
    assert found["1,000,000 keys: memory a key"] == "met"
    assert found["writes accepted on every side of every cut"] == "met"
    assert found["the same of etcd's sides without a majority"] == "met"
    assert found["acknowledged writes of ours lost, all cells"] == "met"
    assert found["overridden concurrent writes missing from /conflicts"] == "not measured"


def test_what_was_not_run_is_not_met() -> None:
    results = runs.results()
    results.sizes, results.loads = [], []

    found = verdicts(results)

    assert found["1,000,000 keys: restart"] == "not measured"
    assert found["durable puts/s, 64 clients, w=1"] == "not measured"


def test_a_lost_write_is_a_line_missed() -> None:
    results = runs.results()
    ours = results.cells[1]
    ours.measured.checked.lost.append("put/0/0=9")

    assert verdicts(results)["acknowledged writes of ours lost, all cells"] == "MISSED"
    assert "acknowledged writes of ours lost, all cells: 1" in text_of(encode(results))


def test_numbers_on_which_members_differ_are_not_called_lost() -> None:
    results = runs.results()
    for n, run in enumerate(results.cells):
        checked = structs.replace(run.measured.checked, counter=(9, 0, None), modified=(9, 0, None))
        measured = structs.replace(run.measured, checked=checked)
        results.cells[n] = structs.replace(run, measured=measured)

    page = text_of(encode(results))

    assert re.search(r"\| a counter counts every addition \|.*\| 0 lost \|.*\| 0 lost \|", page)


def test_why_etcd_waits_is_said_where_a_cut_was_long() -> None:
    results = runs.results()
    assert "issue 18052" not in text_of(encode(results))
    for n, run in enumerate(results.cells):
        results.cells[n] = structs.replace(run, cell=structs.replace(run.cell, seconds=15.0))
    assert "issue 18052" in text_of(encode(results))


def test_another_figure_in_the_file_is_another_figure_on_the_page() -> None:
    """The claim of the page: change one number in the JSON and look for it."""
    before = encode(runs.results())
    slower = before.replace(b'"per_s":2000.0', b'"per_s":1234.0')
    assert slower != before

    assert text_of(slower).count("1,234") == text_of(before).count("2,000") > 1
    assert "1,234" not in text_of(before)
    assert "1.23 times" in text_of(slower)
    assert verdicts(decode(slower))["durable puts/s, 64 clients, w=1"] == "MISSED"


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b'"recovery_ms":2.0', b'"recovery_ms":4321.0'),
        (b'"double_leader_ms":300.0', b'"double_leader_ms":777.0'),
        (b'"bytes_between":90000', b'"bytes_between":99000'),
        (b'"restart_s":3.0', b'"restart_s":5.5'),
        (b'"a reason"', b'"another reason"'),
        (b'"machine": "2 cores of a test"', b'"machine": "9 cores of a test"'),
        (b"0.4", b"0.7"),
    ],
)
def test_whatever_changes_in_the_file_changes_the_page(old: bytes, new: bytes) -> None:
    before = encode(runs.results())
    assert old in before

    assert text_of(before.replace(old, new)) != text_of(before)


def test_plots_are_drawn_from_the_file_and_from_nothing_else() -> None:
    before = encode(runs.results())
    after = before.replace(b"[0.0,0.05,", b"[0.0,7.05,").replace(
        b'"accepted":[1,', b'"accepted":[9,'
    )

    old, same, new = (pictures(View(decode(data))) for data in (before, before, after))

    assert old == same
    assert old["latencies"] != new["latencies"]
    assert old["timeline-cut-off-leader"] != new["timeline-cut-off-leader"]
    assert old["recoveries"] == new["recoveries"]


def test_what_a_cell_says_cannot_break_the_page() -> None:
    blocks = [Heading("T", 1), Text("a < b & `c`"), Table(["x"], [["<script>"]])]

    html = to_html(blocks)

    assert "<script>" not in html
    assert "a &lt; b &amp; <code>c</code>" in html
    assert to_markdown(blocks, "f").startswith("# T\n\na < b")


def without_pictures(html: str) -> str:
    return re.sub(r"<svg.*?</svg>", "", html, flags=re.DOTALL)


def labels(svg: str) -> list[str]:
    return re.findall(r"<text[^>]*>([^<]*)</text>", svg)


@pytest.mark.parametrize("path", COMMITTED, ids=lambda path: path.stem)
def test_a_committed_page_is_what_its_file_makes(path: Path) -> None:
    markdown, html, plots = make(decode(path.read_bytes()), path.stem)

    assert path.with_suffix(".md").read_text() == markdown
    assert without_pictures(path.with_suffix(".html").read_text()) == without_pictures(html)
    assert {p.stem for p in path.with_suffix("").glob("*.svg")} == plots.keys()
    for name, picture in plots.items():
        # The curves may differ in their last digit elsewhere; what is written in them may not.
        committed = (path.with_suffix("") / f"{name}.svg").read_text()
        assert labels(committed) == labels(picture.svg)
