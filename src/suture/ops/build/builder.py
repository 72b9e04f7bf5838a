"""
From two trees to a patch: which files differ, what each difference is, in which order it goes in, and what is left out.
"""

from __future__ import annotations

import ast
import gc
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from suture.engine.facts import Definition, compile_text, whole_lines
from suture.engine.plan import binds_anew, is_remade, judge
from suture.errors import Refused, SutureError
from suture.ops.build import nodes, shapes
from suture.ops.build.conserve import parsed, unexplained
from suture.ops.build.decisions import FILE, Decisions
from suture.ops.build.decorating import only_wrap
from suture.ops.build.diff import Difference, diff
from suture.ops.build.keepers import keepers, lookers, makers
from suture.ops.build.knots import Knot, Knots
from suture.ops.build.leftout import left_out
from suture.ops.build.naming import named
from suture.ops.build.overrule import overruled, still_true, unheard
from suture.ops.build.reach import reach
from suture.ops.build.readers import Readers, all_names
from suture.ops.build.ripple import Key, Ripple, Wave
from suture.ops.build.stale import stale
from suture.ops.build.tree import Source, Tree
from suture.patch import Change, Decision, Expect, FileFact, Finding, Kind, Patch, Scope, Severity, Target, is_name
from suture.record import replace

__all__ = ["build"]

_DEPTH = 5_000  # ast.dump takes three frames a level, and an elif is a level; a C stack of 8 MB has room for it on 3.10


def build(
    old: Path,
    new: Path,
    *,
    name: str,
    meta: Mapping[str, str] | None = None,
    decisions: Decisions | None = None,
    rooted: bool = False,
) -> Patch:
    """
    Make a patch of what differs between two trees, or two files.

    Args:
        old: What the process runs.
        new: What it should run.
        name: First part of the patch's id.
        meta: author, reason, expires.
        decisions: What somebody chose where the source doesn't say.
        rooted: The trees are import roots by a person's word, whatever they look like.

    Returns:
        The patch.  What can't be carried is in ``left_out`` (errors), what a person should know in ``remarks``.  A change that
        only the judge is against is in ``changes`` and its finding in ``left_out``: a process takes it if a person accepts that.

    Raises:
        Refused: bad-name, no-tree (a side isn't there, or one is a file and the other a folder).
    """
    if not is_name(name):
        hint = "letters, digits, _, - and . can be used, up to 100 bytes"
        raise Refused("bad-name", f"{name[:100]!r} can't be the name of a patch", hint=hint)
    limit, collects = sys.getrecursionlimit(), gc.isenabled()
    sys.setrecursionlimit(max(limit, _DEPTH))
    # Syntax trees are many objects and no circles: half of the time went into looking for some (1,000 modules, 3.11).
    gc.disable()
    try:
        return _Builder(old, new, decisions or Decisions(), rooted=rooted).run(name, meta or {})
    finally:
        sys.setrecursionlimit(limit)
        if collects:
            gc.enable()


@dataclass
class _Module:
    """One changed module: both sources and what differs."""

    old: Source
    new: Source
    difference: Difference


class _Builder:
    def __init__(self, old: Path, new: Path, decisions: Decisions, *, rooted: bool) -> None:
        self.decisions = decisions
        for side in (old, new):
            if not side.exists():
                raise Refused("no-tree", "there is no such file or folder", target=str(side), hint="check the path")
        if old.is_dir() != new.is_dir():
            raise Refused("no-tree", "one side is a file, the other a folder", target=f"{old} {new}", hint="give two of a kind")
        alias = "" if old.is_dir() else (old.name if old.name.endswith(".py") else f"{old.name}.py")
        self.old = Tree(old, alias, rooted=rooted)
        self.new = Tree(new, alias, like=self.old, rooted=rooted)
        self.readers, self.old_readers = Readers(self.new), Readers(self.old)
        self.knots = Knots(self.old, self.new)
        self.findings: list[Finding] = []
        self.modules: list[_Module] = []
        self.added: list[tuple[Change, Source]] = []
        self.looked: dict[str, list[str]] = {}

    def run(self, name: str, meta: Mapping[str, str]) -> Patch:
        changed = sorted(p for p in self.old.files.keys() | self.new.files.keys() if self._differs(p))
        self.findings += left_out(self.old, self.new, changed)
        code = (self.old.python() | self.new.python()) - self._generated(changed)
        doubts, nameless = named(self.old, self.new, code.intersection(changed))
        self.findings += doubts
        code -= nameless
        for path in changed:
            if path in code:
                self._file(path)
        self._overrule()
        self._heirs()
        self._ripple()
        self._overrule()
        self._left_by_loops()
        modules = self._by_import()
        for module in modules:
            self._carried(module)
            self._conserved(module)
        changes = self._numbered(modules)
        left, side = stale(self.old, self.new, changes, self.findings)
        anew = [f for f in left if self._made_anew(f)]
        if anew:
            self.findings += self._overrule()
            modules = self._by_import()
            changes = self._numbered(modules)
            left, side = stale(self.old, self.new, changes, self.findings)
        self.findings += left
        self.findings += unheard(self.decisions, {str(c.target): c for c in changes})
        self._nothing(changed, changes)
        errors = tuple(f for f in self.findings if f.severity is Severity.ERROR)
        rest = tuple(f for f in self.findings if f.severity is not Severity.ERROR)
        led = reach(side)
        judged = tuple(sorted({s.module for s in side.sources()})) if led else ()
        facts = [FileFact(s.path, s.module, "", s.sha) for _, s in self.added]
        return Patch(name, tuple(changes), (*facts, *map(_fact, modules)), errors, rest, dict(meta), led, judged)

    def _say(
        self, code: str, severity: Severity, target: str, message: str, hint: str = "", evidence: Mapping[str, str] | None = None
    ) -> Finding:
        self.findings.append(Finding(code, severity, target, message, hint, evidence or {}))
        return self.findings[-1]

    def _differs(self, path: str) -> bool:
        if path not in self.old.files or path not in self.new.files:
            return True
        return self.old.bytes_of(path) != self.new.bytes_of(path)

    def _generated(self, changed: Sequence[str]) -> set[str]:
        """Files that a program wrote from something else: said, and not carried."""
        made = {**self.old.generated(changed), **self.new.generated(changed)}
        for severity, stamp in ((Severity.WARNING, False), (Severity.NOTE, True)):
            paths = [p for p in changed if made.get(p) is stamp]
            if paths:
                hint = "" if stamp else "restart, if the fix needs what they were made from"
                words = f"{_count(paths, 'generated file')} left out: {_some(paths)}"
                self._say("left-out-generated", severity, paths[0], words, hint)
        return set(made)

    def _nothing(self, changed: Sequence[str], changes: Sequence[Change]) -> None:
        if not changed:
            self._say("no-change", Severity.ERROR, "", "the two trees don't differ", "check which trees you gave")
        elif not changes and all(f.severity is Severity.NOTE or f.code == "not-carried" for f in self.findings):
            self._say("no-change", Severity.NOTE, "", "nothing differs that a running process would notice")

    # ------------------------------------------------------------ one file

    def _file(self, path: str) -> None:
        sides: list[Source] = []
        for tree in (self.old, self.new):
            try:
                if path in tree.files:
                    sides.append(tree.source(path))
                    sides[-1].tree  # noqa: B018  parses it: each side's own errors are said
            except SutureError as error:
                self.findings.append(Finding.of(error))
                return
        if len(sides) == 1:
            self._whole(sides[0], added=path in self.new.files)
            return
        try:
            self.modules.append(_Module(sides[0], sides[1], self._difference(*sides)))
        except RecursionError:
            words = "an expression or a chain of elif is nested too deep to be compared"
            self._say("too-deep", Severity.ERROR, path, words, "split it, or restart", {"place": path})

    def _difference(self, old: Source, new: Source) -> Difference:
        return diff(old, new, self.decisions, self.knots.of(new.path))

    def _whole(self, source: Source, *, added: bool) -> None:
        """A module that only one side has."""
        place = {"place": source.path}
        if added:
            target, text = Target(source.module, "", source.path), whole_lines(source.text)
            scope = Scope(future_after=source.future_flags, line_after=1)
            self.added.append((Change(0, Kind.MODULE, target, None, text, scope, Expect.ABSENT), source))
            self._say("module-added", Severity.NOTE, source.module, "the whole module is new: it is carried whole", "", place)
        elif not any(not isinstance(n, ast.Expr) for n in source.tree.body):
            words = "a module without code is removed; it isn't carried"
            self._say("docs-only", Severity.NOTE, source.path, words, evidence=place)
        else:
            hint = "restart, if something must not find it any more"
            words = "the whole module is removed, or has another name now; the old one stays importable"
            self._say("not-carried", Severity.WARNING, source.module, words, hint, place)

    # ------------------------------------------------------------ what only the whole tree tells

    def _heirs(self) -> None:
        """A class that is made anew takes along those that were made from its fields; objects made at import stay."""
        known = {_key(c) for m in self.modules for c in m.difference.changes if is_remade(c)}
        for module in list(self.modules):
            for change in filter(is_remade, list(module.difference.changes)):
                for heir in shapes.heirs(self.readers, self.old, module.new, change):
                    made = shapes.change_of(heir.shape, heir.classes) if heir.shape is not None else None
                    if made is not None and _key(made) not in known:
                        known.add(_key(made))
                        self._take_along({_key(made): made}, {})
                    elif heir.why:
                        self._left_heir(change, heir)
                if places := shapes.made_at_import(self.readers, module.new, change):
                    words = f"objects of it were made at import as the old one makes them, and stay: {_some(places)}"
                    evidence = {"place": f"{module.new.path}:{change.scope.line_after}"}
                    hint = "set what they should have in a hotfix file, or restart"
                    self._say("value-stale", Severity.WARNING, str(change.target), words, hint, evidence)

    def _left_heir(self, change: Change, heir: shapes.Heir) -> None:
        target = f"{heir.source.module}:{'.'.join([*heir.classes, heir.node.name])}"
        words = f"it was made from the fields of {change.target}, which change, and can't be made anew: {heir.why}"
        evidence = {"place": f"{heir.source.path}:{nodes.first_line(heir.node)}"}
        self._say("class-fields", Severity.ERROR, target, words, "restart", evidence)

    def _overrule(self) -> list[Finding]:
        """Let a person's choices stand in place of the builder's; what is said of it."""
        said: list[Finding] = []
        for module in self.modules:
            here = module.difference
            made = overruled(self.decisions, module.old, module.new, here.changes)
            new = [f for f in made.findings if f not in here.findings]
            here.changes, here.findings = made.changes, [*(f for f in here.findings if still_true(f, made.gone)), *new]
            said += new
        return said

    def _ripple(self) -> None:
        """Values that change take with them what is computed from them, in other files too; or stay behind."""
        mine = self._tie()
        ripple = self.ripple
        again: dict[Key, Change] = {}
        rebind: dict[Key, list[str]] = {}
        for knot in list(self.knots.touched()):
            self._accept(knot.home, "", ripple.of_knot(knot), again, rebind)
        for module in self.modules:
            for classes, name in module.difference.filled:
                key = (module.new.path, classes, name)
                made = ripple.table(*key) if key not in mine else None
                if made is not None and key not in again:
                    mine[key] = made
                    module.difference.changes.append(made)
        for module in self.modules:
            kept = []
            for change in module.difference.changes:
                if change.kind is Kind.FUNCTION and (decorators := _changed_decorators(change)) is not None:
                    decorated = self._decorated(module, change, decorators, ripple.of(module.new, change), again, rebind)
                    if decorated is None:
                        continue
                    change = decorated
                if change.before is not None and (change.kind in (Kind.VALUE, Kind.MEMBERS) or binds_anew(change)):
                    stuck = self._follow(module, change, ripple, again, rebind)
                    found = self._stuck(module, change, stuck) if stuck else None
                    if found is not None:
                        module.difference.findings.append(found)
                    if found is not None and found.code != "value-stale":
                        continue
                kept.append(change)
            module.difference.changes = kept
        self._take_along(again, rebind)

    def _tie(self) -> dict[Key, Change]:
        """Give up the knots whose names can't be followed: their statements are said as others are."""
        while True:
            mine = {_key(c): c for m in self.modules for c in m.difference.changes if not c.target.slot}
            self.ripple = Ripple(self.old, self.new, self.readers, mine, self.knots)
            stuck = [k for k in self.knots.touched() if self._is_stuck(k)]
            if not stuck:
                return mine
            for knot in stuck:
                self.knots.give_up(knot)
            for module in self.modules:
                if any(k.home is module.new for k in stuck):
                    for knot in self.knots.of(module.new.path):
                        knot.touched.clear()
                    module.difference = self._difference(module.old, module.new)

    def _left_by_loops(self) -> None:
        for knot, names in ((k, k.left()) for k in self.knots.touched()):
            if not names:
                continue
            words = f"{_some(names)}: more than one loop counts with it, and it keeps what the old ones left in it"
            target = f"{knot.home.module}:{', '.join(names)}"
            self._say("value-stale", Severity.NOTE, target, words, "", {"place": knot.home.path})

    def _is_stuck(self, knot: Knot) -> bool:
        if "__all__" in knot.touched and self._newly_exported(next(m for m in self.modules if m.new is knot.home)):
            return True
        return bool(self.ripple.of_knot(knot).stuck)

    def _accept(
        self, home: Source, target: str, wave: Wave, again: dict[Key, Change], rebind: dict[Key, list[str]], line: int = 0
    ) -> None:
        """Take along what a change takes with it, and say what has run with the old value."""
        if wave.acted and not wave.stuck:
            words = f"ran with the old value, and isn't run again: {_some(sorted(set(wave.acted)))}"
            place = {"place": f"{home.path}:{line}" if line else home.path}
            self._say("value-stale", Severity.WARNING, target or home.module, words, "do it in a hotfix file", place)
        if not wave.stuck:
            for key, made in wave.changes.items():
                known = again.get(key)
                again[key] = made if known is None else replace(made, again=tuple(dict.fromkeys((*known.again, *made.again))))
            rebind |= wave.rebind
            for knot, names in wave.knots.items():
                knot.touched |= names

    def _made_anew(self, finding: Finding) -> bool:
        """Take a value along that code which changes has made; True if that can be."""
        path, _, line = finding.evidence["place"].rpartition(":")
        wave = self.ripple.at(path, int(line)) if finding.severity is Severity.WARNING else None
        if wave is None or wave.stuck:
            return False
        again: dict[Key, Change] = {}
        rebind: dict[Key, list[str]] = {}
        self._accept(self.new.source(path), "", Wave(wave.changes, wave.rebind, wave.knots), again, rebind)
        self._take_along(again, rebind)
        return True

    def _numbered(self, modules: Sequence[_Module]) -> list[Change]:
        return [
            replace(c, number=at)
            for at, c in enumerate([c for c, _ in self.added] + [c for m in modules for c in m.difference.changes])
        ]

    def _decorated(
        self,
        module: _Module,
        change: Change,
        decorators: tuple[list[ast.expr], list[ast.expr]],
        wave: Wave,
        again: dict[Key, Change],
        rebind: dict[Key, list[str]],
    ) -> Change | None:
        """A function whose decorators change: made anew if they only make wrappers, or by choice; None: by choice it stays."""
        functions = (n for n in ast.walk(module.new.tree) if isinstance(n, nodes.FunctionNode))
        node = next(n for n in functions if nodes.first_line(n) == change.scope.line_after)
        try:
            chosen = self.decisions.choose("decorators-changed", str(change.target), module.new, node)
        except Refused as error:
            module.difference.findings.append(Finding.of(error))
            return change
        place = {"place": f"{module.new.path}:{change.scope.line_after}"}
        if chosen is not None and chosen.rule == "skip":
            spans = {"old": _span(change.scope.line_before, change.before), "new": _span(change.scope.line_after, change.after)}
            words = "skip: it stays as it is, with the decorators that it has"
            module.difference.findings.append(Finding("decided", Severity.NOTE, str(change.target), words, "", place | spans))
            return None
        wraps = only_wrap(self.old_readers, module.old, decorators[0]) and only_wrap(self.readers, module.new, decorators[1])
        if chosen is None and (not wraps or wave.stuck or wave.acted):
            return change
        if not wave.stuck:
            self._accept(module.new, str(change.target), Wave(wave.changes, wave.rebind, wave.knots), again, rebind)
        if chosen is None:
            return replace(change, decision=Decision("decorate", "builder", "its decorators only make wrappers"))
        words = f"replace: it is made anew, and its decorators run{f' ({chosen.why})' if chosen.why else ''}"
        module.difference.findings.append(Finding("decided", Severity.NOTE, str(change.target), words, "", place))
        if left := sorted({*wave.stuck, *wave.acted}):
            words, hint = f"keeps the one that it was: {_some(left)}", "assign it in a hotfix file, or restart"
            module.difference.findings.append(Finding("value-stale", Severity.WARNING, str(change.target), words, hint, place))
        return replace(change, decision=Decision("decorate", "person", chosen.why))

    def _stuck(self, module: _Module, change: Change, stuck: Sequence[str]) -> Finding:
        """What is said of a value that can't be followed; by choice it's carried all the same, or not."""
        kinds = ast.Assign | ast.AnnAssign | ast.Import | ast.ImportFrom | ast.ClassDef | nodes.FunctionNode
        there = (n for n in ast.walk(module.new.tree) if isinstance(n, kinds))
        node = next(n for n in there if nodes.first_line(n) == change.scope.line_after)
        try:
            chosen = self.decisions.choose("value-computed", str(change.target), module.new, node)
        except Refused as error:
            return Finding.of(error)
        found = _computed(module, change, stuck)
        if chosen is None:
            return found
        words = f"decided: {chosen.rule}; {found.message}"
        if chosen.rule == "carry":
            evidence = {k: v for k, v in found.evidence.items() if k not in ("old", "new")}
            return Finding("value-stale", Severity.WARNING, found.target, words, "assign it in a hotfix file", evidence)
        return Finding("decided", Severity.NOTE, found.target, words, "", found.evidence)

    def _follow(
        self, module: _Module, change: Change, ripple: Ripple, again: dict[Key, Change], rebind: dict[Key, list[str]]
    ) -> list[str]:
        """Add what one changed value takes with it; or say where it can't be followed."""
        exported = self._newly_exported(module) if change.target.qualname == "__all__" else []
        if exported:
            return exported
        wave = ripple.of_members(module.new, change) if change.kind is Kind.MEMBERS else ripple.of(module.new, change)
        self._accept(module.new, str(change.target), wave, again, rebind, change.scope.line_after)
        return sorted(set(wave.stuck))

    def _take_along(self, again: Mapping[Key, Change], rebind: Mapping[Key, list[str]]) -> None:
        by_path = {m.new.path: m for m in self.modules}
        for path in (*(key[0] for key in again), *(k.home.path for k in self.knots.touched())):
            if path not in by_path:
                by_path[path] = _Module(self.old.source(path), self.new.source(path), Difference())
                self.modules.append(by_path[path])
        for key, made in again.items():
            changes = by_path[key[0]].difference.changes
            at = next((n for n, c in enumerate(changes) if _key(c) == key and not c.target.slot), None)
            if at is None:
                changes.append(made)
            elif made.again:
                changes[at] = replace(changes[at], again=made.again)
        for module in self.modules:
            tables = [c for c in module.difference.changes if c.kind is Kind.VALUE and c.decision and c.before is not None]
            known = {str(c.target) for c in module.difference.changes}
            more = [f for c in tables if c.decision.rule in ("evaluate", "merge") for f in self.ripple.fillers(c)]  # type: ignore[union-attr]
            module.difference.changes += [f for f in more if str(f.target) not in known]
            taken = [replace(c, rebind=tuple(rebind.get(_key(c), c.rebind))) for c in module.difference.changes]
            taken = [*(c for c in taken if not _is_of_knot(c)), *self._of_knots(module.new, rebind)]
            module.difference.changes = sorted(taken, key=lambda c: c.scope.line_after)

    def _of_knots(self, source: Source, rebind: Mapping[Key, list[str]]) -> list[Change]:
        """What is worked out again in a file, statement by statement."""
        out: list[Change] = []
        for knot in (k for k in self.knots.touched() if k.home is source):
            for name in knot.touched:
                places = [*rebind.get((source.path, (), name), knot.rebind.get(name, ())), *self.readers.takers(source, name)]
                knot.rebind[name] = list(dict.fromkeys(places))
            out += knot.changes()
        return out

    def _carried(self, module: _Module) -> None:
        """Settle the changes of a module: importers of what is added, the engine's own rules."""
        kept: list[Change] = []
        for change in module.difference.changes:
            if change.before is None and not change.scope.classes and not _is_of_knot(change):
                names = change.names or (change.target.name,)
                kept.append(replace(change, rebind=tuple(t for n in names for t in self.readers.takers(module.new, n))))
            else:
                kept.append(change)
        module.difference.changes = kept = [_if_held(module.old, c) for c in kept]
        module.difference.findings += [f for c in kept for f in (*self._judged(c), *self._kept(module, c))]
        self.findings += module.difference.findings

    def _newly_exported(self, module: _Module) -> list[str]:
        """Places that ``import *`` from the module and lack a name that its new ``__all__`` has and that was there before."""
        added = {n for c in module.difference.changes if c.before is None for n in c.names}
        names = (all_names(module.new) or set()) - (all_names(module.old) or set()) - added
        return sorted({taker for n in names for taker in self.readers.takers(module.new, n)})

    def _judged(self, change: Change) -> list[Finding]:
        """The engine's own rules, on the source alone: the author hears now what the process would say."""
        if change.kind is not Kind.FUNCTION or change.before is None or change.after is None:
            return []
        try:
            found = judge(change, _compiled(change, before=True), _compiled(change, before=False))
            return [_decidable(f) for f in found if f.severity is Severity.ERROR]
        except SutureError as error:
            return [Finding.of(error)]

    def _kept(self, module: _Module, change: Change) -> list[Finding]:
        """Who may have kept something of a value, in objects or in caches."""
        rule = change.decision.rule if change.decision is not None else ""
        evidence = {"place": f"{module.new.path}:{change.scope.line_after}"}
        if change.kind is Kind.FUNCTION and change.before is not None and rule in ("", "decorate") and _gives(change.before):
            if not (found := makers(self.readers, module.new, change)):
                return []
            words = f"what its old code gave is kept, in objects that were made with it or in a cache: {_some(found)}"
            hint = "make those objects anew, clear the cache, or set what they hold in a hotfix file"
            return [Finding("value-kept", Severity.WARNING, str(change.target), words, hint, evidence)]
        if change.before is None or rule == "remove" or (change.kind is not Kind.VALUE and rule != "rebind"):
            return []
        found = keepers(self.readers, module.new, change) if rule != "rebind" else []
        found += self._lookers(module.new) if not change.scope.classes and "." not in change.target.qualname else []
        if not found:
            return []
        words = f"may have kept what it made of the old value, in an object or a cache: {_some(found)}"
        hint = "make those objects anew, or set what they hold in a hotfix file"
        return [Finding("value-kept", Severity.WARNING, str(change.target), words, hint, evidence)]

    def _lookers(self, home: Source) -> list[str]:
        if home.path not in self.looked:
            self.looked[home.path] = lookers(self.readers, home)
        return self.looked[home.path]

    def _conserved(self, module: _Module) -> None:
        lost = unexplained(module.old, module.new, module.difference.changes, module.difference.findings)
        if lost:
            words = f"the builder lost a difference: {'; '.join(lost[:3])}"
            self._say("builder-fault", Severity.ERROR, module.new.module, words, "report it, with both files")

    def _by_import(self) -> list[_Module]:
        """Modules in an order in which the imported come first; in a circle by name."""
        modules = {m.new.module: m for m in self.modules}
        needs = {n: sorted({i for i in m.new.imports() if i in modules and i != n}) for n, m in modules.items()}
        done: dict[str, _Module] = {}
        for name in sorted(modules):
            todo, begun = [name], set[str]()
            while todo:
                here = todo[-1]
                waiting = [n for n in needs[here] if n not in done and n not in begun] if here not in begun else []
                begun.add(here)
                if waiting:
                    todo += reversed(waiting)
                else:
                    done.setdefault(todo.pop(), modules[here])
        return [*done.values(), *(m for m in self.modules if m not in done.values())]


def _compiled(change: Change, *, before: bool) -> Definition:
    scope, text = change.scope, change.before if before else change.after
    return compile_text(
        text or "",
        classes=scope.classes,
        filename=change.target.path,
        line=(scope.line_before if before else scope.line_after) or 1,
        flags=scope.future_before if before else scope.future_after,
        imports=scope.imports_before if before else scope.imports_after,
    )


def _changed_decorators(change: Change) -> tuple[list[ast.expr], list[ast.expr]] | None:
    """Decorators before and after, if they differ, and do more than to make a descriptor of a class."""
    if change.before is None or change.after is None or change.target.slot or change.decision is not None:
        return None
    sides = [parsed(text, change.scope.classes)[0] for text in (change.before, change.after)]
    old, new = (s.decorator_list if isinstance(s, nodes.FunctionNode) else [] for s in sides)
    descriptors = {"property", "staticmethod", "classmethod", "cached_property"}
    same = [ast.dump(d) for d in old] == [ast.dump(d) for d in new]
    return None if same or any(descriptors & set(map(nodes.last_name, side)) for side in (old, new)) else (old, new)


def _decidable(finding: Finding) -> Finding:
    """With the line for the decisions file, where a person may choose."""
    if finding.code != "decorators-changed":
        return finding
    hint = f"decide ({FILE}: `{finding.target} = replace` or `skip`), move the change into the body, or restart"
    return replace(finding, hint=hint)


def _gives(text: str) -> bool:
    """True for a function that returns something."""
    return any(isinstance(n, ast.Return) and n.value is not None for s in parsed(text) for n in ast.walk(s))


def _if_held(old: Source, change: Change) -> Change:
    """A definition whose name its module deletes is there only where somebody holds it: the process will see."""
    first = (*change.scope.classes, change.target.name)[0]
    if (
        change.before is None
        or change.decision is not None
        or change.kind not in (Kind.FUNCTION, Kind.NESTED)
        or first not in old.deleted
    ):
        return change
    return replace(change, decision=Decision("if-held", "builder", f"its module deletes {first} after its use"))


def _is_of_knot(change: Change) -> bool:
    return change.decision is not None and change.decision.rule in ("again-old", "again-new")


def _key(change: Change) -> Key:
    """Where a change is: path, classes, name."""
    return change.target.path, change.scope.classes, change.target.name if change.scope.classes else change.target.qualname


def _computed(module: _Module, change: Change, stuck: Sequence[str]) -> Finding:
    spans = {"old": _span(change.scope.line_before, change.before), "new": _span(change.scope.line_after, change.after)}
    evidence = {"place": f"{module.new.path}:{change.scope.line_after}", **spans, "read_at": ", ".join(stuck)}
    if change.kind is Kind.IMPORT:
        evidence["alias"] = change.target.name
    words = f"something is computed from it at import, and can't be worked out again: {_some(stuck)}"
    hint = f"decide ({FILE}: `{change.target} = carry` or `skip`), assign what depends on it in a hotfix file, or restart"
    return Finding("value-computed", Severity.ERROR, str(change.target), words, hint, evidence)


def _fact(module: _Module) -> FileFact:
    old, new = module.old, module.new
    return FileFact(new.path, new.module, old.sha, new.sha, tuple(module.difference.moved))


def _span(line: int, text: str | None) -> str:
    return f"{line}-{line + max(1, (text or '').count(chr(10))) - 1}"


def _some(names: Iterable[str], most: int = 5) -> str:
    names = list(names)
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")


def _count(names: Sequence[str], word: str) -> str:
    return f"{len(names)} {word}{'s' * (len(names) != 1)}"
