"""How results look: columns for people, JSON and YAML for programs."""

import json
import sys
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any

import click

__all__ = ["columns", "emit", "format_option", "instant", "text_of"]

format_option = click.option(
    "-o", "--output", "form", type=click.Choice(["table", "json", "yaml"]), default="table",
    show_default=True, help="How to print the result.",
)  # fmt: skip


def emit(form: str, value: Any, table: Callable[[], str]) -> None:
    """Print `value` as the user wants it; `table` is made only when it is needed."""
    if form == "json":
        text = json.dumps(value, indent=2, ensure_ascii=False)
    elif form == "yaml":
        import yaml

        text = yaml.safe_dump(value, sort_keys=False, allow_unicode=True).rstrip("\n")
    else:
        text = table()
    if text:
        sys.stdout.write(text + "\n")


def columns(head: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """Return aligned columns, three spaces between them, as kubectl prints them."""
    cells = [[*head], *[["-" if c is None or c == "" else str(c) for c in row] for row in rows]]
    widths = [max(len(row[n]) for row in cells) for n in range(len(head))]
    lines = (
        "   ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in cells
    )
    return "\n".join(lines)


def instant(ms: int) -> str:
    """Return a time as people read it, in their zone, to the millisecond."""
    return datetime.fromtimestamp(ms / 1000, UTC).astimezone().strftime("%Y-%m-%d %H:%M:%S.%f")[:-3]


def text_of(value: Any, width: int = 60) -> str:
    """Return a value on one line, shortened."""
    if isinstance(value, bytes):
        try:
            text = value.decode()
        except UnicodeDecodeError:
            text = f"<{len(value)} bytes>"
    elif isinstance(value, str):
        text = value
    else:
        text = json.dumps(value, ensure_ascii=False)
    text = text.replace("\n", "\\n")
    return text if len(text) <= width else text[: width - 1] + "…"
