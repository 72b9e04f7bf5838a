"""
Bases of a class that change: whether the class that exists can be given the new ones, as far as its text says, and what objects
that exist lack then.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence

from suture.engine.values import dotted
from suture.ops.build import nodes
from suture.ops.build.lacking import MAKERS, self_names
from suture.ops.build.nodes import FunctionNode
from suture.ops.build.tree import Source

__all__ = ["from_object", "lacked", "why_not"]

_NO_MAKER = frozenset(
    ("object", "ABC", "Generic", "Protocol", "Exception", "ValueError", "TypeError", "RuntimeError", "KeyError", "dict")
)
_TYPING = frozenset(("Generic", "Protocol"))


def why_not(old: ast.ClassDef, new: ast.ClassDef, kinds: Sequence[str]) -> str:
    """Why the bases of a class can't be changed; "" if they can, as far as its text says: the process has the last word."""
    if any(kinds):
        return "it was made from its fields or members, those of its bases too"
    for base in (*old.bases, *new.bases):
        if nodes.last_name(base) in _TYPING:
            return f"{ast.unparse(base)} matters when the class is made, and to type checkers"
        if not dotted(base):
            return f"{ast.unparse(base)} is worked out when the class is made"
    return ""


def from_object(node: ast.ClassDef) -> bool:
    """True for a class that names no other base: only 3.15 and later change those."""
    return not [b for b in node.bases if nodes.last_name(b) != "object"]


def lacked(
    sides: tuple[tuple[Source, ast.ClassDef], tuple[Source, ast.ClassDef]],
) -> Iterator[tuple[str, str, FunctionNode | None]]:
    """
    What objects that exist lack of their new bases.

    Args:
        sides: File and class on the old side, and on the new one.

    Yields:
        (attribute or "", base, method that reads it); no method for a base whose ``__init__`` isn't in the tree.
    """
    families, unknown = [], []
    for source, node in sides:
        trees = source.trees
        found, others = trees[-1].quiet.family(source, node) if trees else ([(source, node)], [])
        families.append(found)
        unknown.append(others)
    had = {n for _, node in families[0] for m in nodes.methods(node) for n in self_names(m, ast.Store)}
    had |= {n for _, node in (*families[0], *families[1]) for n in nodes.bound_names(node.body)}
    known = {(s.module, n.name) for s, n in families[0]}
    for base in unknown[1]:
        if base not in unknown[0] and base.rpartition(".")[2] not in _NO_MAKER:
            yield "", base, None
    fresh: dict[str, str] = {}
    for source, node in families[1]:
        if (source.module, node.name) not in known:
            makers = [m for m in nodes.methods(node) if m.name in MAKERS]
            fresh |= {n: node.name for m in makers for n in self_names(m, ast.Store) if n not in had}
    for _, node in families[1]:
        for method in (m for m in nodes.methods(node) if m.name not in MAKERS):
            read = sorted(fresh.keys() & set(self_names(method, ast.Load)))
            if read:
                yield read[0], fresh[read[0]], method
                return
