"""
Afterwards: what holds what was changed.  In slices, off the critical path; the commit doesn't need it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
import types

from suture.engine.walk import module_roots, walk

__all__ = ["holders"]

MAX_PLACES = 20


def holders(functions: Iterable[types.FunctionType], rest: Callable[[], None]) -> dict[int, tuple[int, list[str]]]:
    """
    Where each function object is held, as far as the structural walk sees.

    Returns:
        (number of places, the first of them by path) by id of the function.
    """
    wanted = {id(f): f for f in functions}
    found: dict[int, tuple[int, list[str]]] = {k: (0, []) for k in wanted}
    if not wanted:
        return found
    for path, function in walk(module_roots(), rest=rest):
        if id(function) in wanted:
            count, places = found[id(function)]
            if len(places) < MAX_PLACES:
                places.append(path)
            found[id(function)] = (count + 1, places)
    return found
