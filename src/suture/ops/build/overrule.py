"""
What the builder chose by itself, chosen otherwise by a person: in the decisions file, or in a comment beside the code.

A value that is skipped is out before anything is worked out from it; what only follows from other changes is looked at behind that.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from suture.errors import Refused
from suture.ops.build import nodes
from suture.ops.build.decisions import FILE, Decisions
from suture.ops.build.tree import Source
from suture.patch import Change, Decision, Finding, Kind, Severity
from suture.record import replace

__all__ = ["RULES", "overruled", "still_true", "unheard"]

# By the builder's rule ("" for a value that both sides spell out): what a person may choose in its place.
RULES: Mapping[str, tuple[str, ...]] = {
    "merge": ("merge", "replace", "skip"),  # in place; a new object, whatever the program has put in the old one; nothing
    "evaluate": ("evaluate", "replace", "skip"),
    "": ("replace", "skip"),  # whatever the process holds now; nothing
    "rebind": ("rebind", "skip"),  # the name is bound anew; it stays
    "remove": ("remove", "keep"),  # the name goes, and what it hides is seen; it stays
    "class-default": ("class-default", "skip"),  # objects that exist find it in their class; they lack it
    "if-held": ("if-held", "skip"),
}
_DOES = {
    "replace": "it is worked out at apply and takes the old one's place, whatever the program has made of that",
    "skip": "it isn't carried; the process keeps what it has",
    "keep": "it stays in the process",
}


@dataclass(frozen=True)
class Overruled:
    """
    What is left of a module's changes, and what is said.

    Attributes:
        changes: With the rules that hold.
        findings: What was decided; errors where that can't be.
        gone: Targets that aren't carried by choice, or stay.
    """

    changes: list[Change]
    findings: list[Finding]
    gone: frozenset[str]


def overruled(decisions: Decisions, old: Source, new: Source, changes: list[Change]) -> Overruled:
    """
    Let a person's choices stand in place of the builder's.

    Args:
        decisions: They.
        old: Source of the module as it runs.
        new: As it should.
        changes: Of the module; those that somebody decided already stay as they are.
    """
    kept: list[Change] = []
    findings: list[Finding] = []
    gone: set[str] = set()
    for change in changes:
        rule = _rule(change)
        if rule is None:
            kept.append(change)
            continue
        source, node = _node(old, new, change)
        try:
            chosen = decisions.instead(RULES[rule], str(change.target), source, node)
        except Refused as error:
            findings.append(Finding.of(error))
            kept.append(change)
            continue
        if chosen is None:
            kept.append(change)
        elif chosen.rule in ("skip", "keep"):
            gone.add(str(change.target))
            findings.append(_decided(change, chosen, rule, spans=True))
        else:
            kept.append(replace(change, decision=Decision(chosen.rule, "person", chosen.why)))
            findings.append(_decided(change, chosen, rule, spans=False))
    # What fills a table that stays isn't run.
    kept = [c for c in kept if not (c.kind is Kind.STATEMENT and c.again and {f"{c.target.module}:{n}" for n in c.again} & gone)]
    return Overruled(kept, findings, frozenset(gone))


def still_true(finding: Finding, gone: frozenset[str]) -> bool:
    """False for what was said of a default that isn't given by choice."""
    owner, _, _ = finding.target.rpartition(".")
    return finding.code != "new-attribute" or not any(
        target.rpartition(".")[0] == owner and f"self.{target.rpartition('.')[2]}," in finding.message for target in gone
    )


def unheard(decisions: Decisions, changes: Mapping[str, Change]) -> Iterator[Finding]:
    """Decisions about a change where there is nothing to choose; and those that nothing asked for."""
    for key in decisions.unused():
        if key in changes:
            words = f"there is nothing to choose about {key}: a {changes[key].kind} is carried as it is"
            hint = "leave the change out of the new tree, or take the line out of the decisions file"
            yield Finding("bad-decision", Severity.ERROR, key, words, hint, {"place": FILE})
        else:
            hint = "take it out, or see what it is about now"
            yield Finding("decision-unused", Severity.NOTE, key, "a decision that nothing asked for", hint)


def _rule(change: Change) -> str | None:
    """The rule that the builder chose; None: somebody decided, or there is nothing to decide."""
    if change.decision is not None:
        return change.decision.rule if change.decision.by == "builder" and change.decision.rule in RULES else None
    is_value = change.kind is Kind.VALUE and change.before is not None and change.after is not None and not change.target.slot
    return "" if is_value else None


def _node(old: Source, new: Source, change: Change) -> tuple[Source, ast.stmt | None]:
    """The statement beside which a comment may stand; none for what has no statement of its own."""
    rule = change.decision.rule if change.decision is not None else ""
    if rule == "class-default":
        return new, None
    source, line = (old, change.scope.line_before) if rule == "remove" else (new, change.scope.line_after)
    if "suture:" not in source.text:
        return source, None
    found = (n for n in ast.walk(source.tree) if isinstance(n, ast.stmt) and nodes.first_line(n) == line)
    return source, next(found, None)


def _decided(change: Change, chosen: Decision, rule: str, *, spans: bool) -> Finding:
    evidence = {"place": f"{change.target.path}:{change.scope.line_after or change.scope.line_before}"}
    if spans and rule != "class-default":
        if rule != "remove":
            evidence["new"] = _span(change.scope.line_after, change.after)
        evidence["old"] = _span(change.scope.line_before, change.before)
        if change.kind is Kind.IMPORT:
            evidence["alias"] = change.target.name
        elif rule == "remove":
            evidence["name"] = change.target.name
    why = f" ({chosen.why})" if chosen.why else ""
    lacks = rule == "class-default" and chosen.rule == "skip"
    does = "objects that exist lack it, and who reads it fails" if lacks else _DOES.get(chosen.rule, "as the builder has it")
    severity = Severity.WARNING if lacks else Severity.NOTE
    return Finding("decided", severity, str(change.target), f"{chosen.rule}: {does}{why}", "", evidence)


def _span(line: int, text: str | None) -> str:
    return f"{line}-{line + max(1, (text or '').count(chr(10))) - 1}"
