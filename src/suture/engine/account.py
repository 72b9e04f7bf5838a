"""
Step "census" and the report: what the commit has left behind, told to a person.

Register the new text, let the interpreter specialise again, clear caches, say who is still inside and what else holds old code.
"""

from __future__ import annotations

import ast
import types
from collections.abc import Callable, Iterator, Mapping, Sequence

from suture.engine import census, frames, versions
from suture.engine.computing import tied
from suture.engine.facts import PLAIN, Definition, fingerprint, lines_of
from suture.engine.frames import qualname_of
from suture.engine.outside import Marks, marks_of, outside
from suture.engine.pace import Pace
from suture.engine.plan import Work, cross_calls, is_tied
from suture.engine.stage import Context, clear_caches, order
from suture.engine.swap import ABSENT, CLEARS_VERSION, Entry, Quiet, Via
from suture.patch import Finding, Kind, Patch, Severity
from suture.report import Process, Report, Row, State

__all__ = ["VERSION", "Accounting", "refusal"]

VERSION = "0.1.0"


class Accounting(Context):
    """The step "census" of a transaction, and its report."""

    patch: Patch | None = None
    commit_us = 0.0
    held: Mapping[int, tuple[int, list[str]]] = {}
    listed: tuple[str, ...] = ()

    def _after(self) -> None:
        _register_lines(self.works, self.pace)
        functions = [s.owner for s in self.stage.stores if s.via is Via.SETATTR and s.name in CLEARS_VERSION]
        if not versions.restore(functions, self.pace):
            self.find(
                Finding(
                    "slower-calls",
                    Severity.NOTE,
                    self.patch_id,
                    "this build can't restore function versions: patched calls cost 5-10 ns more",
                )
            )
        if self.applied.caches:
            sizes = [c.cache_info().currsize for c in self.applied.caches]
            clear_caches(self.applied.caches)
            self.find(
                Finding(
                    "cache-clear",
                    Severity.NOTE,
                    self.patch_id,
                    f"{len(sizes)} cache{'s' * (len(sizes) > 1)} over changed functions cleared, {sum(sizes)} entries",
                )
            )
        self._say_who_stays()
        strays = _Strays(self.old)
        self.pace.rest()
        gone = _Gone(self.applied.undo.entries[self.first :], self.pace)
        functions = [s.function for w in self.works for s in w.sites]
        # An object may hold a value in an attribute; of functions, which are the same as before, only modules are asked.
        self.held = census.holders(
            functions, self.pace, instances=bool(gone.names), others=strays.look, watched=gone.names, met=gone.meet
        )
        self.pace.rest()
        for path, name in gone.found:
            words = f"holds the value that {name} had: another has taken its place"
            self.find(
                Finding("stays-old", Severity.WARNING, path, words, hint="set it there in a hotfix file, if it's to change too")
            )
        for path, code in strays.found:
            self.find(
                Finding(
                    "stays-old",
                    Severity.WARNING,
                    path,
                    f"a function of the old code of {code}, but not the one that was changed: a copy, or of a module object that "
                    "was replaced in sys.modules",
                    hint="whoever calls it runs the old code: assign the new function there in a hotfix file",
                )
            )
        self._say_outside()

    def _say_outside(self) -> None:
        """Name what modules made at import with what changes, that nobody has built from."""
        patch = self.patch
        marks = marks_of(patch.reach, self.modules.of, self.pace) if patch is not None and patch.reach else Marks()
        for guard in self.stage.guards if patch is None else ():  # of a hotfix nobody has said anything
            if guard.name == "__code__" and _own(guard.was) != _own(guard.owner.__code__):
                marks.add(guard.owner, f"{guard.owner.__module__}:{guard.owner.__qualname__}")
            self.pace()
        changed: set[str] = set()
        for change in patch.changes if patch is not None else ():  # a thousand targets in words are a hold of a millisecond
            changed.add(str(change.target))
            self.pace()
        known = frozenset(changed) if patch is not None else None
        for finding in outside(marks, patch.judged if patch is not None else (), known, self.pace):
            self.find(finding)

    def _say_who_stays(self) -> None:
        calls = frames.inside(self.old, self.pace)
        self.listed = tuple(str(c) for c in calls)
        works = self._by_old_code() if calls else {}
        for call in calls:
            self.pace()
            for work in works.get(id(call.code), ())[:1]:
                looping = work.before is not None and _in_loop(work.before, call)
                self.find(
                    Finding(
                        "inside-old",
                        Severity.WARNING if looping else Severity.NOTE,
                        work.target,
                        f"{call} is inside the old code" + (", in a loop: it stays there until the loop ends" if looping else ""),
                        hint="what the loop calls is patched; a restart of that thread or task ends it" if looping else "",
                    )
                )

    def _report(self, state: State, ok: bool) -> Report:
        pace = self.pace
        return Report(
            self.patch_id,
            ok,
            state,
            Process.here(VERSION),
            changed=tuple(self._rows(state, ok)),
            findings=order(self.findings),
            listed=self.listed,
            phase_ms=pace.phase_ms,
            commit_us=self.commit_us,
            at=self.applied.at,
            meta=self.meta,
        )

    def _rows(self, state: State, ok: bool) -> Iterator[Row]:
        for row in self.rows:
            yield row if state is State.COMMITTED else Row(row.target, "kept", section=row.section)
        for change in self.patch.changes if self.patch is not None and self.unloaded else ():
            self.pace()
            if change.target.module in self.unloaded:
                yield Row(str(change.target), "armed" if ok else "kept", section=change.section)
        for one in self.applied.carried:
            yield Row(one.name, {State.COMMITTED: "added", State.PLANNED: "planned", State.PREPARED: "planned"}.get(state, "kept"))
        last = [one.new[-1] for one in tied(self.works).values() if one.new]
        for work in self.works:
            self.pace()
            status = work.status
            if work.change.again and work.change.kind is Kind.STATEMENT and work not in last:
                continue  # a part of a table's own value, or of what the last one of several makes
            if status == "todo":
                added = work.change.before is None
                status = {
                    State.COMMITTED: "added" if added else "updated",
                    State.PLANNED: "planned",
                    State.PREPARED: "planned",
                }.get(state, "kept")
            if is_tied(work.change):
                yield from (Row(work.named(n), "updated" if status == "added" else status) for n in work.change.again)
                continue
            held = [self.held.get(id(s.function), (0, [])) for s in work.sites]
            yield Row(
                work.target,
                status,
                len({id(s.function) for s in work.sites}),
                sum(n for n, _ in held),
                tuple(p for _, places in held for p in places)[: census.MAX_PLACES],
                work.change.section,
            )

    def _say_who_crossed(self, quiet: Quiet) -> None:
        targets: dict[str, list[str]] = {}
        works = self._by_old_code()
        for code, held in zip(self.old, quiet.each(), strict=True):
            self.pace()
            if count := frames.calls_of(code.co_flags, held):
                for work in works.get(id(code), ()):
                    targets.setdefault(work.target, []).append(f"{count} call{'s' * (count > 1)} in {code.co_name}")
        for finding in cross_calls(self.works, targets, self.pace):
            self.find(finding)

    def _by_old_code(self) -> dict[int, list[Work]]:
        """What changed a live function, by id of the code that it had; the guards hold that."""
        was = {}
        for guard in self.stage.guards:
            if guard.name == "__code__":
                was[id(guard.owner)] = guard.was
            self.pace()
        out: dict[int, list[Work]] = {}
        for work in self.works:
            for code in {id(was[id(s.function)]) for s in work.sites if id(s.function) in was} if work.before is not None else ():
                out.setdefault(code, []).append(work)
            self.pace()
        return out


class _Strays:
    """
    Functions that the census meets and that have the code which was replaced, by identity or by where it stood in its file.

    Attributes:
        found: (path, name of the code), the first of them.
    """

    MOST = 10

    def __init__(self, old: Sequence[types.CodeType]) -> None:
        self.found: list[tuple[str, str]] = []
        self._old = {_place(c): c for c in old}

    def look(self, path: str, function: types.FunctionType) -> None:
        """Note it, if it's one."""
        code = function.__code__
        old = self._old.get(_place(code))
        if old is not None and len(self.found) < self.MOST and (old is code or fingerprint(old) == fingerprint(code)):
            self.found.append((path, getattr(code, "co_qualname", code.co_name)))


class _Gone:
    """
    Values that others have taken the place of, and who holds them still.

    Functions and classes are changed in place, or what becomes of them is told elsewhere; constants are the same for everybody.

    Attributes:
        names: What they were called, by their id.
        found: (path, name), the first of them.
    """

    MOST = 10

    def __init__(self, entries: Sequence[Entry], rest: Callable[[], None]) -> None:
        self.names: dict[int, str] = {}
        self.found: list[tuple[str, str]] = []
        self._kept: list[object] = []
        for entry in entries:
            name, old, owner = entry.store.name, entry.old, entry.store.owner
            plain = entry.store.via in (Via.SETITEM, Via.TYPE_SETATTR) and type(name) is str and name[:2] != "__"
            if plain and old is not ABSENT and old is not entry.store.new and not _is_constant(old):
                here = owner.get("__name__", "") if type(owner) is dict else qualname_of(owner) if isinstance(owner, type) else ""
                self.names[id(old)] = f"{here}{':' if type(owner) is dict else '.'}{name}" if here else name
                self._kept.append(old)  # its id is its own for as long
            rest()

    def meet(self, path: str, thing: object) -> None:
        """Note a place."""
        if len(self.found) < self.MOST:
            self.found.append((path, self.names[id(thing)]))


_TOLD_ELSEWHERE = (types.FunctionType, types.CodeType, types.ModuleType, types.BuiltinFunctionType, type, staticmethod, classmethod)


def _is_constant(value: object) -> bool:
    """True for what the compiler may share, and for what isn't a value of data."""
    if isinstance(value, tuple | frozenset) and type(value) in (tuple, frozenset):
        return all(map(_is_constant, value))
    return type(value) in PLAIN or isinstance(value, (*_TOLD_ELSEWHERE, property))


def _place(code: types.CodeType) -> tuple[str, str, int]:
    return code.co_filename, code.co_name, code.co_firstlineno


def _register_lines(works: Sequence[Work], pace: Pace) -> None:
    """Put the new text where tracebacks, ``inspect`` and debuggers look for it, at the new file's lines."""
    import linecache

    texts: dict[str, list[str]] = {}
    for work in works:
        if work.status != "todo":
            continue
        lines = texts.setdefault(work.after.filename, [])
        first = max(1, work.change.scope.line_after)
        new = lines_of(work.after.text)
        lines += ["\n"] * (first - 1 + len(new) - len(lines))
        lines[first - 1 : first - 1 + len(new)] = new
        pace()
    for name, lines in texts.items():
        linecache.cache[name] = (sum(map(len, lines)), None, lines, name)
        pace()


def _own(code: types.CodeType) -> tuple[object, ...]:
    """What a call of the function itself does: not what functions inside it do."""
    return code.co_code, code.co_names, code.co_varnames, tuple(c for c in code.co_consts if type(c) is not types.CodeType)


def _in_loop(definition: Definition, call: frames.Inside) -> bool:
    """True if the call stands in a loop of its own function."""
    code = definition.code
    if code is None or call.code.co_name != code.co_name:
        return False
    node = definition.parse_function()
    first = min([node.lineno, *(d.lineno for d in node.decorator_list)])
    line = call.line - call.code.co_firstlineno + first
    loops = (ast.While, ast.For, ast.AsyncFor)
    return any(isinstance(n, loops) and n.lineno <= line <= (n.end_lineno or n.lineno) for n in ast.walk(node))


def refusal(patch_id: str, findings: Sequence[Finding], pace: Pace) -> Report:
    """Report of a call that didn't come to be a transaction; nothing was changed."""
    report = Report(
        patch_id,
        False,
        State.REFUSED,
        Process.here(VERSION),
        findings=order(findings),
        phase_ms=pace.phase_ms,
    )
    pace.measure(report)
    return report
