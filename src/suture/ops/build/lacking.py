"""
What objects that exist lack: attributes that only a new ``__init__`` sets, and that a changed method reads.
"""

from __future__ import annotations

import ast
import copy
from collections.abc import Iterable, Iterator, Mapping

from suture.ops.build import nodes
from suture.ops.build.nodes import FunctionNode

__all__ = ["MAKERS", "first_value", "lacking", "self_names"]

MAKERS = frozenset(("__init__", "__new__", "__post_init__", "__attrs_post_init__", "__setstate__"))


def lacking(
    old: ast.ClassDef, new: ast.ClassDef, changed: Iterable[FunctionNode], lineage: nodes.Lineage
) -> Iterator[tuple[FunctionNode, str, ast.expr | None]]:
    """
    Where a changed method would meet an object that exists, and lacks what it reads.

    Args:
        old: The class.
        new: The same on the new side.
        changed: Methods that are new or other than they were.
        lineage: Of the new module.

    Yields:
        (method, attribute, what a new object is given for it); None for the last if only its maker knows that: then one a
        method, the first of several.
    """
    had = set(nodes.bound_names(old.body))
    for ancestor in (old, *lineage.ancestors(new)):
        had |= {n for m in nodes.methods(ancestor) for n in self_names(m, ast.Store)}
        had |= nodes.bound_names(ancestor.body) if ancestor is not old else set()
    makers = [m for m in nodes.methods(new) if m.name in MAKERS]
    fresh = {n for m in makers for n in self_names(m, ast.Store)} - had - nodes.bound_names(new.body)
    given: set[str] = set()
    for method in changed if fresh else ():
        if method.name in MAKERS:
            continue
        missing = []
        for name in sorted((fresh - given) & set(self_names(method, ast.Load)) - set(_asked_for(method))):
            made = first_value(makers, name, frozenset(had))
            if made is None:
                missing.append(name)
            else:
                given.add(name)
                yield method, name, made
        if missing:
            yield method, missing[0], None


def self_names(method: FunctionNode, context: type[ast.expr_context]) -> Iterator[str]:
    """Attributes of the first parameter that a method stores or reads."""
    args = method.args.posonlyargs + method.args.args
    if not args:
        return
    for node in ast.walk(method):
        if isinstance(node, ast.Attribute) and isinstance(node.ctx, context):
            if isinstance(node.value, ast.Name) and node.value.id == args[0].arg:
                yield node.attr


def first_value(makers: Iterable[FunctionNode], name: str, had: frozenset[str]) -> ast.expr | None:
    """
    What new objects are given as ``self.name`` first, in words that objects which exist can say too.

    Returns:
        The expression, with a parameter's default in its place; None if it needs what only a new object's maker knows.
    """
    for maker in makers:
        args = [*maker.args.posonlyargs, *maker.args.args]
        if not args:
            continue
        defaults = dict(zip((a.arg for a in args[len(args) - len(maker.args.defaults) :]), maker.args.defaults, strict=True))
        defaults |= {a.arg: d for a, d in zip(maker.args.kwonlyargs, maker.args.kw_defaults, strict=True) if d is not None}
        local = {a.arg for a in [*args[1:], *maker.args.kwonlyargs, *filter(None, (maker.args.vararg, maker.args.kwarg))]}
        local |= {n.id for n in ast.walk(maker) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)}
        for node in nodes.statements(maker.body):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AnnAssign) else []
            value = nodes.value_of(node)
            if value is None or len(targets) != 1 or not _is_own(targets[0], args[0].arg) or targets[0].attr != name:  # type: ignore[attr-defined]
                continue
            made = _Defaults(defaults).visit(copy.deepcopy(value))
            for part in ast.walk(made):
                if isinstance(part, ast.Name) and part.id in local and part.id not in _comprehended(made):
                    return None
                if _is_own(part, args[0].arg) and part.attr not in had:  # type: ignore[attr-defined]
                    return None
                if isinstance(part, ast.Await | ast.Yield | ast.YieldFrom | ast.NamedExpr):
                    return None
            return made  # type: ignore[no-any-return]
    return None


def _is_own(node: ast.AST, me: str) -> bool:
    return isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == me


def _comprehended(node: ast.AST) -> set[str]:
    """Names that comprehensions and lambdas inside bind."""
    targets = {
        n.id for c in ast.walk(node) if isinstance(c, ast.comprehension) for n in ast.walk(c.target) if isinstance(n, ast.Name)
    }
    return targets | {a.arg for x in ast.walk(node) if isinstance(x, ast.Lambda) for a in x.args.args}


class _Defaults(ast.NodeTransformer):
    """Puts the defaults of parameters in their places."""

    def __init__(self, defaults: Mapping[str, ast.expr]) -> None:
        self._defaults = defaults

    def visit_Name(self, node: ast.Name) -> ast.AST:
        """One of them, or another name."""
        return copy.deepcopy(self._defaults[node.id]) if node.id in self._defaults else node


def _asked_for(method: FunctionNode) -> Iterator[str]:
    """Attribute names that a method asks for before it reads them (``hasattr``)."""
    for node in ast.walk(method):
        if isinstance(node, ast.Call) and nodes.last_name(node.func) == "hasattr" and len(node.args) == 2:
            if isinstance(node.args[1], ast.Constant) and isinstance(node.args[1].value, str):
                yield node.args[1].value
