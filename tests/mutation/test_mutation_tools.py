"""The tools that judge mutants: what they change, in which order tests are tried, what is kept."""

import json
from collections import Counter
from pathlib import Path

from tests.mutation.mutants import Mutant, mutants_of
from tests.mutation.nursery import exchanged_code
from tests.mutation.order import SURVIVED, Order
from tests.mutation.run import _verdicts

SOURCE = '''"""A docstring is left alone."""

LIMIT = 7


def clip(value: int) -> int:
    """And so is this one."""
    if value > LIMIT:
        raise ValueError(f"{value} is over {LIMIT}")
    return value + 1
'''


def mutants(folder: Path) -> list[Mutant]:
    path = folder / "clip.py"
    path.write_text(SOURCE, encoding="utf-8")
    return mutants_of(path, folder)


def test_each_place_that_may_matter_is_changed_alone(tmp_path: Path) -> None:
    told = Counter(mutant.name.split(": ")[1] for mutant in mutants(tmp_path))
    assert told == {"constant": 2, "comparison": 2, "deletion": 1, "return": 1, "arithmetic": 1}
    assert len({mutant.name for mutant in mutants(tmp_path)}) == told.total()


def test_a_mutant_has_one_mistake(tmp_path: Path) -> None:
    (minus,) = (mutant for mutant in mutants(tmp_path) if "arithmetic" in mutant.name)
    spoiled: dict[str, object] = {}
    exec(minus.compile(), spoiled)
    assert spoiled["clip"](5) == 4  # type: ignore[operator]
    assert spoiled["LIMIT"] == 7


def test_what_is_in_a_function_is_exchanged_in_place_and_a_constant_is_not(tmp_path: Path) -> None:
    for mutant in mutants(tmp_path):
        swap = exchanged_code(mutant)
        assert (swap is None) == (": 7 -> 8" in mutant.name)
        assert swap is None or [name for name, _ in swap] == ["clip"]


def test_who_found_a_neighbour_is_tried_first_and_then_who_is_quick(tmp_path: Path) -> None:
    order = Order()
    order.cpu_s = {"slow": 1.0, "quick": 0.01, "quicker": 0.001}
    here, *_ = mutants(tmp_path)
    assert order.tests(here) == ["quicker", "quick", "slow"]
    for _ in range(200):
        order.note(here, "quick")
    assert order.tests(here) == ["quick", "quicker", "slow"]


def test_a_file_of_verdicts_says_the_last_of_each(tmp_path: Path) -> None:
    path = tmp_path / "verdicts"
    assert _verdicts(None) == _verdicts(path) == {}
    rows = [["a", SURVIVED, 3.0], ["b", "test_b", 0.1], ["a", "test_a", 20.0]]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    assert _verdicts(path) == {"a": "test_a", "b": "test_b"}
