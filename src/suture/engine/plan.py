"""
The judge: what may be changed in a running process, and what stands in the way.

Pure: gets facts, gives findings.  It doesn't know whether they come from compiled source (the builder, before shipping) or
from live objects (the process, before it changes anything), so the author's check and the preflight can't disagree.

Its types are the only ones that the rest of the engine shares.
"""

from __future__ import annotations

import ast
import types
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from suture.engine.facts import KIND_FLAGS, Definition, inner_codes, kind_name, same_tree
from suture.engine.frames import space_of
from suture.patch import Change, Finding, Severity
from suture.record import record

__all__ = [
    "Site",
    "Work",
    "accepts",
    "acts",
    "binds_anew",
    "cross_calls",
    "is_decorated_anew",
    "is_remade",
    "is_tied",
    "judge",
    "judge_live",
    "may_be_gone",
    "rebinds",
    "same_decorators",
]

# Decorators that pass any call on, or are looked through by name: a changed signature is safe below them.
TRANSPARENT = frozenset(
    (
        "abstractmethod",
        "asynccontextmanager",
        "cache",
        "cached_property",
        "classmethod",
        "contextmanager",
        "coroutine",
        "deleter",
        "final",
        "getter",
        "lru_cache",
        "no_type_check",
        "overload",
        "override",
        "property",
        "register",
        "runtime_checkable",
        "setter",
        "singledispatch",
        "singledispatchmethod",
        "staticmethod",
        "total_ordering",
        "wraps",
    )
)
# Decorators that make nothing but the descriptor: the whole attribute can be made anew and put in the class.
DESCRIPTORS = frozenset(("property", "staticmethod", "classmethod"))
CACHES = frozenset(("lru_cache", "cache"))


@record(frozen=True, slots=True)
class Site:
    """
    One live function that a change is about.

    Attributes:
        function: Changed in place; every holder follows.
        where: How it was reached: ``app.m.f``, ``app.m.f.__wrapped__``.
        wrappers: What lies between the name and the function, outermost first.
    """

    function: types.FunctionType
    where: str
    wrappers: tuple[object, ...] = ()


@record(slots=True)
class Work:
    """
    One change in one live module, on its way through the transaction.

    Attributes:
        change: As the patch has it.
        before: Its old source, compiled; None for an addition.
        after: Its new source, compiled.
        module: The live module.
        owner: The class it lives in, or None.
        sites: Live functions found.
        status: "todo", "already-fixed", "kept".
        nested: For a statement that makes functions: each live one with the code it gets.
    """

    change: Change
    before: Definition | None
    after: Definition
    module: types.ModuleType
    owner: type | None = None
    sites: Sequence[Site] = ()
    status: str = "todo"
    nested: Sequence[tuple[Site, types.CodeType]] = ()

    @property
    def space(self) -> dict[str, Any]:
        """The live module's namespace."""
        return space_of(self.module)

    @property
    def target(self) -> str:
        """Target in words, with the live module's own name."""
        text = str(self.change.target)
        name = self.space.get("__name__")
        module = self.change.target.module
        return text if name == module or name != "__main__" else f"__main__{text[len(module) :]}"

    def named(self, name: str) -> str:
        """The same for one name of several that a change is about; *name* of another one is its own."""
        return f"{self.target.partition(':')[0]}:{name}" if name and is_tied(self.change) else self.target


def accepts(accept: Iterable[str], finding: Finding) -> bool:
    """True if a person took this finding on: by ``code`` or by ``code:target``."""
    return finding.code in accept or f"{finding.code}:{finding.target}" in accept


def same_decorators(before: Definition, after: Definition) -> bool:
    """True if both have the same decorators, in order."""
    return same_tree(before.decorators, after.decorators)


def rebinds(before: Definition | None, after: Definition) -> bool:
    """True if a method changes between plain, property, class and static method: then its attribute is made anew."""
    if before is None or before.code is None or after.code is None or not after.classes or same_decorators(before, after):
        return False
    return set(decorator_names(before)) | set(decorator_names(after)) <= DESCRIPTORS


def binds_anew(change: Change) -> bool:
    """True if a name becomes something of another kind, or from elsewhere: it is bound anew, and what it was stays as it is."""
    return change.decision is not None and change.decision.rule == "rebind"


def may_be_gone(change: Change) -> bool:
    """True for a definition that its module deletes once it has been used."""
    return change.decision is not None and change.decision.rule == "if-held"


def acts(change: Change) -> bool:
    """True for what is run for what it does, by somebody's choice: a statement, decorators that may register."""
    chosen = change.decision
    return chosen is not None and (chosen.rule == "run-once" or (chosen.rule == "decorate" and chosen.by == "person"))


def is_tied(change: Change) -> bool:
    """True for one of several statements that are worked out again together."""
    return change.decision is not None and change.decision.rule in ("again-old", "again-new")


def is_decorated_anew(change: Change) -> bool:
    """True if a definition's decorators are run again, as they only make wrappers."""
    return change.decision is not None and change.decision.rule == "decorate"


def is_remade(change: Change) -> bool:
    """True for a class whose decorators are run again, beside it, for what they make of its fields."""
    return change.decision is not None and change.decision.rule == "remake"


def judge(change: Change, before: Definition | None, after: Definition) -> Iterator[Finding]:
    """
    Rules that the source alone decides.

    Args:
        change: The change.
        before: Its old source; None for an addition.
        after: Its new source.

    Yields:
        Errors (kind-changed, decorators-changed) and warnings (signature-remembered).
    """
    if before is None or before.code is None or after.code is None or binds_anew(change):
        return
    target = str(change.target)
    if (before.code.co_flags ^ after.code.co_flags) & KIND_FLAGS:
        yield Finding(
            "kind-changed",
            Severity.ERROR,
            target,
            f"was a {kind_name(before.code)}, would be a {kind_name(after.code)}: callers await, iterate or call it by its kind",
            hint=f"add a new function beside it, or --accept kind-changed:{target}",
        )
    if is_decorated_anew(change):
        yield Finding(
            "rebound",
            Severity.NOTE,
            target,
            f"decorators were [{_names(before)}], become [{_names(after)}]: the name is made anew, and where it was imported; who "
            "holds the old object has the new code behind the old decorators",
        )
        return
    if rebinds(before, after):
        yield Finding(
            "rebound",
            Severity.NOTE,
            target,
            f"decorators were [{_names(before)}], become [{_names(after)}]: the attribute is made anew; a function or bound method "
            "of it that somebody holds stays old",
        )
    elif not same_decorators(before, after):
        yield Finding(
            "decorators-changed",
            Severity.ERROR,
            target,
            f"decorators were [{_names(before)}], would be [{_names(after)}]: what they made at import stays",
            hint="move the change into the body, or restart",
        )
    unknown = [n for n in decorator_names(before) if n not in TRANSPARENT]
    if unknown and _shape(before) != _shape(after):
        yield _signature_remembered(target, f"@{unknown[0]}")


def judge_live(work: Work) -> Iterator[Finding]:
    """
    Rules that need the live objects.

    Yields:
        Warnings: signature-remembered (a wrapper that the source doesn't show), cached-values.
    """
    before, after = work.before, work.after
    if before is None or before.code is None or after.code is None:
        return
    target = work.target
    names = decorator_names(before)
    changed = _shape(before) != _shape(after)
    if changed and not names and any(s.wrappers for s in work.sites):
        yield _signature_remembered(target, "a wrapper that isn't in its source")
    if "cached_property" in names:
        yield Finding(
            "cached-values",
            Severity.WARNING,
            target,
            "instances that have read it keep the value the old code computed",
            hint="delete the attribute on those instances where it matters",
        )


def _signature_remembered(target: str, by: str) -> Finding:
    return Finding(
        "signature-remembered",
        Severity.WARNING,
        target,
        f"its parameters change below {by}, which may have looked at them when it was applied",
        hint="check what the decorator keeps; restart if it keeps the signature",
    )


def _shape(definition: Definition) -> list[tuple[str, str, bool]]:
    return [p.shape for p in definition.parameters]


def decorator_names(definition: Definition) -> list[str]:
    """Last part of each decorator's name, without its call: ``functools.lru_cache(8)`` is ``lru_cache``."""
    return names_of(definition.decorators)


def names_of(decorators: Iterable[ast.expr]) -> list[str]:
    """The same, of a class's too."""
    names = []
    for node in decorators:
        inner = node.func if isinstance(node, ast.Call) else node
        if isinstance(inner, ast.Attribute):
            names.append(inner.attr)
        elif isinstance(inner, ast.Name):
            names.append(inner.id)
        else:
            names.append("?")
    return names


def _names(definition: Definition) -> str:
    return ", ".join(ast.unparse(d) for d in definition.decorators) or "none"


def cross_calls(
    works: Sequence[Work], inside: Mapping[str, Sequence[str]], rest: Callable[[], None] = lambda: None
) -> Iterator[Finding]:
    """
    Functions of one patch that may call each other: a call in flight can begin in the old one and meet the new other.

    Args:
        works: All that will be changed.
        inside: Target to descriptions of who is in its old code now.
        rest: Called between steps.

    Yields:
        One ``calls-cross`` a caller: a note if nobody is inside, else a warning with who is.
    """
    changed = {}
    for work in works:
        rest()
        made_anew = is_remade(work.change) and work.status == "todo"  # a call of it runs another __init__
        if made_anew or (work.before is not None and work.before.code is not None and work.sites):
            changed[work.change.target.name] = work
    for work in works:
        rest()
        if work.before is None or work.before.code is None or not work.sites:
            continue
        names = _called(work.before.code) | _called(work.after.code) if work.after.code else set()
        others = sorted(n for n in names & changed.keys() if changed[n] is not work)
        if not others:
            continue
        who = [text for n in [work.change.target.name, *others] for text in inside.get(changed[n].target, ())]
        callees = ", ".join(changed[n].target for n in others)
        yield Finding(
            "calls-cross",
            Severity.WARNING if who else Severity.NOTE,
            work.target,
            f"may call {callees}, and both change" + (f"; inside now: {'; '.join(who[:3])}" if who else "; nobody is inside now"),
            hint="a call that is in flight now may meet the new one; make them agree both ways, or apply when it is quiet",
            evidence={"inside": str(len(who)), "callees": callees},
        )


def _called(code: types.CodeType) -> set[str]:
    """Global and attribute names that a function and those inside it use."""
    names = set(code.co_names)
    for inner in inner_codes(code).values():
        names.update(inner.co_names)
    return names
