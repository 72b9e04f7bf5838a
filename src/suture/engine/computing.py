"""
Work out the stores of values: constants, what is computed from them, tables, and what several statements make together.

Nothing is written here.  A computed value is what its new source makes in a shadow; what its old source makes is what the live
one has to be, as far as that can be told.
"""

from __future__ import annotations

import ast
import types
from collections.abc import Iterable, Iterator
from typing import Any

from suture.engine import swap
from suture.engine.facts import alike, fingerprint
from suture.engine.frames import space_of
from suture.engine.plan import Work, is_tied
from suture.engine.stage import Context, literal
from suture.engine.swap import ABSENT, Via
from suture.engine.values import COMPARED, TABLES, merge, same, shown
from suture.errors import Refused
from suture.patch import Finding, Kind, Severity
from suture.record import made_by, record

__all__ = ["Computing", "Tied", "tied"]


@record(slots=True, eq=False)
class Tied:
    """
    Statements of one module that are worked out again together.

    Attributes:
        old: As the old source has them, in order.
        new: As the new one has them.
        made: What the new ones have bound so far, by name.
    """

    old: list[Work] = made_by(default_factory=list)
    new: list[Work] = made_by(default_factory=list)
    made: dict[str, Any] = made_by(default_factory=dict)

    def imports(self) -> set[str]:
        """Imports of the old source: how they went is known."""
        return {ast.dump(n) for w in self.old for n in ast.walk(w.after.parse()) if isinstance(n, ast.Import | ast.ImportFrom)}


_Ties = dict[tuple[int, tuple[str, ...]], Tied]


def tied(works: Iterable[Work]) -> _Ties:
    """What is worked out together, by module and names."""
    out: _Ties = {}
    for work in works:
        if is_tied(work.change):
            one = out.setdefault(_key(work), Tied())
            assert work.change.decision is not None
            (one.old if work.change.decision.rule == "again-old" else one.new).append(work)
    return out


def _key(work: Work) -> tuple[int, tuple[str, ...]]:
    return id(work.module), work.change.again


class Computing(Context):
    """The part of the step "fit" that is about values."""

    tied: _Ties

    # ------------------------------------------------------------ what several statements make

    def fit_tied(self, work: Work) -> None:
        """
        Run one of several statements, as the new source has it; after the last one, see what becomes of what they bind.

        Raises:
            Refused: evaluation-failed, evaluation-entangled; conflict, target-missing, already-defined: what is live isn't what
                the old source makes, or another branch of it would be taken now than at import.
        """
        one = self.tied[_key(work)]
        if not one.new or work not in one.new:
            return
        self.evaluator.shadows.learn(self.stage.stores)
        self.evaluator.anew.rerun(work, one.made, one.imports(), anew=True)
        for name, made in one.made.items():
            live = self._live(work, name)
            if made is not live and type(made) is type(live) and (type(made) in TABLES or not _is_told(made, name, work)):
                self.evaluator.shadows.stands_for(made, live)
        for name in work.change.again:
            if name in one.made:
                self.evaluator.will_be(work, name, one.made[name])
        if work is one.new[-1]:
            self._tie_up(work, one)

    def _live(self, work: Work, name: str) -> Any:
        now = swap.read(work.space, name, Via.SETITEM)
        return self.virtual.get((id(work.space), name), now)

    def _tie_up(self, work: Work, one: Tied) -> None:
        was: dict[str, Any] = {}
        try:
            for earlier in one.old:
                self.evaluator.anew.rerun(earlier, was, one.imports(), anew=False)
        except Refused as error:
            words = f"what its old source makes can't be worked out any more ({error.message}), so what is live isn't known"
            raise Refused("conflict", words, target=work.named(work.change.again[0]), hint=_BY_HAND) from error
        stores = len(self.stage.stores)
        for name in work.change.again:
            self._tie_name(work, name, was.get(name, ABSENT), one.made.get(name, ABSENT))
        there = all(same(self._live(work, n), one.made.get(n, ABSENT)) for n in work.change.again if n in one.made)
        if len(self.stage.stores) == stores and there and not all(same(was.get(n), one.made.get(n)) for n in work.change.again):
            self.already(work)
            for each in (*one.old, *one.new):
                each.status = "already-fixed"

    def _tie_name(self, work: Work, name: str, was: Any, made: Any) -> None:
        """One name of several statements: what they have made of it, against what is there."""
        target, live = work.named(name), self._live(work, name)
        if made is ABSENT:
            if live is not ABSENT and was is not ABSENT:
                words = f"nothing makes {name} any more; it stays in the process"
                hint = "nothing to do, unless something looks for it"
                self.find(Finding("removed-kept", Severity.WARNING, target, words, hint))
            return
        if live is ABSENT and was is not ABSENT:
            hint = "rebuild from the source that the process was started from, or set it by hand in a hotfix file"
            words = f"there is no {name}: its old source makes one, or another branch was taken at import than would be now"
            raise Refused("target-missing", words, target=target, hint=hint)
        if live is not ABSENT and was is ABSENT and not same(live, made):
            words = f"adds {name}, but the process has something of that name, or another branch was taken at import"
            raise Refused("already-defined", words, target=target, hint="rename it in the fix, or set it in a hotfix file")
        unlike = live is not ABSENT and not same(live, was) and not same(live, made) and not _same_code(live, was)
        if unlike and _is_told(was, name, work):
            if type(live) not in TABLES or type(was) is not type(live) or type(made) is not type(live):
                raise _changed(work, was, live, name)
        if type(live) in TABLES and type(was) is type(made) is type(live):
            self._merge(work, name, live, was, made)
            return
        if live is ABSENT or not same(live, made):
            self.stage.put(work.space, name, Via.SETITEM, made)
        else:
            made = live
        self.evaluator.will_be(work, name, made)
        self.rebind(work, swap.read(work.space, name, Via.SETITEM), made, name)

    # ------------------------------------------------------------ what one statement makes

    def fit_value(self, work: Work) -> None:
        """A constant that both sources spell out."""
        assert work.before is not None
        owner, name, via = self.value_place(work)
        before, after = literal(work.before.parse()), literal(work.after.parse())
        self.stage.put(owner, name, via, after)
        self.evaluator.will_be(work, name, after)
        self.rebind(work, before, after)

    def rebind(self, work: Work, before: Any, after: Any, name: str = "") -> None:
        """Give importers that took a value by name the new one, where they still hold the old one."""
        for module, other, place in self._importers(work, name):
            space = space_of(module)
            live = self.virtual.get((id(space), other), swap.read(space, other, Via.SETITEM))
            if live is before or alike(live, before):
                self.stage.put(space, other, Via.SETITEM, after)
                self.evaluator.pending.setdefault(id(module), {})[other] = after
            elif live is not after and not alike(live, after):
                self.find(
                    Finding(
                        "stays-old",
                        Severity.WARNING,
                        place,
                        f"holds another value than {work.target} had: it was changed there and stays",
                        hint="set it in a hotfix file",
                    )
                )

    def fit_computed(self, work: Work) -> None:
        """A value that is worked out again, or a table that is merged; by the rule that the builder, or a person, chose."""
        owner, name, via = self.value_place(work)
        now = swap.read(owner, name, via)
        live = self.virtual.get((id(owner), name), now)
        self.evaluator.shadows.learn(self.stage.stores)
        was = self.evaluator.anew.was(work)
        made = self.evaluator.anew.value(work)
        for filler in [w for w in self.works if w.change.again and _fills(w, work)]:
            old = filler.change.decision is not None and filler.change.decision.rule == "fill-old"
            if not old:
                made = self.evaluator.anew.fill(filler, name, made, anew=True)
            elif was is not ABSENT:
                was = self.evaluator.anew.fill(filler, name, was, anew=False)
        rule = work.change.decision.rule if work.change.decision is not None else ""
        if rule == "replace":  # a person's: whatever the program has made of it
            self.stage.put(owner, name, via, made)
            self.evaluator.will_be(work, name, made)
            self.rebind(work, now, made)
            words = "a new one takes its place: who holds the old one keeps it, with what the program has put in it"
            self.find(Finding("replaced-value", Severity.WARNING, work.target, words))
            return
        if rule == "merge":
            if was is ABSENT:
                words = "what its old source makes can't be worked out any more, so what the program changed isn't known"
                raise Refused("conflict", words, target=work.target, hint="set it by hand in a hotfix file, or restart")
            self._merge(work, name, live, was, made)
            return
        if made is not live and type(live) in TABLES and type(was) is type(made) is type(live):
            self._merge(work, name, live, was, made)  # as its source doesn't show: somebody may hold it, or have changed it
            return
        if same(live, made) and not (was is not ABSENT and same(live, was)):
            self.already(work)
            work.status = "already-fixed"
            made = live
        elif was is not ABSENT and type(was) in COMPARED and not same(live, was):
            raise _changed(work, was, live)
        elif same(live, made):  # worked out again, to the same
            made = live
        else:
            self.stage.put(owner, name, via, made)
        self.evaluator.will_be(work, name, made)
        self.rebind(work, now, made)

    def _importers(self, work: Work, name: str) -> Iterator[tuple[types.ModuleType, str, str]]:
        """(module, what it calls the name, both as the patch has it) of who took a name; of several only as they are called."""
        for place in work.change.rebind:
            module_name, _, other = place.partition(":")
            module = self.modules.by_name(module_name)
            if module is not None and (other == name or len(work.change.again) < 2 or not is_tied(work.change)):
                yield module, other, place

    def _merge(self, work: Work, name: str, live: Any, was: Any, made: Any) -> None:
        target = work.named(name)
        found = merge(live, was, made, target)
        if found is None:
            raise Refused(
                "conflict",
                f"the live value is {shown(live)}, which the change of its source can't be merged into: the program changed it",
                target=target,
                hint="set it by hand in a hotfix file, or rebuild from what the process runs",
            )
        for owner, key, via, value in found.writes:
            self.stage.put(owner, key, via, value)
        self.evaluator.shadows.stands_for(found.after, live)
        self.evaluator.will_be(work, name, found.after)
        for module, other, _ in self._importers(work, name):  # they hold the very table
            self.evaluator.pending.setdefault(id(module), {})[other] = found.after
        if not found.writes and not found.kept:
            if not is_tied(work.change):
                self.already(work)
                work.status = "already-fixed"
            return
        words = f"{found.put} put, {found.removed} removed, in place: who holds the table sees it"
        self.find(Finding("merged", Severity.NOTE, target, words))
        if found.kept:
            names = f"{', '.join(found.kept[:5])}{f' and {len(found.kept) - 5} more' if len(found.kept) > 5 else ''}"
            words = f"the program itself has changed {names}: that stays"
            self.find(Finding("table-kept", Severity.WARNING, target, words, "set it in a hotfix file"))


def _changed(work: Work, was: Any, live: Any, name: str = "") -> Refused:
    words = "the live value isn't the one in the source this patch was built from: the program changed it"
    if name:
        words += ", or another branch was taken at import than would be now"
    evidence = {"expected": shown(was), "found": shown(live)}
    return Refused("conflict", words, target=work.named(name), hint=_BY_HAND, evidence=evidence)


_BY_HAND = "set it by hand in a hotfix file, or rebuild from what the process runs"


def _is_told(was: Any, name: str, work: Work) -> bool:
    """True if a live object can be held against one that its source makes: by content, or as there is only one."""
    return type(was) in COMPARED or isinstance(was, types.ModuleType | type | types.FunctionType | types.BuiltinFunctionType)


def _same_code(live: Any, was: Any) -> bool:
    """True for two functions of one code: each run of what makes them makes another."""
    return type(live) is type(was) is types.FunctionType and fingerprint(live.__code__) == fingerprint(was.__code__)


def _fills(filler: Work, work: Work) -> bool:
    """True if a statement fills the table that a change is about."""
    mine, its = filler.change, work.change
    return (
        mine.kind is Kind.STATEMENT
        and filler.module is work.module
        and mine.scope.classes == its.scope.classes
        and mine.again == (its.target.name,)
    )
