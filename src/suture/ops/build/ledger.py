"""
What the comparison of two versions of a module comes to: changes and findings.

The only two ways out of the walk: whatever differs ends in ``change`` or in ``say``, and conserve.py counts.
"""

from __future__ import annotations

import ast
from dataclasses import dataclass, field

from suture.errors import Refused
from suture.ops.build import nodes, shapes
from suture.ops.build.decisions import Decisions
from suture.ops.build.tree import Source
from suture.patch import Change, Decision, Expect, Finding, Kind, Scope, Severity, Target

__all__ = ["Difference", "Ledger", "Where"]


@dataclass
class Difference:
    """
    What two versions of a module differ in.

    Attributes:
        changes: In the order of the new source; numbers aren't final.
        findings: Why the rest isn't carried; evidence ``old`` and ``new`` are lines ("12-15") of the statements meant.
        moved: Qualified names of unchanged functions whose line changed.
        filled: Tables, by classes and name, that other statements fill now.
    """

    changes: list[Change] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)
    moved: list[str] = field(default_factory=list)
    filled: list[tuple[tuple[str, ...], str]] = field(default_factory=list)


@dataclass(frozen=True)
class Where:
    """
    Where the walk is.

    Attributes:
        classes: Names of the enclosing classes.
        old_class: The innermost of them, on both sides.
        block: "" (runs for sure), "typing", "main" or "conditional".
        bound: Names that the module or class binds on the old side, anywhere.
        often: Those that either side binds more than once.
        kind: "enum", "fields" or "" for the innermost class.
        shape: Set if the innermost class can be made anew from its fields.
        why: Why the members of an enumeration aren't carried.
    """

    classes: tuple[str, ...] = ()
    old_class: ast.ClassDef | None = None
    new_class: ast.ClassDef | None = None
    block: str = ""
    bound: frozenset[str] = frozenset()
    often: frozenset[str] = frozenset()
    kind: str = ""
    shape: shapes.Shape | None = None
    why: str = ""

    def dotted(self, name: str) -> str:
        """Qualified name of what is bound here."""
        return ".".join([*self.classes, name])


class Ledger:
    """
    Takes down what two versions of one module differ in.

    Attributes:
        out: It.
    """

    def __init__(self, old: Source, new: Source, decisions: Decisions) -> None:
        self.old, self.new, self._decisions = old, new, decisions
        self.out = Difference()

    def change(
        self,
        kind: Kind,
        name: str,
        old: ast.stmt | None,
        new: ast.stmt,
        scope: Where,
        *,
        slot: str = "",
        nth: int = 0,
        names: tuple[str, ...] = (),
        before: str = "",
        text: str = "",
        decision: Decision | None = None,
        expect: Expect | None = None,
    ) -> None:
        """
        Take down what is carried.

        Args:
            kind: What it is.
            name: What it's about; "" for the class that the walk is in.
            old: The statement as it was; None: it's added.
            new: As it is now: where it stands, and what it says unless *text* does.
            scope: Where the walk is.
            slot: Which accessor, or registration, of the name.
            nth: Which of several that are alike.
            names: What it binds.
            before: Its old text, where that isn't the statement's.
            text: Its new one, likewise.
            decision: What becomes of it, where the source doesn't say.
            expect: What the process has to have; None: the old source, or nothing.
        """
        target = Target(self.new.module, scope.dotted(name) if name else ".".join(scope.classes), self.new.path, slot, nth)
        around = Scope(
            scope.classes,
            self.old.future_flags if old is not None else 0,
            self.new.future_flags,
            nodes.first_line(old) if old is not None else 0,
            nodes.first_line(new),
            nodes.reads_through(self.old, old) if old is not None else (),
            nodes.reads_through(self.new, new),
        )
        was = (before or nodes.text(self.old, old)) if old is not None else None
        expect = expect or (Expect.SOURCE if old is not None else Expect.ABSENT)
        change = Change(0, kind, target, was, text or nodes.text(self.new, new), around, expect, names, decision=decision)
        self.out.changes.append(change)

    def say(
        self,
        code: str,
        severity: Severity,
        scope: Where,
        message: str,
        hint: str = "",
        *,
        old: ast.stmt | None = None,
        new: ast.stmt | None = None,
        name: str = "",
        place: ast.stmt | None = None,
    ) -> None:
        """
        Take down a finding.

        Args:
            code: As docs/reference/findings.md has it.
            severity: An error isn't carried.
            scope: Where the walk is.
            message: What is so, and why.
            hint: The way round.
            old: The statement that isn't carried, as it was.
            new: The same as it is now.
            name: What it's about.
            place: Where to look, of a finding that leaves nothing out.
        """
        source, node = (self.new, place or new) if new or place else (self.old, old)
        evidence = {"place": f"{source.path}:{nodes.first_line(node)}" if node is not None else source.path}
        evidence |= {side: nodes.lines_of(n) for side, n in (("old", old), ("new", new)) if n is not None}
        if name:
            evidence["alias" if isinstance(node, ast.Import | ast.ImportFrom) else "name"] = name
            target = f"{source.module}:{scope.dotted(name)}"
        else:
            target = evidence["place"]
        for one in (new, old):
            if isinstance(one, ast.Import | ast.ImportFrom) and len(one.names) == 1:  # the one name, not the whole line
                evidence.setdefault("alias", one.names[0].asname or one.names[0].name)
        self.out.findings.append(Finding(code, severity, target, message, hint, evidence))

    # ------------------------------------------------------------ a person's word

    def chosen(self, code: str, key: str, new: ast.stmt | None, old: ast.stmt | None) -> Decision | None:
        """What somebody chose for it, in the decisions file or beside the code; a word that isn't one is a finding."""
        source, node = (self.new, new) if new is not None else (self.old, old)
        assert node is not None
        try:
            return self._decisions.choose(code, key, source, node)
        except Refused as error:
            self.out.findings.append(Finding.of(error))
            return None

    def decided(
        self, scope: Where, chosen: Decision, old: ast.stmt | None, new: ast.stmt | None, words: str, place: ast.stmt | None = None
    ) -> None:
        """Say what was chosen; *old* and *new* are left out by it, *place* isn't."""
        why = f" ({chosen.why})" if chosen.why else ""
        self.say("decided", Severity.NOTE, scope, f"{chosen.rule}: {words}{why}", old=old, new=new, place=place)

    # ------------------------------------------------------------ what is never carried

    def type_only(self, scope: Where, old: ast.stmt | None, new: ast.stmt | None) -> None:
        """What only type checkers read."""
        node = new if new is not None else old
        assert node is not None
        words = "matters to type checkers only; it isn't carried"
        self.say("type-only", Severity.NOTE, scope, words, old=old, new=new, name=nodes.target_name(node))

    def main_block(self, scope: Where, old: ast.stmt | None, new: ast.stmt | None) -> None:
        """What runs when the file is a program."""
        node = new if new is not None else old
        assert node is not None
        words = f"runs only when the file is started as a program, which is over: {nodes.head(node)}"
        self.say("main-block", Severity.WARNING, scope, words, "it counts from the next start on", old=old, new=new)
