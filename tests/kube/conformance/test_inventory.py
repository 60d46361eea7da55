"""All 52 targets have a test, whose name begins with the target's number."""

import re
from pathlib import Path

RANGES = {"16_to_18": range(16, 19)}


def test_every_target_has_a_test() -> None:
    found: set[int] = set()
    for path in Path(__file__).parent.glob("test_*_targets.py"):
        for text in re.findall(r"^def test_(\d\d_to_\d\d|\d\d)_", path.read_text(), re.MULTILINE):
            found.update(RANGES.get(text, [int(text[:2])]))

    assert found == set(range(1, 53))
