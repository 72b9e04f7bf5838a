"""
Conservation: carried changes + findings = the whole difference.

Writes the carried changes into the old module's statements and holds the result against the new module's.  What is left over
must be named by a finding.  Run at the end of each build, on the text that the patch carries, so that a builder that loses
something says so itself.
"""

from __future__ import annotations

import ast
import copy
from collections import Counter
from collections.abc import Iterable, Sequence

from suture.engine.facts import compile_text
from suture.ops.build.diff import single_imports
from suture.ops.build.tree import Source
from suture.patch import Change, Finding

__all__ = ["unexplained"]

Entry = tuple[tuple[str, ...], str, str]  # enclosing classes, name, dump


def unexplained(old: Source, new: Source, changes: Iterable[Change], findings: Iterable[Finding]) -> list[str]:
    """
    Differences that neither a change nor a finding accounts for.

    Returns:
        Descriptions of what is lost, empty if all is accounted for.
    """
    have, want = Counter(_entries(old.tree.body, ())), Counter(_entries(new.tree.body, ()))
    for change in changes:
        for text, sign in ((change.before, -1), (change.after, 1)):
            if text is None:
                continue
            node = compile_text(text, classes=change.scope.classes).node
            for entry in _entries([node], change.scope.classes):
                have[entry] += sign
    left = {e: have[e] - want[e] for e in have.keys() | want.keys() if have[e] != want[e]}
    named = {f.target.partition(":")[2].split("[")[0].split("#")[0] for f in findings}
    named |= {n.rpartition(".")[2] for n in named if "." in n} | {n.partition(".")[0] for n in named}
    said = any(not f.target.partition(":")[2] for f in findings)
    lost = []
    for classes, name, dump in left:
        known = ".".join([*classes, name]) in named or name in named or any(c in named for c in classes)
        if not known and not (said and not name):
            lost.append(f"{'.'.join([*classes, name]) or 'a statement'}: {dump[:60]}")
    return lost


def _entries(body: Sequence[ast.stmt], classes: tuple[str, ...]) -> list[Entry]:
    """Leaf statements of a body: classes and transparent blocks are opened, their headers are entries of their own."""
    out: list[Entry] = []
    for node in body:
        if isinstance(node, ast.ClassDef):
            out.append((classes, node.name, ast.dump(_header(node))))
            out += _entries(node.body, (*classes, node.name))
        elif isinstance(node, ast.If | ast.Try | ast.With):
            out.append((classes, "", ast.dump(_header(node))))
            for block in _block_lists(node):
                out += _entries(block, classes)
        elif isinstance(node, ast.Import | ast.ImportFrom):
            out += [(classes, name, ast.dump(single)) for name, single in single_imports(node)]
        else:
            out.append((classes, _name(node), ast.dump(node)))
    return out


def _block_lists(node: ast.stmt) -> list[list[ast.stmt]]:
    found = [getattr(node, name, []) for name in ("body", "orelse", "finalbody")]
    return found + [h.body for h in getattr(node, "handlers", [])]


def _header(node: ast.stmt) -> ast.stmt:
    made = copy.copy(node)
    for name in ("body", "orelse", "finalbody"):
        if hasattr(made, name):
            setattr(made, name, [])
    if hasattr(made, "handlers"):
        made.handlers = [ast.ExceptHandler(h.type, h.name, []) for h in made.handlers]
    return made


def _name(node: ast.stmt) -> str:
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
        return node.name
    targets = node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AnnAssign) else []
    if len(targets) == 1:
        if isinstance(targets[0], ast.Name):
            return targets[0].id
        if isinstance(targets[0], ast.Attribute) and isinstance(targets[0].value, ast.Name):
            return f"{targets[0].value.id}.{targets[0].attr}"
    return ""
