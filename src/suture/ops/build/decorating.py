"""
Decorators that make a wrapper and do nothing else: such a function can be decorated anew in a running process.

Known ones by name, and those of the tree itself whose own text shows it.
"""

from __future__ import annotations

import ast
from collections.abc import Sequence

from suture.engine.plan import TRANSPARENT
from suture.ops.build import nodes
from suture.ops.build.nodes import FunctionNode
from suture.ops.build.readers import Readers
from suture.ops.build.tree import Source

__all__ = ["only_wrap"]

_REGISTERING = frozenset(("register", "setter", "getter", "deleter", "overload", "abstractmethod"))
_WRAPS = frozenset(("wraps", "update_wrapper"))


def only_wrap(readers: Readers, source: Source, decorators: Sequence[ast.expr]) -> bool:
    """True if all of a definition's decorators only make wrappers, as far as the text says."""
    return all(_only_wraps(readers, source, d) for d in decorators)


def _only_wraps(readers: Readers, source: Source, node: ast.expr) -> bool:
    name = nodes.last_name(node)
    arguments = [*node.args, *(k.value for k in node.keywords)] if isinstance(node, ast.Call) else []
    if not all(map(source.is_quiet, arguments)):
        return False
    if name in TRANSPARENT:
        return name not in _REGISTERING
    found = _definition(readers, source, node.func if isinstance(node, ast.Call) else node)
    return found is not None and _makes(*found, layers=1 + isinstance(node, ast.Call))


def _definition(readers: Readers, source: Source, node: ast.expr) -> tuple[Source, FunctionNode] | None:
    """The function of the tree that a name or an attribute means, and its file."""
    home: Source | None = source
    name = node.id if isinstance(node, ast.Name) else ""
    if not any(isinstance(n, FunctionNode) and n.name == name for n in source.tree.body):
        module, _, name = readers.means(source, node).rpartition(".")
        home = readers.home(module) if module else None
    found = [n for n in home.tree.body if isinstance(n, FunctionNode) and n.name == name] if home is not None else []
    return (home, found[0]) if home is not None and len(found) == 1 and not found[0].decorator_list else None


def _makes(source: Source, function: FunctionNode, layers: int) -> bool:
    """True if a call of it, and of what it returns, so many layers deep, makes functions and does nothing else."""
    inner: dict[str, FunctionNode] = {}
    for node in function.body:
        if isinstance(node, FunctionNode):
            if not all(nodes.last_name(d) in _WRAPS for d in node.decorator_list):
                return False
            inner[node.name] = node
        elif isinstance(node, ast.Return):
            returned = inner.get(node.value.id) if isinstance(node.value, ast.Name) else None
            if returned is None:
                return False
            return layers == 1 or _makes(source, returned, layers - 1)
        elif not nodes.is_doc(node) and not (isinstance(node, ast.Assign | ast.AnnAssign) and source.is_quiet(node.value)):
            return False
    return False
