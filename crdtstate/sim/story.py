"""What happened in a world: a list of moments, as text and as a space-time diagram.

The diagram has a line for each host, time running to the right, as in Lamport (1978): marks are
what was done to a host or what it did, arrows the first time that a write of one came to another.
"""

import html
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, final

__all__ = ["Moment", "Story"]

_MARKS = {
    "up": ("#2a9d4a", "▲"), "down": ("#c0392b", "✖"), "write": ("#1f6fb2", "●"),
    "cut": ("#8e44ad", "✂"), "heal": ("#2a9d4a", "◯"), "identity": ("#b9770e", "★"),
    "clock": ("#7f8c8d", "◔"), "pause": ("#7f8c8d", "❚"), "disk": ("#c0392b", "▣"),
    "violation": ("#ff0000", "⚡"), "converged": ("#2a9d4a", "✔"), "failed": ("#c0392b", "▣"),
}  # fmt: skip
_WIDTH, _LANE, _LEFT = 1400, 70, 90
_MOMENTS_MAX = 20_000
_ARROWS_MAX = 400


@final
class Moment(NamedTuple):
    """One thing that happened. `target` is set for an arrow."""

    at_s: float
    host: str
    kind: str
    text: str
    target: str = ""
    sent_s: float = 0.0


@final
@dataclass
class Story:
    """The moments of one run, in order."""

    clock: Callable[[], float] = float
    start_s: float = 1_000.0
    moments: list[Moment] = field(default_factory=list)
    untold: int = 0

    def tell(self, host: str, kind: str, text: str = "") -> None:
        """Note a moment."""
        self._add(Moment(self.clock() - self.start_s, host, kind, text))

    def arrow(self, source: str, target: str, sent_s: float, text: str) -> None:
        """Note that something of `source` came to `target`."""
        now = self.clock() - self.start_s
        self._add(Moment(now, source, "arrow", text, target, sent_s - self.start_s))

    def _add(self, moment: Moment) -> None:
        if len(self.moments) < _MOMENTS_MAX:
            self.moments.append(moment)
        else:
            self.untold += 1

    # -- as text -------------------------------------------------------------------------------

    def text(self, last: int | None = None) -> str:
        """Return a line for each moment but the arrows; the last ones when there are many."""
        told = [m for m in self.moments if m.kind != "arrow"]
        shown = told[-last:] if last else told
        lines = [f"{m.at_s:10.3f} s  {m.host:8} {m.kind:10} {m.text}".rstrip() for m in shown]
        if len(shown) < len(told):
            lines.insert(0, f"({len(told) - len(shown)} moments before)")
        if self.untold:
            lines.append(f"({self.untold} moments more were not kept)")
        return "\n".join(lines)

    # -- as a picture --------------------------------------------------------------------------

    def svg(self, hosts: Sequence[str], title: str) -> str:
        """Return the space-time diagram as an SVG document."""
        end_s = max((m.at_s for m in self.moments), default=1.0) or 1.0
        lanes = {name: 60 + _LANE * n for n, name in enumerate(hosts)}
        height = 80 + _LANE * len(hosts)

        def x(at_s: float) -> float:
            return _LEFT + (_WIDTH - _LEFT - 30) * max(0.0, at_s) / end_s

        body = [*_frame(title, height), *_axis(x, end_s, height)]
        for name, y in lanes.items():
            body += _lane(name, y, x, end_s, [m for m in self.moments if m.host == name])
        arrows = [m for m in self.moments if m.kind == "arrow"]
        step = max(1, len(arrows) // _ARROWS_MAX)
        for m in arrows[::step]:
            if m.host in lanes and m.target in lanes:
                body.append(
                    f'<line x1="{x(m.sent_s):.1f}" y1="{lanes[m.host]}" x2="{x(m.at_s):.1f}" '
                    f'y2="{lanes[m.target]}" stroke="#1f6fb2" stroke-opacity="0.35" '
                    f'marker-end="url(#tip)"><title>{html.escape(m.text)}</title></line>'
                )
        for m in self.moments:
            if m.kind != "arrow":
                body += _mark(m, x(m.at_s), lanes.get(m.host), height)
        return "\n".join([*body, "</svg>"])


def _frame(title: str, height: int) -> list[str]:
    return [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" '
        'font-family="sans-serif" font-size="12">',
        '<defs><marker id="tip" viewBox="0 0 6 6" refX="6" refY="3" markerWidth="6" '
        'markerHeight="6" orient="auto"><path d="M0,0 L6,3 L0,6 z" fill="#1f6fb2"/></marker>'
        "</defs>",
        f'<rect width="{_WIDTH}" height="{height}" fill="#ffffff"/>',
        f'<text x="{_LEFT}" y="24" font-size="15">{html.escape(title)}</text>',
    ]


def _axis(x: Callable[[float], float], end_s: float, height: int) -> Iterable[str]:
    for n in range(11):
        at = end_s * n / 10
        yield (
            f'<line x1="{x(at):.1f}" y1="40" x2="{x(at):.1f}" y2="{height - 30}" '
            f'stroke="#eeeeee"/><text x="{x(at):.1f}" y="{height - 12}" fill="#777777" '
            f'text-anchor="middle">{at:.1f} s</text>'
        )


def _lane(
    name: str, y: int, x: Callable[[float], float], end_s: float, moments: Sequence[Moment]
) -> Iterable[str]:
    """A host's line: solid while a life is on it."""
    yield f'<text x="{_LEFT - 12}" y="{y + 4}" text-anchor="end">{html.escape(name)}</text>'
    up_s: float | None = None
    spans: list[tuple[float, float]] = []
    for m in moments:
        if m.kind == "up" and up_s is None:
            up_s = m.at_s
        elif m.kind == "down" and up_s is not None:
            spans.append((up_s, m.at_s))
            up_s = None
    if up_s is not None:
        spans.append((up_s, end_s))
    yield f'<line x1="{x(0)}" y1="{y}" x2="{x(end_s)}" y2="{y}" stroke="#dddddd"/>'
    for first, last in spans:
        yield (
            f'<line x1="{x(first):.1f}" y1="{y}" x2="{x(last):.1f}" y2="{y}" stroke="#444444" '
            'stroke-width="2"/>'
        )


def _mark(m: Moment, x: float, y: int | None, height: int) -> Iterable[str]:
    colour, sign = _MARKS.get(m.kind, ("#555555", "•"))
    words = html.escape(f"{m.at_s:.3f} s {m.host}: {m.kind} {m.text}")
    if y is None:  # Of the whole world: a line through all hosts.
        yield (
            f'<line x1="{x:.1f}" y1="40" x2="{x:.1f}" y2="{height - 30}" stroke="{colour}" '
            f'stroke-opacity="0.5" stroke-dasharray="4 3"><title>{words}</title></line>'
            f'<text x="{x:.1f}" y="40" fill="{colour}" text-anchor="middle">{sign}</text>'
        )
        return
    yield (
        f'<text x="{x:.1f}" y="{y - 6}" fill="{colour}" text-anchor="middle">{sign}'
        f"<title>{words}</title></text>"
    )
