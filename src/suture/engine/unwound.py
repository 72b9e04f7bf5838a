"""
What is live, and what it would be without the patches that are expected there.

A tree and the patches on it give what is live; so what is live, less the patches, gives the tree.  Reads the undo of live patches;
writes nothing.
"""

from __future__ import annotations

import types
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from suture.engine.stage import Applied
from suture.engine.swap import ABSENT, Entry

__all__ = ["Unwound"]

_FIELDS = ("__code__", "__defaults__", "__kwdefaults__")
_State = tuple[types.CodeType, Any, Any]


class Unwound:
    """
    Live patches, taken back in thought.

    Args:
        patches: Oldest first.
        rest: Called between steps.
    """

    def __init__(self, patches: Sequence[Applied], rest: Callable[[], None]) -> None:
        self._levels: list[dict[int, dict[Any, Entry]]] = []  # newest first: by id of the owner, by name
        for applied in reversed(patches):
            level: dict[int, dict[Any, Entry]] = {}
            for entry in applied.undo.entries:
                if type(entry.store.name) in (str, int):
                    level.setdefault(id(entry.store.owner), {})[entry.store.name] = entry
                rest()
            self._levels.append(level)

    def values(self, owner: object, name: str, live: Any) -> Iterator[Any]:
        """What a name holds (ABSENT: nothing): now, and before each of the patches; ends where it is somebody else's."""
        yield live
        table = id(live)  # what is written into a table is undone in a copy of it
        for level in self._levels:
            entry = level.get(id(owner), {}).get(name)
            if entry is not None:
                if live is not entry.store.new:
                    return
                live = entry.old
                table = id(live)
                yield live
            elif table in level and type(live) in (dict, list):
                live = _less(live, level[table])
                yield live

    def states(self, function: types.FunctionType) -> Iterator[_State]:
        """A function's code and defaults: now, and before each of the patches; ends where they are somebody else's."""
        now: dict[str, Any] = {name: getattr(function, name) for name in _FIELDS}
        yield tuple(now.values())  # type: ignore[misc]
        for level in self._levels:
            entries = level.get(id(function), {})
            mine = {name: entries[name] for name in _FIELDS if name in entries}
            if any(now[name] is not entry.store.new for name, entry in mine.items()):
                return
            if mine:
                now |= {name: entry.old for name, entry in mine.items()}
                yield tuple(now.values())  # type: ignore[misc]


def _less(table: Any, entries: Mapping[Any, Entry]) -> Any:
    """A copy of a dict or list without what was written into it."""
    copy = table.copy()
    for key, entry in entries.items():
        if entry.old is ABSENT:
            copy.pop(key, None) if type(copy) is dict else copy.pop()
        elif type(copy) is dict or (type(key) is int and key < len(copy)):
            copy[key] = entry.old
    return copy
