"""Kubernetes' own functions of the Common Expression Language.

Source: Kubernetes 1.37, `apiserver/pkg/cel/library`: regex, urls, quantity, ip, cidr, format,
semver.
"""

import ipaddress
import re
from collections.abc import Callable, Mapping
from fractions import Fraction
from typing import Any
from urllib.parse import parse_qs, urlsplit

from crdtstate.kube import formats
from crdtstate.kube.cel_lexer import CelError
from crdtstate.kube.cel_values import NONE, Budget, Network, Optional, Quantity, Url, compare
from crdtstate.kube.values import compiled_pattern

__all__ = ["LIBRARY_FUNCTIONS", "LIBRARY_METHODS"]

Function = Callable[..., Any]
_VERSION = re.compile(
    r"(0|[1-9]\d{0,9})\.(0|[1-9]\d{0,9})\.(0|[1-9]\d{0,9})"
    r"(?:-([0-9A-Za-z.-]{1,64}))?(?:\+[0-9A-Za-z.-]{1,64})?"
)


def _plain(function: Function) -> Function:
    return lambda _budget, *args: function(*args)


def _succeeds(function: Function) -> Function:
    """Return the test whether a constructor takes its text."""

    def test(text: Any) -> bool:
        if not isinstance(text, str):
            raise TypeError
        try:
            function(text)
        except (ValueError, CelError):
            return False
        return True

    return _plain(test)


# -- regular expressions: RE2, in linear time ----------------------------------------------------


def _matches(budget: Budget, text: str, pattern: str) -> bool:
    budget.spend(len(text) // 4)
    return compiled_pattern(pattern).search(text) is not None


def _find(budget: Budget, text: str, pattern: str) -> str:
    budget.spend(len(text) // 4)
    match = compiled_pattern(pattern).search(text)
    return match.group() if match else ""


def _find_all(budget: Budget, text: str, pattern: str, limit: int = -1) -> list[str]:
    budget.spend(len(text))
    found = [match.group() for match in compiled_pattern(pattern).finditer(text)]
    return found if limit < 0 else found[:limit]


# -- URLs ------------------------------------------------------------------------------------


def _url(text: str) -> Url:
    parts = urlsplit(text)
    if not parts.scheme and not text.startswith("/"):
        raise ValueError(f"{text[:64]!r} is no absolute URL")
    return Url(parts)


def _query(url: Url) -> dict[str, list[str]]:
    return parse_qs(url.parts.query, keep_blank_values=True, max_num_fields=1000)


def _host(url: Url) -> str:
    return url.parts.netloc.rpartition("@")[2]


def _hostname(url: Url) -> str:
    host = _host(url)
    return host if host.endswith("]") else re.sub(r":\d*$", "", host)


# -- quantities ------------------------------------------------------------------------------


def _quantity(text: str) -> Quantity:
    amount = formats.quantity(text)
    if amount is None:
        raise ValueError("no quantity")
    return Quantity(amount)


def _amount(value: Any) -> Fraction:
    if isinstance(value, Quantity):
        return value.amount
    if isinstance(value, int) and not isinstance(value, bool):
        return Fraction(value)
    raise TypeError


def _as_integer(value: Quantity) -> int:
    if value.amount.denominator != 1 or not -(2**63) <= value.amount < 2**63:
        raise CelError("cannot convert value to integer")
    return int(value.amount)


# -- addresses -------------------------------------------------------------------------------

Address = ipaddress.IPv4Address | ipaddress.IPv6Address


def _ip(text: str) -> Address:
    if not isinstance(text, str):
        raise TypeError
    address = ipaddress.ip_address(text)
    if "%" in text or (address.version == 6 and getattr(address, "ipv4_mapped", None)):
        raise ValueError("no plain address")
    return address


def _cidr(text: str) -> Network:
    address, slash, _ = text.partition("/")
    if not slash:
        raise ValueError("no CIDR")
    return Network(_ip(address), ipaddress.ip_network(text, strict=False))


def _contains_ip(cidr: Network, other: Any) -> bool:
    return (other if not isinstance(other, str) else _ip(other)) in cidr.network


def _contains_cidr(cidr: Network, other: Any) -> bool:
    inner = (other if isinstance(other, Network) else _cidr(other)).network
    outer = cidr.network
    return (
        inner.version == outer.version
        and inner.prefixlen >= outer.prefixlen
        and inner.network_address in outer
    )


def _ip_of(value: Any) -> Address:
    if isinstance(value, Network):
        return value.address
    return _ip(value)


# -- named formats ---------------------------------------------------------------------------

_NAMED: Mapping[str, Callable[[str], str | None]] = {
    "dns1123Label": formats.dns_label,
    "dns1123Subdomain": formats.dns_subdomain,
    "dns1035Label": formats.dns_label_1035,
    "qualifiedName": formats.qualified_name,
    "labelValue": formats.label_value,
}


def _format_check(name: str) -> Callable[[str], str | None]:
    check = _NAMED.get(name)
    if check is not None:
        return check
    known = {"uri": "uri", "uuid": "uuid", "byte": "byte", "date": "date", "datetime": "date-time"}
    wanted = formats.FORMATS[known[name]]
    return lambda text: None if wanted(text) else f"invalid {name}"


def _named(budget: Budget, name: str) -> Optional:
    try:
        return Optional(True, _format_check(name))
    except KeyError:
        return NONE


def _validate(_budget: Budget, check: Callable[[str], str | None], text: str) -> Optional:
    wrong = check(text)
    return NONE if wrong is None else Optional(True, [wrong])


# -- versions --------------------------------------------------------------------------------


def _semver(text: str) -> tuple[Any, ...]:
    match = _VERSION.fullmatch(text)
    if match is None:
        raise ValueError("no semantic version")
    major, minor, patch, pre = match.groups()
    # A release comes after all of its candidates; numbers come before words.
    parts = [(0, int(p), "") if p.isdigit() else (1, 0, p) for p in (pre or "").split(".") if p]
    return (int(major), int(minor), int(patch), 1 if pre is None else 0, tuple(parts))


def _order(a: Any, b: Any) -> int:
    if isinstance(a, tuple) and isinstance(b, tuple):
        return (a > b) - (a < b)
    if isinstance(a, Quantity):
        return compare(a, b if isinstance(b, Quantity) else Quantity(_amount(b)))
    raise TypeError


_FORMAT_NAMES = (*_NAMED, "uri", "uuid", "byte", "date", "datetime")
LIBRARY_FUNCTIONS: Mapping[str, Function] = {
    "url": _plain(_url), "isURL": _succeeds(_url),
    "quantity": _plain(_quantity), "isQuantity": _succeeds(_quantity),
    "ip": _plain(_ip), "isIP": _succeeds(_ip),
    "ip.isCanonical": _plain(lambda text: str(_ip(text)) == text),
    "cidr": _plain(_cidr), "isCIDR": _succeeds(_cidr),
    "semver": _plain(_semver), "isSemver": _succeeds(_semver),
    "format.named": _named,
    **{f"format.{name}": _plain(lambda name=name: _format_check(name)) for name in _FORMAT_NAMES},
}  # fmt: skip
LIBRARY_METHODS: Mapping[str, Function] = {
    "matches": _matches, "find": _find, "findAll": _find_all,
    "getScheme": _plain(lambda url: url.parts.scheme), "getHost": _plain(_host),
    "getHostname": _plain(_hostname),
    "getPort": _plain(lambda url: "" if url.parts.port is None else str(url.parts.port)),
    "getEscapedPath": _plain(lambda url: url.parts.path), "getQuery": _plain(_query),
    "isInteger": _plain(lambda q: _amount(q).denominator == 1),
    "asInteger": _plain(_as_integer), "asApproximateFloat": _plain(lambda q: float(_amount(q))),
    "sign": _plain(lambda q: (_amount(q) > 0) - (_amount(q) < 0)),
    "add": _plain(lambda a, b: Quantity(_amount(a) + _amount(b))),
    "sub": _plain(lambda a, b: Quantity(_amount(a) - _amount(b))),
    "compareTo": _plain(_order),
    "isGreaterThan": _plain(lambda a, b: _order(a, b) > 0),
    "isLessThan": _plain(lambda a, b: _order(a, b) < 0),
    "family": _plain(lambda ip: ip.version),
    "isUnspecified": _plain(lambda ip: ip.is_unspecified),
    "isLoopback": _plain(lambda ip: ip.is_loopback),
    "isLinkLocalUnicast": _plain(lambda ip: ip.is_link_local and not ip.is_multicast),
    "isLinkLocalMulticast": _plain(
        lambda ip: ip in ipaddress.ip_network("224.0.0.0/24" if ip.version == 4 else "ff02::/16")
    ),
    "isGlobalUnicast": _plain(
        lambda ip: not (ip.is_unspecified or ip.is_loopback or ip.is_multicast or ip.is_link_local)
    ),
    "containsIP": _plain(_contains_ip), "containsCIDR": _plain(_contains_cidr),
    "ip": _plain(_ip_of), "prefixLength": _plain(lambda cidr: cidr.network.prefixlen),
    "masked": _plain(lambda cidr: Network(cidr.network.network_address, cidr.network)),
    "major": _plain(lambda v: v[0]), "minor": _plain(lambda v: v[1]),
    "patch": _plain(lambda v: v[2]),
    "validate": _validate,
}  # fmt: skip
