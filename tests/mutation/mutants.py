"""Small wrong versions of a module: each mutant changes one place of its syntax tree.

Left alone, because nothing can depend on them: annotations, docstrings, `__all__`, assertions (they
are checks themselves), what an error says (f-strings, and the text in a `raise`).

Source: the operators are those of Offutt et al., "An experimental determination of sufficient
mutant operators", ACM TOSEM 1996, with constants, returned values and deleted statements.
"""

import ast
import copy
from collections.abc import Callable, Iterator
from pathlib import Path
from types import CodeType
from typing import NamedTuple, final

__all__ = ["Mutant", "mutants_of"]

_COMPARED: dict[type[ast.cmpop], tuple[type[ast.cmpop], ...]] = {
    ast.Eq: (ast.NotEq,), ast.NotEq: (ast.Eq,), ast.Lt: (ast.LtE, ast.GtE),
    ast.LtE: (ast.Lt, ast.Gt), ast.Gt: (ast.GtE, ast.LtE), ast.GtE: (ast.Gt, ast.Lt),
    ast.Is: (ast.IsNot,), ast.IsNot: (ast.Is,), ast.In: (ast.NotIn,), ast.NotIn: (ast.In,),
}  # fmt: skip
_COMPUTED: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.FloorDiv, ast.FloorDiv: ast.Mult,
    ast.Mod: ast.Mult, ast.LShift: ast.RShift, ast.RShift: ast.LShift, ast.BitAnd: ast.BitOr,
    ast.BitOr: ast.BitAnd, ast.BitXor: ast.BitOr, ast.Pow: ast.Mult,
}  # fmt: skip


_Steps = tuple[tuple[str, int | None], ...]


@final
class Mutant(NamedTuple):
    """One mutant. `name` stays the same while its function does; the line number is for readers."""

    path: Path
    name: str
    function: str
    line: int
    within: bool  # In the body of a function, so that its code can be exchanged in place.
    steps: _Steps
    node: ast.AST

    def compile(self) -> CodeType:
        """Return the code of the module with the mistake in it."""
        tree = ast.parse(self.path.read_text(encoding="utf-8"))
        at: ast.AST = tree
        for field, index in self.steps[:-1]:
            value = getattr(at, field)
            at = value if index is None else value[index]
        field, index = self.steps[-1]
        if index is None:
            setattr(at, field, self.node)
        else:
            getattr(at, field)[index] = self.node
        return compile(ast.fix_missing_locations(tree), str(self.path), "exec")


class _Place(NamedTuple):
    """A node of the tree, how it is reached, and whose it is."""

    steps: _Steps
    node: ast.AST
    function: str
    within: bool


def mutants_of(path: Path, root: Path) -> list[Mutant]:
    """Return every mutant of one module, in the order of its text."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    seen: dict[str, int] = {}
    found = []
    for place in _places(tree, (), "", within=False):
        for operator, changed in _changes(place.node):
            name = f"{path.relative_to(root)} {place.function or 'module'}: {operator}: "
            name += f"{_text(place.node)} -> {_text(changed)}"
            seen[name] = count = seen.get(name, 0) + 1
            if count > 1:
                name += f" ({count})"
            line = getattr(place.node, "lineno", 0)
            found.append(
                Mutant(path, name, place.function, line, place.within, place.steps, changed)
            )
    return found


def _text(node: ast.AST) -> str:
    first, _, rest = ast.unparse(node).partition("\n")
    text = first + (" ..." if rest else "")
    return text if len(text) <= 70 else text[:67] + "..."


# -- where ---------------------------------------------------------------------------------------


def _places(node: ast.AST, steps: _Steps, function: str, *, within: bool) -> Iterator[_Place]:
    if isinstance(node, ast.FunctionDef | ast.ClassDef):
        function = f"{function}.{node.name}".lstrip(".")
    for field, value in ast.iter_fields(node):
        if field in ("annotation", "returns", "ctx"):
            continue
        inside = within or (isinstance(node, ast.FunctionDef) and field == "body")
        for index, child in _children(value):
            if not _is_mute(node, field, child):
                place = (*steps, (field, index))
                yield _Place(place, child, function, inside)
                yield from _places(child, place, function, within=inside)


def _children(value: object) -> Iterator[tuple[int | None, ast.AST]]:
    if isinstance(value, ast.AST):
        yield None, value
    elif isinstance(value, list):
        yield from ((n, item) for n, item in enumerate(value) if isinstance(item, ast.AST))


def _is_mute(parent: ast.AST, field: str, node: ast.AST) -> bool:
    """Tell what nothing can depend on."""
    if isinstance(node, ast.Assert | ast.Import | ast.ImportFrom | ast.JoinedStr):
        return True
    if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "__all__":
        return True
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        is_docstring = isinstance(parent, ast.Expr)
        return is_docstring or (
            isinstance(parent, ast.Call) and field == "args" and _raises(parent)
        )
    return False


def _raises(call: ast.Call) -> bool:
    return getattr(call.func, "id", "").endswith("Error")


# -- what ----------------------------------------------------------------------------------------


def _changes(node: ast.AST) -> Iterator[tuple[str, ast.AST]]:
    for operator, change in _OPERATORS.items():
        for changed in change(node):
            yield operator, ast.copy_location(changed, node)


def _comparison(node: ast.AST) -> Iterator[ast.AST]:
    if isinstance(node, ast.Compare):
        for n, operator in enumerate(node.ops):
            for other in _COMPARED[type(operator)]:
                changed = copy.deepcopy(node)
                changed.ops[n] = other()
                yield changed


def _arithmetic(node: ast.AST) -> Iterator[ast.AST]:
    if isinstance(node, ast.BinOp | ast.AugAssign) and type(node.op) in _COMPUTED:
        text = node.left if isinstance(node, ast.BinOp) else node.value
        if isinstance(text, ast.JoinedStr):
            return
        changed = copy.deepcopy(node)
        changed.op = _COMPUTED[type(node.op)]()
        yield changed
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub | ast.Invert):
        yield copy.deepcopy(node.operand)


def _boolean(node: ast.AST) -> Iterator[ast.AST]:
    if isinstance(node, ast.BoolOp):
        changed = copy.deepcopy(node)
        changed.op = ast.And() if isinstance(node.op, ast.Or) else ast.Or()
        yield changed
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
        yield copy.deepcopy(node.operand)
    if isinstance(node, ast.If | ast.While | ast.IfExp) and not isinstance(
        node.test, ast.Compare | ast.BoolOp | ast.UnaryOp | ast.Constant
    ):
        changed = copy.deepcopy(node)
        changed.test = ast.copy_location(ast.UnaryOp(ast.Not(), changed.test), changed.test)
        yield changed


def _constant(node: ast.AST) -> Iterator[ast.AST]:
    if not isinstance(node, ast.Constant):
        return
    match node.value:
        case bool():
            yield ast.Constant(not node.value)
        case int():
            yield ast.Constant(node.value + 1)
        case str():
            yield ast.Constant(node.value + "x")
        case bytes():
            yield ast.Constant(node.value + b"x")
        case _:
            return


def _return(node: ast.AST) -> Iterator[ast.AST]:
    value = getattr(node, "value", None)
    nothing = isinstance(value, ast.Constant) and value.value is None
    if isinstance(node, ast.Return) and node.value is not None and not nothing:
        yield ast.Return(ast.Constant(None))


def _deletion(node: ast.AST) -> Iterator[ast.AST]:
    is_text = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    if isinstance(node, ast.Expr | ast.Raise | ast.AugAssign | ast.Delete) and not is_text:
        yield ast.Pass()
    if isinstance(node, ast.Assign) and not isinstance(node.targets[0], ast.Name):
        yield ast.Pass()  # Without a plain name nothing would work at all.
    if isinstance(node, ast.Continue):
        yield ast.Break()
    if isinstance(node, ast.Break):
        yield ast.Continue()


_OPERATORS: dict[str, Callable[[ast.AST], Iterator[ast.AST]]] = {
    "comparison": _comparison,
    "arithmetic": _arithmetic,
    "boolean": _boolean,
    "constant": _constant,
    "return": _return,
    "deletion": _deletion,
}
