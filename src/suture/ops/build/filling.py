"""
Statements that put something into a table: a part of what the table is, and worked out with it.
"""

from __future__ import annotations

import ast
from collections.abc import Sequence

from suture.engine.values import is_table
from suture.ops.build import nodes
from suture.ops.build.tree import Source

__all__ = ["can_be_filled", "parts_of"]


def can_be_filled(source: Source, body: Sequence[ast.stmt], name: str) -> bool:
    """True if a body makes a table once, by itself, and all that fills it stands in the body too and only makes values."""
    made: list[ast.stmt] = []
    for node in nodes.statements(body):
        if nodes.filled(node) == name:
            if not any(node is n for n in body) or not all(map(source.is_quiet, parts_of(node))):
                return False
        elif name in nodes.binds(node):
            made.append(node)
    if len(made) != 1 or not any(made[0] is n for n in body) or nodes.target_names(made[0]) != (name,):
        return False
    value = nodes.value_of(made[0])
    return is_table(value) and source.is_quiet(value)


def parts_of(node: ast.stmt) -> list[ast.expr]:
    """Expressions of a statement that fills a table."""
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Call):
        return [*node.value.args, *(k.value for k in node.value.keywords)]
    targets = [t.slice for t in getattr(node, "targets", []) if isinstance(t, ast.Subscript)]
    value = getattr(node, "value", None)
    return [*targets, *([value] if isinstance(value, ast.expr) else [])]
