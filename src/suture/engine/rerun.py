"""
Statements that ran when their module was imported, run once more: their imports, and the names that they find.

An import may run a module.  One that ran before isn't tried again: what it gave is there, and one that failed fails as it did.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Container, Mapping
from typing import Any

__all__ = ["Behind", "absolute", "with_imports"]

_GIVEN = "_suture_given_"


class Behind(dict[str, Any]):
    """A namespace of ours with a module's behind it."""

    def __init__(self, live: Mapping[str, Any]) -> None:
        super().__init__()
        self._live = live

    def __missing__(self, key: str) -> Any:
        return self._live[key]


def with_imports(
    node: ast.stmt, space: Mapping[str, Any], known: Container[str], pending: Mapping[int, Mapping[str, Any]]
) -> tuple[ast.stmt, dict[str, Any]]:
    """
    A statement whose imports do what they would do, or did.

    Args:
        node: It; is written to.
        space: The live module's namespace.
        known: Imports, dumped, that have run: they give what they gave, or fail.
        pending: Names that modules get from this patch, by the id of the module.

    Returns:
        The statement, and values that it finds by names of ours.
    """
    imports = _Imports(space, known, pending)
    made = imports.visit(node)
    if isinstance(made, list):
        made = ast.copy_location(ast.If(ast.Constant(value=True), made, []), node)
    return ast.fix_missing_locations(made), imports.given


class _Imports(ast.NodeTransformer):
    def __init__(self, space: Mapping[str, Any], known: Container[str], pending: Mapping[int, Mapping[str, Any]]) -> None:
        self._space, self._known, self._pending = space, known, pending
        self.given: dict[str, Any] = {}

    def visit_FunctionDef(self, node: ast.AST) -> ast.AST:
        return node

    visit_AsyncFunctionDef = visit_Lambda = visit_ClassDef = visit_FunctionDef

    def visit_Import(self, node: ast.Import) -> Any:
        missing = [a.name for a in node.names if a.name not in sys.modules]
        return _raises(node, missing[0]) if missing and ast.dump(node) in self._known else node

    def visit_ImportFrom(self, node: ast.ImportFrom) -> Any:
        name = absolute(node, self._space)
        module = sys.modules.get(name)
        if ast.dump(node) in self._known:
            there = [module is not None and (hasattr(module, a.name) or f"{name}.{a.name}" in sys.modules) for a in node.names]
            if not all(there):
                return _raises(node, name)
        fresh = self._pending.get(id(module), {}) if module is not None else {}
        mine = [a for a in node.names if a.name in fresh]
        if not mine:
            return node
        out: list[ast.stmt] = []
        for alias in mine:
            key = f"{_GIVEN}{len(self.given)}"
            self.given[key] = fresh[alias.name]
            target = ast.Name(alias.asname or alias.name, ast.Store())
            out.append(ast.copy_location(ast.Assign([target], ast.Name(key, ast.Load())), node))
        rest = [a for a in node.names if a.name not in fresh]
        if rest:
            out.insert(0, ast.copy_location(ast.ImportFrom(node.module, rest, node.level), node))
        return out


def _raises(node: ast.stmt, name: str) -> ast.stmt:
    error = ast.Call(ast.Name("ModuleNotFoundError", ast.Load()), [ast.Constant(f"No module named {name!r}")], [])
    return ast.copy_location(ast.Raise(error), node)


def absolute(node: ast.ImportFrom, space: Mapping[str, Any]) -> str:
    """Name of the module that a ``from`` import means."""
    if not node.level:
        return node.module or ""
    package = space.get("__package__") or ""
    parts = package.split(".")[: len(package.split(".")) - node.level + 1]
    return ".".join([*parts, *([node.module] if node.module else [])])
