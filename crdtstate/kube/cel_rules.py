"""`x-kubernetes-validations`: rules of a CRD in the Common Expression Language.

Source: Kubernetes 1.37, `apiextensions-apiserver/pkg/apiserver/schema/cel`; KEP-2876, KEP-4008.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any, final

from crdtstate.kube import causes as c
from crdtstate.kube.causes import Cause
from crdtstate.kube.cel import Budget, CelError, CelLimit, Program, compiled
from crdtstate.kube.cel_fields import escaped, undefined_field
from crdtstate.kube.cel_functions import FUNCTIONS
from crdtstate.kube.cel_values import NONE, Optional
from crdtstate.kube.fieldset import item_key
from crdtstate.kube.schema import ANY, Schema, child
from crdtstate.kube.typed import same

__all__ = ["BODY_STEPS", "RULE_STEPS", "rule_causes", "rule_faults"]

RULE_STEPS, BODY_STEPS = 200_000, 400_000
"""Steps that one rule, and all rules of one body, may take; a step is some 0.3 microseconds."""
_WORD = "x-kubernetes-validations"
_REASONS = (
    "FieldValueInvalid", "FieldValueForbidden", "FieldValueRequired", "FieldValueDuplicate",
)  # fmt: skip
_MESSAGE_MAX = 5 * 1024
_PATH = re.compile(r"""(?:\.[A-Za-z_][A-Za-z0-9_-]*|\[(?:\d+|'[^']*'|"[^"]*")\])+""")


# -- when a CRD is written -----------------------------------------------------------------------


def rule_faults(raw: Mapping[str, Any], path: str, *, correlated: bool) -> Iterator[Cause]:
    """Return what is wrong with the rules of one schema node.

    Args:
        correlated: Whether the node has an old value to be compared with: not below a list whose
            items have no keys.
    """
    for i, rule in enumerate(raw.get(_WORD) or ()):
        at = f"{path}.{_WORD}[{i}]"
        text = rule.get("rule") or ""
        if not text.strip():
            yield c.required(f"{at}.rule", "rule must be specified")
            continue
        yield from _expression_faults(raw, text, f"{at}.rule", correlated)
        message = rule.get("message")
        if message is not None and not message.strip():
            yield c.invalid(f"{at}.message", message, "message must be non-empty if specified")
        elif message and ("\n" in message or len(message) > _MESSAGE_MAX):
            yield c.invalid(f"{at}.message", message, "message must not contain line breaks")
        elif message is None and "\n" in text.strip() and not rule.get("messageExpression"):
            text = "message must be specified if rule contains line breaks"
            yield c.required(f"{at}.message", text)
        if rule.get("messageExpression"):
            expression = rule["messageExpression"]
            yield from _expression_faults(
                raw, expression, f"{at}.messageExpression", correlated
            )  # fmt: skip
        if rule.get("reason") not in (None, *_REASONS):
            yield c.not_supported(f"{at}.reason", rule["reason"], _REASONS)
        where = rule.get("fieldPath")
        if where is not None and not _PATH.fullmatch(where):
            yield c.invalid(f"{at}.fieldPath", where, "fieldPath must be a valid path")


def _expression_faults(
    raw: Mapping[str, Any], text: str, path: str, correlated: bool
) -> Iterator[Cause]:
    try:
        program = compiled(text)
    except CelError as wrong:
        yield c.invalid(path, text, f"compilation failed: {wrong}")
        return
    for name in sorted(program.names - {"self", "oldSelf"}):
        yield c.invalid(path, text, f"compilation failed: undeclared reference to '{name}'")
    if (missing := undefined_field(program.tree, raw)) is not None:
        yield c.invalid(path, text, f"compilation failed: undefined field '{missing}'")
    if "oldSelf" in program.names and not correlated:
        text_ = "oldSelf cannot be used on the uncorrelatable portion of the schema"
        yield c.invalid(path, text, text_)


# -- when an object is written --------------------------------------------------------------------


@final
class _Stop(Exception):
    """The budget of the body is spent."""


def rule_causes(
    schema: Schema, new: Mapping[str, Any], old: Mapping[str, Any] | None
) -> list[Cause]:
    """Return which rules of a custom kind `new` breaks; both with defaults, right by schema."""
    run = _Run()
    try:
        run.walk(schema, new, NONE if old is None else Optional(True, old), "")
    except _Stop:
        text = "validation failed due to running out of cost budget, no further rules will be run"
        run.found.append(c.forbidden("", text))
    return run.found


def _has_rules(schema: Schema) -> bool:
    found: bool | None = schema.memo.get("has rules")
    if found is None:
        below = (*schema.properties.values(), schema.additional, schema.items)
        found = schema.memo["has rules"] = bool(schema.raw.get(_WORD)) or any(
            each is not None and not each.definition and _has_rules(each) for each in below
        )
    return found


@final
class _Run:
    """All rules of one body."""

    def __init__(self) -> None:
        self.found: list[Cause] = []
        self._left = BODY_STEPS

    def walk(self, schema: Schema, value: Any, old: Optional, path: str) -> None:
        """Evaluate the rules of a node and below; `old` is none where nothing corresponds."""
        if value is None or not _has_rules(schema):
            return
        for rule in schema.raw.get(_WORD) or ():
            self._evaluate(schema, rule, value, old, path)
        if isinstance(value, dict):
            before = old.value if isinstance(old.value, dict) else {}
            for name, each in value.items():
                below = schema.properties.get(name) or schema.additional
                if below is not None and not below.definition:
                    known = Optional(True, before[name]) if name in before else NONE
                    self.walk(below, each, known, f"{path}.{name}" if path else name)
        elif isinstance(value, list) and schema.items is not None:
            keyed: dict[str | None, Any] = {}
            if schema.list_type == "map" and isinstance(old.value, list):
                keyed = {item_key(schema, each): each for each in old.value}
            for i, each in enumerate(value):
                key = item_key(schema, each) if keyed else None
                known = Optional(True, keyed[key]) if key in keyed else NONE
                self.walk(schema.items, each, known, f"{path}[{i}]")

    def _evaluate(
        self, schema: Schema, rule: Mapping[str, Any], value: Any, old: Optional, path: str
    ) -> None:
        text = rule.get("rule") or ""
        try:
            program = compiled(text)
        except CelError as wrong:  # Of a definition that was joined from two, say.
            detail = f"rule cannot be compiled: {wrong}"
            self.found.append(c.invalid(path, _type(value), detail))
            return
        transition = "oldSelf" in program.names
        optional = rule.get("optionalOldSelf") is True
        if transition and not optional and not old.present:
            return  # There is nothing to come from.
        if not transition and old.present and same(value, old.value):
            return
        variables = {"self": _converted(schema, value)}
        if transition:
            before = _converted(schema, old.value) if old.present else None
            variables["oldSelf"] = Optional(old.present, before) if optional else before
        allowed = min(RULE_STEPS, self._left)
        budget = Budget(allowed)
        detail = _outcome(program, rule, variables, budget)
        self._left -= allowed - max(budget.left, 0)
        if detail:
            self.found.append(_cause(rule, _type(value), path, detail))
        if self._left <= 0:
            raise _Stop


def _outcome(
    program: Program, rule: Mapping[str, Any], variables: Mapping[str, Any], budget: Budget
) -> str:
    """Return what to say of a rule; nothing when it holds."""
    name = rule.get("message") or " ".join(str(rule["rule"]).split())
    try:
        holds = program.evaluate(variables, budget)
    except CelError as wrong:
        return f"{wrong} evaluating rule: {name}"
    except CelLimit as limit:
        return f"{limit} evaluating rule: {name}"
    if holds is True:
        return ""
    if holds is not False:
        return f"no bool evaluating rule: {name}"
    expression = rule.get("messageExpression")
    if expression:
        try:
            made = compiled(expression).evaluate(variables, budget)
        except (CelError, CelLimit):
            made = ""
        if isinstance(made, str) and made.strip() and "\n" not in made:
            return made.strip()[:_MESSAGE_MAX]
    return rule.get("message") or f"failed rule: {name}"


def _cause(rule: Mapping[str, Any], kind: str, path: str, detail: str) -> Cause:
    field = (path + (rule.get("fieldPath") or "")).removeprefix(".")
    match rule.get("reason"):
        case "FieldValueRequired":
            return c.required(field, detail)
        case "FieldValueForbidden":
            return c.forbidden(field, detail)
        case "FieldValueDuplicate":
            return c.duplicate(field, kind)
        case _:
            return c.invalid(field, kind, detail)


def _type(value: Any) -> str:
    return c.TYPE_NAMES.get(type(value), "null")


# -- values as expressions see them ------------------------------------------------------------


def _converted(schema: Schema, value: Any) -> Any:
    """Return the value in CEL's types, fields that are no identifiers under escaped names."""
    if isinstance(value, dict):
        declared = schema.properties
        return {
            (escaped(name) if name in declared else name): _converted(child(schema, name), each)
            for name, each in value.items()
        }
    if isinstance(value, list):
        items = schema.items or ANY
        return [_converted(items, each) for each in value]
    declared_type, form = schema.raw.get("type"), schema.raw.get("format")
    try:
        if declared_type == "number" and isinstance(value, int) and not isinstance(value, bool):
            return float(value)
        if declared_type == "integer" and isinstance(value, float):
            return int(value)
        if declared_type == "string" and isinstance(value, str) and form in _FORMS:
            return FUNCTIONS[_FORMS[form]](Budget(100), value)
    except (ValueError, OverflowError):
        return value
    return value


_FORMS = {"date-time": "timestamp", "date": "timestamp", "duration": "duration"}
