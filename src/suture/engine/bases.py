"""
Bases of a class that exists, and which of its methods are abstract: what may be changed, judged without writing to it.

What the interpreter would say of an assignment to ``__bases__`` is asked of it with a class of ours that has the same bases; the
order of bases is worked out here, for the class and all below it, as an assignment that fails in the commit would be too late.

Rule: runs nobody's code.  A metaclass or an ``__init_subclass__`` that may have a say is a reason to refuse.
"""

from __future__ import annotations

import abc
import ast
import builtins
import types
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from suture.engine.frames import class_space, lineage, qualname_of, space_of
from suture.engine.swap import ABSENT

__all__ = ["abstract_below", "bases_of", "below", "header", "named", "why_not"]

bases_of: Callable[[type], tuple[type, ...]] = type.__dict__["__bases__"].__get__  # type: ignore[attr-defined]
_subclasses: Callable[[type], list[type]] = type.__dict__["__subclasses__"]
_METACLASSES = (type, abc.ABCMeta)
_QUIET_HOMES = frozenset(("typing", "typing_extensions"))  # their __init_subclass__ looks at the class alone
Bases = Mapping[int, tuple[type, ...]]


def header(node: ast.stmt) -> list[ast.expr]:
    """Expressions of the bases that a class statement names."""
    return list(node.bases) if isinstance(node, ast.ClassDef) else []


def named(node: ast.stmt, space: Mapping[str, Any]) -> tuple[type, ...] | None:
    """The classes that a class statement's head names, read raw; None if one can't be told so."""
    out: list[type] = []
    for base in header(node):
        parts: list[str] = []
        while isinstance(base, ast.Attribute):
            parts.insert(0, base.attr)
            base = base.value
        here: Any = space.get(base.id, getattr(builtins, base.id, ABSENT)) if isinstance(base, ast.Name) else ABSENT
        for part in parts:
            inside: Mapping[str, Any] = {}
            if issubclass(type(here), types.ModuleType):
                inside = space_of(here)
            elif issubclass(type(here), type):
                inside = class_space(here)
            here = inside.get(part, ABSENT)
        if not issubclass(type(here), type):
            return None
        out.append(here)
    return tuple(out) or (object,)


def below(cls: type) -> Iterator[type]:
    """A class and all that come from it, each once, bases first where one comes from another."""
    seen, todo = {id(cls)}, [cls]
    for here in todo:  # grows while it is walked
        yield here
        for one in _subclasses(here):
            if id(one) not in seen:
                seen.add(id(one))
                todo.append(one)


def why_not(cls: type, becomes: tuple[type, ...], others: Bases) -> str:
    """
    Why a class can't get these bases; "" if it can.

    Args:
        cls: It.
        becomes: Its new bases.
        others: By a class's id, bases that other changes of the same patch give it before.
    """
    was = others.get(id(cls), bases_of(cls))
    if type(cls) not in _METACLASSES:
        return f"its metaclass {qualname_of(type(cls))} may have a say in it"
    for base in becomes:
        if not issubclass(type(cls), type(base)):
            return f"{qualname_of(base)} has a metaclass that it hasn't: {qualname_of(type(base))}"
        if any(c is cls for c in lineage(base)):
            return f"{qualname_of(base)} comes from it"
    if type(cls) is not type and not any(type(b) is type(cls) for b in becomes):
        return f"without {qualname_of(was[0])} its metaclass would be another one"
    for base in {id(c): c for b in (*was, *becomes) for c in lineage(b) if c is not object}.values():
        space = class_space(base)
        if "__init_subclass__" in space and space.get("__module__") not in _QUIET_HOMES:
            return f"{qualname_of(base)} has an __init_subclass__: what that does when a class is made isn't done again"
    if why := _order_conflict(cls, {**others, id(cls): becomes}):
        return why
    return _layout_conflict(cls, was, becomes)


def _order_conflict(cls: type, bases: Bases) -> str:
    """Of the class and all below it, as the interpreter works it out for each of them."""
    known: dict[int, list[type]] = {}
    for one in below(cls):
        if type(one) not in _METACLASSES and "mro" in {n for m in lineage(type(one)) if m is not type for n in class_space(m)}:
            return f"the metaclass of {qualname_of(one)}, which comes from it, orders bases itself"
        if not _ordered(one, bases, known):
            return f"there is no order of bases for {qualname_of(one)} then"
    return ""


def _ordered(cls: type, bases: Bases, known: dict[int, list[type]]) -> list[type]:
    """The order that a class looks its bases through (C3); empty if there is none."""
    if id(cls) in known:
        return known[id(cls)]
    if not any(id(c) in bases for c in lineage(cls)):
        return list(lineage(cls))
    mine = bases.get(id(cls), bases_of(cls))
    known[id(cls)] = []  # in a circle there is none
    above = [_ordered(b, bases, known) for b in mine]
    left, out = [*above, list(mine)], [cls]
    while all(above) and (left := [way for way in left if way]):
        behind = {id(c) for way in left for c in way[1:]}
        head = next((way[0] for way in left if id(way[0]) not in behind), None)
        if head is None:
            return []
        out.append(head)
        left = [way[1:] if way[0] is head else way for way in left]
    known[id(cls)] = out if all(above) else []
    return known[id(cls)]


def _layout_conflict(cls: type, was: tuple[type, ...], becomes: tuple[type, ...]) -> str:
    """What the interpreter says of such an assignment to a class of ours; it holds what objects have in memory against it."""
    slots = class_space(cls).get("__slots__")
    space: dict[str, Any] = {"__module__": __name__, "__slots__": slots} if slots is not None else {"__module__": __name__}
    try:
        probe = type.__new__(type(cls), qualname_of(cls).rpartition(".")[2], was, space)
    except TypeError as error:
        return f"a class like it can't be made to try it: {error}"
    try:
        type.__setattr__(probe, "__bases__", becomes)
    except TypeError as error:
        return str(error).partition("__bases__ assignment: ")[2] or str(error)
    return ""


# ---------------------------------------------------------------- abstract methods


def abstract_below(
    cls: type, bases: Bases, members: Mapping[int, Mapping[str, Any]], known: dict[int, frozenset[str]]
) -> Iterator[tuple[type, frozenset[str]]]:
    """
    Which methods are abstract then, of a class and of those below it that keep that.

    Args:
        cls: It.
        bases: New bases by a class's id.
        members: New attributes by a class's id; ABSENT for one that goes.
        known: Filled in.
    """
    orders: dict[int, list[type]] = {}
    for one in below(cls):
        if issubclass(type(one), abc.ABCMeta):
            yield one, _abstract(one, bases, members, orders, known)


def _abstract(
    cls: type,
    bases: Bases,
    members: Mapping[int, Mapping[str, Any]],
    orders: dict[int, list[type]],
    known: dict[int, frozenset[str]],
) -> frozenset[str]:
    if id(cls) in known:
        return known[id(cls)]
    own = {**class_space(cls), **members.get(id(cls), {})}
    found = {n for n, v in own.items() if n != "__abstractmethods__" and _is_abstract(v)}
    order = _ordered(cls, bases, orders)
    for base in bases.get(id(cls), bases_of(cls)):
        inherited: Any = class_space(base).get("__abstractmethods__", ())
        if issubclass(type(base), abc.ABCMeta):
            inherited = _abstract(base, bases, members, orders, known)
        found |= {n for n in inherited if _is_abstract(_looked_up(order, n, members))}
    known[id(cls)] = frozenset(found)
    return known[id(cls)]


def _looked_up(order: Sequence[type], name: str, members: Mapping[int, Mapping[str, Any]]) -> Any:
    for cls in order:
        value = members.get(id(cls), {}).get(name, class_space(cls).get(name, ABSENT))
        if value is not ABSENT:
            return value
    return None


def _is_abstract(value: Any) -> bool:
    kind = type(value)
    if kind is types.FunctionType:
        return bool(value.__dict__.get("__isabstractmethod__", False))
    if issubclass(kind, (property, staticmethod, classmethod)):
        return bool(getattr(value, "__isabstractmethod__", False))
    return False
