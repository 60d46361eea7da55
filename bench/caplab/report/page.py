"""EDGE: from a results file to its page, beside it.

python -m bench.caplab.report.page bench/results/caplab-quick.json
"""

import sys
from pathlib import Path

from rich.console import Console
from rich.table import Table as Grid

from bench.caplab.report.acceptance import lines_of
from bench.caplab.report.content import blocks_of
from bench.caplab.report.document import Picture, to_html, to_markdown
from bench.caplab.report.plots import pictures
from bench.caplab.report.view import View
from bench.caplab.results import Results, decode


def make(results: Results, folder: str) -> tuple[str, str, dict[str, Picture]]:
    """Return the page as Markdown and HTML, and its pictures; `folder` holds their files."""
    view = View(results)
    plots = pictures(view)
    blocks = blocks_of(view, plots)
    return to_markdown(blocks, folder), to_html(blocks), plots


def write(path: Path) -> list[Path]:
    """Write the page of a results file beside it; return what was written."""
    markdown, page, plots = make(decode(path.read_bytes()), path.stem)
    folder = path.with_suffix("")
    folder.mkdir(exist_ok=True)
    for old in folder.glob("*.svg"):
        old.unlink()
    written = [path.with_suffix(".md"), path.with_suffix(".html")]
    written[0].write_text(markdown)
    written[1].write_text(page)
    for picture in plots.values():
        written.append(folder / f"{picture.name}.svg")
        written[-1].write_text(picture.svg)
    return written


def show(results: Results, console: Console) -> None:
    """Print the verdicts in a terminal."""
    grid = Grid("line", "target", "measured", "")
    for line in lines_of(View(results)):
        color = {True: "green", False: "bold red", None: "dim"}[line.met]
        grid.add_row(line.what, line.target, line.figure, f"[{color}]{line.verdict}[/]")
    console.print(grid)


def main() -> None:
    """Make the page again from its file."""
    for name in sys.argv[1:]:
        path = Path(name)
        for written in write(path):
            print(written)
        show(decode(path.read_bytes()), Console())


if __name__ == "__main__":
    main()
