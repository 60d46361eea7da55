"""Quantities of Kubernetes (`100m`, `1.5Gi`, `2e3`) as exact numbers.

Source: k8s.io/apimachinery, resource.Quantity.
"""

import re
from fractions import Fraction

from crdtstate.errors import InvalidError

__all__ = ["parse_quantity", "write_quantity"]

_FORM = re.compile(r"([+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+))([eE][+-]?[0-9]{1,3}|[a-zA-Z]*)")
_SUFFIXES = {
    "": Fraction(1), "n": Fraction(1, 10**9), "u": Fraction(1, 10**6), "m": Fraction(1, 1000),
    "k": Fraction(10**3), "M": Fraction(10**6), "G": Fraction(10**9), "T": Fraction(10**12),
    "P": Fraction(10**15), "E": Fraction(10**18), "Ki": Fraction(2**10), "Mi": Fraction(2**20),
    "Gi": Fraction(2**30), "Ti": Fraction(2**40), "Pi": Fraction(2**50), "Ei": Fraction(2**60),
}  # fmt: skip


def parse_quantity(text: object) -> Fraction:
    """Return a quantity. Raises: InvalidError."""
    found = _FORM.fullmatch(str(text).strip())
    if found is not None:
        number, suffix = found.groups()
        if suffix[:1] in ("e", "E") and len(suffix) > 1 and suffix[1:].lstrip("+-").isdigit():
            return Fraction(number) * Fraction(10) ** int(suffix[1:])
        if suffix in _SUFFIXES:
            return Fraction(number) * _SUFFIXES[suffix]
    raise InvalidError(f"{text!r} is not a quantity such as 100m, 2 or 1.5Gi", code="invalid_value")


def write_quantity(value: Fraction) -> str:
    """Return the shortest plain form: a whole number, thousandths or billionths."""
    for suffix, unit in (("", Fraction(1)), ("m", Fraction(1, 1000)), ("n", Fraction(1, 10**9))):
        count = value / unit
        if count.denominator == 1:
            return f"{count.numerator}{suffix}"
    return f"{-(-value.numerator * 10**9 // value.denominator)}n"
