"""
All of suture that a process has: one engine, with what is live in it and what waits; and no second copy of suture beside it.

Rule: one transaction at a time.  What imports have done since is settled before the next one looks at anything.
"""

from __future__ import annotations

import contextlib
import os
import threading
import types
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any

from suture.difference import Difference, DriftReport, ModuleDrift
from suture.engine import drift, frames, hooks, imports, versions
from suture.engine.account import VERSION, refusal
from suture.engine.carried import Carrier
from suture.engine.facts import Fingerprint
from suture.engine.mirror import mirror, refuse_revert
from suture.engine.pace import Pace
from suture.engine.resolve import Modules
from suture.engine.revert import Revert
from suture.engine.sources import File, files_of
from suture.engine.stage import Applied, Filling, Step, clear_caches
from suture.engine.transaction import Outcome, Source, Stop, Transaction
from suture.engine.unwound import Unwound
from suture.errors import Refused, SutureError
from suture.patch import Finding, Patch, Severity
from suture.record import replace
from suture.report import Process, Report, Row, State

__all__ = ["Engine", "Prepared", "PreparedRevert", "engine", "unexpected"]

AFTER_IMPORT_S = 2.0  # an import waits that long for another transaction, and goes on without the fix


class Engine:
    """
    All of suture that a process has; one of it.

    Threads: any; calls wait for each other.
    """

    def __init__(self) -> None:
        self.stack: list[Applied] = []
        self.back: list[tuple[types.CodeType, Fingerprint]] = []  # old code made to fit, which reverts put back
        self.finder = imports.Finder(self.stack, self._after_import)
        self.carrier = Carrier(self.stack)
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
                return refusal(patch_id, [_busy()], pace)
            try:
                applied = self._find(patch_id)
                refuse_revert(applied)
                report, old = Revert(self.stack, applied, pace, on_step).run(VERSION)
                self.carrier.tidy(applied)
                del applied  # it holds what was taken out, and would be counted
            except SutureError as error:
                return refusal(patch_id, [Finding.of(error)], pace)
        self._drain(report, old, pace)
        pace.measure(report)
        return report

    def prepare_revert(self, patch_id: str) -> tuple[Report, PreparedRevert | None]:
        """
        Do all of a revert that can fail, and write nothing.

        Returns:
            A report in state "prepared" with what takes it back; or a refusal and None.
        """
        pace = Pace()
        with self._only_one() as free:
            if not free:
                return refusal(patch_id, [_busy()], pace), None
            try:
                applied = self._find(patch_id)
                refuse_revert(applied)
                report = Revert(self.stack, applied, pace, lambda _: None).look(VERSION)
            except SutureError as error:
                return refusal(patch_id, [Finding.of(error)], pace), None
        pace.measure(report)
        return report, PreparedRevert(self, report.patch_id)

    # ------------------------------------------------------------ is it what we think

    def drift(self, source: str | os.PathLike[str] | Mapping[str, str], *, patches: Collection[str] | None = None) -> DriftReport:
        """Hold what is loaded against a tree and the patches that are expected (None: those that are live)."""
        pace = Pace()
        modules: list[ModuleDrift] = []
        with pace.phase("compare"):
            for file in files_of(source, pace):
                modules += self.compare([file], patches, pace)
        live = tuple(a.patch_id for a in self.stack)
        report = DriftReport(Process.here(VERSION), tuple(modules), live, tuple(unexpected(live, patches)))
        return replace(report, longest_slice_ms=pace.longest_ns / 1e6)

    def compare(self, files: Iterable[File], patches: Collection[str] | None = None, pace: Pace | None = None) -> list[ModuleDrift]:
        """
        The same for some files of it.

        Raises:
            Refused: busy.
        """
        pace = pace or Pace()
        with self._only_one() as free:
            if not free:
                raise Refused("busy", "another transaction is under way in this thread", hint="ask when it has ended")
            expected = [a for a in self.stack if patches is None or any(a.patch_id.startswith(p) for p in patches)]
            modules, prints, unwound = Modules(pace), self.prints(), Unwound(expected, pace)
            return [drift.compare(modules, prints, unwound, pace, file) for file in files]

    def loaded(self, files: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
        """Those of a tree's files, each (module, path), of which a module is loaded, or which of several can't be told."""
        pace = Pace()
        modules = Modules(pace)

        def there(module: str, path: str) -> bool:
            pace()
            try:
                return bool(drift.live_of(modules, module, path))
            except Refused:
                return True

        return [file for file in files if there(*file)]

    def files(self) -> list[tuple[str, str]]:
        """Each loaded module that was made from a source file: its name and the file."""
        return Modules(Pace()).files()

    # ------------------------------------------------------------ inside

    def _run(self, source: Source, *, commit: bool, **options: Any) -> Report:
        with self._only_one() as free:
            if not free:
                return refusal("", [_busy()], Pace())
            transaction = self._transaction(**options)
            with _let_go(transaction):
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
                return refusal("", [_busy()], Pace()), None
            transaction = self._transaction(**options)
            with _let_go(transaction):
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
    ) -> Transaction:
        made = Transaction(self.prints, self.stack, Pace(), frozenset(accept), partial, replace, on_step)
        made.finder, made.carrier = self.finder, self.carrier
        return made

    def _ended(self, transaction: Transaction, outcome: Outcome) -> Report:
        report, old, applied = outcome
        pace = transaction.pace
        transaction.let_go()
        del transaction, outcome
        if applied is not None:
            applied.report = report  # first: an interrupt in what follows leaves a status that has all of it
            self._drain(report, old, pace, applied.caches)
        pace.measure(report)
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
                return refusal(patch_id, [_busy()], Pace())
            transaction = self._transaction(on_step=on_step)
            return self._ended(transaction, transaction.run_filled(patch_id, fill, key))

    def _drain(self, report: Report, old: list[types.CodeType], pace: Pace, caches: Sequence[Any] = ()) -> None:
        """Say who is still inside, and leave the old code to end by itself."""
        pace.rest()
        drain = frames.Drain(old, (lambda: clear_caches(caches)) if caches else None, rest=pace)
        while old:  # most of it ends here
            old.pop()
            pace()
        report.drained = drain
        report.inside_old = drain.calls()

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
                        mirror(transaction, applied, arm, arm.todo[0])
                    except (SutureError, Stop) as error:
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
            with _let_go(transaction):
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

    def __init__(self, engine: Engine, transaction: Transaction) -> None:
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
                return refusal("", [_busy()], Pace())
            try:
                transaction = self._waiting.pop()
            except IndexError:
                return refusal("", [_over()], Pace())
            with _let_go(transaction):
                return self._engine._ended(transaction, transaction.finish())

    def discard(self) -> None:
        """Forget it; nothing was changed."""
        with contextlib.suppress(IndexError):
            transaction = self._waiting.pop()
            transaction.applied.move(State.REFUSED)
            transaction.let_go()


class PreparedRevert:
    """
    A revert that was looked over.  Holds nothing: ``commit`` looks once more, since the program and its imports have gone on.
    """

    def __init__(self, engine: Engine, patch_id: str) -> None:
        self._engine, self._patch_id = engine, patch_id

    def commit(self) -> Report:
        """Take it back; a refusal is a report, and nothing was changed."""
        return self._engine.revert(self._patch_id)

    def discard(self) -> None:
        """Forget it; nothing was changed."""


@contextlib.contextmanager
def _let_go(transaction: Transaction) -> Iterator[None]:
    """Whatever is raised, an interrupt too: modules that the patch brings don't stay behind."""
    try:
        yield
    except BaseException:
        transaction.let_go()
        raise


def unexpected(live: Collection[str], patches: Collection[str] | None) -> Iterator[Difference]:
    """Patches that are live and weren't named, and the other way round; None: whichever are live."""
    for patch_id in live if patches is not None else ():
        if not any(patch_id.startswith(p) for p in patches or ()):
            yield Difference(patch_id, "not expected", "live")
    for name in patches or ():
        if not any(patch_id.startswith(name) for patch_id in live):
            yield Difference(name, "not live", "", "live")


def _over() -> Finding:
    return Finding(
        "prepared-over", Severity.ERROR, "", "it was committed or discarded before; nothing was changed now", hint="apply again"
    )


def _busy() -> Finding:
    return Finding("busy", Severity.ERROR, "", "another transaction is under way in this thread", hint="apply when it has ended")


def engine() -> Engine:
    """A new one; does what is done late elsewhere and loads something, so that nothing is read from disk afterwards."""
    made = Engine()
    hooks.audit_hook_present()
    versions.restore((), lambda: None)
    return made
