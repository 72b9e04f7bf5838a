"""
Take one live patch back: code as an equal object, data only where the live value is still ours, added names away.
"""

from __future__ import annotations

import types
from collections.abc import Callable, Sequence

from suture.engine import frames, hooks, swap, versions
from suture.engine.inner import Back, way_back
from suture.engine.pace import Pace
from suture.engine.stage import Applied, Stage, Step, clear_caches, let_go, order, settle
from suture.engine.swap import ABSENT, Undo, Via
from suture.engine.values import merge
from suture.errors import Refused
from suture.patch import Finding, Severity
from suture.report import Process, Report, Row, State

__all__ = ["Revert", "left_behind", "put_back"]


def put_back(
    applied: Applied, stack: Sequence[Applied], stage: Stage, find: Callable[[Finding], None], rest: Callable[[], None]
) -> Back:
    """
    Put into *stage* what takes a patch back.

    Returns:
        Where its functions go.

    Raises:
        Refused: changed-since: a function has code from somewhere else.
    """
    ours = []
    for entry in reversed(applied.undo.entries):
        rest()
        store = entry.store
        live = swap.read(store.owner, store.name, store.via)
        if live is store.new or (store.name == "__annotations__" and live == store.new):
            ours.append(entry)
            continue
        whole = store.via is Via.CONTENTS
        merged = merge(store.owner, store.new, entry.old, store.name.path) if whole else None
        if merged is not None and not merged.kept:  # the program has put in more since, and that stays
            for write in merged.writes:
                stage.put(*write)
            continue
        name = store.name.path if whole else f"{frames.qualname_of(store.owner)}.{store.name}"
        if store.name == "__code__":
            raise Refused(
                "changed-since",
                f"{name} was changed after this patch, by something else",
                target=applied.patch_id,
                hint="restart",
            )
        find(
            Finding(
                "changed-since",
                Severity.WARNING,
                name,
                "was changed after this patch and stays as it is",
                hint="set it by hand",
            )
        )
    back = way_back(ours, stack, rest)
    for entry in ours:
        if entry.store.name != "__code__" and not (entry.store.new is ABSENT and entry.old is ABSENT):
            stage.put(entry.store.owner, entry.store.name, entry.store.via, entry.old)
        rest()
    for function, code in back.put:
        stage.put(function, "__code__", Via.SETATTR, code)
        rest()
    return back


def left_behind(path: str) -> Finding:
    """An inner function can't follow."""
    return Finding("closures-left", Severity.WARNING, path, "made by the patched code; stays on it: its cells differ")


class Revert:
    """Take one live patch back."""

    def __init__(self, stack: list[Applied], applied: Applied, pace: Pace, on_step: Step) -> None:
        self.stack, self.applied, self.pace, self.step = stack, applied, pace, on_step

    def look(self, version: str) -> Report:
        """
        Work out all that ``run`` would do, and write nothing.

        Raises:
            Refused: as ``run``.
        """
        findings: list[Finding] = []
        stage, back, _ = self._worked_out(findings)
        let_go((stage.stores, stage.guards, back.put), self.pace)
        return Report(
            self.applied.patch_id,
            True,
            State.PREPARED,
            Process.here(version),
            findings=order(findings),
            phase_ms=self.pace.phase_ms,
            meta=self.applied.meta,
        )

    def _worked_out(self, findings: list[Finding]) -> tuple[Stage, Back, list[Applied]]:
        """What is to be written, where functions go, and the patches beneath."""
        with self.pace.phase("resolve"):
            self.step("resolve")
            self._beneath()
            stage = Stage("revert")
            back = put_back(self.applied, self.stack, stage, findings.append, self.pace)
            findings += [left_behind(path) for path, _ in back.left]
            beneath = self.stack[: self.stack.index(self.applied)]
        with self.pace.phase("guard"):
            self.step("guard")
            hooks.probe()
        return stage, back, beneath

    def run(self, version: str) -> tuple[Report, list[types.CodeType]]:
        """
        Put everything back in one step.

        Returns:
            The report, and the code objects that were taken out.

        Raises:
            Refused: beneath, changed-since.  Nothing was changed.
        """
        findings: list[Finding] = []
        stage, back, beneath = self._worked_out(findings)
        stays = {id(s.new) for s in stage.stores}  # inner code that was the same before
        old = [g.was for g in stage.guards if type(g.was) is types.CodeType and id(g.was) not in stays]
        with self.pace.phase("commit"):
            try:
                self.applied.move(State.REVERTING)
                self.step("commit")
                undone = Undo()
                ready = swap.Prepared(stage.stores, stage.guards, into=undone, rest=self.pace)
                self.pace.rest()
                start = frames.clock_ns()
                ready.commit(record=[(self.stack.remove, self.applied)])
                commit_us = (frames.clock_ns() - start) / 1e3
            except BaseException:
                self.applied.state = State.COMMITTED if self.applied in self.stack else State.REVERTED
                raise
            finally:
                if self.applied not in self.stack:
                    settle(beneath, {id(f): code for f, code in back.put}, back.now)
        self.applied.move(State.REVERTED)
        with self.pace.phase("census"):
            versions.restore([s.owner for s in stage.stores if s.via is Via.SETATTR and s.name in swap.CLEARS_VERSION], self.pace)
            clear_caches(self.applied.caches)
            listed = tuple(map(str, frames.inside(old, self.pace)))
            del ready
            let_go((stage.stores, stage.guards, back.put, undone.entries), self.pace)
        done = {"armed": "disarmed", "left": "left"}
        rows = []
        for row in self._rows():
            rows.append(Row(row.target, done.get(row.status, "reverted"), row.functions, row.holders, row.places, row.section))
            self.pace()
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
