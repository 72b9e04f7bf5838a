"""
Patches and findings as words, diffs and JSON.
"""

from __future__ import annotations

import difflib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TextIO

from suture.patch import Change, Finding, Patch, Severity
from suture.report import words_of as finding_words

__all__ = ["build_json", "build_words", "finding_words", "patch_json", "patch_words", "wants_colour"]

_MOST = 40  # lines of findings on a screen


def wants_colour(stream: TextIO) -> bool:
    """True on a terminal, unless NO_COLOR is set."""
    return stream.isatty() and not os.environ.get("NO_COLOR")


def build_json(patch: Patch, file: Path | None) -> dict[str, Any]:
    """What ``suture build --json`` prints."""
    return {
        "format": 1,
        "ok": file is not None,
        "patch_id": patch.id if file is not None else None,
        "file": str(file) if file is not None else None,
        "carried": [_carried(c) for c in patch.changes],
        "findings": [f.to_json() for f in (*patch.left_out, *patch.remarks)],
    }


def _carried(change: Change) -> dict[str, Any]:
    return {"target": str(change.target), "kind": str(change.kind), "added": change.before is None}


def build_words(patch: Patch, file: Path | None) -> str:
    """What ``suture build`` prints."""
    return "\n".join(_build_lines(patch, file))


def _build_lines(patch: Patch, file: Path | None) -> Iterator[str]:
    module = ""
    for change in patch.changes:
        if change.target.module != module:
            module = change.target.module
            yield module
        what = "added" if change.before is None else str(change.kind)
        yield f"  {change.target.qualname:40} {what}"
    notes: dict[str, list[Finding]] = {}
    for finding in patch.remarks:
        if finding.severity is Severity.NOTE:
            notes.setdefault(finding.code, []).append(finding)
        else:
            yield from finding_words(finding)
    for code, same in notes.items():
        yield f"note {code}  {len(same)}: {', '.join(f.target for f in same[:3])}{' ...' if len(same) > 3 else ''}"
    for finding in patch.left_out[:_MOST]:
        yield from finding_words(finding)
    if len(patch.left_out) > _MOST:
        yield f"... and {len(patch.left_out) - _MOST} more"
    total = f"{len(patch.changes)} carried, {len(patch.left_out)} left out"
    if file is None:
        yield f"error: {total}; no file was written"
        yield "hint: --partial writes what can be carried, if the rest isn't needed"
    else:
        yield f"{patch.id}: {total} -> {file}"


def patch_json(patch: Patch) -> dict[str, Any]:
    """What ``suture show --json`` prints."""
    return {
        "format": 1,
        "id": patch.id,
        "meta": dict(patch.meta),
        "changes": [{**_carried(c), "before": c.before, "after": c.after} for c in patch.changes],
        "findings": [f.to_json() for f in (*patch.left_out, *patch.remarks)],
    }


def patch_words(patch: Patch, *, colour: bool) -> str:
    """What ``suture show`` prints: facts, then a diff a change."""
    return "".join(_painted(line, colour) for line in _patch_lines(patch))


def _patch_lines(patch: Patch) -> Iterator[str]:
    yield f"{patch.id}  {len(patch.changes)} changes\n"
    for key, value in patch.meta.items():
        yield f"{key}: {value}\n"
    for finding in patch.left_out:
        yield from (f"{line}\n" for line in finding_words(finding))
    for change in patch.changes:
        yield f"\n{change.target}  {change.target.path}:{change.scope.line_after}\n"
        before, after = (change.before or "").splitlines(keepends=True), (change.after or "").splitlines(keepends=True)
        lines = difflib.unified_diff(before, after, n=3)
        yield from (line for line in lines if not line.startswith(("---", "+++")))


def _painted(line: str, colour: bool) -> str:
    codes = {"+": "32", "-": "31", "@": "36"}
    return f"\033[{codes[line[0]]}m{line}\033[0m" if colour and line[:1] in codes else line
