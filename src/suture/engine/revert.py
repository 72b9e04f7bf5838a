"""
Take one live patch back: code as an equal object, data only where the live value is still ours, added names away.
"""

from __future__ import annotations

import types
from collections.abc import Sequence

from suture.engine import frames, swap, versions, walk
from suture.engine.fitting import control, same_call
from suture.engine.pace import Pace
from suture.engine.stage import Applied, Stage, Step, clear_caches, order
from suture.engine.swap import ABSENT, Undo, Via
from suture.errors import Refused
from suture.patch import Finding, Severity
from suture.report import Process, Report, Row, State

__all__ = ["Revert"]


class Revert:
    """Take one live patch back."""

    def __init__(self, stack: list[Applied], applied: Applied, pace: Pace, on_step: Step) -> None:
        self.stack, self.applied, self.pace, self.step = stack, applied, pace, on_step

    def run(self, version: str) -> tuple[Report, list[types.CodeType]]:
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
        with self.pace.phase("commit"):
            try:
                self.applied.move(State.REVERTING)
                self.step("commit")
                undone = Undo()
                start = frames.clock_ns()
                swap.commit(stage.stores, stage.guards, record=[(self.stack.remove, self.applied)], into=undone)
                commit_us = (frames.clock_ns() - start) / 1e3
            except BaseException:
                self.applied.state = State.COMMITTED if self.applied in self.stack else State.REVERTED
                raise
        self.applied.move(State.REVERTED)
        with self.pace.phase("census"):
            versions.restore([s.owner for s in stage.stores if s.name == "__code__"], self.pace)
            clear_caches(self.applied.caches)
            listed = tuple(map(str, frames.inside(old, self.pace)))
        done = {"armed": "disarmed", "left": "left"}
        rows = [Row(r.target, done.get(r.status, "reverted"), r.functions, r.holders, r.places, r.section) for r in self._rows()]
        report = Report(
            self.applied.patch_id,
            True,
            State.REVERTED,
            Process.here(version),
            changed=tuple(rows),
            findings=order(findings),
            listed=listed,
            phase_ms=self.pace.phase_ms,
            commit_us=commit_us,
            meta=self.applied.meta,
        )
        return report, old

    def _rows(self) -> Sequence[Row]:
        return self.applied.report.changed if self.applied.report is not None else ()

    def _beneath(self) -> None:
        mine = self.applied.places()
        above = self.stack[self.stack.index(self.applied) + 1 :]
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
        found, _ = walk.find_by_code([*(n for n, _ in back.values()), control()], self.pace)
        for key, functions in found.items():
            for path, function in functions:
                if id(function) in known or key not in back:
                    continue
                old = back[key][1]
                if old.co_freevars == function.__code__.co_freevars and same_call(function.__code__, old):
                    stage.put(function, "__code__", Via.SETATTR, old)
                else:
                    findings.append(
                        Finding("closures-left", Severity.WARNING, path, "made by the patched code; stays on it: its cells differ")
                    )
