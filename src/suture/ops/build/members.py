"""
Enumerations: whether their members can be made once more on the side, which of them may get other values, who reads them whole.

Pure questions about syntax trees; classes.py asks what becomes of a class, ripple.py who has to be worked out again with it.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Collection, Container, Iterator, Sequence

from suture.engine.values import is_quiet
from suture.ops.build import nodes
from suture.ops.build.nodes import is_member
from suture.ops.build.quiet import QuietNames
from suture.ops.build.tree import Source

__all__ = ["differ", "gone", "names", "renumbered", "uses", "why_not"]

_MEMBER_MAKERS = frozenset(("auto", "member", "nonmember"))
_KNOWN_BASES = frozenset((*nodes.ENUMS, "int", "str", "float", "bytes", "tuple", "object", "ABC", "Generic"))
_PLAIN_DECORATORS = frozenset(("unique", "verify", "final", "total_ordering"))
_LOOK_AT_TYPES = frozenset(("isinstance", "issubclass", "cast", "type", "TypeVar", "NewType", "Optional", "Union", "id"))


def differ(old: ast.ClassDef, new: ast.ClassDef) -> bool:
    """True if the members' statements aren't the same, one after the other."""
    return _dumps(old) != _dumps(new)


def _dumps(node: ast.ClassDef) -> list[str]:
    return [nodes.dump(s) for s in node.body if is_member(s)]


def gone(old: ast.ClassDef, new: ast.ClassDef) -> Iterator[tuple[ast.stmt, str]]:
    """Statements of members that the new class hasn't got, and their names."""
    names = {n for s in new.body if is_member(s) for n in nodes.target_names(s)}
    for node in old.body:
        left = [n for n in nodes.target_names(node) if n not in names and not n.startswith("_")] if is_member(node) else []
        if left:
            yield node, ", ".join(left)


class _Makers(Container[str]):
    """What may be called to make a member."""

    def __init__(self, source: Source) -> None:
        self._quiet = QuietNames(source, source.trees)

    def __contains__(self, name: object) -> bool:
        return str(name).rpartition(".")[2] in _MEMBER_MAKERS or name in self._quiet


def why_not(old: Source, new: Source, before: ast.ClassDef, after: ast.ClassDef) -> str:
    """Why the members of a class can't be made on the side, as far as its text says; "" if they can."""
    for source, node in ((old, before), (new, after)):
        others = sorted(set(nodes.decorators(node)) - _PLAIN_DECORATORS)
        if others:
            return f"@{others[0]} would run once more"
        for statement in node.body:
            value = nodes.value_of(statement)
            if not is_member(statement) or value is None:
                continue
            if not nodes.target_names(statement):
                return f"its members are assigned in a way that isn't known: {nodes.head(statement)}"
            named = {n.id for n in ast.walk(value) if isinstance(n, ast.Name)}
            if named & source.deleted:
                return f"its module deletes {min(named & source.deleted)} after its use"
            if not is_quiet(value, _Makers(source), source.imported):
                return f"a member is made by calls that may do more: {nodes.head(statement)}"
        for tree in source.trees:
            loud = next((name for quiet, name in tree.quiet.makers(source, node, _KNOWN_BASES) if not quiet), "")
            if loud:
                return f"{loud} may do more than to make a value, and would run once more"
    was, now = (
        [tree.quiet.inherited_makers(source, node) for tree in source.trees] for source, node in ((old, before), (new, after))
    )
    if was != now:
        return "what makes its members in a base of it changes in the same patch, and they would be made with what is live"
    return ""


# ---------------------------------------------------------------- values


def names(node: ast.ClassDef) -> frozenset[str]:
    """Names of its members, as its text has them."""
    return frozenset(name for name, _ in _by_name(node))


def renumbered(old: ast.ClassDef, new: ast.ClassDef, lineage: nodes.Lineage) -> frozenset[str]:
    """Members of both sides that may have another value on the new one."""
    before, after = (dict(_by_name(n)) for n in (old, new))
    changed = {n for n in before.keys() & after.keys() if before[n] != after[n]}
    if any(_named_after(c) for c in (new, *lineage.ancestors(new))):
        return frozenset(changed)
    ahead: list[str] = []
    places: list[dict[str, list[str]]] = []
    for side in (before, after):
        ahead, seen = [], {}
        for name, dump in side.items():
            seen[name] = list(ahead)
            ahead.append(dump)
        places.append(seen)
    counted = {n for n in before.keys() & after.keys() if "auto" in after[n] and places[0][n] != places[1][n]}
    return frozenset(changed | counted)


def _by_name(node: ast.ClassDef) -> Iterator[tuple[str, str]]:
    for statement in node.body:
        value = nodes.value_of(statement)
        if is_member(statement) and value is not None:
            yield from ((name, nodes.dump(value)) for name in nodes.target_names(statement))


def _named_after(node: ast.ClassDef) -> bool:
    """True if what ``auto()`` gives is made of the member's name alone."""
    if "StrEnum" in map(nodes.last_name, node.bases):
        return True
    for method in nodes.methods(node):
        if method.name == "_generate_next_value_":
            read = {n.id for n in ast.walk(method) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Load)}
            return not read & {a.arg for a in [*method.args.posonlyargs, *method.args.args][1:]} and not method.args.vararg
    return False


# ---------------------------------------------------------------- readers


def uses(part: ast.AST, is_it: Callable[[ast.AST], bool], members: Container[str], other_values: Collection[str]) -> bool:
    """
    True if what runs with *part* makes something of an enumeration that may be another with other members.

    Args:
        part: A statement or an expression.
        is_it: True for a node that means the class.
        members: Names of its members.
        other_values: Members whose value may change.

    Who only holds the class or a member, as a value, a key or a default, holds what is the same object afterwards.
    """
    todo: list[tuple[ast.AST, Sequence[ast.AST]]] = [(part, ())]
    running = set(map(id, nodes.running([part])))
    while todo:
        node, above = todo.pop()
        if id(node) in running and is_it(node) and _matters(node, above, members, other_values):
            return True
        todo += ((child, (node, *above[:2])) for child in ast.iter_child_nodes(node))
    return False


def _matters(node: ast.AST, above: Sequence[ast.AST], members: Container[str], other_values: Collection[str]) -> bool:
    parent = above[0] if above else None
    if isinstance(parent, ast.Attribute):
        if parent.attr not in members:  # a method, which may go through all of them
            return not nodes.is_dunder(parent.attr) or parent.attr == "__members__"
        return parent.attr in other_values and not _only_holds(parent, above[1] if len(above) > 1 else None)
    if (isinstance(parent, ast.Subscript) and parent.value is node) or (isinstance(parent, ast.Call) and parent.func is node):
        return bool(other_values)  # looked up by name or value
    return not _only_holds(node, parent)


def _only_holds(node: ast.AST, parent: ast.AST | None) -> bool:
    """True if the expression around it keeps the object, or asks for its type."""
    if parent is None or isinstance(parent, ast.stmt):
        return not isinstance(parent, ast.For | ast.AsyncFor | ast.Assert | ast.AugAssign)
    if isinstance(parent, ast.Call):
        return nodes.last_name(parent.func) in _LOOK_AT_TYPES
    if isinstance(parent, ast.Compare):
        return all(isinstance(op, ast.Is | ast.IsNot | ast.Eq | ast.NotEq) for op in parent.ops) or parent.left is node
    holders = ast.Dict | ast.List | ast.Tuple | ast.Set | ast.Subscript | ast.IfExp | ast.arguments | ast.Lambda | ast.BoolOp
    return isinstance(parent, holders)
