"""EDGE: one of our peers with a wall clock that can be set wrong while it runs.

    python -m bench.caplab.skewed FILE serve ...   (FILE holds the milliseconds to add)

A peer reads the wall clock through the `time` module only; every read adds what FILE says. The
clock of the machine stays right, so this cannot be done to a program that asks the kernel itself.
"""

import sys
import time
from pathlib import Path

_REFRESH_S = 0.05


def _install(path: Path) -> None:
    real_s, real_ns = time.time, time.time_ns
    read_at_s, offset_ms = 0.0, 0

    def current_ms() -> int:
        nonlocal read_at_s, offset_ms
        now_s = time.monotonic()
        if now_s - read_at_s > _REFRESH_S:
            read_at_s = now_s
            offset_ms = int(path.read_text() or 0) if path.exists() else 0
        return offset_ms

    time.time = lambda: real_s() + current_ms() / 1000
    time.time_ns = lambda: real_ns() + current_ms() * 1_000_000


def main() -> None:
    """Set the clock and become the command line."""
    _install(Path(sys.argv.pop(1)))
    from crdtstate.cli.main import main as cli

    cli()


if __name__ == "__main__":
    main()
