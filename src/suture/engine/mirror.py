"""
What a module got at its import becomes a part of the undo of the patch that brought it.

The engine works out how to go from *after* to *before*, as if that were a patch; its stores, the other way round, are what a live
apply would have left (docs/adr/0014).  Worked out afterwards, by whoever comes next: no lock of ours is held while a body runs.
Writes to the undo of live patches, never to live objects.
"""

from __future__ import annotations

import ast
import types
from collections.abc import Iterator, Sequence
from typing import Any, Protocol

from suture.engine import swap
from suture.engine.frames import space_of
from suture.engine.imports import Arm
from suture.engine.plan import Work
from suture.engine.resolve import mangled
from suture.engine.stage import Applied, Stage, literal
from suture.engine.swap import ABSENT, Entry, Store, Via
from suture.errors import Refused
from suture.patch import Change, Finding, Kind, Patch, Scope, Severity
from suture.record import replace

__all__ = ["Mirror", "join", "mirror", "refuse_revert"]


class Mirror(Protocol):
    """A transaction, as far as it's needed to work out how the old code goes in."""

    works: list[Work]
    findings: list[Finding]
    stage: Stage
    applied: Applied
    values: dict[tuple[int, int], Any]
    importing: types.ModuleType | None
    stack: list[Applied]
    virtual: dict[tuple[int, str], Any]

    def compile(self, patch: Patch) -> Any:
        """Both sides of each change."""

    def locate(self, patch: Patch, pairs: Any) -> None:
        """Fill ``works``."""

    def fit(self, *, evaluate: bool) -> None:
        """Fill the stage."""


def mirror(transaction: Mirror, applied: Applied, arm: Arm, module: types.ModuleType) -> None:
    """
    Put into a patch's undo what a module got at its import.

    The engine works out how to go from *after* to *before*, as if that were a patch; its stores, the other way round, are what a
    live apply would have left.  Nothing is written.
    """
    swapped = tuple(map(_swapped, (c for c in arm.changes if c.before is not None)))
    patch = Patch("mirror", swapped)
    transaction.importing = module
    transaction.locate(patch, transaction.compile(patch))
    transaction.works[:] = [w for w in transaction.works if w.module is module]
    transaction.values = {}
    transaction.fit(evaluate=True)
    kinds = {str(c.target): c.kind for c in arm.changes}
    errors = [f for f in transaction.findings if f.severity is Severity.ERROR]
    arm.stuck += [f"{f.target}: {f.message}" for f in errors if kinds.get(f.target) is not Kind.VALUE]
    entries = [*_added(arm, module), *_values_beneath(transaction, applied, swapped, module)]
    last = {(id(s.owner), s.name): s for s in transaction.stage.stores}  # where a newer patch is in too, its places come first
    for place, store in last.items():
        was = transaction.virtual.get(place, ABSENT)
        if was is ABSENT:
            was = swap.read(store.owner, store.name, store.via)
        if was is store.new:
            continue
        entries.append(Entry(Store(store.owner, store.name, store.via, was), store.new))
    applied.caches += [c for c in transaction.applied.caches if not any(c is known for known in applied.caches)]
    there = {(id(e.store.owner), e.store.name): n for n, e in enumerate(applied.undo.entries)}
    for entry in entries:
        _put(applied, there, entry)


def join(applied: Applied, part: Applied) -> None:
    """Make what was committed in an import a part of the patch that it's of."""
    there = {(id(e.store.owner), e.store.name): n for n, e in enumerate(applied.undo.entries)}
    for entry in part.undo.entries:
        _put(applied, there, entry)
    applied.codes += part.codes
    applied.caches += part.caches


def _put(applied: Applied, there: dict[tuple[int, Any], int], entry: Entry) -> None:
    at = there.get((id(entry.store.owner), entry.store.name))
    if at is None:
        applied.undo.entries.append(entry)
    else:  # a reload wrote the same name again: what was there first is what a revert puts back
        applied.undo.entries[at] = Entry(entry.store, applied.undo.entries[at].old)


def refuse_revert(applied: Applied) -> None:
    """
    Say no where an import has made what can't be put back, or is at it.

    Raises:
        Refused: module-importing, changed-since.
    """
    for arm in applied.armed:
        if arm.running:
            raise Refused(
                "module-importing", f"{arm.module} is being imported right now", target=arm.module, hint="revert when it has ended"
            )
        if arm.stuck:
            raise Refused("changed-since", f"can't be put back: {'; '.join(arm.stuck[:3])}", target=arm.module, hint="restart")


def _values_beneath(transaction: Mirror, applied: Applied, swapped: Sequence[Change], module: types.ModuleType) -> Iterator[Entry]:
    """Constants that a newer patch has changed again: this one's value is what that one puts back."""
    newer = transaction.stack[transaction.stack.index(applied) + 1 :] if applied in transaction.stack else []
    old = {(id(e.store.owner), e.store.name): e for a in newer for e in reversed(a.undo.entries)}
    for change in swapped:
        entry = old.get((id(space_of(module)), change.target.name))
        if change.kind is Kind.VALUE and not change.scope.classes and entry is not None and entry.old is not ABSENT:
            value = literal(ast.parse(change.after or "").body[0])
            if value is not ABSENT:
                yield Entry(Store(entry.store.owner, entry.store.name, entry.store.via, entry.old), value)


def _swapped(change: Change) -> Change:
    scope = change.scope
    turned = Scope(
        scope.classes,
        scope.future_after,
        scope.future_before,
        scope.line_after,
        scope.line_before,
        scope.imports_after,
        scope.imports_before,
    )
    return replace(change, before=change.after, after=change.before, scope=turned)


def _added(arm: Arm, module: types.ModuleType) -> Iterator[Entry]:
    """Names that the patch adds, as they are now."""
    for change in arm.changes:
        if change.before is not None:
            continue
        owner: Any = space_of(module)
        via = Via.SETITEM
        for name in change.scope.classes:
            owner = owner.get(name) if via is Via.SETITEM else type.__dict__["__dict__"].__get__(owner).get(name)
            via = Via.TYPE_SETATTR
            if not isinstance(owner, type):
                break
        if via is Via.TYPE_SETATTR and not isinstance(owner, type):
            continue
        for name in change.names or (change.target.name,):
            key = mangled(name, change.scope.classes)
            live = swap.read(owner, key, via)
            if change.target.slot:
                arm.stuck.append(f"{change.target}: a part of something else")
            elif live is not ABSENT:
                yield Entry(Store(owner, key, via, live), ABSENT)
