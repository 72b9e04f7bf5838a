"""
What a transaction is made of: its states, its stages, what is live because of it, and what its steps share.

Rule: every legal move of a transaction is in MOVES; another one raises, and nothing happens.
"""

from __future__ import annotations

import ast
import types
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Protocol

from suture.engine import swap
from suture.engine.evaluate import Evaluator
from suture.engine.facts import Fingerprint, literal_value
from suture.engine.pace import Pace
from suture.engine.plan import Work, accepts
from suture.engine.resolve import Modules, Resolver, mangled
from suture.engine.swap import ABSENT, Entry, Guard, Store, Undo, Via
from suture.errors import Fault, Refused
from suture.patch import Finding, Severity
from suture.record import made_by, record
from suture.report import Report, Row, State

__all__ = [
    "MOVES",
    "Applied",
    "Carried",
    "Context",
    "Filling",
    "Stage",
    "Step",
    "clear_caches",
    "let_go",
    "literal",
    "order",
    "settle",
]

Step = Callable[[str], None]

MOVES: Mapping[State, frozenset[State]] = {
    State.PREPARED: frozenset((State.COMMITTING, State.REFUSED, State.PLANNED)),
    State.COMMITTING: frozenset((State.COMMITTED, State.REFUSED, State.DAMAGED)),
    State.COMMITTED: frozenset((State.REVERTING, State.REPLACED)),
    State.REVERTING: frozenset((State.REVERTED, State.COMMITTED, State.DAMAGED)),
    State.REFUSED: frozenset(),
    State.PLANNED: frozenset(),
    State.REVERTED: frozenset(),
    State.REPLACED: frozenset(),
    State.DAMAGED: frozenset(),
}


@record(slots=True)
class Stage:
    """
    One commit with its own undo.  A plan is a list of them; `now` has one.

    Attributes:
        name: What it does.
        stores: All that it writes, worked out before.
        guards: What must hold inside the commit.
    """

    name: str
    stores: list[Store] = made_by(default_factory=list)
    guards: list[Guard] = made_by(default_factory=list)

    def put(self, owner: Any, name: Any, via: Via, new: Any) -> None:
        """Add a store, guarded by what is there now."""
        self.guards.append(Guard(owner, name, via, swap.read(owner, name, via)))
        self.stores.append(Store(owner, name, via, new))


@record(slots=True, eq=False)
class Carried:
    """
    A whole module that a patch brings.

    Attributes:
        name: As an import says it.
        path: In the tree.
        text: Its source.
        is_package: True for an ``__init__.py``.
        patch_id: Whose it is.
        code: Its body, compiled in one go, as an import does it.
        made: Modules that imports have made of it.
    """

    name: str
    path: str
    text: str
    is_package: bool
    patch_id: str
    code: types.CodeType
    made: list[types.ModuleType] = made_by(default_factory=list)


@record(slots=True, eq=False)  # by identity: the commit removes and appends it in its C call
class Applied:
    """A patch that is live: what is needed to report it, to revert it and to let another one stand on it."""

    patch_id: str
    state: State
    undo: Undo
    report: Report | None = None
    meta: Mapping[str, str] = made_by(default_factory=dict)
    codes: list[tuple[types.CodeType, Fingerprint]] = made_by(default_factory=list)  # as their source would have them
    caches: list[Any] = made_by(default_factory=list)
    key: str = ""
    at: str = ""  # when it was committed
    armed: list[Any] = made_by(default_factory=list)  # what it wants of modules when they're imported: imports.Arm
    carried: list[Carried] = made_by(default_factory=list)  # modules that it brings

    def move(self, to: State) -> None:
        """
        Go to another state.

        Raises:
            Fault: illegal-move.  Nothing happened.
        """
        if to not in MOVES[self.state]:
            raise Fault("illegal-move", f"{self.patch_id} can't go from {self.state} to {to}", hint="report it; nothing happened")
        self.state = to

    def functions(self) -> Iterator[Row]:
        """What it changed, as far as the undo tells."""
        for entry in self.undo.entries:
            if entry.store.name == "__code__":
                yield Row(f"{entry.store.owner.__module__}:{entry.store.owner.__qualname__}", "updated", 1)

    def places(self) -> set[tuple[int, Any]]:
        """Where it wrote."""
        return {(id(e.store.owner), e.store.name) for e in self.undo.entries}


class Filling(Protocol):
    """What a front end that works out its own stores sees of a transaction."""

    stage: Stage

    def find(self, finding: Finding) -> None:
        """Note a finding."""

    def put_code(self, function: types.FunctionType, code: types.CodeType, as_source: types.CodeType, extra: int = 0) -> None:
        """Give a live function new code."""


class Context:
    """What the steps of one transaction share.  Lives for one call."""

    def __init__(
        self,
        prints: Callable[[], Mapping[int, Fingerprint]],
        stack: list[Applied],
        pace: Pace,
        accept: frozenset[str],
        partial: bool,
        replace: bool,
        on_step: Step,
    ) -> None:
        self.prints, self.stack = prints, stack
        self.pace = pace
        self.accept = accept
        self.partial = partial
        self.replace = replace
        self.step = on_step
        self.findings: list[Finding] = []
        self.works: list[Work] = []
        self.stage = Stage("now")
        self.applied = Applied("", State.PREPARED, Undo())
        self.patch_id = ""
        self.meta: Mapping[str, str] = {}
        self.evaluator = Evaluator(pace)
        self.old: list[types.CodeType] = []
        self.old_at: dict[int, int] = {}  # where in it, by id
        self.extra: list[int] = []
        # Equal copies of code, by id of the original: what undos keep.
        self.copies: dict[int, types.CodeType] = {}
        self.replaces: list[Applied] = []
        self.virtual: dict[tuple[int, Any], Any] = {}
        self.first = 0  # of the stores that are this patch's own; those before put back what replaced patches did
        self.going_back: dict[int, list[types.CodeType]] = {}

    rows: Sequence[Row] = ()
    importing: types.ModuleType | None = None  # in whose import this runs
    unloaded: Mapping[str, Any] = {}  # modules that are armed, by name: the spec that an import would find
    modules: Modules
    resolver: Resolver

    def find(self, finding: Finding) -> None:
        """Note a finding; an error that was accepted becomes a warning."""
        if finding.severity is Severity.ERROR and accepts(self.accept, finding):
            finding = Finding(finding.code, Severity.WARNING, finding.target, f"accepted: {finding.message}", finding.hint)
        self.findings.append(finding)

    def let_go(self) -> None:
        """Drop what was worked out."""
        let_go((self.works, self.stage.guards, self.stage.stores), self.pace)

    def already(self, work: Work) -> None:
        """Note that the live code is what the patch would make it."""
        self.find(Finding("already-fixed", Severity.NOTE, work.target, "the live code is what this patch would make it"))

    def value_place(self, work: Work) -> tuple[Any, str, Via]:
        """
        Where a changed constant lives.

        Raises:
            Refused: target-missing.
        """
        change = work.change
        if work.owner is not None:
            return work.owner, mangled(change.target.name, change.scope.classes), Via.TYPE_SETATTR
        first, dot, attribute = change.target.qualname.partition(".")
        if dot and not change.scope.classes:
            function = work.space.get(first)
            if type(function) is types.FunctionType:
                return function, attribute, Via.SETATTR
            raise Refused("target-missing", f"{first} isn't a plain function", target=work.target, hint="set it in a hotfix file")
        if change.scope.classes:
            raise Refused("target-missing", "its class isn't there by name", target=work.target, hint="rebuild")
        return work.space, change.target.name, Via.SETITEM


def settle(beneath: Sequence[Applied], now: Mapping[int, types.CodeType], becomes: Mapping[int, Sequence[types.CodeType]]) -> None:
    """
    Tell the patches beneath what stands in their places.

    What a patch put somewhere is what the next one's undo there keeps; what the topmost put there is live.

    Args:
        beneath: Oldest first.
        now: By id of a function, what its topmost patch has put there.
        becomes: By id of a code object, those that have taken its place, equal but for the parts that they share with what is
            live.
    """
    left = dict(now)
    for applied in reversed(beneath):
        mine = {}
        for at, entry in enumerate(applied.undo.entries):
            store = entry.store
            if store.name == "__code__" and id(store.owner) in left:
                new = mine[id(store.owner)] = left[id(store.owner)]
                applied.undo.entries[at] = Entry(Store(store.owner, store.name, store.via, new), entry.old)
        for owner in mine:
            del left[owner]
    live = {id(e.store.new) for a in beneath for e in a.undo.entries}
    for applied in beneath:
        applied.codes = [
            (c, fp)
            for code, fp in applied.codes
            for c in (*becomes.get(id(code), (code,)), *((code,) if id(code) in becomes and id(code) in live else ()))
        ]


def literal(node: ast.stmt) -> Any:
    """Value of an assignment whose right side is plain; ABSENT otherwise."""
    value = getattr(node, "value", None)
    if not isinstance(value, ast.expr):
        return ABSENT
    try:
        return literal_value(value)
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
        return ABSENT


def order(findings: Sequence[Finding]) -> tuple[Finding, ...]:
    """Findings, errors first, each once."""
    order = {Severity.ERROR: 0, Severity.WARNING: 1, Severity.NOTE: 2}
    unique = {f.key: f for f in findings}
    return tuple(sorted(unique.values(), key=lambda f: order[f.severity]))


def let_go(piles: Iterable[list[Any]], rest: Callable[[], None]) -> None:
    """Empty lists, in slices: a thousand works or stores that die at once are a hold of 3 ms."""
    for pile in piles:
        while pile:
            pile.pop()
            rest()


def clear_caches(caches: Sequence[Any]) -> None:
    """Forget what caches over changed code hold."""
    for cache in caches:
        cache.cache_clear()
