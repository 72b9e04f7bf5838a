"""
Patches and findings as words, diffs and JSON.
"""

from __future__ import annotations

import difflib
import os
import textwrap
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TextIO

from suture.patch import Change, Finding, Kind, Patch, Severity
from suture.report import WIDTH
from suture.report import words_of as finding_words

__all__ = [
    "build_json",
    "build_words",
    "carried_json",
    "finding_words",
    "outcome_words",
    "patch_json",
    "patch_words",
    "wants_colour",
]

_MOST_MODULES, _MOST_ERRORS, _FEW_MODULES, _FEW_CODES = 12, 5, 5, 4  # on a screen


def wants_colour(stream: TextIO) -> bool:
    """True on a terminal, unless NO_COLOR is set."""
    return stream.isatty() and not os.environ.get("NO_COLOR")


def build_json(patch: Patch, file: Path | None) -> dict[str, Any]:
    """What ``suture build --json`` prints."""
    return {
        "format": 1,
        "verb": "build",
        "ok": file is not None,
        "patch_id": patch.id if file is not None else None,
        "file": str(file) if file is not None else None,
        "source": patch.meta.get("source", ""),
        "files": [{"path": f.path, "module": f.module, "added": not f.before, "moved": list(f.moved)} for f in patch.files],
        "carried": [carried_json(c) for c in patch.changes],
        "findings": [f.to_json() for f in (*patch.left_out, *patch.remarks)],
    }


def carried_json(change: Change) -> dict[str, Any]:
    """One change, with the rule that was chosen for it, by whom and why."""
    row: dict[str, Any] = {"target": str(change.target), "kind": str(change.kind), "added": change.before is None}
    row |= {"file": change.target.path, "line": change.scope.line_after}
    if change.rebind:
        row["rebind"] = list(change.rebind)
    if change.decision is not None:
        row |= {"rule": change.decision.rule, "by": change.decision.by, "why": change.decision.why}
    if change.again and change.kind is not Kind.STATEMENT:
        row["again"] = list(change.again)
    return row


def build_words(patch: Patch) -> str:
    """What ``suture build`` carries, a paragraph a module, and what a person should know."""
    return "".join(f"{line}\n" for line in _build_lines(patch))


def outcome_words(patch: Patch, file: Path | None) -> str:
    """How it ended; what stands in the way first."""
    return "".join(f"{line}\n" for line in _outcome_lines(patch, file))


def _build_lines(patch: Patch) -> Iterator[str]:
    modules: dict[str, list[Change]] = {}
    for change in patch.changes:
        if change.kind is Kind.STATEMENT and change.again:
            continue  # a part of a table's own value
        modules.setdefault(change.target.module, []).append(change)
    for module, changes in list(modules.items())[:_MOST_MODULES]:
        names = [_named(c) for c in changes if c.kind is not Kind.MODULE]
        head = f"{module}  {_counted(changes)}"
        if len(modules) > _FEW_MODULES:  # all of it shall fit on a screen
            yield from _wrapped(_fitting(head, names), "", "  ")
            continue
        yield head
        yield from _wrapped(_listed(names, 12), "  ", "  ")
    rest = list(modules.values())[_MOST_MODULES:]
    if rest:
        yield f"... and {sum(map(len, rest))} in {len(rest)} more modules (suture show, or --json, has all)"
    for severity in (Severity.WARNING, Severity.NOTE):
        same: dict[str, list[Finding]] = {}
        for finding in patch.remarks:
            if finding.severity is severity:
                same.setdefault(finding.code, []).append(finding)
        for code, found in same.items():
            if len(found) == 1 and severity is Severity.WARNING and len(same) <= _FEW_CODES:
                yield from finding_words(found[0])
                continue
            if len(found) == 1 and found[0].target in found[0].message:
                yield from _wrapped(f"{severity} {code}  {found[0].message}", "", "  ")
                continue
            about = list(dict.fromkeys(f.target or f.message for f in found))
            yield from _wrapped(f"{severity} {code}  {len(found)}: {_listed(about, 4 if len(same) <= _FEW_CODES else 2)}", "", "  ")


def _fitting(head: str, names: list[str]) -> str:
    """As many of some names as a line has room for."""
    for most in range(len(names), 0, -1):
        line = f"{head}: {_listed(names, most)}"
        if len(line) <= WIDTH:
            return line
    return head


def _outcome_lines(patch: Patch, file: Path | None) -> Iterator[str]:
    groups: dict[tuple[str, str, str], list[Finding]] = {}
    for finding in patch.left_out:
        alike = (
            finding.message.replace(finding.target.rpartition(".")[2].rpartition(":")[2], ""),
            finding.target.partition(":")[0],
        )
        groups.setdefault((finding.code, *alike), []).append(finding)
    for found in list(groups.values())[:_MOST_ERRORS]:
        yield from finding_words(found[0])
        if found[1:]:
            words = f"the same of {len(found) - 1} more: {_listed([f.target.partition(':')[2] or f.target for f in found[1:]], 6)}"
            yield from _wrapped(words, "  ", "  ")
    rest = [f for found in list(groups.values())[_MOST_ERRORS:] for f in found]
    if rest:
        codes = Counter(f.code for f in rest)
        words = f"... and {len(rest)} more: {', '.join(f'{n} {c}' for c, n in codes.most_common())} (--json has all)"
        yield from _wrapped(words, "", "  ")
    homes = len({c.target.module for c in patch.changes})
    total = f"{len(patch.changes)} carried{f' in {homes} modules' if homes > 1 else ''}, {len(patch.left_out)} left out"
    warnings = sum(f.severity is Severity.WARNING for f in patch.remarks)
    total += f", {warnings} warning{'s' * (warnings != 1)}" if warnings else ""
    if file is not None:
        yield f"{patch.id}: {total} -> {file}"
        return
    yield f"error: {total}; no file was written"
    if patch.left_out:
        yield f"hint: suture build --explain {patch.left_out[0].code} says more"
    if patch.changes:
        yield "hint: --partial writes what can be carried, if the rest isn't needed"


def _wrapped(words: str, first: str, rest: str) -> list[str]:
    """Lines of a screen's width; a name is broken only if it is longer than one."""
    for breaks in (False, True):
        lines = textwrap.wrap(
            words, WIDTH, initial_indent=first, subsequent_indent=rest, break_on_hyphens=False, break_long_words=breaks
        )
        if all(len(line) <= WIDTH for line in lines):
            break
    return lines


def _named(change: Change) -> str:
    """``+f``, ``TABLE (merge)``."""
    rule = f" ({change.decision.rule})" if change.decision is not None else ""
    return f"{'+' if change.before is None else ''}{change.target.qualname}{rule}"


def _counted(changes: list[Change]) -> str:
    """ "2 functions, 1 value, 3 added"."""
    kinds = ("whole module, added" if c.kind is Kind.MODULE else "added" if c.before is None else str(c.kind) for c in changes)
    words = Counter(kinds)
    return ", ".join(
        f"{n} {w}{'s' * (n > 1 and w in ('function', 'value', 'import'))}" if "," not in w else w for w, n in words.items()
    )


def _listed(names: list[str], most: int) -> str:
    return ", ".join(names[:most]) + (f", and {len(names) - most} more" if len(names) > most else "")


def patch_json(patch: Patch) -> dict[str, Any]:
    """What ``suture show --json`` prints."""
    return {
        "format": 1,
        "id": patch.id,
        "meta": dict(patch.meta),
        "changes": [{**carried_json(c), "before": c.before, "after": c.after} for c in patch.changes],
        "findings": [f.to_json() for f in (*patch.left_out, *patch.remarks)],
    }


def patch_words(patch: Patch, *, colour: bool) -> str:
    """What ``suture show`` prints: facts, then a diff a change."""
    return "".join(_painted(line, colour) for line in _patch_lines(patch))


def _patch_lines(patch: Patch) -> Iterator[str]:
    partial = f", {len(patch.left_out)} left out" if patch.left_out else ""
    yield f"{patch.id}  {len(patch.changes)} changes{partial}\n"
    for key, value in patch.meta.items():
        yield f"{key}: {_visible(value)}\n"
    for finding in (*patch.left_out, *patch.remarks):
        yield from (f"{_visible(line)}\n" for line in finding_words(finding))
    for change in patch.changes:
        rebind = f"  also {', '.join(change.rebind)}" if change.rebind else ""
        yield f"\n{change.target}  {change.kind}  {change.target.path}:{change.scope.line_after}{rebind}\n"
        if change.decision is not None:
            why = f": {_visible(change.decision.why)}" if change.decision.why else ""
            words = f"{change.decision.rule}, by the {change.decision.by}{why}"
            wrapped = textwrap.wrap(words, WIDTH, initial_indent="  ", subsequent_indent="    ", break_on_hyphens=False)
            yield from (f"{line}\n" for line in wrapped)
        if change.again and change.kind is not Kind.STATEMENT:
            yield f"  worked out again: the default of {', '.join(change.again)}\n"
        lines = difflib.unified_diff(_lines(change.before), _lines(change.after), n=3)
        yield from (line for line in lines if not line.startswith(("--- ", "+++ ")))


def _lines(text: str | None) -> list[str]:
    return [f"{_visible(line)}\n" for line in (text or "").removesuffix("\n").split("\n")] if text else []


def _visible(text: str) -> str:
    """Without what would steer a terminal: a patch may come from anywhere."""
    return "".join(c if c.isprintable() or c == "\t" else c.encode("unicode_escape").decode() for c in text)


def _painted(line: str, colour: bool) -> str:
    codes = {"+": "32", "-": "31", "@": "36"}
    return f"\033[{codes[line[0]]}m{line}\033[0m" if colour and line[:1] in codes else line
