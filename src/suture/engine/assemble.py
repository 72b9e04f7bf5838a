"""
The text of a module with a patch's changes written in: what its file would say after the fix.

Pure: text in, text out; nothing is run.  Changed definitions stand at known lines and are exchanged there, if the old text says
exactly what the patch has as *before*.  Where an addition goes is known by its line in the new file: if the whole comes out as
the new file (by its hash), it's right.  If it doesn't (comments moved, a part left out), additions that run nothing of the program
go as early as what they name is there, so that all that runs later finds them; others are refused, not guessed.
"""

from __future__ import annotations

import ast
import builtins
from collections.abc import Iterator, Sequence

from suture.engine.facts import hash_of, lines_of
from suture.patch import Change, Kind

__all__ = ["CannotAssemble", "assemble", "uncovered"]

_GAPS = (2, 1, 0, 3)  # blank lines that may follow an addition
_MAX_TRIES = 200
_DESCRIPTORS = frozenset(("classmethod", "property", "staticmethod"))
_RUNS = ast.Call | ast.Await | ast.Yield | ast.YieldFrom | ast.Subscript | ast.BinOp | ast.Attribute | ast.Starred | ast.Compare


class CannotAssemble(Exception):
    """Why it can't be said where a change goes; in words."""


def uncovered(changes: Sequence[Change]) -> list[Change]:
    """All but what is inside a class whose whole text another change has."""
    whole = {(c.target.path, (*c.scope.classes, c.target.name)) for c in changes if c.kind in (Kind.MEMBERS, Kind.BASES)}
    return [
        c for c in changes if not any((c.target.path, c.scope.classes[:n]) in whole for n in range(1, len(c.scope.classes) + 1))
    ]


def assemble(text: str, changes: Sequence[Change], after: str = "") -> tuple[str, bool]:
    """
    Write changes into the text that they were built from.

    Args:
        text: The old file's text, with LF.
        changes: Those of this module.
        after: SHA-256 of the new file's text, "" if it isn't known.

    Returns:
        The text, and True if it's the new file's own.

    Raises:
        CannotAssemble: The old text isn't what the changes start from, or an addition's place can't be told.
    """
    # What objects that exist find in their class is in neither text, and there are none yet; what goes is looked up from then on.
    changes = [c for c in uncovered(changes) if c.decision is None or c.decision.rule not in ("class-default", "remove")]
    if any(c.decision is not None and c.decision.rule in ("fill-old", "fill-new") for c in changes):
        raise CannotAssemble("statements that fill a table change")
    lines = lines_of(text)
    for change in changes:
        if change.before is not None:
            first = change.scope.line_before - 1
            if first < 0 or "".join(lines[first : first + change.before.count("\n")]) != change.before:
                raise CannotAssemble(f"{change.target} isn't at its line")
    if after:
        for tried in _as_in_the_new_file(lines, sorted(changes, key=lambda c: c.scope.line_after)):
            for made in (tried, tried[:-1]):
                if hash_of(made) == after:
                    return made, True
    return _by_rule(lines, changes), False


# ---------------------------------------------------------------- by the lines of the new file


def _as_in_the_new_file(lines: list[str], edits: Sequence[Change]) -> Iterator[str]:
    """Texts that have each change at its line; what isn't known is how many blank lines follow an addition."""
    todo: list[tuple[int, list[str], int, bool]] = [(0, [], 0, False)]  # edits done, lines so far, old lines used, added last
    tries = 0
    while todo and tries < _MAX_TRIES:
        done, out, used, added = todo.pop()
        gaps = _GAPS if added else (0,)
        if done == len(edits):
            for gap in gaps:
                tries += 1
                yield "".join([*out, *["\n"] * gap, *lines[used:]])
            continue
        change = edits[done]
        text = lines_of(change.after or "")
        wanted = change.scope.line_after - 1 - len(out)
        for gap in reversed(gaps):  # the last one is tried first
            take = wanted - gap
            here, left = out + ["\n"] * gap, used
            if change.before is not None:
                old = change.scope.line_before - 1 - used
                if old != take or old < 0:
                    continue
                here, left = here + lines[used : used + old], used + old + change.before.count("\n")
            elif take < 0:
                continue
            else:
                missing = max(0, used + take - len(lines))  # behind the end: blank lines before it
                if missing > max(_GAPS):
                    continue
                here, left = here + lines[used : used + take] + ["\n"] * missing, used + take - missing
            todo.append((done + 1, here + text, left, change.before is None))


# ---------------------------------------------------------------- by rule


def _by_rule(lines: list[str], changes: Sequence[Change]) -> str:
    try:
        tree = ast.parse("".join(lines))
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise CannotAssemble(f"the old text: {error}") from error
    edits: list[tuple[int, int, int, str]] = []  # line, lines to take out, order, text
    bound: dict[str, int] = {}
    for change in sorted(changes, key=lambda c: c.scope.line_after):
        text, first = change.after or "", change.scope.line_before - 1
        if change.before is not None:
            edits.append((first, change.before.count("\n"), 0, text))
            continue
        at = _in_class(tree, changes, change) if change.scope.classes else _early(tree, change, bound)
        edits.append((at, 0, change.scope.line_after, text))
        if not change.scope.classes:
            bound.update(dict.fromkeys(change.names or (change.target.name,), at))
    edits.sort(key=lambda e: e[:3])
    if any(at + count > then for (at, count, _, _), (then, *_) in zip(edits, edits[1:])):
        raise CannotAssemble("two changes on one line")
    for at, count, _, text in reversed(edits):
        lines[at : at + count] = [text]
    return "".join(lines)


def _in_class(tree: ast.Module, changes: Sequence[Change], change: Change) -> int:
    """Lines before an addition to a class: before the first change behind it, else at the end of the class."""
    body: list[ast.stmt] = tree.body
    node: ast.ClassDef | None = None
    for name in change.scope.classes:
        found = [n for n in body if isinstance(n, ast.ClassDef) and n.name == name]
        if len(found) != 1:
            raise CannotAssemble(f"the class of {change.target} isn't there once")
        node, body = found[0], found[0].body
    assert node is not None
    if body[0].lineno == node.lineno:
        raise CannotAssemble(f"the class of {change.target} is on one line")
    if _indent(change.after or "") != body[0].col_offset:
        raise CannotAssemble(f"{change.target} is indented in another way")
    behind = [
        c.scope.line_before - 1
        for c in changes
        if c.before is not None and c.scope.classes == change.scope.classes and c.scope.line_after > change.scope.line_after
    ]
    if not {b + 1 for b in behind} <= {_first(n) for n in body}:
        raise CannotAssemble(f"{change.target} stands beside a block")
    return min([*behind, node.end_lineno or node.lineno])


def _early(tree: ast.Module, change: Change, bound: dict[str, int]) -> int:
    """Lines before an addition to the module: as few as can be, all that it names is there then."""
    (node,) = ast.parse(change.after or "").body
    needs = set(_named_at_once(node))
    if any(map(_runs, _at_once(node))):
        raise CannotAssemble(f"{change.target} runs code of the program, and where it stands isn't sure")
    at = max((bound[n] for n in needs & bound.keys()), default=0)
    unknown = needs - bound.keys() - set(dir(builtins))
    for number, statement in enumerate(tree.body):
        binds = set(_bound_by(statement))
        opening = (number == 0 and isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)) or (
            isinstance(statement, ast.ImportFrom) and statement.module == "__future__"
        )
        if opening or binds & needs or ("*" in binds and unknown):
            at = max(at, statement.end_lineno or statement.lineno)
    return at


def _named_at_once(node: ast.stmt) -> Iterator[str]:
    """Names that the statement reads when it's run itself; not what is inside the functions that it makes."""
    for inner in _at_once(node):
        if isinstance(inner, ast.Name):
            yield inner.id


def _runs(node: ast.AST) -> bool:
    """True if evaluating this node may run code of the program."""
    decorators = getattr(node, "decorator_list", ())
    if any(not (isinstance(d, ast.Name) and d.id in _DESCRIPTORS) for d in decorators):
        return True
    if isinstance(node, ast.ClassDef):
        return bool(node.keywords) or any(not (isinstance(b, ast.Name) and hasattr(builtins, b.id)) for b in node.bases)
    return isinstance(node, _RUNS)


def _at_once(node: ast.AST) -> Iterator[ast.AST]:
    todo: list[ast.AST] = [node]
    while todo:
        here = todo.pop()
        yield here
        if isinstance(here, ast.FunctionDef | ast.AsyncFunctionDef):
            todo += [*here.decorator_list, *here.args.defaults, *filter(None, here.args.kw_defaults)]
            parts = [
                *here.args.posonlyargs,
                *here.args.args,
                *here.args.kwonlyargs,
                *filter(None, (here.args.vararg, here.args.kwarg)),
            ]
            # Annotations may be evaluated; a subscript of a type is no reason to refuse.
            names = [n for a in [*(p.annotation for p in parts), here.returns] if a is not None for n in ast.walk(a)]
            todo += [n for n in names if isinstance(n, ast.Name)]
        elif isinstance(here, ast.Lambda):
            todo += [*here.args.defaults, *filter(None, here.args.kw_defaults)]
        else:
            todo += ast.iter_child_nodes(here)


def _bound_by(node: ast.stmt) -> Iterator[str]:
    """Names that a statement binds, in blocks too; "*" for what can't be told."""
    todo: list[ast.AST] = [node]
    while todo:
        here = todo.pop()
        if isinstance(here, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield here.name
        elif isinstance(here, ast.Import | ast.ImportFrom):
            yield from (a.asname or a.name.partition(".")[0] for a in here.names)
        elif isinstance(here, ast.Name) and not isinstance(here.ctx, ast.Load):
            yield here.id
        elif not isinstance(here, ast.Lambda):
            todo += ast.iter_child_nodes(here)


def _first(node: ast.stmt) -> int:
    lines: list[int] = [node.lineno, *(d.lineno for d in getattr(node, "decorator_list", ()))]
    return min(lines)


def _indent(text: str) -> int:
    return len(text) - len(text.lstrip(" \t"))
