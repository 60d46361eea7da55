"""The Common Expression Language: text to tokens, and literals to values.

Source: CEL specification 0.24, lexis.
"""

import re
from typing import Final, final

__all__ = ["CelError", "integer", "string", "tokens"]


@final
class CelError(Exception):
    """An expression that cannot be read, or an evaluation that has no value."""


_TOKEN: Final = re.compile(
    r"""(?P<space>(?:\s|//[^\n]*)+)
    |(?P<string>[rRbB]{0,2}(?:\"\"\"(?:\\.|[^\\])*?\"\"\"|'''(?:\\.|[^\\])*?'''
        |"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*'))
    |(?P<float>\d+\.\d+(?:[eE][+-]?\d+)?|\d+[eE][+-]?\d+|\.\d+(?:[eE][+-]?\d+)?)
    |(?P<int>0[xX][0-9a-fA-F]+[uU]?|\d+[uU]?)
    |(?P<ident>[A-Za-z_][A-Za-z0-9_]*)
    |(?P<quoted>`[A-Za-z0-9_.\-/ ]+`)
    |(?P<op>&&|\|\||==|!=|<=|>=|\?\.|\[\?|\.\?|[-+*/%<>!?:.,()\[\]{}])""",
    re.VERBOSE | re.DOTALL,
)
_ESCAPE: Final = re.compile(
    r"\\(?:([abfnrtv\\?\"'`])|x([0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|([0-3][0-7]{2})|(.))",
    re.DOTALL,
)
_SIMPLE: Final = {"a": "\a", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v"}


def tokens(text: str) -> list[tuple[str, str]]:
    found = []
    at = 0
    while at < len(text):
        match = _TOKEN.match(text, at)
        if match is None:
            raise CelError(f"Syntax error: unexpected {text[at]!r} at {at}")
        at = match.end()
        kind = match.lastgroup or ""
        if kind != "space":
            found.append((kind, match.group()))
    return [*found, ("end", "")]


def integer(text: str) -> int:
    value = int(text.rstrip("uU"), 0 if "x" in text.lower() else 10)
    unsigned = text[-1] in "uU"
    if not (0 <= value < 2**64 if unsigned else -(2**63) <= value < 2**63):
        raise CelError(f"the integer {text} is out of range")
    return value


def string(text: str) -> str | bytes:
    start = next(i for i, c in enumerate(text) if c in "'\"")
    prefix, quoted = text[:start].lower(), text[start:]
    inner = quoted[3:-3] if quoted[:3] in ("'''", '"""') else quoted[1:-1]
    if "r" not in prefix:
        inner = _ESCAPE.sub(_unescaped, inner)
    return inner.encode() if "b" in prefix else inner


def _unescaped(match: re.Match[str]) -> str:
    simple, *codes, octal, wrong = match.groups()
    if simple:
        return _SIMPLE.get(simple, simple)
    if wrong:
        raise CelError(f"Syntax error: unknown escape {match.group()!r}")
    number = int(octal, 8) if octal else int(next(code for code in codes if code), 16)
    if number > 0x10FFFF or 0xD800 <= number < 0xE000:
        raise CelError(f"Syntax error: {match.group()!r} is no character")
    return chr(number)
