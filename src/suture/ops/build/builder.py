"""
From two trees to a patch: which files differ, what each difference is, in which order it goes in, and what is left out.
"""

from __future__ import annotations

import ast
import contextlib
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from suture.engine.facts import compile_text
from suture.engine.plan import judge
from suture.errors import Refused, SutureError
from suture.ops.build.conserve import unexplained
from suture.ops.build.diff import Difference, diff
from suture.ops.build.tree import Source, Tree, is_test
from suture.patch import Change, FileFact, Finding, Kind, Patch, Severity

__all__ = ["build"]


def build(old: Path, new: Path, *, name: str, meta: Mapping[str, str] | None = None) -> Patch:
    """
    Make a patch of what differs between two trees, or two files.

    Args:
        old: What the process runs.
        new: What it should run.
        name: First part of the patch's id.
        meta: author, reason, expires.

    Returns:
        The patch.  What can't be carried is in ``left_out`` (errors), what a person should know in ``remarks``.

    Raises:
        Refused: no-tree (a side isn't there, or one is a file and the other a folder).
    """
    return _Builder(old, new).run(name, meta or {})


@dataclass
class _Module:
    """One changed module: both sources and what differs."""

    old: Source
    new: Source
    difference: Difference


class _Builder:
    def __init__(self, old: Path, new: Path) -> None:
        for side in (old, new):
            if not side.exists():
                raise Refused("no-tree", "there is no such file or folder", target=str(side), hint="check the path")
        if old.is_dir() != new.is_dir():
            raise Refused("no-tree", "one side is a file, the other a folder", target=f"{old} {new}", hint="give two of a kind")
        alias = "" if old.is_dir() else (old.name if old.name.endswith(".py") else f"{old.name}.py")
        self.old, self.new = Tree(old, alias), Tree(new, alias)
        self.findings: list[Finding] = []
        self.modules: list[_Module] = []
        self.facts: list[FileFact] = []
        self._stars: list[tuple[Source, set[str]]] | None = None

    def run(self, name: str, meta: Mapping[str, str]) -> Patch:
        changed = sorted(p for p in self.old.files.keys() | self.new.files.keys() if self._differs(p))
        python = [p for p in changed if p.endswith(".py")]
        self._left_out(changed)
        for path in python:
            if not is_test(path):
                self._file(path)
        changes = self._numbered()
        self._judge(changes)
        if not changed:
            self._say("no-change", Severity.ERROR, "", "the two trees don't differ", "check which trees you gave")
        elif not changes and not any(f.severity is Severity.ERROR for f in self.findings):
            self._say("no-change", Severity.NOTE, "", "nothing differs that a running process would notice")
        errors = tuple(f for f in self.findings if f.severity is Severity.ERROR)
        rest = tuple(f for f in self.findings if f.severity is not Severity.ERROR)
        return Patch(name, tuple(changes), tuple(self.facts), errors, rest, dict(meta))

    def _say(self, code: str, severity: Severity, target: str, message: str, hint: str = "") -> None:
        self.findings.append(Finding(code, severity, target, message, hint))

    def _differs(self, path: str) -> bool:
        if path not in self.old.files or path not in self.new.files:
            return True
        return self.old.bytes_of(path) != self.new.bytes_of(path)

    def _left_out(self, changed: Iterable[str]) -> None:
        others = [p for p in changed if not p.endswith(".py")]
        if others:
            self._say(
                "not-carried",
                Severity.WARNING,
                others[0],
                f"{len(others)} files that aren't Python differ and aren't carried: {', '.join(others[:5])}",
                "put them in place yourself, if the fix needs them",
            )
        tests = [p for p in changed if p.endswith(".py") and is_test(p)]
        if tests:
            self._say("left-out-tests", Severity.NOTE, tests[0], f"{len(tests)} test files left out: {', '.join(tests[:5])}")

    # ------------------------------------------------------------ one file

    def _file(self, path: str) -> None:
        try:
            if path not in self.old.files:
                self._whole("module-added", self.new.source(path), "put its definitions into a module that exists, or restart")
            elif path not in self.new.files:
                self._whole("module-removed", self.old.source(path), "restart, if something must not find it any more")
            else:
                self._both(self.old.source(path), self.new.source(path))
        except SutureError as error:
            self.findings.append(Finding.of(error))

    def _whole(self, code: str, source: Source, hint: str) -> None:
        word = code.partition("-")[2]
        if not source.tree.body and word == "added":
            self._say("type-only", Severity.NOTE, source.module, "an empty module is added; it isn't carried")
            return
        self._say(code, Severity.ERROR, source.module, f"the whole module is {word}", hint)

    def _both(self, old: Source, new: Source) -> None:
        found = diff(old, new)
        lost = unexplained(old, new, found.changes, found.findings)
        if lost:
            self._say(
                "builder-fault", Severity.ERROR, new.module, f"the builder lost a difference: {'; '.join(lost[:3])}", "report it, with both files"
            )
        self.findings += found.findings
        self.modules.append(_Module(old, new, found))
        self.facts.append(FileFact(new.path, new.module, old.sha, new.sha, tuple(found.moved)))

    # ------------------------------------------------------------ order, values

    def _numbered(self) -> list[Change]:
        changes: list[Change] = []
        values = [c for m in self.modules for c in m.difference.changes if c.kind is Kind.VALUE and c.before is not None]
        readers = _Readers(self.new) if values else None
        for module in self._by_import():
            for change in module.difference.changes:
                if change.kind is Kind.VALUE and change.before is not None and readers is not None:
                    ready = self._value(change, readers)
                    if ready is None:
                        continue
                    change = ready
                elif change.before is None and not change.scope.classes:
                    change = self._starred(change)
                changes.append(replace(change, number=len(changes)))
        return changes

    def _value(self, change: Change, readers: _Readers) -> Change | None:
        if change.scope.classes or "." in change.target.qualname:
            places = readers.in_class(change)
            rebind: tuple[str, ...] = ()
        else:
            places, rebind = readers.of(change)
        if places:
            self._say(
                "value-computed",
                Severity.ERROR,
                str(change.target),
                f"others were computed from it at import: {', '.join(places[:4])}",
                "assign them in a hotfix file, or restart",
            )
            return None
        return replace(change, rebind=rebind)

    def _starred(self, change: Change) -> Change:
        """An added name reaches the modules that took everything by ``import *``."""
        name = change.target.qualname
        if name.startswith("_") or change.kind is Kind.IMPORT or not self._star_modules():
            return change
        rebind = tuple(f"{source.module}:{name}" for source, froms in self._star_modules() if change.target.module in froms)
        return replace(change, rebind=rebind) if rebind and self._exports(change) else change

    def _exports(self, change: Change) -> bool:
        module = next(m for m in self.modules if m.new.module == change.target.module)
        for node in module.new.tree.body:
            if isinstance(node, ast.Assign) and any(isinstance(t, ast.Name) and t.id == "__all__" for t in node.targets):
                return any(isinstance(n, ast.Constant) and n.value == change.target.qualname for n in ast.walk(node.value))
        return True

    def _star_modules(self) -> list[tuple[Source, set[str]]]:
        """Modules with ``from x import *``, and the modules they take from."""
        if self._stars is None:
            self._stars = []
            for path in sorted(self.new.python()):
                if not is_test(path) and b"import *" in self.new.bytes_of(path):
                    with contextlib.suppress(SutureError):  # it is said where the file itself is compared
                        source = self.new.source(path)
                        froms = {
                            base
                            for node in ast.walk(source.tree)
                            if isinstance(node, ast.ImportFrom) and any(a.name == "*" for a in node.names)
                            for base in [absolute(node, source)]
                        }
                        self._stars.append((source, froms))
        return self._stars

    def _by_import(self) -> list[_Module]:
        """Modules in an order in which the imported come first."""
        names = {m.new.module: m for m in self.modules}
        needs = {n: {i for i in _imported(m.new) if i in names and i != n} for n, m in names.items()}
        order: list[str] = []

        def visit(name: str, above: tuple[str, ...]) -> None:
            if name in order or name in above:
                return
            for other in sorted(needs[name]):
                visit(other, (*above, name))
            order.append(name)

        for name in sorted(names):
            visit(name, ())
        return [names[n] for n in order]

    def _judge(self, changes: Iterable[Change]) -> None:
        """The engine's own rules, on the source alone: the author hears now what the process would say."""
        for change in changes:
            if change.kind is Kind.FUNCTION and change.before is not None and change.after is not None:
                sides = [
                    compile_text(text, classes=change.scope.classes, filename=change.target.path)
                    for text in (change.before, change.after)
                ]
                self.findings += [f for f in judge(change, sides[0], sides[1]) if f.severity is Severity.ERROR]


def absolute(node: ast.ImportFrom, source: Source) -> str:
    """Name of the module that a ``from`` import means."""
    if not node.level:
        return node.module or ""
    package = source.module if source.path.endswith("__init__.py") else source.module.rpartition(".")[0]
    parts = package.split(".")[: len(package.split(".")) - node.level + 1]
    return ".".join([*parts, *([node.module] if node.module else [])])


def _imported(source: Source) -> Iterator[str]:
    """Names of modules that a module imports, as far as its text says."""
    for node in ast.walk(source.tree):
        if isinstance(node, ast.Import):
            yield from (a.name for a in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = absolute(node, source)
            yield base
            yield from (f"{base}.{a.name}" for a in node.names)


class _Readers:
    """Who reads a module's constant at import: expressions computed from it, and modules that took it by name."""

    def __init__(self, tree: Tree) -> None:
        self._tree = tree
        self._sources: dict[str, Source | None] = {}

    def of(self, change: Change) -> tuple[list[str], tuple[str, ...]]:
        """(places that compute from it, ``module:name`` of importers)."""
        module, name = change.target.module, change.target.qualname
        places: list[str] = []
        rebind: list[str] = []
        word = re.compile(rf"\b{re.escape(name)}\b|import \*".encode())
        for path in sorted(self._tree.python()):
            if is_test(path) or not word.search(self._tree.bytes_of(path)):
                continue
            source = self._source(path)
            if source is None:
                continue
            if source.module == module:
                places += _places(source, {name}, skip=name)
                continue
            aliases = self._aliases(source, module, name)
            rebind += [f"{source.module}:{a}" for a in aliases]
            places += _places(source, set(aliases), skip="")
            places += _attribute_places(source, module, name)
        return places, tuple(rebind)

    def in_class(self, change: Change) -> list[str]:
        """Places in the class's own body that compute from it."""
        source = self._source(change.target.path)
        if source is None or not change.scope.classes:
            return []
        body: list[ast.stmt] = source.tree.body
        for name in change.scope.classes:
            found = next((n for n in body if isinstance(n, ast.ClassDef) and n.name == name), None)
            body = found.body if found is not None else []
        return list(_readers_in(source, body, {change.target.name}, change.target.name))

    def _source(self, path: str) -> Source | None:
        if path not in self._sources:
            try:
                source = self._tree.source(path)
                self._sources[path] = source if source.tree else None
            except SutureError:  # it is said where the file itself is compared
                self._sources[path] = None
        return self._sources[path]

    def _aliases(self, source: Source, module: str, name: str) -> list[str]:
        found = []
        for node in ast.walk(source.tree):
            if isinstance(node, ast.ImportFrom) and absolute(node, source) == module:
                found += [a.asname or a.name for a in node.names if a.name == name or (a.name == "*" and not name.startswith("_"))]
        return [name if a == "*" else a for a in found]


def _places(source: Source, names: set[str], *, skip: str) -> list[str]:
    return list(_readers_in(source, source.tree.body, names, skip)) if names else []


def _attribute_places(source: Source, module: str, name: str) -> list[str]:
    """``m.NAME`` in something that runs at import."""
    last = module.rpartition(".")[2]
    found = []
    for node in _at_import(source.tree.body):
        if isinstance(node, ast.Attribute) and node.attr == name and ast.unparse(node.value).rpartition(".")[2] == last:
            found.append(f"{source.path}:{node.lineno}")
    return found


def _readers_in(source: Source, body: list[ast.stmt], names: set[str], skip: str) -> Iterator[str]:
    for statement in body:
        target = getattr(statement, "targets", [getattr(statement, "target", None)])
        if skip and any(isinstance(t, ast.Name) and t.id == skip for t in target):
            continue
        for node in _at_import([statement]):
            if isinstance(node, ast.Name) and node.id in names and isinstance(node.ctx, ast.Load):
                yield f"{source.path}:{node.lineno}"


def _at_import(body: Iterable[ast.AST]) -> Iterator[ast.AST]:
    """Nodes that run when the module is imported: not the bodies of functions."""
    todo = list(body)
    while todo:
        node = todo.pop()
        yield node
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            todo += [*node.decorator_list, *node.args.defaults, *(d for d in node.args.kw_defaults if d is not None)]
        elif isinstance(node, ast.Lambda):
            todo += [*node.args.defaults, *(d for d in node.args.kw_defaults if d is not None)]
        else:
            todo += ast.iter_child_nodes(node)
