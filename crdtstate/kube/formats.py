"""Texts with a shape: names, labels, quantities, instants. Each check returns what is wrong.

Source: apimachinery `util/validation`; [RFC1123], [RFC1035], [RFC3339]; OpenAPI formats as
kube-openapi's `strfmt` reads them.
"""

import base64
import binascii
import ipaddress
import re
from collections.abc import Callable, Mapping
from datetime import date, datetime
from fractions import Fraction
from urllib.parse import urlsplit

__all__ = [
    "FORMATS", "config_key", "cron_schedule", "dns_label", "dns_label_1035", "dns_subdomain",
    "env_name", "is_quantity", "label_value", "path_segment", "port_name", "qualified_name",
    "quantity",
]  # fmt: skip

_LABEL = "[a-z0-9]([-a-z0-9]*[a-z0-9])?"
_DNS_LABEL = re.compile(_LABEL)
_DNS_LABEL_1035 = re.compile("[a-z]([-a-z0-9]*[a-z0-9])?")
_SUBDOMAIN = re.compile(rf"{_LABEL}(\.{_LABEL})*")
_QUALIFIED = re.compile("([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]")
_CONFIG_KEY = re.compile("[-._a-zA-Z0-9]+")
_PORT_NAME = re.compile("[a-z0-9]+(-[a-z0-9]+)*")
_QUANTITY = re.compile(r"[+-]?(\d+|\d+\.\d*|\.\d+)([eE][+-]?\d+|[KMGTPE]i|[numkMGTPE])?")


def dns_label(text: str) -> str | None:
    """A name of at most 63 characters, as of Namespaces and containers."""
    if len(text) > 63:
        return "must be no more than 63 bytes"
    if _DNS_LABEL.fullmatch(text):
        return None
    return (
        "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', "
        "and must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', "
        "regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')"
    )


def dns_label_1035(text: str) -> str | None:
    """A label that begins with a letter, as of Services."""
    if len(text) > 63:
        return "must be no more than 63 bytes"
    if _DNS_LABEL_1035.fullmatch(text):
        return None
    return (
        "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with "
        "an alphabetic character, and end with an alphanumeric character (e.g. 'my-name',  or "
        "'abc-123', regex used for validation is '[a-z]([-a-z0-9]*[a-z0-9])?')"
    )


def dns_subdomain(text: str) -> str | None:
    """A name of at most 253 characters, as of most kinds."""
    if len(text) > 253:
        return "must be no more than 253 bytes"
    if _SUBDOMAIN.fullmatch(text):
        return None
    return (
        "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' "
        "or '.', and must start and end with an alphanumeric character (e.g. 'example.com', "
        "regex used for validation is "
        "'[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')"
    )


def path_segment(text: str) -> str | None:
    """A name that a path can carry, as of roles."""
    if text in (".", ".."):
        return f"may not be '{text}'"
    for banned in "/%":
        if banned in text:
            return f"may not contain '{banned}'"
    return None


def qualified_name(text: str) -> str | None:
    """The key of a label or annotation: `[prefix/]name`."""
    prefix, slash, name = text.rpartition("/")
    if slash:
        if not prefix:
            return "prefix part must be non-empty"
        if (wrong := dns_subdomain(prefix)) is not None:
            return f"prefix part {wrong}"
    if not name:
        return "name part must be non-empty"
    if len(name) > 63:
        return "name part must be no more than 63 bytes"
    if _QUALIFIED.fullmatch(name):
        return None
    return (
        "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and "
        "end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex "
        "used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')"
    )


def label_value(text: str) -> str | None:
    """The value of a label."""
    if len(text) > 63:
        return "must be no more than 63 bytes"
    if not text or _QUALIFIED.fullmatch(text):
        return None
    return (
        "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' "
        "or '.', and must start and end with an alphanumeric character (e.g. 'MyValue',  or "
        "'my_value',  or '12345', regex used for validation is "
        "'(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')"
    )


def config_key(text: str) -> str | None:
    """A key of a ConfigMap's or Secret's data: the name of a file."""
    if len(text) > 253:
        return "must be no more than 253 bytes"
    if not _CONFIG_KEY.fullmatch(text):
        return (
            "a valid config key must consist of alphanumeric characters, '-', '_' or '.' (e.g. "
            "'key.name',  or 'KEY_NAME',  or 'key-name', regex used for validation is "
            "'[-._a-zA-Z0-9]+')"
        )
    if text == ".":
        return "must not be '.'"
    return "must not start with '..'" if text.startswith("..") else None


def port_name(text: str) -> str | None:
    """The name of a container's port."""
    if len(text) > 15:
        return "must be no more than 15 characters"
    if not _PORT_NAME.fullmatch(text):
        return (
            "must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-), none at "
            "either end and none twice in a row"
        )
    return None if re.search("[a-z]", text) else "must contain at least one letter (a-z)"


def env_name(text: str) -> str | None:
    """The name of an environment variable: printable ASCII but `=`."""
    if text and all(" " <= c <= "~" and c != "=" for c in text):
        return None
    return (
        "a valid environment variable name must consist only of printable ASCII characters "
        "other than '='"
    )


def is_quantity(text: str) -> bool:
    """Whether the text is a quantity: a number with an optional suffix (`1.5Gi`, `100m`)."""
    return _QUANTITY.fullmatch(text) is not None


def quantity(value: object) -> Fraction | None:
    """Return the amount of a quantity, or None where it is none."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    match = _QUANTITY.fullmatch(str(value))
    if match is None:
        return None
    number, suffix = match.groups()
    sign = -1 if str(value).startswith("-") else 1
    if suffix and suffix[0] in "eE" and len(suffix) > 1:
        exponent = int(suffix[1:])
        if abs(exponent) > 64:
            return None
        return sign * Fraction(number) * Fraction(10) ** exponent
    return sign * Fraction(number.rstrip(".")) * _SCALES[suffix or ""]


_SCALES: Mapping[str, Fraction] = {
    "": Fraction(1),
    **{unit: Fraction(10) ** (3 * (i - 3)) for i, unit in enumerate("num")},
    **{unit: Fraction(10) ** (3 * i) for i, unit in enumerate("kMGTPE", 1)},
    **{unit + "i": Fraction(2) ** (10 * i) for i, unit in enumerate("KMGTPE", 1)},
}


def cron_schedule(text: str) -> str | None:
    """A schedule of five fields, or one of the names that begin with @."""
    if "TZ" in text:
        return "cannot use TZ or CRON_TZ in schedule, use timeZone field instead"
    if text.startswith("@"):
        if text in _CRON_NAMES or text.startswith("@every "):
            return None
        return f"unrecognized descriptor: {text}"
    fields = text.split()
    if len(fields) != 5:
        return f"expected exactly 5 fields, found {len(fields)}: [{text}]"
    for field, (low, high, names) in zip(fields, _CRON_FIELDS, strict=True):
        for part in field.lower().split(","):
            match = _CRON_PART.fullmatch(part)
            numbers = [names.get(n, n) for n in (match[1], match[2]) if n] if match else ["x"]
            if not all(n.isdigit() and low <= int(n) <= high for n in numbers):
                return f"failed to parse {part!r} in [{text}]"
    return None


_CRON_NAMES = ("@yearly", "@annually", "@monthly", "@weekly", "@daily", "@midnight", "@hourly")
_CRON_PART = re.compile(r"(?:[*?]|([a-z0-9]+)(?:-([a-z0-9]+))?)(?:/[0-9]+)?")
_MONTHS = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"]
_DAYS = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"]
_CRON_FIELDS: tuple[tuple[int, int, Mapping[str, str]], ...] = (
    (0, 59, {}),
    (0, 23, {}),
    (1, 31, {}),
    (1, 12, {name: str(i) for i, name in enumerate(_MONTHS, 1)}),
    (0, 6, {name: str(i) for i, name in enumerate(_DAYS)}),
)


def _parses(parse: Callable[[str], object]) -> Callable[[str], bool]:
    def check(text: str) -> bool:
        try:
            parse(text)
        except (ValueError, binascii.Error):
            return False
        return True

    return check


def _matches(pattern: str) -> Callable[[str], bool]:
    compiled = re.compile(pattern)
    return lambda text: compiled.fullmatch(text) is not None


_INSTANT = _matches(
    r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d([.,]\d+)?([Zz]|[+-]\d\d:\d\d)"  # RFC 3339 and no more.
)
_UUID = "[0-9a-fA-F]{8}-?[0-9a-fA-F]{4}-?%s[0-9a-fA-F]{3}-?%s[0-9a-fA-F]{3}-?[0-9a-fA-F]{12}"
_HOST = _matches(r"(?=.{1,253}$)[\w]([-\w]{0,61}[\w])?(\.[\w]([-\w]{0,61}[\w])?)*\.?")


def _is_uri(text: str) -> bool:
    try:
        parts = urlsplit(text)
    except ValueError:
        return False
    return bool(parts.scheme or text.startswith("/")) and " " not in text


FORMATS: Mapping[str, Callable[[str], bool]] = {
    "date-time": lambda text: _INSTANT(text) and _parses(
        lambda t: datetime.fromisoformat(re.sub(r"[.,]\d+", "", t.upper()))
    )(text),
    "date": _parses(date.fromisoformat),
    "byte": _parses(lambda text: base64.b64decode(text, validate=True)),
    "ipv4": _parses(ipaddress.IPv4Address),
    "ipv6": _parses(ipaddress.IPv6Address),
    "cidr": lambda text: "/" in text and _parses(
        lambda t: ipaddress.ip_network(t, strict=False)
    )(text),
    "email": _matches(r"[^@\s]+@[^@\s]+"),
    "hostname": _HOST,
    "mac": _matches("([0-9a-fA-F]{2}[:-]){5}[0-9a-fA-F]{2}"),
    "uri": _is_uri,
    "uuid": _matches(_UUID % ("[0-9a-fA-F]", "[0-9a-fA-F]")),
    "uuid3": _matches(_UUID % ("3", "[0-9a-fA-F]")),
    "uuid4": _matches(_UUID % ("4", "[89abAB]")),
    "uuid5": _matches(_UUID % ("5", "[89abAB]")),
    "duration": _matches(r"([+-]?(\d+(\.\d*)?|\.\d+)\s*(ns|us|µs|ms|s|m|h|d|w))+|0"),
    "hexcolor": _matches("#?([0-9a-fA-F]{3}|[0-9a-fA-F]{6})"),
    "isbn": _matches("[-0-9 ]{9,17}[0-9Xx]"),
    "creditcard": _matches("[0-9 -]{13,19}"),
    "ssn": _matches(r"\d{3}[- ]?\d{2}[- ]?\d{4}"),
    "k8s-short-name": lambda text: dns_label(text) is None,
    "k8s-long-name": lambda text: dns_subdomain(text) is None,
}  # fmt: skip
"""By OpenAPI `format`; other formats are not checked, as upstream."""
