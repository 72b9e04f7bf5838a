"""
Functions as CPython made them, whatever the program has put in their place.

gevent, eventlet and freezegun replace what a thread of ours stands on: a lock that yields to an event loop, a poll that is
gone, a clock that stands still.  What is replaced is found where gevent keeps it, else in a second copy of the C module.

Called when the agent is loaded; what is replaced later doesn't reach it.
"""

from __future__ import annotations

import importlib.machinery
import importlib.util
import sys
import types
from functools import cache

TYPE_CHECKING = False  # as type checkers know it
if TYPE_CHECKING:
    from typing import Any

__all__ = ["original"]


def original(module: str, name: str) -> Any:
    """
    ``module.name`` as the interpreter has it.

    Args:
        module: A module written in C.
        name: A function or a type in it.

    Raises:
        AttributeError: There is none of that name.
    """
    found = getattr(sys.modules.get(module) or importlib.import_module(module), name, None)
    if _made_in(found, module):
        return found
    monkey = sys.modules.get("gevent.monkey")
    kept = getattr(monkey, "saved", {}).get(module, {}).get(name)
    return kept if _made_in(kept, module) else getattr(_second_copy(module), name)


def _made_in(found: object, module: str) -> bool:
    return isinstance(found, (types.BuiltinFunctionType, type)) and found.__module__ == module


@cache
def _second_copy(module: str) -> types.ModuleType:
    finder: Any = importlib.machinery.BuiltinImporter if module in sys.builtin_module_names else importlib.machinery.PathFinder
    spec = finder.find_spec(module)
    if spec is None or spec.loader is None:
        raise AttributeError(f"no second copy of {module}")
    made = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(made)
    return made
