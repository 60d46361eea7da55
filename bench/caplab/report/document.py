"""A page as blocks, and its two forms: Markdown and HTML. Pure."""

import html
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import final

_SHORT = 24
_STYLE = """
:root { color-scheme: light; }
body { font: 16px/1.5 system-ui, sans-serif; color: #1d2329; background: #fff;
       max-width: 62rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.9rem; margin-bottom: .3rem; } h2 { margin-top: 2.4rem; font-size: 1.35rem; }
table { border-collapse: collapse; margin: 1rem 0; font-size: .92rem; }
.wide { overflow-x: auto; } td.short { white-space: nowrap; }
th, td { border-bottom: 1px solid #d8dde3; padding: .3rem .7rem; text-align: left;
         vertical-align: top; }
th { background: #f3f5f7; } td:first-child { min-width: 9rem; }
td.number { text-align: right; white-space: nowrap; }
figure { margin: 1.2rem 0; } figure svg { max-width: 100%; height: auto; }
figcaption { font-size: .9rem; color: #56606b; }
.met { color: #1b7f3b; font-weight: 600; } .missed { color: #b3261e; font-weight: 700; }
"""


@final
@dataclass(frozen=True)
class Heading:
    """A heading; level 1 once."""

    text: str
    level: int = 2


@final
@dataclass(frozen=True)
class Text:
    """A paragraph."""

    text: str


@final
@dataclass(frozen=True)
class Bullets:
    """A list."""

    items: Sequence[str]


@final
@dataclass(frozen=True)
class Table:
    """A table; columns from `numbers_from` on are set to the right."""

    head: Sequence[str]
    rows: Sequence[Sequence[str]]
    numbers_from: int = 99


@final
@dataclass(frozen=True)
class Picture:
    """A plot: `name` of its file, its SVG, and what it shows."""

    name: str
    svg: str
    caption: str


Block = Heading | Text | Bullets | Table | Picture


def to_markdown(blocks: Sequence[Block], folder: str) -> str:
    """Return the page as Markdown; pictures are files in `folder`."""
    parts: list[str] = []
    for block in blocks:
        match block:
            case Heading(text, level):
                parts.append(f"{'#' * level} {text}")
            case Text(text):
                parts.append(text)
            case Bullets(items):
                parts.append("\n".join(f"* {item}" for item in items))
            case Table(head, rows, numbers_from):
                marks = ["---:" if n >= numbers_from else "---" for n in range(len(head))]
                lines = [head, marks, *rows]
                parts.append("\n".join("| " + " | ".join(line) + " |" for line in lines))
            case Picture(name, _, caption):
                parts.append(f"![{caption}]({folder}/{name}.svg)\n\n*{caption}*")
    return "\n\n".join(parts) + "\n"


def to_html(blocks: Sequence[Block]) -> str:
    """Return the page as one HTML file, pictures inside."""
    title = next(b.text for b in blocks if isinstance(b, Heading) and b.level == 1)
    body = "\n".join(map(_html, blocks))
    return (
        f'<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta name="viewport" content="width=device-width">\n<title>{html.escape(title)}</title>'
        f"\n<style>{_STYLE}</style>\n</head>\n<body>\n{body}\n</body>\n</html>\n"
    )


def _html(block: Block) -> str:
    match block:
        case Heading(text, level):
            return f"<h{level}>{html.escape(text)}</h{level}>"
        case Text(text):
            return f"<p>{_inline(text)}</p>"
        case Bullets(items):
            return "<ul>" + "".join(f"<li>{_inline(item)}</li>" for item in items) + "</ul>"
        case Table(head, rows, numbers_from):
            top = "".join(f"<th>{_inline(cell)}</th>" for cell in head)
            lines = "\n".join(
                "<tr>" + "".join(_cell(c, n >= numbers_from) for n, c in enumerate(row)) + "</tr>"
                for row in rows
            )
            return (
                f'<div class="wide"><table>\n<tr>{top}</tr>\n{lines}\n</table></div>'
            )  # fmt: skip
        case Picture(_, svg, caption):
            inner = svg[svg.index("<svg") :].strip()
            return f"<figure>\n{inner}\n<figcaption>{_inline(caption)}</figcaption>\n</figure>"


def _cell(text: str, is_number: bool) -> str:
    classes = ["number"] if is_number else ["short"] if len(text) < _SHORT else []
    if text in ("met", "**MISSED**"):
        classes.append("met" if text == "met" else "missed")
    mark = f' class="{" ".join(classes)}"' if classes else ""
    return f"<td{mark}>{_inline(text)}</td>"


def _inline(text: str) -> str:
    """Set `code`, **bold** and *emphasis* as Markdown means them."""
    parts = html.escape(text).split("`")
    for n in range(1, len(parts), 2):
        parts[n] = f"<code>{parts[n]}</code>"
    pieces = "".join(parts).split("**")
    for n in range(1, len(pieces), 2):
        pieces[n] = f"<b>{pieces[n]}</b>"
    return re.sub(r"(?<![\w*])\*(\w[^*]*)\*", r"<i>\1</i>", "".join(pieces))
