"""
The verdict on a change: can it go live in a running process, after which decisions, or does it need a restart?

Decides nothing itself: the builder's findings (and, through it, the engine's rules) are the judge.  What the builder can carry is
hot; what it leaves out needs a decision, where a person can make one, or a restart.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from suture.ops.build.decisions import DECIDABLE
from suture.patch import Change, Finding, Patch, Severity
from suture.record import replace

__all__ = ["DECIDABLE", "Need", "Row", "Verdict", "judged"]

_PLACE = re.compile(r"(.+\.\w+):(\d+)")
_ORDER = {Severity.ERROR: 0, Severity.WARNING: 1, Severity.NOTE: 2}


class Need(str, Enum):
    """What one finding asks for."""

    RESTART = "restart"
    DECISION = "decision"
    NOTHING = "nothing"

    def __str__(self) -> str:
        return self.value


@dataclass(frozen=True)
class Row:
    """
    One finding and where it is.

    Attributes:
        finding: As the builder says it.
        need: What it asks for.
        file: Path in the repository, or in the tree; "" if it is about no file.
        line: In the new file (the old one for what is removed), from 1; 0 if it is about the whole file.
    """

    finding: Finding
    need: Need
    file: str = ""
    line: int = 0


@dataclass(frozen=True)
class Verdict:
    """
    What a change needs.

    Attributes:
        rows: All findings: what needs a restart, then decisions, warnings, notes; by file and line.
        changes: What a patch would carry, with the rules that are chosen.
        source: Where both sides come from.
    """

    rows: tuple[Row, ...]
    changes: tuple[Change, ...] = ()
    source: str = ""

    @property
    def carried(self) -> int:
        """Changes that a patch would carry."""
        return len(self.changes)

    @property
    def restarts(self) -> int:
        """Findings that need a restart."""
        return sum(r.need is Need.RESTART for r in self.rows)

    @property
    def decisions(self) -> int:
        """Decisions that are missing."""
        return sum(r.need is Need.DECISION for r in self.rows)

    @property
    def word(self) -> str:
        """ "hot", "hot after 2 decisions" or "restart"."""
        if self.restarts:
            return "restart"
        return f"hot after {self.decisions} decision{'s' * (self.decisions != 1)}" if self.decisions else "hot"


def judged(patch: Patch, origins: Mapping[str, str] | None = None) -> Verdict:
    """
    The verdict on what the builder made of a change.

    Args:
        patch: A whole build; that nothing differs is no error here.
        origins: Path in the repository by path in the patch; None: they are the same.
    """
    files = {f.module: f.path for f in patch.files}
    places = {str(c.target): (c.target.path, c.scope.line_after or c.scope.line_before) for c in patch.changes}
    rows: list[Row] = []
    for finding in (*patch.left_out, *patch.remarks):
        if finding.code == "no-change":
            finding = replace(finding, severity=Severity.NOTE)
        need = Need.NOTHING
        if finding.severity is Severity.ERROR:
            need = Need.DECISION if finding.code in DECIDABLE else Need.RESTART
        path, line = _place(finding, places, files)
        rows.append(Row(finding, need, (origins or {}).get(path, path), line))
    order = {need: at for at, need in enumerate(Need)}
    rows.sort(key=lambda r: (order[r.need], _ORDER[r.finding.severity], r.file, r.line, r.finding.code))
    return Verdict(tuple(rows), patch.changes, patch.meta.get("source", ""))


def _place(finding: Finding, places: Mapping[str, tuple[str, int]], files: Mapping[str, str]) -> tuple[str, int]:
    for text in (finding.evidence.get("place", ""), finding.target):
        if found := _PLACE.fullmatch(text):
            return found[1], int(found[2])
        if text and ":" not in text and Path(text).suffix and text not in files:
            return text, 0
    if finding.target in places:
        return places[finding.target]
    return files.get(finding.target.partition(":")[0], ""), 0
