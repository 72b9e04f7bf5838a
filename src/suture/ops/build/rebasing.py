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

__all__ = ["Side", "from_object", "lacked", "told", "why_not"]

_NO_MAKER = frozenset(
    ("object", "ABC", "Generic", "Protocol", "Exception", "ValueError", "TypeError", "RuntimeError", "KeyError", "dict")
)
_TYPING = frozenset(("Generic", "Protocol"))
Side = tuple[Source, ast.ClassDef]  # a file, and a class in it


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


def told(sides: tuple[Side, Side]) -> str:
    """Which base of either side, as far as the tree has them, does something when a class comes from it; "" for none."""
    for side in sides:
        for _, base in _family(*side)[0][1:]:
            if "__init_subclass__" in nodes.bound_names(base.body):
                return f"{base.name} has an __init_subclass__: what that does when a class is made isn't done again"
    return ""


def _family(source: Source, node: ast.ClassDef) -> tuple[list[Side], list[str]]:
    return source.trees[-1].quiet.family(source, node) if source.trees else ([(source, node)], [])


def lacked(sides: tuple[Side, Side]) -> Iterator[tuple[str, str, FunctionNode | None]]:
    """
    What objects that exist lack of their new bases.

    Args:
        sides: File and class on the old side, and on the new one.

    Yields:
        (attribute or "", base, method that reads it); no method for a base whose ``__init__`` isn't in the tree.
    """
    families, unknown = zip(*(_family(*side) for side in sides), strict=True)
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
