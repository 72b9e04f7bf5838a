"""
Take one patch through one process, all or nothing.

    read -> compile -> resolve -> judge -> fit -> evaluate -> guard -> intend -> || commit -> census

Rule 1: everything that can fail stands before ``||``, the point of no return, and writes nothing.
Rule 2: every legal move of a transaction is in stage.MOVES; another one raises, and nothing happens.
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
from collections import deque
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Any

from suture.engine import census, frames, imports, swap, versions
from suture.engine.facts import (
    Definition,
    Fingerprint,
    compile_text,
    fingerprint,
    lines_of,
)
from suture.engine.fitting import Fitting
from suture.engine.inner import control
from suture.engine.locate import Locating
from suture.engine.pace import Pace, uncollected
from suture.engine.plan import Work, cross_calls, judge, judge_live
from suture.engine.revert import Revert
from suture.engine.stage import MOVES, Applied, Filling, Step, clear_caches, order, settle
from suture.engine.swap import ABSENT, CLEARS_VERSION, Entry, Guard, Via
from suture.errors import Denied, Fault, Refused, SutureError
from suture.patch import Change, Finding, Patch, Severity, load
from suture.report import Process, Report, Row, State, stamp

__all__ = ["MOVES", "Engine", "Filling", "Prepared", "Step"]

VERSION = "0.1.0"
AFTER_IMPORT_S = 2.0  # an import waits that long for another transaction, and goes on without the fix
QUIET_TRIES = 200  # a quarter of a millisecond apart: some 50 ms, then it goes in all the same and says who was inside
LONG = 4_000  # characters of a definition, from which on it is compiled in two slices
Source = Patch | bytes | str | os.PathLike[str]
Outcome = tuple[Report, list[types.CodeType], Applied | None]  # report, old code, what is live now


class Engine:
    """
    All of suture that a process has; one of it.

    Threads: any; calls wait for each other.
    """

    def __init__(self) -> None:
        self.stack: list[Applied] = []
        self.back: list[tuple[types.CodeType, Fingerprint]] = []  # old code made to fit, which reverts put back
        self.finder = imports.Finder(self.stack, self._after_import)
        self._begin()
        os.register_at_fork(after_in_child=self._begin)

    def _begin(self) -> None:
        """With a free lock: a fork copies one that another thread holds, and nobody in the child would let it go."""
        self._lock = threading.RLock()
        self.finder.forked()

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
            report = applied.report
            if report is None:  # its apply was interrupted behind the commit
                rows = tuple(applied.functions())
                here = Process.here(VERSION)
                report = Report(
                    applied.patch_id, True, applied.state, here, rows, inside_old=None, at=applied.at, meta=applied.meta
                )
            drained = report.drained
            report.inside_old = drained.calls() if isinstance(drained, frames.Drain) else report.inside_old
            imports.tell(report, applied)
            out.append(report)
        return tuple(out)

    def revert(self, patch_id: str, *, on_step: Step = lambda _: None) -> Report:
        """Take back the patch with that id (or the start of one)."""
        pace = Pace()
        with self._only_one() as free:
            if not free:
                return _refusal(patch_id, [_busy()], pace)
            try:
                applied = self._find(patch_id)
                imports.refuse_revert(applied)
                report, old = Revert(self.stack, applied, pace, on_step).run(VERSION)
                del applied  # it holds what was taken out, and would be counted
            except SutureError as error:
                return _refusal(patch_id, [Finding.of(error)], pace)
        pace.measure(report)
        drain = frames.Drain(old)
        old.clear()
        report.drained, report.inside_old = drain, drain.calls()
        return report

    # ------------------------------------------------------------ inside

    def _run(self, source: Source, *, commit: bool, **options: Any) -> Report:
        with self._only_one() as free:
            if not free:
                return _refusal("", [_busy()], Pace())
            transaction = self._transaction(**options)
            return self._ended(transaction, transaction.run(source, commit=commit))

    def prepare(self, source: Source, **options: Any) -> tuple[Report, Prepared | None]:
        """
        Do all of an apply that can fail, and stop before the commit.

        Nothing is changed, and nothing is locked: what the process does meanwhile is found by the guards.

        Returns:
            A report in state "prepared" with what commits it; or a final report (refused, or live already) and None.
        """
        with self._only_one() as free:
            if not free:
                return _refusal("", [_busy()], Pace()), None
            transaction = self._transaction(**options)
            report = transaction.prepare(source, commit=True)
            if report is not None:
                return self._ended(transaction, (report, [], None)), None
            return transaction.prepared(), Prepared(self, transaction)

    def _transaction(
        self,
        *,
        accept: Collection[str] = (),
        partial: bool = False,
        replace: bool = False,
        on_step: Step = lambda _: None,
    ) -> _Transaction:
        made = _Transaction(self.prints, self.stack, Pace(), frozenset(accept), partial, replace, on_step)
        made.finder = self.finder
        return made

    def _ended(self, transaction: _Transaction, outcome: Outcome) -> Report:
        report, old, applied = outcome
        pace = transaction.pace
        transaction.let_go()
        del transaction, outcome
        pace.measure(report)
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
        with self._only_one() as free:
            if not free:
                return _refusal(patch_id, [_busy()], Pace())
            transaction = self._transaction(on_step=on_step)
            return self._ended(transaction, transaction.run_filled(patch_id, fill, key))

    def _drain(self, report: Report, old: list[types.CodeType], applied: Applied) -> None:
        """Say who is still inside, and leave the old code to end by itself."""
        caches = applied.caches
        drain = frames.Drain(old, (lambda: clear_caches(caches)) if caches else None)
        old.clear()
        report.drained = drain
        report.inside_old = drain.calls()
        applied.report = report

    @contextlib.contextmanager
    def _only_one(self) -> Iterator[bool]:
        if self._lock._is_owned():  # type: ignore[attr-defined]  # from inside an expression that a patch evaluates
            yield False
            return
        with self._lock, self.finder:
            self._settle()
            yield True

    # ------------------------------------------------------------ what imports have done

    def _settle(self) -> None:
        """What went in at imports since: put into the undo of its patch, before anything else looks at it."""
        for applied in reversed(self.stack):  # a newer patch first: the older one's code is what that one puts back
            for arm in applied.armed:
                while arm.todo:
                    transaction = self._transaction(replace=True)
                    try:
                        imports.mirror(transaction, applied, arm, arm.todo[0])
                    except (SutureError, _Stop) as error:
                        arm.stuck.append(f"{arm.module}: {error}")
                    self.back += transaction.applied.codes
                    transaction.let_go()
                    del arm.todo[0]

    def _after_import(self, applied: Applied, arm: imports.Arm, module: types.ModuleType) -> str:
        """
        Put a patch into one module whose body has just run.

        Returns:
            "" or why it isn't in.  Waits for another transaction for a moment only: that one may be waiting for this import.
        """
        if self._lock._is_owned() or not self._lock.acquire(timeout=AFTER_IMPORT_S):  # type: ignore[attr-defined]
            return "another transaction was under way"
        try:
            transaction = self._transaction(accept=arm.accept)
            transaction.importing, transaction.part_of = module, applied
            report = self._ended(transaction, transaction.run(Patch(applied.patch_id, arm.changes), commit=True))
            if not report.ok:
                return "; ".join(f"{f.code} {f.target}: {f.message}" for f in report.findings if f.severity is Severity.ERROR)
            if all(r.status == "already-fixed" for r in report.changed):
                arm.state, arm.said = "already-fixed", "its code has the fix"
            return ""
        finally:
            self._lock.release()

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
        codes = [*self.back, *(pair for applied in self.stack for pair in applied.codes)]
        return {id(code): fp for code, fp in codes}


class Prepared:
    """
    An apply that waits for its commit.  Used once; ``commit`` and ``discard`` from any thread.
    """

    def __init__(self, engine: Engine, transaction: _Transaction) -> None:
        self._engine = engine
        self._waiting = [transaction]

    def commit(self) -> Report:
        """
        Take it live, if the process still is what it was.

        Returns:
            The report: committed, or refused with nothing changed (moved-meanwhile; prepared-over: discarded before).
        """
        with self._engine._only_one() as free:
            if not free:
                return _refusal("", [_busy()], Pace())
            try:
                transaction = self._waiting.pop()
            except IndexError:
                return _refusal("", [_over()], Pace())
            return self._engine._ended(transaction, transaction.finish())

    def discard(self) -> None:
        """Forget it; nothing was changed."""
        with contextlib.suppress(IndexError):
            transaction = self._waiting.pop()
            transaction.applied.move(State.REFUSED)
            transaction.let_go()


def _over() -> Finding:
    return Finding(
        "prepared-over", Severity.ERROR, "", "it was committed or discarded before; nothing was changed now", hint="apply again"
    )


def _nothing_live(patch_id: str) -> Finding:
    return Finding(
        "nothing-live",
        Severity.NOTE,
        patch_id,
        "it has nothing to change in this process: it isn't among the live patches, and there is nothing to revert",
    )


def _go_on() -> None:
    """Rest not at all."""


def _busy() -> Finding:
    return Finding("busy", Severity.ERROR, "", "another transaction is under way in this thread", hint="apply when it has ended")


def _refusal(patch_id: str, findings: Sequence[Finding], pace: Pace, meta: Mapping[str, str] | None = None) -> Report:
    report = Report(
        patch_id,
        False,
        State.REFUSED,
        Process.here(VERSION),
        findings=order(findings),
        phase_ms=pace.phase_ms,
        meta=meta or {},
    )
    pace.measure(report)
    return report


class _Transaction(Locating, Fitting):
    """One patch on its way.  Lives for one call."""

    patch: Patch | None = None

    # ------------------------------------------------------------ the way of a patch

    def run(self, source: Source, *, commit: bool) -> Outcome:
        """Go all the way, or say no."""
        report = self.prepare(source, commit=commit)
        return self.finish() if report is None else (report, [], None)

    def prepare(self, source: Source, *, commit: bool) -> Report | None:
        """Do all that can fail.  Returns a report if that is the end of it (refused, planned, live already)."""
        try:
            with self._phase("read"):
                patch = self._read(source)
                if self.part_of is None and self._is_live():
                    return self._report(State.COMMITTED if commit else State.PLANNED, True)
            with self._phase("compile"):
                pairs = self._compile(patch)
            with self._phase("resolve"):
                self.locate(patch, pairs)
            with self._phase("judge"):
                self._judge()
            with self._phase("fit"):
                self.fit(evaluate=False)
            self._stop_at_errors()
            nothing = not self.unloaded and all(w.status != "todo" for w in self.works)
            if nothing:
                self.find(_nothing_live(self.patch_id))
            if not commit:
                with self._phase("judge"):
                    self._who_is_inside()
                self.applied.move(State.PLANNED)
                return self._report(State.PLANNED, True)
            if nothing:
                return self._report(State.COMMITTED, True)
            with self._phase("evaluate"):
                self._evaluate()
        except _Stop:
            return self._refused()
        except SutureError as error:
            return self._refused(error)
        return None

    def finish(self) -> Outcome:
        """Look at the guards again, commit, see what holds what."""
        try:
            with self._phase("guard"):
                swap.probe()
                self._arm()
            self.step("intend")
            self.applied.move(State.COMMITTING)
            with self._phase("commit"):
                self._commit()
        except Fault as error:
            self.findings.append(Finding.of(error))
            self.applied.move(State.DAMAGED)
            raise
        except SutureError as error:
            return self._refused(error), [], None
        with self._phase("census"):
            self._after()
            self._join()
            return self._report(State.COMMITTED, True), self.old, self.applied

    finder: imports.Finder
    part_of: Applied | None = None

    def _arm(self) -> None:
        """Stand where imports come by.  The commit itself arms, and stops where a module was imported meanwhile."""
        if self.part_of is None and self.patch is not None:
            self.applied.armed = imports.arms_of(self.patch, self.works, self.unloaded, self.accept, self.pace)
            self.finder.ready(self.applied.armed)
            self.stage.guards += [Guard(sys.modules, name, Via.SETITEM, ABSENT) for name in self.unloaded]

    def _join(self) -> None:
        """What was done in an import becomes a part of the patch that it's of."""
        if self.part_of is not None:
            imports.join(self.part_of, self.applied)
            self.applied.move(State.REPLACED)
            self.stack.remove(self.applied)

    def prepared(self) -> Report:
        """The report of what waits for its commit."""
        return self._report(State.PREPARED, True)

    def _refused(self, error: SutureError | None = None) -> Report:
        if error is not None:
            self.findings.append(Finding.of(error))
        self.applied.move(State.REFUSED)
        return self._report(State.REFUSED, False)

    def run_filled(self, patch_id: str, fill: Callable[[Filling], list[Row]], key: str) -> Outcome:
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
            return self._refused(), [], None
        except Refused as error:
            return self._refused(error), [], None
        with self._phase("census"):
            self._after()
            return self._report(State.COMMITTED, True), self.old, self.applied

    def _continue_run(self, key: str) -> None:
        """An earlier run under the same key: this one keeps its originals, and what it alone wrote."""
        for earlier in [a for a in self.stack if key and a.key == key and a is not self.applied]:
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
            self.stack.remove(earlier)
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

    @contextlib.contextmanager
    def _phase(self, name: str) -> Iterator[None]:
        with self.pace.phase(name):
            self.step(name)
            yield

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
        self.patch = patch
        self.patch_id, self.meta = patch.identify(self.pace) if self.part_of is None else self.part_of.patch_id, patch.meta
        self.applied.patch_id, self.applied.meta = self.patch_id, patch.meta
        self.pace()
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
        stack = self.stack
        mine = next((a for a in reversed(stack) if a.patch_id == self.patch_id), None)
        if mine is None or any(mine.places() & a.places() for a in stack[stack.index(mine) + 1 :]):
            return False
        if any(
            swap.read(e.store.owner, e.store.name, e.store.via) is not e.store.new
            for e in mine.undo.entries
            if e.store.name == "__code__"
        ):
            return False
        self.rows = [
            Row(r.target, r.status if r.status in ("armed", "left") else "already-fixed", r.functions)
            for r in (mine.report.changed if mine.report else ())
        ]
        self.find(Finding("already-fixed", Severity.NOTE, self.patch_id, "this patch is live already"))
        return True

    def _compile(self, patch: Patch) -> deque[tuple[Change, Definition | None, Definition]]:
        out: deque[tuple[Change, Definition | None, Definition]] = deque()
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
        long = len(text) > LONG
        with contextlib.nullcontext() if long else uncollected():
            made = compile_text(
                text,
                classes=scope.classes,
                filename=change.target.path or "<patch>",
                line=(scope.line_before if before else scope.line_after) or 1,
                flags=scope.future_before if before else scope.future_after,
                imports=scope.imports_before if before else scope.imports_after,
                rest=self.pace.rest if long else _go_on,
            )
        self.pace()
        return made

    def _after_side(self, change: Change) -> Definition:
        made = self._side(change, change.after, before=False)
        assert made is not None
        return made

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

    # ------------------------------------------------------------ evaluate, commit

    def _evaluate(self) -> None:
        self.values = {}
        warnings = list(self.findings)
        self.step("evaluate-first")
        self.fit(evaluate=True)
        self.findings = warnings + [f for f in self.findings[len(warnings) :] if f not in warnings]
        self._stop_at_errors()
        if self.evaluator.ran:
            self.find(Finding("evaluated", Severity.NOTE, self.patch_id, "ran at apply: " + "; ".join(self.evaluator.ran[:12])))

    def _commit(self) -> None:
        crossing = list(cross_calls(self.works, {}, self.pace))
        control_function = _function_of(control())  # in no variable: up to 3.12 a profiler's snapshot of our locals keeps it
        self.stage.guards.append(Guard(control_function, "__code__", Via.SETATTR, control_function.__code__))
        constants = frames.running_constants()
        # Two more than the control: our own list of them, and the commit's of the values that it replaces.
        extra = [e + 2 + (id(c) in constants) for c, e in zip(self.old, self.extra, strict=True)]
        quiet = swap.Quiet([*self.old, control_function.__code__], extra)
        hooked = swap.audit_hook_present()
        stage = self.stage
        ready = swap.Prepared(stage.stores, stage.guards, into=self.applied.undo, copies=self.copies, rest=self.pace)
        self.pace.rest()
        for attempt in range(QUIET_TRIES + 1):
            quiet.insist = bool(crossing) and attempt < QUIET_TRIES
            try:
                self._commit_once(ready, hooked, quiet)
                break
            except Refused as error:
                if error.code != "busy":
                    raise
                self.pace.rest(frames.QUIET_PAUSE_S)
        self._settle()
        self.pace.rest()
        if crossing:
            self._say_who_crossed(quiet)

    def _commit_once(self, ready: swap.Prepared, hooked: bool, quiet: swap.Quiet) -> None:
        self.step("commit")
        self.applied.state = State.COMMITTED  # true from the moment that the C call records it; put right below if it doesn't
        start = frames.clock_ns()
        try:
            ready.commit(record=[(self.stack.append, self.applied)], hooked=hooked, quiet=quiet)
        except BaseException:
            if not self.applied.undo.done:
                self.applied.state = State.COMMITTING
            raise
        self.commit_us = (frames.clock_ns() - start) / 1e3
        self.applied.at = stamp()

    commit_us = 0.0

    def _settle(self) -> None:
        """Make the undo lead to before the replaced patches, and tell those beneath what stands in their places."""
        entries = self.applied.undo.entries
        if not self.replaces and self.stack[0] is self.applied and len(self.applied.places()) == len(entries):
            return  # no place twice, and nobody beneath
        kept: dict[tuple[int, Any], Entry] = {}
        for entry in entries:  # a place may have been put back first, and written then
            place = (id(entry.store.owner), entry.store.name)
            kept[place] = Entry(entry.store, self.virtual.get(place, kept[place].old if place in kept else entry.old))
        written = {(id(e.store.owner), e.store.name) for e in entries[self.first :]}
        restored = [e for place, e in kept.items() if place not in written]
        entries[:] = [e for place, e in kept.items() if place in written]
        for applied in self.replaces:
            applied.move(State.REPLACED)
            self.stack.remove(applied)
        now = {id(e.store.owner): e.old for e in entries if e.store.name == "__code__"}
        now |= {id(e.store.owner): e.store.new for e in restored if e.store.name == "__code__"}
        becomes: Mapping[int, Sequence[types.CodeType]] = {**{k: (c,) for k, c in self.copies.items()}, **self.going_back}
        settle(self.stack[: self.stack.index(self.applied)], now, becomes)

    def _say_who_crossed(self, quiet: swap.Quiet) -> None:
        targets: dict[str, list[str]] = {}
        for code, held in zip(self.old, quiet.each(), strict=True):
            self.pace()
            if count := frames.calls_of(code.co_flags, held):
                for work in self.works:
                    if any(s.was is code for s in self._was(work)):
                        targets.setdefault(work.target, []).append(f"{count} call{'s' * (count > 1)} in {code.co_name}")
        for finding in cross_calls(self.works, targets):
            self.find(finding)

    def _was(self, work: Work) -> list[Any]:
        functions = {id(s.function) for s in work.sites}
        return [g for g in self.stage.guards if g.name == "__code__" and id(g.owner) in functions]

    # ------------------------------------------------------------ after

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
        self.pace()
        self.held = census.holders([s.function for w in self.works for s in w.sites], self.pace, others=strays.look)
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
        for work in self.works:
            self.pace()
            status = work.status
            if status == "todo":
                added = work.change.before is None
                status = {
                    State.COMMITTED: "added" if added else "updated",
                    State.PLANNED: "planned",
                    State.PREPARED: "planned",
                }.get(state, "kept")
            held = [self.held.get(id(s.function), (0, [])) for s in work.sites]
            yield Row(
                work.target,
                status,
                len({id(s.function) for s in work.sites}),
                sum(n for n, _ in held),
                tuple(p for _, places in held for p in places)[: census.MAX_PLACES],
                work.change.section,
            )


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


def _place(code: types.CodeType) -> tuple[str, str, int]:
    return code.co_filename, code.co_name, code.co_firstlineno


class _Stop(Exception):
    """There are errors among the findings; nothing was changed."""


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


def _function_of(code: types.CodeType) -> types.FunctionType:
    return types.FunctionType(code, {})


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
