"""
The engine of this process: read whole at once, run room by room when it's first needed.

Rule 1: nothing is imported from disk after ``hold``, of the standard library neither.
Rule 2: rooms are run one after the other, with a rest between: the program may be serving.
"""

from __future__ import annotations

import sys
import time
import types
from importlib import import_module

from suture import held
from suture.errors import Denied

TYPE_CHECKING = False  # as type checkers know it
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from suture.engine.process import Engine

__all__ = ["hold", "load", "loaded"]

BORROWED = (  # of the standard library: what the rooms import
    *("__future__", "_abc", "abc", "ast", "builtins", "collections", "collections.abc", "concurrent.futures", "contextlib", "copy"),
    *("enum", "functools", "gc", "importlib.machinery", "importlib.util", "inspect", "io", "itertools", "json", "keyword"),
    *("linecache", "operator", "os", "re", "textwrap", "threading", "tokenize", "types", "typing", "warnings", "weakref"),
    "zipimport",
)
IF_THERE = (  # by the version of Python, and how it was built: who imports them can do without
    *(("_sha2",) if sys.version_info >= (3, 12) else ("_sha256",)),
    *(("ctypes",) if sys.version_info >= (3, 13) else ()),  # looks for audit hooks, and repairs versions of functions
)
ROOMS = (  # of ours, each after what it imports itself
    *("suture.record", "suture.patch", "suture.report", "suture.difference"),
    *(f"suture.engine.{n}" for n in ("own", "hooks", "facts", "pace", "frames", "versions", "plan", "fit", "swap", "walk")),
    *(f"suture.engine.{n}" for n in ("resolve", "assemble", "census", "values", "bases", "rerun", "shadow")),
    *(f"suture.engine.{n}" for n in ("anew", "evaluate", "stage", "computing", "imports", "inner", "carried")),
    *(f"suture.engine.{n}" for n in ("revert", "locate", "uses", "outside", "account", "mirror", "fitting")),
    *(f"suture.engine.{n}" for n in ("transaction", "unwound", "sources", "process")),
)
SELDOM = (  # those that many a process never needs: run when they are asked for
    *(f"suture.engine.{n}" for n in ("pieces", "bound", "witness", "drift", "members", "transplant")),
    *("suture.hotfix", "suture.soon"),
)
_REST_S = 0.000_02
_MARK = "_suture_in_this_process"


def hold() -> None:
    """
    Read all of the target side from disk; run nothing of it.

    Raises:
        Denied: second-copy: another copy of suture is at work here; two would not know of each other's patches.
        ImportError, OSError: Something isn't there, or can't be read.
    """
    _this_copy()
    for name in (*BORROWED, *IF_THERE):
        try:
            import_module(name)
        except ImportError:
            if name in BORROWED:
                raise
    held.hold((*ROOMS, *SELDOM))


def loaded() -> bool:
    """True if there is an engine: then there may be patches."""
    return "engine" in _this_copy()


def load() -> Engine:
    """
    The engine; makes it at the first call.

    Raises:
        As ``hold``.
    """
    mine = _this_copy()
    if "engine" not in mine:
        hold()
        bite: Callable[[], bool] | None = None
        for name in ROOMS:
            room = sys.modules[name]
            held.run(room)
            time.sleep(_REST_S)
            if name == "suture.engine.pace":
                bite = room.bite
            elif bite is not None and bite():  # what a room makes is some thousand objects
                time.sleep(_REST_S)
        from suture.engine import process

        mine.setdefault("engine", process.engine())  # of two threads that come at once the first has made it
    return mine["engine"]  # type: ignore[no-any-return]


def _this_copy() -> dict[str, Any]:
    """What this process knows of suture: where it's from, and its engine."""
    mine = sys.modules[__name__]
    mark = types.ModuleType(_MARK)
    mark.__dict__.update(file=__file__, loading=mine)
    found = sys.modules.setdefault(_MARK, mark).__dict__
    if found["loading"] is not mine:
        where = found["file"].rpartition("/")[0]
        hint = "use that one: remove the second from the path"
        raise Denied("second-copy", f"this process has another copy of suture, from {where}", hint=hint)
    return found
