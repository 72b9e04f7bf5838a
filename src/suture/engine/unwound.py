"""
What is live, and what it would be without the patches that are expected there.

A tree and the patches on it give what is live; so what is live, less the patches, gives the tree.  Reads the undo of live patches;
writes nothing.
"""

from __future__ import annotations

import collections
import types
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from suture.engine.stage import Applied
from suture.engine.swap import ABSENT, Contents, Entry, Via

__all__ = ["Unwound"]

_DICTS = (dict, collections.defaultdict)
_TABLES = (*_DICTS, list, set)
_DEPTH = 20
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
                if type(entry.store.name) in (str, int, Contents):
                    level.setdefault(id(entry.store.owner), {})[entry.store.name] = entry
                rest()
            self._levels.append(level)

    def values(self, owner: object, name: str, live: Any) -> Iterator[Any]:
        """What a name holds (ABSENT: nothing): now, and before each of the patches; ends where it is somebody else's."""
        yield live
        for level in self._levels:
            entry = level.get(id(owner), {}).get(name)
            if entry is not None:
                if live is not entry.store.new:
                    return
                live = entry.old
                yield live
            elif type(live) in _TABLES:
                before = _less(live, level)
                if before is not live:
                    live = before
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


def _less(table: Any, level: Mapping[int, Mapping[Any, Entry]], depth: int = 0) -> Any:
    """A table without what was written into it, and into tables inside it: a copy, or itself if nothing was."""
    entries = level.get(id(table), {})
    whole = next((e for e in entries.values() if e.store.via is Via.CONTENTS), None)
    made = table
    if whole is not None:
        made = whole.old
    elif entries:
        made = table.copy()
        for key, entry in entries.items():
            if key == "default_factory" and entry.store.via is Via.SETATTR:
                made.default_factory = entry.old
            elif entry.old is ABSENT:
                made.pop(key, None) if type(made) in _DICTS else made.pop()
            elif type(made) in _DICTS or (type(key) is int and key < len(made)):
                made[key] = entry.old
    if depth < _DEPTH and type(made) in (*_DICTS, list):
        for key, inner in list(made.items() if type(made) in _DICTS else enumerate(made)):
            before = _less(inner, level, depth + 1) if type(inner) in _TABLES else inner
            if before is not inner:
                made = made.copy() if made is table or (whole is not None and made is whole.old) else made
                made[key] = before
    return made
