"""
What a source text makes of each name: a function, a class, a literal, or what only running it would tell.

Pure: looks at text and syntax trees.  Says as well whether a live value is what a literal makes, where a program may have put
more into a table: no ``__eq__``, ``__hash__`` or ``__repr__`` but those of plain values is called.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Sequence
from typing import Any

from suture.engine.facts import PLAIN, literal_value, wrap
from suture.engine.pieces import Piece
from suture.engine.swap import ABSENT
from suture.errors import Refused
from suture.record import made_by, record

__all__ = ["Bound", "CantTell", "Names", "holds", "last_bound"]

_MOST_ITEMS = 20_000  # of a live table that are looked at
_MOST_TEXT = 16 * 1024  # of a statement: a table of 75 KB is parsed in one hold of 30 ms
_ASSIGNS = re.compile(r"\s*(\w+)\s*(?::[^=]*)?=")
_FUTURES = {"annotations": 0x1000000, "barry_as_FLUFL": 0x400000}
_TYPE_ALIAS: Any = getattr(ast, "TypeAlias", ())  # 3.12+
_DEFINITION = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)


class CantTell(Exception):
    """A live value is too big, or changes while it is looked at."""


@record(frozen=True, slots=True)
class Bound:
    """
    One statement's doing to one name.

    Attributes:
        kind: "def", "class", "value" (a literal), "lambda" (a statement that makes functions), "import", "computed", "gone"
            (deleted) or "touched" (a table that a later statement writes to).
        piece: Where it stands.
        value: Of a literal.
        node: Head of a class.
    """

    kind: str
    piece: Piece
    value: Any = ABSENT
    node: ast.ClassDef | None = None


@record(slots=True)
class Names:
    """
    All that a text binds, by the classes that enclose it and by name, in the order of the text.

    Attributes:
        scopes: By names of the enclosing classes.
        imports: Names that the module's top level imports: they decide how a call through them is compiled.
        flags: ``__future__`` flags.
        wholes: Generic classes, by all the names of the class.
        star: The module has an ``import *``: any name may be another module's.
        globals: Functions that declare a name of the module to be ``global``, by name: they may have bound it, or not.
    """

    scopes: dict[tuple[str, ...], dict[str, list[Bound]]] = made_by(default_factory=dict)
    imports: set[str] = made_by(default_factory=set)
    flags: int = 0
    wholes: dict[tuple[str, ...], Piece] = made_by(default_factory=dict)
    star: bool = False
    globals: dict[str, list[Bound]] = made_by(default_factory=dict)

    def take(self, piece: Piece, path: str) -> None:
        """
        Read one piece.

        Raises:
            Refused: syntax-error.
        """
        if piece.kind == "def":
            self._bind(piece, piece.name, bound := Bound("def", piece))
            for name in piece.names:
                self.globals.setdefault(name, []).append(bound)
        elif piece.kind == "whole":
            self.wholes[(*piece.classes, piece.name)] = piece
        elif piece.kind == "names":
            for name in piece.names:
                self._bind(piece, name, Bound("computed", piece))
        elif piece.kind == "class":
            (node,) = self._parsed(piece, path)
            assert isinstance(node, ast.ClassDef)
            self._bind(piece, piece.name, Bound("class", piece, node=node))
            inner = Piece("plain", "", piece.text, piece.line, (*piece.classes, piece.name), typing=piece.typing)
            for statement in node.body:
                self._statement(statement, inner)
        elif len(piece.text) > _MOST_TEXT:
            if found := _ASSIGNS.match(piece.text):
                self._bind(piece, found[1], Bound("computed", piece))
        elif _says_something(piece.text):
            if "super" in piece.text and not piece.classes:
                self.imports.add("super")  # 3.12+: a module that mentions it gets slower code for each `super()`
            for statement in self._parsed(piece, path):
                self._statement(statement, piece)

    def of(self, classes: tuple[str, ...]) -> dict[str, list[Bound]]:
        """Names of a class (of the module for ``()``), without what stands under ``TYPE_CHECKING``."""
        found = {n: [b for b in bounds if not b.piece.typing] for n, bounds in self.scopes.get(classes, {}).items()}
        return {n: bounds for n, bounds in found.items() if bounds}

    def _parsed(self, piece: Piece, path: str) -> list[ast.stmt]:
        wrapped, source = wrap(piece.text, ())
        try:
            tree: ast.Module = compile(source, path, "exec", ast.PyCF_ONLY_AST, dont_inherit=True)  # type: ignore[assignment]
        except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
            line = piece.line - 1 - wrapped + (getattr(error, "lineno", None) or 1)
            words = str(getattr(error, "msg", "") or error or type(error).__name__)
            raise Refused("syntax-error", words, target=f"{path}:{line}", hint="mend the source, or ask with another") from error
        body: list[ast.stmt] = tree.body
        return body[0].body if wrapped and isinstance(body[0], ast.If) else body

    def _bind(self, piece: Piece, name: str, bound: Bound) -> None:
        classes = piece.classes
        first, dot, attribute = name.partition(".")
        if dot and any(b.kind == "class" for b in self.scopes.get(classes, {}).get(first, ())):
            classes, name = (*classes, first), attribute  # an attribute of a class that stands above
        self.scopes.setdefault(classes, {}).setdefault(name, []).append(bound)

    # ------------------------------------------------------------ statements

    def _statement(self, node: ast.stmt, piece: Piece) -> None:
        if isinstance(node, ast.Import | ast.ImportFrom):
            self._import(node, piece)
        elif isinstance(node, ast.Assign):
            for target in node.targets:
                self._assign(target, node.value, piece)
        elif isinstance(node, ast.AnnAssign):
            if node.value is not None:
                self._assign(node.target, node.value, piece)
        elif isinstance(node, ast.AugAssign):
            self._target(node.target, piece)
        elif isinstance(node, ast.Delete):
            for target in node.targets:
                self._target(target, piece, "gone")
        elif _TYPE_ALIAS and isinstance(node, _TYPE_ALIAS):
            self._target(node.name, piece)
        elif isinstance(node, ast.Expr) and isinstance(node.value, ast.Call) and isinstance(node.value.func, ast.Attribute):
            if isinstance(node.value.func.value, ast.Name):
                self._bind(piece, node.value.func.value.id, Bound("touched", piece))
        if ":=" in piece.text:
            for inner in ast.walk(node):
                if isinstance(inner, ast.NamedExpr):
                    self._bind(piece, inner.target.id, Bound("computed", piece))

    def _import(self, node: ast.Import | ast.ImportFrom, piece: Piece) -> None:
        self.star |= any(a.name == "*" for a in node.names)
        names = [a.asname or a.name.partition(".")[0] for a in node.names if a.name != "*"]
        if isinstance(node, ast.ImportFrom) and node.module == "__future__" and not node.level:
            for alias in node.names:
                self.flags |= _FUTURES.get(alias.name, 0)
        if not piece.classes:
            self.imports.update(names)
        for name in names:
            self._bind(piece, name, Bound("import", piece))

    def _assign(self, target: ast.expr, value: ast.expr, piece: Piece) -> None:
        if isinstance(target, ast.Tuple | ast.List):
            values = value.elts if isinstance(value, ast.Tuple | ast.List) else []
            if len(values) == len(target.elts) and not any(isinstance(e, ast.Starred) for e in [*values, *target.elts]):
                for one, other in zip(target.elts, values, strict=True):
                    self._assign(one, other, piece)
            else:
                self._target(target, piece)
            return
        name = _name_of(target)
        if not name:
            self._target(target, piece)
            return
        try:
            self._bind(piece, name, Bound("value", piece, literal_value(value)))
        except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
            makes = any(isinstance(n, ast.Lambda) for n in ast.walk(value)) if "lambda" in piece.text else False
            self._bind(piece, name, Bound("lambda" if makes else "computed", piece))

    def _target(self, target: ast.expr, piece: Piece, kind: str = "computed") -> None:
        """What is written to without a value that the source spells out."""
        if isinstance(target, ast.Subscript):
            if isinstance(target.value, ast.Name):
                self._bind(piece, target.value.id, Bound("touched", piece))
        elif isinstance(target, ast.Tuple | ast.List):
            for one in target.elts:
                self._target(one, piece, kind)
        elif isinstance(target, ast.Starred):
            self._target(target.value, piece, kind)
        elif name := _name_of(target):
            self._bind(piece, name, Bound(kind, piece))


def _name_of(target: ast.expr) -> str:
    """``x``, ``f.attr``, or ""."""
    if isinstance(target, ast.Attribute) and isinstance(target.value, ast.Name):
        return f"{target.value.id}.{target.attr}"
    return target.id if isinstance(target, ast.Name) else ""


def _says_something(text: str) -> bool:
    """False for a docstring, and for calls that bind nothing."""
    return "=" in text or "(" in text or "import" in text or "del" in text or text.lstrip().startswith("type ")


def last_bound(bounds: Sequence[Bound]) -> tuple[list[Bound], bool]:
    """The statements of which one has bound the name, and whether it need not be there at all."""
    sure = [at for at, b in enumerate(bounds) if not b.piece.maybe and b.kind != "touched"]
    possible = list(bounds[sure[-1] :]) if sure else list(bounds)
    return possible, not sure or any(b.kind == "gone" for b in possible)


# ---------------------------------------------------------------- values


def holds(live: Any, want: Any) -> str:
    """
    Say whether a live value is what a literal made, perhaps with more put into its tables since.

    Returns:
        "same", "grown", or "" if it is something else.

    Raises:
        CantTell: A table is too big, or a number too long to be written.
    """
    if type(live) is not type(want):
        return ""
    if type(want) in (list, dict, set) and len(live) > _MOST_ITEMS:
        raise CantTell
    if type(want) is list or type(want) is tuple:
        items = list(live)
        parts = [holds(a, b) for a, b in zip(items, want, strict=False)]
        fits = "" not in parts and (len(items) == len(want) or (type(want) is list and len(items) > len(want)))
        return "" if not fits else "grown" if "grown" in parts or len(items) > len(want) else "same"
    if type(want) is dict:
        plain = {(type(k), k): v for k, v in list(live.items()) if type(k) in PLAIN}
        if not all(type(k) in PLAIN for k in want):
            raise CantTell
        parts = [holds(plain.get((type(k), k), ABSENT), v) for k, v in want.items()]
        return "" if "" in parts else "grown" if "grown" in parts or len(live) > len(want) else "same"
    if type(want) is set or type(want) is frozenset:
        if not all(type(x) in PLAIN for x in want):
            raise CantTell
        missing = {(type(x), x) for x in want} - {(type(x), x) for x in list(live) if type(x) in PLAIN}
        more = len(live) > len(want)
        return "" if missing or (more and type(want) is frozenset) else "grown" if more else "same"
    try:
        return "same" if type(want) in PLAIN and repr(live) == repr(want) else ""
    except ValueError as error:  # an int of more digits than may be written (3.11+)
        raise CantTell from error
