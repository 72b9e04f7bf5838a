"""
What was found and what was done: as an object, as JSON, in words.
"""

from __future__ import annotations

import os
import platform
import textwrap
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Protocol

from suture.errors import Refused
from suture.patch import Finding, Severity

__all__ = ["Drained", "Process", "Report", "Row", "State"]

WIDTH = 80


class State(str, Enum):
    """Where a transaction is.  The legal moves are the table in engine/transaction.py."""

    PLANNED = "planned"
    PREPARED = "prepared"
    COMMITTING = "committing"
    COMMITTED = "committed"
    REVERTING = "reverting"
    REVERTED = "reverted"
    REFUSED = "refused"
    REPLACED = "replaced"
    DAMAGED = "damaged"

    def __str__(self) -> str:
        return self.value


class Drained(Protocol):
    """The event of the last old frame leaving."""

    def done(self) -> bool:
        """True once nobody runs, or can enter, replaced code."""

    def left(self) -> int:
        """Replaced code objects that are still referenced."""

    def wait(self, timeout_s: float) -> bool:
        """Wait for ``done``, *timeout_s* seconds at the most."""


class _NothingLeft:
    def done(self) -> bool:
        return True

    def left(self) -> int:
        return 0

    def wait(self, timeout_s: float) -> bool:
        return True


@dataclass(frozen=True, slots=True)
class Process:
    """The process that reports."""

    pid: int
    python: str
    suture: str

    @classmethod
    def here(cls, version: str) -> Process:
        """This process."""
        return cls(os.getpid(), platform.python_version(), version)


@dataclass(frozen=True, slots=True)
class Row:
    """
    One target.

    Attributes:
        target: ``module:Qual.name``.
        status: "updated", "added", "already-fixed", "planned", "reverted", "kept".
        functions: Live functions changed in place (closures of an inner function count each).
        holders: Places that hold them, as far as the structural walk sees.
        places: The first of those.
        section: Whose part of a hotfix file it is.
    """

    target: str
    status: str
    functions: int = 0
    holders: int = 0
    places: tuple[str, ...] = ()
    section: str = ""


@dataclass(slots=True)
class Report:
    """
    The outcome of plan, apply or revert in one process.

    Attributes:
        patch_id: Id of the patch ("" if it couldn't be read).
        ok: True if what was asked holds now.
        state: Where the transaction ended.
        changed: One row a target.
        findings: Errors first.
        inside_old: Calls still inside old code after the commit, by the exact count; None if it can't be told.
        listed: Those of them that have a place.
        phase_ms: Milliseconds a phase.
        longest_slice_ms: Longest stretch of our own work, wall clock; with ``longest_slice_cpu_ms`` and ``longest_slice_in``.
        commit_us: The one C call.
        caller_blocked_ms: How long the caller waited for us.
        drained: The event of the last old frame leaving.
    """

    patch_id: str
    ok: bool
    state: State
    process: Process
    changed: tuple[Row, ...] = ()
    findings: tuple[Finding, ...] = ()
    inside_old: int | None = 0
    listed: tuple[str, ...] = ()
    phase_ms: Mapping[str, float] = field(default_factory=dict)
    longest_slice_ms: float = 0.0
    longest_slice_cpu_ms: float = 0.0
    longest_slice_in: str = ""
    commit_us: float = 0.0
    caller_blocked_ms: float = 0.0
    meta: Mapping[str, str] = field(default_factory=dict)
    drained: Drained = field(default_factory=_NothingLeft, repr=False)

    def raise_for_findings(self) -> None:
        """
        Raise if it isn't ok.

        Raises:
            Refused: Made of the first error; its evidence names the codes of all.
        """
        if self.ok:
            return
        errors = [f for f in self.findings if f.severity is Severity.ERROR]
        first = errors[0]
        codes = ", ".join(f.code for f in errors)
        raise Refused(first.code, first.message, target=first.target, hint=first.hint, evidence={**first.evidence, "codes": codes})

    def to_json(self) -> dict[str, Any]:
        """As plain data; ``format`` tells readers what to expect."""
        return {
            "format": 1,
            "patch_id": self.patch_id,
            "ok": self.ok,
            "state": str(self.state),
            "process": {"pid": self.process.pid, "python": self.process.python, "suture": self.process.suture},
            "changed": [
                {
                    "target": r.target,
                    "status": r.status,
                    "functions": r.functions,
                    "holders": r.holders,
                    "places": list(r.places),
                    "section": r.section,
                }
                for r in self.changed
            ],
            "findings": [f.to_json() for f in self.findings],
            "inside_old": self.inside_old,
            "listed": list(self.listed),
            "phase_ms": {k: round(v, 3) for k, v in self.phase_ms.items()},
            "longest_slice_ms": round(self.longest_slice_ms, 3),
            "longest_slice_cpu_ms": round(self.longest_slice_cpu_ms, 3),
            "longest_slice_in": self.longest_slice_in,
            "commit_us": round(self.commit_us, 1),
            "caller_blocked_ms": round(self.caller_blocked_ms, 3),
            "meta": dict(self.meta),
        }

    def words(self) -> str:
        """For a person: 80 columns, no colour, the next command at the end."""
        return "\n".join(self._lines())

    def _lines(self) -> Iterator[str]:
        yield self._headline()
        section = ""
        for row in self.changed:
            if row.section != section:
                section = row.section
                yield f"  {section}()" if section else "  (whole file)"
            yield self._row(row)
        for finding in self.findings:
            yield from words_of(finding)
        if not self.ok or self.state is State.PLANNED:
            yield "Nothing was changed" + self._would()
            return
        if self.inside_old is None or self.inside_old:
            count = "unknown" if self.inside_old is None else str(self.inside_old)
            yield f"still in old code: {count} calls; listed: {'; '.join(self.listed) or 'none'}"
        yield f"commit {self.commit_us:.0f} us, longest slice {self.longest_slice_ms:.2f} ms, took {self.caller_blocked_ms:.1f} ms"
        if self.state is State.COMMITTED:
            yield f"Ends with this process.  Undo: suture.revert({self.patch_id!r})"

    def _headline(self) -> str:
        errors = sum(f.severity is Severity.ERROR for f in self.findings)
        reason = f' "{self.meta["reason"]}"' if self.meta.get("reason") else ""
        if not self.ok:
            return f"error: Refused {self.patch_id or 'the patch'}{reason} in pid {self.process.pid}: {errors} in the way"
        return f"{self.state} {self.patch_id}{reason} in pid {self.process.pid}, {len(self.changed)} targets"

    def _would(self) -> str:
        return ".  Would go in" if self.ok else ""

    def _row(self, row: Row) -> str:
        held = f"held in {row.holders} places" if row.holders else ""
        count = f"{row.functions} functions" if row.functions > 1 else ""
        return f"  {row.target}  {row.status}" + "".join(f", {t}" for t in (count, held) if t)


def words_of(finding: Finding) -> Iterator[str]:
    """One finding, wrapped; the way round on a line of its own."""
    head = f"{finding.severity} {finding.code}  {finding.target}"
    yield head
    yield from textwrap.wrap(finding.message, WIDTH, initial_indent="  ", subsequent_indent="  ")
    for key in ("line", "caret"):
        if key in finding.evidence:
            yield f"    {finding.evidence[key]}"
    if finding.hint:
        yield from textwrap.wrap(finding.hint, WIDTH, initial_indent="  -> ", subsequent_indent="     ")
