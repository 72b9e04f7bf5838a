"""
Afterwards: what holds what was changed.  In slices, off the critical path; the commit doesn't need it.
"""

from __future__ import annotations

import types
from collections.abc import Callable, Container, Iterable

from suture.engine.walk import LIMIT, module_roots, walk

__all__ = ["MAX_PLACES", "holders"]

MAX_PLACES = 20


def holders(
    functions: Iterable[types.FunctionType],
    rest: Callable[[], None],
    *,
    instances: bool = False,
    limit: int = LIMIT,
    skipped: list[str] | None = None,
    others: Callable[[str, types.FunctionType], None] = lambda path, function: None,
    watched: Container[int] = (),
    met: Callable[[str, object], None] = lambda path, thing: None,
) -> dict[int, tuple[int, list[str]]]:
    """
    Where each function object is held, as far as the structural walk sees.

    Names of modules and classes, containers, closures, defaults, wrappers, partials and bound methods, each counted once a
    place; local variables of running calls aren't.

    Args:
        functions: Whose holders are asked for.
        rest: Called between steps.
        instances: Look into instances of any type too (registries that are objects).
        limit: Objects looked at, at the most.
        skipped: Filled with what wasn't looked at, by path.
        others: Called with every other function on the way.
        watched: Ids of objects that aren't functions, and are looked for too.
        met: Called for each place that holds one.

    Returns:
        (number of places, the first of them by path) by id of the function.
    """
    found: dict[int, tuple[int, list[str]]] = {}
    for function in functions:
        found[id(function)] = (0, [])
        rest()
    if not found and not watched:
        return found
    roots = module_roots()
    for path, function in walk(roots, rest=rest, instances=instances, limit=limit, skipped=skipped, watched=watched, met=met):
        if id(function) in found:
            count, places = found[id(function)]
            if len(places) < MAX_PLACES:
                places.append(path)
            found[id(function)] = (count + 1, places)
        else:
            others(path, function)
    return found
