"""
Conservation: carried changes + findings = the whole difference.

Writes the carried changes into the old module's statements and holds the result against the new module's.  What is left over
must be named by a finding, by its lines.  Run at the end of each build, on the text that the patch carries, so that a builder
that loses something says so itself.  Knows nothing of how diff.py matches statements.
"""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import groupby

from suture.engine.assemble import uncovered
from suture.engine.plan import is_remade
from suture.ops.build import nodes
from suture.ops.build.nodes import is_member
from suture.ops.build.tree import Source
from suture.patch import Change, Finding, Kind

__all__ = ["rebuilt", "unexplained"]


@dataclass(frozen=True)
class _Leaf:
    """
    A statement that isn't looked into, one name of an import, or the header of a class or block.

    Attributes:
        place: Enclosing classes and blocks.
        dump: What it is.
        line: Where it starts.
        name: Name of an import, or "".
        is_definition: True for functions and classes, whose order doesn't matter.
        opens: The place of what is inside it.
    """

    place: tuple[str, ...]
    dump: str
    line: int
    name: str = ""
    is_definition: bool = False
    opens: tuple[str, ...] = ()

    @property
    def what(self) -> tuple[tuple[str, ...], str]:
        return self.place, self.dump


def unexplained(old: Source, new: Source, changes: Iterable[Change], findings: Iterable[Finding]) -> list[str]:
    """
    Differences that neither a change nor a finding accounts for.

    Args:
        old: One version.
        new: The other.
        changes: Those of this module.
        findings: The same; evidence "old" and "new" are the lines of statements that a finding names, "alias" the one
            name of an import.

    Returns:
        Descriptions of what is lost, empty if all is accounted for.
    """
    left = list(_leaves(old, old.tree.body, (), partial(nodes.dump_of, old)))
    right = list(_leaves(new, new.tree.body, (), partial(nodes.dump_of, new)))
    lost: list[str] = []
    for change in sorted(changes, key=is_remade):  # a class last: its methods are changes of their own
        if is_remade(change):
            lost += _take_shape(old, left, change, change.before, change.scope.line_before)
            lost += _take_shape(new, right, change, change.after, change.scope.line_after)
            continue
        if change.decision is not None and change.decision.rule in ("class-default", "remove"):
            continue  # in neither source; named by a finding
        if change.decision is not None and change.decision.rule in ("fill-old", "again-old"):
            lost += _take(old, left, change, change.after, change.scope.line_before)
            continue
        lost += _take(old, left, change, change.before, change.scope.line_before)
        lost += _take(new, right, change, change.after, change.scope.line_after)
    findings = list(findings)
    docs = list(_docs(old.tree.body, ())), list(_docs(new.tree.body, ()))
    for finding in findings:
        for leaves, side in ((left, "old"), (right, "new"), (docs[0], "old"), (docs[1], "new")):
            _drop(leaves, finding.evidence.get(side, ""), finding.evidence.get("alias", ""))
    have, want = Counter(leaf.what for leaf in left), Counter(leaf.what for leaf in right)
    lost += [f"{old.path}:{leaf.line} {leaf.dump[:60]}" for leaf in left if have[leaf.what] > want[leaf.what]]
    lost += [f"{new.path}:{leaf.line} {leaf.dump[:60]}" for leaf in right if want[leaf.what] > have[leaf.what]]
    ordered = not any(f.code == "reordered" and "old" not in f.evidence for f in findings)  # of names inside one statement: no
    if not lost and ordered and _in_order(left) != _in_order(right):
        lost.append(f"{new.path}: the order of statements")
    if not any(f.code == "docs-only" for f in findings) and _differ(*docs):
        lost.append(f"{new.path}: a docstring")
    if old.future_flags != new.future_flags and not any(f.code == "future-changed" for f in findings):
        lost.append(f"{new.path}: from __future__ imports")
    return lost


def _take(source: Source, leaves: list[_Leaf], change: Change, text: str | None, line: int) -> list[str]:
    """Take the statements that a change carries out of one side; say what of its text isn't there."""
    if text is None:
        return []
    lines = text.count("\n")
    if change.kind is Kind.MEMBERS:
        return _take_members(source, leaves, text, range(line, line + lines))
    if change.kind is Kind.BASES:
        head = next((f for f in leaves if f.line == line and f.opens[-1:] == (change.target.name,)), None)
        if head is None:
            return [f"{source.path}:{line} isn't the class whose bases change: {change.target}"]
        leaves.remove(head)
        return []
    found = [leaf for leaf in leaves if line <= leaf.line < line + lines]
    missing = []
    for wanted in _leaves(source, parsed(text, change.scope.classes), ()):
        match = next((f for f in found if f.dump == wanted.dump and f.name == wanted.name), None)
        if match is None or tuple(p for p in match.place if p[0] != " ")[: len(change.scope.classes)] != change.scope.classes:
            missing.append(f"{source.path}:{line} isn't what the change of {change.target} carries: {wanted.dump[:60]}")
        else:
            found.remove(match)
            leaves.remove(match)
    return missing


def _take_shape(source: Source, leaves: list[_Leaf], change: Change, text: str | None, line: int) -> list[str]:
    """Take a class's own head and its fields, which a change that makes it anew carries; say what isn't there."""
    node = parsed(text or "", change.scope.classes)[0]
    assert isinstance(node, ast.ClassDef)
    body = [n for n in node.body if nodes.target_name(n) in change.again]
    wanted = list(_leaves(source, [node], change.scope.classes))[:1]
    wanted += _leaves(source, body, (*change.scope.classes, node.name))
    missing = []
    for leaf in wanted:
        match = next((f for f in leaves if f.what == leaf.what and line <= f.line), None)
        if match is None:
            missing.append(f"{source.path}:{line} isn't what the change of {change.target} carries: {leaf.dump[:60]}")
        else:
            leaves.remove(match)
    return missing


def _take_members(source: Source, leaves: list[_Leaf], text: str, lines: range) -> list[str]:
    """The same of the members of an enumeration: what else its class's text has is other changes' business."""
    missing = []
    (node,) = parsed(text)
    for dump in (nodes.dump(s) for s in getattr(node, "body", []) if is_member(s)):
        match = next((f for f in leaves if f.line in lines and f.dump == dump), None)
        if match is None:
            missing.append(f"{source.path}:{lines.start} isn't what the change of its members carries: {dump[:60]}")
        else:
            leaves.remove(match)
    return missing


def _drop(leaves: list[_Leaf], lines: str, name: str) -> None:
    """Take the statements that a finding names out of one side."""
    if lines:
        first, _, last = lines.partition("-")
        leaves[:] = [
            leaf for leaf in leaves if not int(first) <= leaf.line <= int(last) or (leaf.name and name and leaf.name != name)
        ]


def _in_order(leaves: Sequence[_Leaf]) -> dict[tuple[str, ...], list[str]]:
    """
    Statements of each body in order; not definitions.

    Those that stand there twice are left out, and so are bodies that share their place with another of the same name.  Names
    that are imported from one module one after the other have no order.
    """
    seen = Counter(leaf.what for leaf in leaves)
    shared = {place for place, count in Counter(leaf.opens for leaf in leaves if leaf.opens).items() if count > 1}
    out: dict[tuple[str, ...], list[str]] = {}
    for leaf in leaves:
        inside = {leaf.place[:n] for n in range(1, len(leaf.place) + 1)}
        if not leaf.is_definition and seen[leaf.what] == 1 and not inside & shared and " if TYPE_CHECKING" not in leaf.place:
            out.setdefault(leaf.place, []).append(leaf.dump)
    return {place: [d for _, run in groupby(dumps, _origin) for d in sorted(run)] for place, dumps in out.items()}


def _origin(dump: str) -> str:
    """What an imported name comes from, as far as its order counts; anything else as it is."""
    if dump.startswith("import ."):  # import a, b
        return "import"
    return dump.partition(" as ")[0].rpartition(".")[0] if dump.startswith("import ") else dump


def parsed(text: str, classes: tuple[str, ...] = ()) -> list[ast.stmt]:
    """Statements of a change's text, which may be indented."""
    if text[:1] in (" ", "\t"):
        return ast.parse(f"if 1:\n{text}").body[0].body  # type: ignore[attr-defined, no-any-return]
    return ast.parse(text).body


def _leaves(
    source: Source, statements: Sequence[ast.stmt], place: tuple[str, ...], dump: Callable[[ast.stmt], str] = nodes.dump
) -> Iterator[_Leaf]:
    for node in statements:
        line = nodes.first_line(node)
        if isinstance(node, ast.Import | ast.ImportFrom):
            yield from _names(source, node, place)
        elif isinstance(node, ast.ClassDef):
            parts = [*node.decorator_list, *node.bases, *node.keywords, *getattr(node, "type_params", [])]
            inner = (*place, node.name)
            yield _Leaf(place, f"class {node.name} {' '.join(map(nodes.dump, parts))}", line, is_definition=True, opens=inner)
            yield from _leaves(source, node.body, inner, dump)
        elif isinstance(node, nodes.BLOCKS):
            here = " if TYPE_CHECKING" if nodes.is_typing(node) else f" {nodes.header(node)}"
            yield _Leaf(place, here, line, opens=(*place, here))
            for at, (_, body) in enumerate(nodes.blocks(node)):
                yield from _leaves(source, body, (*place, here, f" {at}"), dump)
        elif not (nodes.is_doc(node) or isinstance(node, ast.Pass)):
            yield _Leaf(place, dump(node), line, is_definition=isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))


def _names(source: Source, node: ast.Import | ast.ImportFrom, place: tuple[str, ...]) -> Iterator[_Leaf]:
    base = source.absolute(node) if isinstance(node, ast.ImportFrom) else ""
    for alias in node.names:
        if base != "__future__":
            name = alias.asname or alias.name
            yield _Leaf(place, f"import {base}.{alias.name} as {name}", node.lineno, name)


def _docs(body: Sequence[ast.stmt], place: tuple[str, ...]) -> Iterator[_Leaf]:
    """Docstrings and bare constants; "" stands for the class itself, which has none perhaps."""
    for node in body:
        if nodes.is_doc(node):
            yield _Leaf(place, nodes.dump(node), node.lineno)
        elif isinstance(node, ast.ClassDef):
            yield _Leaf((*place, node.name), "", nodes.first_line(node))
            yield from _docs(node.body, (*place, node.name))


def _differ(left: Iterable[_Leaf], right: Iterable[_Leaf]) -> bool:
    """True if a body that both sides have says something else."""
    sides: list[dict[tuple[str, ...], list[str]]] = [{}, {}]
    for side, leaves in zip(sides, (left, right), strict=True):
        for leaf in leaves:
            side.setdefault(leaf.place, []).append(leaf.dump)
    return any(sorted(sides[0][place]) != sorted(sides[1][place]) for place in sides[0].keys() & sides[1].keys())


# ---------------------------------------------------------------- writing


def rebuilt(old: Source, new: Source, changes: Iterable[Change]) -> str:
    """
    The old module with the carried changes written into its text: what a person would have on disk after the patch.

    An added statement goes where the new module has it: behind the statement that comes before it there, if the old one has
    that too.
    """
    lines = list(old.lines)
    edits: list[tuple[int, int, int, str]] = []  # line, lines to take out, order, text
    for change in uncovered(list(changes)):
        after = change.after or ""
        if change.before is not None and change.kind is not Kind.IMPORT:  # one name of a line: the later import counts
            edits.append((change.scope.line_before - 1, change.before.count("\n"), 0, after))
        else:
            indent = " " * (_class_body(old.tree.body, change.scope.classes)[0].col_offset if change.scope.classes else 0)
            edits.append((_behind(old, new, change), 0, change.scope.line_after, indent + after.lstrip(" \t")))
    for at, count, _, text in sorted(edits, key=lambda e: e[:3], reverse=True):
        lines[at : at + count] = [text]
    return "".join(lines)


def _behind(old: Source, new: Source, change: Change) -> int:
    """Lines of the old module that an added statement stands behind."""
    mine, theirs = _class_body(old.tree.body, change.scope.classes), _class_body(new.tree.body, change.scope.classes)
    known = {(type(n), nodes.target_name(n) or nodes.dump(n)): n for n in mine}
    best = nodes.first_line(mine[0]) - 1 if not change.scope.classes and mine else len(old.lines)
    if change.scope.classes:
        best = nodes.first_line(mine[0]) - 1
    for node in theirs:
        if nodes.first_line(node) >= change.scope.line_after:
            break
        other = known.get((type(node), nodes.target_name(node) or nodes.dump(node)))
        if other is not None:
            best = max(best, other.end_lineno or other.lineno)
    return best


def _class_body(body: list[ast.stmt], classes: tuple[str, ...]) -> list[ast.stmt]:
    for name in classes:
        body = next(n.body for n in nodes.statements(body) if isinstance(n, ast.ClassDef) and n.name == name)
    return body
