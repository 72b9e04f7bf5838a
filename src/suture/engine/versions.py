"""
Give patched functions their version back (CPython 3.13+).

There, assigning ``__code__`` or defaults clears a function's version, and calls of it are never specialised again: 16 to 36 %
a call.  ``_PyFunction_SetVersion(function, co_version)`` repairs it; both offsets are found by looking for the consecutive
numbers of fresh functions.  Optional, after the commit, in slices; without it calls cost 5 to 10 ns more, and the report says
so.  docs/adr/0004.
"""

from __future__ import annotations

import sys
import types
from collections.abc import Callable, Iterable
from typing import Any

__all__ = ["restore"]

_CLEARED = 1  # 3.13 clears to 0, later ones to 1 and hand out numbers from 2 on
_found: list[Any] = []  # [None] if it can't be done here, [(set, function offset, code offset, uint32)] else


def restore(functions: Iterable[types.FunctionType], rest: Callable[[], None]) -> bool:
    """
    Restore the versions of *functions*; those that have one are left alone.

    Raises nothing of its own.

    Returns:
        False if this interpreter needs it and it can't be done.
    """
    if sys.version_info < (3, 13):
        return True
    if not _found:
        try:
            _found.append(_find())
        except Exception:  # noqa: BLE001 - no ctypes, no such symbol, or an audit hook that forbids it
            _found.append(None)
    tools = _found[0]
    if tools is None:
        return False
    set_version, at, inner, number = tools
    for function in functions:
        version = number.from_address(id(function.__code__) + inner).value
        if version > _CLEARED >= number.from_address(id(function) + at).value:
            set_version(function, version)
        rest()
    return True


def _find() -> Any:
    import ctypes

    number = ctypes.c_uint32
    # A function object of our own: setting types on the shared one would be seen by others.
    set_version = ctypes.PYFUNCTYPE(None, ctypes.py_object, number)(("_PyFunction_SetVersion", ctypes.pythonapi))
    fresh = []
    for i in range(6):
        space: dict[str, Any] = {}
        exec(f"def q():\n    return {i}\n", space)
        fresh.append(space["q"])

    def at(thing: object, offset: int) -> int:
        return int(number.from_address(id(thing) + offset).value)

    for offset in range(16, types.FunctionType.__basicsize__, 4):
        versions = [at(f, offset) for f in fresh]
        if versions[0] and all(0 < b - a < 50 for a, b in zip(versions, versions[1:], strict=False)):
            for inner in range(16, types.CodeType.__basicsize__, 4):
                if [at(f.__code__, inner) for f in fresh] == versions:
                    return (set_version, offset, inner, number) if _works(fresh, offset, inner, set_version, at) else None
    return None


def _works(fresh: list[Any], offset: int, inner: int, set_version: Any, at: Callable[[object, int], int]) -> bool:
    """Try it on a function of our own: cleared by a store, back after the repair."""
    function = fresh[0]
    before = at(function, offset)
    function.__defaults__ = None
    cleared = at(function, offset)
    set_version(function, at(function.__code__, inner))
    return cleared != before and at(function, offset) == before
