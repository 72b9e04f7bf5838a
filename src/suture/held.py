"""
Rooms of this package: all read from disk at once, each run when it is first used.

A package that is upgraded on disk must not get into a process that runs the older one, and a process may lose the right to
read its own files: it becomes another user, or changes its root.  So the target side is held, as code that hasn't run, from
the first use on.  Reading it takes some milliseconds; what a process never needs costs it no time and little memory.

Idea: ``importlib.util.LazyLoader``, which runs late as well, but reads late too.
"""

from __future__ import annotations

import _thread
import importlib.machinery
import importlib.util
import marshal
import sys
import types

TYPE_CHECKING = False  # as type checkers know it
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

__all__ = ["asleep", "hold", "run"]

_asleep: dict[str, bytes] = {}
_one_at_a_time = _thread.RLock()


class _Held(types.ModuleType):
    """A module that runs when a name of its own is asked for."""

    def __getattr__(self, name: str) -> Any:
        run(self)
        return types.ModuleType.__getattribute__(self, name)


def hold(names: Iterable[str]) -> None:
    """
    Read modules without running them.

    Args:
        names: Full names.  Those that are loaded stay as they are.

    Raises:
        ImportError: One isn't there.
        OSError: It can't be read.
    """
    with _one_at_a_time:
        for name in names:
            if name in sys.modules:
                continue
            package, _, stem = name.rpartition(".")
            parent = importlib.import_module(package)
            spec = importlib.machinery.PathFinder.find_spec(name, parent.__path__)
            if spec is None:
                raise ModuleNotFoundError(f"No module named {name!r}", name=name)
            _asleep[name] = _read(spec)
            made = importlib.util.module_from_spec(spec)
            made.__class__ = _Held
            sys.modules[name] = made
            setattr(parent, stem, made)


def asleep() -> frozenset[str]:
    """Names of the modules that are held and haven't run."""
    return frozenset(_asleep)


def run(module: types.ModuleType) -> None:
    """Run a module that is held; one that has run, or is at it in this thread, stays as it is.  Raises what its body raises."""
    with _one_at_a_time:
        data = _asleep.pop(module.__name__, None)
        if data is None:
            return
        try:
            exec(_named(marshal.loads(data), getattr(module.__spec__, "origin", None)), module.__dict__)
        except BaseException:
            _asleep[module.__name__] = data
            raise
        module.__class__ = types.ModuleType


def _read(spec: importlib.machinery.ModuleSpec) -> bytes:
    """Code of a module, marshalled: from its cache where that is of its source, and without making objects of it."""
    loader: Any = spec.loader
    try:
        found, source = loader.get_data(spec.cached), loader.path_stats(spec.origin)
        words = [int.from_bytes(found[at : at + 4], "little") for at in (4, 8, 12)]
        if found[:4] == importlib.util.MAGIC_NUMBER and words == [0, *(int(source[k]) & 0xFFFFFFFF for k in ("mtime", "size"))]:
            return bytes(found[16:])
    except (OSError, AttributeError, TypeError):
        pass  # there is none, or another kind of loader: it knows how
    return marshal.dumps(loader.get_code(spec.name))


def _named(code: types.CodeType, path: str | None) -> types.CodeType:
    """With the file's place as it is now: a cache keeps the one it was made at."""
    if path is None or code.co_filename == path:
        return code
    consts = tuple(_named(c, path) if isinstance(c, types.CodeType) else c for c in code.co_consts)
    return code.replace(co_filename=path, co_consts=consts)
