"""
Take one patch through one process, all or nothing.

    read -> compile -> resolve -> judge -> fit -> evaluate -> guard -> intend -> || commit -> census

Rule 1: everything that can fail stands before ``||``, the point of no return, and writes nothing.
Rule 2: every legal move of a transaction is in stage.MOVES; another one raises, and nothing happens.

Only this module knows the order; each step is another room's business.
"""

from __future__ import annotations

import contextlib
import io
import os
import sys
import types
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

from suture.engine import frames, hooks, imports, swap
from suture.engine.account import Accounting
from suture.engine.carried import Carrier, carried
from suture.engine.facts import Definition, compile_text
from suture.engine.fitting import Fitting
from suture.engine.inner import control
from suture.engine.locate import Locating
from suture.engine.mirror import join
from suture.engine.pace import uncollected
from suture.engine.plan import cross_calls, judge, judge_live
from suture.engine.stage import Applied, Filling, settle
from suture.engine.swap import ABSENT, Entry, Guard, Via
from suture.errors import Denied, Fault, Refused, SutureError
from suture.patch import MAX_BYTES, Change, Finding, Kind, Patch, Severity, load
from suture.report import Report, Row, State, stamp

__all__ = ["Outcome", "Source", "Stop", "Transaction"]

READ_BYTES = 64 * 1024  # at once
QUIET_TRIES = 200  # a quarter of a millisecond apart: some 50 ms, then it goes in all the same and says who was inside
Source = Patch | bytes | str | os.PathLike[str]
Outcome = tuple[Report, list[types.CodeType], Applied | None]  # report, old code, what is live now


class Transaction(Locating, Fitting, Accounting):
    """One patch on its way.  Lives for one call."""

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
                pairs = self.compile(patch)
            with self._phase("resolve"):
                self.locate(patch, pairs)
            with self._phase("judge"):
                self._judge()
            with self._phase("fit"):
                self.fit(evaluate=False)
            self._stop_at_errors()
            nothing = self._is_nothing()
            if not commit:
                with self._phase("judge"):
                    self._who_is_inside()
                with self._phase("census"):
                    self._say_outside()
                self.applied.move(State.PLANNED)
                return self._report(State.PLANNED, True)
            if nothing:
                return self._report(State.COMMITTED, True)
            with self._phase("evaluate"):
                self._evaluate()
            if self._is_nothing():  # as is seen only now: the values are what they would become
                return self._report(State.COMMITTED, True)
        except Stop:
            return self._refused()
        except SutureError as error:
            return self._refused(error)
        return None

    def _is_nothing(self) -> bool:
        """True, and said, if all is already as the patch would make it."""
        if self.unloaded or self.applied.carried or any(w.status == "todo" for w in self.works):
            return False
        self.find(_nothing_live(self.patch_id))
        return True

    def finish(self) -> Outcome:
        """Look at the guards again, commit, see what holds what."""
        try:
            with self._phase("guard"):
                hooks.probe()
                self._arm()
                self.step("act")
                self.act()
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
    carrier: Carrier
    part_of: Applied | None = None

    def let_go(self) -> None:
        """Drop what was worked out; of a patch that isn't live, its modules too."""
        self.carrier.tidy(self.applied)
        super().let_go()

    def _arm(self) -> None:
        """Stand where imports come by.  The commit itself arms, and stops where a module was imported meanwhile."""
        if self.part_of is None and self.patch is not None:
            self.applied.armed = imports.arms_of(self.patch, self.works, self.unloaded, self.accept, self.pace)
            self.finder.ready(self.applied.armed)
            self.stage.guards += [Guard(sys.modules, name, Via.SETITEM, ABSENT) for name in self.unloaded]

    def _join(self) -> None:
        """What was done in an import becomes a part of the patch that it's of."""
        if self.part_of is not None:
            join(self.part_of, self.applied)
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
                self._refuse_between(key)
            self._stop_at_errors()
            with self._phase("guard"):
                hooks.probe()
            self.step("intend")
            self.applied.move(State.COMMITTING)
            with self._phase("commit"):
                self._commit()
                self._continue_run(key)
        except Stop:
            return self._refused(), [], None
        except Refused as error:
            return self._refused(error), [], None
        with self._phase("census"):
            self._after()
            return self._report(State.COMMITTED, True), self.old, self.applied

    def _refuse_between(self, key: str) -> None:
        """Refuse a run that would take the place of an earlier one which another patch stands on."""
        for at, earlier in enumerate(self.stack):
            for other in self.stack[at + 1 :] if key and earlier.key == key else ():
                if earlier.places() & other.places():
                    raise Refused(
                        "beneath",
                        f"it was run before, and {other.patch_id} stands on what that changed",
                        target=self.patch_id,
                        hint=f"revert {other.patch_id} first",
                    )

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
            raise Stop

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
            patch = load(_bytes_of(source, self.pace), source=os.fspath(source), rest=self.pace)
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

    def compile(self, patch: Patch) -> deque[tuple[Change, Definition | None, Definition]]:
        """Both sides of each change."""
        out: deque[tuple[Change, Definition | None, Definition]] = deque()
        for change in patch.changes:
            if change.after is None:
                raise Refused("bad-patch", "a change without after", target=str(change.target))
            try:
                if change.kind is Kind.MODULE:
                    self.applied.carried.append(carried(change, self.patch_id))
                else:
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
        with uncollected() as outside:
            made = compile_text(
                text,
                classes=scope.classes,
                filename=change.target.path or "<patch>",
                line=(scope.line_before if before else scope.line_after) or 1,
                flags=scope.future_before if before else scope.future_after,
                imports=scope.imports_before if before else scope.imports_after,
                rest=partial(outside, self.pace.breathe),  # half a millisecond each, where the caches are cold
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
        for work in self.works:
            self.pace()
            self.evaluator.shadows.of(work.module, work.space)
        self.pace()
        said, before = {(f.severity, *f.key) for f in self.findings}, len(self.findings)
        self.step("evaluate-first")
        self.carrier.lead(self.applied)
        try:
            self.fit(evaluate=True)  # once more, and in full: what was said of it before isn't said twice
        finally:
            self.evaluator.take_back()
            self.evaluator.shadows.let_go(self.pace)
        self.findings[before:] = [f for f in self.findings[before:] if (f.severity, *f.key) not in said]
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
        hooked = hooks.audit_hook_present()
        stage = self.stage
        if hooked and any(s.name == "__bases__" for s in stage.stores):
            words = "a Python audit hook would run between the change of a class's bases and the rest"
            raise Refused("class-shape", words, target=self.patch_id, hint="restart, or leave the change of bases out")
        self.pace()
        ready = swap.Prepared(stage.stores, stage.guards, into=self.applied.undo, copies=self.copies, rest=self.pace)
        alone = self._stands_alone()
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
        if not alone:
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

    def _stands_alone(self) -> bool:
        """True if the undo is as it must be: no place is written twice, and nobody is beneath or replaced."""
        if self.replaces or self.stack:
            return False
        places: set[tuple[int, Any]] = set()
        for store in self.stage.stores:
            places.add((id(store.owner), store.name))
            self.pace()
        return len(places) == len(self.stage.stores)

    def _settle(self) -> None:
        """Make the undo lead to before the replaced patches, and tell those beneath what stands in their places."""
        entries = self.applied.undo.entries
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


def _nothing_live(patch_id: str) -> Finding:
    return Finding(
        "nothing-live",
        Severity.NOTE,
        patch_id,
        "it has nothing to change in this process: it isn't among the live patches, and there is nothing to revert",
    )


class Stop(Exception):
    """There are errors among the findings; nothing was changed."""


def _bytes_of(source: str | os.PathLike[str], rest: Callable[[], None]) -> bytes:
    data = io.BytesIO()  # grows in place: to join the parts of a large one at its end is a hold of half a millisecond
    try:
        with open(source, "rb") as file:
            while data.tell() <= MAX_BYTES and (part := file.read(READ_BYTES)):  # a larger one is refused unread
                data.write(part)
                rest()
        return data.getvalue()
    except OSError as error:
        raise Refused(
            "patch-unreadable",
            f"{error.strerror or error}",
            target=os.fspath(source),
            hint="check the path, as this process sees it",
        ) from error


def _function_of(code: types.CodeType) -> types.FunctionType:
    return types.FunctionType(code, {})
