"""
Records: classes of named fields, as ``dataclasses`` has them, but made without compiling anything.

A frozen dataclass with slots costs 0.5 to 1.7 ms and some 15 KiB to make, as its methods are text that is compiled; the 22 of
the target side would be a stall of 5 to 12 ms in the program that uses suture for the first time.  These share their methods.
Type checkers see dataclasses.

Idea: dataclasses and attrs, for how such a class is written.
"""

from __future__ import annotations

TYPE_CHECKING = False  # as type checkers know it: typing costs 3 to 15 ms to import
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from dataclasses import dataclass as record
    from dataclasses import field as made_by
    from dataclasses import replace
    from typing import Any

__all__ = ["MISSING", "fields", "made_by", "optional", "record", "replace", "row_of"]

_set = object.__setattr__


class _Missing:
    __slots__ = ()


MISSING = _Missing()


class _Made:
    """A default that is made anew for each record."""

    __slots__ = ("factory", "shown")

    def __init__(self, factory: Callable[[], Any], shown: bool) -> None:
        self.factory, self.shown = factory, shown


def fields(kind: Any) -> Iterator[tuple[str, object]]:
    """(name, default) of a record's fields, in order; the default is MISSING where there is none that is always the same."""
    for name, default in kind._defaults.items():
        yield name, MISSING if type(default) is _Made else default


def optional(kind: Any) -> frozenset[str]:
    """Names of the fields that need not be given."""
    return frozenset(name for name, default in kind._defaults.items() if default is not MISSING)


def _made_by(*, default_factory: Callable[[], Any], repr: bool = True) -> Any:  # noqa: A002 - as dataclasses has it
    """A field's default, made anew for each record."""
    return _Made(default_factory, repr)


def _record(*, frozen: bool = False, slots: bool = True, eq: bool = True) -> Callable[[Any], Any]:
    """
    Class decorator: fields from the annotations, ``__slots__``, a constructor, equality and a repr.

    Args:
        frozen: Refuse assignment (AttributeError), and be hashable.
        slots: Always true; there for type checkers.
        eq: Equal by fields; else by identity.
    """

    def make(cls: Any) -> Any:
        space = dict(cls.__dict__)
        defaults = {name: space.pop(name, MISSING) for name in cls.__annotations__}
        for gone in ("__dict__", "__weakref__"):
            space.pop(gone, None)
        space |= {"__slots__": tuple(defaults), "__init__": _init, "__reduce__": _reduce, "_defaults": defaults}
        space.setdefault("__repr__", _repr)
        if frozen:
            space |= {"__setattr__": _refuse_to_set, "__delattr__": _refuse_to_delete}
        if eq:
            space |= {"__eq__": _equal, "__hash__": _hash if frozen else None}
        return type(cls)(cls.__name__, cls.__bases__, space)

    return make


def row_of(here: Any) -> dict[str, Any]:
    """A record's fields, in order."""
    return {name: getattr(here, name) for name in here._defaults}


def _replace(here: Any, **changes: Any) -> Any:
    """A copy of a record with other values."""
    return type(here)(**row_of(here) | changes)


def _init(self: Any, *given: Any, **named: Any) -> None:
    defaults = self._defaults
    if len(given) > len(defaults):
        raise TypeError(f"{type(self).__name__} has {len(defaults)} fields, {len(given)} were given")
    at = 0
    for name, default in defaults.items():
        if at < len(given):
            value = given[at]
            at += 1
        elif name in named:
            value = named.pop(name)
        elif default is MISSING:
            raise TypeError(f"{type(self).__name__} without {name}")
        else:
            value = default.factory() if type(default) is _Made else default
        _set(self, name, value)
    if named:
        raise TypeError(f"{type(self).__name__} has no {', '.join(named)}, or it was given twice")


def _values(here: Any) -> tuple[Any, ...]:
    return tuple([getattr(here, name) for name in here._defaults])


def _repr(self: Any) -> str:
    shown = [f"{n}={getattr(self, n)!r}" for n, d in self._defaults.items() if type(d) is not _Made or d.shown]
    return f"{type(self).__qualname__}({', '.join(shown)})"


def _reduce(self: Any) -> tuple[Any, ...]:
    return type(self), _values(self)


def _equal(self: Any, other: object) -> Any:
    if type(self) is not type(other):
        return NotImplemented
    return _values(self) == _values(other)


def _hash(self: Any) -> int:
    return hash(_values(self))


def _refuse_to_set(self: Any, name: str, value: object) -> None:
    raise AttributeError(f"{type(self).__name__} is frozen: {name} can't be set")


def _refuse_to_delete(self: Any, name: str) -> None:
    raise AttributeError(f"{type(self).__name__} is frozen: {name} can't be deleted")


if not TYPE_CHECKING:
    record, made_by, replace = _record, _made_by, _replace
