"""Label and field selectors: parsing, matching, and the text in which a selector is shown.

Source: Kubernetes, "Labels and Selectors" (grammar of set-based requirements) and "Field
Selectors". What a kind can be selected by is `Resource.selectable`.

A selector that cannot be read is refused with 400: a client that asks for a part must never be
given everything.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple, final

from crdtstate.kube.resources import Resource
from crdtstate.kube.statuses import StatusError

__all__ = ["Selection", "parse_fields", "parse_labels", "selection", "selector_text"]

TEXT_CHARS_MAX = 16 * 1024
TERMS_MAX = 256

_NAME = r"(?:[A-Za-z0-9](?:[-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)"
_LABEL = r"[a-z0-9](?:[-a-z0-9]{0,61}[a-z0-9])?"
_KEY = re.compile(rf"(?:(?=.{{1,253}}/){_LABEL}(?:\.{_LABEL})*/)?{_NAME}")
_VALUE = re.compile(rf"{_NAME}?")
_TOKEN = re.compile(r"[ \t\r\n]*(?:(==|!=|[=!<>(),])|([^ \t\r\n=!<>(),]+)|$)")
_INTEGER = re.compile(r"[-+]?[0-9]{1,19}")


class Requirement(NamedTuple):
    """One term: the key, an operator among = != in notin exists !exists > <, and its values."""

    key: str
    operator: str
    values: tuple[str, ...] = ()

    def matches(self, value: str | None) -> bool:
        """Tell whether a value (None: there is none) satisfies the term."""
        match self.operator:
            case "=" | "in":
                return value is not None and value in self.values
            case "!=" | "notin":
                return value is None or value not in self.values
            case "exists":
                return value is not None
            case "!exists":
                return value is None
            case operator:
                if value is None or _INTEGER.fullmatch(value) is None:
                    return False
                limit = int(self.values[0])
                return int(value) > limit if operator == ">" else int(value) < limit


@final
@dataclass(frozen=True, slots=True)
class Selection:
    """What a list, a watch or a collection delete is about. Empty: everything."""

    labels: tuple[Requirement, ...] = ()
    fields: tuple[tuple[Requirement, Callable[[Mapping[str, Any]], str]], ...] = ()

    def matches(self, body: Mapping[str, Any]) -> bool:
        """Tell whether an object is selected. Cost: O(terms)."""
        if self.labels:
            labels = (body.get("metadata") or {}).get("labels") or {}
            if not all(term.matches(labels.get(term.key)) for term in self.labels):
                return False
        return all(term.matches(read(body)) for term, read in self.fields)

    @property
    def name(self) -> str | None:
        """The one name that can match, when a field selector says it."""
        return self._pinned("metadata.name")

    @property
    def namespace(self) -> str | None:
        """The one namespace that can match, when a field selector says it."""
        return self._pinned("metadata.namespace")

    def _pinned(self, key: str) -> str | None:
        for term, _ in self.fields:
            if term.key == key and term.operator == "=":
                return term.values[0]
        return None


def selection(resource: Resource, labels: str = "", fields: str = "") -> Selection:
    """Return what the two query parameters select. Raises: StatusError (BadRequest)."""
    terms = parse_fields(fields)
    readers = [_reader(resource, term.key) for term in terms]
    return Selection(parse_labels(labels), tuple(zip(terms, readers, strict=True)))


def parse_labels(text: str) -> tuple[Requirement, ...]:
    """Return the terms of a label selector. Raises: StatusError (BadRequest)."""
    return _LabelParser(text).parse() if text.strip() else ()


def parse_fields(text: str) -> tuple[Requirement, ...]:
    """Return the terms of a field selector: `a=b,c!=d`, with `\\` before a comma, = or itself.

    Raises: StatusError (BadRequest).
    """
    _bounded(text, "field")
    found = []
    for term in _split_terms(text):
        match = re.fullmatch(r"([^=!]*)(==|!=|=)(.*)", term, re.DOTALL)
        if match is None:
            raise _refusal(f"invalid selector: {term!r}; can't understand {term!r}")
        key, operator, raw = match.groups()
        value = re.sub(r"\\([\\,=])", r"\1", raw)
        if re.search(r"(?<!\\)(?:\\\\)*=", raw):
            raise _refusal(f"invalid field selector: unescaped '=' in the value {raw!r}")
        found.append(Requirement(key.strip(), "!=" if operator == "!=" else "=", (value,)))
    return tuple(found)


def selector_text(selector: Mapping[str, Any] | None) -> str:
    """Return a LabelSelector, or a plain map of labels, as text.

    Source: the SELECTOR column and `status.selector` of Scale: an empty selector is `<none>`
    in a column; here it is "".
    """
    if not selector:
        return ""
    if "matchLabels" not in selector and "matchExpressions" not in selector:
        return ",".join(f"{key}={selector[key]}" for key in sorted(selector))
    shown = {key: f"{key}={value}" for key, value in (selector.get("matchLabels") or {}).items()}
    terms = [(key, shown[key]) for key in sorted(shown)]
    for expression in selector.get("matchExpressions") or ():
        key, values = expression.get("key", ""), sorted(expression.get("values") or ())
        match expression.get("operator"):
            case "In":
                terms.append((key, f"{key} in ({','.join(values)})"))
            case "NotIn":
                terms.append((key, f"{key} notin ({','.join(values)})"))
            case "Exists":
                terms.append((key, key))
            case _:
                terms.append((key, f"!{key}"))
    return ",".join(text for _, text in sorted(terms, key=lambda term: term[0]))


def _refusal(message: str) -> StatusError:
    return StatusError("BadRequest", message)


def _bounded(text: str, what: str) -> None:
    if len(text) > TEXT_CHARS_MAX:
        raise _refusal(f"{what} selector has {len(text)} characters, over {TEXT_CHARS_MAX}")


def _split_terms(text: str) -> list[str]:
    terms = [term for term in re.findall(r"(?:\\.|[^,\\]|\\$)+", text, re.DOTALL) if term.strip()]
    if len(terms) > TERMS_MAX:
        raise _refusal(f"field selector has {len(terms)} terms, over {TERMS_MAX}")
    return terms


@final
class _LabelParser:
    """The grammar of label selectors over a list of tokens that ends in ""."""

    def __init__(self, text: str) -> None:
        _bounded(text, "label")
        self._tokens: list[str] = []
        for match in _TOKEN.finditer(text):
            self._tokens.append(match.group(1) or match.group(2) or "")
        self._at = 0

    def parse(self) -> tuple[Requirement, ...]:
        terms = [self._requirement()]
        while self._next != "":
            self._expect(",")
            terms.append(self._requirement())
            if len(terms) > TERMS_MAX:
                raise _refusal(f"label selector has more than {TERMS_MAX} terms")
        return tuple(terms)

    @property
    def _next(self) -> str:
        return self._tokens[self._at]

    def _take(self) -> str:
        token = self._next
        if token:
            self._at += 1
        return token

    def _expect(self, wanted: str) -> None:
        token = self._take()
        if token != wanted:
            raise _refusal(f"unable to parse requirement: found '{token}', expected: '{wanted}'")

    def _requirement(self) -> Requirement:
        negated = self._next == "!"
        if negated:
            self._take()
        key = self._word("identifier")
        if _KEY.fullmatch(key) is None:
            raise _refusal(f"unable to parse requirement: {key!r} is not a label key")
        if negated or self._next in ("", ","):
            return Requirement(key, "!exists" if negated else "exists")
        operator = self._take()
        if operator in ("in", "notin"):
            return Requirement(key, operator, self._values(key))
        if operator not in ("=", "==", "!=", ">", "<"):
            wanted = "in, notin, =, ==, !=, gt, lt"
            raise _refusal(f"unable to parse requirement: found '{operator}', expected: {wanted}")
        value = "" if self._next in ("", ",") else self._word("identifier")
        if operator in (">", "<"):
            if _INTEGER.fullmatch(value) is None:
                raise _refusal(f"unable to parse requirement: {value!r} is not an integer")
        else:
            _check_value(key, value)
        return Requirement(key, "=" if operator == "==" else operator, (value,))

    def _word(self, wanted: str) -> str:
        token = self._take()
        if token in ("", "==", "!=", *"=!<>(),"):
            raise _refusal(f"unable to parse requirement: found '{token}', expected: {wanted}")
        return token

    def _values(self, key: str) -> tuple[str, ...]:
        """Return `(a, b)`. An empty place between commas is the empty value."""
        self._expect("(")
        values = []
        while True:
            value = "" if self._next in (",", ")") else self._word("',', ')' or identifier")
            _check_value(key, value)
            values.append(value)
            if self._next == ")":
                self._take()
                return tuple(sorted(set(values)))
            self._expect(",")


def _check_value(key: str, value: str) -> None:
    if _VALUE.fullmatch(value) is None:
        raise _refusal(f"unable to parse requirement: {value!r} is not a label value for {key!r}")


# A field whose name is not its place, or that is never absent.
_PLACES: Mapping[str, tuple[str, ...]] = {
    "status.successful": ("status.succeeded",),
    "source": ("source.component", "deprecatedSource.component", "reportingComponent"),
    "reportingComponent": ("reportingComponent", "reportingController"),
    "reportingController": ("reportingController", "reportingComponent"),
}
_ABSENT: Mapping[str, str] = {
    "spec.hostNetwork": "false", "spec.unschedulable": "false", "status.replicas": "0",
    "status.successful": "0",
}  # fmt: skip


def _reader(resource: Resource, label: str) -> Callable[[Mapping[str, Any]], str]:
    known = {"metadata.name", *(path.lstrip(".") for path in resource.selectable)}
    if label not in known and not (label == "metadata.namespace" and resource.namespaced):
        raise _refusal(f"field label not supported: {label}")
    places = (label,) if resource.custom else _PLACES.get(label, (label,))
    what, _, rest = label.partition(".")
    if what in ("involvedObject", "regarding") and not resource.custom:  # Two views of one Event.
        places = (f"involvedObject.{rest}", f"regarding.{rest}")
    paths = [tuple(place.split(".")) for place in places]
    absent = "" if resource.custom else _ABSENT.get(label, "")

    def read(body: Mapping[str, Any]) -> str:
        for path in paths:
            value: Any = body
            for name in path:
                value = value.get(name) if isinstance(value, Mapping) else None
            if value is not None and value != "":
                return _as_text(value)
        return absent

    return read


def _as_text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)
