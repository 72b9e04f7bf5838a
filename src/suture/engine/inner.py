"""
Inner functions: from one code of the function that makes them to another, forwards and back.

A live function and the closures that its calls have made share code: a closure's code object is one of the constants of the
code that made it.  That alone says who belongs to whom; nothing is written down beside it.

Rule 1: going to a code, for an apply and for a revert alike, is grafting it: inner code that doesn't change stays the object
that it is, and closures with inner code that does change get the partner of theirs.
Rule 2: an undo keeps codes as values, equal copies down to the last constant, which share nothing with what is live.  So old
inner code can end; grafting makes such a copy live again.

Reads only; the transaction and the revert make the stores.
"""

from __future__ import annotations

import types
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from suture.engine import walk
from suture.engine.facts import fingerprint, inner_codes, pair_codes
from suture.engine.stage import Applied
from suture.engine.swap import Entry
from suture.record import made_by, record

__all__ = ["Back", "control", "grafted", "held_by_undos", "same_call", "undone", "way_back"]

Rest = Callable[[], None]


def grafted(
    live: types.CodeType, new: types.CodeType
) -> tuple[types.CodeType, list[tuple[types.CodeType, types.CodeType]], list[types.CodeType]]:
    """
    Put the live inner code objects that don't change into the new outer code.

    So closures that exist, and those that will be made, share one code object, which is how the next step finds them.

    Returns:
        The new code; (old, new) of the inner functions that change; old ones without a partner.
    """
    if live is new or not any(isinstance(c, types.CodeType) for c in live.co_consts):
        return new, [], []
    pairs, _ = pair_codes(inner_codes(live), inner_codes(new))
    same = {id(n): o for o, n in pairs if fingerprint(o) == fingerprint(n)}
    new = _with_constants(new, same)
    pairs, alone = pair_codes(inner_codes(live), inner_codes(new))
    return new, [(o, n) for o, n in pairs if o is not n], alone


def _with_constants(code: types.CodeType, put: Mapping[int, types.CodeType]) -> types.CodeType:
    constants = tuple(put.get(id(c)) or _with_constants(c, put) if isinstance(c, types.CodeType) else c for c in code.co_consts)
    if all(a is b for a, b in zip(constants, code.co_consts, strict=True)):
        return code
    return code.replace(co_consts=constants)


def control() -> types.CodeType:
    """A code object that nobody but the caller holds."""
    space: dict[str, Any] = {}
    exec("def control():\n    return None\n", space)
    return space.pop("control").__code__  # type: ignore[no-any-return]  # popped: else the two hold each other


def same_call(a: types.CodeType, b: types.CodeType) -> bool:
    """True if both take the same parameters."""

    def shape(code: types.CodeType) -> tuple[Any, ...]:
        count = code.co_argcount + code.co_kwonlyargcount + bool(code.co_flags & 4) + bool(code.co_flags & 8)
        return code.co_argcount, code.co_posonlyargcount, code.co_kwonlyargcount, code.co_flags & 12, code.co_varnames[:count]

    return shape(a) == shape(b)


def held_by_undos(stack: Iterable[Applied], besides: Iterable[Any], live: Iterable[types.CodeType]) -> Mapping[int, int]:
    """
    References to code objects, by id, that are suture's own: undos, what tells code by its source, and *besides*.

    Args:
        stack: Live patches.
        besides: More that holds code; what isn't code doesn't count.
        live: Codes whose own constants aren't counted.
    """
    kept = [c for a in stack for e in a.undo.entries for c in (e.store.new, e.old)]
    kept += [c for a in stack for c, _ in a.codes]
    kept += besides
    apart = {id(c): c for o in kept if type(o) is types.CodeType for c in (o, *inner_codes(o).values())}
    here = {id(c) for o in live for c in (o, *inner_codes(o).values())}
    return Counter(map(id, [*kept, *(i for k, c in apart.items() if k not in here for i in c.co_consts)]))


def undone(stack: Iterable[Applied]) -> list[types.FunctionType]:
    """Functions that undos hold: a closure that nobody else has any more is among the references to its code."""
    return [e.store.owner for a in stack for e in a.undo.entries if e.store.name == "__code__"]


@record(slots=True)
class Back:
    """
    Where functions go when entries of an undo are taken back.

    Attributes:
        put: Functions and the code that each gets, those with an entry first.
        left: Inner functions that can't follow, with their places.
        now: By id of a code that an undo keeps, the grafted ones that go live in its place.
    """

    put: list[tuple[types.FunctionType, types.CodeType]] = made_by(default_factory=list)
    left: list[tuple[str, types.FunctionType]] = made_by(default_factory=list)
    now: dict[int, list[types.CodeType]] = made_by(default_factory=dict)


def way_back(entries: Sequence[Entry], stack: Sequence[Applied], rest: Rest) -> Back:
    """
    Work out what takes code entries back.

    Args:
        entries: Whose stores are live; in the order of an undoing: what makes inner functions before them.  Data is passed over.
        stack: All live patches.
        rest: Called between steps.
    """
    back = Back()
    codes = [(e.store.owner, e.store.new, e.old) for e in entries if e.store.name == "__code__"]
    inside: dict[int, types.CodeType] = {}
    for _, live, _ in codes:
        inside.update((id(i), i) for i in inner_codes(live).values())
        rest()
    # By id of a live inner code: it, and what it becomes (None: nothing).
    becomes: dict[int, tuple[types.CodeType, types.CodeType | None]] = {}
    made: dict[tuple[int, int], types.CodeType] = {}
    for function, live, old in codes:
        if id(live) in inside:
            continue
        if (id(live), id(old)) not in made:
            made[id(live), id(old)], changed, alone = grafted(live, old)
            for one, other in (*changed, *((a, None) for a in alone)):
                becomes.setdefault(id(one), (one, other))
        back.put.append((function, made[id(live), id(old)]))
        rest()
    for function, live, old in codes:
        if id(live) not in inside:
            continue
        partner = becomes[id(live)][1] if id(live) in becomes else live  # live itself: it was the same before
        # The function's own old code where it had other cells than those of its kind have now.
        back.put.append((function, partner if partner is not None and _fits(live, partner) else old))
        rest()
    before = {id(e.store.owner): e.old for e in entries if e.store.name == "__code__"}
    for function, code in back.put:
        made_live = back.now.setdefault(id(before[id(function)]), [])
        if not any(c is code for c in made_live):
            made_live.append(code)
        rest()
    _closures(back, becomes, before.keys(), stack, rest)
    return back


def _fits(live: types.CodeType, other: types.CodeType) -> bool:
    return live.co_freevars == other.co_freevars and same_call(live, other)


def _closures(
    back: Back,
    becomes: Mapping[int, tuple[types.CodeType, types.CodeType | None]],
    known: Iterable[int],
    stack: Sequence[Applied],
    rest: Rest,
) -> None:
    """Those that were made meanwhile, and have no entry."""
    if not becomes:
        return
    found, _ = walk.find_by_code([*(o for o, _ in becomes.values()), control()], rest, undone(stack))
    done = set(known)
    for key, functions in found.items():
        for path, function in functions:
            if id(function) in done or key not in becomes:
                continue
            live, partner = becomes[key]
            if partner is not None and _fits(live, partner):
                back.put.append((function, partner))
            else:
                back.left.append((path, function))
