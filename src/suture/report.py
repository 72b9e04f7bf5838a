"""
What was found and what was done: as an object, as JSON, in words.

Rule 1: decides nothing; each fact in the words is one of the object.
Rule 2: names that come from the program (threads, targets) can't move the cursor or break a line.
"""

from __future__ import annotations

import functools
import os
import sys
import textwrap
import time
from collections.abc import Iterator, Mapping, Sequence
from enum import Enum
from typing import Any, Protocol

from suture.errors import Fault, Refused
from suture.patch import Finding, Severity
from suture.record import made_by, record

__all__ = ["Drained", "Process", "Report", "Row", "State", "source_lines", "stamp", "words_of"]

WIDTH = 80
_gmtime, _strftime = time.gmtime, time.strftime  # taken early: freezegun and its like replace those in the module


class State(str, Enum):
    """Where a transaction is.  The legal moves are the table in engine/stage.py."""

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


@record(frozen=True, slots=True)
class Process:
    """
    The process that reports.

    Attributes:
        pid: As the process itself sees it.
        python: Version of its interpreter.
        suture: Version of the suture in it.
        started: When it started, ISO 8601 in UTC (with the pid: which process of that number); "" if it can't be told.
    """

    pid: int
    python: str
    suture: str
    started: str = ""

    @classmethod
    def here(cls, version: str) -> Process:
        """The one that asks."""
        pid = os.getpid()
        return cls(pid, sys.version.split()[0], version, _started(pid))


@functools.lru_cache(maxsize=2)
def _started(pid: int) -> str:
    """Start of this process (a forked child has its own), from /proc: clock ticks since the machine's start."""
    try:
        with open("/proc/self/stat", encoding="utf-8", errors="replace") as file:
            ticks = int(file.read().rpartition(")")[2].split()[19])  # what is before the bracket may hold spaces
        with open("/proc/stat", encoding="utf-8") as file:
            booted = next(int(line.split()[1]) for line in file if line.startswith("btime "))
        moment = time.gmtime(booted + ticks / os.sysconf("SC_CLK_TCK"))
    except (OSError, ValueError, IndexError, StopIteration, AttributeError, OverflowError):
        return ""
    return stamp(moment)


def stamp(moment: time.struct_time | None = None) -> str:
    """A moment (None: now) as text: UTC, to the second."""
    return _strftime("%Y-%m-%dT%H:%M:%SZ", _gmtime() if moment is None else moment)


@record(frozen=True, slots=True)
class Row:
    """
    One target.

    Attributes:
        target: ``module:Qual.name``.
        status: "updated", "added", "armed" (goes in when its module is imported), "already-fixed", "left", "planned",
            "reverted", "disarmed", "kept" (refused: as before).
        functions: Live functions changed in place (closures of an inner function count each).
        holders: Places that hold them, as far as the structural walk sees.
        places: The first of those.
        section: Whose part of a hotfix file it is.
        wrappers: What lies between the name and the function (decorators, accessors), outermost first.
    """

    target: str
    status: str
    functions: int = 0
    holders: int = 0
    places: tuple[str, ...] = ()
    section: str = ""
    wrappers: tuple[str, ...] = ()


@record(slots=True)
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
        at: When it was committed, UTC ("2026-03-01T02:41:07Z"); "" if it wasn't.
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
    phase_ms: Mapping[str, float] = made_by(default_factory=dict)
    longest_slice_ms: float = 0.0
    longest_slice_cpu_ms: float = 0.0
    longest_slice_in: str = ""
    commit_us: float = 0.0
    at: str = ""
    caller_blocked_ms: float = 0.0
    meta: Mapping[str, str] = made_by(default_factory=dict)
    drained: Drained = made_by(default_factory=_NothingLeft, repr=False)

    @property
    def name(self) -> str:
        """What a person calls the patch: its id without the hash."""
        return self.patch_id.rpartition("-")[0] or self.patch_id

    def raise_for_findings(self) -> None:
        """
        Raise if it isn't ok.

        Raises:
            Refused: Made of the first error; ``others`` in its evidence names the rest.  Nothing was changed.
            Fault: The same, but the process may hold a part of the patch (state "damaged").
        """
        if self.ok:
            return
        kind = Fault if self.state is State.DAMAGED else Refused
        errors = [f for f in self.findings if f.severity is Severity.ERROR]
        if not errors:
            raise kind(str(self.state), "no finding says why", target=self.patch_id, hint="report it, with the patch")
        first, *rest = errors
        evidence = dict(first.evidence)
        if rest:
            evidence["others"] = "; ".join(f"{f.code} {f.target}".rstrip() for f in rest)
        raise kind(first.code, first.message, target=first.target, hint=first.hint, evidence=evidence)

    def to_json(self) -> dict[str, Any]:
        """As plain data; ``format`` tells readers what to expect."""
        return {
            "format": 1,
            "patch_id": self.patch_id,
            "name": self.name,
            "ok": self.ok,
            "state": str(self.state),
            "process": {
                "pid": self.process.pid,
                "started": self.process.started,
                "python": self.process.python,
                "suture": self.process.suture,
            },
            "changed": [
                {
                    "target": r.target,
                    "status": r.status,
                    "functions": r.functions,
                    "holders": r.holders,
                    "places": list(r.places),
                    "wrappers": list(r.wrappers),
                    "section": r.section,
                }
                for r in self.changed
            ],
            "findings": [f.to_json() for f in self.findings],
            "inside_old": self.inside_old,
            "drained": self.drained.done(),
            "listed": list(self.listed),
            "phase_ms": {k: round(v, 3) for k, v in self.phase_ms.items()},
            "longest_slice_ms": round(self.longest_slice_ms, 3),
            "longest_slice_cpu_ms": round(self.longest_slice_cpu_ms, 3),
            "longest_slice_in": self.longest_slice_in,
            "commit_us": round(self.commit_us, 1),
            "at": self.at,
            "caller_blocked_ms": round(self.caller_blocked_ms, 3),
            "meta": dict(self.meta),
        }

    def words(self) -> str:
        """For a person: 80 columns, no colour, what to do next at the end."""
        return "\n".join(self._lines())

    def _lines(self) -> Iterator[str]:
        yield from _wrapped(self._headline(), "", "  ")
        yield from self._targets()
        for finding in self.findings:
            yield from words_of(finding)
        if self.state is State.DAMAGED:
            yield "The process may hold a part of it: restart it"
        elif not self.ok and any(f.code == "ran-once" for f in self.findings):
            yield "No definition was changed; what the statement did stays"
        elif not self.ok:
            yield "Nothing was changed"
        elif self.state is State.PLANNED:
            yield "Nothing was changed.  Would go in"
        else:
            yield from self._what_was_done()

    def _headline(self) -> str:
        reason = f' "{self.meta["reason"]}"' if self.meta.get("reason") else ""
        where = f"{self.patch_id or 'the patch'}{reason} in pid {self.process.pid}"
        if self.state is State.DAMAGED:
            return f"error: Damaged by {where}"
        if not self.ok:
            return f"error: Refused {where}: {_count(self._errors(), 'error')}"
        return f"{self.state} {where}: {_count(len(self.changed), 'target')}"

    def _errors(self) -> int:
        return sum(f.severity is Severity.ERROR for f in self.findings)

    def _targets(self) -> Iterator[str]:
        """One line a target; the parts of a hotfix file apart, in the order in which they first come."""
        sections = list(dict.fromkeys(r.section for r in self.changed))
        for section in sections:
            if len(sections) > 1 or section:
                yield from _wrapped(section or "outside of any section", "  ", "  ")
            rows = [r for r in self.changed if r.section == section]
            yield from _table(rows, "    " if len(sections) > 1 or section else "  ")

    def _what_was_done(self) -> Iterator[str]:
        yield from _wrapped(f"left on old code: {self._left()}", "", "  ")
        longest = f"longest pause {self.longest_slice_ms:.2f} ms"
        if self.longest_slice_in:
            longest += f" ({self.longest_slice_in})"
        yield from _wrapped(f"{longest}, commit {self.commit_us:.0f} us, took {self.caller_blocked_ms:.1f} ms", "", "  ")
        if self.state is State.COMMITTED:
            if any(r.status in ("updated", "added", "armed") for r in self.changed):
                yield from _wrapped(f"Ends with this process.  Undo: suture.revert({self.patch_id!r})", "", "  ")
            else:
                yield "Nothing was changed: there was nothing to do"

    def _left(self) -> str:
        left = [r.target for r in self.changed if r.status == "left"]
        if self.inside_old is None:
            left.append("calls unknown (this build doesn't count them)" + (f": {'; '.join(self.listed)}" if self.listed else ""))
        elif self.inside_old:
            where = f" ({'; '.join(self.listed)}{self._unlisted()})" if self.listed else ", where no list reaches"
            left.append(_count(self.inside_old, "call") + where)
        return "; ".join(left) or "none found"

    def _unlisted(self) -> str:
        more = (self.inside_old or 0) - len(self.listed)
        return f"; {more} where no list reaches" if more > 0 else ""


def words_of(finding: Finding) -> Iterator[str]:
    """One finding, wrapped; the way round on lines of its own."""
    yield from _wrapped(f"{finding.severity} {finding.code}  {finding.target}".rstrip(), "", "  ")
    yield from _wrapped(finding.message, "  ", "  ")
    yield from source_lines(finding.evidence)
    if finding.hint:
        yield from _wrapped(finding.hint, "  -> ", "     ")


def source_lines(evidence: Mapping[str, str]) -> Iterator[str]:
    """The line of a source and, below it, a caret at its place, if there are any; of a long one what is around the caret."""
    if "line" not in evidence or "caret" not in evidence:
        return
    at = len(evidence["caret"]) - 1
    before = _plain(evidence["line"][:at].expandtabs(4))
    line, at, room = before + _plain(evidence["line"][at:].expandtabs(4)), len(before), WIDTH - 4
    cut = max(0, min(at - room // 2, len(line) - room))
    yield f"    {'...' + line[cut + 3 : cut + room] if cut else line[:room]}".rstrip()
    yield f"    {' ' * (at - cut)}^"


def _table(rows: Sequence[Row], indent: str) -> Iterator[str]:
    """Targets with what became of them, in columns if they fit; the places that hold them counted."""
    column = min(48, max((len(_plain(r.target)) for r in rows), default=0))
    for row in rows:
        facts = [row.status]
        if row.functions > 1:
            facts.append(f"{row.functions} functions")
        if row.holders:
            facts.append(f"held in {_count(row.holders, 'place')}")
        if row.wrappers:
            facts.append(f"below {', '.join(row.wrappers)}")
        yield from _wrapped(f"{_plain(row.target):{column}}  {', '.join(facts)}", indent, indent + "  ")


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" + "s" * (number != 1)


def _plain(text: str) -> str:
    """Without control characters: what a program calls its things can't act on a terminal."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)


def _wrapped(text: str, first: str, then: str) -> list[str]:
    """Lines of 80 columns at the most."""
    if len(first) + len(text) <= WIDTH and text.isprintable():
        return [first + text]
    wrapper = textwrap.TextWrapper(WIDTH, initial_indent=first, subsequent_indent=then, break_on_hyphens=False)
    return wrapper.wrap(_plain(" ".join(text.split()) if not text.isprintable() else text))
