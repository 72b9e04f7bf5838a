"""
Who may have kept something of a value that changes: in an attribute, in a cache, by handing it to a method of theirs, by going
through all names of its module.

They ran, or didn't, whenever the program called them: what they kept can't be found from the source, but they can be named.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator
from functools import partial

from suture.ops.build import nodes
from suture.ops.build.nodes import FunctionNode
from suture.ops.build.readers import Readers
from suture.ops.build.tree import Source
from suture.patch import Change

__all__ = ["keepers", "lookers", "makers"]

_CACHES = frozenset(("lru_cache", "cache", "cached_property", "memoize"))
_MAKERS = frozenset(("__init__", "__new__", "__post_init__", "__attrs_post_init__", "__set_name__"))
_OWN = frozenset(("self", "cls", "super"))


_LOOKS = ("dir", "vars", "getmembers")
_LOOKS_WORDS = (b"getattr", b"__dict__", *(w.encode() for w in _LOOKS))


def keepers(readers: Readers, home: Source, change: Change) -> list[str]:
    """
    Who may have kept something of a changed value.

    Returns:
        "m:C.method (m.py:12)", each once.
    """
    name, in_place = change.target.name, change.decision is not None and change.decision.rule == "merge"
    found: dict[str, None] = {}
    sources = {s.path: s for s in readers.containing(name)}
    taken: dict[str, set[str]] = {home.path: {name}} if not change.scope.classes else {}
    for other, path in readers.took(home.module, name) if not change.scope.classes else ():
        taken.setdefault(path, set()).add(other)
        sources.setdefault(path, readers.file(path))
    for source in sources.values():
        for title, function in _functions(source.tree.body, ()):
            names = taken.get(source.path, set()) - _local(function)
            if _keeps(function, partial(_reads, readers, source, names, home, change), in_place):
                found[f"{source.module}:{title} ({source.path}:{function.lineno})"] = None
    return list(found)


def makers(readers: Readers, home: Source, change: Change) -> list[str]:
    """
    Who kept what a changed function gave when an object was made, or keeps it in a cache.

    Other callers keep results as well, wherever they like: only these are sure to have kept the old code's for good.

    Returns:
        "m:C.__init__ (m.py:12)", each once.
    """
    name, classes = change.target.name, change.scope.classes
    found: dict[str, None] = {}
    sources = {s.path: s for s in readers.containing(name)}
    taken: dict[str, set[str]] = {home.path: {name}} if not classes else {}
    for other, path in readers.took(home.module, name) if not classes else ():
        taken.setdefault(path, set()).add(other)
        sources.setdefault(path, readers.file(path))
    for source in sources.values():
        for title, function in _functions(source.tree.body, ()):
            cached = bool(_CACHES & set(nodes.decorators(function)))
            inside = not classes or (source is home and title.rpartition(".")[0] == ".".join(classes))
            if not inside or not (cached or function.name in _MAKERS):
                continue
            reads = partial(_reads, readers, source, taken.get(source.path, set()) - _local(function), home, change)
            if any(isinstance(n, ast.Call) and reads(n.func) for part in _kept_by(function, cached) for n in ast.walk(part)):
                found[f"{source.module}:{title} ({source.path}:{function.lineno})"] = None
    return list(found)


def _kept_by(function: FunctionNode, cached: bool) -> Iterator[ast.AST]:
    """Parts of a function whose value stays: all of it under a cache, else what is stored in an attribute."""
    if cached:
        yield from function.body
        return
    for node in ast.walk(function):
        if isinstance(node, ast.Assign | ast.AnnAssign) and node.value is not None:
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            if any(isinstance(t, ast.Attribute) for t in targets):
                yield node.value


def lookers(readers: Readers, home: Source) -> list[str]:
    """
    Who goes through all names of a module, and may have kept what it found: ``dir(module)``, ``getattr(module, name)``.

    Returns:
        "m:C.method (m.py:12)", or the place alone at the top level, each once.
    """
    found: dict[str, None] = {}
    leaf = home.module.rpartition(".")[2]
    for source in readers.containing(leaf):
        if source is not home and any(word in source.text.encode() for word in _LOOKS_WORDS):
            means = _meaning(source, home.module)
            inside = [(f"{source.module}:{t}", f) for t, f in _functions(source.tree.body, ())] if means else []
            parts = [(t, ast.walk(f)) for t, f in inside] + [("", nodes.running(source.tree.body))] if means else []
            for title, run in parts:
                here = next((n for n in run if _looks_through(n, means)), None)
                if here is not None:
                    place = f"{source.path}:{here.lineno}"  # type: ignore[attr-defined]
                    found[f"{title} ({place})" if title else place] = None
    return list(found)


def _meaning(source: Source, module: str) -> set[str]:
    """What a file calls a module that it imports, inside its functions too."""
    names: set[str] = set()
    for node in ast.walk(source.tree):
        if isinstance(node, ast.Import):
            names.update(a.asname or a.name for a in node.names if a.name == module)
        elif isinstance(node, ast.ImportFrom):
            base = source.absolute(node)
            names.update(a.asname or a.name for a in node.names if f"{base}.{a.name}" == module)
    return names


def _looks_through(node: ast.AST, names: set[str]) -> bool:
    if isinstance(node, ast.Attribute):
        return node.attr == "__dict__" and ast.unparse(node.value) in names
    if not isinstance(node, ast.Call) or not node.args or ast.unparse(node.args[0]) not in names:
        return False
    called = nodes.last_name(node.func)
    return called in _LOOKS or (called == "getattr" and len(node.args) > 1 and not isinstance(node.args[1], ast.Constant))


def _functions(body: list[ast.stmt], classes: tuple[str, ...]) -> Iterator[tuple[str, FunctionNode]]:
    for node in nodes.statements(body):
        if isinstance(node, FunctionNode):
            yield ".".join([*classes, node.name]), node
        elif isinstance(node, ast.ClassDef):
            yield from _functions(node.body, (*classes, node.name))


def _local(function: FunctionNode) -> set[str]:
    """Names that are the function's own."""
    args = function.args
    own = {a.arg for a in [*args.posonlyargs, *args.args, *args.kwonlyargs, *filter(None, (args.vararg, args.kwarg))]}
    own |= {n.id for n in ast.walk(function) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)}
    shared = {n for s in ast.walk(function) if isinstance(s, ast.Global) for n in s.names}
    return own - shared


def _reads(readers: Readers, source: Source, names: set[str], home: Source, change: Change, node: ast.AST) -> bool:
    if isinstance(node, ast.Name):
        return node.id in names and isinstance(node.ctx, ast.Load)
    if not isinstance(node, ast.Attribute) or node.attr != change.target.name or not isinstance(node.ctx, ast.Load):
        return False
    if change.scope.classes:
        return nodes.last_name(node.value) in (change.scope.classes[-1], "self", "cls")
    return readers.means(source, node) == f"{home.module}.{change.target.name}"


def _keeps(function: FunctionNode, reads: Callable[[ast.AST], bool], in_place: bool) -> bool:
    if _CACHES & set(nodes.decorators(function)) and any(reads(n) for s in function.body for n in ast.walk(s)):
        return True
    shared = {n for s in ast.walk(function) if isinstance(s, ast.Global) for n in s.names}
    for node in ast.walk(function):
        if isinstance(node, ast.Assign | ast.AnnAssign | ast.AugAssign) and node.value is not None:
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            held = any(
                isinstance(t, ast.Attribute | ast.Subscript) or (isinstance(t, ast.Name) and t.id in shared) for t in targets
            )
            if held and not (in_place and reads(node.value)) and any(map(reads, ast.walk(node.value))):
                return True
        elif isinstance(node, ast.Expr) and isinstance(node.value, ast.Call) and isinstance(node.value.func, ast.Attribute):
            owner = nodes.last_name(node.value.func.value)
            if owner in _OWN and any(map(reads, ast.walk(node.value))):
                return True
    return False
