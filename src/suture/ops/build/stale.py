"""
What an import computed with code that the patch changes: it stays as the old code made it, and nothing in the source shows it.

Looks at whatever runs at import and follows its calls (calls.py) down to a function that changes.  Who only holds a function
follows it, as it is changed in place, and what a function calls it calls anew each time: neither is stale.

Only files that can matter are parsed: those that mention a changed name, or a name of something that mentions one.
"""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from itertools import zip_longest

from suture.engine.plan import binds_anew
from suture.errors import SutureError
from suture.ops.build import nodes
from suture.ops.build.calls import FOLLOWED, Calls, Class, Frame, Function, Object, registered_with
from suture.ops.build.conserve import parsed
from suture.ops.build.tree import Source, Tree
from suture.patch import Change, Finding, Kind, Severity

__all__ = ["Side", "called_by", "kept_in", "led_by", "mentioned", "stale", "words_of"]

_MANY = 6  # values that were made the same way and get a finding each
_WORD = re.compile(r"[^\W\d]\w*")
_KEPT = re.compile(r"^[ \t]+self\.(\w+)\b[^=\n]*=(.*)$", re.MULTILINE)  # what objects have
_Callable = ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda


def stale(old: Tree, new: Tree, changes: Sequence[Change], findings: Iterable[Finding]) -> tuple[list[Finding], Side]:
    """
    Say what stays as old code made it, or will be made by old code.

    Args:
        old: What ran at import.
        new: What the additions come from: they're evaluated before the changes are live.
        changes: All that are carried.
        findings: Those of the build so far: statements that they name by their lines have been spoken of.

    Returns:
        One ``value-stale`` a statement, and what ran at import, for more questions.
    """
    said = _lines(findings)
    changes = [c for c in changes if c.kind is not Kind.MODULE]
    for change in changes:  # worked out again, with the new code
        if change.before and (change.kind is Kind.MEMBERS or (change.kind is Kind.VALUE and change.decision is not None)):
            first = change.scope.line_before
            said[change.target.path].update(range(first, first + change.before.count("\n")))
        elif change.decision is not None and change.decision.rule == "again-old":
            first = change.scope.line_before
            said[change.target.path].update(range(first, first + (change.after or "").count("\n")))
    before = Side(old, new, changes, was=True)
    found = list(before.at_import(said)) if before.any else []
    additions = [c for c in changes if _is_evaluated(c)]
    after = Side(new, new, changes, was=False) if additions else None
    found += after.at_apply(additions) if after is not None and after.any else []
    return found, before


def _is_evaluated(change: Change) -> bool:
    """True if applying it calls something, of the code that is live before."""
    if change.kind is Kind.STATEMENT and change.again:
        return False
    old, new = _parsed(change.before) if not binds_anew(change) else None, _parsed(change.after)
    if isinstance(new, nodes.FunctionNode):
        had = set(map(ast.dump, _defaults(old))) if old is not None else set()
        parts = [d for d in _defaults(new) if ast.dump(d) not in had] + (new.decorator_list if old is None else [])
        return any(isinstance(n, ast.Call) for p in parts for n in ast.walk(p)) or (old is None and bool(new.decorator_list))
    return old is None and not isinstance(new, ast.Import | ast.ImportFrom)


def _lines(findings: Iterable[Finding]) -> dict[str, set[int]]:
    """Old lines by path of the statements that findings name."""
    out: dict[str, set[int]] = defaultdict(set)
    for finding in findings:
        first, _, last = finding.evidence.get("old", "").partition("-")
        if first:
            out[finding.evidence["place"].rpartition(":")[0]].update(range(int(first), int(last) + 1))
    return out


_Unit = tuple[frozenset[str], frozenset[str]]  # names that a statement binds, names that it mentions


class Side:
    """
    One tree, and what changes in it.

    Attributes:
        changed: Nodes of the functions and lambdas that change, and the targets of their changes.
        values: The same of constants, by module and dotted name.
        others: Statements that change, and what they are on the other side.
        added: Methods that existing classes get.
        seeds: Names by which what changes is called or read.
        words: Those, and names of whatever mentions one of these.
    """

    def __init__(self, tree: Tree, new: Tree, changes: Sequence[Change], *, was: bool) -> None:
        self.tree = tree
        self.changed: dict[_Callable, str] = {}
        self.others: dict[ast.stmt, ast.stmt] = {}
        self.added: dict[tuple[str, str, str], ast.stmt] = {}
        self.words: set[str] = set()
        self.values: dict[tuple[str, str], str] = {}
        self._units: dict[str, list[_Unit]] = {}
        self._ends: dict[Function, str] = {}
        self._methods: dict[str, list[Function]] | None = None
        for change in changes:
            self._take(change, new, was)
        self.words.discard("")
        self.seeds = frozenset(self.words)
        if self.any:
            self._spread()
        self.calls = Calls(tree, self.added if was else {}, self._by_method)

    @property
    def any(self) -> bool:
        """True if something changes that could have been used."""
        return bool(self.changed or self.added or self.values)

    # ------------------------------------------------------------ what changes

    def _take(self, change: Change, new: Tree, was: bool) -> None:
        target, scope = change.target, change.scope
        theirs = _statement(new.source(target.path), scope.line_after, target.name)
        if change.before is None:
            if change.kind is Kind.FUNCTION and scope.classes and isinstance(theirs, nodes.FunctionNode):
                self.added[target.path, ".".join(scope.classes), target.name] = theirs
                self.changed |= {theirs: str(target)} if was else {}
                self.words |= called_by(target.name, scope.classes)
            return
        if change.kind is Kind.VALUE or binds_anew(change):
            self.values[target.module, target.qualname] = str(target)
            self.words.add(target.name)
        if change.kind not in (Kind.FUNCTION, Kind.NESTED) or theirs is None or binds_anew(change):
            return
        mine = _statement(self.tree.source(target.path), scope.line_before if was else scope.line_after, target.name)
        other = theirs if was else _parsed(change.before)
        if mine is None or other is None:
            return
        self.others[mine] = other
        for node in _changed(mine, other):
            self.changed[node] = str(target)
            self.words |= {*called_by(target.name, scope.classes), *nodes.target_names(mine)}
            self.words |= registered_with(mine) if isinstance(mine, nodes.FunctionNode) else set()

    def _spread(self) -> None:
        """Add the names of whatever mentions a name that matters, until there are no more."""
        fresh = set(self.words)
        paths = sorted(self.tree.python())
        while fresh:
            wanted, fresh = fresh, set()
            sought = {w.encode() for w in wanted}
            for path in paths:
                if not sought.isdisjoint(self.tree.words_of(path)):
                    for names, words in self._units_of(path):
                        if not words.isdisjoint(self.words):
                            fresh |= names - self.words
            self.words |= fresh

    def _units_of(self, path: str) -> list[_Unit]:
        if path not in self._units:
            source = self._source(path)
            self._units[path] = _units_of(source) if source is not None else []
        return self._units[path]

    def _source(self, path: str) -> Source | None:
        try:
            source = self.tree.source(path)
            return source if source.tree else None
        except SutureError:  # said where the file is compared, or it doesn't run
            return None

    def sources(self) -> Iterator[Source]:
        """Files that matter, as far as they can be read."""
        yield from filter(None, map(self._source, sorted(self._units)))

    def _by_method(self, name: str) -> Sequence[Function]:
        """The changed method of that name, if the files that matter have no other."""
        if self._methods is None:
            self._methods = defaultdict(list)
            for source in self.sources():
                for cls in self._classes(source.tree.body, self.calls.module(source)):
                    for node in nodes.methods(cls.node):
                        self._methods[node.name].append(self.calls.method(node, cls, Object(cls)))
        found = self._methods.get(name, [])
        return found if len(found) == 1 and found[0].node in self.changed else []

    def _classes(self, body: Iterable[ast.stmt], frame: Frame) -> Iterator[Class]:
        for node in nodes.statements(body):
            if isinstance(node, ast.ClassDef):
                cls = Class(node, frame)
                yield cls
                yield from self._classes(node.body, self.calls.class_body(cls))

    # ------------------------------------------------------------ what has run

    def at_import(self, said: Mapping[str, set[int]]) -> Iterator[Finding]:
        """What an import made with old code; not the statements of these lines."""
        runs = _Runs(self.calls, self.words, self.others, added=False)
        found: dict[tuple[str, ...], list[tuple[_Run, list[Function]]]] = defaultdict(list)
        for path in sorted(self._units):
            source, skip = self._source(path), said.get(path, set())
            main = path.rpartition("/")[2] == "__main__.py"
            for run in runs.of(source.tree.body, self.calls.module(source), main=main) if source is not None else ():
                if run.line not in skip and (way := self._way(run)):
                    found[(run.what, *(f.title for f in way))].append((run, way))
        for group in found.values():
            for run, way in group[: 1 if len(group) > _MANY else _MANY]:
                also = [self._target(other) for other, _ in group if other is not run] if len(group) > _MANY else []
                words = run.words("was made", "ran") + (f" (and {len(also)} more)" if also else "")
                words += f" at import by {_told(way)}; {self.end(way[-1])} changes, what the old one gave stays"
                yield self._finding(run, way, words, "assign it in a hotfix file, or restart", also)

    def at_apply(self, changes: Iterable[Change]) -> Iterator[Finding]:
        """What is evaluated with old code when the patch is applied: it goes live after that."""
        runs = _Runs(self.calls, self.words, self.others, added=True)
        for change in changes:
            source = self.tree.source(change.target.path)
            node = _statement(source, change.scope.line_after, change.target.name)
            frame = self._frame(source, change.scope.classes)
            for run in runs.of([node], frame) if node is not None and frame is not None else ():
                if way := self._way(run):
                    words = f"{run.words('is made', 'runs')} at apply by {_told(way)}; {self.end(way[-1])} changes after that"
                    hint = "assign it in a hotfix file once the patch is live, or restart"
                    yield self._finding(run, way, words, hint)

    def _frame(self, source: Source, classes: Sequence[str]) -> Frame | None:
        frame = self.calls.module(source)
        for name in classes:
            cls = next((v for v in self.calls.named(name, frame) if isinstance(v, Class)), None)
            if cls is None:
                return None
            frame = self.calls.class_body(cls)
        return frame

    def _way(self, run: _Run) -> list[Function]:
        return self.calls.way(run.starts, lambda f: bool(self.end(f)), self._may_matter)

    def end(self, function: Function) -> str:
        """Target of the change that a call of the function meets at once, "" if none."""
        if function.node in self.changed:
            return self.changed[function.node]
        if function not in self._ends:
            read = self.calls.reads(function, self.words) if self.values else ()
            self._ends[function] = next((self.values[r] for r in read if r in self.values), "")
        return self._ends[function]

    def _may_matter(self, function: Function) -> bool:
        node, title = function.node, function.frame.title
        if isinstance(node, ast.Lambda) or "<locals>" in title:
            return True
        return (title.rpartition(".")[2] if nodes.is_dunder(node.name) else node.name) in self.words

    def _target(self, run: _Run) -> str:
        name = ".".join(filter(None, [run.frame.title, run.name]))
        return f"{run.frame.source.module}:{name}" if run.name else f"{run.frame.source.path}:{run.line}"

    def _finding(self, run: _Run, way: Sequence[Function], words: str, hint: str, also: Sequence[str] = ()) -> Finding:
        evidence = {"place": f"{run.frame.source.path}:{run.line}", "changed": self.end(way[-1])}
        evidence["through"] = ", ".join(f.title for f in way)
        evidence |= {"also": ", ".join(also)} if also else {}
        return Finding("value-stale", Severity.WARNING, self._target(run), words, hint, evidence)


def called_by(name: str, classes: Sequence[str]) -> set[str]:
    """Names that a call of it mentions."""
    return {name} if not nodes.is_dunder(name) else set(classes[-1:])


def _told(way: Sequence[Function]) -> str:
    """ "m:h, which calls m:g"."""
    if len(way) > 3:
        return f"{way[0].title}, which comes to call {way[-1].title}"
    return ", which calls ".join(f.title for f in way)


# ---------------------------------------------------------------- statements that run at import


@dataclass(frozen=True)
class _Run:
    """
    Something that runs at import.

    Attributes:
        name: What it binds, "" if nothing that has a name.
        what: "" for the thing itself, else the part of it that is meant.
        line: Where it stands.
        frame: Whose statement it is.
        starts: Functions that it calls.
    """

    name: str
    what: str
    line: int
    frame: Frame
    starts: tuple[Function, ...]

    def words(self, made: str, ran: str) -> str:
        """The beginning of a sentence about it."""
        return f"{self.what}{self.name} {made}" if self.name else f"{self.what} {ran}"


class _Runs:
    """
    What runs at import, or at apply, statement by statement.

    Args:
        calls: Who knows the tree.
        words: Names of what can lead to a change.
        others: Functions that change, and what they are on the other side.
        added: True if only what this side alone has is meant: of a function that changes, its new defaults.
    """

    def __init__(self, calls: Calls, words: AbstractSet[str], others: Mapping[ast.stmt, ast.stmt], *, added: bool) -> None:
        self._calls, self._words, self._others, self._added = calls, words, others, added

    def of(self, body: Iterable[ast.stmt], frame: Frame, *, main: bool = False) -> Iterator[_Run]:
        """Of these statements; in the main block (*main*) only what binds a name."""
        for node in body:
            if isinstance(node, nodes.FunctionNode) and not (node.decorator_list or _defaults(node)):
                continue
            if self._words.isdisjoint(mentioned(frame.source, node)):
                if isinstance(node, ast.ClassDef):
                    yield from self.of(node.body, self._calls.class_body(Class(node, frame)))
            elif isinstance(node, nodes.FunctionNode):
                yield from self._function(node, frame)
            elif isinstance(node, ast.ClassDef):
                yield from self._class(node, frame)
            elif nodes.is_typing(node):
                yield from self.of(getattr(node, "orelse", []), frame, main=main)
            elif bodies := _bodies(node):
                inside = main or nodes.is_main(node)
                header = [p for f in ("test", "iter", "subject") if (p := getattr(node, f, None)) is not None]
                if not inside:
                    yield from self._run("", f"`{nodes.head(node)}`", node, frame, [*header, *getattr(node, "items", [])])
                yield from self.of(bodies, frame, main=inside)
            else:
                name = ast.unparse(node.target) if isinstance(node, ast.AugAssign) else nodes.target_name(node)
                if name or not main:
                    yield from self._run(name, "" if name else f"`{nodes.head(node)}`", node, frame, [node])

    def _function(self, node: nodes.FunctionNode, frame: Frame) -> Iterator[_Run]:
        defaults, other = _defaults(node), self._others.get(node)
        if other is not None:
            theirs = set(map(ast.dump, _defaults(other)))
            defaults = [d for d in defaults if (ast.dump(d) in theirs) is not self._added]
        decorators = node.decorator_list if other is None or not self._added else []
        starts = [f for d in decorators for f in self._calls.decorated(d, frame)]
        what = "a decorator or default of " if decorators else "a default of "
        yield from self._run(node.name, what, node, frame, [*decorators, *defaults], starts)

    def _class(self, node: ast.ClassDef, frame: Frame) -> Iterator[_Run]:
        cls = Class(node, frame)
        parts = [*node.decorator_list, *node.bases, *(k.value for k in node.keywords)]
        starts = [f for d in node.decorator_list for f in self._calls.decorated(d, frame)]
        yield from self._run(node.name, "class ", node, frame, parts, [*starts, *self._calls.class_made(cls)])
        yield from self.of(node.body, self._calls.class_body(cls))

    def _run(
        self, name: str, what: str, node: ast.stmt, frame: Frame, parts: Sequence[ast.AST], starts: Sequence[Function] = ()
    ) -> Iterator[_Run]:
        starts = tuple(dict.fromkeys([*starts, *self._calls.called(parts, frame)]))
        if starts:
            yield _Run(name, what, nodes.first_line(node), frame, starts)


def _bodies(node: ast.stmt) -> list[ast.stmt]:
    """Statements directly inside a compound statement."""
    inner = [*getattr(node, "body", []), *(s for h in getattr(node, "handlers", []) for s in h.body)]
    inner += [s for c in getattr(node, "cases", []) for s in c.body]
    return [*inner, *getattr(node, "orelse", []), *getattr(node, "finalbody", [])]


def _defaults(node: ast.stmt) -> list[ast.expr]:
    args = node.args if isinstance(node, nodes.FunctionNode) else None
    return [*args.defaults, *(d for d in args.kw_defaults if d is not None)] if args is not None else []


def _units(source: Source, body: Iterable[ast.stmt]) -> Iterator[_Unit]:
    """
    Each definition and assignment by its text.

    Whoever calls a method mentions its name; a class's own name stands for what runs without being named: its body, and the
    methods that the language calls.
    """
    for node in nodes.statements(body):
        if isinstance(node, ast.ClassDef):
            yield from _units(source, node.body)
        if isinstance(node, ast.Import | ast.ImportFrom):
            yield from ((frozenset((a.asname,)), frozenset(a.name.split("."))) for a in node.names if a.asname)
        elif kept := frozenset(n for n in led_by(node) if not nodes.is_dunder(n)):
            yield kept, mentioned(source, node)
        if isinstance(node, nodes.FunctionNode):
            yield from ((frozenset((name,)), words) for name, words in kept_in(source, node))


def kept_in(source: Source, node: nodes.FunctionNode) -> Iterator[tuple[str, frozenset[str]]]:
    """Attributes that a method gives its object, and the words of their values."""
    if "self" in mentioned(source, node):
        for name, value in _KEPT.findall(_text(source, node)):
            yield name, words_of(value)


def led_by(node: ast.stmt) -> Iterator[str]:
    """Names that stand for a function, a class or an object in what follows; not those of tables and numbers."""
    if isinstance(node, nodes.FunctionNode):
        yield from (node.name, *registered_with(node))
    elif isinstance(node, ast.ClassDef | ast.With | ast.AsyncWith) or isinstance(nodes.value_of(node), FOLLOWED):
        yield from nodes.binds(node)


def _units_of(source: Source) -> list[_Unit]:
    """The same of a file; once for both trees, where both have it."""
    made: list[_Unit] | None = source.memo.get("units")
    if made is None:
        made = source.memo["units"] = list(_units(source, source.tree.body))
    return made


def mentioned(source: Source, node: ast.stmt) -> frozenset[str]:
    """Words of a statement's text; of a class without its docstring and its named methods, of a function without its docstring."""
    found: frozenset[str] | None = source.memo.get(node)
    if found is None:
        found = source.memo[node] = _words(source, node)
    return found


def words_of(text: str) -> frozenset[str]:
    """Words of a text."""
    return frozenset(_WORD.findall(text))


def _words(source: Source, node: ast.stmt) -> frozenset[str]:
    if not isinstance(node, ast.ClassDef):
        return words_of(_text(source, node))
    lines = list(source.lines[nodes.first_line(node) - 1 : node.body[0].lineno])
    for inner in node.body:
        if not (nodes.is_doc(inner) or (isinstance(inner, nodes.FunctionNode) and not nodes.is_dunder(inner.name))):
            lines.append(_text(source, inner))
    return words_of("".join(lines))


def _text(source: Source, node: ast.stmt) -> str:
    """Its lines, without its docstring."""
    body = getattr(node, "body", [])
    first, last = nodes.first_line(node), node.end_lineno or node.lineno
    if body and nodes.is_doc(body[0]) and node.lineno < body[0].lineno:
        return "".join(source.lines[first - 1 : body[0].lineno - 1] + source.lines[body[0].end_lineno : last])
    return "".join(source.lines[first - 1 : last])


# ---------------------------------------------------------------- what changes in a function


def _statement(source: Source, line: int, name: str) -> ast.stmt | None:
    """The statement that begins at a line and binds a name."""
    todo = list(source.tree.body)
    while todo:
        node = todo.pop()
        if nodes.first_line(node) == line and (nodes.target_name(node) == name or not nodes.target_name(node)):
            if not isinstance(node, (ast.ClassDef, *nodes.BLOCKS)) or nodes.target_name(node) == name:
                return node
        if nodes.first_line(node) <= line <= (node.end_lineno or line) and not isinstance(node, nodes.FunctionNode):
            todo += [s for s in ast.iter_child_nodes(node) if isinstance(s, ast.stmt)]
            todo += [s for h in getattr(node, "handlers", []) for s in h.body]
    return None


def _parsed(text: str | None) -> ast.stmt | None:
    """The statement of a change's text."""
    return parsed(text)[0] if text is not None else None


def _changed(mine: ast.stmt, other: ast.stmt) -> Iterator[_Callable]:
    """Functions and lambdas in *mine* whose own code is another in *other*: not what they hold, docstrings or annotations."""
    left, right = _functions(mine), _functions(other)
    for key, group in left.items():
        for node, twin in zip_longest(group, right.get(key, [])):
            if node is not None and (twin is None or _differ(node, twin)):
                yield node


def _differ(node: _Callable, twin: _Callable) -> bool:
    try:
        return _own(node) != _own(twin)
    except RecursionError:
        return True


def _functions(node: ast.stmt) -> dict[tuple[str, ...], list[_Callable]]:
    """Functions and lambdas in a statement, by the names that lead to them."""
    found: dict[tuple[str, ...], list[_Callable]] = defaultdict(list)
    todo: list[tuple[tuple[str, ...], ast.AST]] = [((), node)]
    while todo:
        path, here = todo.pop()
        if isinstance(here, _Callable):
            path = (*path, getattr(here, "name", "<lambda>"))
            found[path].append(here)
        todo += [(path, n) for n in reversed(list(ast.iter_child_nodes(here)))]
    return found


def _own(node: _Callable) -> str:
    """What a call of the function itself does: its parameters and its body, without the bodies of functions inside it."""
    body = node.body if isinstance(node.body, list) else [node.body]
    return f"{type(node).__name__}{_bare(body)}{_bare([node.args])}"


_NOT_ITS_OWN: dict[type[ast.AST], tuple[str, ...]] = {
    ast.FunctionDef: ("body", "returns"),
    ast.AsyncFunctionDef: ("body", "returns"),
    ast.Lambda: ("body",),
    ast.arg: ("annotation",),
    ast.AnnAssign: ("annotation",),
}


def _bare(parts: Sequence[object]) -> str:
    """As ``nodes.dump``, without annotations, docstrings and the bodies of functions."""
    out = []
    for part in parts:
        if not isinstance(part, ast.AST):
            out.append(repr(part))
            continue
        kind = type(part)
        if kind is ast.Name or kind is ast.Constant:
            out.append(nodes.dump(part))
        elif not (isinstance(part, ast.Expr) and nodes.is_doc(part)):
            names = [n for n in kind._fields if n not in _NOT_ITS_OWN[kind]] if kind in _NOT_ITS_OWN else kind._fields
            values = (getattr(part, n, None) for n in names)
            inner = [_bare(v) if type(v) is list else _bare((v,)) for v in values]
            out.append(f"{kind.__name__}({';'.join(inner)})")
    return ",".join(out)
