"""Resource quantities as integers: thousandths of a core, bytes, plain counts.

Source: Kubernetes' quantity: a decimal number, with a suffix or an exponent.
"""

import re
from decimal import ROUND_CEILING, Decimal
from functools import lru_cache

__all__ = ["parse_quantity", "to_millicores", "to_units"]

_PATTERN = re.compile(
    r"([+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+))(?:([eE][+-]?[0-9]{1,3})|([KMGTPE]i|[numkMGTPE]))?"
)
_FACTORS = {
    "n": Decimal("1e-9"), "u": Decimal("1e-6"), "m": Decimal("1e-3"), "k": Decimal("1e3"),
    "M": Decimal("1e6"), "G": Decimal("1e9"), "T": Decimal("1e12"), "P": Decimal("1e15"),
    "E": Decimal("1e18"),
    **{f"{letter}i": Decimal(1 << (10 * n)) for n, letter in enumerate("KMGTPE", 1)},
}  # fmt: skip


def parse_quantity(text: str | float) -> Decimal:
    """Return the number that a quantity stands for. Raises: ValueError naming the text."""
    return _parse(str(text).strip())


@lru_cache(maxsize=4_096)  # Most pods say one of few.
def _parse(text: str) -> Decimal:
    match = _PATTERN.fullmatch(text)
    if match is None:
        raise ValueError(f"{text!r} is not a quantity such as 250m, 1.5 or 64Mi")
    number, exponent, suffix = match.groups()
    return Decimal(number + (exponent or "")) * _FACTORS.get(suffix or "", Decimal(1))


def to_millicores(text: str | float) -> int:
    """Return thousandths of a core, rounded up. Raises: ValueError."""
    return int((parse_quantity(text) * 1000).to_integral_value(ROUND_CEILING))


def to_units(text: str | float) -> int:
    """Return whole units (bytes, counts), rounded up. Raises: ValueError."""
    return int(parse_quantity(text).to_integral_value(ROUND_CEILING))
