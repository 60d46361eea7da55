"""The Common Expression Language: values, refusals, and an end to every evaluation."""

from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from crdtstate.kube.cel import Budget, CelError, CelLimit, compiled
from crdtstate.kube.cel_functions import FUNCTIONS, METHODS
from crdtstate.kube.cel_parser import DEPTH_MAX, NESTING_MAX, TEXT_MAX
from crdtstate.kube.cel_values import Optional

CASES = yaml.safe_load((Path(__file__).parent / "cel_cases.yaml").read_text())
SELF = {"count": 3, "list": [1, 2, 3], "sub": {"x": "y", "a": "b"}, "flag": True}


def value_of(text: str, /, steps: int = 100_000, **variables: Any) -> Any:
    return compiled(text).evaluate({"self": SELF, **variables}, Budget(steps))


@pytest.mark.parametrize("case", CASES, ids=lambda case: str(case[0])[:60])
def test_case(case: list[Any]) -> None:
    text, wanted = str(case[0]), case[1]
    if isinstance(wanted, dict) and wanted.keys() <= {"error", "refused"} and wanted:
        kind, message = next(iter(wanted.items()))
        if kind == "error":
            compiled(text)
            with pytest.raises(CelError) as failed:
                value_of(text)
        else:
            with pytest.raises(CelError) as failed:
                compiled(text)
        assert message in str(failed.value)
    else:
        found = value_of(text)
        assert found == wanted
        assert type(found) is type(wanted)


@pytest.mark.parametrize(
    "text",
    [
        "1" + "+1" * 20_000,
        "1" + "+1" * (DEPTH_MAX + 1),
        "(" * (NESTING_MAX + 1) + "1" + ")" * (NESTING_MAX + 1),
        "!" * (DEPTH_MAX + 1) + "true",
        "-" * 3000 + "1",
        "self" + ".a" * (DEPTH_MAX + 1),
        "[" * 3000,
        "self.all(x, " * 3000,
        "true ? true : " * 3000 + "true",
        "[" + "1," * 5000 + "1]",
        "'" + "a" * TEXT_MAX + "'",
    ],
    ids=lambda text: text[:12],
)
def test_what_is_too_large_is_refused_and_ends_nothing(text: str) -> None:
    with pytest.raises(CelError):
        compiled(text)


def test_long_alternatives_are_fine() -> None:
    names = " || ".join(f"self.count == {i}" for i in range(300))
    assert value_of(names) is True


@pytest.mark.parametrize(
    "text",
    [
        "big.all(a, big.all(b, big.all(c, a + b + c >= 0)))",
        "big.map(a, big.map(b, a * b)).size() > 0",
        "big.exists(a, big.filter(b, b > a).size() > 5000)",
        "big.map(x, big).flatten().size() > 0",
        "big.all(a, big.indexOf(-1) == -1)",
        "big.all(a, !(-1 in big))",
        "big.distinct().size() == 1000",
        "sets.equivalent(big, big)",
        "lists.range(1000000000).size() > 0",
        "big.map(x, text + text).size() > 0",
        "big.all(x, text.contains('b') == false)",
        "big.all(x, text.matches('(a+)+b') == false)",
        "cel.bind(a, text.replace('a', text), a.size() > 0)",
        "[text, text].map(x, [x, x].join('').split('')).size() > 0",
        "big.all(x, '%s%s'.format([text, text]).size() > 0)",
    ],
)
def test_an_evaluation_is_stopped_when_its_budget_is_spent(text: str) -> None:
    """CEL-1: nothing that an expression does is free."""
    big, long = list(range(1000)), "a" * 10_000
    with pytest.raises((CelLimit, CelError)) as stopped:
        value_of(text, steps=20_000, big=big, text=long)
    assert stopped.type is CelLimit or "is over" in str(stopped.value)


def test_no_operator_absorbs_a_spent_budget() -> None:
    with pytest.raises(CelLimit):
        value_of("true || true", steps=1)
    with pytest.raises(CelLimit):
        value_of("big.all(x, x >= 0) || true", steps=50, big=list(range(100)))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 3) | st.floats() | st.sampled_from(["", "a", "1m"]),
    lambda below: st.lists(below, max_size=3) | st.dictionaries(st.sampled_from("abx"), below),
    max_leaves=4,
)
ATOMS = ["self", "self.a", "self.?b", "x", "1", "2.5", "'a'", "''", "null", "true", "[]", "{}",
         "[1, 'a']", "optional.none()", "duration('1s')", "timestamp('2026-01-01T00:00:00Z')",
         "b'a'", "quantity('1')", "type(1)"]  # fmt: skip
OPERATORS = ["+", "-", "*", "/", "%", "==", "!=", "<", "<=", "in", "&&", "||", "? 1 :"]


def expressions() -> st.SearchStrategy[str]:
    def grow(below: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
        names = st.sampled_from(sorted(METHODS))
        functions = st.sampled_from(sorted(FUNCTIONS))
        macros = st.sampled_from(["all", "exists", "exists_one", "map", "filter", "optMap"])
        arguments = st.lists(below, max_size=2).map(", ".join)
        return st.one_of(
            st.tuples(below, st.sampled_from(OPERATORS), below).map(lambda t: f"({' '.join(t)})"),
            st.tuples(below, names, arguments).map(lambda t: f"{t[0]}.{t[1]}({t[2]})"),
            st.tuples(functions, arguments).map(lambda t: f"{t[0]}({t[1]})"),
            st.tuples(below, macros, below).map(lambda t: f"{t[0]}.{t[1]}(x, {t[2]})"),
            st.tuples(below, below).map(lambda t: f"{t[0]}[{t[1]}]"),
            below.map(lambda t: f"!{t}"),
            below.map(lambda t: f"-{t}"),
        )

    return st.recursive(st.sampled_from(ATOMS), grow, max_leaves=6)


@given(expressions(), JSON)
def test_an_expression_has_a_value_or_an_error(text: str, value: Any) -> None:
    """CEL-1, CEL-2: and the same one twice. Nothing but CelError and CelLimit comes out."""
    outcomes = []
    for _ in range(2):
        try:
            found = compiled(text).evaluate({"self": value, "x": 1}, Budget(5_000))
            outcomes.append(("value", repr(found)))
        except (CelError, CelLimit) as wrong:
            outcomes.append(("error", str(wrong)))
    if "Optional" not in outcomes[0][1] and "0x" not in outcomes[0][1]:
        assert outcomes[0] == outcomes[1]


@given(st.text(alphabet="self.ab[]()?!&|'\"\\x12+-, {}:`\n", max_size=40))
def test_any_text_is_read_or_refused(text: str) -> None:
    with suppress(CelError):
        assert compiled(text).tree.depth <= DEPTH_MAX


def test_an_optional_old_value_is_an_optional() -> None:
    text = "oldSelf.orValue(0) + 1"
    assert value_of(text, oldSelf=Optional(True, 5)) == 6
    assert value_of(text, oldSelf=Optional(False)) == 1
