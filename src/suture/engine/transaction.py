"""
Take one patch through one process, all or nothing.

    read -> compile -> resolve -> judge -> fit -> evaluate -> guard -> intend -> || commit -> census

Rule 1: everything that can fail stands before ``||``, the point of no return, and writes nothing.
Rule 2: every legal move of a transaction is in MOVES; another one raises, and nothing happens.
Rule 3: one transaction at a time in a process.

Only this module knows the order; each step is another room's business.
"""

from __future__ import annotations

import ast
import contextlib
import os
import sys
import threading
import types
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from suture.engine import census, fit, frames, swap, versions, walk
from suture.engine.evaluate import Evaluator
from suture.engine.facts import Definition, Fingerprint, compile_text, fingerprint, inner_codes, pair_codes, same_tree
from suture.engine.pace import Pace
from suture.engine.plan import CACHES, Site, Work, accepts, cross_calls, decorator_names, judge, judge_live, rebinds
from suture.engine.resolve import LRU, Modules, Resolver, class_space, mangled
from suture.engine.swap import ABSENT, Entry, Guard, Store, Undo, Via
from suture.errors import Denied, Fault, Refused, SutureError
from suture.patch import Change, Expect, Finding, Kind, Patch, Severity, load
from suture.report import Process, Report, Row, State

__all__ = ["MOVES", "Engine", "Filling", "Step"]

VERSION = "0.1.0"
QUIET_TRIES = 200  # a quarter of a millisecond apart: some 50 ms, then it goes in all the same and says who was inside
PATCH_MARK = "@"

MOVES: Mapping[State, frozenset[State]] = {
    State.PREPARED: frozenset((State.COMMITTING, State.REFUSED, State.PLANNED)),
    State.COMMITTING: frozenset((State.COMMITTED, State.REFUSED, State.DAMAGED)),
    State.COMMITTED: frozenset((State.REVERTING, State.REPLACED)),
    State.REVERTING: frozenset((State.REVERTED, State.COMMITTED, State.DAMAGED)),
    State.REFUSED: frozenset(),
    State.PLANNED: frozenset(),
    State.REVERTED: frozenset(),
    State.REPLACED: frozenset(),
    State.DAMAGED: frozenset(),
}

Step = Callable[[str], None]
Source = Patch | bytes | str | os.PathLike[str]


@dataclass(slots=True)
class Stage:
    """
    One commit with its own undo.  A plan is a list of them; `now` has one.

    Attributes:
        name: What it does.
        stores: All that it writes, worked out before.
        guards: What must hold inside the commit.
    """

    name: str
    stores: list[Store] = field(default_factory=list)
    guards: list[Guard] = field(default_factory=list)

    def put(self, owner: Any, name: Any, via: Via, new: Any) -> None:
        """Add a store, guarded by what is there now."""
        self.guards.append(Guard(owner, name, via, swap.read(owner, name, via)))
        self.stores.append(Store(owner, name, via, new))


@dataclass(slots=True, eq=False)  # by identity: the commit removes and appends it in its C call
class Applied:
    """A patch that is live: what is needed to report it, to revert it and to let another one stand on it."""

    patch_id: str
    state: State
    undo: Undo
    rows: list[Row] = field(default_factory=list)
    report: Report | None = None
    meta: Mapping[str, str] = field(default_factory=dict)
    codes: list[tuple[types.CodeType, Fingerprint]] = field(default_factory=list)  # as their source would have them
    inner: list[tuple[types.CodeType, types.CodeType]] = field(default_factory=list)  # (new, equal copy of the old)
    caches: list[Any] = field(default_factory=list)
    key: str = ""

    def move(self, to: State) -> None:
        """
        Go to another state.

        Raises:
            Fault: illegal-move.  Nothing happened.
        """
        if to not in MOVES[self.state]:
            raise Fault("illegal-move", f"{self.patch_id} can't go from {self.state} to {to}", hint="report it; nothing happened")
        self.state = to

    def places(self) -> set[tuple[int, Any]]:
        """Where it wrote."""
        return {(id(e.store.owner), e.store.name) for e in self.undo.entries}


class Filling(Protocol):
    """What a front end that works out its own stores sees of a transaction."""

    stage: Stage

    def find(self, finding: Finding) -> None:
        """Note a finding."""

    def put_code(self, function: types.FunctionType, code: types.CodeType, as_source: types.CodeType, extra: int = 0) -> None:
        """Give a live function new code."""


class Engine:
    """
    All of suture that a process has; one of it.

    Threads: any; calls wait for each other.
    """

    def __init__(self) -> None:
        self.stack: list[Applied] = []
        self._lock = threading.RLock()
        self._busy = False

    # ------------------------------------------------------------ what an application calls

    def plan(self, source: Source, **options: Any) -> Report:
        """Judge *source* in this process; change nothing, evaluate nothing."""
        return self._run(source, commit=False, **options)

    def apply(self, source: Source, **options: Any) -> Report:
        """Take *source* live."""
        return self._run(source, commit=True, **options)

    def status(self) -> tuple[Report, ...]:
        """Reports of the live patches, oldest first, with the old calls that are left now."""
        out = []
        for applied in list(self.stack):
            if applied.report is not None:
                drained = applied.report.drained
                applied.report.inside_old = drained.calls() if isinstance(drained, frames.Drain) else 0
                out.append(applied.report)
        return tuple(out)

    def revert(self, patch_id: str, *, on_step: Step = lambda _: None) -> Report:
        """Take back the patch with that id (or the start of one)."""
        pace = Pace()
        with self._only_one() as free:
            if not free:
                return _refusal(patch_id, [_busy()], pace)
            try:
                report, old = _Revert(self, self._find(patch_id), pace, on_step).run()
            except SutureError as error:
                return _refusal(patch_id, [Finding.of(error)], pace)
        drain = frames.Drain(old)
        old.clear()
        report.drained, report.inside_old = drain, drain.calls()
        return report

    # ------------------------------------------------------------ inside

    def _run(
        self,
        source: Source,
        *,
        commit: bool,
        accept: Collection[str] = (),
        partial: bool = False,
        replace: bool = False,
        on_step: Step = lambda _: None,
    ) -> Report:
        pace = Pace()
        with self._only_one() as free:
            if not free:
                return _refusal("", [_busy()], pace)
            transaction = _Transaction(self, pace, frozenset(accept), partial, replace, on_step)
            report, old, applied = transaction.run(source, commit=commit)
            del transaction
        if applied is not None:
            self._drain(report, old, applied)
        return report

    def run_filled(
        self, patch_id: str, fill: Callable[[Filling], list[Row]], *, key: str = "", on_step: Step = lambda _: None
    ) -> Report:
        """
        Commit stores that somebody else works out (a hotfix file).

        Args:
            patch_id: Its id.
            fill: Puts stores into the transaction; runs before the point of no return, and may refuse.
            key: A later run with the same key takes the earlier one's place and keeps its originals.
            on_step: As for revert.
        """
        pace = Pace()
        with self._only_one() as free:
            if not free:
                return _refusal(patch_id, [_busy()], pace)
            transaction = _Transaction(self, pace, frozenset(), False, False, on_step)
            report, old, applied = transaction.run_filled(patch_id, fill, key)
            del transaction
        if applied is not None:
            self._drain(report, old, applied)
        return report

    def _drain(self, report: Report, old: list[types.CodeType], applied: Applied) -> None:
        """Say who is still inside, and leave the old code to end by itself."""
        caches = applied.caches
        drain = frames.Drain(old, (lambda: _clear(caches)) if caches else None)
        old.clear()
        report.drained = drain
        report.inside_old = drain.calls()
        applied.report = report

    @contextlib.contextmanager
    def _only_one(self) -> Iterator[bool]:
        with self._lock:
            if self._busy:  # from inside an expression that a patch evaluates
                yield False
                return
            self._busy = True
            try:
                yield True
            finally:
                self._busy = False

    def _find(self, patch_id: str) -> Applied:
        exact = [a for a in self.stack if a.patch_id == patch_id]
        found = exact or [a for a in self.stack if a.patch_id.startswith(patch_id)]
        if not found or (len({a.patch_id for a in found}) > 1):
            live = ", ".join(a.patch_id for a in self.stack) or "none"
            raise Refused(
                "patch-unknown",
                f"{'no' if not found else 'more than one'} live patch is called {patch_id!r}; live: {live}",
                hint="give the id that apply reported",
            )
        return found[-1]

    def prints(self) -> dict[int, Fingerprint]:
        """Fingerprints, as their source would have them, of code that was made to fit."""
        return {id(code): fp for applied in self.stack for code, fp in applied.codes}


def _busy() -> Finding:
    return Finding("busy", Severity.ERROR, "", "another transaction is under way in this thread", hint="apply when it has ended")


def _refusal(patch_id: str, findings: Sequence[Finding], pace: Pace, meta: Mapping[str, str] | None = None) -> Report:
    return Report(
        patch_id,
        False,
        State.REFUSED,
        Process.here(VERSION),
        findings=_sorted(findings),
        phase_ms=pace.phase_ms,
        caller_blocked_ms=sum(pace.phase_ms.values()),
        meta=meta or {},
    )


def _sorted(findings: Sequence[Finding]) -> tuple[Finding, ...]:
    order = {Severity.ERROR: 0, Severity.WARNING: 1, Severity.NOTE: 2}
    unique = {(f.code, f.target, f.message): f for f in findings}
    return tuple(sorted(unique.values(), key=lambda f: order[f.severity]))


def _clear(caches: Sequence[Any]) -> None:
    for cache in caches:
        cache.cache_clear()


class _Transaction:
    """One patch on its way.  Lives for one call."""

    def __init__(self, engine: Engine, pace: Pace, accept: frozenset[str], partial: bool, replace: bool, on_step: Step) -> None:
        self.engine = engine
        self.pace = pace
        self.accept = accept
        self.partial = partial
        self.replace = replace
        self.step = on_step
        self.findings: list[Finding] = []
        self.works: list[Work] = []
        self.stage = Stage("now")
        self.applied = Applied("", State.PREPARED, Undo())
        self.patch_id = ""
        self.meta: Mapping[str, str] = {}
        self.evaluator = Evaluator(pace)
        self.old: list[types.CodeType] = []
        self.extra: list[int] = []
        self.copies: dict[int, types.CodeType] = {}
        self.replaces: list[Applied] = []
        self.virtual: dict[tuple[int, str], Any] = {}

    # ------------------------------------------------------------ the way of a patch

    def run(self, source: Source, *, commit: bool) -> tuple[Report, list[types.CodeType], Applied | None]:
        """Go all the way, or say no.  Returns (report, old code objects, what is live now or None)."""
        try:
            with self._phase("read"):
                patch = self._read(source)
                if self._is_live():
                    return self._report(State.COMMITTED if commit else State.PLANNED, True), [], None
            with self._phase("compile"):
                pairs = self._compile(patch)
            with self._phase("resolve"):
                self._resolve(patch, pairs)
            with self._phase("judge"):
                self._judge()
            with self._phase("fit"):
                self._fit(evaluate=False)
            self._stop_at_errors()
            if not commit:
                with self._phase("judge"):
                    self._who_is_inside()
                self.applied.move(State.PLANNED)
                return self._report(State.PLANNED, True), [], None
            if not self.works or all(w.status != "todo" for w in self.works):
                return self._report(State.COMMITTED, True), [], None
            with self._phase("evaluate"):
                self._evaluate()
            with self._phase("guard"):
                swap.probe()
            self.step("intend")
            self.applied.move(State.COMMITTING)
        except _Stop:
            self.applied.move(State.REFUSED)
            return self._report(State.REFUSED, False), [], None
        except SutureError as error:
            self.findings.append(Finding.of(error))
            self.applied.move(State.REFUSED)
            return self._report(State.REFUSED, False), [], None
        try:
            with self._phase("commit"):
                self._commit()
        except SutureError as error:
            fault = isinstance(error, Fault)
            self.findings.append(Finding.of(error))
            self.applied.move(State.DAMAGED if fault else State.REFUSED)
            if fault:
                raise
            return self._report(State.REFUSED, False), [], None
        with self._phase("census"):
            self._after()
        return self._report(State.COMMITTED, True), self.old, self.applied

    def run_filled(
        self, patch_id: str, fill: Callable[[Filling], list[Row]], key: str
    ) -> tuple[Report, list[types.CodeType], Applied | None]:
        """As ``run``, for stores that *fill* puts into the stage."""
        self.patch_id = self.applied.patch_id = patch_id
        self.applied.key = key
        try:
            self._refuse_free_threaded()
            with self._phase("fit"):
                self.rows = fill(self)
            self._stop_at_errors()
            with self._phase("guard"):
                swap.probe()
            self.step("intend")
            self.applied.move(State.COMMITTING)
            with self._phase("commit"):
                self._commit()
                self._continue_run(key)
        except _Stop:
            self.applied.move(State.REFUSED)
            return self._report(State.REFUSED, False), [], None
        except Refused as error:
            self.findings.append(Finding.of(error))
            self.applied.move(State.REFUSED)
            return self._report(State.REFUSED, False), [], None
        with self._phase("census"):
            self._after()
        return self._report(State.COMMITTED, True), self.old, self.applied

    def _continue_run(self, key: str) -> None:
        """An earlier run under the same key: this one keeps its originals, and what it alone wrote."""
        for earlier in [a for a in self.engine.stack if key and a.key == key and a is not self.applied]:
            first = {(id(e.store.owner), e.store.name): e for e in earlier.undo.entries}
            mine = self.applied.places()
            self.applied.undo.entries[:] = [
                Entry(e.store, first[id(e.store.owner), e.store.name].old) if (id(e.store.owner), e.store.name) in first else e
                for e in self.applied.undo.entries
            ]
            left = [e for place, e in first.items() if place not in mine]
            self.applied.undo.entries[:0] = left
            self.applied.codes += earlier.codes
            earlier.move(State.REPLACED)
            self.engine.stack.remove(earlier)
            if left:
                names = ", ".join(sorted({str(e.store.name) for e in left if not str(e.store.name).startswith("__")})[:5])
                self.find(
                    Finding(
                        "left-from-earlier-run",
                        Severity.NOTE,
                        self.patch_id,
                        f"an earlier run of this file changed {names or 'more'}, which isn't in it any more; it stays",
                        hint="revert takes that back too",
                    )
                )

    rows: Sequence[Row] = ()

    @contextlib.contextmanager
    def _phase(self, name: str) -> Iterator[None]:
        with self.pace.phase(name):
            self.step(name)
            yield

    def find(self, finding: Finding) -> None:
        """Note a finding; an error that was accepted becomes a warning."""
        if finding.severity is Severity.ERROR and accepts(self.accept, finding):
            finding = Finding(finding.code, Severity.WARNING, finding.target, f"accepted: {finding.message}", finding.hint)
        self.findings.append(finding)

    def _stop_at_errors(self) -> None:
        if any(f.severity is Severity.ERROR for f in self.findings):
            raise _Stop

    # ------------------------------------------------------------ read, compile

    def _refuse_free_threaded(self) -> None:
        if sys.abiflags.find("t") >= 0 or not getattr(sys, "_is_gil_enabled", lambda: True)():
            raise Denied(
                "free-threaded",
                "this build of Python has no GIL: there a single store to a function's code can kill the process",
                hint="restart with the fix, or run the build with the GIL",
            )

    def _read(self, source: Source) -> Patch:
        self._refuse_free_threaded()
        if isinstance(source, Patch):
            patch = source
        elif isinstance(source, bytes):
            patch = load(source, rest=self.pace)
        else:
            patch = load(_bytes_of(source), source=os.fspath(source), rest=self.pace)
        self.patch_id, self.meta = patch.id, patch.meta
        self.applied.patch_id, self.applied.meta = patch.id, patch.meta
        self.findings += patch.remarks
        if patch.left_out and not self.partial:
            raise Refused(
                "partial-patch",
                f"the patch leaves out {len(patch.left_out)} of the differences: {', '.join(f.code for f in patch.left_out[:5])}",
                target=patch.left_out[0].target,
                hint="apply it with partial=True (--partial) if you know that what it leaves out isn't needed",
            )
        for finding in patch.left_out:
            self.findings.append(
                Finding(finding.code, Severity.WARNING, finding.target, f"left out: {finding.message}", finding.hint)
            )
        return patch

    def _is_live(self) -> bool:
        """True if this very patch is live and nothing stands on it: nothing to do."""
        stack = self.engine.stack
        mine = next((a for a in reversed(stack) if a.patch_id == self.patch_id), None)
        if mine is None or any(mine.places() & a.places() for a in stack[stack.index(mine) + 1 :]):
            return False
        if any(
            swap.read(e.store.owner, e.store.name, e.store.via) is not e.store.new
            for e in mine.undo.entries
            if e.store.name == "__code__"
        ):
            return False
        self.rows = [Row(r.target, "already-fixed", r.functions) for r in (mine.report.changed if mine.report else ())]
        self.find(Finding("already-fixed", Severity.NOTE, self.patch_id, "this patch is live already"))
        return True

    def _compile(self, patch: Patch) -> list[tuple[Change, Definition | None, Definition]]:
        out = []
        for change in patch.changes:
            if change.after is None:
                raise Refused("bad-patch", "a change without after", target=str(change.target))
            try:
                out.append((change, self._side(change, change.before, before=True), self._after_side(change)))
            except SutureError as error:
                self.findings.append(Finding.of(error))
            self.pace()
        self._stop_at_errors()
        return out

    def _side(self, change: Change, text: str | None, *, before: bool) -> Definition | None:
        if text is None:
            return None
        scope = change.scope
        made = compile_text(
            text,
            classes=scope.classes,
            filename=change.target.path or "<patch>",
            line=(scope.line_before if before else scope.line_after) or 1,
            flags=scope.future_before if before else scope.future_after,
            imports=scope.imports_before if before else scope.imports_after,
        )
        self.pace()
        return made

    def _after_side(self, change: Change) -> Definition:
        made = self._side(change, change.after, before=False)
        assert made is not None
        return made

    # ------------------------------------------------------------ resolve

    def _resolve(self, patch: Patch, pairs: list[tuple[Change, Definition | None, Definition]]) -> None:
        modules = Modules()
        self.modules = modules
        self.resolver = Resolver(modules, self.engine.prints(), _origin, self.pace)
        unloaded: dict[str, str] = {}
        for change, before, after in pairs:
            try:
                live = modules.of(change.target)
                if not live:
                    unloaded.setdefault(change.target.module, change.target.path)
                    continue
                for module in live:
                    work = Work(change, before, self._renamed(after, module, change), module)
                    self.works.append(work)
                    self._locate(work)
            except SutureError as error:
                self.find(Finding.of(error))
            self.pace()
        self._not_loaded(patch, unloaded)
        self._moved_lines(patch)

    def _renamed(self, after: Definition, module: types.ModuleType, change: Change) -> Definition:
        """The new code's own file name: ``<module path>@<patch id>``."""
        file = module.__dict__.get("__file__")
        name = f"{file if isinstance(file, str) else change.target.path or module.__name__}{PATCH_MARK}{self.patch_id}"
        return compile_text(
            after.text,
            classes=after.classes,
            filename=name,
            line=change.scope.line_after or 1,
            flags=after.flags,
            imports=after.imports,
        )

    def _locate(self, work: Work) -> None:
        change = work.change
        if change.scope.classes:
            work.owner = self.resolver.container(work.module, change.scope.classes)
        if change.kind is Kind.VALUE and change.before is not None:
            self._locate_value(work)
        elif change.expect is Expect.ABSENT:
            self._expect_absent(work)
        elif change.kind is Kind.NESTED:
            self._locate_nested(work)
        else:
            try:
                self.resolver.match(work)
            except Refused as error:
                if error.code != "conflict" or not self._stands_on_original(work):
                    raise
            if work.status == "already-fixed":
                self._already(work)

    def _already(self, work: Work) -> None:
        self.find(Finding("already-fixed", Severity.NOTE, work.target, "the live code is what this patch would make it"))

    def _stands_on_original(self, work: Work) -> bool:
        """True if the patch was built from what an older live patch replaced: then it takes that one's place."""
        before = work.before
        assert before is not None and before.code is not None
        want = fingerprint(before.code)
        for applied in reversed(self.engine.stack):
            old = {(id(e.store.owner), e.store.name): e.old for e in applied.undo.entries}
            sites = [
                s
                for s in self.resolver.functions(work)
                if (id(s.function), "__code__") in old and self.resolver.print_of(old[id(s.function), "__code__"]) == want
            ]
            if sites:
                work.sites = sites
                if applied not in self.replaces:
                    self.replaces.append(applied)
                return True
        return False

    def _expect_absent(self, work: Work) -> None:
        change = work.change
        if change.scope.classes and work.owner is None:
            raise Refused(
                "target-missing",
                f"there is no class {'.'.join(change.scope.classes)} by that name",
                target=work.target,
                hint="the process runs another version: rebuild from the source that it was started from",
            )
        space = self.resolver.space(work)
        names = change.names or (change.target.name,)
        there = [n for n in names if mangled(n, change.scope.classes) in space]
        if not there or change.target.slot:
            return
        if self._is_what_it_adds(work, space):
            work.status = "already-fixed"
            self._already(work)
            return
        raise Refused(
            "already-defined",
            f"adds {there[0]}, but the process has something of that name",
            target=work.target,
            hint="rename it in the fix, or revert what put it there",
        )

    def _is_what_it_adds(self, work: Work, space: Mapping[str, Any]) -> bool:
        """True if the live name already holds what the addition would bind, as far as that can be seen without running it."""
        node, change = work.after.node, work.change
        if isinstance(node, ast.Import):
            return all(
                (a.asname or a.name.partition(".")[0]) in space
                and sys.modules.get(a.name if a.asname else a.name.partition(".")[0]) is space[a.asname or a.name.partition(".")[0]]
                and a.name in sys.modules
                for a in node.names
            )
        if isinstance(node, ast.ImportFrom):
            return all((a.asname or a.name) in space for a in node.names)
        if change.kind is Kind.FUNCTION:
            return any(
                s.function.__code__.co_name == change.target.name
                and fingerprint(s.function.__code__) == fingerprint(work.after.code)
                for s in self.resolver.functions(work)
                if work.after.code is not None
            )
        if change.kind is Kind.VALUE:
            want = _literal(work.after.node)
            return want is not ABSENT and _alike(space.get(mangled(change.target.name, change.scope.classes)), want)
        live = space.get(change.target.name)
        return (
            issubclass(type(live), type)
            and live.__dict__.get("__module__") == work.module.__name__
            and change.expect is Expect.LIVE
        )

    def _locate_value(self, work: Work) -> None:
        """A constant: the live value must be the one that the old source spells out."""
        assert work.before is not None
        owner, name, via = self._value_place(work)
        live = swap.read(owner, name, via)
        before, after = _literal(work.before.node), _literal(work.after.node)
        if before is ABSENT or after is ABSENT:
            raise Refused("value-changed", "its value is computed when the module is imported", target=work.target, hint="restart")
        if _alike(live, before):
            return
        if _alike(live, after):
            work.status = "already-fixed"
            self._already(work)
            return
        raise Refused(
            "conflict",
            "the live value isn't the one in the source this patch was built from: the program changed it",
            target=work.target,
            hint="set it by hand in a hotfix file, or rebuild from what the process runs",
            evidence={"expected": f"{before!r:.80}", "found": f"{live!r:.80}" if type(live) in _PLAIN else type(live).__qualname__},
        )

    def _value_place(self, work: Work) -> tuple[Any, str, Via]:
        change = work.change
        if work.owner is not None:
            return work.owner, mangled(change.target.name, change.scope.classes), Via.TYPE_SETATTR
        first, dot, attribute = change.target.qualname.partition(".")
        if dot and not change.scope.classes:
            function = work.module.__dict__.get(first)
            if type(function) is types.FunctionType:
                return function, attribute, Via.SETATTR
            raise Refused("target-missing", f"{first} isn't a plain function", target=work.target, hint="set it in a hotfix file")
        if change.scope.classes:
            raise Refused("target-missing", "its class isn't there by name", target=work.target, hint="rebuild")
        return work.module.__dict__, change.target.name, Via.SETITEM

    def _locate_nested(self, work: Work) -> None:
        """Functions and lambdas made by a statement that isn't run again: found by their code."""
        assert work.before is not None
        old, new = inner_codes(work.before.module), inner_codes(work.after.module)
        pairs, alone = pair_codes(old, new)
        changed = [(o, n) for o, n in pairs if fingerprint(o) != fingerprint(n)]
        if alone:
            raise Refused(
                "target-ambiguous",
                "which of its functions became which can't be told",
                target=work.target,
                hint="give the functions names",
            )
        missing = 0
        for was, becomes in changed:
            want, after = fingerprint(was), fingerprint(becomes)
            pool = self.resolver.elsewhere(work, was.co_name)
            found = [s for s in pool if self.resolver.print_of(s.function.__code__) == want]
            if len({id(s.function) for s in found}) > 1:
                found = [s for s in found if s.function.__code__.co_firstlineno == was.co_firstlineno] or found
            for site in {id(s.function): s for s in found}.values():
                work.sites.append(site)
                work.nested.append((site, becomes))
            if not found and not any(fingerprint(s.function.__code__) == after for s in pool):
                missing += 1
        if missing:
            raise Refused(
                "conflict",
                f"{missing} of the functions it makes aren't found live as the old source has them",
                target=work.target,
                hint="rebuild from the source that the process runs",
            )
        if not work.sites:
            work.status = "already-fixed"
            self._already(work)

    def _not_loaded(self, patch: Patch, unloaded: Mapping[str, str]) -> None:
        files = {f.module: f for f in patch.files}
        for change in patch.changes:
            module = change.target.module
            if module not in unloaded:
                continue
            path = self.modules.on_disk(change.target)
            if path is None:
                self.find(
                    Finding(
                        "module-unknown",
                        Severity.ERROR,
                        str(change.target),
                        f"no module {module} is loaded, and no file that an import of it would find",
                        hint="build from the import root, or from the tree that this process runs",
                    )
                )
                continue
            fixed = module in files and files[module].after == text_hash(path)
            self.find(
                Finding(
                    "not-loaded",
                    Severity.NOTE if fixed else Severity.WARNING,
                    str(change.target),
                    f"{module} isn't imported here"
                    + ("; the file has the fix already" if fixed else "; if it is imported later, it runs the old code"),
                    hint="" if fixed else "put the new file in place before it is imported, or apply again afterwards",
                )
            )
        if unloaded and not self.works and any(f.severity is Severity.WARNING and f.code == "not-loaded" for f in self.findings):
            self.find(
                Finding(
                    "nothing-loaded",
                    Severity.ERROR,
                    "",
                    "none of the patch's modules is imported in this process",
                    hint="check the import root",
                )
            )

    def _moved_lines(self, patch: Patch) -> None:
        """Unchanged functions keep their lines; where the file on disk is the new one already, tracebacks show wrong text."""
        for fact in patch.files:
            if not fact.moved:
                continue
            module = self.modules.by_name(fact.module)
            file = module.__dict__.get("__file__") if module is not None else None
            if isinstance(file, str) and fact.after and text_hash(file) == fact.after:
                names = ", ".join(fact.moved[:5])
                self.find(
                    Finding(
                        "lines-moved",
                        Severity.WARNING,
                        f"{fact.module}:{fact.moved[0]}",
                        f"{file} on disk is the new one: tracebacks of unchanged functions ({names}) show it at their old lines",
                        hint="read them beside the old release; a restart ends it",
                    )
                )
            self.pace()

    # ------------------------------------------------------------ judge

    def _judge(self) -> None:
        for work in self.works:
            if work.status != "todo":
                continue
            for finding in (*judge(work.change, work.before, work.after), *judge_live(work)):
                self.find(finding)
            self.pace()

    def _who_is_inside(self) -> None:
        codes = {}
        for work in self.works:
            for site in work.sites:
                codes[id(site.function.__code__)] = (site.function.__code__, work.target)
        listed: dict[str, list[str]] = {}
        for call in frames.inside([c for c, _ in codes.values()], self.pace):
            listed.setdefault(codes[id(call.code)][1], []).append(str(call))
        for finding in cross_calls(self.works, listed):
            self.find(finding)

    # ------------------------------------------------------------ fit

    def _fit(self, *, evaluate: bool) -> None:
        """Work out every store.  Called twice: without evaluating (plan and apply), and in full (apply)."""
        self.stage = Stage("now")
        self.applied.caches, self.applied.codes, self.applied.inner = [], [], []
        self.old, self.extra, self.copies = [], [], {}
        self._take_place()
        for work in self.works:
            if work.status != "todo":
                continue
            try:
                self._fit_one(work, evaluate)
            except SutureError as error:
                self.find(Finding.of(error))
            self.pace()

    def _fit_one(self, work: Work, evaluate: bool) -> None:
        kind, absent = work.change.kind, work.change.before is None
        if absent or rebinds(work.before, work.after):
            if evaluate:
                self._add(work)
        elif kind is Kind.VALUE:
            self._fit_value(work)
        elif kind is Kind.NESTED:
            self._fit_nested(work)
        else:
            for site in work.sites:
                self._fit_function(work, site, evaluate)

    def _add(self, work: Work) -> None:
        for name, value in self.evaluator.add(work):
            if work.owner is not None:
                self.stage.put(work.owner, name, Via.TYPE_SETATTR, value)
                self._protocol(work.owner, name)
                continue
            self.stage.put(work.module.__dict__, name, Via.SETITEM, value)
            for place in work.change.rebind:
                module_name, _, other = place.partition(":")
                module = self.modules.by_name(module_name)
                if module is not None and other == name and other not in module.__dict__:
                    self.stage.put(module.__dict__, other, Via.SETITEM, value)

    def _protocol(self, owner: type, name: str) -> None:
        """A protocol keeps a list of its members (3.12+), and caches of who has them."""
        space = class_space(owner)
        if not space.get("_is_protocol") or not hasattr(owner, "__subclasshook__"):
            return
        members = space.get("__protocol_attrs__")
        if members is not None:
            self.stage.put(owner, "__protocol_attrs__", Via.TYPE_SETATTR, {*members, name})
        self.applied.caches.append(_AbcCache(owner))

    def _fit_value(self, work: Work) -> None:
        assert work.before is not None
        owner, name, via = self._value_place(work)
        before, after = _literal(work.before.node), _literal(work.after.node)
        self.stage.put(owner, name, via, after)
        for place in work.change.rebind:
            module_name, _, other = place.partition(":")
            module = self.modules.by_name(module_name)
            if module is None:
                continue
            live = swap.read(module.__dict__, other, Via.SETITEM)
            if _alike(live, before):
                self.stage.put(module.__dict__, other, Via.SETITEM, after)
            elif not _alike(live, after):
                self.find(
                    Finding(
                        "stays-old",
                        Severity.WARNING,
                        place,
                        f"holds another value than {work.target} had: it was changed there and stays",
                        hint="set it in a hotfix file",
                    )
                )

    def _fit_nested(self, work: Work) -> None:
        for site, becomes in work.nested:
            code = self._code_for(work, site.function, becomes)
            if code is not None:
                self.put_code(site.function, code, becomes)

    def _code_for(self, work: Work, function: types.FunctionType, new: types.CodeType) -> types.CodeType | None:
        """Inner code for a live closure, or None with the warning closures-left."""
        free = function.__code__.co_freevars
        if new.co_freevars == free:
            return new
        nodes = list(fit.function_nodes(work.after, new))
        values = {function.__name__: function} if function.__name__ in new.co_freevars and function.__name__ not in free else {}
        try:
            if len(nodes) != 1:
                raise Refused("does-not-fit", f"{new.co_name} can't be told from another function on its line")
            return fit.fit(work.after, new, free, values, node=nodes[0])
        except Refused as error:
            self._left(work, 1, error.message)
            return None

    def _left(self, work: Work, count: int, why: str) -> None:
        self.find(
            Finding(
                "closures-left",
                Severity.WARNING,
                work.target,
                f"{count} existing inner function{'s' * (count > 1)} of it stay on the old code: {why}",
                hint="they end with their holders; new ones are made with the new code",
            )
        )

    def put_code(self, function: types.FunctionType, code: types.CodeType, as_source: types.CodeType, extra: int = 0) -> None:
        """
        Give a live function new code.

        Args:
            function: It.
            code: Fits it.
            as_source: What the new source compiles to by itself; a later patch's preimage is held against that.
            extra: References to its present code beyond one function (1 for an inner function: the enclosing constants).
        """
        live = function.__code__
        self.stage.put(function, "__code__", Via.SETATTR, code)
        self.applied.codes.append((code, fingerprint(as_source)))
        if not any(c is live for c in self.old):
            self.old.append(live)
            self.extra.append(extra)
        elif extra == 0:
            at = next(i for i, c in enumerate(self.old) if c is live)
            self.extra[at] += 1

    def _now(self, function: types.FunctionType, name: str) -> Any:
        """A field of a live function, as it was before the patches that this one replaces."""
        return self.virtual.get((id(function), name), getattr(function, name))

    def _fit_function(self, work: Work, site: Site, evaluate: bool) -> None:
        before, after, function = work.before, work.after, site.function
        assert before is not None and before.code is not None and after.code is not None
        if fingerprint(before.code) != fingerprint(after.code) or self.virtual:
            live = function.__code__
            values: dict[str, Any] = {}
            if "__class__" in after.code.co_freevars and "__class__" not in live.co_freevars:
                if work.owner is None:
                    raise Refused("does-not-fit", "super() needs its class, which isn't there by name", target=work.target)
                values["__class__"] = work.owner
            try:
                code = fit.fit(after, after.code, live.co_freevars, values)
            except Refused as error:
                raise Refused(error.code, error.message, target=work.target, hint=error.hint, evidence=error.evidence) from error
            code, changed, alone = _grafted(live, code)
            self._fit_closures(work, live, changed, alone)
            self.put_code(function, code, after.code)
        self._fit_defaults(work, site, evaluate)
        self._fit_annotations(work, site, evaluate)
        self._fit_doc(work, site)
        if any(n in CACHES for n in decorator_names(before)):
            self.applied.caches += [w for w in site.wrappers if type(w) is LRU]

    def _fit_closures(
        self, work: Work, live: types.CodeType, changed: list[tuple[types.CodeType, types.CodeType]], alone: list[types.CodeType]
    ) -> None:
        """Existing inner functions, made by calls that have ended, get the new code too."""
        if not changed and not alone:
            return
        becomes = {id(o): n for o, n in changed}
        held: list[tuple[types.CodeType, Any]] = [*changed, *((c, None) for c in alone), (_control(), None)]
        alone = []
        codes = [c for c, _ in held]
        found, left = walk.find_by_code(codes, self.pace)
        codes.pop()
        unaccounted = 0
        mine = frames.inside(codes, self.pace)
        for code in codes:
            for _, function in found[id(code)]:
                new = becomes.get(id(code))
                if new is None:
                    self._left(work, 1, "the new source has no function in its place")
                elif not _same_call(code, new):
                    self._left(work, 1, "its parameters or defaults change, and the old defaults were computed when it was made")
                else:
                    fitted = self._code_for(work, function, new)
                    if fitted is not None:
                        self.put_code(function, fitted, new, extra=1)
            unaccounted += max(0, left[id(code)] - sum(c.code is code for c in mine))
        self.copies[id(live)] = _copy_of(live, {id(o) for o in codes}, self.copies)
        self.applied.inner += [(n, self.copies[id(o)]) for o, n in changed if id(o) in self.copies]
        if unaccounted > 0:
            self.find(
                Finding(
                    "closures-unaccounted",
                    Severity.WARNING,
                    work.target,
                    f"closures-unaccounted: {unaccounted}: references to the old code of its inner functions that nobody was found "
                    "for: closures where suture doesn't look, or suspended calls; they stay on the old code",
                    hint="they end with their holders; restart where that is too late",
                    evidence={"unaccounted": str(unaccounted)},
                )
            )

    def _fit_defaults(self, work: Work, site: Site, evaluate: bool) -> None:
        assert work.before is not None
        before, after = work.before.parameters(), work.after.parameters()
        for kinds, name in ((("positional-only", "positional"), "__defaults__"), (("keyword-only",), "__kwdefaults__")):
            old = {p.name: p.default for p in before if p.kind in kinds and p.default is not None}
            new = {p.name: p.default for p in after if p.kind in kinds and p.default is not None}
            replaced = (id(site.function), name) in self.virtual
            if list(old) == list(new) and all(same_tree(old[n], new[n]) for n in old) and not replaced:
                continue
            live = self._now(site.function, name)
            had = dict(zip(old, live or (), strict=False)) if name == "__defaults__" else dict(live or {})
            made = {}
            for key, node in new.items():
                if key in old and key in had and same_tree(old[key], node):
                    made[key] = had[key]
                elif evaluate:
                    made[key] = self._evaluated(work, node)
            if evaluate:
                value: Any = (tuple(made.values()) or None) if name == "__defaults__" else (made or None)
                self.stage.put(site.function, name, Via.SETATTR, value)

    def _evaluated(self, work: Work, node: ast.expr) -> Any:
        key = (id(work), id(node))
        if key not in self._values:
            self._values[key] = self.evaluator.expression(work, node)
            if not _is_literal(node):
                self.evaluator.ran.append(f"{work.target}: {ast.unparse(node)}")
        return self._values[key]

    def _fit_annotations(self, work: Work, site: Site, evaluate: bool) -> None:
        assert work.before is not None
        old, new = _annotations(work.before), _annotations(work.after)
        if list(old) == list(new) and all(same_tree(old[n], new[n]) for n in old):
            return
        if not evaluate:
            return
        function = site.function
        as_text = bool(work.after.flags & _ANNOTATIONS)
        if sys.version_info >= (3, 14) and not as_text:
            name, value = "__annotate__", self.evaluator.annotate(work)
        else:
            name = "__annotations__"
            had = dict(self._now(function, name))
            value = {}
            for key, node in new.items():
                if key in old and key in had and same_tree(old[key], node):
                    value[key] = had[key]
                else:
                    value[key] = ast.unparse(node) if as_text else self._evaluated(work, node)
        was = swap.read(function, name, Via.SETATTR)
        self.stage.put(function, name, Via.SETATTR, value)
        for wrapper in site.wrappers:
            if type(wrapper) is types.FunctionType and swap.read(wrapper, name, Via.SETATTR) is was:
                self.stage.put(wrapper, name, Via.SETATTR, value)

    def _fit_doc(self, work: Work, site: Site) -> None:
        assert work.before is not None
        old, new = work.before.doc(), work.after.doc()
        if old == new:
            return
        for holder in (site.function, *site.wrappers):
            if type(holder) in (types.FunctionType, property) and getattr(holder, "__doc__", None) == old:
                self.stage.put(holder, "__doc__", Via.SETATTR, new)

    def _take_place(self) -> None:
        """Where this patch takes an older one's place, begin by putting that one's places back."""
        self.virtual = {}
        if not self.replaces:
            return
        mine = {id(s.function) for w in self.works for s in w.sites}
        names = {(id(w.module.__dict__), n) for w in self.works for n in (w.change.names or (w.change.target.name,))}
        for applied in self.replaces:
            uncovered = [
                e
                for e in applied.undo.entries
                if id(e.store.owner) not in mine and (id(e.store.owner), e.store.name) not in names and e.old is not ABSENT
            ]
            if uncovered and not self.replace:
                raise Refused(
                    "overlap",
                    f"it was built from the source before {applied.patch_id} and covers only a part of it",
                    target=self.patch_id,
                    hint=f"revert {applied.patch_id} first, rebuild on top of it, or replace=True puts the rest of it back",
                )
            for entry in applied.undo.entries:
                store = entry.store
                self.stage.put(store.owner, store.name, store.via, entry.old)
                if isinstance(store.name, str):
                    self.virtual[id(store.owner), store.name] = entry.old

    # ------------------------------------------------------------ evaluate, commit

    _values: dict[tuple[int, int], Any]

    def _evaluate(self) -> None:
        self._values = {}
        warnings = list(self.findings)
        self.step("evaluate-first")
        self._fit(evaluate=True)
        self.findings = warnings + [f for f in self.findings[len(warnings) :] if f not in warnings]
        self._stop_at_errors()
        if self.evaluator.ran:
            self.find(Finding("evaluated", Severity.NOTE, self.patch_id, "ran at apply: " + "; ".join(self.evaluator.ran[:12])))

    def _commit(self) -> None:
        crossing = list(cross_calls(self.works, {}))
        control = _control()
        self.stage.guards.append(
            Guard(control_function := _function_of(control), "__code__", Via.SETATTR, control_function.__code__)
        )
        constants = frames.running_constants()
        # One more than the control: the commit keeps the values that it replaces.
        extra = [e + 1 + (id(c) in constants) for c, e in zip(self.old, self.extra, strict=True)]
        quiet = swap.Quiet([*self.old, control_function.__code__], extra)
        del control
        hooked = swap.audit_hook_present()
        self.pace.rest()
        for attempt in range(QUIET_TRIES + 1):
            quiet.insist = bool(crossing) and attempt < QUIET_TRIES
            try:
                self._commit_once(hooked, quiet)
                break
            except Refused as error:
                if error.code != "busy":
                    raise
                self.pace.rest(frames.QUIET_PAUSE_S)
        if crossing:
            self._say_who_crossed(quiet)

    def _commit_once(self, hooked: bool, quiet: swap.Quiet) -> None:
        self.step("commit")
        self.applied.state = State.COMMITTED  # true from the moment that the C call records it; put right below if it doesn't
        start = frames.clock_ns()
        try:
            swap.commit(
                self.stage.stores,
                self.stage.guards,
                record=[(self.engine.stack.append, self.applied)],
                hooked=hooked,
                into=self.applied.undo,
                copies=self.copies,
                quiet=quiet,
            )
        except BaseException:
            if not self.applied.undo.done:
                self.applied.state = State.COMMITTING
            raise
        self.commit_us = (frames.clock_ns() - start) / 1e3
        self._hand_down()
        self._forget_replaced()

    commit_us = 0.0

    def _forget_replaced(self) -> None:
        if not self.replaces:
            return
        kept: dict[tuple[int, Any], Entry] = {}
        for entry in self.applied.undo.entries:  # a place may have been put back first, and written then
            place = (id(entry.store.owner), entry.store.name)
            original = self.virtual.get(place, kept[place].old if place in kept else entry.old)
            kept[place] = Entry(entry.store, original)
        self.applied.undo.entries[:] = [e for e in kept.values() if e.store.new is not e.old]
        for applied in self.replaces:
            applied.move(State.REPLACED)
            self.engine.stack.remove(applied)

    def _hand_down(self) -> None:
        """
        Let the patches beneath hold what a revert of this one puts back, instead of the code that it replaced.

        So the old code can end, and they know their own again afterwards.
        """
        put: dict[int, types.CodeType] = dict(self.copies)
        for guard, entry in zip(self.stage.guards, self.applied.undo.entries, strict=False):
            if type(guard.was) is types.CodeType and type(entry.old) is types.CodeType:
                put.setdefault(id(guard.was), entry.old)
        for beneath in self.engine.stack[: self.engine.stack.index(self.applied)]:
            beneath.undo.entries[:] = [
                Entry(Store(e.store.owner, e.store.name, e.store.via, put[id(e.store.new)]), e.old) if id(e.store.new) in put else e
                for e in beneath.undo.entries
            ]
            beneath.codes = [(put.get(id(c), c), fp) for c, fp in beneath.codes]
            beneath.inner = [(put.get(id(n), n), o) for n, o in beneath.inner]

    def _say_who_crossed(self, quiet: swap.Quiet) -> None:
        each = quiet.each()
        targets: dict[str, list[str]] = {}
        for code, count in zip(self.old, each, strict=True):
            if count > 0:
                for work in self.works:
                    if any(s.was is code for s in self._was(work)):
                        targets.setdefault(work.target, []).append(f"{count} calls in {code.co_name}")
        for finding in cross_calls(self.works, targets):
            self.find(finding)

    def _was(self, work: Work) -> list[Any]:
        functions = {id(s.function) for s in work.sites}
        return [g for g in self.stage.guards if g.name == "__code__" and id(g.owner) in functions]

    # ------------------------------------------------------------ after

    def _after(self) -> None:
        _register_lines(self.works, self.pace)
        functions = [s.owner for s in self.stage.stores if s.name == "__code__" and s.via is Via.SETATTR]
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
            _clear(self.applied.caches)
            self.find(
                Finding(
                    "cache-clear",
                    Severity.NOTE,
                    self.patch_id,
                    f"{len(sizes)} caches over changed functions cleared, {sum(sizes)} entries",
                )
            )
        self._say_who_stays()
        self.held = census.holders([s.function for w in self.works for s in w.sites], self.pace)

    held: Mapping[int, tuple[int, list[str]]] = {}
    listed: tuple[str, ...] = ()

    def _say_who_stays(self) -> None:
        calls = frames.inside(self.old, self.pace)
        self.listed = tuple(str(c) for c in calls)
        for call in calls:
            for work in self.works:
                if work.before is not None and any(g.was is call.code for g in self._was(work)):
                    looping = _in_loop(work.before, call)
                    self.find(
                        Finding(
                            "inside-old",
                            Severity.WARNING if looping else Severity.NOTE,
                            work.target,
                            f"{call} is inside the old code"
                            + (", in a loop: it stays there until the loop ends" if looping else ""),
                            hint="what the loop calls is patched; a restart of that thread or task ends it" if looping else "",
                        )
                    )
                    break

    def _report(self, state: State, ok: bool) -> Report:
        pace = self.pace
        return Report(
            self.patch_id,
            ok,
            state,
            Process.here(VERSION),
            changed=tuple(self._rows(state)),
            findings=_sorted(self.findings),
            listed=self.listed,
            phase_ms=pace.phase_ms,
            longest_slice_ms=pace.longest_ns / 1e6,
            longest_slice_cpu_ms=pace.longest_cpu_ns / 1e6,
            longest_slice_in=pace.longest_in,
            commit_us=self.commit_us,
            caller_blocked_ms=sum(pace.phase_ms.values()),
            meta=self.meta,
        )

    def _rows(self, state: State) -> Iterator[Row]:
        for row in self.rows:
            yield row if state is State.COMMITTED else Row(row.target, "kept", section=row.section)
        for work in self.works:
            status = work.status
            if status == "todo":
                added = work.change.before is None
                status = {State.COMMITTED: "added" if added else "updated", State.PLANNED: "planned"}.get(state, "kept")
            held = [self.held.get(id(s.function), (0, [])) for s in work.sites]
            yield Row(
                work.target,
                status,
                len({id(s.function) for s in work.sites}),
                sum(n for n, _ in held),
                tuple(p for _, places in held for p in places)[: census.MAX_PLACES],
                work.change.section,
            )


class _Stop(Exception):
    """There are errors among the findings; nothing was changed."""


class _Revert:
    """Take one live patch back."""

    def __init__(self, engine: Engine, applied: Applied, pace: Pace, on_step: Step) -> None:
        self.engine, self.applied, self.pace, self.step = engine, applied, pace, on_step

    def run(self) -> tuple[Report, list[types.CodeType]]:
        """
        Put everything back in one step.

        Returns:
            The report, and the code objects that were taken out.

        Raises:
            Refused: beneath, changed-since.  Nothing was changed.
        """
        findings: list[Finding] = []
        with self.pace.phase("resolve"):
            self.step("resolve")
            self._beneath()
            stage = self._stage(findings)
            self._closures(stage, findings)
        with self.pace.phase("guard"):
            self.step("guard")
            swap.probe()
        old = [g.was for g in stage.guards if type(g.was) is types.CodeType]
        self.applied.move(State.REVERTING)
        with self.pace.phase("commit"):
            try:
                self.step("commit")
                undone = Undo()
                start = frames.clock_ns()
                swap.commit(stage.stores, stage.guards, record=[(self.engine.stack.remove, self.applied)], into=undone)
                commit_us = (frames.clock_ns() - start) / 1e3
            except BaseException:
                self.applied.state = State.COMMITTED if self.applied in self.engine.stack else State.REVERTED
                raise
        self.applied.move(State.REVERTED)
        with self.pace.phase("census"):
            versions.restore([s.owner for s in stage.stores if s.name == "__code__"], self.pace)
            _clear(self.applied.caches)
            listed = tuple(map(str, frames.inside(old, self.pace)))
        rows = [Row(r.target, "reverted", r.functions, r.holders, r.places, r.section) for r in self._rows()]
        report = Report(
            self.applied.patch_id,
            True,
            State.REVERTED,
            Process.here(VERSION),
            changed=tuple(rows),
            findings=_sorted(findings),
            listed=listed,
            phase_ms=self.pace.phase_ms,
            longest_slice_ms=self.pace.longest_ns / 1e6,
            longest_slice_cpu_ms=self.pace.longest_cpu_ns / 1e6,
            longest_slice_in=self.pace.longest_in,
            commit_us=commit_us,
            caller_blocked_ms=sum(self.pace.phase_ms.values()),
            meta=self.applied.meta,
        )
        return report, old

    def _rows(self) -> Sequence[Row]:
        return self.applied.report.changed if self.applied.report is not None else ()

    def _beneath(self) -> None:
        mine = self.applied.places()
        above = self.engine.stack[self.engine.stack.index(self.applied) + 1 :]
        for other in above:
            if mine & other.places():
                raise Refused(
                    "beneath",
                    f"{other.patch_id} stands on it",
                    target=self.applied.patch_id,
                    hint=f"revert {other.patch_id} first",
                )

    def _stage(self, findings: list[Finding]) -> Stage:
        stage = Stage("revert")
        for entry in reversed(self.applied.undo.entries):
            store = entry.store
            live = swap.read(store.owner, store.name, store.via)
            if live is store.new or (store.name == "__annotations__" and live == store.new):
                if not (live is ABSENT and entry.old is ABSENT):
                    stage.put(store.owner, store.name, store.via, entry.old)
                continue
            name = f"{getattr(store.owner, '__qualname__', type(store.owner).__name__)}.{store.name}"
            if store.name == "__code__":
                raise Refused(
                    "changed-since",
                    f"{name} was changed after this patch, by something else",
                    target=self.applied.patch_id,
                    hint="restart",
                )
            findings.append(
                Finding(
                    "changed-since",
                    Severity.WARNING,
                    name,
                    "was changed after this patch and stays as it is",
                    hint="set it by hand",
                )
            )
        return stage

    def _closures(self, stage: Stage, findings: list[Finding]) -> None:
        """Inner functions made while the patch was live go back too."""
        if not self.applied.inner:
            return
        back = {id(new): (new, old) for new, old in self.applied.inner}
        known = {id(s.owner) for s in stage.stores}
        found, _ = walk.find_by_code([*(n for n, _ in back.values()), _control()], self.pace)
        for key, functions in found.items():
            for path, function in functions:
                if id(function) in known or key not in back:
                    continue
                old = back[key][1]
                if old.co_freevars == function.__code__.co_freevars and _same_call(function.__code__, old):
                    stage.put(function, "__code__", Via.SETATTR, old)
                else:
                    findings.append(
                        Finding("closures-left", Severity.WARNING, path, "made by the patched code; stays on it: its cells differ")
                    )


class _AbcCache:
    """Answers of ``isinstance`` that an abstract class remembers; looks like any cache."""

    def __init__(self, owner: type) -> None:
        self.owner = owner

    def cache_clear(self) -> None:
        """Forget them."""
        import _abc  # type: ignore[import-not-found]

        _abc._reset_caches(self.owner)

    def cache_info(self) -> types.SimpleNamespace:
        """Their number isn't to be had."""
        return types.SimpleNamespace(currsize=0)


# ---------------------------------------------------------------- small things that more than one step needs

_PLAIN = (int, float, complex, str, bytes, bool, type(None))
_ANNOTATIONS = 0x1000000  # from __future__ import annotations


def _bytes_of(source: str | os.PathLike[str]) -> bytes:
    try:
        with open(source, "rb") as file:
            return file.read()
    except OSError as error:
        raise Refused(
            "patch-unreadable",
            f"{error.strerror or error}",
            target=os.fspath(source),
            hint="check the path, as this process sees it",
        ) from error


def _origin(function: types.FunctionType) -> str:
    """Id of the patch that put this code there, or ""."""
    return function.__code__.co_filename.rpartition(PATCH_MARK)[2] if PATCH_MARK in function.__code__.co_filename else ""


def _literal(node: ast.stmt) -> Any:
    """Value of an assignment whose right side is plain; ABSENT otherwise."""
    value = getattr(node, "value", None)
    if not isinstance(value, ast.expr):
        return ABSENT
    try:
        return ast.literal_eval(value)
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
        return ABSENT


def _is_literal(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) or (isinstance(node, ast.UnaryOp) and isinstance(node.operand, ast.Constant))


def _alike(a: Any, b: Any) -> bool:
    """Same type and same value; runs nobody's ``__eq__`` (only plain values and containers of them count)."""
    if type(a) is not type(b):
        return False
    if type(a) in (list, tuple):
        return len(a) == len(b) and all(map(_alike, a, b))
    if type(a) in (set, frozenset):
        return all(type(x) in _PLAIN for x in a) and a == b
    if type(a) is dict:
        return list(a) == list(b) and all(_alike(a[k], b[k]) for k in a) if all(type(k) in _PLAIN for k in a) else False
    return type(a) in _PLAIN and repr(a) == repr(b)


def _annotations(definition: Definition) -> dict[str, ast.expr]:
    found = {p.name: p.annotation for p in definition.parameters() if p.annotation is not None}
    returns = definition.function.returns
    return {**found, "return": returns} if returns is not None else found


def text_hash(path: str) -> str:
    """SHA-256 of a source file's text, decoded and with LF; "" if it can't be read."""
    import hashlib
    import io
    import tokenize

    try:
        with open(path, "rb") as file:
            data = file.read()
        encoding, _ = tokenize.detect_encoding(io.BytesIO(data).readline)
        text = data.decode(encoding)
    except (OSError, SyntaxError, UnicodeDecodeError, LookupError):
        return ""
    text = text.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n")
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def _control() -> types.CodeType:
    """A code object that nobody but the caller holds."""
    space: dict[str, Any] = {}
    exec("def control():\n    return None\n", space)
    return space.pop("control").__code__  # type: ignore[no-any-return]  # popped: else the two hold each other


def _function_of(code: types.CodeType) -> types.FunctionType:
    return types.FunctionType(code, {})


def _same_call(a: types.CodeType, b: types.CodeType) -> bool:
    """True if both take the same parameters."""

    def shape(code: types.CodeType) -> tuple[Any, ...]:
        count = code.co_argcount + code.co_kwonlyargcount + bool(code.co_flags & 4) + bool(code.co_flags & 8)
        return code.co_argcount, code.co_posonlyargcount, code.co_kwonlyargcount, code.co_flags & 12, code.co_varnames[:count]

    return shape(a) == shape(b)


def _grafted(
    live: types.CodeType, new: types.CodeType
) -> tuple[types.CodeType, list[tuple[types.CodeType, types.CodeType]], list[types.CodeType]]:
    """
    Put the live inner code objects that didn't change into the new outer code.

    So closures that exist, and those that will be made, share one code object, which is how a later patch finds them.

    Returns:
        The new code; (old, new) of the inner functions that changed; old ones without a partner.
    """
    if not any(isinstance(c, types.CodeType) for c in live.co_consts):
        return new, [], []
    pairs, _ = pair_codes(inner_codes(live), inner_codes(new))
    same = {id(n): o for o, n in pairs if fingerprint(o) == fingerprint(n)}
    new = _with_constants(new, same)
    pairs, alone = pair_codes(inner_codes(live), inner_codes(new))
    return new, [(o, n) for o, n in pairs if o is not n], alone


def _with_constants(code: types.CodeType, put: Mapping[int, types.CodeType]) -> types.CodeType:
    constants = tuple(put.get(id(c)) or _with_constants(c, put) if isinstance(c, types.CodeType) else c for c in code.co_consts)
    if all(a is b for a, b in zip(constants, code.co_consts, strict=True)):
        return code
    return code.replace(co_consts=constants)


def _copy_of(code: types.CodeType, changed: Collection[int], copies: dict[int, types.CodeType]) -> types.CodeType:
    """An equal copy of *code* for the undo, with equal copies of its changed inner codes (noted in *copies*)."""
    put = {}
    for inner in code.co_consts:
        if isinstance(inner, types.CodeType):
            copy = _copy_of(inner, changed, copies)
            if copy is not inner or id(inner) in changed:
                put[id(inner)] = copies[id(inner)] = copy.replace() if copy is inner else copy
    if not put:
        return code
    return code.replace(co_consts=tuple(put.get(id(c), c) for c in code.co_consts))


def _register_lines(works: Sequence[Work], pace: Pace) -> None:
    """Put the new text where tracebacks, ``inspect`` and debuggers look for it, at the new file's lines."""
    import linecache

    texts: dict[str, list[str]] = {}
    for work in works:
        if work.status != "todo":
            continue
        lines = texts.setdefault(work.after.filename, [])
        first = max(1, work.change.scope.line_after)
        new = work.after.text.splitlines(keepends=True)
        lines += ["\n"] * (first - 1 + len(new) - len(lines))
        lines[first - 1 : first - 1 + len(new)] = new
        pace()
    for name, lines in texts.items():
        linecache.cache[name] = (sum(map(len, lines)), None, lines, name)


def _in_loop(definition: Definition, call: frames.Inside) -> bool:
    """True if the call stands in a loop of its own function."""
    code = definition.code
    if code is None or call.code.co_name != code.co_name:
        return False
    node = definition.function
    first = min([node.lineno, *(d.lineno for d in node.decorator_list)])
    line = call.line - call.code.co_firstlineno + first
    loops = (ast.While, ast.For, ast.AsyncFor)
    return any(isinstance(n, loops) and n.lineno <= line <= (n.end_lineno or n.lineno) for n in ast.walk(node))
