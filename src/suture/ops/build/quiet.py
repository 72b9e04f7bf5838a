"""
Functions of a module that make a value and do nothing else, as far as their text says: they may be called once more.

An estimate that errs to the loud side: what isn't known to be quiet isn't.
"""

from __future__ import annotations

import ast
from collections.abc import Container, Iterable

from suture.engine.values import is_quiet_call

__all__ = ["deleted_names", "quiet_functions"]

_FILLING = frozenset(
    ("add", "append", "appendleft", "extend", "insert", "pop", "popitem", "remove", "setdefault", "sort", "update")
)
_FRESH = (ast.Dict, ast.List, ast.Set, ast.DictComp, ast.ListComp, ast.SetComp, ast.Constant, ast.BinOp, ast.JoinedStr)
_FRESH_CALLS = frozenset(
    ("Counter", "OrderedDict", "bytearray", "copy", "defaultdict", "deque", "dict", "list", "set", "sorted", "split")
)
_LOUD = (ast.Global, ast.Await, ast.AsyncFor, ast.AsyncWith)
_Function = ast.FunctionDef | ast.Lambda


def quiet_functions(body: Iterable[ast.stmt], modules: Container[str]) -> frozenset[str]:
    """
    Names of the quiet ones among a body's plain functions; they may call each other.

    Args:
        body: Statements of a module.
        modules: Names that may be modules'.
    """
    functions = {n.name: n for n in body if isinstance(n, ast.FunctionDef) and not n.decorator_list}
    quiet = set(functions)
    while loud := {name for name in quiet if not _is_quiet(functions[name], quiet, modules)}:
        quiet -= loud
    return frozenset(quiet)


def deleted_names(body: Iterable[ast.stmt]) -> frozenset[str]:
    """Names that a module deletes once they have been used: not under a condition, and nothing behind it binds them again."""
    gone: set[str] = set()
    for node in body:
        if isinstance(node, ast.Delete):
            gone |= {n.id for t in node.targets for n in ast.walk(t) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Del)}
        elif gone:
            gone -= {name for inner in ast.walk(node) for name in _bound_by(inner)}
    return frozenset(gone)


def _bound_by(node: ast.AST) -> tuple[str, ...]:
    if isinstance(node, ast.Name):
        return () if isinstance(node.ctx, ast.Load) else (node.id,)
    if isinstance(node, ast.alias):
        return (node.asname or node.name.partition(".")[0],)
    return (node.name,) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) else ()


def _is_quiet(function: ast.FunctionDef, quiet: set[str], modules: Container[str]) -> bool:
    inner = {n.name for n in ast.walk(function) if isinstance(n, ast.FunctionDef)}
    own = _own(function)
    for node in ast.walk(function):
        if isinstance(node, _LOUD):
            return False
        if isinstance(node, ast.Attribute | ast.Subscript) and not isinstance(node.ctx, ast.Load) and _root(node) not in own:
            return False
        if isinstance(node, ast.Call) and not is_quiet_call(node, quiet | inner, modules):
            filling = isinstance(node.func, ast.Attribute) and node.func.attr in _FILLING and _root(node.func) in own
            if not filling:
                return False
    return True


def _own(function: ast.FunctionDef) -> set[str]:
    """Names that hold what the function itself has made, and nothing else."""
    made: dict[str, bool] = {}
    for node in ast.walk(function):
        targets = node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AnnAssign) else []
        for target in targets:
            if isinstance(target, ast.Name):
                value = node.value  # type: ignore[attr-defined]
                made[target.id] = made.get(target.id, True) and _is_fresh(value)
    others = {n.id for n in ast.walk(function) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)} - made.keys()
    arguments = {a.arg for n in ast.walk(function) if isinstance(n, _Function) for a in ast.walk(n.args) if isinstance(a, ast.arg)}
    return {name for name, fresh in made.items() if fresh} - others - arguments


def _is_fresh(value: ast.expr | None) -> bool:
    """True if an expression makes a new object."""
    if isinstance(value, ast.Call):
        name = getattr(value.func, "attr", "") or getattr(value.func, "id", "")
        return name in _FRESH_CALLS
    return isinstance(value, _FRESH)


def _root(node: ast.expr) -> str:
    while isinstance(node, ast.Attribute | ast.Subscript):
        node = node.value
    return node.id if isinstance(node, ast.Name) else ""
