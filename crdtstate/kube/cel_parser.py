"""The Common Expression Language: text to tree.

Why not a package: the one with bindings to Rust knows neither `.?` nor two-variable comprehensions
nor `cel.bind`, cannot be told to stop, and a sum of 20,000 terms in a stranger's CRD ended the
process (stack overflow, measured with 0.10). Here trees are bounded, and `cel` counts steps.

Source: CEL specification 0.24, syntax and macros; cel-go extensions "optional", "bindings",
"two-variable comprehensions", as Kubernetes 1.37 enables them.
"""

from dataclasses import dataclass, field
from typing import Any, Final, final

from crdtstate.kube.cel_lexer import CelError, integer, string, tokens

__all__ = ["Expr", "parse"]

TEXT_MAX, NESTING_MAX, DEPTH_MAX, SIZE_MAX = 16_384, 32, 128, 4_096
"""Of one expression: characters, brackets in brackets, levels and nodes of its tree."""


@final
@dataclass(frozen=True, slots=True)
class Expr:
    """One node. `kind` says what `name`, `args` and `value` are.

    literal (value) · ident (name) · select, select? (name; operand) · has (name; operand) ·
    index, index? (operand, index) · call (name; args, the target first if `method`) · list, map
    (args; keys and values in turn) · and, or (args) · cond · not · neg · binary (name, args) ·
    comprehension (name, variables; range, bodies) · bind (variables; value, body) · optmap
    """

    kind: str
    name: str = ""
    args: "tuple[Expr, ...]" = ()
    value: Any = None
    method: bool = False
    variables: tuple[str, ...] = ()
    size: int = field(default=1)
    """Nodes of the tree, for the cost of evaluating it once."""
    depth: int = 1


_LEVELS: Final = (
    ("==", "!=", "<", "<=", ">", ">=", "in"),
    ("+", "-"),
    ("*", "/", "%"),
)
_LITERALS: Final = {"true": True, "false": False, "null": None}
RESERVED: Final = frozenset({
    "as", "break", "const", "continue", "else", "false", "for", "function", "if", "import", "in",
    "let", "loop", "namespace", "null", "package", "return", "true", "var", "void", "while",
})  # fmt: skip
_NAMESPACES: Final = frozenset(
    {"base64", "cel", "format", "ip", "lists", "math", "optional", "sets", "strings"}
)
_MACROS: Final = {
    # name: (fewest, most) arguments; all but the last one or two are variables.
    "all": (2, 3), "exists": (2, 3), "exists_one": (2, 3), "existsOne": (2, 3),
    "map": (2, 3), "filter": (2, 2), "transformList": (3, 4), "transformMap": (3, 4),
}  # fmt: skip


def parse(text: str) -> Expr:
    """Return the tree of an expression. Raises: CelError."""
    if len(text) > TEXT_MAX:
        raise CelError(f"the expression has {len(text)} characters, over {TEXT_MAX}")
    parser = _Parser(tokens(text))
    tree = parser.expression()
    parser.expect("end", "")
    return tree


@final
class _Parser:
    """Recursive descent; every level of recursion passes `expression` or `_unary`."""

    def __init__(self, tokens: list[tuple[str, str]]) -> None:
        self._tokens = tokens
        self._at = 0
        self._depth = 0
        self._scopes: list[str] = []

    # -- tokens ------------------------------------------------------------------------------

    def _take(self, text: str) -> bool:
        kind, found = self._tokens[self._at]
        if found == text and kind in ("op", "ident"):
            self._at += 1
            return True
        return False

    def _next(self) -> tuple[str, str]:
        token = self._tokens[self._at]
        self._at += token[0] != "end"
        return token

    def expect(self, kind: str, text: str) -> None:
        found = self._next()
        if found != (kind, text):
            shown = found[1] or "the end"
            raise CelError(f"Syntax error: {shown!r} where {text or 'the end'!r} belongs")

    def _make(self, kind: str, name: str = "", args: tuple[Expr, ...] = (), **more: Any) -> Expr:
        size = 1 + sum(arg.size for arg in args)
        depth = 1 + max((arg.depth for arg in args), default=0)
        if size > SIZE_MAX or depth > DEPTH_MAX:
            raise CelError(f"the expression has over {SIZE_MAX} parts or {DEPTH_MAX} levels")
        return Expr(kind, name, args, size=size, depth=depth, **more)

    # -- grammar -----------------------------------------------------------------------------

    def expression(self) -> Expr:
        self._depth += 1
        if self._depth > NESTING_MAX:
            raise CelError(f"the expression is nested over {NESTING_MAX} deep")
        tree = self._either()
        if self._take("?"):
            first = self._either()
            self.expect("op", ":")
            tree = self._make("cond", args=(tree, first, self.expression()))
        self._depth -= 1
        return tree

    def _either(self) -> Expr:
        return self._joined("or", "||", lambda: self._joined("and", "&&", lambda: self._binary(0)))

    def _joined(self, kind: str, operator: str, operand: Any) -> Expr:
        args = [operand()]
        while self._take(operator):
            args.append(operand())
        return args[0] if len(args) == 1 else self._make(kind, args=tuple(args))

    def _binary(self, level: int) -> Expr:
        if level == len(_LEVELS):
            return self._unary()
        tree = self._binary(level + 1)
        while self._tokens[self._at][1] in _LEVELS[level] and self._tokens[self._at][0] != "string":
            name = self._next()[1]
            tree = self._make("binary", name, (tree, self._binary(level + 1)))
        return tree

    def _unary(self) -> Expr:
        signs = []
        while self._tokens[self._at] in (("op", "!"), ("op", "-")):
            signs.append(self._next()[1])
        kind, text = self._tokens[self._at]
        if signs and signs[-1] == "-" and kind == "int":
            # The least integer has no positive twin.
            self._tokens[self._at] = (kind, "-" + text)
            signs.pop()
        tree = self._postfix(self._primary())
        for sign in reversed(signs):
            tree = self._make("not" if sign == "!" else "neg", args=(tree,))
        return tree

    def _postfix(self, tree: Expr) -> Expr:
        while True:
            if self._take("."):
                tree = self._member(tree)
            elif self._take(".?"):
                tree = self._make("select?", self._field(), (tree,))
            elif self._take("["):
                tree = self._make("index", args=(tree, self.expression()))
                self.expect("op", "]")
            elif self._take("[?"):
                tree = self._make("index?", args=(tree, self.expression()))
                self.expect("op", "]")
            else:
                return tree

    def _field(self) -> str:
        kind, name = self._next()
        if kind == "quoted":
            return name[1:-1]
        if kind != "ident":
            raise CelError(f"Syntax error: {name or 'the end'!r} where a field belongs")
        return name

    def _member(self, tree: Expr) -> Expr:
        name = self._field()
        if not self._take("("):
            return self._make("select", name, (tree,))
        bound = tree.kind == "ident" and tree.name in self._scopes
        if tree.kind == "ident" and tree.name in _NAMESPACES and not bound:
            if (tree.name, name) == ("cel", "bind"):
                return self._bind()
            return self._make("call", f"{tree.name}.{name}", self._arguments())
        if name in _MACROS:
            return self._comprehension(name, tree)
        if name in ("optMap", "optFlatMap"):
            variable = self._variable()
            body = self._scoped((variable,))
            self.expect("op", ")")
            return self._make("optmap", name, (tree, body), variables=(variable,))
        return self._make("call", name, (tree, *self._arguments()), method=True)

    def _arguments(self) -> tuple[Expr, ...]:
        args: list[Expr] = []
        if self._take(")"):
            return ()
        while True:
            args.append(self.expression())
            if not self._take(","):
                break
        self.expect("op", ")")
        return tuple(args)

    # -- macros ------------------------------------------------------------------------------

    def _variable(self) -> str:
        kind, name = self._next()
        if kind != "ident" or name in RESERVED:
            raise CelError(f"Syntax error: {name!r} where a variable belongs")
        self.expect("op", ",")
        return name

    def _scoped(self, variables: tuple[str, ...]) -> Expr:
        self._scopes += variables
        tree = self.expression()
        del self._scopes[len(self._scopes) - len(variables) :]
        return tree

    def _bind(self) -> Expr:
        variable = self._variable()
        value = self.expression()
        self.expect("op", ",")
        body = self._scoped((variable,))
        self.expect("op", ")")
        return self._make("bind", args=(value, body), variables=(variable,))

    def _comprehension(self, name: str, target: Expr) -> Expr:
        start = self._at
        count = self._count_arguments()
        fewest, most = _MACROS[name]
        if not fewest <= count <= most:
            raise CelError(f"{name} takes {fewest} to {most} arguments, not {count}")
        two = name.startswith("transform") or (name not in ("map", "filter") and count == 3)
        assert self._at == start
        variables = tuple(self._variable() for _ in range(2 if two else 1))
        bodies = [self._scoped(variables)]
        while self._take(","):
            bodies.append(self._scoped(variables))
        self.expect("op", ")")
        return self._make("comprehension", name, (target, *bodies), variables=variables)

    def _count_arguments(self) -> int:
        """Count the arguments up to the closing parenthesis, without reading them."""
        depth, count, at = 0, 1, self._at
        while self._tokens[at][0] != "end":
            kind, text = self._tokens[at]
            if kind == "op":
                if text in ("(", "[", "{", "[?"):
                    depth += 1
                elif text in (")", "]", "}"):
                    depth -= 1
                    if depth < 0:
                        break
                elif text == "," and depth == 0:
                    count += 1
            at += 1
        return count

    # -- operands ----------------------------------------------------------------------------

    def _primary(self) -> Expr:
        kind, text = self._next()
        if kind == "int":
            return self._make("literal", value=integer(text))
        if kind == "float":
            return self._make("literal", value=float(text))
        if kind == "string":
            return self._make("literal", value=string(text))
        if kind == "ident":
            return self._named(text)
        if kind == "op" and text == "(":
            tree = self.expression()
            self.expect("op", ")")
            return tree
        if kind == "op" and text == "[":
            return self._list()
        if kind == "op" and text == "{":
            return self._map()
        raise CelError(f"Syntax error: unexpected {text or 'end'!r}")

    def _named(self, name: str) -> Expr:
        if name in _LITERALS:
            return self._make("literal", value=_LITERALS[name])
        if name in RESERVED:
            raise CelError(f"Syntax error: {name!r} is a reserved word")
        if not self._take("("):
            return self._make("ident", name)
        args = self._arguments()
        if name == "has":
            if len(args) != 1 or args[0].kind != "select":
                raise CelError("has() takes one field selection")
            return self._make("has", args[0].name, args[0].args)
        return self._make("call", name, args)

    def _list(self) -> Expr:
        items: list[Expr] = []
        while not self._take("]"):
            items.append(self.expression())
            if not self._take(","):
                self.expect("op", "]")
                break
        return self._make("list", args=tuple(items))

    def _map(self) -> Expr:
        items: list[Expr] = []
        while not self._take("}"):
            items.append(self.expression())
            self.expect("op", ":")
            items.append(self.expression())
            if not self._take(","):
                self.expect("op", "}")
                break
        return self._make("map", args=tuple(items))
